// How much of the change between two visits is noise of their scans.
#pragma once

#include <cmath>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// Every row times a number of its own.
inline Tensor<double, Cpu> scaled_rows(const Tensor<double, Cpu>& x, const std::vector<double>& by) {
  Tensor<double, Cpu> y = x.clone();
  for (Index r = 0; r < x.dim(0); ++r)
    for (Index c = 0; c < x.dim(1); ++c) y.data()[r * x.dim(1) + c] *= by[static_cast<std::size_t>(r)];
  return y;
}

/// What a prediction with coefficients (D, p), the first k of the directions, has in common with noise of covariance (k, D): the trace of A N.
inline double shared_noise(const Tensor<double, Cpu>& coefficients, const Tensor<double, Cpu>& noise) {
  const Index p = coefficients.dim(1), width = noise.dim(1);
  double sum = 0;
  for (Index i = 0; i < width; ++i)
    for (Index k = 0; k < noise.dim(0); ++k) sum += coefficients.data()[i * p + k] * noise.data()[k * width + i];
  return sum;
}

/// The covariance N of scan noise between k directions and the D values of the latents, from changes over various times: least squares of their
/// products on 2 N + dt^2 M. Where all times are much alike nothing tells noise from change, and all change counts as noise: a rate then
/// seems to depend on the middle between the visits instead of the first.
class NoiseFit {
 public:
  using Matrix = Tensor<double, Cpu>;

  NoiseFit(Context<Cpu>& ctx, Index k, Index width)
      : plain_(Matrix::zeros(ctx, {k, width})), by_time_(Matrix::zeros(ctx, {k, width})) {}

  /// along (n, k): changes in the directions; change (n, D); horizon: years at which change and noise are alike.
  void add(const Matrix& along, const Matrix& change, const std::vector<double>& years, double horizon) {
    std::vector<double> weights, times;
    for (const double y : years) {
      const double t = y * y,
                   w = 1 / std::pow(1 + t / (horizon * horizon), 2);  // 1 over the variance of a squared change
      weights.push_back(w), times.push_back(w * t);
      s0_ += w, s1_ += w * t, s2_ += w * t * t;
    }
    plain_ =
        add_scaled_forward(plain_, matmul_forward(scaled_rows(along, weights), change, {.transpose_a = true}), 1.0);
    by_time_ =
        add_scaled_forward(by_time_, matmul_forward(scaled_rows(along, times), change, {.transpose_a = true}), 1.0);
  }
  Matrix noise() const {
    const double spread = s2_ * s0_ - s1_ * s1_;
    if (!(spread > 0.25 * s1_ * s1_)) return scale_forward(plain_, 0.5 / s0_);
    return add_scaled_forward(scale_forward(plain_, 0.5 * s2_ / spread), by_time_, -0.5 * s1_ / spread);
  }

 private:
  Matrix plain_, by_time_;  // sums of products, and of products times dt^2
  double s0_ = 0, s1_ = 0, s2_ = 0;
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
