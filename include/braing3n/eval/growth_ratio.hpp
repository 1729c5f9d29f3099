// How much faster a quantity grows in one group than in another: AD against HC.
//
// The yearly growth of a group is the sum of the changes of its pairs over the sum of their years: every observed year counts the same, so
// that short horizons, whose rates are mostly noise, weigh little. Growth is that of the quantity or that of its logarithm.
// The ratio says by how much a model tells the groups apart; compare it with that of the truth, computed from the same pairs. asked_effect()
// asks more: does the diagnosis that is requested change the forecast of one and the same scan?
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "braing3n/eval/forecast_pairs.hpp"
#include "braing3n/eval/subject_bootstrap.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct GrowthRatioOptions {
  std::int32_t over = 0, under = 0;  // codes of the groups: numerator, denominator
  bool logarithm = true;      // growth of log(quantity), about the share gained in a year; false: of the quantity
  Index least_subjects = 10;  // of each group
  BootstrapOptions bootstrap{};
};

struct GroupGrowth {
  Index pairs = 0, subjects = 0;
  Estimate yearly;  // in units of the quantity, or of its logarithm, per year

  static void visit(auto& self, auto&& v) {
    v("pairs", self.pairs);
    v("subjects", self.subjects);
    v("yearly", self.yearly);
  }
};

struct GrowthRatio {
  GroupGrowth over, under;
  Index missing = 0;  // pairs of the two groups without a value, or without a logarithm
  Estimate ratio;
  std::string note;  // why there is no ratio, or no interval

  static void visit(auto& self, auto&& v) {
    v("over", self.over);
    v("under", self.under);
    v("missing", self.missing);
    v("ratio", self.ratio);
    v("note", self.note);
  }
};

/// How far another requested diagnosis moves the forecasts of a group, beside how far apart the groups truly are.
struct AskedEffect {
  Index pairs = 0, subjects = 0;  // of the group `under`
  Index missing = 0;
  Estimate yearly;           // growth when asked as `over`, less growth when asked as what they are
  Estimate true_difference;  // true growth of `over` less that of `under`
  Estimate share;            // the one over the other
  std::string note;          // why there is no share, or no interval

  static void visit(auto& self, auto&& v) {
    v("pairs", self.pairs);
    v("subjects", self.subjects);
    v("missing", self.missing);
    v("yearly", self.yearly);
    v("true_difference", self.true_difference);
    v("share", self.share);
    v("note", self.note);
  }
};

namespace detail {

/// The logarithm, or the value itself.
inline double growth_scale(double value, const GrowthRatioOptions& options) {
  return options.logarithm ? std::log(value) : value;
}

/// Sums over the forward pairs of a group of to[k] - from[k] for every k, and of the years last.
template <std::size_t K>
SubjectSums<K + 1> growth_sums(const ForecastPairs& pairs, std::int32_t group,
                               const std::array<std::array<std::span<const double>, 2>, K>& from_to,
                               const GrowthRatioOptions& options, Index& counted, Index& missing) {
  SubjectSums<K + 1> sums;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (pairs.years[i] <= horizon_margin || pairs.group_of(i) != group) continue;
    typename SubjectSums<K + 1>::Sums terms{};
    terms[K] = pairs.years[i];
    bool finite = true;
    for (std::size_t k = 0; k < K; ++k) {
      terms[k] = growth_scale(from_to[k][1][i], options) - growth_scale(from_to[k][0][i], options);
      finite = finite && std::isfinite(terms[k]);
    }
    if (finite) sums.add(pairs.subject[i], terms);
    (finite ? counted : missing) += 1;
  }
  return sums;
}

/// Why a group of so few subjects is not compared; empty: it is.
inline std::string few_subjects(Index subjects, const GrowthRatioOptions& options) {
  const Index least = std::max<Index>(1, options.least_subjects);
  return subjects < least ? concat(subjects, " subjects in one of the groups, expected at least ", least)
                          : std::string();
}

/// numerator / denominator with its interval; no interval where the denominator may be 0: where more of its replicates than lie beyond one
/// limit have another sign than its value.
inline Estimate ratio_estimate(const std::array<double, 2>& value, const std::vector<std::array<double, 2>>& replicates,
                               const BootstrapOptions& options, std::string& note) {
  if (value[1] == 0) {
    note = "the denominator is 0";
    return {};
  }
  std::vector<double> ratios;
  Index other_sign = 0;
  for (const auto& [numerator, denominator] : replicates) {
    other_sign += denominator * value[1] <= 0;
    ratios.push_back(numerator / denominator);
  }
  Estimate out = with_interval(value[0] / value[1], ratios, options.coverage);
  if (static_cast<double>(other_sign) > (0.5 - options.coverage / 2) * static_cast<double>(ratios.size())) {
    out.low = out.high = not_a_number;
    note = "the denominator may be 0";
  }
  return out;
}

inline void require_second_values(const ForecastPairs& pairs, std::span<const double> values) {
  if (values.size() != pairs.size())
    fail(ErrorKind::shape, "forecast.length", "growth: expected ", pairs.size(), " values at second visits, got ",
         values.size());
}

}  // namespace detail

/// follow_up (n): values at the second visits, pairs.truth or those of a forecast. Only forward pairs count. Subjects are drawn within each
/// group. Throws Error: shape, argument (years that are not finite).
inline GrowthRatio growth_ratio(const ForecastPairs& pairs, std::span<const double> follow_up,
                                const GrowthRatioOptions& options) {
  require_forecast_pairs(pairs);
  detail::require_second_values(pairs, follow_up);
  GrowthRatio out;
  const std::array<std::array<std::span<const double>, 2>, 1> change{{{pairs.baseline, follow_up}}};
  const auto over = detail::growth_sums(pairs, options.over, change, options, out.over.pairs, out.missing),
             under = detail::growth_sums(pairs, options.under, change, options, out.under.pairs, out.missing);
  out.over.subjects = over.subjects(), out.under.subjects = under.subjects();
  out.note = detail::few_subjects(std::min(over.subjects(), under.subjects()), options);
  if (!out.note.empty()) return out;
  const auto yearly = [](const SubjectSums<2>::Sums& s) { return s[0] / s[1]; };
  const auto of_over = over.replicates(options.bootstrap, 1), of_under = under.replicates(options.bootstrap, 2);
  std::vector<std::array<double, 2>> both;
  std::array<std::vector<double>, 2> each;
  for (std::size_t b = 0; b < of_over.size(); ++b) {
    both.push_back({yearly(of_over[b]), yearly(of_under[b])});
    for (std::size_t g = 0; g < 2; ++g) each[g].push_back(both.back()[g]);
  }
  out.over.yearly = with_interval(yearly(over.total()), each[0], options.bootstrap.coverage);
  out.under.yearly = with_interval(yearly(under.total()), each[1], options.bootstrap.coverage);
  out.ratio =
      detail::ratio_estimate({out.over.yearly.value, out.under.yearly.value}, both, options.bootstrap, out.note);
  return out;
}

/// own (n): forecasts under each subject's own diagnosis; asked (n): those of the group `under` (HC) under the diagnosis of `over` (AD);
/// other rows of it do not matter. Throws Error: shape, argument (years that are not finite).
inline AskedEffect asked_effect(const ForecastPairs& pairs, std::span<const double> own, std::span<const double> asked,
                                const GrowthRatioOptions& options) {
  require_forecast_pairs(pairs);
  detail::require_second_values(pairs, own);
  detail::require_second_values(pairs, asked);
  using Span = std::span<const double>;
  AskedEffect out;
  Index of_over = 0;
  const std::array<std::array<Span, 2>, 1> truth{{{pairs.baseline, pairs.truth}}};
  const std::array<std::array<Span, 2>, 2> moved{{{own, asked}, {pairs.baseline, pairs.truth}}};
  const auto over = detail::growth_sums(pairs, options.over, truth, options, of_over, out.missing);
  const auto under = detail::growth_sums(pairs, options.under, moved, options, out.pairs, out.missing);
  out.subjects = under.subjects();
  out.note = detail::few_subjects(std::min(over.subjects(), under.subjects()), options);
  if (!out.note.empty()) return out;
  const auto statistics = [](const SubjectSums<2>::Sums& ad, const SubjectSums<3>::Sums& hc) {
    return std::array<double, 2>{hc[0] / hc[2], ad[0] / ad[1] - hc[1] / hc[2]};
  };
  const auto drawn_over = over.replicates(options.bootstrap, 1);
  const auto drawn_under = under.replicates(options.bootstrap, 2);
  std::vector<std::array<double, 2>> both;
  std::array<std::vector<double>, 2> each;
  for (std::size_t b = 0; b < drawn_over.size(); ++b) {
    both.push_back(statistics(drawn_over[b], drawn_under[b]));
    for (std::size_t k = 0; k < 2; ++k) each[k].push_back(both.back()[k]);
  }
  const std::array<double, 2> value = statistics(over.total(), under.total());
  out.yearly = with_interval(value[0], each[0], options.bootstrap.coverage);
  out.true_difference = with_interval(value[1], each[1], options.bootstrap.coverage);
  out.share = detail::ratio_estimate(value, both, options.bootstrap, out.note);
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
