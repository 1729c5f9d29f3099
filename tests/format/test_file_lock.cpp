#include "braing3n/format/file_lock.hpp"

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>

#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A process of its own that locks `path` and waits to be killed.
pid_t hold_in_child(const std::filesystem::path& path) {
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    try {
      const FileLock lock(path);
      (void)!::write(ready[1], "x", 1);
      for (;;) ::pause();
    } catch (...) {
      ::_exit(1);
    }
  }
  ::close(ready[1]);
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::close(ready[0]);
  return child;
}

}  // namespace

TEST_CASE("lock: one holder, gone when it goes") {
  const ScratchFolder folder;
  const auto file = folder / "features.safetensors";
  {
    const FileLock lock(file);
    CHECK(lock.held());
    CHECK(
        says(content_of(lock_path(file)), concat("host ", host_name(), "\npid ", static_cast<long>(::getpid()), "\n")));
    const Error e = error_of([&] { FileLock{file}; });
    CHECK(e.id() == "lock.held");
    CHECK(says(e.what(), "this process writes it already"));
    CHECK_NOTHROW(FileLock{folder / "other.safetensors"});
  }
  CHECK(folder.files() == 0);
  try {
    const FileLock lock(file);
    throw Error(ErrorKind::numeric, "test", "test");
  } catch (const Error&) {
  }
  CHECK(folder.files() == 0);
  FileLock first(file), second;
  second = std::move(first);
  CHECK_FALSE(first.held());
  CHECK(error_of([&] { FileLock{file}; }).id() == "lock.held");
  second.release();
  CHECK(folder.files() == 0);
}

TEST_CASE("lock: another process is named; what it leaves when killed is taken over") {
  const ScratchFolder folder;
  const auto file = folder / "features.safetensors";
  const pid_t child = hold_in_child(file);
  const Error e = error_of([&] { FileLock{file}; });
  CHECK(e.id() == "lock.held");
  CHECK(says(e.what(), concat("process ", static_cast<long>(child), " of this host (", host_name(), ")")));
  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(std::filesystem::exists(lock_path(file)));
  {
    const FileLock lock(file);
    CHECK(says(content_of(lock_path(file)), concat("pid ", static_cast<long>(::getpid()), "\n")));
  }
  CHECK(folder.files() == 0);
}

TEST_CASE("lock: that of another host is named and stays") {
  const ScratchFolder folder;
  const auto file = folder / "features.safetensors";
  put_file(lock_path(file), "host cluster-node-17\npid 4242\nsince 2025-01-02 03:04:05\n");
  const Error e = error_of([&] { FileLock{file}; });
  CHECK(e.id() == "lock.other_host");
  for (const char* part : {"cluster-node-17", "4242", "2025-01-02", ".features.safetensors.lock"})
    CHECK(says(e.what(), part));
  CHECK(says(content_of(lock_path(file)), "cluster-node-17"));
  put_file(lock_path(file), "");  // a process that was killed before it wrote its name
  CHECK_NOTHROW(FileLock{file});
  CHECK(folder.files() == 0);
}

TEST_CASE("lock: folders, links, and what was made for nothing") {
  const ScratchFolder folder;
  const auto deep = folder / "a/b/c";
  {
    const FileLock lock = lock_folder(deep);
    CHECK(std::filesystem::exists(deep / ".braing3n.lock"));
    CHECK(error_of([&] { (void)lock_folder(deep); }).id() == "lock.held");
  }
  CHECK_FALSE(std::filesystem::exists(folder / "a"));
  {
    const FileLock lock = lock_folder(deep);
    put_file(deep / "result", "x");
  }
  CHECK(std::filesystem::exists(deep / "result"));
  {  // a file and the link to it have one lock
    std::filesystem::create_symlink(deep / "result", folder / "link");
    const FileLock lock(folder / "link");
    CHECK(error_of([&] { FileLock{deep / "result"}; }).id() == "lock.held");
  }
  {  // also while the file is not there yet
    std::filesystem::create_symlink("new", folder / "early");
    const FileLock lock(folder / "new");
    CHECK(error_of([&] { FileLock{folder / "early"}; }).id() == "lock.held");
  }
  CHECK_FALSE(FileLock{"/dev/null"}.held());
  CHECK(says(error_of([&] { FileLock{folder / "missing/file"}; }).what(), "no such folder"));
}

TEST_CASE("lock: of many processes at once each holds it alone") {
  const ScratchFolder folder;
  const auto file = folder / "count";
  put_file(file, "0");
  std::vector<pid_t> children;
  for (int c = 0; c < 8; ++c) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      int done = 0;
      while (done < 50) {
        try {
          const FileLock lock(file);
          int n = 0;
          std::ifstream(file) >> n;
          std::ofstream(file) << n + 1;
          ++done;
        } catch (const Error& e) {
          if (e.id() != "lock.held" && e.id() != "lock.busy") ::_exit(1);
          ::usleep(200);
        }
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 0);
  }
  CHECK(content_of(file) == "400");
  CHECK(folder.files() == 1);
}
