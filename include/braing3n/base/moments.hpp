// Mean, variance and standard deviation, in one place.
//
// Differences from the mean are squared, never E[x^2] - E[x]^2, which loses the spread of values with a large mean. moments() takes two
// passes over a range; Moments::add takes values one at a time, with weights (West 1979), or the moments of another part (Chan, Golub and
// LeVeque 1983). volume/statistics.hpp has the same for voxels on several threads.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <ranges>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Moments {
  double count = 0;    // of values, or the sum of their weights
  double mean = 0;     // 0 without values
  double squares = 0;  // sum of the weighted squared differences from the mean

  /// A weight of 0 changes nothing; weights are not negative.
  void add(double value, double weight = 1) {
    if (weight == 0) return;
    count += weight;
    const double before = value - mean;
    mean += before * (weight / count);
    squares += weight * before * (value - mean);
  }
  void add(const Moments& other) {
    if (other.count == 0) return;
    const double all = count + other.count, apart = other.mean - mean;
    squares += other.squares + apart * apart * (count * (other.count / all));
    mean += apart * (other.count / all);
    count = all;
  }

  /// Of the values themselves (division by the count). NaN without values.
  double variance() const { return count > 0 ? squares / count : std::numeric_limits<double>::quiet_NaN(); }
  double standard_deviation() const { return std::sqrt(variance()); }
  /// Estimates for the population that the values are a sample of (division by the count less 1). NaN for fewer than two values.
  double sample_variance() const {
    return count > 1 ? squares / (count - 1) : std::numeric_limits<double>::quiet_NaN();
  }
  double sample_standard_deviation() const { return std::sqrt(sample_variance()); }
};

/// Of projection(value) for every value of a range, in two passes.
template <std::ranges::forward_range Range, class Projection = std::identity>
Moments moments(Range&& values, Projection projection = {}) {
  Moments m;
  double sum = 0;
  for (auto&& v : values) {
    sum += static_cast<double>(std::invoke(projection, v));
    m.count += 1;
  }
  if (m.count == 0) return m;
  m.mean = sum / m.count;
  for (auto&& v : values) {
    const double apart = static_cast<double>(std::invoke(projection, v)) - m.mean;
    m.squares += apart * apart;
  }
  return m;
}

}  // namespace braing3n::inline BRAING3N_ABI
