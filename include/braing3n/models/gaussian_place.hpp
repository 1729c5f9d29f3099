// The normal distribution of models/gaussian_velocity.hpp at the times and under the conditions of a batch, and what is done with it
// element by element.
#pragma once

#include <cstdint>

#include "braing3n/core/tensor.hpp"
#include "braing3n/ops/elementwise_functors.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The eigenvalue of H in a direction of variance w, for any t in [0, 1] and w > 0.
template <class A>
BRAING3N_HD BRAING3N_INLINE A gaussian_gain(A w, A t) {
  const A a = A{1} - t;
  return (t - a * w) / (a * a * w + t * t);
}

/// The distribution at the times of a batch of N samples. With D, C and B of that header, for coordinates y along the directions
/// H y = gain y - R (t a R^T y), R = D^-1 C G^-T, G G^T = 1 + a^2 C^T D^-1 C.
template <Backend B>
struct GaussianPlace {
  Tensor<std::int32_t, B> classes;  // (N)
  // (N, 3 + (2 + q) k): t, t a, the gain outside the directions; per direction the gain less that one, the shift from the conditional mean,
  // and R^T (q, k).
  Tensor<double, B> numbers;

  /// Samples [begin, end); shares the memory.
  GaussianPlace slice(Index begin, Index end) const { return {classes.slice(begin, end), numbers.slice(begin, end)}; }
};

namespace detail {

// Places in a row of GaussianPlace::numbers.
constexpr Index gaussian_time = 0, gaussian_factor = 1, gaussian_outside = 2, gaussian_vectors = 3;

}  // namespace detail

/// How many numbers of GaussianPlace one sample has, with k directions and q features.
constexpr Index gaussian_numbers(Index k, Index q) { return detail::gaussian_vectors + (2 + q) * k; }

namespace detail {

/// x - (1 - t) mean of the sample's class.
template <class T>
struct GaussianOffset {
  const T* x;
  const T* mean;
  const std::int32_t* classes;
  const double* numbers;
  T* y;
  Index width, row;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const Index n = i / width;
    const accum_t<T> m = static_cast<accum_t<T>>(mean[classes[n] * width + i % width]),
                     t = static_cast<accum_t<T>>(numbers[n * row + gaussian_time]);
    y[i] = convert<T>(static_cast<accum_t<T>>(x[i]) - (accum_t<T>{1} - t) * m);
  }
};

/// R^T y: one number per sample and feature.
template <class T>
struct GaussianFeatures {
  const T* y;
  const double* numbers;
  double* dots;
  Index rank, features, row;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const Index n = i / features;
    const double* reduced = numbers + n * row + gaussian_vectors + (2 + i % features) * rank;
    double dot = 0;
    for (Index j = 0; j < rank; ++j) dot += reduced[j] * static_cast<double>(static_cast<accum_t<T>>(y[n * rank + j]));
    dots[i] = dot;
  }
};

/// gain y - R (t a R^T y), and the shift of the mean.
template <class T>
struct GaussianDirections {
  const T* y;
  const double* numbers;
  const double* dots;
  T* out;
  Index rank, features, row;
  bool with_mean;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const Index n = i / rank, j = i % rank;
    const double* at = numbers + n * row;
    const double* vectors = at + gaussian_vectors + j;
    double v = vectors[0] * static_cast<double>(static_cast<accum_t<T>>(y[i])) + (with_mean ? vectors[rank] : 0.0);
    for (Index f = 0; f < features; ++f) v -= at[gaussian_factor] * dots[n * features + f] * vectors[(2 + f) * rank];
    out[i] = convert<T>(static_cast<accum_t<T>>(v));
  }
};

/// y + gain outside the directions * offset - mean; the mean is left out where there is none.
template <class T>
struct GaussianSum {
  const T* offset;
  const T* mean;
  const std::int32_t* classes;
  const double* numbers;
  T* y;
  Index width, row;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const Index n = i / width;
    accum_t<T> v = static_cast<accum_t<T>>(y[i]) +
                   static_cast<accum_t<T>>(numbers[n * row + gaussian_outside]) * static_cast<accum_t<T>>(offset[i]);
    if (mean != nullptr) v -= static_cast<accum_t<T>>(mean[classes[n] * width + i % width]);
    y[i] = convert<T>(v);
  }
};

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
