// NumPy archives (.npz): a zip of .npy arrays, stored or deflated, also beyond 4 GB. Every size is checked before memory is asked
// for, and what comes out is compared with its checksum. Format: PKWARE APPNOTE 6.3.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/checksum.hpp"
#include "braing3n/format/foreign_content.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/format/npy.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct NpzLimits {
  std::size_t entries = 100'000;
  std::size_t entry_bytes = std::size_t{16} << 30;  // one array, unpacked
};

class NpzFile {
 public:
  /// Throws Error: file, format (not a zip, encrypted, sizes that cannot be).
  explicit NpzFile(const std::filesystem::path& path, const NpzLimits& limits = {})
      : path_(path.string()), file_(std::make_shared<const MappedFile>(path)), bytes_(file_->bytes()) {
    parse(limits);
  }
  NpzFile(std::span<const std::byte> bytes, std::string label, const NpzLimits& limits = {})
      : path_(std::move(label)), bytes_(bytes) {
    parse(limits);
  }

  /// Array names without ".npy".
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }
  bool contains(const std::string& name) const { return entries_.contains(name); }

  NpyArray array(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end())
      throw bad("npz.missing", concat("no array ", in_quotes(name), did_you_mean(name, names())));
    const Entry& entry = found->second;
    const std::string label = path_ + ": " + name;
    std::span<const std::byte> data = entry.data;
    std::shared_ptr<const void> owner = file_;
    if (entry.deflated) {
      auto unpacked = std::make_shared<const std::vector<std::byte>>(inflated(entry, name));
      data = *unpacked;
      owner = unpacked;
    }
    if (crc32_of(data) != entry.crc)
      throw bad("npz.checksum", concat("array ", in_quotes(name), " is damaged (checksum)"));
    return NpyArray(data, label, owner);
  }

 private:
  struct Entry {
    std::span<const std::byte> data;
    std::uint64_t size = 0;
    std::uint32_t crc = 0;
    bool deflated = false;
  };

  Error bad(const char* id, const std::string& text) const {
    return Error(ErrorKind::format, id, "npz: " + text, path_);
  }

  std::uint64_t number(std::uint64_t at, std::size_t width) const {
    if (at > bytes_.size() || width > bytes_.size() - at)
      throw bad("npz.truncated", "an entry reaches beyond the file");
    std::uint64_t value = 0;
    std::memcpy(&value, bytes_.data() + at, width);
    return value;
  }

  Error not_a_zip() const {
    const std::string foreign = describe_foreign_content(bytes_);
    return bad("npz.magic", concat("not a whole zip file", foreign.empty() ? "" : ": it is ", foreign));
  }

  void parse(const NpzLimits& limits) {
    if (bytes_.size() < 22) throw not_a_zip();
    // The end record is followed by a comment of at most 65535 bytes.
    std::uint64_t end = bytes_.size() - 22;
    const std::uint64_t first = end > 65535 ? end - 65535 : 0;
    while (number(end, 4) != 0x06054b50 || number(end + 20, 2) != bytes_.size() - end - 22) {
      if (end == first) throw not_a_zip();
      --end;
    }
    std::uint64_t count = number(end + 10, 2), size = number(end + 12, 4), start = number(end + 16, 4);
    if (number(end + 4, 2) != number(end + 6, 2)) throw bad("npz.volumes", "a zip in several parts");
    std::uint64_t directory_end = end;
    if (count == 0xffff || size == 0xffffffff || start == 0xffffffff) {
      if (end < 20 || number(end - 20, 4) != 0x07064b50) throw bad("npz.truncated", "the zip64 end record is missing");
      const std::uint64_t end64 = number(end - 12, 8);
      if (number(end64, 4) != 0x06064b50) throw bad("npz.truncated", "the zip64 end record is missing");
      count = number(end64 + 32, 8);
      size = number(end64 + 40, 8);
      start = number(end64 + 48, 8);
      directory_end = end64;
    }
    if (count > limits.entries) throw bad("npz.count", concat(count, " entries, the limit is ", limits.entries));
    if (start > directory_end || size > directory_end - start)
      throw bad("npz.truncated", "the directory reaches beyond the file");
    std::uint64_t at = start;
    for (std::uint64_t i = 0; i < count; ++i) at = add(at, start, limits);
    if (at != start + size) throw bad("npz.directory", "the directory has another size than it states");
  }

  std::uint64_t add(std::uint64_t at, std::uint64_t directory, const NpzLimits& limits) {
    if (number(at, 4) != 0x02014b50) throw bad("npz.directory", "a directory entry is damaged");
    const std::uint64_t flags = number(at + 8, 2), method = number(at + 10, 2);
    const std::uint64_t name_size = number(at + 28, 2), extra_size = number(at + 30, 2),
                        comment_size = number(at + 32, 2);
    std::uint64_t packed = number(at + 20, 4), size = number(at + 24, 4), local = number(at + 42, 4);
    number(at + 46, static_cast<std::size_t>(0));
    if (name_size + extra_size + comment_size > bytes_.size() - at - 46)
      throw bad("npz.truncated", "an entry reaches beyond the file");
    std::string name(reinterpret_cast<const char*>(bytes_.data()) + at + 46, name_size);
    zip64(at + 46 + name_size, extra_size, size, packed, local);
    if ((flags & 1) != 0) throw bad("npz.encrypted", concat("entry ", in_quotes(name), " is encrypted"));
    if (method != 0 && method != 8)
      throw bad("npz.method",
                concat("entry ", in_quotes(name), " is packed by method ", method, ", expected stored or deflated"));
    if (number(local, 4) != 0x04034b50)
      throw bad("npz.entry", concat("entry ", in_quotes(name), ": its header is damaged"));
    const std::uint64_t data = local + 30 + number(local + 26, 2) + number(local + 28, 2);
    if (data > directory || packed > directory - data)
      throw bad("npz.truncated", concat("entry ", in_quotes(name), " reaches beyond the file"));
    if (size > limits.entry_bytes)
      throw bad("npz.size",
                concat("entry ", in_quotes(name), " unpacks to ", size, " bytes, the limit is ", limits.entry_bytes));
    // Deflate cannot do better than 1032 to 1: a larger claim is a lie, and the limit on what is allocated.
    if (method == 0 ? size != packed : size / 1032 > packed)
      throw bad("npz.size", concat("entry ", in_quotes(name), " of ", packed, " bytes cannot unpack to ", size));
    if (name.ends_with(".npy")) name.resize(name.size() - 4);
    Entry entry{bytes_.subspan(data, packed), size, static_cast<std::uint32_t>(number(at + 16, 4)), method == 8};
    if (!entries_.emplace(name, entry).second)
      throw bad("npz.duplicate", concat("array ", in_quotes(name), " appears twice"));
    return at + 46 + name_size + extra_size + comment_size;
  }

  /// Fields that read 0xffffffff stand in the zip64 extra field, in this order.
  void zip64(std::uint64_t at, std::uint64_t extra, std::uint64_t& size, std::uint64_t& packed,
             std::uint64_t& local) const {
    const std::uint64_t end = at + extra;
    while (end - at >= 4) {
      const std::uint64_t id = number(at, 2), length = number(at + 2, 2);
      at += 4;
      if (length > end - at) return;
      if (id == 1) {
        std::uint64_t field = at;
        for (std::uint64_t* value : {&size, &packed, &local}) {
          if (*value != 0xffffffff) continue;
          if (field + 8 > at + length) throw bad("npz.directory", "a zip64 field is too short");
          *value = number(field, 8);
          field += 8;
        }
        return;
      }
      at += length;
    }
  }

  std::vector<std::byte> inflated(const Entry& entry, const std::string& name) const {
    z_stream stream{};
    if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK)
      fail(ErrorKind::environment, "npz.inflate", path_, ": npz: zlib cannot start");
    const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, ::inflateEnd);
    // Memory grows with what really comes out, so a false size costs nothing.
    std::vector<std::byte> out;
    std::size_t consumed = 0;
    int status = Z_OK;
    while (status == Z_OK) {
      if (stream.avail_in == 0 && consumed < entry.data.size()) {
        const std::size_t piece = std::min<std::size_t>(entry.data.size() - consumed, std::size_t{1} << 30);
        stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(entry.data.data() + consumed));
        stream.avail_in = static_cast<uInt>(piece);
        consumed += piece;
      }
      const std::size_t before = out.size();
      const std::size_t room =
          std::min<std::size_t>(std::max<std::size_t>(before, std::size_t{1} << 16), std::size_t{1} << 28);
      const std::size_t wanted = static_cast<std::size_t>(
          std::min<std::uint64_t>(room, entry.size - before + 1));  // one more shows an overflow
      out.resize(before + wanted);
      stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
      stream.avail_out = static_cast<uInt>(wanted);
      status = ::inflate(&stream, Z_NO_FLUSH);
      out.resize(before + wanted - stream.avail_out);
      if (out.size() > entry.size) break;
    }
    if (status != Z_STREAM_END || out.size() != entry.size)
      throw bad("npz.inflate", concat("array ", in_quotes(name), " is damaged: ", out.size(), " of ", entry.size,
                                      " bytes could be unpacked"));
    return out;
  }

  std::string path_;
  std::shared_ptr<const MappedFile> file_;
  std::span<const std::byte> bytes_;
  std::map<std::string, Entry> entries_;
};

}  // namespace braing3n::inline BRAING3N_ABI
