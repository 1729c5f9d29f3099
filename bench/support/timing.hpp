// Timing for the benchmarks: medians of repeated calls.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace braing3n::bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline double median(std::vector<double> v) {
  if (v.empty()) return 0;
  std::nth_element(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

/// Seconds of one call of f: the median of at least `least` calls and about `budget` seconds, after one that does not count.
template <class F>
double time_of(F&& f, double budget = 0.3, int least = 5) {
  f();
  std::vector<double> times;
  const double start = seconds();
  while (static_cast<int>(times.size()) < least || seconds() - start < budget) {
    const double begin = seconds();
    f();
    times.push_back(seconds() - begin);
    if (times.size() >= 1000) break;
  }
  return median(times);
}

/// Several things measured in turns, so that a slow moment of the machine hits all of them and not one.
class Contest {
 public:
  explicit Contest(int rounds = 5) : rounds_(rounds) {}
  /// f is called once per round after a call that does not count, and its median time is returned by seconds(name).
  template <class F>
  void add(std::string name, F f) {
    entries_.push_back({std::move(name), [f = std::move(f)]() mutable { f(); }, {}});
  }
  void run(int calls_per_round = 3) {
    for (int round = 0; round < rounds_; ++round)
      for (Entry& e : entries_) {
        e.call();
        for (int i = 0; i < calls_per_round; ++i) {
          const double begin = bench::seconds();
          e.call();
          e.times.push_back(bench::seconds() - begin);
        }
      }
  }
  double seconds(const std::string& name) const {
    for (const Entry& e : entries_)
      if (e.name == name) return median(e.times);
    return 0;
  }

 private:
  struct Entry {
    std::string name;
    std::function<void()> call;
    std::vector<double> times;
  };
  int rounds_;
  std::vector<Entry> entries_;
};

/// "--name value" of the command line, or the default.
inline std::string option(int argc, char** argv, const char* name, const char* otherwise) {
  for (int i = 1; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], name) == 0) return argv[i + 1];
  return otherwise;
}
inline bool flag(int argc, char** argv, const char* name) {
  for (int i = 1; i < argc; ++i)
    if (std::strcmp(argv[i], name) == 0) return true;
  return false;
}

}  // namespace braing3n::bench
