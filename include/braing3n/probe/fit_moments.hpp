// Mean and deviation of the training rows of many fits in two passes over the features.
//
// The design (design.hpp) is standardised by the statistics of all its rows. Each fit has its own training rows; what is left to
// standardise there is a small mean and a deviation near 1, in the units of the design.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "braing3n/probe/design.hpp"
#include "braing3n/probe/fit_problem.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

struct TrainingMoments {
  std::vector<double> mean, deviation;  // (features), in the units of the design
  double rows = 0, target_mean = 0;

  /// (X^T v - mean sum(v)) / deviation, and sum(v) for the intercept: products with the design in the units of the fit.
  void to_fit_units(const double* back, double sum, double* out) const {
    const std::size_t d = mean.size();
    for (std::size_t j = 0; j < d; ++j) out[j] = (back[j] - mean[j] * sum) / deviation[j];
    out[d] = sum;
  }
};

template <class T>
std::vector<TrainingMoments> training_moments(const Design<T, Cpu>& design, std::span<const FitProblem> problems,
                                              bool standardize) {
  const Index d = design.features(), columns = static_cast<Index>(problems.size());
  std::vector<double> sums(static_cast<std::size_t>(columns * d)), squares(sums.size());
  const auto mask = [&](Index, Index first, Index count, double* values) {
    for (Index r = 0; r < count; ++r)
      for (Index f = 0; f < columns; ++f)
        values[r * columns + f] = problems[static_cast<std::size_t>(f)].trains(first + r) ? 1.0 : 0.0;
  };
  design.template sweep<double>(columns, nullptr, nullptr, sums.data(), mask);
  if (standardize) design.template sweep<double>(columns, nullptr, nullptr, squares.data(), mask, true);
  std::vector<TrainingMoments> out(problems.size());
  for (std::size_t f = 0; f < problems.size(); ++f) {
    TrainingMoments& m = out[f];
    double targets = 0;
    for (Index i = 0; i < design.rows(); ++i)
      if (problems[f].trains(i)) {
        m.rows += 1;
        if (problems[f].loss == Loss::squared) targets += problems[f].target[i];
      }
    m.target_mean = targets / m.rows;
    m.mean.resize(static_cast<std::size_t>(d));
    m.deviation.assign(static_cast<std::size_t>(d), 1.0);
    for (std::size_t j = 0; j < static_cast<std::size_t>(d); ++j) {
      const std::size_t at = f * static_cast<std::size_t>(d) + j;
      m.mean[j] = sums[at] / m.rows;
      const double variance = squares[at] / m.rows - m.mean[j] * m.mean[j];
      // A feature that is constant on these rows has nothing but rounding here.
      if (standardize && variance > 1e-12 * (1.0 + m.mean[j] * m.mean[j])) m.deviation[j] = std::sqrt(variance);
    }
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
