// Layer norm over the last axis (Ba, Kiros and Hinton, arXiv 1607.06450):
//   y = xhat weight + bias,   xhat = (x - mean) rstd,   rstd = (variance + eps)^-1/2   (variance divided by the width)
//   dx = rstd (g - avg(g) - xhat avg(g xhat)) with g = dy weight,   dweight += sum dy xhat,   dbias += sum dy
// Without weight and bias (DiT: the condition supplies them) only the normalisation remains; layer_norm_modulate_forward joins
// it with the modulation xhat (1 + scale) + shift of one pass over memory.
#pragma once

#include "braing3n/backend/norm.hpp"
#include "braing3n/ops/check.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct LayerNormOptions {
  double eps = 1e-6;  // timm, DiT; PyTorch's default (MONAI) is 1e-5
};

template <class T, Backend B>
struct LayerNormResult {
  Tensor<T, B> y;                    // like x
  Tensor<accum_t<T>, B> mean, rstd;  // one per row of x
};

namespace detail {

template <class T, Backend B>
LayerNormCall<T> layer_norm_call(const char* op, const Tensor<T, B>& x, const Tensor<T, B>& weight,
                                 const LayerNormOptions& options) {
  require_elements(op, x);
  if (x.rank() < 1) fail(ErrorKind::shape, "op.rank", op, ": x has shape ", x.shape(), ", expected (..., width)");
  if (!(options.eps >= 0))
    fail(ErrorKind::argument, "layer_norm.eps", op, ": expected eps of at least 0, got ", options.eps);
  LayerNormCall<T> c;
  c.cols = x.dim(-1), c.rows = x.size() / c.cols, c.rows_per_gain = c.rows;
  c.eps = options.eps;
  c.x = x.data();
  if (!weight.empty()) {
    require_shape(op, "weight", weight, Shape{c.cols});
    require_same_context(op, x, weight);
    c.gain = weight.data();
  }
  return c;
}

template <class T, Backend B>
LayerNormResult<T, B> layer_norm_run(const Tensor<T, B>& x, LayerNormCall<T>& c) {
  Context<B>& ctx = x.context();
  const Shape rows{c.rows};
  LayerNormResult<T, B> r{Tensor<T, B>(ctx, x.shape()), Tensor<accum_t<T>, B>(ctx, rows),
                          Tensor<accum_t<T>, B>(ctx, rows)};
  c.y = r.y.data(), c.mean = r.mean.data(), c.rstd = r.rstd.data();
  NormKernel<B>::layer_norm(ctx, c);
  return r;
}

}  // namespace detail

/// x (..., width); weight and bias (width), or both empty. Throws Error (shape).
template <class T, Backend B>
LayerNormResult<T, B> layer_norm_forward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias,
                                         const LayerNormOptions& options = {}) {
  auto c = detail::layer_norm_call("layer_norm", x, weight, options);
  if (weight.empty() != bias.empty())
    fail(ErrorKind::argument, "layer_norm.affine",
         "layer_norm: expected weight and bias together or neither, got one of them");
  if (!bias.empty()) {
    require_shape("layer_norm", "bias", bias, Shape{c.cols});
    c.shift = bias.data();
  }
  return detail::layer_norm_run(x, c);
}

/// xhat (1 + scale) + shift with x (N, L, width), shift and scale (N, width).
template <class T, Backend B>
LayerNormResult<T, B> layer_norm_modulate_forward(const Tensor<T, B>& x, const Tensor<T, B>& shift,
                                                  const Tensor<T, B>& scale, const LayerNormOptions& options = {}) {
  const char* op = "layer_norm_modulate";
  require_rank(op, "x", x, 3, "(N, L, width)");
  auto c = detail::layer_norm_call(op, x, Tensor<T, B>(), options);
  require_shape(op, "shift", shift, Shape{x.dim(0), c.cols});
  require_shape(op, "scale", scale, Shape{x.dim(0), c.cols});
  require_same_context(op, x, shift);
  require_same_context(op, x, scale);
  c.rows_per_gain = x.dim(1), c.gain_offset = 1, c.gain = scale.data(), c.shift = shift.data();
  return detail::layer_norm_run(x, c);
}

/// Gradient of x; r is what layer_norm_forward returned. dweight and dbias (width) are added to; leave them empty when they are
/// not wanted (or when there is no weight).
template <class T, Backend B>
Tensor<T, B> layer_norm_backward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const LayerNormResult<T, B>& r,
                                 const Tensor<T, B>& dy, Tensor<accum_t<T>, B> dweight = {},
                                 Tensor<accum_t<T>, B> dbias = {}) {
  const char* op = "layer_norm_backward";
  auto c = detail::layer_norm_call(op, x, weight, LayerNormOptions());
  require_shape(op, "dy", dy, x.shape());
  require_shape(op, "mean", r.mean, Shape{c.rows});
  require_shape(op, "rstd", r.rstd, Shape{c.rows});
  if (weight.empty() && !(dweight.empty() && dbias.empty()))
    fail(ErrorKind::argument, "layer_norm.affine",
         "layer_norm_backward: a gradient is wanted for a weight or bias that does not exist");
  if (!dweight.empty()) require_shape(op, "dweight", dweight, Shape{c.cols});
  if (!dbias.empty()) require_shape(op, "dbias", dbias, Shape{c.cols});
  Tensor<T, B> dx(x.context(), x.shape());
  Tensor<accum_t<T>, B> mean = r.mean, rstd = r.rstd;
  c.mean = mean.data(), c.rstd = rstd.data();
  NormKernel<B>::layer_norm_backward(x.context(), c,
                                     LayerNormGradients<T>{dy.data(), dx.data(), dweight.data(), dbias.data()});
  return dx;
}

}  // namespace braing3n::inline BRAING3N_ABI
