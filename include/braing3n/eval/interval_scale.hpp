// Intervals value +- factor sd that hold for a given share of the pairs of new subjects, from the errors on validation subjects.
//
// Split conformal prediction with whole subjects as units (Lee, Barber and Willett 2023, "Distribution-free inference with hierarchical data"):
// with m validation subjects, each has the mass 1 / (m + 1), divided evenly between its pairs, and the remaining 1 / (m + 1) lies at infinity;
// the factor is the smallest |truth - forecast| / sd at which the mass reaches the coverage. If validation subjects and a new one are
// exchangeable, a pair drawn from the new subject is covered at least that often, whatever the distribution of the errors and however alike
// the pairs of a subject are. The sd may depend on the horizon (error_growth.hpp) or on the scan (an ensemble): it decides
// where intervals are wide, the factor only by how much.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "braing3n/eval/forecast_pairs.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Of one quantity.
struct IntervalScale {
  double coverage = 0.9;          // that is aimed at
  double factor = 0;              // half the width of an interval, in standard deviations
  Index pairs = 0, subjects = 0;  // of the validation

  static void visit(auto& self, auto&& v) {
    v("coverage", self.coverage);
    v("factor", self.factor);
    v("pairs", self.pairs);
    v("subjects", self.subjects);
  }
};

/// Subjects whose pairs a coverage needs: 9 for 90 %.
inline Index subjects_for_coverage(double coverage) {
  return static_cast<Index>(std::ceil(coverage / (1 - coverage) - 1e-9));
}

/// Subjects with a pair that counts below.
inline Index interval_subjects(const ForecastPairs& validation, const Forecasts& forecasts) {
  std::set<std::int32_t> subjects;
  for (std::size_t i = 0; i < validation.size() && i < forecasts.value.size(); ++i)
    if (validation.years[i] > horizon_margin && validation.measured(i) && std::isfinite(forecasts.value[i]))
      subjects.insert(validation.subject[i]);
  return std::ssize(subjects);
}

/// validation: pairs of subjects who trained nothing, with their forecasts and sd. Pairs without a measurement or a forecast, repeats and
/// backward pairs do not count, as in forecast_scores(). Throws Error: shape, argument (coverage not in (0, 1); fewer subjects than the
/// coverage needs: 9 for 90 %), numeric (an sd that is not positive).
inline IntervalScale fit_interval_scale(const ForecastPairs& validation, const Forecasts& forecasts,
                                        double coverage = 0.9) {
  require_forecast_pairs(validation);
  require_forecasts(validation, forecasts);
  if (!(coverage > 0 && coverage < 1))
    fail(ErrorKind::argument, "interval_scale.coverage", "interval scale: expected a coverage in (0, 1), got ",
         coverage);
  if (forecasts.sd.size() != validation.size())
    fail(ErrorKind::shape, "interval_scale.sd", "interval scale: expected ", validation.size(),
         " standard deviations, got ", forecasts.sd.size());
  std::vector<std::pair<double, std::int32_t>> errors;  // in standard deviations, with the subject
  std::map<std::int32_t, Index> pairs_of;
  for (std::size_t i = 0; i < validation.size(); ++i) {
    if (validation.years[i] <= horizon_margin || !validation.measured(i) || !std::isfinite(forecasts.value[i]))
      continue;
    const double sd = forecasts.sd[i];
    if (!(sd > 0) || !std::isfinite(sd))
      fail(ErrorKind::numeric, "interval_scale.sd", "interval scale: expected a positive standard deviation, got ", sd,
           " for pair ", i);
    errors.emplace_back(std::abs(validation.truth[i] - forecasts.value[i]) / sd, validation.subject[i]);
    pairs_of[validation.subject[i]] += 1;
  }
  const double mass = 1 / static_cast<double>(pairs_of.size() + 1);
  constexpr double rounding = 1e-9;
  if (std::ssize(pairs_of) < subjects_for_coverage(coverage))
    fail(ErrorKind::argument, "interval_scale.subjects", "interval scale: a coverage of ", coverage,
         " needs the pairs of at least ", subjects_for_coverage(coverage), " subjects, got ", pairs_of.size());
  std::sort(errors.begin(), errors.end());
  IntervalScale out{.coverage = coverage, .pairs = std::ssize(errors), .subjects = std::ssize(pairs_of)};
  double reached = 0;
  for (const auto& [error, subject] : errors) {
    reached += mass / static_cast<double>(pairs_of[subject]);
    out.factor = error;
    if (reached >= coverage - rounding) break;
  }
  return out;
}

/// low and high of every forecast: value -+ factor sd. Throws Error (shape) without sd.
inline Forecasts with_intervals(Forecasts forecasts, const IntervalScale& scale) {
  if (forecasts.sd.size() != forecasts.value.size())
    fail(ErrorKind::shape, "interval_scale.sd", "intervals: expected ", forecasts.value.size(),
         " standard deviations, got ", forecasts.sd.size());
  forecasts.low.clear(), forecasts.high.clear();
  for (std::size_t i = 0; i < forecasts.value.size(); ++i) {
    forecasts.low.push_back(forecasts.value[i] - scale.factor * forecasts.sd[i]);
    forecasts.high.push_back(forecasts.value[i] + scale.factor * forecasts.sd[i]);
  }
  return forecasts;
}

}  // namespace braing3n::inline BRAING3N_ABI
