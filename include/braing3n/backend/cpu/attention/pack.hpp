// Between tensors and the layouts of attention_tiles.hpp: transposed panels of rows, and back. Transposes go through 4 x 4
// blocks in SSE registers, which every x86-64 has. Not inlined: there is one copy per element type instead of one per kernel.
#pragma once

#include <xmmintrin.h>

#include <algorithm>
#include <type_traits>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

constexpr Index round_up(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

/// to[c * to_row + r] = factor from[r * from_row + c] for r < rows, c < cols.
template <class A>
__attribute__((noinline)) void transpose(const A* from, Index from_row, Index rows, Index cols, A factor, A* to,
                                         Index to_row) {
  Index r = 0;
  if constexpr (std::is_same_v<A, float>) {
    const __m128 f = _mm_set1_ps(factor);
    for (; r + 4 <= rows; r += 4) {
      const float* x = from + r * from_row;
      Index c = 0;
      for (; c + 4 <= cols; c += 4) {
        __m128 a0 = _mm_loadu_ps(x + c), a1 = _mm_loadu_ps(x + from_row + c);
        __m128 a2 = _mm_loadu_ps(x + 2 * from_row + c), a3 = _mm_loadu_ps(x + 3 * from_row + c);
        _MM_TRANSPOSE4_PS(a0, a1, a2, a3);
        _mm_storeu_ps(to + c * to_row + r, _mm_mul_ps(f, a0));
        _mm_storeu_ps(to + (c + 1) * to_row + r, _mm_mul_ps(f, a1));
        _mm_storeu_ps(to + (c + 2) * to_row + r, _mm_mul_ps(f, a2));
        _mm_storeu_ps(to + (c + 3) * to_row + r, _mm_mul_ps(f, a3));
      }
      for (; c < cols; ++c)
        for (Index i = 0; i < 4; ++i) to[c * to_row + r + i] = factor * x[i * from_row + c];
    }
  }
  for (; r < rows; ++r)
    for (Index c = 0; c < cols; ++c) to[c * to_row + r] = factor * from[r * from_row + c];
}

/// to [rows][stride] = rows of `width` elements that lie `row` apart, zeros past `width`.
template <class T, class A>
__attribute__((noinline)) void pack_rows(const T* from, Index row, Index rows, Index width, Index stride, A* to) {
  for (Index i = 0; i < rows; ++i, to += stride) {
    for (Index d = 0; d < width; ++d) to[d] = static_cast<A>(from[i * row + d]);
    for (Index d = width; d < stride; ++d) to[d] = A{0};
  }
}

/// One panel: to [depth][lanes] = factor times `rows` <= lanes rows, transposed; zeros past the last row and past `width`.
template <class T, class A>
__attribute__((noinline)) void pack_panel(const T* from, Index row, Index rows, Index width, Index depth, Index lanes,
                                          A factor, A* to) {
  if constexpr (std::is_same_v<T, A>) {
    transpose(from, row, rows, width, factor, to, lanes);
  } else {
    constexpr Index piece = 64;
    A wide[4 * piece];
    for (Index r = 0; r < rows; r += 4) {
      const Index n = std::min<Index>(4, rows - r);
      for (Index d = 0; d < width; d += piece) {
        const Index m = std::min(piece, width - d);
        pack_rows(from + r * row + d, row, n, m, piece, wide);
        transpose(static_cast<const A*>(wide), piece, n, m, factor, to + d * lanes + r, lanes);
      }
    }
  }
  for (Index d = 0; rows < lanes && d < width; ++d)
    for (Index r = rows; r < lanes; ++r) to[d * lanes + r] = A{0};
  for (Index i = width * lanes; i < depth * lanes; ++i) to[i] = A{0};
}

/// to [panel][depth][lanes] from `rows` rows.
template <class T, class A>
void pack_panels(const T* from, Index row, Index rows, Index width, Index depth, Index lanes, A* to) {
  for (Index r = 0; r < rows; r += lanes, to += depth * lanes)
    pack_panel(from + r * row, row, std::min(lanes, rows - r), width, depth, lanes, A{1}, to);
}

/// The way back: `rows` rows of `width` elements, `row` apart, from the panel [width][lanes], times factor.
template <class A, class T>
__attribute__((noinline)) void unpack_panel(const A* from, Index lanes, Index rows, Index width, A factor, T* to,
                                            Index row) {
  if constexpr (std::is_same_v<T, A>) {
    transpose(from, lanes, width, rows, factor, to, row);
  } else {
    for (Index r = 0; r < rows; ++r)
      for (Index d = 0; d < width; ++d) to[r * row + d] = static_cast<T>(factor * from[d * lanes + r]);
  }
}

}  // namespace detail
}  // namespace braing3n::inline BRAING3N_ABI
