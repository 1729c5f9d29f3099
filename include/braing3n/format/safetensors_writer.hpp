// Writing safetensors files: streamed into a temporary name, with a checksum of the whole file in the metadata on request.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/format/checksum.hpp"
#include "braing3n/format/safetensors_header.hpp"

namespace braing3n::inline BRAING3N_ABI {

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
    const auto add = [&](const std::string& name, const Json& value) {
      text += (text.empty() ? "{" : ",") + json_dump(name) + ":" + json_dump(value);
    };
    if (!metadata.empty()) add(detail::metadata_key, Json(metadata));
    std::unordered_set<std::string> seen;
    for (const NamedTensor& t : tensors) {
      if (t.name.empty() || t.name == detail::metadata_key || !seen.insert(t.name).second)
        fail(ErrorKind::argument, "safetensors.name", path.string(), ": safetensors: tensor name ", in_quotes(t.name),
             " is empty, reserved or used twice");
      std::uint64_t elements = 1;
      for (const Index extent : t.shape) {
        if (extent < 0 || (extent > 0 && elements > (std::uint64_t{1} << 60) / static_cast<std::uint64_t>(extent)))
          fail(ErrorKind::shape, "safetensors.shape", path.string(), ": safetensors: tensor ", in_quotes(t.name),
               " has shape ", shape_text(t.shape));
        elements *= static_cast<std::uint64_t>(extent);
      }
      const std::uint64_t end = expected_ + elements * size_of(t.dtype);
      add(t.name, {{"dtype", to_string(t.dtype)}, {"shape", t.shape}, {"data_offsets", {expected_, end}}});
      expected_ = end;
    }
    text += text.empty() ? "{}" : "}";
    text.append((8 - text.size() % 8) % 8, ' ');  // data starts at a multiple of 8
    if (checksum)
      checksum_at_ = 8 + text.find(concat('"', detail::checksum_key, "\":\"", detail::checksum_zero, '"')) +
                     std::strlen(detail::checksum_key) + 4;
    const std::uint64_t size = text.size();
    put(std::as_bytes(std::span<const std::uint64_t>(&size, 1)));
    put(std::as_bytes(std::span<const char>(text.data(), text.size())));
    expected_ += 8 + size;
  }

  void append(std::span<const std::byte> bytes) {
    if (bytes.size() > expected_ - file_.size())
      fail(ErrorKind::argument, "safetensors.size", file_.path().string(),
           ": safetensors: more data than the header announces");
    put(bytes);
  }

  void finish() {
    if (file_.size() != expected_)
      fail(ErrorKind::argument, "safetensors.size", file_.path().string(), ": safetensors: ", expected_ - file_.size(),
           " announced bytes were not written");
    if (checksum_) file_.rewrite(checksum_at_, crc_.hex());
    file_.commit();
  }

 private:
  std::string json_dump(const Json& value) const {
    try {
      return value.dump();
    } catch (const nlohmann::json::exception& e) {  // a name or a value that is not UTF-8
      fail(ErrorKind::argument, "safetensors.name", file_.path().string(),
           ": safetensors: ", detail::plain_json_message(e.what()));
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
inline void write_safetensors(const std::filesystem::path& path, std::span<const NamedTensor> tensors,
                              const Metadata& metadata = {}, const WriteOptions& options = {}, bool checksum = false) {
  for (const NamedTensor& t : tensors) {
    // In unsigned arithmetic modulo 2^64; the writer checks for overflow itself.
    std::uint64_t elements = 1;
    for (const Index extent : t.shape) elements *= static_cast<std::uint64_t>(extent);
    if (elements * size_of(t.dtype) != t.bytes.size())
      fail(ErrorKind::shape, "safetensors.size", path.string(), ": safetensors: tensor ", in_quotes(t.name), " ",
           shape_text(t.shape), " of ", to_string(t.dtype), " came with ", t.bytes.size(), " bytes");
  }
  std::vector<NamedTensor> sorted;
  for (const std::size_t width : {8u, 4u, 2u, 1u})
    std::copy_if(tensors.begin(), tensors.end(), std::back_inserter(sorted),
                 [width](const NamedTensor& t) { return size_of(t.dtype) == width; });
  SafetensorsWriter writer(path, sorted, metadata, options, checksum);
  for (const NamedTensor& t : sorted) writer.append(t.bytes);
  writer.finish();
}

}  // namespace braing3n::inline BRAING3N_ABI
