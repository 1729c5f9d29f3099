// The options that choose the subjects of `evaluate`, and the folder of its results.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "braing3n/data/file_stamp.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/study/cohort.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/program.hpp"
#include "examples/support/scan_list.hpp"

namespace braing3n::examples {

inline void add_cohort_options(CLI::App& app, study::CohortOptions& options) {
  app.add_option("--data", options.data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern")
      ->required();
  app.add_option("--pattern", options.pattern,
                 "paths for a table without them, for example {participant_id}_T1w.nii.gz");
  add_missing(app, options.missing);
  app.add_option("--split", options.split, "table subject_id,split of the training")->required();
}

/// What is read of a cohort: the table, the split and every file of the scans, whether it is there or not. Throws what read_manifest() throws.
inline std::vector<std::filesystem::path> cohort_files(const study::CohortOptions& cohort) {
  const ManifestOptions names{
      .pattern = cohort.pattern, .check_files = false, .need_paths = false, .missing = cohort.missing};
  std::vector<std::filesystem::path> files{cohort.data, cohort.split};
  for (const auto& file : scan_files(read_manifest(std::filesystem::path(cohort.data), names))) files.push_back(file);
  return files;
}

/// The samples in a folder of `generate`, volumes and sidecars; none when it is not there.
inline std::vector<std::filesystem::path> sample_files(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string ending = file_ending(at->path());
    if (ending == ".nii.gz" || (ending == ".json" && at->path().filename() != "memorisation.json"))
      files.push_back(at->path());
  }
  return files;
}

/// The folder of an evaluation, created, and locked as long as the returned lock exists. `names`: the files that go there; `inputs`: all that
/// is read, in any number of lists. Throws Error: file (another process writes there, a result exists and may not be replaced), argument (a
/// result would replace an input).
inline FileLock open_results(const std::filesystem::path& folder, const CommonOptions& common,
                             std::initializer_list<const char*> names,
                             std::initializer_list<std::vector<std::filesystem::path>> inputs) {
  for (const char* name : names) require_new(folder / name, common);
  OutputGuard guard;
  for (const auto& list : inputs)
    for (const auto& input : list) guard.input(input);
  for (const char* name : names) guard.output(folder / name);
  guard.output(common.json_log);
  return lock_folder(folder);
}

}  // namespace braing3n::examples
