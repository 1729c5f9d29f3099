// The findings of many scans, by kind: how many scans each concerns, and one of them.
//
// A scan counts once per kind however often it is read (in every epoch of a run), and it does not matter which thread reads it
// first: the scan that is named is the one of the smallest row.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "braing3n/volume/findings.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// What was found in `count` of `scans` scans.
struct FindingKind {
  Severity severity = Severity::note;
  std::string id;
  Index count = 0, scans = 0;
  std::string first, sentence;  // the first scan's name, and what was said about it
};

/// "a.nii.gz: a single slice ..." of one scan; "in 3 of 40 scans, first a.nii.gz: ..." of several.
inline std::string describe(const FindingKind& kind) {
  if (kind.scans == 1) return concat(kind.first, ": ", kind.sentence);
  return concat("in ", kind.count, " of ", kind.scans, " scans, first ", kind.first, ": ", kind.sentence);
}

/// Collects findings over a cohort. Thread-safe.
class FindingLog {
 public:
  /// The findings of scan `row`, called `name`. A scan without findings counts as seen.
  void add(Index row, const std::string& name, const Findings& findings) {
    const std::lock_guard<std::mutex> lock(mutex_);
    seen_.insert(row);
    for (const Finding& f : findings) {
      Kind& k = kinds_[f.id];
      if (!k.rows.insert(row).second) continue;
      k.severity = std::max(k.severity, f.severity);
      if (*k.rows.begin() == row) k.first = name, k.sentence = f.sentence;
    }
  }

  /// Every kind once: errors, then warnings, then notes, each by id.
  std::vector<FindingKind> kinds() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return collect([](const Kind&) { return true; });
  }
  /// The kinds that no earlier call of news() gave: for those who tell while scans are still being read.
  std::vector<FindingKind> news() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<FindingKind> list = collect([](const Kind& k) { return !k.told; });
    for (auto& [id, kind] : kinds_) kind.told = true;
    return list;
  }

 private:
  struct Kind {
    Severity severity = Severity::note;
    std::set<Index> rows{};
    std::string first{}, sentence{};
    bool told = false;
  };
  template <class Wanted>
  std::vector<FindingKind> collect(Wanted&& wanted) const {
    std::vector<FindingKind> list;
    for (const auto& [id, k] : kinds_)
      if (wanted(k))
        list.push_back(
            {k.severity, id, static_cast<Index>(k.rows.size()), static_cast<Index>(seen_.size()), k.first, k.sentence});
    std::stable_sort(list.begin(), list.end(),
                     [](const FindingKind& a, const FindingKind& b) { return a.severity > b.severity; });
    return list;
  }

  mutable std::mutex mutex_;
  std::map<std::string, Kind> kinds_;
  std::set<Index> seen_;
};

}  // namespace braing3n::inline BRAING3N_ABI
