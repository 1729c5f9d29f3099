// The contract of the micro-kernels, the inner loops of matrix products and convolutions.
//
// A micro-kernel keeps a tile of C in registers and adds a sum of products to it:
//   C[r][j] = [C[r][j] +] sum over terms t, over k of  a_t[r * lda + k] * b_t[k][j]        r < rows, j < cols
// A is read where it lies: `rows` rows, any distance `lda` apart, k contiguous (a row of a matrix, the channels of a voxel).
// B is a packed panel, 64-byte aligned: k rows of Micro::cols elements, columns past the end filled with zeros. With
// Micro::k_group = 2 (bfloat16) two rows are interleaved, [k / 2][cols][2], and an odd k is filled up with a row of zeros.
// A matrix product has one term; a convolution has one per tap, and the tile stays in registers across all of them.
// Every element is summed in the order of the terms and of k, whatever `rows` and `cols` are.
//
//   struct Micro {
//     using In = float;                    // elements of A and B
//     using Acc = float;                   // elements of C
//     static constexpr Index rows, cols;   // the largest tile
//     static constexpr Index k_group;      // rows of B that are interleaved
//     static constexpr Isa isa;            // for the plain loops around it
//     static constexpr Index block;        // transpose() turns block x block words
//     static void tile(const TileCall<In, Acc>&);
//     static void transpose(const void* from, Index from_bytes, void* to, Index to_bytes);
//   };
// A word is what the kernel broadcasts: k_group elements. transpose() reads `block` rows of `block` words, from_bytes apart and
// unaligned, and writes the columns as rows, to_bytes apart.
#pragma once

#include "braing3n/backend/cpu/loops/simd.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// One pair of operands: rows a[r * lda + k] and a packed panel b.
template <class In>
struct TileTerm {
  const In* a = nullptr;
  const In* b = nullptr;
};

template <class In, class Acc>
struct TileCall {
  Index rows = 0;  // 1 <= rows <= Micro::rows
  Index cols = 0;  // 1 <= cols <= Micro::cols
  Index k = 0;     // of every term
  Index lda = 0;
  const TileTerm<In>* terms = nullptr;
  Index term_count = 1;
  Acc* c = nullptr;
  Index ldc = 0;
  bool accumulate = false;  // false: C is only written
};

/// Elements of a packed panel with k rows.
template <class Micro>
constexpr Index panel_size(Index k) {
  return (k + Micro::k_group - 1) / Micro::k_group * Micro::k_group * Micro::cols;
}

}  // namespace braing3n::inline BRAING3N_ABI
