// A file mapped into memory, read-only. Pages are read when they are touched, so opening a file of many gigabytes is free.
//
// A file that another process shortens while it is mapped raises SIGBUS on access; the writers of this library never do
// that, they replace whole files by rename.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Full disks, quotas, broken devices and exhausted resources are the environment's fault; everything else is the file's.
inline ErrorKind kind_of_errno(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case EROFS:
      return ErrorKind::environment;
    default:
      return ErrorKind::file;
  }
}

[[noreturn]] inline void fail_errno(int code, const char* id, const std::filesystem::path& path, const char* what) {
  throw Error(kind_of_errno(code), id, concat("cannot ", what, ": ", std::strerror(code)), path.string());
}

/// What cannot be made anew at `path`; a folder that is missing is named, since the file itself is expected to be absent.
[[noreturn]] inline void fail_create(int code, const char* id, const std::filesystem::path& path, const char* what) {
  if (code == ENOENT && path.has_parent_path())
    throw Error(ErrorKind::file, id, concat("cannot ", what, ": no such folder: ", path.parent_path().string()),
                path.string());
  fail_errno(code, id, path, what);
}

/// A file that cannot be opened. A link to nothing is what git-annex leaves of a file that was never downloaded.
[[noreturn]] inline void fail_open(int code, const std::filesystem::path& path) {
  std::error_code ignored;
  if (code == ENOENT && std::filesystem::is_symlink(path, ignored)) {
    const std::string target = std::filesystem::read_symlink(path, ignored).string();
    throw Error(
        ErrorKind::file, "file.link",
        target.find("annex/objects/") != std::string::npos
            ? std::string("a git-annex link whose content was not downloaded (git annex get or datalad get does that)")
            : concat("a link to ", target, ": No such file or directory"),
        path.string());
  }
  fail_errno(code, "file.open", path, "open");
}

}  // namespace detail

/// The path that a chain of links leads to, whether anything is there or not; links among its folders stay.
inline std::filesystem::path link_target(const std::filesystem::path& path) {
  std::filesystem::path at = path;
  std::error_code error;
  for (int links = 0; links < 40 && std::filesystem::is_symlink(at, error); ++links) {
    const std::filesystem::path next = std::filesystem::read_symlink(at, error);
    if (error) break;
    at = at.parent_path() / next;  // an absolute target replaces the folder
  }
  return at;
}

class MappedFile {
 public:
  /// Throws Error (file) when `path` is not a readable regular file.
  explicit MappedFile(const std::filesystem::path& path) {
    const int fd =
        ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // non-blocking: a pipe must not hang the program
    if (path.empty()) throw Error(ErrorKind::argument, "file.name", "an empty file name, expected the path of a file");
    if (fd < 0) detail::fail_open(errno, path);
    struct stat status{};
    const int stat_result = ::fstat(fd, &status);
    const int stat_errno = errno;
    if (stat_result != 0 || !S_ISREG(status.st_mode)) {
      ::close(fd);
      if (stat_result != 0) detail::fail_errno(stat_errno, "file.open", path, "open");
      throw Error(ErrorKind::file, "file.kind",
                  S_ISDIR(status.st_mode) ? "is a folder, expected a file" : "is not a regular file", path.string());
    }
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ > 0) {
      void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
      const int map_errno = errno;
      if (p == MAP_FAILED) {
        ::close(fd);
        detail::fail_errno(map_errno, "file.map", path, "map into memory");
      }
      data_ = static_cast<const std::byte*>(p);
    }
    ::close(fd);
  }
  ~MappedFile() {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
  }
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Gives the memory of `part` back; its bytes are read from the file again when they are touched. Pages count as memory of the
  /// process from the first touch on, so whoever reads a big file once, piece by piece, says so.
  void release(std::span<const std::byte> part) const noexcept {
    const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto first = static_cast<std::size_t>(part.data() - data_) / page * page;
    const std::size_t last = std::min(size_, static_cast<std::size_t>(part.data() - data_) + part.size());
    if (last > first) ::madvise(const_cast<std::byte*>(data_) + first, last - first, MADV_DONTNEED);
  }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

/// The bytes of a whole file as text. Throws what MappedFile throws.
inline std::string read_text(const std::filesystem::path& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace braing3n::inline BRAING3N_ABI
