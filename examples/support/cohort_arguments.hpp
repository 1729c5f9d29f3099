// The options that choose the subjects of `evaluate`, and the folder of its results.
#pragma once

#include <filesystem>
#include <initializer_list>

#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/study/cohort.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

inline void add_cohort_options(CLI::App& app, study::CohortOptions& options) {
  app.add_option("--data", options.data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern")
      ->required();
  app.add_option("--pattern", options.pattern,
                 "paths for a table without them, for example {participant_id}_T1w.nii.gz");
  add_missing(app, options.missing);
  app.add_option("--split", options.split, "table subject_id,split of the training")->required();
}

/// The folder of an evaluation, created, and locked as long as the returned lock exists. `names`: the files that go there; `inputs`: all that
/// is read. Throws Error: file (another process writes there, a result exists and may not be replaced), argument (a result would replace an
/// input).
inline FileLock open_results(const std::filesystem::path& folder, const CommonOptions& common,
                             std::initializer_list<const char*> names,
                             const std::vector<std::filesystem::path>& inputs) {
  for (const char* name : names) require_new(folder / name, common);
  OutputGuard guard;
  for (const auto& input : inputs) guard.input(input);
  for (const char* name : names) guard.output(folder / name);
  guard.output(common.json_log);
  return lock_folder(folder);
}

}  // namespace braing3n::examples
