// The subjects of a study: a table of scans, and the set to which each subject belongs.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "braing3n/data/split.hpp"
#include "braing3n/data/volumes.hpp"
#include "braing3n/eval/unseen_subjects.hpp"
#include "braing3n/study/observer.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct CohortOptions {
  std::string data{}, split{};         // a table of scans; a table subject_id,split
  std::string pattern{};               // of paths, for a table without them
  std::vector<std::string> missing{};  // values that stand for missing ones

  static void visit(auto& self, auto&& v) {
    v("data", self.data);
    v("split", self.split);
    v("pattern", self.pattern);
    v("missing", self.missing);
  }
};

/// A scan that could not be read, and why.
struct LeftOut {
  std::string volume_id, reason;

  static void visit(auto& self, auto&& v) {
    v("volume_id", self.volume_id);
    v("reason", self.reason);
  }
};

/// Warns of values in the table that cannot be used. Throws what read_manifest() throws.
inline Manifest read_cohort(const CohortOptions& options, Observer& observer) {
  ManifestOptions read;
  read.pattern = options.pattern;
  read.missing = options.missing;
  Manifest manifest = read_manifest(std::filesystem::path(options.data), read);
  for (const Finding& f : manifest.findings)
    if (f.id == "manifest.value") observer.warning(concat(options.data, ": ", f.sentence));
  return manifest;
}

/// Nothing may be fitted on the set that is scored. Throws Error (argument) when `fitted` is that set; `why` ends its sentence.
inline void require_other_set(const std::string& fitted, const std::string& scored, const char* why) {
  if (fitted == scored) fail(ErrorKind::argument, "evaluate.sets", "the set ", in_quotes(scored), ' ', why);
}

/// Warns where the subjects that trained a model are unknown. Throws what braing3n::require_unseen() throws.
inline void require_unseen(const std::vector<ModelBehind>& models, const std::vector<Index>& rows,
                           const Manifest& manifest, Observer& observer) {
  for (const std::string& sentence : braing3n::require_unseen(std::span<const ModelBehind>(models), rows, manifest))
    observer.warning(sentence);
}

inline std::vector<LeftOut> left_out(const ScanFailures& failures, const Manifest& manifest) {
  std::vector<LeftOut> list;
  for (const auto& [row, reason] : failures)
    list.push_back({manifest.scans[static_cast<std::size_t>(row)].volume_id, reason});
  return list;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
