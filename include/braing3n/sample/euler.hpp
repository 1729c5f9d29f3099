// Integration of a velocity field from t = 1 (source) to t = 0 (target) on an even grid.
#pragma once

#include <utility>

#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// x <- x - h v(x, t) with t_i = 1 - i / steps and h = 1 / steps. The velocity is never evaluated at t = 0.
/// velocity: (const Tensor&, double t) -> Tensor of the same shape. First order.
template <class T, Backend B, class Velocity>
Tensor<T, B> euler_sample(Tensor<T, B> x, int steps, Velocity&& velocity) {
  if (steps < 1) fail(ErrorKind::argument, "sample.steps", "sampler: steps must be at least 1, got ", steps);
  const double h = 1.0 / steps;
  for (int i = 0; i < steps; ++i) x = add_scaled_forward(x, velocity(std::as_const(x), 1.0 - i * h), -h);
  return x;
}

/// Heun's rule: an Euler step, then the mean of the velocities at both ends. Second order, two evaluations per step; the last
/// evaluation is at t = 0.
template <class T, Backend B, class Velocity>
Tensor<T, B> heun_sample(Tensor<T, B> x, int steps, Velocity&& velocity) {
  if (steps < 1) fail(ErrorKind::argument, "sample.steps", "sampler: steps must be at least 1, got ", steps);
  const double h = 1.0 / steps;
  for (int i = 0; i < steps; ++i) {
    const Tensor<T, B> v0 = velocity(std::as_const(x), 1.0 - i * h);
    const Tensor<T, B> predicted = add_scaled_forward(x, v0, -h);
    const Tensor<T, B> v1 = velocity(predicted, 1.0 - (i + 1) * h);
    x = add_scaled_forward(add_scaled_forward(x, v0, -0.5 * h), v1, -0.5 * h);
  }
  return x;
}

enum class Sampler { euler, heun };

/// Evaluations of the velocity for so many steps.
constexpr int evaluations(Sampler sampler, int steps) { return sampler == Sampler::heun ? 2 * steps : steps; }

template <class T, Backend B, class Velocity>
Tensor<T, B> integrate(Sampler sampler, Tensor<T, B> x, int steps, Velocity&& velocity) {
  return sampler == Sampler::heun ? heun_sample(std::move(x), steps, velocity) : euler_sample(std::move(x), steps, velocity);
}

}  // namespace braing3n::inline BRAING3N_ABI
