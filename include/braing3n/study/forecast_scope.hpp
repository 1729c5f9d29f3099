// What a table cannot show about forecasts: too few subjects, and subjects unlike those whom the forecaster was trained on.
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "braing3n/data/forecast_ranges.hpp"
#include "braing3n/eval/interval_scale.hpp"
#include "braing3n/study/forecast_subjects.hpp"
#include "braing3n/study/forecasting_result.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Pairs of one set. use: what the set is for, "which is scored". Throws Error (format) that names the set: no scan in it, no pair of visits, none of known age.
inline std::vector<VisitPair> dated_pairs_of(const Manifest& table, const Split& split, const std::string& set,
                                             const char* use) {
  try {
    std::vector<VisitPair> pairs = dated_pairs(table, rows_of(table, split, set));
    if (pairs.empty())
      throw Error(ErrorKind::format, "forecasting.pairs",
                  "expected pairs of visits with an age at the first of them, got none");
    return pairs;
  } catch (const Error& e) {
    const bool alone = std::ssize(table.subjects()) == 1;
    throw Error(e.kind(), e.id(),
                concat("the set ", in_quotes(set), ", ", use, ": ", e.text(),
                       alone ? "; the table has a single subject, who can be forecast but not scored" : ""),
                table.path.string());
  }
}

/// Sentences about unseen pairs; ranges: JSON of what the forecaster's training saw, or empty.
inline std::vector<std::string> forecasting_scope(const Manifest& table, const std::vector<VisitPair>& validation,
                                                  const std::vector<VisitPair>& test, const std::string& ranges,
                                                  const ForecastingOptions& options) {
  std::vector<std::string> notes;
  const SubjectCodes codes(table);
  const auto people = [](Index n) { return concat(n, n == 1 ? " subject" : " subjects"); };
  if (const Index n = codes.subjects(test); n < options.scores.least_subjects)
    notes.push_back(concat(people(n), " in the set ", in_quotes(options.test), ": scores need ",
                           options.scores.least_subjects, ", so the tables have counts and pictures only"));
  if (const Index n = codes.subjects(validation), least = subjects_for_coverage(options.coverage); n < least)
    notes.push_back(concat(people(n), " in the set ", in_quotes(options.validation), ": intervals need ", least,
                           ", so there are none"));
  if (ranges.empty()) return notes;
  const ForecastRanges seen = config_from_text<ForecastRanges>(ranges, "ranges of the forecaster");
  Index ages = 0, horizons = 0, groups = 0;
  std::set<std::string> others;
  for (const VisitPair& p : test) {
    const double last = p.age + p.years;
    ages += seen.ages && (p.age < seen.youngest - horizon_margin || last > seen.oldest + horizon_margin);
    horizons += p.years > seen.longest_years + horizon_margin;
    if (seen.groups.empty()) continue;
    const auto group = table.text(p.from, seen.group_label);
    if (group && std::find(seen.groups.begin(), seen.groups.end(), *group) != seen.groups.end()) continue;
    ++groups;
    others.insert(group ? *group : "unknown");
  }
  const auto part = [&](Index n) { return concat(n, " of ", test.size(), test.size() == 1 ? " pair" : " pairs"); };
  if (ages > 0)
    notes.push_back(concat(part(ages), " outside the ages of the training, ", significant(seen.youngest, 3), " to ",
                           significant(seen.oldest, 3), ": the forecaster has not seen such subjects"));
  if (horizons > 0)
    notes.push_back(concat(part(horizons), " with a horizon beyond that of the training, ",
                           significant(seen.longest_years, 3), " years"));
  if (groups > 0)
    notes.push_back(concat(part(groups), " of another ", seen.group_label, " than those of the training (",
                           joined(seen.groups), "): ", joined(std::vector<std::string>(others.begin(), others.end())),
                           "; another population, forecast as if nothing were known of it"));
  return notes;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
