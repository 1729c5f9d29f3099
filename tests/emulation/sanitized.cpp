// What the thread sanitizer reports, counted so that a test can plant a race; what a program says that the address sanitizer ends.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "support.hpp"

namespace {
std::atomic<int> races{0};
}  // namespace

namespace emulation::test {

int take_races() { return races.exchange(0); }

std::string last_words(const std::function<void()>& f) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    f();
    _exit(0);
  }
  close(ends[1]);
  std::string words;
  char part[4096];
  for (ssize_t n; (n = read(ends[0], part, sizeof(part))) > 0;) words.append(part, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK((status != 0) == !words.empty());
  return words;
}

}  // namespace emulation::test

#if defined(EMULATION_TSAN)
extern "C" void __tsan_on_report(void*) { ++races; }
extern "C" int __tsan_on_finalize(int) { return races > 0 ? 1 : 0; }
#endif
