// How the error of a forecast grows with its horizon.
//
// Two visits differ by the noise of two measurements, whatever lies between them, and by what the forecast gets wrong every year:
//   sd(years)^2 = noise^2 + (yearly years)^2
// Both by maximum likelihood of errors that are normal with mean 0: for a given share of the second part the scale is in closed form, and
// the share is searched on a grid that is refined around its best point.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ErrorGrowth {
  double noise = 0;   // standard deviation at 0 years
  double yearly = 0;  // standard deviation of the yearly error

  /// The standard deviation of the error after `years`.
  double operator()(double years) const { return std::hypot(noise, yearly * years); }
};

/// error (n): forecast - truth, after years (n). With a single horizon all of the error is noise: no part of it is known to grow.
/// Errors (Error): shape (lengths that differ), argument (fewer than two errors, values that are not finite).
inline ErrorGrowth fit_error_growth(std::span<const double> years, std::span<const double> error) {
  if (years.size() != error.size())
    fail(ErrorKind::shape, "error_growth.length", "error growth: ", years.size(), " horizons, ", error.size(),
         " errors");
  const auto n = static_cast<double>(error.size());
  if (error.size() < 2)
    fail(ErrorKind::argument, "error_growth.few", "error growth: expected at least two errors, got ", error.size());
  std::vector<double> horizon, square;  // squares of both
  double mean = 0;
  for (std::size_t i = 0; i < error.size(); ++i) {
    if (!std::isfinite(years[i]) || !std::isfinite(error[i]))
      fail(ErrorKind::argument, "error_growth.finite", "error growth: expected finite values, got ", error[i],
           " after ", years[i], " years");
    horizon.push_back(years[i] * years[i]), square.push_back(error[i] * error[i]);
    mean += horizon.back() / n;
  }
  const auto [shortest, longest] = std::minmax_element(horizon.begin(), horizon.end());
  const bool grows = *longest - *shortest > 1e-9 * *longest;
  // Variances up to their scale, the scale that fits best, twice the negative logarithm of the likelihood for each error.
  const auto part = [&](std::size_t i, double share) {
    return std::max(1 - share + (grows ? share * horizon[i] / mean : 0.0), 1e-12);
  };
  const auto scale = [&](double share) {
    double sum = 0;
    for (std::size_t i = 0; i < square.size(); ++i) sum += square[i] / part(i, share) / n;
    return sum;
  };
  if (!(scale(0) > 0)) return {};
  const auto loss = [&](double share) {
    double sum = std::log(scale(share));
    for (std::size_t i = 0; i < square.size(); ++i) sum += std::log(part(i, share)) / n;
    return sum;
  };
  double best = 0, least = grows ? loss(0) : 0;
  for (double step = 1.0 / 32; grows && step > 1e-9; step /= 8) {
    const double centre = best;
    for (int k = -32; k <= 32; ++k) {
      const double share = std::clamp(centre + k * step, 0.0, 1.0), here = loss(share);
      if (here < least) least = here, best = share;
    }
  }
  const double s = scale(best);
  return {std::sqrt(s * (1 - best)), grows ? std::sqrt(s * best / mean) : 0.0};
}

}  // namespace braing3n::inline BRAING3N_ABI
