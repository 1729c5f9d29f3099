// Linear layer on the last axis: y = x W^T + b, with PyTorch's weight layout.
//
//   x (..., in), W (out, in), b (out), y (..., out)
//   dx = dy W, dW += dy^T x, db += sum of dy over all but the last axis
// At inference the activation and a residual are applied while the result is still in cache, and the weight may come in the
// order the product reads it (pack_weight).
#pragma once

#include <cstdint>

#include "braing3n/backend/gemm.hpp"
#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// What linear_forward does beside the product, in this order: + bias; keep the preactivation; activation; + residual.
template <class T, Backend B>
struct LinearOptions {
  Activation activation = Activation::none;
  bool keep_preactivation = false;   // LinearResult::preactivation, for activation_backward
  Tensor<T, B> residual{};           // (..., out), added to the result
  Tensor<std::uint8_t, B> packed{};  // from pack_weight(weight); the weight itself is then not read
};

template <class T, Backend B>
struct LinearResult {
  Tensor<T, B> y;
  Tensor<T, B> preactivation;  // empty unless asked for
};

namespace detail {

template <class T, class U, Backend B>
Shape linear_shape(const char* op, const Tensor<T, B>& x, const Tensor<U, B>& weight) {
  require_elements(op, x);
  require_rank(op, "weight", weight, 2, "(out, in)");
  require_same_context(op, x, weight);
  if (x.rank() < 1 || x.dim(-1) != weight.dim(1))
    fail(ErrorKind::shape, "linear.features", op, ": input ", x.shape(), " has ", x.rank() < 1 ? Index{1} : x.dim(-1),
         " features, weight ", weight.shape(), " wants ", weight.dim(1));
  require_elements(op, weight);
  return x.shape().with(-1, weight.dim(0));
}

template <class T, class U, Backend B>
void linear_check_gradient(const char* op, const Tensor<T, B>& x, const Tensor<T, B>& dy, Index out,
                           const Tensor<U, B>& of) {
  require_elements(op, dy);
  require_same_context(op, x, dy);
  if (!(dy.shape() == x.shape().with(-1, out)))
    fail(ErrorKind::shape, "linear.gradient", op, ": upstream gradient ", dy.shape(), " does not fit input ", x.shape(),
         " and ", of.shape());
}

}  // namespace detail

/// x (..., in), weight (out, in), bias (out) or empty.
template <class T, Backend B>
LinearResult<T, B> linear_forward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias,
                                  const LinearOptions<T, B>& options) {
  const Shape shape = detail::linear_shape("linear", x, weight);
  const Index in = weight.dim(1), out = weight.dim(0), rows = x.size() / in;
  LinearResult<T, B> r{Tensor<T, B>(x.context(), shape), {}};
  GemmCall<T> call;
  call.m = rows, call.n = out, call.k = in;
  call.a = x.data(), call.a_row = in, call.a_col = 1;
  call.b = weight.data(), call.b_row = 1, call.b_col = in;
  call.c = r.y.data(), call.c_row = out;
  if (!bias.empty()) {
    require_same_context("linear", x, bias);
    require_shape("linear", "bias", bias, Shape{out});
    call.bias = bias.data();
  }
  call.activation = options.activation;
  if (options.keep_preactivation) {
    r.preactivation = Tensor<T, B>(x.context(), shape);
    call.preactivation = r.preactivation.data();
  }
  if (!options.residual.empty()) {
    require_same_context("linear", x, options.residual);
    require_shape("linear", "residual", options.residual, shape);
    call.residual = options.residual.data(), call.residual_row = out;
  }
  if (!options.packed.empty()) call.packed_b = options.packed.data();
  ProductKernel<B>::run(x.context(), call);
  return r;
}
template <class T, Backend B>
Tensor<T, B> linear_forward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias = {}) {
  return linear_forward(x, weight, bias, LinearOptions<T, B>{}).y;
}

/// The weight in the order the context's product reads it, or an empty tensor when it keeps none. Valid for this weight's
/// values, this context and linear_forward only.
template <class T, Backend B>
Tensor<std::uint8_t, B> pack_weight(const Tensor<T, B>& weight) {
  require_rank("pack_weight", "weight", weight, 2, "(out, in)");
  require_elements("pack_weight", weight);
  return ProductKernel<B>::pack(weight.context(), weight.dim(1), weight.dim(0), weight.data(), Index{1}, weight.dim(1));
}

/// dx (..., in) = dy W for dy (..., out).
template <class T, Backend B>
Tensor<T, B> linear_backward_input(const Tensor<T, B>& dy, const Tensor<T, B>& weight) {
  require_elements("linear_backward_input", dy);
  require_rank("linear_backward_input", "weight", weight, 2, "(out, in)");
  require_same_context("linear_backward_input", dy, weight);
  const Index in = weight.dim(1), out = weight.dim(0);
  if (dy.rank() < 1 || dy.dim(-1) != out)
    fail(ErrorKind::shape, "linear.gradient", "linear_backward_input: upstream gradient ", dy.shape(),
         " does not fit weight ", weight.shape());
  Tensor<T, B> dx(dy.context(), dy.shape().with(-1, in));
  GemmCall<T> call;
  call.m = dy.size() / out, call.n = in, call.k = out;
  call.a = dy.data(), call.a_row = out, call.a_col = 1;
  call.b = weight.data(), call.b_row = in, call.b_col = 1;
  call.c = dx.data(), call.c_row = in;
  ProductKernel<B>::run(dy.context(), call);
  return dx;
}

/// dweight (out, in) += dy^T x.
template <class T, Backend B>
void linear_backward_weight(const Tensor<T, B>& x, const Tensor<T, B>& dy, Tensor<accum_t<T>, B>& dweight) {
  static_cast<void>(detail::linear_shape("linear_backward_weight", x, dweight));
  const Index in = dweight.dim(1), out = dweight.dim(0);
  detail::linear_check_gradient("linear_backward_weight", x, dy, out, dweight);
  GemmCall<T> call;
  call.m = out, call.n = in, call.k = x.size() / in;
  call.a = dy.data(), call.a_row = 1, call.a_col = out;
  call.b = x.data(), call.b_row = in, call.b_col = 1;
  if constexpr (std::is_same_v<T, accum_t<T>>) call.c = dweight.data();
  else call.sums = dweight.data();
  call.c_row = in;
  call.accumulate = true;
  ProductKernel<B>::run(x.context(), call);
}

/// dbias (out) += the sum of dy (..., out) over all but the last axis.
template <class T, Backend B>
void linear_backward_bias(const Tensor<T, B>& dy, Tensor<accum_t<T>, B>& dbias) {
  require_rank("linear_backward_bias", "bias gradient", dbias, 1, "(out)");
  add_broadcast_backward(dy, dbias);
}

}  // namespace braing3n::inline BRAING3N_ABI
