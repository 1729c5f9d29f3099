// What a training on pairs of visits has seen, and what may be asked of a model that was trained on them.
#pragma once

#include <algorithm>
#include <cmath>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "braing3n/data/pair_stream.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Kept in the file of a model. Ages are those at both ends of the pairs.
struct ForecastRanges {
  Index pairs = 0, subjects = 0;
  bool ages = false;  // whether any age is known
  double youngest = 0, oldest = 0;
  double longest_years = 0;
  bool backwards = false;               // pairs from a later to an earlier visit are among them
  std::string group_label = "disease";  // the label of the groups
  std::vector<std::string> groups{};    // sorted; empty where the label is missing

  /// "412 pairs of 130 subjects, ages 60 to 98, up to 7.2 years apart, groups AD, HC"
  std::string sentence() const {
    return concat(pairs, pairs == 1 ? " pair of " : " pairs of ", subjects, subjects == 1 ? " subject" : " subjects",
                  ages ? concat(", ages ", significant(youngest, 3), " to ", significant(oldest, 3)) : "", ", up to ",
                  significant(longest_years, 3), " years apart", groups.empty() ? "" : ", groups ", joined(groups));
  }

  static void visit(auto& self, auto&& v) {
    v("pairs", self.pairs);
    v("subjects", self.subjects);
    v("ages", self.ages);
    v("youngest", self.youngest);
    v("oldest", self.oldest);
    v("longest_years", self.longest_years);
    v("backwards", self.backwards);
    v("group_label", self.group_label);
    v("groups", self.groups);
  }
};

/// both_ways: the training turns pairs round. Throws Error (argument) for no pairs.
inline ForecastRanges forecast_ranges(const Manifest& m, std::span<const VisitPair> pairs, bool both_ways = false) {
  if (pairs.empty())
    fail(ErrorKind::argument, "forecast.pairs", "forecast ranges: expected at least one pair, got none");
  ForecastRanges r;
  r.pairs = std::ssize(pairs);
  r.backwards = both_ways;
  std::set<std::string> subjects, groups;
  for (const VisitPair& p : pairs) {
    subjects.insert(m.scans.at(static_cast<std::size_t>(p.from)).subject_id);
    for (const Index row : {p.from, p.to})
      if (const auto group = m.text(row, r.group_label)) groups.insert(*group);
    r.longest_years = std::max(r.longest_years, std::abs(p.years));
    r.backwards = r.backwards || p.years < 0;
    if (std::isnan(p.age)) continue;
    const auto [young, old] = std::minmax({p.age, p.age + p.years});
    r.youngest = r.ages ? std::min(r.youngest, young) : young;
    r.oldest = r.ages ? std::max(r.oldest, old) : old;
    r.ages = true;
  }
  r.subjects = std::ssize(subjects);
  r.groups.assign(groups.begin(), groups.end());
  return r;
}

struct ForecastRequest {
  std::string group{};     // in any spelling of its label; empty: none
  bool backwards = false;  // horizons may be negative
  bool change = false;     // a change is asked for, which 0 years have not
  double margin = 5;       // years of age beyond those seen that are allowed
};

namespace detail {

inline void require_known_group(const ForecastRanges& ranges, const std::string& group) {
  if (group.empty()) return;
  const LabelSchema schema = LabelSchema::standard();
  LabelField field{.name = ranges.group_label};
  if (const LabelField* known = schema.find(ranges.group_label)) field.spellings = known->spellings;
  field.values = ranges.groups;
  if (!is_known(field, standard_spelling(field, group)) || ranges.groups.empty())
    fail(ErrorKind::argument, "forecast.group", ranges.group_label,
         ": expected one of those that the model was trained on, ",
         ranges.groups.empty() ? std::string("which are none") : joined(ranges.groups), ", got ", in_quotes(group, 60));
}

inline void check_horizons(const ForecastRanges& ranges, std::span<const double> years, const ForecastRequest& r,
                           Findings& findings) {
  if (years.empty()) fail(ErrorKind::argument, "forecast.years", "forecast: expected at least one horizon, got none");
  std::vector<std::string> beyond;
  bool back = false;
  for (const double y : years) {
    if (!std::isfinite(y)) fail(ErrorKind::argument, "forecast.years", "forecast: expected a number of years, got ", y);
    if (y < 0 && !r.backwards)
      fail(ErrorKind::argument, "forecast.backwards", "forecast: expected horizons of at least 0 years, got ", y,
           "; going back in time must be asked for");
    if (y == 0 && r.change)
      fail(ErrorKind::argument, "forecast.change",
           "forecast: expected horizons other than 0 years for a change, got 0");
    if (std::abs(y) > ranges.longest_years + horizon_margin) beyond.push_back(significant(y));
    back = back || y < 0;
  }
  if (!beyond.empty())
    findings.add(Severity::warning, "forecast.horizon", "the visits of the training are up to ",
                 significant(ranges.longest_years, 3), " years apart: ", joined(beyond), " years ",
                 beyond.size() == 1 ? "is" : "are", " beyond that");
  if (back && !ranges.backwards)
    findings.add(Severity::warning, "forecast.direction", "no pair of the training goes back in time");
}

}  // namespace detail

/// Checks a request for a subject of that age (years) at these horizons (years). Findings warn of what training has not seen. Throws Error
/// (argument): an age that is none, or outside those of the training by more than the margin; horizons that are not finite, negative
/// ones unless asked for, 0 where a change is; a group that the training does not know.
inline Findings require_forecastable(const ForecastRanges& ranges, double age, std::span<const double> years,
                                     const ForecastRequest& request = {}) {
  Findings findings;
  if (!(age >= 0 && age <= 130)) fail(ErrorKind::argument, "forecast.age", "age: expected 0 to 130 years, got ", age);
  detail::check_horizons(ranges, years, request, findings);
  detail::require_known_group(ranges, request.group);
  if (!ranges.ages) return findings;
  const std::string seen = concat(significant(ranges.youngest, 3), " to ", significant(ranges.oldest, 3));
  if (age < ranges.youngest - request.margin || age > ranges.oldest + request.margin)
    fail(ErrorKind::argument, "forecast.age", "age: the training has ages of ", seen, ", expected an age at most ",
         request.margin, " years outside, got ", age);
  if (age < ranges.youngest || age > ranges.oldest)
    findings.add(Severity::warning, "forecast.age", "the age of ", significant(age),
                 " is outside those of the training, ", seen);
  const auto [first, last] = std::minmax_element(years.begin(), years.end());
  const double reached_low = age + *first, reached_high = age + *last;
  for (const double reached : {reached_low, reached_high})
    if (reached != age && (reached < ranges.youngest - horizon_margin || reached > ranges.oldest + horizon_margin)) {
      findings.add(Severity::warning, "forecast.reached_age", "the forecast reaches an age of ", significant(reached),
                   ", outside those of the training, ", seen);
      break;
    }
  return findings;
}

}  // namespace braing3n::inline BRAING3N_ABI
