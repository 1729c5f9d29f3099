// Writing a file so that its name always means a whole one.
//
// Bytes go to a temporary file in the same folder; commit() flushes it to the disk, renames it and flushes the folder. What
// was under the name before stays until then. An object that is destroyed without commit() removes its temporary file. A
// killed process cannot, so every temporary file is locked by its writer, and the next writer of the same name removes
// those whose lock is free. What is no regular file, a pipe or /dev/stdout, has no name to protect: bytes go there as they come.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/format/checksum.hpp"
#include "braing3n/format/mapped_file.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct WriteOptions {
  bool overwrite = false;      // false: a name that exists is an error, at the start and again at commit()
  bool keep_previous = false;  // what was under the name stays as NAME.previous; implies overwrite
  bool durable = true;         // wait until the bytes are on the disk
};

/// Where keep_previous leaves the older file.
inline std::filesystem::path previous_path(const std::filesystem::path& path) {
  std::filesystem::path previous = path;
  previous += ".previous";
  return previous;
}

/// Standard output by name, pipes and devices: what is written there cannot be replaced or read back.
inline bool is_stream(const std::filesystem::path& path) {
  const std::string name = path.string();
  if (name == "/dev/stdout" || name == "/dev/stderr" || name.starts_with("/dev/fd/") ||
      name.starts_with("/proc/self/fd/"))
    return true;
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

class AtomicFile {
 public:
  /// Throws Error (file) when the folder is missing, not writable, or the name exists and options forbid to replace it.
  explicit AtomicFile(const std::filesystem::path& path, const WriteOptions& options = {})
      : path_(path), options_(options) {
    std::error_code ignored;
    if (path_.empty())
      throw Error(ErrorKind::argument, "file.name", "an empty file name, expected the name of a file to write");
    buffer_.reserve(buffer_bytes);
    if (is_stream(path_)) {
      direct_ = true;
      fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
      if (fd_ < 0) detail::fail_errno(errno, "file.create", path_, "open for writing");
      return;
    }
    path_ = link_target(path_);  // write through links
    folder_ = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
    if (path_.filename().empty() || std::filesystem::is_directory(path_, ignored))
      throw Error(ErrorKind::file, "file.kind", "is a folder, expected the name of a file to write", path_.string());
    if (!replaces()) require_absent();
    remove_abandoned();
    open_temporary();
  }
  ~AtomicFile() { discard(); }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::size_t size() const { return size_; }

  void write(std::span<const std::byte> bytes) {
    if (fd_ < 0) fail(ErrorKind::state, "file.committed", path_.string(), ": written after commit");
    size_ += bytes.size();
    if (buffer_.size() + bytes.size() < buffer_bytes) {
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
      return;
    }
    flush();
    if (bytes.size() < buffer_bytes) buffer_.assign(bytes.begin(), bytes.end());
    else write_all(bytes, -1);
  }
  void write(std::string_view text) { write(std::as_bytes(std::span<const char>(text.data(), text.size()))); }

  /// Replaces bytes written before (a checksum that is known only at the end).
  void rewrite(std::size_t offset, std::string_view text) {
    if (offset + text.size() > size_)
      fail(ErrorKind::argument, "file.rewrite", path_.string(), ": rewrite beyond the bytes written");
    if (direct_)
      throw Error(ErrorKind::argument, "file.stream",
                  "this format goes back to bytes that are written already, which a pipe or device cannot; expected a "
                  "file name",
                  path_.string());
    flush();
    write_all(std::as_bytes(std::span<const char>(text.data(), text.size())), static_cast<off_t>(offset));
  }

  /// Makes the file appear under its name.
  void commit() {
    if (fd_ < 0) fail(ErrorKind::state, "file.committed", path_.string(), ": committed twice");
    flush();
    if (direct_) {
      ::close(fd_);
      fd_ = -1;
      return;
    }
    if (options_.durable && ::fsync(fd_) != 0) detail::fail_errno(errno, "file.write", path_, "write");
    if (options_.keep_previous) rotate();
    if (replaces()) {
      if (::rename(temporary_.c_str(), path_.c_str()) != 0)
        detail::fail_errno(errno, "file.rename", path_, "rename the finished file");
    } else {
      rename_without_replacing();
    }
    temporary_.clear();
    ::close(fd_);
    fd_ = -1;
    if (options_.durable) sync_folder();
  }

 private:
  static constexpr std::size_t buffer_bytes = std::size_t{1} << 18;
  static constexpr std::string_view suffix = ".part";

  bool replaces() const { return options_.overwrite || options_.keep_previous; }

  void require_absent() const {
    struct stat status{};
    if (::lstat(path_.c_str(), &status) == 0)
      throw Error(ErrorKind::file, "file.exists", "exists already; nothing was overwritten", path_.string());
  }

  std::string prefix() const { return "." + path_.filename().string() + "."; }

  void open_temporary() {
    static std::atomic<unsigned> counter{0};
    for (int attempt = 0; attempt < 1000; ++attempt) {
      temporary_ = folder_ / concat(prefix(), ::getpid(), ".", counter.fetch_add(1), suffix);
      fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (fd_ < 0 && errno == EEXIST) continue;
      if (fd_ < 0) {
        const int code = errno;
        temporary_.clear();
        detail::fail_create(code, "file.create", path_, "create");
      }
      // Between creation and lock another writer may take the file for an abandoned one; then there is a next name.
      struct stat status{};
      const bool locked = ::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno == ENOLCK || errno == EOPNOTSUPP;
      if (locked && ::fstat(fd_, &status) == 0 && status.st_nlink > 0) return;
      discard();
    }
    throw Error(ErrorKind::file, "file.create", "cannot create a temporary file beside it", path_.string());
  }

  void remove_abandoned() const {
    DIR* folder = ::opendir(folder_.c_str());
    if (folder == nullptr) return;  // open_temporary() says what is wrong with the folder
    const std::string start = prefix();
    while (const dirent* entry = ::readdir(folder)) {
      const std::string_view name = entry->d_name;
      if (!name.starts_with(start) || !name.ends_with(suffix) || name.size() < start.size() + suffix.size()) continue;
      const std::string_view middle = name.substr(start.size(), name.size() - start.size() - suffix.size());
      if (middle.find_first_not_of("0123456789.") != std::string_view::npos) continue;
      const std::filesystem::path abandoned = folder_ / name;
      const int fd = ::open(abandoned.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
      if (fd < 0) continue;
      if (::flock(fd, LOCK_EX | LOCK_NB) == 0) ::unlink(abandoned.c_str());
      ::close(fd);
    }
    ::closedir(folder);
  }

  void flush() {
    if (!buffer_.empty()) write_all(buffer_, -1);
    buffer_.clear();
  }

  void write_all(std::span<const std::byte> bytes, off_t offset) {
    while (!bytes.empty()) {
      const std::size_t piece = std::min(bytes.size(), std::size_t{1} << 30);
      const ssize_t done = offset < 0 ? ::write(fd_, bytes.data(), piece) : ::pwrite(fd_, bytes.data(), piece, offset);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) detail::fail_errno(done < 0 ? errno : ENOSPC, "file.write", path_, "write");
      bytes = bytes.subspan(static_cast<std::size_t>(done));
      if (offset >= 0) offset += done;
    }
  }

  /// A second name for the old file, so that at every moment the name itself exists.
  void rotate() const {
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(path_, ignored)) return;
    const std::filesystem::path previous = previous_path(path_);
    std::string name = temporary_.string();
    const std::filesystem::path linked =
        name.insert(name.size() - suffix.size(), ".0");  // named like what remove_abandoned() looks for
    if (::link(path_.c_str(), linked.c_str()) == 0) {
      if (::rename(linked.c_str(), previous.c_str()) != 0) {
        const int code = errno;
        ::unlink(linked.c_str());
        detail::fail_errno(code, "file.rename", previous, "keep the previous file");
      }
      ::unlink(linked.c_str());  // rename() of two names of one file is defined to do nothing
    } else if (::rename(path_.c_str(), previous.c_str()) != 0) {  // a file system without hard links
      detail::fail_errno(errno, "file.rename", previous, "keep the previous file");
    }
  }

  void rename_without_replacing() const {
    if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE) == 0) return;
    if (errno == EINVAL || errno == ENOSYS) {  // a file system that cannot: a hard link refuses to replace as well
      if (::link(temporary_.c_str(), path_.c_str()) == 0) {
        ::unlink(temporary_.c_str());
        return;
      }
      if (errno == EPERM || errno == EOPNOTSUPP) {
        require_absent();
        if (::rename(temporary_.c_str(), path_.c_str()) == 0) return;
      }
    }
    if (errno == EEXIST)
      throw Error(ErrorKind::file, "file.exists", "exists already; nothing was overwritten", path_.string());
    detail::fail_errno(errno, "file.rename", path_, "rename the finished file");
  }

  void sync_folder() const {
    const int fd = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    ::fsync(fd);  // some file systems have no such operation; the rename itself is done
    ::close(fd);
  }

  void discard() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
    temporary_.clear();
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  std::filesystem::path path_, folder_, temporary_;
  WriteOptions options_;
  std::vector<std::byte> buffer_;
  std::size_t size_ = 0;
  int fd_ = -1;
  bool direct_ = false;  // into a pipe or device
};

/// Makes a folder and those above it. Throws Error: file (permission denied, a file is in the way), environment (read-only file system).
inline void make_folder(const std::filesystem::path& folder) {
  if (folder.empty())
    throw Error(ErrorKind::argument, "folder.name", "an empty folder name, expected the name of a folder");
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && std::filesystem::is_directory(folder, error)) return;
  if (!error || error == std::errc::not_a_directory || error == std::errc::file_exists)
    throw Error(ErrorKind::file, "folder.create", "cannot make the folder: a file is in the way", folder.string());
  const int code = error.value() == EPERM ? EACCES : error.value();  // kernel file systems say it so
  detail::fail_errno(code, "folder.create", folder, "make the folder");
}
/// The folder in which a file is to be written.
inline void make_folder_of(const std::filesystem::path& file) {
  if (file.has_parent_path()) make_folder(file.parent_path());
}

/// A whole file at once. Throws what AtomicFile throws.
inline void write_text(const std::filesystem::path& path, std::string_view text, const WriteOptions& options = {}) {
  AtomicFile file(path, options);
  file.write(text);
  file.commit();
}

}  // namespace braing3n::inline BRAING3N_ABI
