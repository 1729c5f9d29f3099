// Element-wise ops on tensors of equal shape (or, where said, a suffix of it): y_i = f(a_i, b_i).
//
//   add, sub, mul       a + b, a - b, a * b
//   scale, add_scaled   s a, a + s b
//   add_broadcast       x + table, table shaped like the last axes of x (position tables, biases)
//   activation, relu    GELU (erf and tanh forms), SiLU, max(x, 0)
//   cast                another element type
// Values are computed in accum_t<T>: bfloat16 as float, rounded once at the end.
#pragma once

#include <utility>

#include "braing3n/backend/activation.hpp"
#include "braing3n/backend/kernels.hpp"
#include "braing3n/base/functors.hpp"
#include "braing3n/ops/check.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class U, class T>
BRAING3N_HD BRAING3N_INLINE U convert(T x) {
  if constexpr (std::is_same_v<U, bfloat16>) return bfloat16(static_cast<float>(x));
  else return static_cast<U>(static_cast<accum_t<T>>(x));
}

struct Add {
  template <class A>
  BRAING3N_HD BRAING3N_INLINE A operator()(A a, A b) const {
    return a + b;
  }
};
struct Sub {
  template <class A>
  BRAING3N_HD BRAING3N_INLINE A operator()(A a, A b) const {
    return a - b;
  }
};
struct Mul {
  template <class A>
  BRAING3N_HD BRAING3N_INLINE A operator()(A a, A b) const {
    return a * b;
  }
};
template <class A>
struct AddScaled {
  A s;
  BRAING3N_HD BRAING3N_INLINE A operator()(A a, A b) const { return a + s * b; }
};
template <class F>
struct TimesGrad {  // b * f'(a)
  F f;
  template <class A>
  BRAING3N_HD BRAING3N_INLINE A operator()(A a, A b) const {
    return b * f.grad(a);
  }
};
struct Relu {
  template <class A>
  BRAING3N_HD BRAING3N_INLINE A value(A x) const {
    return x > A{0} || x != x ? x : A{0};
  }
  template <class A>
  BRAING3N_HD BRAING3N_INLINE A grad(A x) const {
    return x > A{0} ? A{1} : A{0};
  }
};
template <class A>
struct Times {
  A s;
  BRAING3N_HD BRAING3N_INLINE A value(A x) const { return s * x; }
};

/// y[i] = f.value(x[i])
template <class T, class F>
struct Unary {
  const T* x;
  T* y;
  F f;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    y[i] = convert<T>(f.value(static_cast<accum_t<T>>(x[i])));
  }
};

/// y[i] = f(a[i], b[i])
template <class T, class F>
struct Binary {
  const T* a;
  const T* b;
  T* y;
  F f;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    y[i] = convert<T>(f(static_cast<accum_t<T>>(a[i]), static_cast<accum_t<T>>(b[i])));
  }
};

/// y[r, c] = x[r, c] + table[c]
template <class T>
struct AddTable {
  const T* x;
  const T* table;
  T* y;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    y[r * cols + c] = convert<T>(static_cast<accum_t<T>>(x[r * cols + c]) + static_cast<accum_t<T>>(table[c]));
  }
};

template <class G, class T>
struct AddTo {
  G* y;
  const T* x;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    y[i] = convert<G>(static_cast<accum_t<G>>(y[i]) + static_cast<accum_t<G>>(static_cast<accum_t<T>>(x[i])));
  }
};

template <class U, class T>
struct Cast {
  const T* x;
  U* y;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { y[i] = convert<U>(x[i]); }
};

/// x[b, r, c] of a batch of matrices (rows, cols)
template <class T>
struct Element {
  const T* x;
  Index rows, cols;
  BRAING3N_HD BRAING3N_INLINE accum_t<T> operator()(Index b, Index r, Index c) const {
    return static_cast<accum_t<T>>(x[(b * rows + r) * cols + c]);
  }
};

/// out[b, c] += v
template <class T>
struct AddColumn {
  T* out;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index b, Index c, double v) const {
    out[b * cols + c] += static_cast<T>(v);
  }
};

template <class T, Backend B, class F>
Tensor<T, B> unary(const char* op, const Tensor<T, B>& x, const F& f) {
  require_elements(op, x);
  Tensor<T, B> y(x.context(), x.shape());
  map(x.context(), x.size(), Unary<T, F>{x.data(), y.data(), f});
  return y;
}

template <class T, Backend B, class F>
Tensor<T, B> binary(const char* op, const Tensor<T, B>& a, const Tensor<T, B>& b, const F& f) {
  require_elements(op, a);
  require_same_shape(op, a, b);
  require_same_context(op, a, b);
  Tensor<T, B> y(a.context(), a.shape());
  map(a.context(), a.size(), Binary<T, F>{a.data(), b.data(), y.data(), f});
  return y;
}

/// The number of leading elements when `table` is shaped like the last axes of x.
template <class T, class U, Backend B>
Index broadcast_rows(const char* op, const Tensor<T, B>& x, const Tensor<U, B>& table) {
  require_elements(op, x);
  require_same_context(op, x, table);
  const int lead = x.rank() - table.rank();
  bool fits = lead >= 0;
  for (int a = 0; fits && a < table.rank(); ++a) fits = table.dim(a) == x.dim(lead + a);
  if (!fits) fail(ErrorKind::shape, "op.broadcast", op, ": ", table.shape(), " is not the last axes of ", x.shape());
  return x.shape().product(0, lead);
}

}  // namespace detail

/// a + b. The gradient of both inputs is dy itself.
template <class T, Backend B>
Tensor<T, B> add_forward(const Tensor<T, B>& a, const Tensor<T, B>& b) {
  return detail::binary("add", a, b, detail::Add{});
}

/// s x
template <class T, Backend B>
Tensor<T, B> scale_forward(const Tensor<T, B>& x, double s) {
  return detail::unary("scale", x, detail::Times<accum_t<T>>{static_cast<accum_t<T>>(s)});
}
template <class T, Backend B>
Tensor<T, B> scale_backward(const Tensor<T, B>& dy, double s) {
  return scale_forward(dy, s);
}

/// a - b
template <class T, Backend B>
Tensor<T, B> sub_forward(const Tensor<T, B>& a, const Tensor<T, B>& b) {
  return detail::binary("sub", a, b, detail::Sub{});
}
/// Gradient of b; that of a is dy itself.
template <class T, Backend B>
Tensor<T, B> sub_backward(const Tensor<T, B>& dy) {
  return scale_forward(dy, -1.0);
}

/// a * b, element by element.
template <class T, Backend B>
Tensor<T, B> mul_forward(const Tensor<T, B>& a, const Tensor<T, B>& b) {
  return detail::binary("mul", a, b, detail::Mul{});
}
/// Gradient of the factor that was multiplied by `other`.
template <class T, Backend B>
Tensor<T, B> mul_backward(const Tensor<T, B>& other, const Tensor<T, B>& dy) {
  return detail::binary("mul_backward", other, dy, detail::Mul{});
}

/// a + s b. Gradients: dy for a, scale_backward(dy, s) for b.
template <class T, Backend B>
Tensor<T, B> add_scaled_forward(const Tensor<T, B>& a, const Tensor<T, B>& b, double s) {
  return detail::binary("add_scaled", a, b, detail::AddScaled<accum_t<T>>{static_cast<accum_t<T>>(s)});
}

/// y += x in place: for gradients, never for values that a tape has recorded. The types may differ.
template <class G, class T, Backend B>
void add_to(Tensor<G, B>& y, const Tensor<T, B>& x) {
  require_same_shape("add_to", y, x);
  require_same_context("add_to", y, x);
  map(y.context(), y.size(), detail::AddTo<G, T>{y.data(), x.data()});
}

/// x (..., S) + table (S), S being any number of last axes.
template <class T, Backend B>
Tensor<T, B> add_broadcast_forward(const Tensor<T, B>& x, const Tensor<T, B>& table) {
  const Index rows = detail::broadcast_rows("add_broadcast", x, table);
  Tensor<T, B> y(x.context(), x.shape());
  map_rows(x.context(), rows, table.size(), detail::AddTable<T>{x.data(), table.data(), y.data(), table.size()});
  return y;
}
/// dtable += the sum of dy over the leading axes; the gradient of x is dy itself.
template <class T, class G, Backend B>
void add_broadcast_backward(const Tensor<T, B>& dy, Tensor<G, B>& dtable) {
  const Index rows = detail::broadcast_rows("add_broadcast_backward", dy, dtable);
  const Index cols = dtable.size();
  column_sums(dy.context(), 1, rows, cols, detail::Element<T>{dy.data(), rows, cols},
              detail::AddColumn<G>{dtable.data(), cols});
}

/// f(x) for a functor with value() and grad(), as in base/functors.hpp.
template <class F, class T, Backend B>
Tensor<T, B> apply_forward(const Tensor<T, B>& x, const F& f = {}) {
  return detail::unary("apply", x, f);
}
/// dy * f'(x), x being the input of the forward.
template <class F, class T, Backend B>
Tensor<T, B> apply_backward(const Tensor<T, B>& x, const Tensor<T, B>& dy, const F& f = {}) {
  return detail::binary("apply_backward", x, dy, detail::TimesGrad<F>{f});
}

/// GELU or SiLU of every element; Activation::none returns x itself.
template <class T, Backend B>
Tensor<T, B> activation_forward(const Tensor<T, B>& x, Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return apply_forward<Gelu>(x);
    case Activation::gelu_tanh:
      return apply_forward<GeluTanh>(x);
    case Activation::silu:
      return apply_forward<Silu>(x);
    case Activation::none:
      break;
  }
  return x;
}
/// x is what activation_forward was given.
template <class T, Backend B>
Tensor<T, B> activation_backward(const Tensor<T, B>& x, const Tensor<T, B>& dy, Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return apply_backward<Gelu>(x, dy);
    case Activation::gelu_tanh:
      return apply_backward<GeluTanh>(x, dy);
    case Activation::silu:
      return apply_backward<Silu>(x, dy);
    case Activation::none:
      break;
  }
  return dy;
}

/// max(x, 0); NaN stays NaN. The derivative at 0 is 0.
template <class T, Backend B>
Tensor<T, B> relu_forward(const Tensor<T, B>& x) {
  return apply_forward<detail::Relu>(x);
}
template <class T, Backend B>
Tensor<T, B> relu_backward(const Tensor<T, B>& x, const Tensor<T, B>& dy) {
  return apply_backward<detail::Relu>(x, dy);
}

/// The same values in another element type, rounded to nearest even; x itself when the type does not change.
template <class U, class T, Backend B>
Tensor<U, B> cast(const Tensor<T, B>& x) {
  if constexpr (std::is_same_v<U, T>) {
    return x;
  } else {
    require_elements("cast", x);
    Tensor<U, B> y(x.context(), x.shape());
    map(x.context(), x.size(), detail::Cast<U, T>{x.data(), y.data()});
    return y;
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
