// Pairs of visits of the study of forecasts: from the first visit of unseen subjects, and all pairs of those who fit rules and intervals.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "braing3n/data/visit_pairs.hpp"
#include "braing3n/eval/forecast_pairs.hpp"
#include "braing3n/study/forecast_baselines.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Codes of subjects, diagnoses and sexes, the same for all sets.
class SubjectCodes {
 public:
  explicit SubjectCodes(const Manifest& table) : table_(&table) {
    for (const std::string& s : table.subjects()) subjects_.emplace(s, static_cast<std::int32_t>(subjects_.size()));
    for (Index i = 0; i < table.size(); ++i)
      if (const auto d = table.text(i, "disease")) groups_.emplace(*d, 0);
    std::int32_t next = 0;
    for (auto& [name, code] : groups_) code = next++;
  }
  std::int32_t subject(Index row) const {
    return subjects_.at(table_->scans[static_cast<std::size_t>(row)].subject_id);
  }
  /// How many subjects the pairs belong to.
  Index subjects(const std::vector<VisitPair>& pairs) const {
    std::set<std::int32_t> all;
    for (const VisitPair& p : pairs) all.insert(subject(p.from));
    return std::ssize(all);
  }
  /// -1 for a diagnosis that nobody has.
  std::int32_t group(const std::string& name) const {
    const auto found = groups_.find(name);
    return found == groups_.end() ? -1 : found->second;
  }
  std::int32_t group(Index row) const {
    const auto d = table_->text(row, "disease");
    return d ? group(*d) : -1;
  }
  std::int32_t sex(Index row) const {
    const auto s = table_->text(row, "sex");
    return !s ? -1 : *s == "M" ? 1 : 0;
  }

 private:
  const Manifest* table_;
  std::map<std::string, std::int32_t> subjects_, groups_;
};

/// One quantity at both visits of every pair.
inline ForecastPairs scalar_pairs(const std::vector<VisitPair>& pairs, const MeasuredQuantity& q,
                                  const SubjectCodes& codes) {
  ForecastPairs out;
  for (const VisitPair& p : pairs) {
    out.subject.push_back(codes.subject(p.from));
    out.group.push_back(codes.group(p.from));
    out.sex.push_back(codes.sex(p.from));
    out.age.push_back(p.age);
    out.years.push_back(p.years);
    out.baseline.push_back(q.value[static_cast<std::size_t>(p.from)]);
    out.truth.push_back(q.value[static_cast<std::size_t>(p.to)]);
  }
  return out;
}

/// Forward pairs of known age.
inline std::vector<VisitPair> dated_pairs(const Manifest& table, const std::vector<Index>& rows) {
  std::vector<VisitPair> kept;
  for (const VisitPair& p : visit_pairs(table, rows).pairs)
    if (p.years > 0 && std::isfinite(p.age)) kept.push_back(p);
  return kept;
}

/// Those that begin at the first visit of a subject in their modality, by baseline and years.
inline std::vector<VisitPair> from_first_visit(const Manifest& table, const std::vector<VisitPair>& pairs) {
  std::map<std::string, double> youngest;
  const auto key = [&](const VisitPair& p) {
    return concat(table.scans[static_cast<std::size_t>(p.from)].subject_id, '\n',
                  table.text(p.from, "modality").value_or(""));
  };
  for (const VisitPair& p : pairs) {
    double& age = youngest.emplace(key(p), p.age).first->second;
    age = std::min(age, p.age);
  }
  std::vector<VisitPair> kept;
  for (const VisitPair& p : pairs)
    if (p.age <= youngest.at(key(p))) kept.push_back(p);
  sort_by_baseline(kept);
  return kept;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
