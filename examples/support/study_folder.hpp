// The folder of a study that runs commands of this program one after the other: what is there before, its steps, its summary.
#pragma once

#include <filesystem>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "braing3n/format/atomic_file.hpp"
#include "braing3n/study/phantom_study.hpp"
#include "examples/support/pipeline.hpp"

namespace braing3n::examples {

struct StudyFolder {
  std::filesystem::path path;
  std::vector<std::string> models;   // files that an evaluation needs, relative to it
  std::vector<std::string> made;     // of an earlier run, removed by a new one
  std::vector<std::string> reports;  // removed by a new evaluation too
};

/// Removes what an earlier run made, or checks that there are models to evaluate again. Throws Error (file).
inline void clear_study(const StudyFolder& folder, bool evaluate, bool force) {
  const std::filesystem::path& out = folder.path;
  if (evaluate) {
    for (const std::string& needed : folder.models)
      if (!std::filesystem::exists(out / needed))
        throw Error(ErrorKind::file, "study.models", concat(needed, " is not there: run the whole study first"),
                    out.string());
  } else {
    if (!force && std::filesystem::exists(out / "cohort"))
      throw Error(ErrorKind::file, "study.exists",
                  "holds a study already; --force replaces it, --evaluate goes on with it", out.string());
    for (const std::string& name : folder.made) std::filesystem::remove_all(out / name);
    for (const char* name : {"steps.json", "output.txt"}) std::filesystem::remove_all(out / name);
  }
  for (const std::string& name : folder.reports) std::filesystem::remove_all(out / name);
}

/// The steps of a study, whose times are in steps.json after each. An evaluation keeps the times of the training.
class StudySteps {
 public:
  StudySteps(const Program& program, const std::filesystem::path& folder, bool evaluate)
      : folder_(folder), pipeline_(program, folder / "output.txt",
                                   evaluate && std::filesystem::exists(folder / "steps.json")
                                       ? study::training_times(study::read_step_times(folder / "steps.json"))
                                       : study::StepTimes()) {}

  void operator()(const Step& step) {
    pipeline_(step);
    write_text(folder_ / "steps.json", study::result_json(times().all()).dump(2) + "\n", {.overwrite = true});
  }
  const study::StepTimes& times() const { return pipeline_.times(); }

  /// Prints the figures and times and writes them to summary.txt and summary.json. run() and print() are those in the namespace of the options'
  /// type.
  template <class Options>
  void summarise(const Options& options) const {
    QuietObserver observer;
    const auto result = run(options, times(), observer);
    std::ostringstream text;
    print(text, result);
    text << '\n';
    print_times(text, times(), "");
    std::cout << text.str();
    write_text(folder_ / "summary.txt", text.str(), {.overwrite = true});
    write_text(folder_ / "summary.json", study::result_json(result).dump(2) + "\n", {.overwrite = true});
  }

 private:
  std::filesystem::path folder_;
  Pipeline pipeline_;
};

}  // namespace braing3n::examples
