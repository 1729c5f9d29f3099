// Gated residual, layer norm without affine part and modulation in one call (the adaptive block of DiT: Peebles and Xie, arXiv 2212.09748):
//
//   x = residual + gate branch,   y = xhat (1 + scale) + shift,   xhat = (x - mean) rstd per token
// Without a gate x is the residual itself. Tokens are (N, L, C), the condition's gate, shift and scale (N, C).
#pragma once

#include <concepts>

#include "braing3n/backend/fused.hpp"
#include "braing3n/ops/layer_norm.hpp"
#include "braing3n/ops/modulate.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T, Backend B>
struct NormModulateInputs {
  Tensor<T, B> residual;
  Tensor<T, B> gate, branch;  // both or neither
  Tensor<T, B> shift, scale;
  double eps = 1e-6;
};

template <class T, Backend B>
struct NormModulateResult {
  Tensor<T, B> x, y;
  Tensor<accum_t<T>, B> mean, rstd;  // one per token
  Tensor<T, B> xhat;                 // where the call runs in parts
};

template <class T, Backend B>
struct NormModulateBackward {
  Tensor<T, B> residual, gate, branch, shift, scale;  // like the inputs; gate and branch are empty without a gate
};

namespace detail {

template <class T, Backend B>
NormModulateCall<T> norm_modulate_call(const char* op, const NormModulateInputs<T, B>& in) {
  modulate_check(op, in.residual, "shift", in.shift);
  modulate_check(op, in.residual, "scale", in.scale);
  if (in.gate.empty() != in.branch.empty())
    fail(ErrorKind::argument, "norm_modulate.gate", op, ": expected a gate and a branch or neither, got one of them");
  if (!(in.eps >= 0)) fail(ErrorKind::argument, "layer_norm.eps", op, ": expected eps of at least 0, got ", in.eps);
  NormModulateCall<T> c;
  c.samples = in.residual.dim(0), c.tokens = in.residual.dim(1), c.cols = in.residual.dim(2), c.eps = in.eps;
  c.residual = in.residual.data(), c.shift = in.shift.data(), c.scale = in.scale.data();
  if (!in.gate.empty()) {
    modulate_check(op, in.residual, "gate", in.gate);
    require_same_shape(op, in.residual, in.branch);
    require_same_context(op, in.residual, in.branch);
    c.gate = in.gate.data(), c.branch = in.branch.data();
  }
  return c;
}

/// The same in parts.
template <class T, Backend B>
NormModulateResult<T, B> norm_modulate_parts(const NormModulateInputs<T, B>& in) {
  NormModulateResult<T, B> r;
  r.x = in.gate.empty() ? in.residual : gated_add_forward(in.residual, in.gate, in.branch);
  LayerNormResult<T, B> norm = layer_norm_forward(r.x, Tensor<T, B>(), Tensor<T, B>(), {.eps = in.eps});
  r.y = modulate_forward(norm.y, in.shift, in.scale);
  r.mean = norm.mean, r.rstd = norm.rstd, r.xhat = norm.y;
  return r;
}
template <class T, Backend B>
NormModulateBackward<T, B> norm_modulate_backward_parts(const NormModulateInputs<T, B>& in,
                                                        const NormModulateResult<T, B>& r, const Tensor<T, B>& dx,
                                                        const Tensor<T, B>& dy) {
  NormModulateBackward<T, B> d;
  ModulateGradients<T, B> m = modulate_backward(r.xhat, in.scale, dy);
  d.shift = m.dshift, d.scale = m.dscale;
  d.residual = layer_norm_backward(r.x, Tensor<T, B>(), LayerNormResult<T, B>{{}, r.mean, r.rstd}, m.dx);
  if (!dx.empty()) d.residual = add_forward(dx, d.residual);
  if (in.gate.empty()) return d;
  GateGradients<T, B> g = gate_backward(in.gate, in.branch, d.residual);
  d.gate = g.dg, d.branch = g.dx;
  return d;
}

}  // namespace detail

template <class T, Backend B>
NormModulateResult<T, B> norm_modulate_forward(const NormModulateInputs<T, B>& in) {
  NormModulateCall<T> c = detail::norm_modulate_call("norm_modulate", in);
  if constexpr (std::same_as<B, Cpu>) {
    return detail::norm_modulate_parts(in);
  } else {
    Context<B>& ctx = in.residual.context();
    const Shape tokens{c.samples * c.tokens};
    NormModulateResult<T, B> r{in.residual,
                               Tensor<T, B>(ctx, in.residual.shape()),
                               Tensor<accum_t<T>, B>(ctx, tokens),
                               Tensor<accum_t<T>, B>(ctx, tokens),
                               {}};
    if (!in.gate.empty()) r.x = Tensor<T, B>(ctx, in.residual.shape()), c.x = r.x.data();
    c.y = r.y.data(), c.mean = r.mean.data(), c.rstd = r.rstd.data();
    NormModulateKernel<B>::forward(ctx, c);
    return r;
  }
}

/// Gradients of the inputs. r is what the forward returned (its y is not read), dy the gradient of y, dx that of x from elsewhere: empty
/// when there is none. in.residual is read only where there is no gate.
template <class T, Backend B>
NormModulateBackward<T, B> norm_modulate_backward(const NormModulateInputs<T, B>& in, const NormModulateResult<T, B>& r,
                                                  const Tensor<T, B>& dx, const Tensor<T, B>& dy) {
  const char* op = "norm_modulate_backward";
  NormModulateCall<T> c = detail::norm_modulate_call(op, in);
  require_same_shape(op, in.residual, dy);
  require_same_shape(op, in.residual, r.x);
  if (!dx.empty()) require_same_shape(op, in.residual, dx);
  if constexpr (std::same_as<B, Cpu>) {
    return detail::norm_modulate_backward_parts(in, r, dx, dy);
  } else {
    Context<B>& ctx = dy.context();
    NormModulateResult<T, B> saved = r;
    NormModulateBackward<T, B> d;
    d.residual = Tensor<T, B>(ctx, dy.shape());
    d.shift = Tensor<T, B>(ctx, in.shift.shape()), d.scale = Tensor<T, B>(ctx, in.scale.shape());
    if (!in.gate.empty()) {
      d.gate = Tensor<T, B>(ctx, in.gate.shape()), d.branch = Tensor<T, B>(ctx, dy.shape());
      c.x = saved.x.data();
    }
    c.mean = saved.mean.data(), c.rstd = saved.rstd.data();
    NormModulateKernel<B>::backward(ctx, c,
                                    NormModulateGradients<T>{dx.data(), dy.data(), d.residual.data(), d.shift.data(),
                                                             d.scale.data(), d.branch.data(), d.gate.data()});
    return d;
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
