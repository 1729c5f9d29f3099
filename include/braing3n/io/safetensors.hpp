// The safetensors format: named tensors and text metadata in one file that holds no code.
//
//   8 bytes  N, the length of the header, little-endian
//   N bytes  JSON: {"__metadata__": {string: string}, NAME: {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...}
//   the rest data, row-major and little-endian; the offsets count from its start
//
// The reader maps the file and checks everything before anything is used or sized by it: the tensors must cover the data
// exactly, without overlap, hole or remainder. Every error names the file, the tensor, what was expected and what came.
// The writer streams into a temporary name and can put a checksum of the whole file into the metadata.
// Format: https://github.com/huggingface/safetensors (format section of its README).
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "braing3n/core/tensor.hpp"
#include "braing3n/io/atomic_file.hpp"
#include "braing3n/io/dtype.hpp"
#include "braing3n/io/json_text.hpp"
#include "braing3n/io/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A tensor in a file or on its way into one. `bytes` are row-major, little-endian and perhaps unaligned; `owner` keeps them
/// alive where nobody else does.
struct NamedTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  Index elements() const { return static_cast<Index>(bytes.size() / size_of(dtype)); }
};

/// "(2, 3)"; files may hold more axes than a Tensor can have.
inline std::string shape_text(std::span<const Index> shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + ")";
}

/// A tensor over memory of the caller, which must stay until the file is written. The product of `shape` must be the count.
template <class T>
NamedTensor named_tensor(std::string name, std::vector<Index> shape, std::span<const T> values) {
  return {std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(values), nullptr};
}

/// The same with values that move into the tensor.
template <class T>
NamedTensor named_tensor(std::string name, std::vector<Index> shape, std::vector<T>&& values) {
  auto owner = std::make_shared<const std::vector<T>>(std::move(values));
  return {std::move(name), dtype_of<T>(), std::move(shape), std::as_bytes(std::span<const T>(*owner)), owner};
}

using Metadata = std::map<std::string, std::string>;

struct SafetensorsLimits {
  std::size_t header_bytes = 100'000'000;
  std::size_t tensors = 1'000'000;
  std::size_t rank = 32;
  std::size_t name_bytes = 1024;
  bool allow_trailing_bytes = false;  // some writers leave a few bytes after the data; SafetensorsFile::trailing_bytes() tells
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
  bool number_float(number_float_t, const string_t& text) override { return unexpected("the number " + text.substr(0, 40)); }
  bool binary(binary_t&) override { return unexpected("binary data"); }
  bool number_integer(number_integer_t value) override { return unexpected("the negative number " + std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::in_shape && place_ != Place::in_offsets) return unexpected("the number " + std::to_string(value));
    auto& list = place_ == Place::in_shape ? entries.back().shape : entries.back().offsets;
    const std::size_t most = place_ == Place::in_shape ? limits_.rank : 2;
    if (list.size() == most) return refuse("safetensors.rank", concat(where(), ": more than ", most, " numbers in \"", field_, "\""));
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
      const char* missing = !e.has_dtype ? "dtype" : !e.has_shape ? "shape" : !e.has_offsets || e.offsets.size() != 2 ? "data_offsets" : nullptr;
      if (missing != nullptr) return refuse("safetensors.field", concat(where(), ": \"", missing, "\" is missing or incomplete"));
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
      if (metadata.contains(name)) return refuse("safetensors.duplicate", concat("metadata key ", in_quotes(name), " appears twice"));
      field_ = name;
      metadata[name];
      place_ = Place::metadata_value;
      return true;
    }
    Entry& e = entries.back();
    bool* seen = name == "dtype" ? &e.has_dtype : name == "shape" ? &e.has_shape : name == "data_offsets" ? &e.has_offsets : nullptr;
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
  enum class Place { start, in_file, tensor, in_tensor, value, in_shape, in_offsets, metadata, in_metadata, metadata_value, done };

  bool top_level_key(const std::string& name) {
    if (name == metadata_key) {
      if (has_metadata_) return refuse("safetensors.duplicate", "\"__metadata__\" appears twice");
      has_metadata_ = true;
      place_ = Place::metadata;
      return true;
    }
    if (name.empty() || name.size() > limits_.name_bytes)
      return refuse("safetensors.name", concat("a tensor name of ", name.size(), " bytes, expected 1 to ", limits_.name_bytes));
    if (entries.size() == limits_.tensors) return refuse("safetensors.count", concat("more than ", limits_.tensors, " tensors"));
    entries.emplace_back();
    entries.back().name = name;
    place_ = Place::tensor;
    return true;
  }
  std::string where() const { return entries.empty() ? "header" : "tensor " + in_quotes(entries.back().name); }
  bool unexpected(const std::string& came) {
    const char* expected = place_ == Place::start ? "an object" : place_ == Place::tensor || place_ == Place::metadata ? "an object"
                           : place_ == Place::metadata_value ? "a text" : place_ == Place::in_shape || place_ == Place::in_offsets ? "a whole number >= 0"
                           : field_ == "dtype" ? "a text" : "a list";
    const bool in_metadata = place_ == Place::metadata || place_ == Place::metadata_value;
    const std::string place = in_metadata ? "\"__metadata__\"" : place_ == Place::start ? "header" : where();
    const std::string field = place_ == Place::value || place_ == Place::in_shape || place_ == Place::in_offsets || place_ == Place::metadata_value
                                  ? concat(" in ", in_quotes(field_, 60)) : std::string();
    return refuse("safetensors.type", concat(place, ": expected ", expected, field, ", came ", came));
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

class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path, const SafetensorsLimits& limits = {})
      : path_(path.string()), file_(std::make_shared<const MappedFile>(path)), bytes_(file_->bytes()) {
    parse(limits);
  }
  /// Over memory of the caller; `label` takes the place of the path in messages.
  SafetensorsFile(std::span<const std::byte> bytes, std::string label, const SafetensorsLimits& limits = {})
      : path_(std::move(label)), bytes_(bytes) {
    parse(limits);
  }

  const std::string& path() const { return path_; }
  /// In the order of the header. Spans and owners stay valid after this object is gone.
  const std::vector<NamedTensor>& tensors() const { return tensors_; }
  const Metadata& metadata() const { return metadata_; }
  std::size_t size() const { return bytes_.size(); }
  std::size_t trailing_bytes() const { return trailing_; }
  bool contains(const std::string& name) const { return index_.contains(name); }

  const NamedTensor& info(const std::string& name) const {
    const auto found = index_.find(name);
    if (found != index_.end()) return tensors_[found->second];
    std::vector<std::string> names;
    for (const NamedTensor& t : tensors_) names.push_back(t.name);
    throw error(ErrorKind::format, "safetensors.missing", concat("no tensor ", in_quotes(name), did_you_mean(name, names)));
  }

  /// The elements as T, converted by the rules of dtype.hpp.
  template <class T>
  std::vector<T> read(const std::string& name) const {
    std::vector<T> values(static_cast<std::size_t>(info(name).elements()));
    read_into(name, std::span<T>(values));
    return values;
  }

  template <class T>
  void read_into(const std::string& name, std::span<T> to) const {
    const NamedTensor& t = info(name);
    if (to.size() != static_cast<std::size_t>(t.elements()))
      throw error(ErrorKind::shape, "safetensors.count",
                  concat("tensor ", in_quotes(name), " ", shape_text(t.shape), " has ", t.elements(), " elements, ", to.size(), " are wanted"));
    try {
      convert_elements(t.dtype, t.bytes, to);
    } catch (const Error& e) {
      throw error(e.kind(), e.id().c_str(), concat("tensor ", in_quotes(name), ": ", e.what()));
    }
  }

  /// The same as a tensor of up to six axes.
  template <class T, Backend B>
  Tensor<T, B> tensor(Context<B>& context, const std::string& name) const {
    const NamedTensor& t = info(name);
    Shape shape;
    try {
      shape = Shape(std::span<const Index>(t.shape));
    } catch (const Error& e) {
      throw error(e.kind(), e.id().c_str(), concat("tensor ", in_quotes(name), " ", shape_text(t.shape), ": ", e.what()));
    }
    if constexpr (std::same_as<B, Cpu>) {
      Tensor<T, B> result(context, shape);
      read_into(name, std::span<T>(result.data(), static_cast<std::size_t>(result.size())));
      return result;
    } else {
      const std::vector<T> values = read<T>(name);
      return Tensor<T, B>::from_host(context, shape, values);
    }
  }

  /// Reads the whole file once. Returns false when it carries no checksum; throws Error (format) when the checksum differs.
  bool verify_checksum() const {
    const auto stated = metadata_.find(detail::checksum_key);
    if (stated == metadata_.end()) return false;
    const std::string field = concat('"', detail::checksum_key, "\":\"", stated->second, '"');
    const std::string_view header(reinterpret_cast<const char*>(bytes_.data()), header_end_);
    const std::size_t at = header.find(field);
    if (stated->second.size() != detail::checksum_zero.size() || at == std::string_view::npos || header.find(field, at + 1) != std::string_view::npos)
      throw error(ErrorKind::format, "safetensors.checksum", "the checksum field is not as this library writes it");
    const std::size_t digits = at + field.size() - 1 - detail::checksum_zero.size();
    Crc32 crc;
    crc.update(bytes_.first(digits));
    crc.update(std::as_bytes(std::span<const char>(detail::checksum_zero.data(), detail::checksum_zero.size())));
    crc.update(bytes_.subspan(digits + detail::checksum_zero.size()));
    if (crc.hex() != stated->second)
      throw error(ErrorKind::format, "safetensors.checksum",
                  concat("the content is damaged: checksum ", crc.hex(), ", the file says ", in_quotes(stated->second, 8)));
    return true;
  }

  /// An error about this file.
  Error error(ErrorKind kind, const char* id, const std::string& text) const { return Error(kind, id, "safetensors: " + text, path_); }

 private:
  void parse(const SafetensorsLimits& limits) {
    const auto bad = [this](const char* id, const std::string& text) { return error(ErrorKind::format, id, text); };
    if (bytes_.size() < 8) throw bad("safetensors.truncated", concat("the file has ", bytes_.size(), " bytes, a header needs at least 8"));
    std::uint64_t header_size = 0;
    std::memcpy(&header_size, bytes_.data(), 8);
    if (header_size > limits.header_bytes)
      throw bad("safetensors.header_size", concat("a header of ", header_size, " bytes, the limit is ", limits.header_bytes, " (not a safetensors file?)"));
    if (header_size > bytes_.size() - 8)
      throw bad("safetensors.truncated", concat("a header of ", header_size, " bytes, but only ", bytes_.size() - 8, " bytes follow"));
    header_end_ = 8 + static_cast<std::size_t>(header_size);
    const auto* text = reinterpret_cast<const char*>(bytes_.data()) + 8;
    if (header_size == 0 || *text != '{') throw bad("safetensors.json", "the header does not start with '{' (not a safetensors file?)");
    detail::SafetensorsHeader header(limits);
    if (!Json::sax_parse(text, text + header_size, &header)) throw bad(header.error_id.c_str(), header.error_text);
    metadata_ = std::move(header.metadata);
    tensors_.reserve(header.entries.size());
    for (auto& entry : header.entries) add(entry);
    check_coverage(limits);
  }

  void add(detail::SafetensorsHeader::Entry& entry) {
    const auto bad = [&](const char* id, const std::string& text) {
      return error(ErrorKind::format, id, concat("tensor ", in_quotes(entry.name), ": ", text));
    };
    NamedTensor t;
    const auto dtype = dtype_from_string(entry.dtype);
    if (!dtype) throw bad("safetensors.dtype", concat("unknown dtype ", in_quotes(entry.dtype), ", expected one of ", dtype_names()));
    t.dtype = *dtype;
    // All extents are checked, also behind a zero one: no product of any of them may overflow.
    std::uint64_t elements = 1, nonzero = 1;
    for (const std::uint64_t extent : entry.shape) {
      constexpr std::uint64_t most = std::uint64_t{1} << 60;
      if (extent > most || (extent != 0 && nonzero > most / extent)) throw bad("safetensors.shape", "the shape has too many elements");
      nonzero *= std::max<std::uint64_t>(extent, 1);
      elements *= extent;
      t.shape.push_back(static_cast<Index>(extent));
    }
    const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1], data = bytes_.size() - header_end_;
    if (begin > end) throw bad("safetensors.offsets", concat("offsets [", begin, ", ", end, "] run backwards"));
    if (end > data) throw bad("safetensors.range", concat("offsets [", begin, ", ", end, "] reach beyond the ", data, " bytes of data"));
    const std::uint64_t wanted = elements * size_of(t.dtype);
    if (end - begin != wanted)
      throw bad("safetensors.size", concat("shape ", shape_text(t.shape), " of ", to_string(t.dtype), " needs ", wanted, " bytes, the offsets [", begin, ", ",
                                           end, "] hold ", end - begin));
    t.bytes = bytes_.subspan(header_end_ + static_cast<std::size_t>(begin), static_cast<std::size_t>(wanted));
    t.owner = file_;
    t.name = std::move(entry.name);
    if (!index_.emplace(t.name, tensors_.size()).second)
      throw error(ErrorKind::format, "safetensors.duplicate", concat("tensor ", in_quotes(t.name), " appears twice"));
    tensors_.push_back(std::move(t));
  }

  void check_coverage(const SafetensorsLimits& limits) {
    std::vector<std::size_t> order(tensors_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto begin_of = [&](std::size_t i) { return static_cast<std::size_t>(tensors_[i].bytes.data() - bytes_.data()) - header_end_; };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(begin_of(a), tensors_[a].bytes.size()) < std::pair(begin_of(b), tensors_[b].bytes.size());
    });
    std::size_t covered = 0;
    for (const std::size_t i : order) {
      const std::size_t begin = begin_of(i);
      if (begin < covered)
        throw error(ErrorKind::format, "safetensors.overlap", concat("tensor ", in_quotes(tensors_[i].name), " starts at byte ", begin,
                                                                     ", inside the tensor before it, which ends at ", covered));
      if (begin > covered)
        throw error(ErrorKind::format, "safetensors.hole",
                    concat("bytes [", covered, ", ", begin, ") before tensor ", in_quotes(tensors_[i].name), " belong to no tensor"));
      covered = begin + tensors_[i].bytes.size();
    }
    trailing_ = bytes_.size() - header_end_ - covered;
    if (trailing_ != 0 && !limits.allow_trailing_bytes)
      throw error(ErrorKind::format, "safetensors.trailing", concat(trailing_, " bytes after the last tensor belong to no tensor"));
  }

  static std::string dtype_names() {
    std::string names;
    for (const DType type : all_dtypes) names += (names.empty() ? "" : " ") + std::string(to_string(type));
    return names;
  }

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  std::span<const std::byte> bytes_;
  std::size_t header_end_ = 0, trailing_ = 0;
  std::vector<NamedTensor> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  Metadata metadata_;
};

/// Streams tensors into a file whose header is known beforehand: append() takes the bytes of all tensors in the order given,
/// in pieces of any size; finish() makes the file appear. Without finish() nothing is left.
class SafetensorsWriter {
 public:
  /// Only name, dtype and shape of `tensors` are read. With `checksum` the metadata gains the key "braing3n.crc32".
  SafetensorsWriter(const std::filesystem::path& path, std::span<const NamedTensor> tensors, Metadata metadata = {},
                    const WriteOptions& options = {}, bool checksum = false)
      : file_(path, options), checksum_(checksum) {
    if (checksum) metadata[detail::checksum_key] = detail::checksum_zero;
    std::string text;
    const auto add = [&](const std::string& name, const Json& value) { text += (text.empty() ? "{" : ",") + json_dump(name) + ":" + json_dump(value); };
    if (!metadata.empty()) add(detail::metadata_key, Json(metadata));
    std::unordered_set<std::string> seen;
    for (const NamedTensor& t : tensors) {
      if (t.name.empty() || t.name == detail::metadata_key || !seen.insert(t.name).second)
        fail(ErrorKind::argument, "safetensors.name", path.string(), ": safetensors: tensor name ", in_quotes(t.name), " is empty, reserved or used twice");
      std::uint64_t elements = 1;
      for (const Index extent : t.shape) {
        if (extent < 0 || (extent > 0 && elements > (std::uint64_t{1} << 60) / static_cast<std::uint64_t>(extent)))
          fail(ErrorKind::shape, "safetensors.shape", path.string(), ": safetensors: tensor ", in_quotes(t.name), " has shape ", shape_text(t.shape));
        elements *= static_cast<std::uint64_t>(extent);
      }
      const std::uint64_t end = expected_ + elements * size_of(t.dtype);
      add(t.name, {{"dtype", to_string(t.dtype)}, {"shape", t.shape}, {"data_offsets", {expected_, end}}});
      expected_ = end;
    }
    text += text.empty() ? "{}" : "}";
    text.append((8 - text.size() % 8) % 8, ' ');  // data starts at a multiple of 8
    if (checksum) checksum_at_ = 8 + text.find(concat('"', detail::checksum_key, "\":\"", detail::checksum_zero, '"')) + std::strlen(detail::checksum_key) + 4;
    const std::uint64_t size = text.size();
    put(std::as_bytes(std::span<const std::uint64_t>(&size, 1)));
    put(std::as_bytes(std::span<const char>(text.data(), text.size())));
    expected_ += 8 + size;
  }

  void append(std::span<const std::byte> bytes) {
    if (bytes.size() > expected_ - file_.size())
      fail(ErrorKind::argument, "safetensors.size", file_.path().string(), ": safetensors: more data than the header announces");
    put(bytes);
  }

  void finish() {
    if (file_.size() != expected_)
      fail(ErrorKind::argument, "safetensors.size", file_.path().string(), ": safetensors: ", expected_ - file_.size(), " announced bytes were not written");
    if (checksum_) file_.rewrite(checksum_at_, crc_.hex());
    file_.commit();
  }

 private:
  std::string json_dump(const Json& value) const {
    try {
      return value.dump();
    } catch (const nlohmann::json::exception& e) {  // a name or a value that is not UTF-8
      fail(ErrorKind::argument, "safetensors.name", file_.path().string(), ": safetensors: ", detail::plain_json_message(e.what()));
    }
  }
  void put(std::span<const std::byte> bytes) {
    if (checksum_) crc_.update(bytes);
    file_.write(bytes);
  }

  AtomicFile file_;
  bool checksum_;
  Crc32 crc_;
  std::uint64_t expected_ = 0;
  std::size_t checksum_at_ = 0;
};

/// Writes a whole file: larger element types first, so that every tensor is aligned, otherwise in the order given.
/// Throws Error: shape (bytes do not fit the shape), argument (names), file (exists, not writable), environment (disk full).
inline void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors, const Metadata& metadata = {},
                              const WriteOptions& options = {}, bool checksum = false) {
  std::vector<NamedTensor> sorted(tensors.begin(), tensors.end());
  for (const NamedTensor& t : sorted) {
    // In unsigned arithmetic modulo 2^64; the writer checks for overflow itself.
    std::uint64_t elements = 1;
    for (const Index extent : t.shape) elements *= static_cast<std::uint64_t>(extent);
    if (elements * size_of(t.dtype) != t.bytes.size())
      fail(ErrorKind::shape, "safetensors.size", path.string(), ": safetensors: tensor ", in_quotes(t.name), " ", shape_text(t.shape), " of ",
           to_string(t.dtype), " came with ", t.bytes.size(), " bytes");
  }
  std::stable_sort(sorted.begin(), sorted.end(), [](const NamedTensor& a, const NamedTensor& b) { return size_of(a.dtype) > size_of(b.dtype); });
  SafetensorsWriter writer(path, sorted, metadata, options, checksum);
  for (const NamedTensor& t : sorted) writer.append(t.bytes);
  writer.finish();
}

}  // namespace braing3n::inline BRAING3N_ABI
