// A lock on a file or folder that one process writes, so that a second one refuses in place of losing the rows of the first.
//
// The lock is a file beside the name (".NAME.lock"), or ".braing3n.lock" in a folder, that says which process on which host holds it.
// The holder keeps it locked (flock), so a lock that a killed process left is known by being free, and is taken over. A file that
// another host wrote cannot be judged from here: it is named and stays.
#pragma once

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/format/atomic_file.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Who holds a lock.
struct LockOwner {
  std::string host;
  long pid = 0;
  std::string since;  // local time
};

/// The name of this machine.
inline std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string("unknown");
}

/// Where the lock of a file or an existing folder lies.
inline std::filesystem::path lock_path(const std::filesystem::path& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return path / ".braing3n.lock";
  const std::filesystem::path target = link_target(path);  // all names of a file have one lock
  return target.parent_path() / ("." + target.filename().string() + ".lock");
}

class FileLock {
 public:
  FileLock() = default;
  /// Throws Error: file (another process holds it, the folder is missing or not writable), environment. Devices and pipes have no lock.
  explicit FileLock(const std::filesystem::path& path) : path_(lock_path(path)) {
    struct stat status{};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return;
    for (int attempt = 0; attempt < 1000; ++attempt) {
      if (try_once(path)) return;
    }
    throw Error(ErrorKind::file, "lock.busy", "cannot be locked: other processes come and go", path.string());
  }
  ~FileLock() { release(); }
  FileLock(FileLock&& other) noexcept
      : path_(std::move(other.path_)), made_(std::move(other.made_)), fd_(std::exchange(other.fd_, -1)) {
    other.made_.clear();
  }
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(made_, other.made_);
    std::swap(fd_, other.fd_);
    return *this;
  }

  bool held() const { return fd_ >= 0; }
  /// The lock file.
  const std::filesystem::path& path() const { return path_; }
  void swap_made(FileLock& other) { std::swap(made_, other.made_); }
  /// Folders that were made for the result go again if nothing came into them; the deepest first.
  void remove_if_empty(std::vector<std::filesystem::path> folders) { made_ = std::move(folders); }
  void release() noexcept {
    if (fd_ >= 0) {
      ::unlink(path_.c_str());  // while it is still locked: nobody else can own it
      ::close(fd_);
    }
    fd_ = -1;
    for (const auto& folder : made_)
      if (::rmdir(folder.c_str()) != 0) break;  // not empty
    made_.clear();
  }

 private:
  /// False: the lock file vanished in between, to be tried again.
  bool try_once(const std::filesystem::path& path) {
    int fd = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const bool created = fd >= 0;
    if (!created && errno == EEXIST) fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
      const int code = errno;
      std::error_code ignored;
      if (code == ENOENT && std::filesystem::exists(path_.has_parent_path() ? path_.parent_path() : ".", ignored))
        return false;  // released just now
      detail::fail_create(code, "lock.create", path_, "write the lock");
    }
    struct stat opened{}, named{};
    const bool flocked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    const bool no_flock = !flocked && errno != EWOULDBLOCK && errno != EINTR;
    const bool same = ::fstat(fd, &opened) == 0 && ::lstat(path_.c_str(), &named) == 0 &&
                      opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    const LockOwner owner = read_owner(fd);
    const bool here = owner.host.empty() || owner.host == host_name();
    const bool alive =
        no_flock && here && owner.pid > 0 && (::kill(static_cast<pid_t>(owner.pid), 0) == 0 || errno == EPERM);
    if (same && !created && (!here || alive || (!flocked && !no_flock))) {
      ::close(fd);
      refuse(path, owner, here);
    }
    if (!same || (!flocked && !no_flock)) {
      ::close(fd);
      return false;
    }
    write_owner(fd);
    fd_ = fd;
    return true;
  }

  [[noreturn]] void refuse(const std::filesystem::path& path, const LockOwner& owner, bool here) const {
    const std::string since = owner.since.empty() ? "" : " since " + owner.since;
    if (owner.pid == 0)
      throw Error(ErrorKind::file, "lock.held", "another process writes it; wait for it, or choose another name",
                  path.string());
    if (here)
      throw Error(ErrorKind::file, "lock.held",
                  owner.pid == static_cast<long>(::getpid())
                      ? std::string("this process writes it already")
                      : concat("process ", owner.pid, " of this host (", owner.host, ") writes it", since,
                               "; wait for it, or choose another name"),
                  path.string());
    throw Error(ErrorKind::file, "lock.other_host",
                concat("process ", owner.pid, " of host ", owner.host, " writes it", since,
                       "; if that process is gone, remove the lock ", path_.string()),
                path.string());
  }

  static LockOwner read_owner(int fd) {
    std::array<char, 1024> buffer{};
    const ssize_t got = ::pread(fd, buffer.data(), buffer.size() - 1, 0);
    std::string_view text(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
    LockOwner owner;
    const auto take = [&](std::string_view key) {
      const std::size_t at = text.find(key);
      if (at == std::string_view::npos) return std::string();
      const std::string_view rest = text.substr(at + key.size());
      std::string value(rest.substr(0, rest.find('\n')));
      for (char& c : value)  // a lock file is not trusted with the terminal
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
      return value;
    };
    owner.host = take("host ");
    owner.since = take("since ");
    for (const char c : take("pid "))
      if (c >= '0' && c <= '9' && owner.pid < 100'000'000) owner.pid = owner.pid * 10 + (c - '0');
    return owner;
  }

  void write_owner(int fd) const {
    std::array<char, 32> time{};
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    ::localtime_r(&now, &local);
    std::strftime(time.data(), time.size(), "%Y-%m-%d %H:%M:%S", &local);
    const std::string text =
        concat("host ", host_name(), "\npid ", static_cast<long>(::getpid()), "\nsince ", time.data(), "\n");
    if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      const int code = errno;
      ::unlink(path_.c_str());
      ::close(fd);
      detail::fail_errno(code, "lock.create", path_, "write the lock");
    }
  }

  std::filesystem::path path_;
  std::vector<std::filesystem::path> made_;
  int fd_ = -1;
};

namespace detail {

/// make_folder(); returns the folders that were not there before, the deepest first.
inline std::vector<std::filesystem::path> make_missing_folders(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> missing;
  std::error_code ignored;
  for (std::filesystem::path at = folder.lexically_normal(); !at.empty() && !std::filesystem::exists(at, ignored);
       at = at.parent_path()) {
    if (!at.filename().empty()) missing.push_back(at);
    if (at == at.parent_path()) break;
  }
  make_folder(folder);
  return missing;
}

inline FileLock lock_made(const std::filesystem::path& path, std::vector<std::filesystem::path> made) {
  FileLock lock;
  lock.remove_if_empty(std::move(made));
  FileLock held(path);
  held.swap_made(lock);
  return held;
}

}  // namespace detail

/// Makes a folder for results and locks it. Throws Error: file (another process writes there, permission denied), environment.
inline FileLock lock_folder(const std::filesystem::path& folder) {
  return detail::lock_made(folder, detail::make_missing_folders(folder));
}

/// Locks a file that is to be written and makes the folder that it is to lie in. Throws as lock_folder().
inline FileLock lock_file(const std::filesystem::path& file) {
  return detail::lock_made(file, file.has_parent_path() ? detail::make_missing_folders(file.parent_path())
                                                        : std::vector<std::filesystem::path>{});
}

}  // namespace braing3n::inline BRAING3N_ABI
