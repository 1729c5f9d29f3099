// Reading safetensors files. The file is mapped, and everything is checked before anything is used or sized by it: the tensors must
// cover the data exactly, without overlap, hole or remainder. Every error names the file, the tensor, what was expected and what
// came.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/core/tensor.hpp"
#include "braing3n/format/checksum.hpp"
#include "braing3n/format/foreign_content.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/format/safetensors_header.hpp"

namespace braing3n::inline BRAING3N_ABI {

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
    throw error(ErrorKind::format, "safetensors.missing",
                concat("no tensor ", in_quotes(name), did_you_mean(name, names)));
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
                  concat("tensor ", in_quotes(name), " ", shape_text(t.shape), " has ", t.elements(), " elements, ",
                         to.size(), " are wanted"));
    try {
      convert_elements(t.dtype, t.bytes, to);
      release(t.bytes);
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
      throw error(e.kind(), e.id().c_str(),
                  concat("tensor ", in_quotes(name), " ", shape_text(t.shape), ": ", e.what()));
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
    if (stated->second.size() != detail::checksum_zero.size() || at == std::string_view::npos ||
        header.find(field, at + 1) != std::string_view::npos)
      throw error(ErrorKind::format, "safetensors.checksum", "the checksum field is not as this library writes it");
    const std::size_t digits = at + field.size() - 1 - detail::checksum_zero.size();
    Crc32 crc;
    crc.update(bytes_.first(digits));
    crc.update(std::as_bytes(std::span<const char>(detail::checksum_zero.data(), detail::checksum_zero.size())));
    constexpr std::size_t piece = std::size_t{16} << 20;
    for (std::size_t next = digits + detail::checksum_zero.size(); next < bytes_.size(); next += piece) {
      const auto part = bytes_.subspan(next, std::min(piece, bytes_.size() - next));
      crc.update(part);
      release(part);
    }
    if (crc.hex() != stated->second)
      throw error(
          ErrorKind::format, "safetensors.checksum",
          concat("the content is damaged: checksum ", crc.hex(), ", the file says ", in_quotes(stated->second, 8)));
    return true;
  }

  /// An error about this file.
  Error error(ErrorKind kind, const char* id, const std::string& text) const {
    return Error(kind, id, "safetensors: " + text, path_);
  }

 private:
  void release(std::span<const std::byte> part) const {
    if (file_ != nullptr && part.size() >= (std::size_t{1} << 20)) file_->release(part);
  }

  void parse(const SafetensorsLimits& limits) {
    const auto bad = [this](const char* id, const std::string& text) { return error(ErrorKind::format, id, text); };
    const std::string foreign =
        bytes_.size() > 8 && bytes_[8] == std::byte{'{'} ? std::string() : describe_foreign_content(bytes_);
    if (!foreign.empty()) throw bad("safetensors.foreign", concat(foreign, "; expected a safetensors file"));
    if (bytes_.size() < 8)
      throw bad("safetensors.truncated", concat("the file has ", bytes_.size(), " bytes, a header needs at least 8"));
    std::uint64_t header_size = 0;
    std::memcpy(&header_size, bytes_.data(), 8);
    if (header_size > limits.header_bytes)
      throw bad("safetensors.header_size", concat("a header of ", header_size, " bytes, the limit is ",
                                                  limits.header_bytes, " (not a safetensors file?)"));
    if (header_size > bytes_.size() - 8)
      throw bad("safetensors.truncated",
                concat("a header of ", header_size, " bytes, but only ", bytes_.size() - 8, " bytes follow"));
    header_end_ = 8 + static_cast<std::size_t>(header_size);
    const auto* text = reinterpret_cast<const char*>(bytes_.data()) + 8;
    if (std::find(text, text + header_size, '\0') != text + header_size)  // the parser takes it for the end
      throw bad("safetensors.json", "a zero byte in the header, which must be JSON");
    if (header_size == 0 || *text != '{')
      throw bad("safetensors.json", "the header does not start with '{' (not a safetensors file?)");
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
    if (!dtype)
      throw bad("safetensors.dtype",
                concat("unknown dtype ", in_quotes(entry.dtype), ", expected one of ", dtype_names()));
    t.dtype = *dtype;
    // All extents are checked, also behind a zero one: no product of any of them may overflow.
    std::uint64_t elements = 1, nonzero = 1;
    for (const std::uint64_t extent : entry.shape) {
      constexpr std::uint64_t most = std::uint64_t{1} << 60;
      if (extent > most || (extent != 0 && nonzero > most / extent))
        throw bad("safetensors.shape", "the shape has too many elements");
      nonzero *= std::max<std::uint64_t>(extent, 1);
      elements *= extent;
      t.shape.push_back(static_cast<Index>(extent));
    }
    const std::uint64_t begin = entry.offsets[0], end = entry.offsets[1], data = bytes_.size() - header_end_;
    if (begin > end) throw bad("safetensors.offsets", concat("offsets [", begin, ", ", end, "] run backwards"));
    if (end > data)
      throw bad("safetensors.range",
                concat("offsets [", begin, ", ", end, "] reach beyond the ", data, " bytes of data"));
    const std::uint64_t wanted = elements * size_of(t.dtype);
    if (end - begin != wanted)
      throw bad("safetensors.size", concat("shape ", shape_text(t.shape), " of ", to_string(t.dtype), " needs ", wanted,
                                           " bytes, the offsets [", begin, ", ", end, "] hold ", end - begin));
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
    const auto begin_of = [&](std::size_t i) {
      return static_cast<std::size_t>(tensors_[i].bytes.data() - bytes_.data()) - header_end_;
    };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::pair(begin_of(a), tensors_[a].bytes.size()) < std::pair(begin_of(b), tensors_[b].bytes.size());
    });
    std::size_t covered = 0;
    for (const std::size_t i : order) {
      const std::size_t begin = begin_of(i);
      if (begin < covered)
        throw error(ErrorKind::format, "safetensors.overlap",
                    concat("tensor ", in_quotes(tensors_[i].name), " starts at byte ", begin,
                           ", inside the tensor before it, which ends at ", covered));
      if (begin > covered)
        throw error(ErrorKind::format, "safetensors.hole",
                    concat("bytes [", covered, ", ", begin, ") before tensor ", in_quotes(tensors_[i].name),
                           " belong to no tensor"));
      covered = begin + tensors_[i].bytes.size();
    }
    trailing_ = bytes_.size() - header_end_ - covered;
    if (trailing_ != 0 && !limits.allow_trailing_bytes)
      throw error(ErrorKind::format, "safetensors.trailing",
                  concat(trailing_, " bytes after the last tensor belong to no tensor"));
  }

  static std::string dtype_names() {
    return joined(all_dtypes, " ", [](DType type) { return to_string(type); });
  }

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  std::span<const std::byte> bytes_;
  std::size_t header_end_ = 0, trailing_ = 0;
  std::vector<NamedTensor> tensors_;
  std::unordered_map<std::string, std::size_t> index_;
  Metadata metadata_;
};

}  // namespace braing3n::inline BRAING3N_ABI
