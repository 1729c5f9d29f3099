// Recorded element-wise, broadcasting and index ops.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/var.hpp"
#include "braing3n/ops/concat.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/embedding.hpp"
#include "braing3n/ops/gather.hpp"
#include "braing3n/ops/modulate.hpp"
#include "braing3n/ops/reduce.hpp"
#include "braing3n/ops/token_mask.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The tensor that a backward of the form "gradient +=" may add to: a parameter's gradient, or what the slot of an activation has
/// collected so far, in the type that sums have.
template <class T, Backend B>
Tensor<accum_t<T>, B>& gradient_sum(const Slot<T, B>& slot, Context<B>& context, const Shape& shape) {
  if (slot->parameter) return slot->parameter;
  if constexpr (std::is_same_v<T, accum_t<T>>) {
    if (slot->gradient.empty()) slot->gradient = Tensor<T, B>::zeros(context, shape);
    else if (!slot->gradient.unique()) slot->gradient = slot->gradient.clone();
    return slot->gradient;
  } else {
    if (slot->sums.empty()) slot->sums = Tensor<accum_t<T>, B>::zeros(context, shape);
    return slot->sums;
  }
}

template <class T, Backend B>
Var<T, B> add(const Var<T, B>& a, const Var<T, B>& b) {
  return record(
      add_forward(a.value(), b.value()),
      [sa = a.slot(), sb = b.slot()](const auto& dy) {
        accumulate(sa, dy);
        accumulate(sb, dy);
      },
      a, b);
}
template <class T, Backend B>
Var<T, B> operator+(const Var<T, B>& a, const Var<T, B>& b) {
  return add(a, b);
}

template <class T, Backend B>
Var<T, B> sub(const Var<T, B>& a, const Var<T, B>& b) {
  return record(
      sub_forward(a.value(), b.value()),
      [sa = a.slot(), sb = b.slot()](const auto& dy) {
        accumulate(sa, dy);
        if (sb) accumulate(sb, sub_backward(dy));
      },
      a, b);
}
template <class T, Backend B>
Var<T, B> operator-(const Var<T, B>& a, const Var<T, B>& b) {
  return sub(a, b);
}

template <class T, Backend B>
Var<T, B> mul(const Var<T, B>& a, const Var<T, B>& b) {
  return record(
      mul_forward(a.value(), b.value()),
      [sa = a.slot(), sb = b.slot(), va = a.value(), vb = b.value()](const auto& dy) {
        if (sa) accumulate(sa, mul_backward(vb, dy));
        if (sb) accumulate(sb, mul_backward(va, dy));
      },
      a, b);
}
template <class T, Backend B>
Var<T, B> operator*(const Var<T, B>& a, const Var<T, B>& b) {
  return mul(a, b);
}

template <class T, Backend B>
Var<T, B> scale(const Var<T, B>& x, double s) {
  return record(
      scale_forward(x.value(), s), [sx = x.slot(), s](const auto& dy) { accumulate(sx, scale_backward(dy, s)); }, x);
}

/// x (..., S) + table (S)
template <class T, Backend B>
Var<T, B> add_broadcast(const Var<T, B>& x, const Var<T, B>& table) {
  return record(
      add_broadcast_forward(x.value(), table.value()),
      [sx = x.slot(), st = table.slot(), shape = table.shape()](const auto& dy) {
        accumulate(sx, dy);
        if (st) add_broadcast_backward(dy, gradient_sum(st, dy.context(), shape));
      },
      x, table);
}

template <class T, Backend B>
Var<T, B> activation(const Var<T, B>& x, Activation kind) {
  return record(
      activation_forward(x.value(), kind),
      [sx = x.slot(), vx = x.value(), kind](const auto& dy) { accumulate(sx, activation_backward(vx, dy, kind)); }, x);
}
template <class T, Backend B>
Var<T, B> silu(const Var<T, B>& x) {
  return activation(x, Activation::silu);
}
template <class T, Backend B>
Var<T, B> gelu(const Var<T, B>& x) {
  return activation(x, Activation::gelu);
}

/// Another element type. The gradient comes back in x's type.
template <class U, class T, Backend B>
Var<U, B> cast(const Var<T, B>& x) {
  return record(cast<U>(x.value()), [sx = x.slot()](const auto& dy) { accumulate(sx, cast<T>(dy)); }, x);
}

/// The same elements under another shape.
template <class T, Backend B>
Var<T, B> reshape(const Var<T, B>& x, const Shape& shape) {
  if (x.wants_gradient() && x.slot()->parameter) {  // what is added under the new shape lands in the same gradient
    auto slot = std::make_shared<GradientSlot<T, B>>(
        GradientSlot<T, B>{x.slot()->tape, {}, x.slot()->parameter.reshape(shape)});
    return Var<T, B>(x.value().reshape(shape), std::move(slot));
  }
  return record(
      x.value().reshape(shape), [sx = x.slot(), from = x.shape()](const auto& dy) { accumulate(sx, dy.reshape(from)); },
      x);
}

/// [begin, end) of an axis.
template <class T, Backend B>
Var<T, B> slice(const Var<T, B>& x, int axis, Index begin, Index end) {
  return record(
      slice_forward(x.value(), axis, begin, end),
      [sx = x.slot(), shape = x.shape(), axis, begin](const auto& dy) {
        accumulate(sx, slice_backward(dy, shape, axis, begin));
      },
      x);
}

/// Two values one after the other along an axis.
template <class T, Backend B>
Var<T, B> join(const Var<T, B>& a, const Var<T, B>& b, int axis) {
  const std::array<Tensor<T, B>, 2> parts = {a.value(), b.value()};
  return record(
      concat_forward(std::span<const Tensor<T, B>>(parts), axis),
      [sa = a.slot(), sb = b.slot(), axis, extents = std::array<Index, 2>{a.dim(axis), b.dim(axis)}](const auto& dy) {
        const auto d = concat_backward(dy, std::span<const Index>(extents), axis);
        accumulate(sa, d[0]);
        accumulate(sb, d[1]);
      },
      a, b);
}

/// x (..., K C) -> K values (..., C)
template <std::size_t K, class T, Backend B>
std::array<Var<T, B>, K> chunk(const Var<T, B>& x) {
  return record(
      chunk_forward<K>(x.value()), [sx = x.slot()](const auto& dys) { accumulate(sx, chunk_backward<K>(dys)); }, x);
}

/// token (C) in front of the tokens x (N, L, C).
template <class T, Backend B>
Var<T, B> prepend_token(const Var<T, B>& token, const Var<T, B>& x) {
  return record(
      prepend_token_forward(token.value(), x.value()),
      [st = token.slot(), sx = x.slot(), shape = token.shape()](const auto& dy) {
        Tensor<accum_t<T>, B>* dtoken = st ? &gradient_sum(st, dy.context(), shape) : nullptr;
        const auto dx = prepend_token_backward(dy, dtoken);
        accumulate(sx, dx);
      },
      token, x);
}

/// (N, 1 + L, C) -> (N, L, C)
template <class T, Backend B>
Var<T, B> drop_token(const Var<T, B>& x) {
  return record(
      drop_token_forward(x.value()), [sx = x.slot()](const auto& dy) { accumulate(sx, drop_token_backward(dy)); }, x);
}

/// x (N, L, C), index (N, K) -> (N, K, C)
template <class T, Backend B>
Var<T, B> gather(const Var<T, B>& x, const Indices<B>& index) {
  return record(
      gather_forward(x.value(), index),
      [sx = x.slot(), index, tokens = x.dim(1)](const auto& dy) { accumulate(sx, gather_backward(dy, index, tokens)); },
      x);
}

/// Visible tokens (N, K, C) at their places among `fill` tokens (C): (N, L, C).
template <class T, Backend B>
Var<T, B> scatter(const Var<T, B>& visible, const Var<T, B>& fill, const TokenMask<B>& mask) {
  return record(
      scatter_forward(visible.value(), fill.value(), mask.restore),
      [sv = visible.slot(), sf = fill.slot(), mask, shape = fill.shape()](const auto& dy) {
        Tensor<accum_t<T>, B>* dfill = sf ? &gradient_sum(sf, dy.context(), shape) : nullptr;
        accumulate(sv, scatter_backward(dy, mask.visible, mask.restore, dfill));
      },
      visible, fill);
}

/// Rows of a table (R, C) by index (...): (..., C).
template <class T, Backend B>
Var<T, B> embedding(const Var<T, B>& table, const Indices<B>& index) {
  return record(
      embedding_forward(table.value(), index),
      [st = table.slot(), index, shape = table.shape()](const auto& dy) {
        if (st) embedding_backward(dy, index, gradient_sum(st, dy.context(), shape));
      },
      table);
}

/// Mean over the tokens: (N, L, C) -> (N, C)
template <class T, Backend B>
Var<T, B> mean_tokens(const Var<T, B>& x) {
  return record(
      mean_tokens_forward(x.value()),
      [sx = x.slot(), tokens = x.dim(1)](const auto& dy) { accumulate(sx, mean_tokens_backward(dy, tokens)); }, x);
}

/// x (1 + scale) + shift with shift, scale (N, C) over x (N, L, C).
template <class T, Backend B>
Var<T, B> modulate(const Var<T, B>& x, const Var<T, B>& shift, const Var<T, B>& scale) {
  return record(
      modulate_forward(x.value(), shift.value(), scale.value()),
      [sx = x.slot(), sh = shift.slot(), sc = scale.slot(), vx = x.value(), vs = scale.value()](const auto& dy) {
        const auto d = modulate_backward(vx, vs, dy);
        accumulate(sx, d.dx);
        accumulate(sh, d.dshift);
        accumulate(sc, d.dscale);
      },
      x, shift, scale);
}

/// residual + g x with g (N, C) over x (N, L, C).
template <class T, Backend B>
Var<T, B> gated_add(const Var<T, B>& residual, const Var<T, B>& g, const Var<T, B>& x) {
  return record(
      gated_add_forward(residual.value(), g.value(), x.value()),
      [sr = residual.slot(), sg = g.slot(), sx = x.slot(), vg = g.value(), vx = x.value()](const auto& dy) {
        accumulate(sr, dy);
        const auto d = gate_backward(vg, vx, dy);
        accumulate(sg, d.dg);
        accumulate(sx, d.dx);
      },
      residual, g, x);
}

/// row (1, C) -> (n, C): the same row for every sample.
template <class T, Backend B>
Var<T, B> broadcast_rows(const Var<T, B>& row, Index n) {
  if (row.shape().rank() != 2 || row.dim(0) != 1)
    fail(ErrorKind::shape, "broadcast_rows.shape", "broadcast rows: the row has shape ", row.shape(),
         ", expected (1, C)");
  const Index c = row.dim(1);
  const Var<T, B> zeros = Tensor<T, B>::zeros(row.value().context(), {n, c});
  return add_broadcast(zeros, reshape(row, {c}));
}

// What braing3n::compiled holds of this file.
#define BRAING3N_BASIC_OPS(declare, T, B)                                             \
  declare Var<T, B> add(const Var<T, B>&, const Var<T, B>&);                          \
  declare Var<T, B> sub(const Var<T, B>&, const Var<T, B>&);                          \
  declare Var<T, B> mul(const Var<T, B>&, const Var<T, B>&);                          \
  declare Var<T, B> scale(const Var<T, B>&, double);                                  \
  declare Var<T, B> add_broadcast(const Var<T, B>&, const Var<T, B>&);                \
  declare Var<T, B> activation(const Var<T, B>&, Activation);                         \
  declare Var<T, B> reshape(const Var<T, B>&, const Shape&);                          \
  declare Var<T, B> slice(const Var<T, B>&, int, Index, Index);                       \
  declare Var<T, B> join(const Var<T, B>&, const Var<T, B>&, int);                    \
  declare Var<T, B> prepend_token(const Var<T, B>&, const Var<T, B>&);                \
  declare Var<T, B> drop_token(const Var<T, B>&);                                     \
  declare Var<T, B> gather(const Var<T, B>&, const Indices<B>&);                      \
  declare Var<T, B> scatter(const Var<T, B>&, const Var<T, B>&, const TokenMask<B>&); \
  declare Var<T, B> embedding(const Var<T, B>&, const Indices<B>&);                   \
  declare Var<T, B> mean_tokens(const Var<T, B>&);                                    \
  declare Var<T, B> modulate(const Var<T, B>&, const Var<T, B>&, const Var<T, B>&);   \
  declare Var<T, B> gated_add(const Var<T, B>&, const Var<T, B>&, const Var<T, B>&)
BRAING3N_COMPILED_OPS(BRAING3N_BASIC_OPS)

}  // namespace braing3n::inline BRAING3N_ABI
