// Softmax over the last axis: y_i = exp(x_i - max) / sum_j exp(x_j - max);   dx = y (dy - sum_j y_j dy_j).
// An entry of -infinity gives 0 (a row of nothing else gives NaN).
#pragma once

#include "braing3n/backend/norm.hpp"
#include "braing3n/ops/check.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// x (..., n) -> y (..., n), rows sum to 1. Throws Error (shape) when x is empty.
template <class T, Backend B>
Tensor<T, B> softmax_forward(const Tensor<T, B>& x) {
  require_elements("softmax", x);
  const Index cols = x.rank() == 0 ? 1 : x.dim(-1);
  Tensor<T, B> y(x.context(), x.shape());
  NormKernel<B>::softmax(x.context(), x.size() / cols, cols, x.data(), y.data());
  return y;
}

/// Gradient of x from y = softmax_forward(x) and dy, both (..., n).
template <class T, Backend B>
Tensor<T, B> softmax_backward(const Tensor<T, B>& y, const Tensor<T, B>& dy) {
  require_elements("softmax_backward", y);
  require_same_shape("softmax_backward", y, dy);
  require_same_context("softmax_backward", y, dy);
  const Index cols = y.rank() == 0 ? 1 : y.dim(-1);
  Tensor<T, B> dx(y.context(), y.shape());
  NormKernel<B>::softmax_backward(y.context(), y.size() / cols, cols, y.data(), dy.data(), dx.data());
  return dx;
}

}  // namespace braing3n::inline BRAING3N_ABI
