// A study as steps, one after the other: what was run, and how long it took.
#pragma once

#include <filesystem>
#include <string>
#include <utility>

#include "braing3n/format/mapped_file.hpp"
#include "braing3n/study/observer.hpp"
#include "braing3n/study/result_json.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// The command of a step, as it would be typed, and its time.
struct StepTime {
  double seconds = 0;
  std::string command;

  static void visit(auto& self, auto&& v) {
    v("seconds", self.seconds);
    v("command", self.command);
  }
};

/// Steps by title, in their order. A step that is run again replaces its first time.
class StepTimes {
 public:
  StepTimes() = default;
  explicit StepTimes(Named<StepTime> steps) : steps_(std::move(steps)) {}

  void add(const std::string& title, StepTime step) {
    for (auto& [known, time] : steps_)
      if (known == title) {
        time = std::move(step);
        return;
      }
    steps_.emplace_back(title, std::move(step));
  }
  const Named<StepTime>& all() const { return steps_; }
  double seconds() const {
    double total = 0;
    for (const auto& [title, step] : steps_) total += step.seconds;
    return total;
  }

 private:
  Named<StepTime> steps_;
};

/// steps.json of an earlier run. Throws Error (file, format).
inline StepTimes read_step_times(const std::filesystem::path& path) {
  StepTimes times;
  const Json json = read_json(path);
  for (const auto& [title, step] : json.items()) {
    StepTime t;
    json_into(step, t, path.string());
    times.add(title, std::move(t));
  }
  return times;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
