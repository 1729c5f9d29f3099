// The header of a safetensors file, token by token.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/json_text.hpp"
#include "braing3n/format/named_tensor.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct SafetensorsLimits {
  std::size_t header_bytes = 100'000'000;
  std::size_t tensors = 1'000'000;
  std::size_t rank = 32;
  std::size_t name_bytes = 1024;
  bool allow_trailing_bytes =
      false;  // some writers leave a few bytes after the data; SafetensorsFile::trailing_bytes() tells
};

namespace detail {

constexpr const char* metadata_key = "__metadata__";
constexpr const char* checksum_key = "braing3n.crc32";
constexpr std::string_view checksum_zero = "00000000";

/// Receives the header token by token. Only the one structure the format allows is accepted, so depth and size of what is
/// kept are bounded whatever the text is. Every callback returns true to go on.
class SafetensorsHeader : public nlohmann::json_sax<Json> {
 public:
  struct Entry {
    std::string name;
    std::string dtype;
    std::vector<std::uint64_t> shape, offsets;
    bool has_dtype = false, has_shape = false, has_offsets = false;
  };
  std::vector<Entry> entries;
  Metadata metadata;
  std::string error_id, error_text;

  explicit SafetensorsHeader(const SafetensorsLimits& limits) : limits_(limits) {}

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_float(number_float_t, const string_t& text) override {
    return unexpected("the number " + text.substr(0, 40));
  }
  bool binary(binary_t&) override { return unexpected("binary data"); }
  bool number_integer(number_integer_t value) override {
    return unexpected("the negative number " + std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::in_shape && place_ != Place::in_offsets)
      return unexpected("the number " + std::to_string(value));
    auto& list = place_ == Place::in_shape ? entries.back().shape : entries.back().offsets;
    const std::size_t most = place_ == Place::in_shape ? limits_.rank : 2;
    if (list.size() == most)
      return refuse("safetensors.rank", concat(where(), ": more than ", most, " numbers in \"", field_, "\""));
    list.push_back(value);
    return true;
  }
  bool string(string_t& value) override {
    if (place_ == Place::metadata_value) {
      metadata[field_] = value;
      place_ = Place::in_metadata;
      return true;
    }
    if (place_ != Place::value || field_ != "dtype") return unexpected("the text " + in_quotes(value, 40));
    entries.back().dtype = value.substr(0, 40);
    place_ = Place::in_tensor;
    return true;
  }
  bool start_object(std::size_t) override {
    if (place_ == Place::start) place_ = Place::in_file;
    else if (place_ == Place::tensor) place_ = Place::in_tensor;
    else if (place_ == Place::metadata) place_ = Place::in_metadata;
    else return unexpected("an object");
    return true;
  }
  bool end_object() override {
    if (place_ == Place::in_tensor) {
      const Entry& e = entries.back();
      const char* missing = !e.has_dtype                              ? "dtype"
                            : !e.has_shape                            ? "shape"
                            : !e.has_offsets || e.offsets.size() != 2 ? "data_offsets"
                                                                      : nullptr;
      if (missing != nullptr)
        return refuse("safetensors.field", concat(where(), ": \"", missing, "\" is missing or incomplete"));
    }
    place_ = place_ == Place::in_file ? Place::done : Place::in_file;
    return true;
  }
  bool start_array(std::size_t) override {
    if (place_ != Place::value || field_ == "dtype") return unexpected("a list");
    place_ = field_ == "shape" ? Place::in_shape : Place::in_offsets;
    return true;
  }
  bool end_array() override {
    place_ = Place::in_tensor;
    return true;
  }
  bool key(string_t& name) override {
    if (place_ == Place::in_file) return top_level_key(name);
    if (place_ == Place::in_metadata) {
      if (metadata.contains(name))
        return refuse("safetensors.duplicate", concat("metadata key ", in_quotes(name), " appears twice"));
      field_ = name;
      metadata[name];
      place_ = Place::metadata_value;
      return true;
    }
    Entry& e = entries.back();
    bool* seen = name == "dtype"          ? &e.has_dtype
                 : name == "shape"        ? &e.has_shape
                 : name == "data_offsets" ? &e.has_offsets
                                          : nullptr;
    if (seen == nullptr) return refuse("safetensors.field", concat(where(), ": unknown field ", in_quotes(name, 40)));
    if (*seen) return refuse("safetensors.duplicate", concat(where(), ": field ", in_quotes(name), " appears twice"));
    *seen = true;
    field_ = name;
    place_ = Place::value;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const Json::exception& error) override {
    return refuse("safetensors.json", "the header is not valid JSON: " + plain_json_message(error.what()));
  }

 private:
  enum class Place {
    start,
    in_file,
    tensor,
    in_tensor,
    value,
    in_shape,
    in_offsets,
    metadata,
    in_metadata,
    metadata_value,
    done
  };

  bool top_level_key(const std::string& name) {
    if (name == metadata_key) {
      if (has_metadata_) return refuse("safetensors.duplicate", "\"__metadata__\" appears twice");
      has_metadata_ = true;
      place_ = Place::metadata;
      return true;
    }
    if (name.empty() || name.size() > limits_.name_bytes)
      return refuse("safetensors.name",
                    concat("a tensor name of ", name.size(), " bytes, expected 1 to ", limits_.name_bytes));
    if (entries.size() == limits_.tensors)
      return refuse("safetensors.count", concat("more than ", limits_.tensors, " tensors"));
    entries.emplace_back();
    entries.back().name = name;
    place_ = Place::tensor;
    return true;
  }
  std::string where() const { return entries.empty() ? "header" : "tensor " + in_quotes(entries.back().name); }
  bool unexpected(const std::string& came) {
    const char* expected = place_ == Place::start                                     ? "an object"
                           : place_ == Place::tensor || place_ == Place::metadata     ? "an object"
                           : place_ == Place::metadata_value                          ? "a text"
                           : place_ == Place::in_shape || place_ == Place::in_offsets ? "a whole number >= 0"
                           : field_ == "dtype"                                        ? "a text"
                                                                                      : "a list";
    const bool in_metadata = place_ == Place::metadata || place_ == Place::metadata_value;
    const std::string place = in_metadata ? "\"__metadata__\"" : place_ == Place::start ? "header" : where();
    const std::string field = place_ == Place::value || place_ == Place::in_shape || place_ == Place::in_offsets ||
                                      place_ == Place::metadata_value
                                  ? concat(" in ", in_quotes(field_, 60))
                                  : std::string();
    return refuse("safetensors.type", concat(place, ": expected ", expected, field, ", got ", came));
  }
  bool refuse(const char* id, const std::string& text) {
    if (error_id.empty()) {
      error_id = id;
      error_text = text;
    }
    return false;
  }

  const SafetensorsLimits& limits_;
  Place place_ = Place::start;
  std::string field_;
  bool has_metadata_ = false;
};

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
