#include "braing3n/format/atomic_file.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>

#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

/// Runs f in a child process; returns what it returns, or 200 + the signal that ended it.
int in_child(const std::function<int()>& f) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 99;
    try {
      code = f();
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) ? 200 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("atomic file: nothing is there before commit, all of it after") {
  const ScratchFolder folder;
  {
    AtomicFile file(folder / "a");
    file.write("first ");
    CHECK_FALSE(std::filesystem::exists(folder / "a"));
    file.write(std::string(1 << 20, 'x'));
    file.write("last");
    file.rewrite(0, "FIRST");
    file.commit();
    CHECK(error_of([&] { file.write("more"); }).kind() == ErrorKind::state);
    CHECK(error_of([&] { file.commit(); }).kind() == ErrorKind::state);
  }
  CHECK(content_of(folder / "a") == "FIRST " + std::string(1 << 20, 'x') + "last");
  CHECK(folder.files() == 1);
  {
    AtomicFile abandoned(folder / "b");
    abandoned.write("x");
  }
  CHECK(folder.files() == 1);
}

TEST_CASE("atomic file: replacing only when told, checked again at the end") {
  const ScratchFolder folder;
  put_file(folder / "a", "old");
  CHECK(error_of([&] { AtomicFile(folder / "a"); }).id() == "file.exists");
  AtomicFile late(folder / "b");
  late.write("mine");
  put_file(folder / "b", "somebody else's");
  CHECK(error_of([&] { late.commit(); }).id() == "file.exists");
  CHECK(content_of(folder / "b") == "somebody else's");
  {
    AtomicFile file(folder / "a", {.overwrite = true});
    file.write("new");
    CHECK(content_of(folder / "a") == "old");
    file.commit();
  }
  CHECK(content_of(folder / "a") == "new");
  for (const char* text : {"third", "fourth"}) {
    AtomicFile file(folder / "a", {.keep_previous = true});
    file.write(text);
    file.commit();
  }
  CHECK(content_of(folder / "a") == "fourth");
  CHECK(content_of(folder / "a.previous") == "third");
}

TEST_CASE("atomic file: places that cannot be written") {
  const ScratchFolder folder;
  CHECK(error_of([&] { AtomicFile(folder / "no" / "a"); }).kind() == ErrorKind::file);
  CHECK(error_of([&] { AtomicFile(folder.path); }).id() == "file.kind");
  CHECK(error_of([&] { AtomicFile(folder / "x/"); }).id() == "file.kind");
  CHECK(error_of([&] { AtomicFile(folder / std::string(300, 'x')); }).kind() == ErrorKind::file);
  CHECK(folder.files() == 0);
}

TEST_CASE("atomic file: links stay links") {
  const ScratchFolder folder;
  put_file(folder / "real", "old");
  std::filesystem::create_symlink("real", folder / "link");
  AtomicFile file(folder / "link", {.overwrite = true});
  file.write("new");
  file.commit();
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(content_of(folder / "real") == "new");
}

TEST_CASE("atomic file: a full disk is an environment error and the old file stays") {
  const ScratchFolder folder;
  put_file(folder / "a", "old");
  const int code = in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 98;
    try {
      AtomicFile file(folder / "a", {.overwrite = true});
      file.write(std::string(5000, 'x'));
      file.commit();
    } catch (const Error& e) {
      return e.kind() == ErrorKind::environment && e.id() == "file.write" ? 0 : 97;
    }
    return 96;
  });
  CHECK(code == 0);
  CHECK(content_of(folder / "a") == "old");
  CHECK(folder.files() == 1);
}

TEST_CASE("atomic file: a killed writer leaves the old file, and the next one cleans up") {
  const ScratchFolder folder;
  put_file(folder / "a", "old");
  CHECK(in_child([&]() -> int {
          AtomicFile file(folder / "a", {.overwrite = true});
          file.write(std::string(1 << 20, 'x'));
          ::raise(SIGKILL);
          return 0;
        }) == 200 + SIGKILL);
  CHECK(content_of(folder / "a") == "old");
  CHECK(folder.files() == 2);  // what the killed process could not remove
  put_file(folder / ".a.notours.part", "x");
  put_file(folder / ".ab.1.2.part", "x");
  AtomicFile busy(folder / "a", {.overwrite = true});  // cleans up
  CHECK(folder.files() == 4);
  {
    AtomicFile second(folder / "a", {.overwrite = true});  // must not take the busy one for an abandoned one
    CHECK(folder.files() == 5);
  }
  busy.write("new");
  busy.commit();
  CHECK(content_of(folder / "a") == "new");
}

TEST_CASE("mapped file: what is not a file") {
  const ScratchFolder folder;
  CHECK(error_of([&] { MappedFile(folder / "none"); }).id() == "file.open");
  CHECK(error_of([&] { MappedFile{folder.path}; }).id() == "file.kind");
  CHECK(error_of([&] { MappedFile("/dev/null"); }).id() == "file.kind");
  put_file(folder / "empty", "");
  CHECK(MappedFile(folder / "empty").bytes().empty());
}
