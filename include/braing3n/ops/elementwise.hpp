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
#include "braing3n/ops/elementwise_functors.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

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
