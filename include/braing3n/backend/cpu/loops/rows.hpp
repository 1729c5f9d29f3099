// Helpers of kernels that work on one row at a time: sums and maxima along a row in a fixed number of lanes (so the order of
// the additions does not depend on the instruction set), and the cutting of rows into chunks.
#pragma once

#include <algorithm>

#include "braing3n/backend/cpu/context/context.hpp"

// For the loop over the lanes of a sum: clang would unroll it before its vectoriser sees it, and add one lane at a time.
#if defined(__clang__)
#define BRAING3N_LANES _Pragma("clang loop vectorize(assume_safety) unroll(disable)")
#else
#define BRAING3N_LANES _Pragma("GCC ivdep")
#endif

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

constexpr int row_lanes = 32;

/// Sum of f(i) over [0, n), f always inlined. Lane l adds the elements l, l + 32, ...; the lanes are folded pairwise.
template <class A, class F>
BRAING3N_INLINE A lane_sum(Index n, const F& f) {
  A acc[row_lanes] = {};
  Index i = 0;
  for (; i + row_lanes <= n; i += row_lanes) {
    BRAING3N_LANES
    for (int l = 0; l < row_lanes; ++l) acc[l] += f(i + l);
  }
  for (int l = 0; i + l < n; ++l) acc[l] += f(i + l);
  for (int half = row_lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) acc[l] += acc[l + half];
  return acc[0];
}

/// Largest f(i) over [0, n), n > 0. A NaN is not found.
template <class A, class F>
BRAING3N_INLINE A lane_max(Index n, const F& f) {
  A top[row_lanes];
  for (int l = 0; l < row_lanes; ++l) top[l] = f(0);
  Index i = 0;
  for (; i + row_lanes <= n; i += row_lanes) {
    BRAING3N_LANES
    for (int l = 0; l < row_lanes; ++l) {
      const A v = f(i + l);
      top[l] = v > top[l] ? v : top[l];
    }
  }
  for (int l = 0; i + l < n; ++l) {
    const A v = f(i + l);
    top[l] = v > top[l] ? v : top[l];
  }
  for (int half = row_lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) top[l] = top[l + half] > top[l] ? top[l + half] : top[l];
  return top[0];
}

/// Rows per chunk of about 16384 elements.
inline Index row_group(Index cols) { return std::max<Index>(1, 16384 / std::max<Index>(1, cols)); }

/// Calls f(row) for every row, in chunks on the threads, compiled for the machine; f is an always-inlined lambda.
template <class F>
void for_rows(Context<Cpu>& ctx, Index rows, Index cols, const F& f) {
  ctx.parallel_range(rows, row_group(cols), [&](Index begin, Index end) {
    vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      for (Index row = begin; row < end; ++row) f(row);
    });
  });
}

template <class T>
BRAING3N_INLINE accum_t<T> widen(T x) {
  return static_cast<accum_t<T>>(x);
}

/// to[c] += sum over `parts` rows of part[p][c], in order; nothing when `to` is null.
template <class T, class A>
void add_parts(Index parts, Index part_stride, Index cols, const A* part, T* to) {
  if (to == nullptr) return;
  for (Index c = 0; c < cols; ++c) {
    double sum = 0;
    for (Index p = 0; p < parts; ++p) sum += static_cast<double>(part[p * part_stride + c]);
    to[c] = static_cast<T>(static_cast<accum_t<T>>(static_cast<double>(widen(to[c])) + sum));
  }
}

}  // namespace detail
}  // namespace braing3n::inline BRAING3N_ABI
