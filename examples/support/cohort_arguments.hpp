// The people that `evaluate` looks at: a table of scans and who of them belongs to which set.
#pragma once

#include <iostream>
#include <string>
#include <vector>

#include "braing3n/data/split.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/study/cohort.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

struct CohortArguments {
  std::string data, pattern, split;
  std::vector<std::string> missing;

  void add_to(CLI::App& app) {
    app.add_option("--data", data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern")
        ->required();
    app.add_option("--pattern", pattern, "paths for a table without them, for example {participant_id}_T1w.nii.gz");
    app.add_option("--missing", missing,
                   "values of the table that stand for missing ones: -999 or age=-1, separated by commas")
        ->delimiter(',')
        ->default_str("");
    app.add_option("--split", split, "table subject_id,split of the training")->required();
  }
  Manifest manifest() const {
    ManifestOptions read;
    read.pattern = pattern;
    read.missing = missing;
    Manifest m = read_manifest(std::filesystem::path(data), read);
    for (const Finding& f : m.findings)
      if (f.id == "manifest.value") std::cerr << data << ": " << f.sentence << '\n';
    return m;
  }
};

/// The same options for a study.
inline void add_cohort_options(CLI::App& app, study::CohortOptions& options) {
  app.add_option("--data", options.data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern")
      ->required();
  app.add_option("--pattern", options.pattern,
                 "paths for a table without them, for example {participant_id}_T1w.nii.gz");
  app.add_option("--missing", options.missing,
                 "values of the table that stand for missing ones: -999 or age=-1, separated by commas")
      ->delimiter(',')
      ->default_str("");
  app.add_option("--split", options.split, "table subject_id,split of the training")->required();
}

/// Nobody may learn from the set that is scored. Throws Error (argument) when `fitted` is that set; `why` ends its sentence.
inline void require_other_set(const std::string& fitted, const std::string& scored, const char* why) {
  if (fitted == scored) fail(ErrorKind::argument, "evaluate.sets", "the set ", in_quotes(scored), ' ', why);
}

/// The folder of an evaluation, made and locked as long as what is returned lives. `names`: the files that go there; `inputs`: what is read
/// besides table and split. Throws Error: file (a result is there and may not be replaced, another process writes there), argument
/// (a result would replace an input).
inline FileLock open_results(const std::filesystem::path& folder, const CommonOptions& common,
                             std::initializer_list<const char*> names,
                             const std::vector<std::filesystem::path>& inputs) {
  OutputGuard guard;
  for (const auto& input : inputs) guard.input(input);
  for (const char* name : names) guard.output(folder / name);
  guard.output(common.json_log);
  return lock_folder(folder);
}

}  // namespace braing3n::examples
