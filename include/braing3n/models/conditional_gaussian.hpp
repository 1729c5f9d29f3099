// A normal distribution of a few features of which some are observed.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A normal distribution of q features, conditioned on one feature after the other.
class ConditionalGaussian {
 public:
  /// covariance (q, q).
  ConditionalGaussian(std::vector<double> mean, std::vector<double> covariance)
      : mean_(std::move(mean)), covariance_(std::move(covariance)) {}

  /// A feature that those observed before determine keeps the value that they give.
  void observe(std::size_t i, double value) {
    const std::size_t q = mean_.size();
    const double variance = covariance_[i * q + i];
    if (variance <= smallest) return;
    const double off = (value - mean_[i]) / variance;
    std::vector<double> column(q);
    for (std::size_t j = 0; j < q; ++j) column[j] = covariance_[j * q + i];
    for (std::size_t j = 0; j < q; ++j) {
      mean_[j] += column[j] * off;
      for (std::size_t l = 0; l < q; ++l) covariance_[j * q + l] -= column[j] * column[l] / variance;
    }
  }
  const std::vector<double>& mean() const { return mean_; }
  /// L (q, q), lower triangular, with L L^T the covariance; columns of observed features are 0.
  /// Written out: q is a handful, and Eigen's LLT refuses, and its LDLT reorders, a covariance of which a part is observed.
  std::vector<double> root() const {
    const std::size_t q = mean_.size();
    std::vector<double> l(q * q, 0.0);
    for (std::size_t j = 0; j < q; ++j) {
      double pivot = covariance_[j * q + j];
      for (std::size_t k = 0; k < j; ++k) pivot -= l[j * q + k] * l[j * q + k];
      if (pivot <= smallest) continue;
      l[j * q + j] = std::sqrt(pivot);
      for (std::size_t i = j + 1; i < q; ++i) {
        double sum = covariance_[i * q + j];
        for (std::size_t k = 0; k < j; ++k) sum -= l[i * q + k] * l[j * q + k];
        l[i * q + j] = sum / l[j * q + j];
      }
    }
    return l;
  }

 private:
  static constexpr double smallest = 1e-9;  // conditions are of the order of 1
  std::vector<double> mean_, covariance_;
};

}  // namespace braing3n::inline BRAING3N_ABI
