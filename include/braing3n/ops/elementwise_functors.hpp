// What element-wise operations compute for one element (host and device).
#pragma once

#include <type_traits>

#include "braing3n/base/bfloat16.hpp"
#include "braing3n/base/functors.hpp"
#include "braing3n/core/precision.hpp"

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

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
