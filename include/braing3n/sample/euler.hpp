// Integration of a velocity field from t = 1 (source) to t = 0 (target).
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Times of the steps: t = s u / (1 + (s - 1) u) for even u from 1 to 0 (the shift of Esser et al. 2024, arXiv 2403.03206).
/// An s above 1 makes steps near the noise shorter, where the directions of largest variance between samples are determined; 1 is an even grid.
class TimeGrid {
 public:
  /// Throws Error (argument): steps below 1, a shift that is not a positive number.
  TimeGrid(int steps, double shift = 1)
      : steps_(steps), shift_(shift) {  // NOLINT(google-explicit-constructor): a count is an even grid
    if (steps < 1) fail(ErrorKind::argument, "sample.steps", "sampler: expected at least 1 step, got ", steps);
    if (!(shift > 0) || std::isinf(shift))
      fail(ErrorKind::argument, "sample.shift", "sampler: a shift of ", shift, ", expected a positive number");
  }
  int steps() const { return steps_; }
  double at(int i) const {
    const double u = 1.0 - i * (1.0 / steps_);
    return shift_ == 1 ? u : shift_ * u / (1 + (shift_ - 1) * u);
  }
  /// From at(i) to at(i + 1).
  double length(int i) const { return shift_ == 1 ? 1.0 / steps_ : at(i) - at(i + 1); }

 private:
  int steps_;
  double shift_;
};

/// x <- x - h v(x, t) with h the length of the step from t. The velocity is never evaluated at t = 0.
/// velocity: (const Tensor&, double t) -> Tensor of the same shape. First order.
template <class T, Backend B, class Velocity>
Tensor<T, B> euler_sample(Tensor<T, B> x, const TimeGrid& grid, Velocity&& velocity) {
  for (int i = 0; i < grid.steps(); ++i)
    x = add_scaled_forward(x, velocity(std::as_const(x), grid.at(i)), -grid.length(i));
  return x;
}

/// Heun's rule: an Euler step, then the mean of the velocities at both ends. Second order, two evaluations per step; the last
/// evaluation is at t = 0.
template <class T, Backend B, class Velocity>
Tensor<T, B> heun_sample(Tensor<T, B> x, const TimeGrid& grid, Velocity&& velocity) {
  for (int i = 0; i < grid.steps(); ++i) {
    const double h = grid.length(i);
    const Tensor<T, B> v0 = velocity(std::as_const(x), grid.at(i));
    const Tensor<T, B> predicted = add_scaled_forward(x, v0, -h);
    const Tensor<T, B> v1 = velocity(predicted, grid.at(i + 1));
    x = add_scaled_forward(add_scaled_forward(x, v0, -0.5 * h), v1, -0.5 * h);
  }
  return x;
}

enum class Sampler { euler, heun };

/// Evaluations of the velocity for so many steps.
constexpr int evaluations(Sampler sampler, int steps) { return sampler == Sampler::heun ? 2 * steps : steps; }

/// The times of the evaluations, in their order.
inline std::vector<double> evaluation_times(Sampler sampler, const TimeGrid& grid) {
  std::vector<double> times;
  for (int i = 0; i < grid.steps(); ++i) {
    times.push_back(grid.at(i));
    if (sampler == Sampler::heun) times.push_back(grid.at(i + 1));
  }
  return times;
}

template <class T, Backend B, class Velocity>
Tensor<T, B> integrate(Sampler sampler, Tensor<T, B> x, const TimeGrid& grid, Velocity&& velocity) {
  return sampler == Sampler::heun ? heun_sample(std::move(x), grid, velocity)
                                  : euler_sample(std::move(x), grid, velocity);
}

}  // namespace braing3n::inline BRAING3N_ABI
