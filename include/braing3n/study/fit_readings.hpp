// Readings of forecasts with their intervals, from the forecasts of validation subjects; checked on unseen subjects.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include "braing3n/study/forecast_readings.hpp"
#include "braing3n/study/forecast_runs.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

namespace detail {

/// What was read, what it was, and what the standard deviation of the difference may depend on.
struct ReadErrors {
  ForecastPairs pairs;  // its truth is what should have been read
  std::vector<double> read, change;

  void add(std::int32_t subject, double years, double truth, double value, double by) {
    if (!std::isfinite(truth) || !std::isfinite(value) || !std::isfinite(by) || !(years > horizon_margin)) return;
    pairs.subject.push_back(subject), pairs.years.push_back(years);
    pairs.baseline.push_back(0), pairs.truth.push_back(truth);
    read.push_back(value), change.push_back(by);
  }
};

/// None with fewer validation subjects than the coverage needs, or where nothing was read wrong.
inline std::optional<ReadingInterval> fit_reading_interval(const ReadErrors& held, const ReadErrors& unseen,
                                                           double coverage) {
  Forecasts forecasts{.value = held.read};
  if (held.read.size() < 2 || interval_subjects(held.pairs, forecasts) < subjects_for_coverage(coverage))
    return std::nullopt;
  std::vector<double> errors;
  for (std::size_t i = 0; i < held.read.size(); ++i) errors.push_back(held.read[i] - held.pairs.truth[i]);
  ReadingInterval r{.sd = fit_forecast_error(held.pairs.years, held.change, errors), .scale = {}};
  if (!(r.sd.noise > 0)) return std::nullopt;
  for (std::size_t i = 0; i < held.read.size(); ++i) forecasts.sd.push_back(r.sd(held.pairs.years[i], held.change[i]));
  r.scale = fit_interval_scale(held.pairs, forecasts, coverage);
  Index inside = 0;
  for (std::size_t i = 0; i < unseen.read.size(); ++i)
    inside += std::abs(unseen.read[i] - unseen.pairs.truth[i]) <= r.half_width(unseen.pairs.years[i], unseen.change[i]);
  r.pairs = std::ssize(unseen.read);
  if (r.pairs > 0) r.covered = static_cast<double>(inside) / static_cast<double>(r.pairs);
  return r;
}

/// The errors of quantity q, three ways.
struct QuantityErrors {
  ReadErrors baseline, value, change;

  /// forecaster: whose follow-ups of the pairs are read.
  QuantityErrors(const ForecastProbes& probes, std::size_t q, const MeasuredQuantity& quantity, const ReadForecasts& r,
                 std::size_t forecaster, const SubjectCodes& codes) {
    const std::vector<double> before = probes(q, r.before),
                              after = probes.calibrated(q, before, probes(q, r.made.at(forecaster)), forecaster);
    const auto own = [&](double read) { return quantity.logarithm ? std::exp(read) : read; };
    const auto as_read = [&](double truth) { return quantity.logarithm ? std::log(truth) : truth; };
    std::set<Index> seen;
    for (std::size_t i = 0; i < r.pairs.size(); ++i) {
      const VisitPair& p = r.pairs[i];
      const double from = quantity.value[static_cast<std::size_t>(p.from)],
                   to = quantity.value[static_cast<std::size_t>(p.to)];
      const std::int32_t subject = codes.subject(p.from);
      // A first visit counts once, and its time plays no part: any positive number of years.
      if (seen.insert(p.from).second) baseline.add(subject, 1, as_read(from), before[i], 0);
      value.add(subject, p.years, as_read(to), after[i], after[i] - before[i]);
      const double by = own(after[i]) - own(before[i]);
      change.add(subject, p.years, to - from, by, by);
    }
  }
};

}  // namespace detail

/// held, made: forecasts of validation and of unseen subjects, of which those of this forecaster are read. The hashes, the forecaster's name and
/// the cohort are left to the caller.
inline ForecastReadings fit_readings(const ForecastProbes& probes, const std::vector<MeasuredQuantity>& quantities,
                                     const SubjectCodes& codes, const ReadForecasts& held, const ReadForecasts& made,
                                     std::size_t forecaster, double coverage) {
  ForecastReadings r;
  r.coverage = coverage;
  r.mean = probes.ridge().mean();
  r.validation_subjects = codes.subjects(held.pairs);
  for (std::size_t q = 0; q < quantities.size(); ++q) {
    const MeasuredQuantity& m = quantities[q];
    const detail::QuantityErrors fit(probes, q, m, held, forecaster, codes),
        check(probes, q, m, made, forecaster, codes);
    QuantityReading& out = r.quantities.emplace_back();
    out.name = m.name, out.unit = m.logarithm ? "ml" : "years", out.logarithm = m.logarithm;
    out.intercept = probes.ridge().intercept(q), out.weights = probes.ridge().weights(q);
    out.factor = probes.factor(q, forecaster);
    out.baseline = detail::fit_reading_interval(fit.baseline, check.baseline, coverage);
    out.value = detail::fit_reading_interval(fit.value, check.value, coverage);
    out.change = detail::fit_reading_interval(fit.change, check.change, coverage);
  }
  return r;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
