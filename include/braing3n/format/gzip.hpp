// Reading plain and gzip-compressed files as one stream of bytes, without trusting them.
//
// The compressed file is mapped into memory and inflated straight into the caller's buffer: nothing is ever allocated
// because a file says so. Several gzip members in a row count as one stream. A wrong checksum at the end of otherwise whole
// data is reported (checksum_failed), not thrown; data that cannot be inflated is an error. zlib does the inflating.
#pragma once

#include <zlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <vector>

#include "braing3n/format/mapped_file.hpp"

namespace braing3n::inline BRAING3N_ABI {

class ByteStream {
 public:
  /// Throws Error (file) when the path cannot be read. Whether it is compressed is seen from its first bytes.
  explicit ByteStream(const std::filesystem::path& path) : path_(path), file_(path) {
    const auto bytes = file_.bytes();
    compressed_ = starts_gzip(0);
    if (!compressed_) return;
    z_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
    if (::inflateInit2(&z_, 15 + 16) != Z_OK)
      fail(ErrorKind::environment, "gzip.memory", path.string(), ": no memory to inflate");
  }
  ~ByteStream() {
    if (compressed_) ::inflateEnd(&z_);
  }
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  bool compressed() const { return compressed_; }
  const std::filesystem::path& path() const { return path_; }
  /// Bytes on the disk.
  std::uint64_t file_bytes() const { return file_.bytes().size(); }
  /// No stream can give more bytes than this (deflate needs at least one bit pair per 258 bytes: 1032 to 1).
  std::uint64_t most_bytes() const { return compressed_ ? file_bytes() * 1032 + 1024 : file_bytes(); }
  /// What the last gzip member says about its own length, modulo 2^32.
  std::uint32_t stated_length() const {
    const auto bytes = file_.bytes();
    if (bytes.size() < 4) return 0;
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < 4; ++i)
      length |= std::to_integer<std::uint32_t>(bytes[bytes.size() - 4 + i]) << (8 * i);
    return length;
  }
  /// The whole file, for plain files.
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  /// A checksum or length at the end of a gzip member was wrong.
  bool checksum_failed() const { return checksum_failed_; }
  /// Bytes that follow the last gzip member and are not gzip.
  std::uint64_t trailing_bytes() const { return trailing_; }

  /// Reads up to n bytes; fewer only at the end of the stream. Throws Error (format) for a stream that is cut off or damaged.
  std::size_t read(void* to, std::size_t n) {
    if (!compressed_) {
      const auto bytes = file_.bytes();
      const std::size_t take = std::min<std::size_t>(n, bytes.size() - position_);
      if (take > 0) std::memcpy(to, bytes.data() + position_, take);
      position_ += take;
      return take;
    }
    std::size_t done = 0;
    while (done < n && !ended_) {
      if (z_.avail_in == 0) refill();
      z_.next_out = static_cast<Bytef*>(to) + done;
      z_.avail_out = static_cast<uInt>(std::min<std::size_t>(n - done, std::size_t{1} << 30));
      const uInt room = z_.avail_out;
      const int result = ::inflate(&z_, Z_NO_FLUSH);
      done += room - z_.avail_out;
      if (result == Z_STREAM_END) {
        next_member();
      } else if (result == Z_DATA_ERROR && z_.msg != nullptr &&
                 (std::strcmp(z_.msg, "incorrect data check") == 0 ||
                  std::strcmp(z_.msg, "incorrect length check") == 0)) {
        checksum_failed_ = true;  // found after the last byte of the member
        ended_ = true;
      } else if (result != Z_OK && !(result == Z_BUF_ERROR && input_left() > 0)) {
        if (result == Z_MEM_ERROR)
          fail(ErrorKind::environment, "gzip.memory", path_.string(), ": no memory to inflate");
        if (result == Z_DATA_ERROR || result == Z_NEED_DICT)
          throw Error(ErrorKind::format, "gzip.corrupt",
                      concat("the gzip stream is damaged after ", position_ + done, " bytes (",
                             z_.msg != nullptr ? z_.msg : "wrong data", ")"),
                      path_.string());
        throw Error(ErrorKind::format, "gzip.truncated",
                    concat("the gzip stream ends too early, after ", position_ + done, " bytes: the file is cut off"),
                    path_.string());
      }
    }
    position_ += done;
    return done;
  }

  /// Passes over n bytes; returns how many there were.
  std::uint64_t skip(std::uint64_t n) {
    if (!compressed_) {
      const std::uint64_t take = std::min<std::uint64_t>(n, file_bytes() - position_);
      position_ += static_cast<std::size_t>(take);
      return take;
    }
    std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(n, std::uint64_t{1} << 18)));
    std::uint64_t done = 0;
    while (done < n) {
      const std::size_t got =
          read(buffer.data(), static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), n - done)));
      if (got == 0) break;
      done += got;
    }
    return done;
  }

 private:
  bool starts_gzip(std::size_t at) const {
    const auto bytes = file_.bytes();
    return bytes.size() >= at + 2 && bytes[at] == std::byte{0x1f} && bytes[at + 1] == std::byte{0x8b};
  }
  // zlib counts in 32 bits: longer files are fed in pieces.
  std::size_t consumed() const {
    return static_cast<std::size_t>(reinterpret_cast<const std::byte*>(z_.next_in) - file_.bytes().data());
  }
  std::size_t input_left() const { return file_.bytes().size() - consumed(); }
  void refill() { z_.avail_in = static_cast<uInt>(std::min<std::size_t>(input_left(), std::size_t{1} << 30)); }

  void next_member() {
    if (input_left() == 0 || !starts_gzip(consumed())) {
      trailing_ = input_left();
      ended_ = true;
      return;
    }
    ::inflateReset(&z_);
    refill();
  }

  std::filesystem::path path_;
  MappedFile file_;
  bool compressed_ = false, ended_ = false, checksum_failed_ = false;
  std::uint64_t trailing_ = 0;
  std::size_t position_ = 0;
  z_stream z_{};
};

}  // namespace braing3n::inline BRAING3N_ABI
