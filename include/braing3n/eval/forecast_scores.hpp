// Scores of forecasts of one scalar quantity, by horizon, with bootstrap intervals by subject.
//
// With true changes d = truth - baseline, forecast changes f = forecast - baseline, horizons h in years, and sums over the pairs of a band:
//   mae, bias               mean of |f - d|, mean of f - d
//   slope_true_on_forecast  of d on f, least squares with an intercept: 1 for a forecast that is as large as it should be
//   slope_on_years, r_years of f on h: the published measure; it says nothing about individuals
//   r                       of f with d
//   skill_locf              1 - sum (f - d)^2 / sum d^2: over the last value carried forward
//   skill_reference         1 - sum (f - d)^2 / sum (g - d)^2: over another forecast g (the mean rate)
//   relative_error          sum |f - d| / sum |d|: 1 for the last value carried forward
//   coverage, width         share of intervals low <= truth <= high, mean of high - low
// The floor of a skill is 0 (its reference); its ceiling, like that of r, is the score of the truth as it is measured (after a round trip
// through the tokenizer, with the noise of a scan), which is scored as a forecast like any other.
// A score that the pairs of a band do not define is NaN: slopes and r of changes or horizons that are all the same, the skill over
// a reference whose squared error is at most 1e-4 of that of the last value.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/eval/controllability.hpp"
#include "braing3n/eval/forecast_pairs.hpp"
#include "braing3n/eval/subject_bootstrap.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ForecastScoreOptions {
  std::vector<double> limits{0, 1, 3, 5, 10};  // years; the bands lie between them
  Index least_subjects = 10;                   // of a band, for any score
  BootstrapOptions bootstrap{};

  static void visit(auto& self, auto&& v) {
    v("limits", self.limits);
    v("least_subjects", self.least_subjects);
    v("bootstrap", self.bootstrap);
  }
};

/// Horizons above `above` and up to `to` years: half-open, (above, to], both moved by horizon_margin. A visit after exactly 1, 3, 5 or
/// 10 years belongs to the band that ends there; repeats belong to none.
struct HorizonBand {
  std::string name;
  double above = 0, to = 0;

  bool contains(double years) const { return years > above + horizon_margin && years <= to + horizon_margin; }
};

/// "0-1", "1-3", ... between the limits, then "all": everything above the first limit. Throws Error (argument): fewer than two limits,
/// limits that do not increase from 0 or more.
inline std::vector<HorizonBand> horizon_bands(std::span<const double> limits) {
  if (limits.size() < 2)
    fail(ErrorKind::argument, "forecast.limits", "horizon bands: expected at least two limits, got ", limits.size());
  std::vector<HorizonBand> bands;
  for (std::size_t k = 0; k < limits.size(); ++k) {
    if (!(limits[k] >= 0) || !std::isfinite(limits[k]) || (k > 0 && !(limits[k] > limits[k - 1])))
      fail(ErrorKind::argument, "forecast.limits", "horizon bands: expected limits that increase from 0 or more, got ",
           joined(limits));
    if (k > 0) bands.push_back({number_text(limits[k - 1]) + "-" + number_text(limits[k]), limits[k - 1], limits[k]});
  }
  bands.push_back({"all", limits[0], std::numeric_limits<double>::infinity()});
  return bands;
}

/// Scores of one forecaster on one quantity in one band.
struct BandScores {
  std::string band;
  Index pairs = 0, subjects = 0;  // that are scored
  Index missing = 0;              // pairs of the band without a measurement, a forecast or a reference: in no score
  std::string note;               // why there is no score
  Estimate mae, bias, slope_true_on_forecast, slope_on_years, r, r_years, skill_locf, skill_reference, relative_error,
      coverage, width;

  static void visit(auto& self, auto&& v) {
    v("band", self.band);
    v("pairs", self.pairs);
    v("subjects", self.subjects);
    v("missing", self.missing);
    v("note", self.note);
    visit_scores(self, v);
  }
  /// The scores alone, by name.
  static void visit_scores(auto& self, auto&& v) {
    v("mae", self.mae);
    v("bias", self.bias);
    v("slope_true_on_forecast", self.slope_true_on_forecast);
    v("slope_on_years", self.slope_on_years);
    v("r", self.r);
    v("r_years", self.r_years);
    v("skill_locf", self.skill_locf);
    v("skill_reference", self.skill_reference);
    v("relative_error", self.relative_error);
    v("coverage", self.coverage);
    v("width", self.width);
  }
};

namespace detail {

/// Sums over pairs: f, d and h are differences from the means of the band, so that variances lose no digits.
struct ForecastSum {
  enum : std::size_t {
    pairs,
    f,
    d,
    h,
    ff,
    dd,
    hh,
    fd,
    fh,  // for slopes and r
    error,
    error_size,
    error_square,  // forecast - truth
    change_size,
    change_square,
    reference_square,  // truth - baseline, reference - truth
    covered,
    width,
    count
  };
};
using ForecastSums = SubjectSums<ForecastSum::count>;

/// Variances below these are rounding: of changes, of horizons.
struct LeastVariances {
  double change = 0, years = 0;
};

/// In the order of BandScores::visit_scores.
inline std::array<double, 11> forecast_statistics(const ForecastSums::Sums& s, const LeastVariances& least) {
  using S = ForecastSum;
  const double n = s[S::pairs];
  const auto covariance = [&](std::size_t a, std::size_t b, std::size_t ab) { return (s[ab] - s[a] * s[b] / n) / n; };
  const auto ratio = [](double numerator, double denominator) {
    return denominator > 0 ? numerator / denominator : not_a_number;
  };
  const auto variance = [&](std::size_t a, std::size_t aa, double smallest) {
    const double v = covariance(a, a, aa);
    return v > smallest ? v : 0.0;
  };
  const double ff = variance(S::f, S::ff, least.change), dd = variance(S::d, S::dd, least.change),
               hh = variance(S::h, S::hh, least.years), fd = covariance(S::f, S::d, S::fd),
               fh = covariance(S::f, S::h, S::fh);
  return {s[S::error_size] / n, s[S::error] / n, ratio(fd, ff), ratio(fh, hh), ratio(fd, std::sqrt(ff * dd)),
          ratio(fh, std::sqrt(ff * hh)), 1 - ratio(s[S::error_square], s[S::change_square]),
          // A reference that knows the change leaves nothing to be better at: the mean rate of age.
          s[S::reference_square] > 1e-4 * s[S::change_square] ? 1 - s[S::error_square] / s[S::reference_square]
                                                              : not_a_number,
          ratio(s[S::error_size], s[S::change_size]), s[S::covered] / n, s[S::width] / n};
}

/// Why a band has no scores; empty: it has.
inline std::string few_in_band(Index subjects, const ForecastScoreOptions& options) {
  const Index least = std::max<Index>(1, options.least_subjects);
  return subjects < least ? concat(subjects, " subjects, expected at least ", least) : std::string();
}

/// The pairs of a band that can be scored, and how many cannot.
struct ScoredPairs {
  std::vector<std::size_t> pairs;
  Index missing = 0;
};
inline ScoredPairs scored_pairs(const ForecastPairs& p, const Forecasts& forecasts, std::span<const double> reference,
                                const HorizonBand& band) {
  ScoredPairs out;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (!band.contains(p.years[i])) continue;
    const bool scored =
        p.measured(i) && std::isfinite(forecasts.value[i]) && (reference.empty() || std::isfinite(reference[i])) &&
        (forecasts.low.empty() || (std::isfinite(forecasts.low[i]) && std::isfinite(forecasts.high[i])));
    if (scored) out.pairs.push_back(i);
    else out.missing += 1;
  }
  return out;
}

inline BandScores band_scores(const ForecastPairs& p, const Forecasts& forecasts, std::span<const double> reference,
                              const HorizonBand& band, const ForecastScoreOptions& options) {
  using S = ForecastSum;
  const ScoredPairs scored = scored_pairs(p, forecasts, reference, band);
  BandScores out;
  out.band = band.name, out.pairs = std::ssize(scored.pairs), out.missing = scored.missing;
  const auto mean = [&](auto&& of) { return moments(scored.pairs, of).mean; };
  const auto f = [&](std::size_t i) { return forecasts.value[i] - p.baseline[i]; };
  const double mean_f = mean(f), mean_d = mean([&](std::size_t i) { return p.change(i); }),
               mean_h = mean([&](std::size_t i) { return p.years[i]; });
  ForecastSums sums;
  double level = 0, longest = 0;
  for (const std::size_t i : scored.pairs) {
    const double x = f(i) - mean_f, y = p.change(i) - mean_d, h = p.years[i] - mean_h,
                 error = forecasts.value[i] - p.truth[i], change = p.change(i),
                 other = reference.empty() ? 0.0 : reference[i] - p.truth[i];
    const bool limits = !forecasts.low.empty();
    level = std::max({level, std::abs(p.baseline[i]), std::abs(p.truth[i]), std::abs(forecasts.value[i])});
    longest = std::max(longest, p.years[i]);
    ForecastSums::Sums terms{1, x, y, h, x * x, y * y, h * h, x * y, x * h};
    terms[S::error] = error, terms[S::error_size] = std::abs(error), terms[S::error_square] = error * error;
    terms[S::change_size] = std::abs(change), terms[S::change_square] = change * change;
    terms[S::reference_square] = other * other;
    terms[S::covered] = limits && forecasts.low[i] <= p.truth[i] && p.truth[i] <= forecasts.high[i] ? 1 : 0;
    terms[S::width] = limits ? forecasts.high[i] - forecasts.low[i] : 0;
    sums.add(p.subject[i], terms);
  }
  out.subjects = sums.subjects();
  out.note = few_in_band(out.subjects, options);
  if (!out.note.empty()) return out;
  constexpr double rounding = 1e-11;
  const LeastVariances least{(rounding * level) * (rounding * level), (rounding * longest) * (rounding * longest)};
  const auto all =
      estimates(sums, options.bootstrap, [&](const ForecastSums::Sums& s) { return forecast_statistics(s, least); });
  std::size_t k = 0;
  BandScores::visit_scores(out, [&](const char*, Estimate& e) { e = all[k++]; });
  if (reference.empty()) out.skill_reference = {};
  if (forecasts.low.empty()) out.coverage = out.width = {};
  // No replicate differs where every interval holds, or none: the limits of Wilson, each subject counted once.
  if (out.coverage.value == 0 || out.coverage.value == 1) {
    const auto [low, high] = Rate{out.coverage.value == 1 ? out.subjects : 0, out.subjects}.interval();
    out.coverage.low = low, out.coverage.high = high;
  }
  return out;
}

}  // namespace detail

/// Scores by band, "all" last. reference (n): the forecast that skill_reference compares with, or empty. Pairs with a value that is not
/// finite are counted as missing and are in no score. The order of the pairs does not matter, but for rounding.
/// Throws Error: shape (lengths that differ), argument (years that are not finite, limits).
inline std::vector<BandScores> forecast_scores(const ForecastPairs& pairs, const Forecasts& forecasts,
                                               std::span<const double> reference = {},
                                               const ForecastScoreOptions& options = {}) {
  require_forecast_pairs(pairs);
  require_forecasts(pairs, forecasts);
  if (!reference.empty() && reference.size() != pairs.size())
    fail(ErrorKind::shape, "forecast.length", "forecast scores: expected ", pairs.size(),
         " values of the reference, got ", reference.size());
  std::vector<BandScores> out;
  for (const HorizonBand& band : horizon_bands(options.limits))
    out.push_back(detail::band_scores(pairs, forecasts, reference, band, options));
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
