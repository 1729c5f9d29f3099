// Reductions: sum and mean of everything, mean over tokens, norms, the check for finite values.
//
// Sums are in double and in an order fixed by the shape, so they do not depend on the number of threads.
#pragma once

#include <cmath>

#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
struct ValueAt {
  const T* x;
  BRAING3N_HD BRAING3N_INLINE accum_t<T> operator()(Index i) const { return static_cast<accum_t<T>>(x[i]); }
};
template <class T>
struct SquareAt {
  const T* x;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index i) const {
    const double v = static_cast<double>(static_cast<accum_t<T>>(x[i]));
    return v * v;
  }
};
template <class T>
struct MagnitudeAt {
  const T* x;
  BRAING3N_HD BRAING3N_INLINE accum_t<T> operator()(Index i) const {
    const accum_t<T> v = static_cast<accum_t<T>>(x[i]);
    return v < 0 ? -v : v;
  }
};
/// 1 where x is NaN or infinite: then, and only then, x - x is not 0.
template <class T>
struct NonFiniteAt {
  const T* x;
  BRAING3N_HD BRAING3N_INLINE float operator()(Index i) const {
    const accum_t<T> v = static_cast<accum_t<T>>(x[i]);
    return v - v == 0 ? 0.0f : 1.0f;
  }
};
template <class T>
struct FillWith {
  T* y;
  T value;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { y[i] = value; }
};
/// y[b, c] = scale * v
template <class T>
struct StoreColumn {
  T* out;
  Index cols;
  double scale;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index b, Index c, double v) const {
    out[b * cols + c] = convert<T>(static_cast<accum_t<T>>(scale * v));
  }
};
/// dx[r = (n, l), c] = scale * dy[n, c]
template <class T>
struct SpreadMean {
  const T* dy;
  T* dx;
  Index tokens, cols;
  accum_t<T> scale;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    dx[r * cols + c] = convert<T>(scale * static_cast<accum_t<T>>(dy[r / tokens * cols + c]));
  }
};

}  // namespace detail

/// A tensor of equal elements.
template <class T, Backend B>
Tensor<T, B> full(Context<B>& context, const Shape& shape, double value) {
  Tensor<T, B> y(context, shape);
  map(context, y.size(), detail::FillWith<T>{y.data(), detail::convert<T>(value)});
  return y;
}

/// Sum of all elements.
template <class T, Backend B>
double sum_forward(const Tensor<T, B>& x) {
  require_elements("sum", x);
  return sum(x.context(), x.size(), detail::ValueAt<T>{x.data()});
}
/// Gradient of an input of shape `shape` for the upstream gradient `upstream` of the scalar.
template <class T, Backend B>
Tensor<T, B> sum_backward(Context<B>& context, const Shape& shape, double upstream) {
  return full<T>(context, shape, upstream);
}

/// Mean of all elements.
template <class T, Backend B>
double mean_forward(const Tensor<T, B>& x) {
  return sum_forward(x) / static_cast<double>(x.size());
}
template <class T, Backend B>
Tensor<T, B> mean_backward(Context<B>& context, const Shape& shape, double upstream) {
  return full<T>(context, shape, upstream / static_cast<double>(shape.size()));
}

/// Mean over the tokens: x (N, L, C) -> (N, C).
template <class T, Backend B>
Tensor<T, B> mean_tokens_forward(const Tensor<T, B>& x) {
  require_rank("mean_tokens", "input", x, 3, "(N, L, C)");
  require_elements("mean_tokens", x);
  const Index n = x.dim(0), l = x.dim(1), c = x.dim(2);
  Tensor<T, B> y(x.context(), Shape{n, c});
  column_sums(x.context(), n, l, c, detail::Element<T>{x.data(), l, c},
              detail::StoreColumn<T>{y.data(), c, 1.0 / static_cast<double>(l)});
  return y;
}
/// dy (N, C) -> dx (N, tokens, C).
template <class T, Backend B>
Tensor<T, B> mean_tokens_backward(const Tensor<T, B>& dy, Index tokens) {
  require_rank("mean_tokens_backward", "gradient", dy, 2, "(N, C)");
  const Index n = dy.dim(0), c = dy.dim(1);
  Tensor<T, B> dx(dy.context(), Shape{n, tokens, c});
  require_elements("mean_tokens_backward", dx);
  map_rows(dy.context(), n * tokens, c,
           detail::SpreadMean<T>{dy.data(), dx.data(), tokens, c,
                                 static_cast<accum_t<T>>(1.0 / static_cast<double>(tokens))});
  return dx;
}

/// Sum of squares, in double.
template <class T, Backend B>
double squared_norm(const Tensor<T, B>& x) {
  require_elements("squared_norm", x);
  return sum(x.context(), x.size(), detail::SquareAt<T>{x.data()});
}
/// Euclidean norm of all elements.
template <class T, Backend B>
double norm(const Tensor<T, B>& x) {
  return std::sqrt(squared_norm(x));
}
/// Largest magnitude; NaN when there is one.
template <class T, Backend B>
double max_abs(const Tensor<T, B>& x) {
  require_elements("max_abs", x);
  return max_value(x.context(), x.size(), detail::MagnitudeAt<T>{x.data()});
}
/// Whether every element is neither NaN nor infinite.
template <class T, Backend B>
bool all_finite(const Tensor<T, B>& x) {
  require_elements("all_finite", x);
  return sum(x.context(), x.size(), detail::NonFiniteAt<T>{x.data()}) == 0.0;
}

}  // namespace braing3n::inline BRAING3N_ABI
