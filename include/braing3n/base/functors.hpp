// Activation functions as functors: value(x) and grad(x), the derivative. Generic on T in {float, double}, for host and
// device; bfloat16 is computed as float by the op that holds it.
#pragma once

#include "braing3n/base/math.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// x Phi(x) with the normal distribution function Phi ("exact" GELU: Hendrycks and Gimpel, arXiv 1606.08415; PyTorch's
/// default, MONAI, timm).
struct Gelu {
  template <class T>
  BRAING3N_HD BRAING3N_INLINE T value(T x) const {
    return x * math::normal_cdf(x).cdf;
  }
  template <class T>
  BRAING3N_HD BRAING3N_INLINE T grad(T x) const {
    const math::NormalCdf<T> n = math::normal_cdf(x);
    return n.cdf + x * (static_cast<T>(0.39894228040143267794) * n.exponential);
  }
};

/// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), the tanh form of GELU (DiT), written as x sigmoid(2 u).
struct GeluTanh {
  template <class T>
  BRAING3N_HD BRAING3N_INLINE T value(T x) const {
    return x * math::sigmoid(twice_argument(x));
  }
  template <class T>
  BRAING3N_HD BRAING3N_INLINE T grad(T x) const {
    const math::SigmoidPair<T> s = math::sigmoid_pair(twice_argument(x));
    const T slope = static_cast<T>(a) + static_cast<T>(3.0 * a * b) * (x * x);
    return s.value + x * slope * (s.value * s.complement);
  }

 private:
  static constexpr double a = 1.59576912160573071176;  // 2 sqrt(2 / pi)
  static constexpr double b = 0.044715;
  template <class T>
  BRAING3N_HD BRAING3N_INLINE static T twice_argument(T x) {
    return x * (static_cast<T>(a) + static_cast<T>(a * b) * (x * x));
  }
};

/// x sigmoid(x), also called swish.
struct Silu {
  template <class T>
  BRAING3N_HD BRAING3N_INLINE T value(T x) const {
    return x * math::sigmoid(x);
  }
  template <class T>
  BRAING3N_HD BRAING3N_INLINE T grad(T x) const {
    const math::SigmoidPair<T> s = math::sigmoid_pair(x);
    return s.value + x * (s.value * s.complement);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
