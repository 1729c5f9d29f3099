// Recorded layers: linear, attention, norms, convolutions.
#pragma once

#include <array>
#include <concepts>
#include <utility>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/ops_basic.hpp"
#include "braing3n/ops/attention.hpp"
#include "braing3n/ops/conv3d.hpp"
#include "braing3n/ops/conv_transpose3d.hpp"
#include "braing3n/ops/group_norm.hpp"
#include "braing3n/ops/layer_norm.hpp"
#include "braing3n/ops/linear_backward.hpp"
#include "braing3n/ops/norm_modulate.hpp"
#include "braing3n/ops/upsample.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The shape (N, L, 3, heads, D) of packed queries, keys and values (N, L, 3 heads D).
inline Shape packed_heads(const Shape& qkv, Index heads) {
  if (qkv.rank() != 3 || heads < 1 || qkv[2] % (3 * heads) != 0)
    fail(ErrorKind::shape, "attention.heads", "attention: packed queries, keys and values ", qkv,
         " cannot be cut into ", heads, " heads");
  return {qkv[0], qkv[1], 3, heads, qkv[2] / (3 * heads)};
}

/// activation(x W^T + b); x (..., in), weight (out, in), bias (out) or an empty value.
template <class T, Backend B>
Var<T, B> linear(const Var<T, B>& x, const Var<T, B>& weight, const Var<T, B>& bias,
                 Activation activation = Activation::none) {
  LinearOptions<T, B> options;
  options.activation = activation;
  options.keep_preactivation = activation != Activation::none && any_wants_gradient(x, weight, bias);
  LinearResult<T, B> r = linear_forward(x.value(), weight.value(), bias.value(), options);
  return record(
      std::move(r.y),
      [sx = x.slot(), sw = weight.slot(), sb = bias.slot(), vx = x.value(), vw = weight.value(), pre = r.preactivation,
       activation, bias_shape = bias.value().shape()](auto dy) {
        LinearBackwardOptions<T, B> o{.activation = activation, .preactivation = pre, .input = sx != nullptr};
        if constexpr (std::same_as<B, Cpu>) {  // frees dy before the products
          if (activation != Activation::none) dy = activation_backward(pre, dy, activation);
          o.activation = Activation::none, o.preactivation = {};
        }
        if (sw) o.dweight = &gradient_sum(sw, dy.context(), vw.shape());
        if (sb) o.dbias = &gradient_sum(sb, dy.context(), bias_shape);
        const Tensor<T, B> dx = linear_backward(vx, vw, dy, o);
        if (sx) accumulate(sx, dx);
      },
      x, weight, bias);
}

/// residual + (x W^T + b), residual (..., out). A GPU adds it in the product's last step.
template <class T, Backend B>
Var<T, B> linear_add(const Var<T, B>& residual, const Var<T, B>& x, const Var<T, B>& weight, const Var<T, B>& bias) {
  Tensor<T, B> y;
  if constexpr (std::same_as<B, Cpu>) {
    y = add_forward(residual.value(), linear_forward(x.value(), weight.value(), bias.value()));
  } else {
    LinearOptions<T, B> options;
    options.residual = residual.value();
    y = linear_forward(x.value(), weight.value(), bias.value(), options).y;
  }
  return record(
      std::move(y),
      [sr = residual.slot(), sx = x.slot(), sw = weight.slot(), sb = bias.slot(), vx = x.value(), vw = weight.value(),
       bias_shape = bias.value().shape()](const auto& dy) {
        LinearBackwardOptions<T, B> o{.input = sx != nullptr};
        if (sw) o.dweight = &gradient_sum(sw, dy.context(), vw.shape());
        if (sb) o.dbias = &gradient_sum(sb, dy.context(), bias_shape);
        accumulate(sr, dy);
        const Tensor<T, B> dx = linear_backward(vx, vw, dy, o);
        if (sx) accumulate(sx, dx);
      },
      residual, x, weight, bias);
}

/// xhat (1 + scale) + shift with xhat the tokens x (N, L, C) normalised over C, shift and scale (N, C).
template <class T, Backend B>
Var<T, B> norm_modulate(const Var<T, B>& x, const Var<T, B>& shift, const Var<T, B>& scale, double eps) {
  NormModulateInputs<T, B> in{x.value(), {}, {}, shift.value(), scale.value(), eps};
  NormModulateResult<T, B> r = norm_modulate_forward(in);
  Tensor<T, B> y = std::move(r.y);
  r.y = {};
  return record(
      std::move(y),
      [sx = x.slot(), sh = shift.slot(), sc = scale.slot(), in, r](const auto& dy) {
        const auto d = norm_modulate_backward(in, r, Tensor<T, B>(), dy);
        accumulate(sx, d.residual);
        accumulate(sh, d.shift);
        accumulate(sc, d.scale);
      },
      x, shift, scale);
}

/// The condition's part in gated_norm_modulate, each (N, C).
template <class T, Backend B>
struct GatedModulation {
  const Var<T, B>&gate, &shift, &scale;
};

/// x = residual + gate branch, and norm_modulate(x): both (N, L, C).
template <class T, Backend B>
std::array<Var<T, B>, 2> gated_norm_modulate(const Var<T, B>& residual, const Var<T, B>& branch,
                                             const GatedModulation<T, B>& m, double eps) {
  NormModulateInputs<T, B> in{residual.value(), m.gate.value(), branch.value(), m.shift.value(), m.scale.value(), eps};
  NormModulateResult<T, B> r = norm_modulate_forward(in);
  std::array<Tensor<T, B>, 2> results = {r.x, std::move(r.y)};
  r.y = {};
  in.residual = r.x;  // of the residual the backward needs the shape alone
  return record(
      std::move(results),
      [sr = residual.slot(), sg = m.gate.slot(), sb = branch.slot(), sh = m.shift.slot(), sc = m.scale.slot(), in,
       r](const auto& dys) {
        const auto d = norm_modulate_backward(in, r, dys[0], dys[1]);
        accumulate(sr, d.residual);
        accumulate(sg, d.gate);
        accumulate(sb, d.branch);
        accumulate(sh, d.shift);
        accumulate(sc, d.scale);
      },
      residual, m.gate, branch, m.shift, m.scale);
}

/// Self attention on packed queries, keys and values: qkv (N, L, 3 heads D) -> (N, L, heads D).
template <class T, Backend B>
Var<T, B> attention(const Var<T, B>& qkv, Index heads) {
  const Tensor<T, B> packed = qkv.value().reshape(packed_heads(qkv.shape(), heads));
  AttentionResult<T, B> r = attention_forward(packed);
  Tensor<T, B> y = r.y;
  return record(
      std::move(y),
      [slot = qkv.slot(), packed, r, shape = qkv.shape()](const auto& dy) {
        accumulate(slot, attention_backward(packed, r, dy).reshape(shape));
      },
      qkv);
}

/// q (N, Lq, H, D), k and v (N, Lk, H, D) -> (N, Lq, H D)
template <class T, Backend B>
Var<T, B> attention(const Var<T, B>& q, const Var<T, B>& k, const Var<T, B>& v) {
  AttentionResult<T, B> r = attention_forward(q.value(), k.value(), v.value());
  Tensor<T, B> y = r.y;
  return record(
      std::move(y),
      [sq = q.slot(), sk = k.slot(), sv = v.slot(), vq = q.value(), vk = k.value(), vv = v.value(), r](const auto& dy) {
        const auto d = attention_backward(vq, vk, vv, r, dy);
        accumulate(sq, d.dq);
        accumulate(sk, d.dk);
        accumulate(sv, d.dv);
      },
      q, k, v);
}

/// Over the last axis; weight and bias (C), or both empty values.
template <class T, Backend B>
Var<T, B> layer_norm(const Var<T, B>& x, const Var<T, B>& weight, const Var<T, B>& bias, double eps) {
  LayerNormResult<T, B> r = layer_norm_forward(x.value(), weight.value(), bias.value(), {.eps = eps});
  Tensor<T, B> y = std::move(r.y);
  r.y = {};
  return record(
      std::move(y),
      [sx = x.slot(), sw = weight.slot(), sb = bias.slot(), vx = x.value(), vw = weight.value(), r](const auto& dy) {
        Tensor<accum_t<T>, B> dweight, dbias;
        if (sw) dweight = gradient_sum(sw, dy.context(), vw.shape());
        if (sb) dbias = gradient_sum(sb, dy.context(), vw.shape());
        accumulate(sx, layer_norm_backward(vx, vw, r, dy, dweight, dbias));
      },
      x, weight, bias);
}

/// x (N, X, Y, Z, C), per sample and group of channels, optionally followed by SiLU. x is taken by value: without a recording, a
/// tensor that is not shared is overwritten.
template <class T, Backend B>
Var<T, B> group_norm(Var<T, B> x, const Var<T, B>& weight, const Var<T, B>& bias, const GroupNormOptions& options) {
  if (!any_wants_gradient(x, weight, bias))
    return group_norm_forward(std::move(x).take(), weight.value(), bias.value(), options).y;
  GroupNormResult<T, B> r = group_norm_forward(x.value(), weight.value(), bias.value(), options);
  Tensor<T, B> y = std::move(r.y);
  r.y = {};
  return record(
      std::move(y),
      [sx = x.slot(), sw = weight.slot(), sb = bias.slot(), vx = x.value(), vw = weight.value(), vb = bias.value(), r,
       options](const auto& dy) {
        Tensor<accum_t<T>, B> dweight, dbias;
        if (sw) dweight = gradient_sum(sw, dy.context(), vw.shape());
        if (sb) dbias = gradient_sum(sb, dy.context(), vw.shape());
        accumulate(sx, group_norm_backward(vx, vw, vb, r, dy, options, dweight, dbias));
      },
      x, weight, bias);
}

/// residual + conv3d(x, weight, bias); an empty residual counts as zero.
template <class T, Backend B>
Var<T, B> conv3d_add(const Var<T, B>& residual, const Var<T, B>& x, const Var<T, B>& weight, const Var<T, B>& bias,
                     const Conv3dOptions& options) {
  return record(
      conv3d_forward(x.value(), weight.value(), bias.value(), options, residual.value()),
      [sr = residual.slot(), sx = x.slot(), sw = weight.slot(), sb = bias.slot(), vx = x.value(), vw = weight.value(),
       bias_shape = bias.value().shape(), options](const auto& dy) {
        accumulate(sr, dy);
        if (sx) accumulate(sx, conv3d_backward_input(dy, vw, vx.shape(), options));
        if (sw) conv3d_backward_weight(vx, dy, options, gradient_sum(sw, dy.context(), vw.shape()));
        if (sb) conv3d_backward_bias(dy, gradient_sum(sb, dy.context(), bias_shape));
      },
      residual, x, weight, bias);
}

/// x (N, X, Y, Z, in), weight (k, k, k, in, out), bias (out) -> (N, X', Y', Z', out)
template <class T, Backend B>
Var<T, B> conv3d(const Var<T, B>& x, const Var<T, B>& weight, const Var<T, B>& bias, const Conv3dOptions& options) {
  return conv3d_add(Var<T, B>(), x, weight, bias, options);
}

/// conv3d(upsample_nearest2(x), weight, bias) with weight (3, 3, 3, in, out), without the upsampled copy.
template <class T, Backend B>
Var<T, B> upsample_conv3d(const Var<T, B>& x, const Var<T, B>& weight, const Var<T, B>& bias) {
  return record(
      upsample_conv3d_forward(x.value(), weight.value(), bias.value()),
      [sx = x.slot(), sw = weight.slot(), sb = bias.slot(), vx = x.value(), vw = weight.value(),
       bias_shape = bias.value().shape()](const auto& dy) {
        if (sx) accumulate(sx, upsample_conv3d_backward_input(dy, vw));
        if (sw) upsample_conv3d_backward_weight(vx, dy, gradient_sum(sw, dy.context(), vw.shape()));
        if (sb) conv3d_backward_bias(dy, gradient_sum(sb, dy.context(), bias_shape));
      },
      x, weight, bias);
}

/// Kernel = stride = 2: x (N, X, Y, Z, in), weight (2, 2, 2, in, out), bias (out) -> (N, 2X, 2Y, 2Z, out)
template <class T, Backend B>
Var<T, B> conv_transpose3d(const Var<T, B>& x, const Var<T, B>& weight, const Var<T, B>& bias) {
  return record(
      conv_transpose3d_forward(x.value(), weight.value(), bias.value()),
      [sx = x.slot(), sw = weight.slot(), sb = bias.slot(), vx = x.value(), vw = weight.value(),
       bias_shape = bias.value().shape()](const auto& dy) {
        if (sx) accumulate(sx, conv_transpose3d_backward_input(dy, vw));
        if (sw) conv_transpose3d_backward_weight(vx, dy, gradient_sum(sw, dy.context(), vw.shape()));
        if (sb) conv_transpose3d_backward_bias(dy, gradient_sum(sb, dy.context(), bias_shape));
      },
      x, weight, bias);
}

// What braing3n::compiled holds of this file.
#define BRAING3N_LAYER_OPS(declare, T, B)                                                                  \
  declare Var<T, B> linear(const Var<T, B>&, const Var<T, B>&, const Var<T, B>&, Activation);              \
  declare LinearResult<T, B> linear_forward(const Tensor<T, B>&, const Tensor<T, B>&, const Tensor<T, B>&, \
                                            const LinearOptions<T, B>&);                                   \
  declare Tensor<std::uint8_t, B> pack_weight(const Tensor<T, B>&);                                        \
  declare Var<T, B> attention(const Var<T, B>&, Index);                                                    \
  declare Var<T, B> attention(const Var<T, B>&, const Var<T, B>&, const Var<T, B>&);                       \
  declare Tensor<accum_t<T>, B> attention_weights(const Tensor<T, B>&, const AttentionOptions&);           \
  declare Var<T, B> layer_norm(const Var<T, B>&, const Var<T, B>&, const Var<T, B>&, double);              \
  declare Var<T, B> group_norm(Var<T, B>, const Var<T, B>&, const Var<T, B>&, const GroupNormOptions&);    \
  declare Var<T, B> conv3d_add(const Var<T, B>&, const Var<T, B>&, const Var<T, B>&, const Var<T, B>&,     \
                               const Conv3dOptions&);                                                      \
  declare Var<T, B> upsample_conv3d(const Var<T, B>&, const Var<T, B>&, const Var<T, B>&);                 \
  declare Var<T, B> conv_transpose3d(const Var<T, B>&, const Var<T, B>&, const Var<T, B>&)
BRAING3N_COMPILED_OPS(BRAING3N_LAYER_OPS)

}  // namespace braing3n::inline BRAING3N_ABI
