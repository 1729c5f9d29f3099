// Puts the operands of a product in the order the micro-kernels read (micro.hpp), converting elements on the way where a
// kernel computes in another type (bfloat16 on machines without bfloat16 arithmetic).
//
// B (k, n) becomes panels of Micro::cols columns, an odd k padded to Micro::k_group. A (m, k) needs no packing when its rows are
// contiguous; otherwise it is copied to rows.
#pragma once

#include <algorithm>
#include <type_traits>

#include "braing3n/backend/cpu/gemm/micro.hpp"
#include "braing3n/core/precision.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// A view of words: `rows` rows of `words` contiguous words. Turned into `words` rows of `padded` >= rows words, zeros at the end.
template <class Micro, class Word>
void transpose_words(const Word* from, Index from_row, Index rows, Index words, Word* to, Index to_row, Index padded) {
  constexpr Index s = Micro::block;
  const Index whole_rows = rows / s * s, whole_words = words / s * s;
  for (Index w = 0; w < whole_words; w += s)
    for (Index r = 0; r < whole_rows; r += s)
      Micro::transpose(from + r * from_row + w, from_row * Index{sizeof(Word)}, to + w * to_row + r,
                       to_row * Index{sizeof(Word)});
  for (Index w = 0; w < words; ++w) {
    for (Index r = w < whole_words ? whole_rows : 0; r < rows; ++r) to[w * to_row + r] = from[r * from_row + w];
    for (Index r = rows; r < padded; ++r) to[w * to_row + r] = Word{};
  }
}

/// One panel: B's columns [0, cols) and rows [0, k), element (u, j) at b[u * b_row + j * b_col].
template <class Micro, class T>
void pack_panel(const T* b, Index b_row, Index b_col, Index k, Index cols, typename Micro::In* panel) {
  using In = typename Micro::In;
  constexpr Index width = Micro::cols, group = Micro::k_group;
  if constexpr (group == 1 && std::is_same_v<T, In>) {
    if (b_row == 1 && b_col != 1) {
      transpose_words<Micro>(b, b_col, cols, k, panel, width, width);
      return;
    }
  }
  if constexpr (group == 2) {
    if (b_row == 1 && b_col != 1) {
      // Pairs of neighbouring k are one 4-byte word; only their addresses are not aligned to one.
      const Index pairs = k / 2, whole_cols = cols / Micro::block * Micro::block,
                  whole_pairs = pairs / Micro::block * Micro::block;
      for (Index w = 0; w < whole_pairs; w += Micro::block)
        for (Index j = 0; j < whole_cols; j += Micro::block)
          Micro::transpose(b + j * b_col + 2 * w, b_col * Index{sizeof(T)}, panel + (w * width + j) * 2, width * 4);
      for (Index w = 0; w < (k + 1) / 2; ++w)
        for (Index j = w < whole_pairs ? whole_cols : 0; j < width; ++j)
          for (Index half = 0; half < 2; ++half)
            panel[(w * width + j) * 2 + half] =
                j < cols && 2 * w + half < k ? b[j * b_col + 2 * w + half] : bfloat16(0.0f);
      return;
    }
    vectorized_for<Micro::isa>([&]() BRAING3N_LAMBDA_INLINE {
      for (Index u = 0; u < k; u += 2) {
        const T *first = b + u * b_row, *second = u + 1 < k ? first + b_row : nullptr;
        In* out = panel + u * width;
        if (b_col == 1 && cols == width && second != nullptr) {
          BRAING3N_IVDEP
          for (Index j = 0; j < width; ++j) out[2 * j].bits = first[j].bits, out[2 * j + 1].bits = second[j].bits;
        } else {
          for (Index j = 0; j < width; ++j) {
            out[2 * j].bits = j < cols ? first[j * b_col].bits : std::uint16_t{0};
            out[2 * j + 1].bits = j < cols && second != nullptr ? second[j * b_col].bits : std::uint16_t{0};
          }
        }
      }
    });
  } else {
    vectorized_for<Micro::isa>([&]() BRAING3N_LAMBDA_INLINE {
      for (Index u = 0; u < k; ++u) {
        const T* row = b + u * b_row;
        In* out = panel + u * width;
        if (b_col == 1 && cols == width) {
          BRAING3N_IVDEP
          for (Index j = 0; j < width; ++j) out[j] = static_cast<In>(row[j]);
        } else {
          for (Index j = 0; j < width; ++j) out[j] = j < cols ? static_cast<In>(row[j * b_col]) : In{};
        }
      }
    });
  }
}

/// Rows of A, contiguous: out[i * out_row + u] = a[i * a_row + u * a_col].
template <class Micro, class T>
void pack_rows(const T* a, Index a_row, Index a_col, Index rows, Index k, typename Micro::In* out, Index out_row) {
  using In = typename Micro::In;
  if constexpr (std::is_same_v<T, In> && Micro::k_group == 1) {
    if (a_row == 1 && a_col != 1) {
      transpose_words<Micro>(a, a_col, k, rows, out, out_row, k);
      return;
    }
  }
  vectorized_for<Micro::isa>([&]() BRAING3N_LAMBDA_INLINE {
    for (Index i = 0; i < rows; ++i) {
      const T* row = a + i * a_row;
      In* to = out + i * out_row;
      if (a_col == 1) {
        BRAING3N_IVDEP
        for (Index u = 0; u < k; ++u) to[u] = static_cast<In>(row[u]);
      } else {
        for (Index u = 0; u < k; ++u) to[u] = static_cast<In>(row[u * a_col]);
      }
    }
  });
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
