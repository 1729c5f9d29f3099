// Clipping by the global norm of all gradients (Pascanu et al., arXiv 1211.5063), as torch.nn.utils.clip_grad_norm_:
//   coefficient = min(1, max_norm / (norm + 1e-6))
// The norm is a sum of squares in double, tensor by tensor in the order of the views, so it does not depend on threads. On a GPU parameters
// that stand in one block are summed in one go.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "braing3n/core/parameter_view.hpp"
#include "braing3n/ops/update.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

struct ClipFactor {
  const double* squared_norm;
  double* factor;
  double max_norm;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index) const {
    const double square = *squared_norm, by = max_norm > 0 ? max_norm / (sqrt(square) + 1e-6) : 1.0;
    *factor = is_finite_factor(square) ? (by < 1.0 ? by : 1.0) : square - square;
  }
};

}  // namespace detail

/// Sum of the squares of all gradients, a number on the backend.
template <class T, Backend B>
Tensor<double, B> squared_gradient_norm(std::span<const ParameterView<T, B>> parameters) {
  if (parameters.empty()) fail(ErrorKind::argument, "clip.empty", "gradient norm: expected parameters, got none");
  Tensor<double, B> total = scalar(parameters.front().gradient.context(), 0.0);
  if constexpr (one_launch_v<B>) {  // padding adds zeros
    if (const auto block = parameter_block(parameters)) {
      sum_to(total.context(), block->size, detail::SquareAt<T>{block->gradients}, detail::AddScalar{total.data()});
      return total;
    }
  }
  for (const ParameterView<T, B>& p : parameters)
    sum_to(total.context(), p.gradient.size(), detail::SquareAt<T>{p.gradient.data()}, detail::AddScalar{total.data()});
  return total;
}

/// The factor that clips gradients whose squares sum up to squared_norm, a number on the backend: min(1, max_norm / (norm + 1e-6)), or 1
/// where max_norm is 0 (no clipping); not finite where the norm is not.
template <Backend B>
Tensor<double, B> clip_factor(const Tensor<double, B>& squared_norm, double max_norm) {
  Tensor<double, B> factor(squared_norm.context(), Shape{});
  map(factor.context(), 1, detail::ClipFactor{squared_norm.data(), factor.data(), max_norm});
  return factor;
}

/// Throws Error (numeric) with the name of the first parameter whose gradient has a NaN or an infinity, unless squared_norm is finite.
template <class T, Backend B>
void require_finite_gradients(std::span<const ParameterView<T, B>> parameters, double squared_norm) {
  if (std::isfinite(squared_norm)) return;
  for (const ParameterView<T, B>& p : parameters)
    if (!all_finite(p.gradient))
      fail(ErrorKind::numeric, "clip.finite", "gradient norm: the gradient of ", p.name, " ", p.gradient.shape(),
           " is the first with a value that is not finite");
  fail(ErrorKind::numeric, "clip.overflow", "gradient norm: the sum of squares is ", squared_norm,
       " although every gradient is finite");
}

/// Euclidean norm of all gradients together. Waits for the backend.
/// Throws Error (numeric) with the name of the first parameter whose gradient has a NaN or an infinity.
template <class T, Backend B>
double gradient_norm(std::span<const ParameterView<T, B>> parameters) {
  const double squares = item(squared_gradient_norm(parameters));
  require_finite_gradients(parameters, squares);
  return std::sqrt(squares);
}

struct ClipResult {
  double norm;         // before clipping
  double coefficient;  // what gradients were or are to be multiplied by, <= 1
};

/// The coefficient without applying it: AdamW::step takes it as gradient_scale, which saves a pass over the gradients.
/// Throws Error (argument) unless max_norm > 0.
template <class T, Backend B>
ClipResult clip_coefficient(std::span<const ParameterView<T, B>> parameters, double max_norm) {
  if (!(max_norm > 0))
    fail(ErrorKind::argument, "clip.norm", "clip: max_norm ", max_norm, ", expected a positive number");
  const double norm = gradient_norm(parameters);
  return {norm, std::min(1.0, max_norm / (norm + 1e-6))};
}

/// Scales all gradients in place; returns the norm they had.
template <class T, Backend B>
double clip_grad_norm(std::span<ParameterView<T, B>> parameters, double max_norm) {
  const ClipResult clip = clip_coefficient(std::span<const ParameterView<T, B>>(parameters), max_norm);
  if (clip.coefficient < 1.0)
    for (ParameterView<T, B>& p : parameters) scale_in_place(p.gradient, clip.coefficient);
  return clip.norm;
}
template <class T, Backend B>
double clip_grad_norm(ParameterViews<T, B>& parameters, double max_norm) {
  return clip_grad_norm(std::span<ParameterView<T, B>>(parameters), max_norm);
}

}  // namespace braing3n::inline BRAING3N_ABI
