// All gradients of a linear layer in one call: y = act(x W^T + b).
//
//   dz = dy act'(z), dx = dz W, dW += dz^T x, db += the sum of dz over all but the last axis
#pragma once

#include <concepts>

#include "braing3n/backend/fused.hpp"
#include "braing3n/ops/linear.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// What was done, and which gradients are wanted.
template <class T, Backend B>
struct LinearBackwardOptions {
  Activation activation = Activation::none;
  Tensor<T, B> preactivation{};              // LinearResult::preactivation; only with an activation
  bool input = true;                         // whether dx is wanted
  Tensor<accum_t<T>, B>* dweight = nullptr;  // (out, in), added to; null: not wanted
  Tensor<accum_t<T>, B>* dbias = nullptr;    // (out), the same
};

namespace detail {

/// The same in parts.
template <class T, Backend B>
Tensor<T, B> linear_backward_parts(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& dy,
                                   const LinearBackwardOptions<T, B>& o) {
  const Tensor<T, B> dz =
      o.activation == Activation::none ? dy : activation_backward(o.preactivation, dy, o.activation);
  Tensor<T, B> dx;
  if (o.input) dx = linear_backward_input(dz, weight);
  if (o.dweight != nullptr) linear_backward_weight(x, dz, *o.dweight);
  if (o.dbias != nullptr) linear_backward_bias(dz, *o.dbias);
  return dx;
}

}  // namespace detail

/// dx (..., in), or an empty tensor when it is not wanted. x (..., in), weight (out, in), dy (..., out).
template <class T, Backend B>
Tensor<T, B> linear_backward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& dy,
                             const LinearBackwardOptions<T, B>& options) {
  const char* op = "linear_backward";
  static_cast<void>(detail::linear_shape(op, x, weight));
  LinearBackwardCall<T> c;
  c.in = weight.dim(1), c.out = weight.dim(0), c.rows = x.size() / c.in;
  detail::linear_check_gradient(op, x, dy, c.out, weight);
  if (options.activation != Activation::none) {
    require_same_context(op, dy, options.preactivation);
    require_shape(op, "preactivation", options.preactivation, dy.shape());
  }
  if (options.dweight != nullptr) require_shape(op, "weight gradient", *options.dweight, weight.shape());
  if (options.dbias != nullptr) require_shape(op, "bias gradient", *options.dbias, Shape{c.out});
  if constexpr (std::same_as<B, Cpu>) {
    return detail::linear_backward_parts(x, weight, dy, options);
  } else {
    Tensor<T, B> dx;
    if (options.input) dx = Tensor<T, B>(x.context(), x.shape());
    c.activation = options.activation;
    c.x = x.data(), c.weight = weight.data(), c.dy = dy.data(), c.dx = dx.data();
    if (c.activation != Activation::none) c.preactivation = options.preactivation.data();
    if (options.dweight != nullptr) c.dweight = options.dweight->data();
    if (options.dbias != nullptr) c.dbias = options.dbias->data();
    LinearBackwardKernel<B>::run(x.context(), c);
    return dx;
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
