// Adaptive layer norm's modulation and gates (DiT: Peebles and Xie, arXiv 2212.09748).
//
//   modulate    y[n, l, c] = x[n, l, c] (1 + scale[n, c]) + shift[n, c]
//   gate        y[n, l, c] = g[n, c] x[n, l, c]
//   gated_add   y[n, l, c] = r[n, l, c] + g[n, c] x[n, l, c]     gradients: dy for r, gate_backward for g and x
// The condition is the same for every token of a sample; its gradients are sums over the tokens.
#pragma once

#include "braing3n/ops/reduce.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
struct Modulate {
  const T* x;
  const T* shift;
  const T* scale;
  T* y;
  Index tokens, width;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    using A = accum_t<T>;
    const Index row = r / tokens * width, i = r * width + c;
    y[i] = convert<T>(static_cast<A>(x[i]) * (A{1} + static_cast<A>(scale[row + c])) + static_cast<A>(shift[row + c]));
  }
};

/// y = (offset + factor[n, c]) x + [residual]
template <class T, bool with_residual>
struct Gate {
  const T* x;
  const T* factor;
  const T* residual;
  T* y;
  Index tokens, width;
  accum_t<T> offset;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    using A = accum_t<T>;
    const Index i = r * width + c;
    A v = (offset + static_cast<A>(factor[r / tokens * width + c])) * static_cast<A>(x[i]);
    if constexpr (with_residual) v += static_cast<A>(residual[i]);
    y[i] = convert<T>(v);
  }
};

/// a[b, r, c] b[b, r, c], the terms of a gradient of a factor
template <class T>
struct ProductElement {
  const T* a;
  const T* b;
  Index rows, cols;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index batch, Index r, Index c) const {
    const Index i = (batch * rows + r) * cols + c;
    return static_cast<double>(static_cast<accum_t<T>>(a[i])) * static_cast<double>(static_cast<accum_t<T>>(b[i]));
  }
};

template <class T, Backend B>
void modulate_check(const char* op, const Tensor<T, B>& x, const char* name, const Tensor<T, B>& condition) {
  require_elements(op, x);
  require_rank(op, "tokens", x, 3, "(N, L, C)");
  require_same_context(op, x, condition);
  if (condition.rank() != 2 || condition.dim(0) != x.dim(0) || condition.dim(1) != x.dim(2))
    fail(ErrorKind::shape, "modulate.condition", op, ": ", name, " ", condition.shape(), " does not fit tokens ",
         x.shape(), ", expected ", Shape{x.dim(0), x.dim(2)});
}

template <class T, Backend B>
Tensor<T, B> token_sums(const Tensor<T, B>& dy) {
  Tensor<T, B> s(dy.context(), Shape{dy.dim(0), dy.dim(2)});
  column_sums(dy.context(), dy.dim(0), dy.dim(1), dy.dim(2), Element<T>{dy.data(), dy.dim(1), dy.dim(2)},
              StoreColumn<T>{s.data(), dy.dim(2), 1.0});
  return s;
}

template <class T, Backend B>
Tensor<T, B> token_products(const Tensor<T, B>& x, const Tensor<T, B>& dy) {
  Tensor<T, B> s(dy.context(), Shape{dy.dim(0), dy.dim(2)});
  column_sums(dy.context(), dy.dim(0), dy.dim(1), dy.dim(2),
              ProductElement<T>{x.data(), dy.data(), dy.dim(1), dy.dim(2)}, StoreColumn<T>{s.data(), dy.dim(2), 1.0});
  return s;
}

template <class T, Backend B>
Tensor<T, B> gate_rows(const Tensor<T, B>& x, const Tensor<T, B>& factor, accum_t<T> offset) {
  Tensor<T, B> y(x.context(), x.shape());
  map_rows(x.context(), x.dim(0) * x.dim(1), x.dim(2),
           Gate<T, false>{x.data(), factor.data(), nullptr, y.data(), x.dim(1), x.dim(2), offset});
  return y;
}

}  // namespace detail

/// x (N, L, C), shift (N, C), scale (N, C) -> (N, L, C).
template <class T, Backend B>
Tensor<T, B> modulate_forward(const Tensor<T, B>& x, const Tensor<T, B>& shift, const Tensor<T, B>& scale) {
  detail::modulate_check("modulate", x, "shift", shift);
  detail::modulate_check("modulate", x, "scale", scale);
  Tensor<T, B> y(x.context(), x.shape());
  map_rows(x.context(), x.dim(0) * x.dim(1), x.dim(2),
           detail::Modulate<T>{x.data(), shift.data(), scale.data(), y.data(), x.dim(1), x.dim(2)});
  return y;
}

template <class T, Backend B>
struct ModulateGradients {
  Tensor<T, B> dx;      // (N, L, C)
  Tensor<T, B> dshift;  // (N, C)
  Tensor<T, B> dscale;  // (N, C)
};
/// x and scale as given to the forward, dy (N, L, C).
template <class T, Backend B>
ModulateGradients<T, B> modulate_backward(const Tensor<T, B>& x, const Tensor<T, B>& scale, const Tensor<T, B>& dy) {
  detail::modulate_check("modulate_backward", x, "scale", scale);
  require_same_shape("modulate_backward", x, dy);
  require_same_context("modulate_backward", x, dy);
  return {detail::gate_rows(dy, scale, accum_t<T>{1}), detail::token_sums(dy), detail::token_products(x, dy)};
}

/// g (N, C), x (N, L, C) -> g x (N, L, C).
template <class T, Backend B>
Tensor<T, B> gate_forward(const Tensor<T, B>& g, const Tensor<T, B>& x) {
  detail::modulate_check("gate", x, "gate", g);
  return detail::gate_rows(x, g, accum_t<T>{0});
}

/// r (N, L, C) + g (N, C) x (N, L, C), in one pass.
template <class T, Backend B>
Tensor<T, B> gated_add_forward(const Tensor<T, B>& r, const Tensor<T, B>& g, const Tensor<T, B>& x) {
  detail::modulate_check("gated_add", x, "gate", g);
  require_same_shape("gated_add", r, x);
  require_same_context("gated_add", r, x);
  Tensor<T, B> y(x.context(), x.shape());
  map_rows(x.context(), x.dim(0) * x.dim(1), x.dim(2),
           detail::Gate<T, true>{x.data(), g.data(), r.data(), y.data(), x.dim(1), x.dim(2), accum_t<T>{0}});
  return y;
}

template <class T, Backend B>
struct GateGradients {
  Tensor<T, B> dg;  // (N, C)
  Tensor<T, B> dx;  // (N, L, C)
};
/// g and x as given to the forward, dy (N, L, C).
template <class T, Backend B>
GateGradients<T, B> gate_backward(const Tensor<T, B>& g, const Tensor<T, B>& x, const Tensor<T, B>& dy) {
  detail::modulate_check("gate_backward", x, "gate", g);
  require_same_shape("gate_backward", x, dy);
  require_same_context("gate_backward", x, dy);
  return {detail::token_products(x, dy), detail::gate_rows(dy, g, accum_t<T>{0})};
}

}  // namespace braing3n::inline BRAING3N_ABI
