// The standard deviation of a forecast's error from its horizon and from the change that it forecasts.
//
// Who changes fast is also forecast worse: rates of change vary between subjects by a share of the rate itself. So
//   sd(years, change)^2 = noise^2 + (yearly years)^2 + (relative change)^2
// with error_growth.hpp as the special case relative = 0. Intervals of equal coverage are narrower on average when their width follows the
// subject. All three by maximum likelihood of errors that are normal with mean 0: for given shares of the three parts the scale is in closed
// form, and the shares are searched on a grid that is refined around its best point.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "braing3n/eval/forecast_pairs.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ForecastError {
  double noise = 0;     // standard deviation without time or change, in the unit of the quantity
  double yearly = 0;    // of the yearly error
  double relative = 0;  // of the error, as a share of the forecast change

  /// The standard deviation of the error of a forecast by `change`, after `years`.
  double operator()(double years, double change) const { return std::hypot(noise, yearly * years, relative * change); }

  static void visit(auto& self, auto&& v) {
    v("noise", self.noise);
    v("yearly", self.yearly);
    v("relative", self.relative);
  }
};

namespace detail {

/// Noise is at least this share of the variance, so that no standard deviation is 0.
inline constexpr double least_noise = 1e-4;

/// Squared errors, with the squares that they may grow with, each over its mean: 1, years^2, change^2.
struct ErrorParts {
  std::vector<double> square;
  std::array<std::vector<double>, 3> part;
  std::array<double, 3> mean{1, 0, 0};
  bool varies[3] = {true, false, false};  // whether the part differs between the errors at all

  double variance(std::size_t i, const std::array<double, 3>& share) const {
    return std::max(share[0] + share[1] * part[1][i] + share[2] * part[2][i], 1e-12);
  }
  double scale(const std::array<double, 3>& share) const {
    double sum = 0;
    for (std::size_t i = 0; i < square.size(); ++i) sum += square[i] / variance(i, share);
    return sum / static_cast<double>(square.size());
  }
  /// Twice the negative logarithm of the likelihood for each error, at the best scale.
  double loss(const std::array<double, 3>& share) const {
    double sum = 0;
    for (std::size_t i = 0; i < square.size(); ++i) sum += std::log(variance(i, share));
    return std::log(scale(share)) + sum / static_cast<double>(square.size());
  }
};

inline ErrorParts error_parts(std::span<const double> years, std::span<const double> change,
                              std::span<const double> error) {
  ErrorParts p;
  for (std::size_t i = 0; i < error.size(); ++i) {
    if (!std::isfinite(years[i]) || !std::isfinite(change[i]) || !std::isfinite(error[i]))
      fail(ErrorKind::argument, "forecast_error.finite", "forecast error: expected finite values, got ", error[i],
           " after ", years[i], " years with a change of ", change[i]);
    p.square.push_back(error[i] * error[i]);
    p.part[1].push_back(years[i] * years[i]);
    p.part[2].push_back(change[i] * change[i]);
  }
  for (std::size_t k = 1; k < 3; ++k) {
    std::vector<double>& part = p.part[k];
    const auto [low, high] = std::minmax_element(part.begin(), part.end());
    p.varies[k] = *high - *low > 1e-9 * *high;
    if (!p.varies[k]) continue;
    double sum = 0;
    for (const double v : part) sum += v;
    p.mean[k] = sum / static_cast<double>(part.size());
    for (double& v : part) v /= p.mean[k];
  }
  return p;
}

}  // namespace detail

/// error (n): forecast - truth, after years (n), of a forecast by change (n). A part that is the same for all errors is not told from noise and
/// stays 0. Throws Error: shape (lengths that differ), argument (fewer than two errors, values that are not finite).
inline ForecastError fit_forecast_error(std::span<const double> years, std::span<const double> change,
                                        std::span<const double> error) {
  if (years.size() != error.size() || change.size() != error.size())
    fail(ErrorKind::shape, "forecast_error.length", "forecast error: ", years.size(), " horizons, ", change.size(),
         " changes, ", error.size(), " errors");
  if (error.size() < 2)
    fail(ErrorKind::argument, "forecast_error.few", "forecast error: expected at least two errors, got ", error.size());
  const detail::ErrorParts parts = detail::error_parts(years, change, error);
  std::array<double, 3> best{1, 0, 0};
  if (!(parts.scale(best) > 0)) return {};
  double least = parts.loss(best);
  for (double step = 1.0 / 8; step > 1e-7; step /= 4) {
    const std::array<double, 3> centre = best;
    for (int a = -8; a <= 8; ++a)
      for (int b = -8; b <= 8; ++b) {
        const double by_years = centre[1] + a * step, by_change = centre[2] + b * step;
        if (by_years < 0 || by_change < 0 || by_years + by_change > 1 - detail::least_noise) continue;
        if ((by_years > 0 && !parts.varies[1]) || (by_change > 0 && !parts.varies[2])) continue;
        const std::array<double, 3> share{1 - by_years - by_change, by_years, by_change};
        if (const double here = parts.loss(share); here < least) least = here, best = share;
      }
  }
  const double s = parts.scale(best);
  const auto size = [&](std::size_t k) { return best[k] > 0 ? std::sqrt(s * best[k] / parts.mean[k]) : 0.0; };
  return {size(0), size(1), size(2)};
}

/// The standard deviation of two sets of forecasts from the errors of the first; with fewer than two errors neither gets one.
inline void fit_error_sd(const ForecastPairs& validation, Forecasts& held, const ForecastPairs& test, Forecasts& made) {
  std::vector<double> years, changes, errors;
  for (std::size_t i = 0; i < held.value.size(); ++i)
    if (validation.measured(i) && std::isfinite(held.value[i])) {
      years.push_back(validation.years[i]), changes.push_back(held.value[i] - validation.baseline[i]);
      errors.push_back(held.value[i] - validation.truth[i]);
    }
  if (errors.size() < 2) return;
  const ForecastError sd = fit_forecast_error(years, changes, errors);
  const auto fill = [&sd](const ForecastPairs& pairs, Forecasts& f) {
    f.sd.clear();
    for (std::size_t i = 0; i < f.value.size(); ++i) f.sd.push_back(sd(pairs.years[i], f.value[i] - pairs.baseline[i]));
  };
  fill(validation, held), fill(test, made);
}

}  // namespace braing3n::inline BRAING3N_ABI
