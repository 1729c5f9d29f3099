// What tells whether the file of a scan is still the one that something was made from: size and time, and its checksum where these
// leave a doubt.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>

#include "braing3n/format/checksum.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/volume/nifti/file.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct FileStamp {
  std::int64_t bytes = -1;    // -1: unknown
  std::int64_t time_ns = 0;   // of the last change, since 1970
  std::int64_t checksum = 0;  // CRC-32 of the content

  bool known() const { return bytes >= 0; }
};

namespace detail {

/// The files of a scan: one, or the two of a .hdr/.img pair.
inline std::set<std::filesystem::path> files_of_scan(const std::filesystem::path& path) {
  const NiftiPaths pair = nifti_paths(path);
  return {pair.header, pair.voxels};
}

/// Size and time alone; nothing when a file is not there.
inline std::optional<FileStamp> size_and_time(const std::filesystem::path& path) {
  FileStamp stamp{0, 0, 0};
  for (const auto& file : files_of_scan(path)) {
    struct stat status{};
    if (::stat(file.c_str(), &status) != 0) return std::nullopt;
    stamp.bytes += status.st_size;
    stamp.time_ns = std::max<std::int64_t>(
        stamp.time_ns, std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec);
  }
  return stamp;
}

inline std::int64_t content_checksum(const std::filesystem::path& path) {
  Crc32 crc;
  for (const auto& part : files_of_scan(path)) {
    const MappedFile file(part);
    crc.update(file.bytes());
  }
  return crc.value();
}

}  // namespace detail

/// Reads the file once. Throws Error (file) when it cannot be read.
inline FileStamp file_stamp(const std::filesystem::path& path) {
  const auto stamp = detail::size_and_time(path);
  if (!stamp) detail::fail_open(ENOENT, path);
  return {stamp->bytes, stamp->time_ns, detail::content_checksum(path)};
}

enum class FileChange { unchanged, changed, gone };

/// Whether the scan at `path` still has the content of `before`. A file of the same size and time is taken for unchanged; one with another
/// time, a copy for example, is read.
inline FileChange file_change(const std::filesystem::path& path, const FileStamp& before) {
  const auto now = detail::size_and_time(path);
  if (!now) return FileChange::gone;
  if (now->bytes != before.bytes) return FileChange::changed;
  if (now->time_ns == before.time_ns) return FileChange::unchanged;
  return detail::content_checksum(path) == before.checksum ? FileChange::unchanged : FileChange::changed;
}

}  // namespace braing3n::inline BRAING3N_ABI
