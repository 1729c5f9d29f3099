// Elementary functions that vectorise.
//
// The float versions are always inlined, branch-free and made of operations every SIMD unit has, so a loop that calls them
// inside vectorized(...) runs at the full vector width, and the same source serves CUDA kernels. The double versions are
// the standard library's. Polynomials are minimax fits (Remez exchange, 40 digits, on the intervals given at each).
//
// Largest errors of the float versions against the correctly rounded result, all finite inputs (tests/base/test_math.cpp):
//   exp 1 ulp, subnormal results included; erf 1.5 ulp; tanh 2 ulp; sigmoid 2.5 ulp (relative, in both tails);
//   normal_cdf 8 ulp for x > -3, below that the rounding of x^2 shows: 80 ulp (relative!) at x = -13.
// NaN gives NaN; infinities give the limits.
#pragma once

#include <cmath>
#include <cstdint>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace math {

namespace detail {

BRAING3N_HD BRAING3N_INLINE std::int32_t bits_of(float x) { return __builtin_bit_cast(std::int32_t, x); }
BRAING3N_HD BRAING3N_INLINE float float_of(std::int32_t b) { return __builtin_bit_cast(float, b); }

/// condition ? a : b by a bit mask. From the conditional operator g++ makes branches (it computes a constant arm ahead, or
/// moves the computation of a and b into them), which it may not undo (floating-point traps); below AVX-512 such a loop
/// is not vectorised.
BRAING3N_HD BRAING3N_INLINE float select(bool condition, float a, float b) {
  const std::int32_t mask = -static_cast<std::int32_t>(condition);
  return float_of((mask & bits_of(a)) | (~mask & bits_of(b)));
}

/// x = n ln 2 + r with |r| <= ln 2 / 2, for |x| < 2^21.
struct ExpParts {
  float value;  // exp(r)
  std::int32_t n;
};
BRAING3N_HD BRAING3N_INLINE ExpParts exp_parts(float x) {
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits: no conversion instruction is needed.
  constexpr float magic = 12582912.0f;
  const float shifted = x * 1.44269504f + magic;
  const std::int32_t n = bits_of(shifted) - bits_of(magic);
  const float k = shifted - magic;
  // ln 2 in two parts; the first has so few bits that k times it is exact.
  float r = x - k * 0.693359375f;
  r = r + k * 2.12194440e-4f;
  // (exp(r) - 1 - r) / r^2 on |r| <= ln 2 / 2; relative error of the sum 3.1e-9.
  float p = 1.38145441e-3f;
  p = p * r + 8.36874539e-3f;
  p = p * r + 4.16683907e-2f;
  p = p * r + 1.66665204e-1f;
  p = p * r + 4.99999934e-1f;
  return {1.0f + (r + (r * r) * p), n};
}

/// exp(x) for x <= 0; results below the smallest normal number (1.2e-38) become 0. Cheaper than exp.
BRAING3N_HD BRAING3N_INLINE float exp_nonpositive(float x) {
  x = select(x < -88.5f, -88.5f, x);
  const ExpParts e = exp_parts(x);
  const std::int32_t biased = e.n + 127;
  return e.value * float_of((biased & ~(biased >> 31)) << 23);
}

BRAING3N_HD BRAING3N_INLINE float abs(float x) { return float_of(bits_of(x) & 0x7fffffff); }
BRAING3N_HD BRAING3N_INLINE float copy_sign(float magnitude, float sign) {
  return float_of((bits_of(magnitude) & 0x7fffffff) | (bits_of(sign) & static_cast<std::int32_t>(0x80000000u)));
}

}  // namespace detail

/// e^x.
BRAING3N_HD BRAING3N_INLINE float exp(float x) {
  x = detail::select(x < -104.0f, -104.0f, x);  // exp(-104) rounds to 0; a NaN passes both comparisons
  x = detail::select(x > 89.0f, 89.0f, x);
  const detail::ExpParts e = detail::exp_parts(x);
  // 2^n in two factors, since n reaches 128 and -150.
  const std::int32_t half = e.n >> 1;
  return e.value * detail::float_of((half + 127) << 23) * detail::float_of((e.n - half + 127) << 23);
}
BRAING3N_HD BRAING3N_INLINE double exp(double x) { return std::exp(x); }

/// Logistic function 1 / (1 + e^-x) and its complement, both accurate where they are tiny.
template <class T>
struct SigmoidPair {
  T value, complement;
};
BRAING3N_HD BRAING3N_INLINE SigmoidPair<float> sigmoid_pair(float x) {
  const float e = detail::exp_nonpositive(-detail::abs(x));
  const float large = 1.0f / (1.0f + e);
  const float small = e * large;
  const bool negative = x < 0.0f;
  return {detail::select(negative, small, large), detail::select(negative, large, small)};
}
BRAING3N_HD BRAING3N_INLINE SigmoidPair<double> sigmoid_pair(double x) {
  const double e = std::exp(-std::fabs(x));
  const double large = 1.0 / (1.0 + e);
  const double small = e * large;
  return x < 0.0 ? SigmoidPair<double>{small, large} : SigmoidPair<double>{large, small};
}

template <class T>
BRAING3N_HD BRAING3N_INLINE T sigmoid(T x) {
  return sigmoid_pair(x).value;
}

/// Hyperbolic tangent.
BRAING3N_HD BRAING3N_INLINE float tanh(float x) {
  const float t = detail::abs(x);
  // (tanh(x) - x) / x^3 in x^2 on |x| <= 0.625; relative error of the sum 4.4e-9.
  const float z = x * x;
  float p = -5.70498454e-3f;
  p = p * z + 2.06390850e-2f;
  p = p * z - 5.37397143e-2f;
  p = p * z + 1.33314422e-1f;
  p = p * z - 3.33332819e-1f;
  const float near_zero = x + x * (z * p);
  const float e = detail::exp_nonpositive(-2.0f * t);
  const float away = 1.0f - 2.0f * (e / (1.0f + e));
  return detail::copy_sign(detail::select(t < 0.625f, near_zero, away), x);
}
BRAING3N_HD BRAING3N_INLINE double tanh(double x) { return std::tanh(x); }

/// Error function.
BRAING3N_HD BRAING3N_INLINE float erf(float x) {
  const float t = detail::abs(x);
  // erf(x) / x - 1 in x^2 on |x| <= 0.875; relative error of the sum 8.5e-9.
  const float z = x * x;
  float p = -6.20325487e-4f;
  p = p * z + 5.03218129e-3f;
  p = p * z - 2.67914630e-2f;
  p = p * z + 1.12824553e-1f;
  p = p * z - 3.76125505e-1f;
  p = p * z + 1.28379157e-1f;
  const float near_zero = x + x * p;
  // log(1 - erf(t)) on [0.85, 4]; 1 - erf(4) is below half an ulp of 1.
  const float u = detail::select(t > 4.0f, 4.0f, t);
  float q = 2.03675702e-4f;
  q = q * u - 3.11784570e-3f;
  q = q * u + 2.25190267e-2f;
  q = q * u - 1.04525883e-1f;
  q = q * u - 6.36518982e-1f;
  q = q * u - 1.12806098f;
  q = q * u - 1.04529260e-4f;
  const float away = 1.0f - detail::exp_nonpositive(q);
  return detail::copy_sign(detail::select(t < 0.875f, near_zero, away), x);
}
BRAING3N_HD BRAING3N_INLINE double erf(double x) { return std::erf(x); }

/// Standard normal distribution function and e^(-x^2 / 2), which share their exponential.
template <class T>
struct NormalCdf {
  T cdf, exponential;
};
BRAING3N_HD BRAING3N_INLINE NormalCdf<float> normal_cdf(float x) {
  const float t = detail::abs(x);
  const float e = detail::exp_nonpositive(-0.5f * (x * x));
  // The lower tail is e times Mills' ratio, here s times a polynomial in s = 1 / (1 + 0.3 t) on t in [0, 14.5] (relative
  // error 3.5e-9): unlike (1 + erf) / 2 it keeps its relative accuracy. Beyond 14.5 e is 0.
  const float s = 1.0f / (1.0f + 0.3f * t);
  float p = -2.06233678e-2f;
  p = p * s + 1.12435083e-1f;
  p = p * s - 2.28212401e-1f;
  p = p * s + 1.91782998e-1f;
  p = p * s - 7.94222658e-2f;
  p = p * s + 9.61562045e-2f;
  p = p * s + 7.83898557e-2f;
  p = p * s + 1.10235383e-1f;
  p = p * s + 1.19571819e-1f;
  p = p * s + 1.19686690e-1f;
  const float tail = e * (s * p);
  return {detail::select(x < 0.0f, tail, 1.0f - tail), e};
}
BRAING3N_HD BRAING3N_INLINE NormalCdf<double> normal_cdf(double x) {
  return {0.5 * std::erfc(-0.70710678118654752440 * x), std::exp(-0.5 * x * x)};
}

}  // namespace math
}  // namespace braing3n::inline BRAING3N_ABI
