// Pairs of visits of one scalar quantity, and forecasts of the second visit: what floors are fitted on and scores are computed from.
//
// The quantity may be a logarithm. Baseline, truth and forecast come from the same measurement (all from one probe on decoded volumes, say),
// or differences between measurements count as change.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/base/years.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// n pairs of visits. group, sex and age may be empty: unknown for all.
struct ForecastPairs {
  std::vector<std::int32_t> subject{};  // (n) codes: equal for the pairs of one subject
  std::vector<std::int32_t> group{};    // (n) codes of the diagnosis at the first visit, from 0; negative: unknown
  std::vector<std::int32_t> sex{};      // (n) 0 or 1; negative: unknown
  std::vector<double> age{};            // (n) years, at the first visit; NaN: unknown
  std::vector<double> years{};          // (n) from the first visit to the second; negative: backwards
  std::vector<double> baseline{};       // (n) the quantity at the first visit; NaN: not measured
  std::vector<double> truth{};          // (n) the quantity at the second visit; NaN: not measured

  std::size_t size() const { return baseline.size(); }
  std::int32_t group_of(std::size_t i) const { return group.empty() ? -1 : group[i]; }
  std::int32_t sex_of(std::size_t i) const { return sex.empty() ? -1 : sex[i]; }
  double age_of(std::size_t i) const { return age.empty() ? std::nan("") : age[i]; }
  double change(std::size_t i) const { return truth[i] - baseline[i]; }
  bool measured(std::size_t i) const { return std::isfinite(baseline[i]) && std::isfinite(truth[i]); }
  /// Far enough apart for a change, forwards or backwards.
  bool apart(std::size_t i) const { return std::abs(years[i]) > horizon_margin; }
};

/// Forecasts of the second visits of n pairs. sd, low and high may be empty.
struct Forecasts {
  std::vector<double> value{};        // (n) NaN: there is none
  std::vector<double> sd{};           // (n) predicted standard deviation of the error
  std::vector<double> low{}, high{};  // (n) limits of intervals (interval_scale.hpp)
};

/// Throws Error: shape (lengths that differ), argument (years that are not finite).
inline void require_forecast_pairs(const ForecastPairs& pairs) {
  const std::size_t n = pairs.size();
  const auto require = [n](const char* what, std::size_t length, bool optional) {
    if (length != n && !(optional && length == 0))
      fail(ErrorKind::shape, "forecast.length", "forecast pairs: expected ", n, " values of ", what, ", got ", length);
  };
  require("subject", pairs.subject.size(), false);
  require("group", pairs.group.size(), true);
  require("sex", pairs.sex.size(), true);
  require("age", pairs.age.size(), true);
  require("years", pairs.years.size(), false);
  require("truth", pairs.truth.size(), false);
  for (std::size_t i = 0; i < n; ++i)
    if (!std::isfinite(pairs.years[i]))
      fail(ErrorKind::argument, "forecast.years", "forecast pairs: expected finite years, got ", pairs.years[i],
           " in pair ", i);
}

/// Throws Error (shape).
inline void require_forecasts(const ForecastPairs& pairs, const Forecasts& forecasts) {
  const std::size_t n = pairs.size();
  const auto require = [n](const char* what, std::size_t length, bool optional) {
    if (length != n && !(optional && length == 0))
      fail(ErrorKind::shape, "forecast.length", "forecasts: expected ", n, " values of ", what, ", got ", length);
  };
  require("the quantity", forecasts.value.size(), false);
  require("sd", forecasts.sd.size(), true);
  require("low", forecasts.low.size(), true);
  require("high", forecasts.high.size(), forecasts.low.empty());
}

}  // namespace braing3n::inline BRAING3N_ABI
