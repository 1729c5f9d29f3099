// Progress with the time left, on a terminal; now and then a line when the output goes to a file.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "braing3n/base/error.hpp"

namespace braing3n::examples {

/// 3725 -> "1:02:05", 65 -> "1:05"
inline std::string clock_text(double seconds) {
  const long long s = seconds < 0 || seconds > 1e9 ? 0 : static_cast<long long>(seconds + 0.5);
  char text[48];
  if (s >= 3600) std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  else std::snprintf(text, sizeof text, "%lld:%02lld", s / 60, s % 60);
  return text;
}

class Progress {
 public:
  /// total: units of work (0: unknown); done: units finished before this run, which do not count for the speed.
  Progress(std::string title, Index total, bool quiet, Index done = 0)
      : title_(std::move(title)), total_(total), done_(done), first_(done), quiet_(quiet),
        terminal_(::isatty(STDERR_FILENO) != 0), begin_(Clock::now()), shown_(begin_) {}
  ~Progress() { close(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` stands at the end of the line: the loss, the file.
  void advance(Index units = 1, const std::string& note = {}) {
    done_ += units;
    note_ = note;
    if (quiet_) return;
    const double since = std::chrono::duration<double>(Clock::now() - shown_).count();
    if (since < (terminal_ ? 0.1 : 30.0) && !(terminal_ && done_ == total_)) return;
    shown_ = Clock::now();
    show();
  }

  /// Ends the line; the last state stays visible.
  void close() {
    if (closed_) return;
    closed_ = true;
    if (quiet_ || done_ == first_) return;
    show();
    if (terminal_) std::fputc('\n', stderr);
  }

  /// The text after "title: ", for tests: units, share, time so far, time left.
  std::string text(double elapsed) const {
    std::string line = std::to_string(done_);
    if (total_ > 0) {
      line += "/" + std::to_string(total_) + " (" + std::to_string(100 * done_ / total_) + "%)";
      line += "  " + clock_text(elapsed);
      if (done_ > first_ && done_ < total_)
        line +=
            "  left " + clock_text(elapsed / static_cast<double>(done_ - first_) * static_cast<double>(total_ - done_));
    } else {
      line += "  " + clock_text(elapsed);
    }
    return note_.empty() ? line : line + "  " + note_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void show() const {
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin_).count();
    if (terminal_) std::fprintf(stderr, "\r\033[K%s: %s", title_.c_str(), text(elapsed).c_str());
    else std::fprintf(stderr, "%s: %s\n", title_.c_str(), text(elapsed).c_str());
    std::fflush(stderr);
  }

  std::string title_, note_;
  Index total_, done_, first_;
  bool quiet_, terminal_, closed_ = false;
  Clock::time_point begin_, shown_;
};

}  // namespace braing3n::examples
