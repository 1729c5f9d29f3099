// What the flash attention kernels share: tiles of rows in shared memory, and products of such tiles on tensor cores.
//
// A block has flash_warps warps. A tile is a number of rows of one head, bf16, `width` elements each; a warp owns `tiles` times 16
// rows of its block's tile and multiplies them with the rows of another tile, which all warps read:
//
//   row_product   s (16 tiles, n)      = own (16 tiles, width) other (n, width)^T
//   mix_product   o (16 tiles, width) += p (16 tiles, n) other (n, width)            p comes from results of row_product, rounded to bf16
//
// Results lie as mma leaves them: lane l holds [m][j][2 r + c] = row 16 m + l / 4 + 8 r, column 8 j + 2 (l % 4) + c. As the left
// factor of the next product the same lane needs the same elements, so that p never leaves its registers.
// Source: Dao, FlashAttention-2, arXiv 2307.08691; layouts: the PTX manual.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/flash_tiles.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <cmath>

#include "braing3n/backend/attention.hpp"
#include "braing3n/backend/cuda/ptx.cuh"

namespace braing3n::inline BRAING3N_ABI::detail {

constexpr int flash_warps = 4, flash_threads = 32 * flash_warps;
constexpr float flash_log2_e = 1.44269504088896341f, flash_ln_2 = 0.693147180559945309f;

/// Rows of `Width` elements in shared memory: `row` elements from one to the next, an odd number of 16-byte pieces, so that the eight
/// rows of an 8 x 8 matrix lie in different banks.
template <int Width>
struct FlashRows {
  static_assert(Width % 8 == 0);
  static constexpr int pieces = Width / 8, row = (pieces | 1) * 8;
  static constexpr int steps = Width / 16;       // products of depth 16
  static constexpr bool half = Width % 16 != 0;  // and one of depth 8
  static constexpr int bytes(int rows) { return rows * row * static_cast<int>(sizeof(bfloat16)); }
};

/// Rows of one head in memory: `width` elements each, `row` apart, `count` of them.
struct FlashSource {
  const bfloat16* data;
  Index row;
  int count, width;
};

/// Starts to copy rows [first, first + rows) to shared memory; zeros past the last row and past the last column.
template <int Width, int rows>
__device__ inline void flash_load(bfloat16* to, const FlashSource& from, int first) {
  constexpr int pieces = FlashRows<Width>::pieces, at_once = flash_threads / pieces;
  const int column = static_cast<int>(threadIdx.x) % pieces * 8, own = static_cast<int>(threadIdx.x) / pieces;
  if (own >= at_once) return;
  const bool inside = column < from.width;
  BRAING3N_UNROLL_FOR (int r = 0; r < rows; r += at_once) {
    const int at = r + own;
    if (rows % at_once != 0 && at >= rows) break;
    const bool valid = inside && first + at < from.count;
    cp_async_16(to + at * FlashRows<Width>::row + column,
                from.data + (valid ? (first + at) * from.row + column : Index{0}), valid);
  }
}

/// The two numbers of a pair.
__device__ inline float flash_low(std::uint32_t pair) { return __builtin_bit_cast(float, pair << 16); }
__device__ inline float flash_high(std::uint32_t pair) { return __builtin_bit_cast(float, pair & 0xffff0000u); }

/// Sets o to zeros.
template <int tiles, int n>
__device__ inline void flash_clear(float (&o)[tiles][n][4]) {
  BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
    BRAING3N_UNROLL_FOR (int j = 0; j < n; ++j)
      BRAING3N_UNROLL_FOR (int i = 0; i < 4; ++i) o[m][j][i] = 0;
}

/// Where lane l points ldmatrix_x4 for its row: matrices 0, 1 below each other, 2, 3 beside them (`down_first`), or 0, 1 beside
/// each other, 2, 3 below them.
template <int Width, bool down_first>
__device__ inline int flash_lane_offset() {
  const int lane = static_cast<int>(threadIdx.x) % 32, low = lane / 8 % 2 * 8, high = lane / 16 * 8;
  return (lane % 8 + (down_first ? low : high)) * FlashRows<Width>::row + (down_first ? high : low);
}

/// A warp's own rows as left factors. They are read again whenever they are wanted: held, they would take a third of the registers.
template <int Width, int tiles>
struct FlashSharedRows {
  const bfloat16* own;  // first row of the warp, at flash_lane_offset<Width, true>()

  /// Columns [16 step, 16 step + 16) of all rows.
  __device__ void step(int step, std::uint32_t (&a)[tiles][4]) const {
    BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
      ldmatrix_x4<false>(a[m], own + 16 * m * FlashRows<Width>::row + 16 * step);
  }
  /// The last 8 columns.
  __device__ void half(std::uint32_t (&a)[tiles][2]) const {
    // Half of the lanes point at columns that do not exist: they read the others again, and nobody uses it.
    const int beside = static_cast<int>(threadIdx.x) % 32 / 16 * 8;
    BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m) {
      std::uint32_t r[4];
      ldmatrix_x4<false>(r, own + 16 * m * FlashRows<Width>::row + 16 * FlashRows<Width>::steps - beside);
      a[m][0] = r[0], a[m][1] = r[1];
    }
  }
};

/// s (16 tiles, n) = own (16 tiles, Width) other (n, Width)^T. `other` is the first of n rows, a multiple of 32.
template <int Width, int tiles, int n>
__device__ inline void flash_row_product(float (&s)[tiles][n / 8][4], const FlashSharedRows<Width, tiles>& own,
                                         const bfloat16* other) {
  using Rows = FlashRows<Width>;
  flash_clear(s);
  const bfloat16* const at = other + flash_lane_offset<Width, false>();
  BRAING3N_UNROLL_FOR (int step = 0; step < Rows::steps; ++step) {
    std::uint32_t a[tiles][4];
    own.step(step, a);
    BRAING3N_UNROLL_FOR (int j = 0; j < n / 16; ++j) {
      std::uint32_t b[4];  // rows 0-7: columns 0-7, 8-15; rows 8-15: the same
      ldmatrix_x4<false>(b, at + 16 * j * Rows::row + 16 * step);
      BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m) {
        mma_bf16_16x8x16(s[m][2 * j], a[m], {b[0], b[1]});
        mma_bf16_16x8x16(s[m][2 * j + 1], a[m], {b[2], b[3]});
      }
    }
  }
  if constexpr (Rows::half) {
    std::uint32_t a[tiles][2];
    own.half(a);
    const bfloat16* const last = other + static_cast<int>(threadIdx.x) % 32 * Rows::row + 16 * Rows::steps;
    BRAING3N_UNROLL_FOR (int j = 0; j < n / 32; ++j) {
      std::uint32_t b[4];  // 8 columns of 32 rows
      ldmatrix_x4<false>(b, last + 32 * j * Rows::row);
      BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
        BRAING3N_UNROLL_FOR (int i = 0; i < 4; ++i) mma_bf16_16x8x8(s[m][4 * j + i], a[m], b[i]);
    }
  }
}

/// Numbers as the left factor of the next product: rounded to nearest even, and with two `parts` what the rounding left over,
/// rounded too. Both together have 16 bits of fraction.
template <int parts, int tiles, int n>
__device__ inline void flash_round(std::uint32_t (&p)[parts][tiles][n / 16][4], const float (&s)[tiles][n / 8][4]) {
  BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
    BRAING3N_UNROLL_FOR (int j = 0; j < n / 16; ++j)
      BRAING3N_UNROLL_FOR (int i = 0; i < 4; ++i) {
        const float low = s[m][2 * j + i / 2][i % 2 * 2], high = s[m][2 * j + i / 2][i % 2 * 2 + 1];
        const std::uint32_t pair = pack_bf16(low, high);
        p[0][m][j][i] = pair;
        if constexpr (parts == 2) p[1][m][j][i] = pack_bf16(low - flash_low(pair), high - flash_high(pair));
      }
}

/// o (16 tiles, Width) += p (16 tiles, n) other (n, Width), of each part. n is a multiple of 32.
template <int Width, int parts, int tiles, int n>
__device__ inline void flash_mix_product(float (&o)[tiles][Width / 8][4],
                                         const std::uint32_t (&p)[parts][tiles][n / 16][4], const bfloat16* other) {
  using Rows = FlashRows<Width>;
  const bfloat16* const at = other + flash_lane_offset<Width, true>();
  BRAING3N_UNROLL_FOR (int j = 0; j < n / 16; ++j)
    BRAING3N_UNROLL_FOR (int d = 0; d < Rows::steps; ++d) {
      std::uint32_t b[4];  // columns 0-7: rows 0-7, 8-15; columns 8-15: the same
      ldmatrix_x4<true>(b, at + 16 * j * Rows::row + 16 * d);
      BRAING3N_UNROLL_FOR (int part = 0; part < parts; ++part)
        BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m) {
          mma_bf16_16x8x16(o[m][2 * d], p[part][m][j], {b[0], b[1]});
          mma_bf16_16x8x16(o[m][2 * d + 1], p[part][m][j], {b[2], b[3]});
        }
    }
  if constexpr (Rows::half) {
    const bfloat16* const last = other + static_cast<int>(threadIdx.x) % 32 * Rows::row + 16 * Rows::steps;
    BRAING3N_UNROLL_FOR (int j = 0; j < n / 32; ++j) {
      std::uint32_t b[4];  // 8 columns of 32 rows
      ldmatrix_x4<true>(b, last + 32 * j * Rows::row);
      BRAING3N_UNROLL_FOR (int part = 0; part < parts; ++part)
        BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m) {
          mma_bf16_16x8x16(o[m][2 * Rows::steps], p[part][m][2 * j], {b[0], b[1]});
          mma_bf16_16x8x16(o[m][2 * Rows::steps], p[part][m][2 * j + 1], {b[2], b[3]});
        }
    }
  }
}

/// Writes rows of a warp, factor(m, r) times o, rounded; `first` is the first of them, `row` elements lie between rows of `to`.
template <int Width, int tiles, class F>
__device__ inline void flash_store(bfloat16* to, Index row, int first, int count, int width,
                                   const float (&o)[tiles][Width / 8][4], const F& factor) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
    BRAING3N_UNROLL_FOR (int r = 0; r < 2; ++r) {
      const int own = first + 16 * m + 8 * r + lane / 4;
      if (own >= count) continue;
      const float f = factor(m, r);
      bfloat16* const at = to + own * row + lane % 4 * 2;
      BRAING3N_UNROLL_FOR (int d = 0; d < Width / 8; ++d)
        if (8 * d < width)
          *reinterpret_cast<std::uint32_t*>(at + 8 * d) = pack_bf16(f * o[m][d][2 * r], f * o[m][d][2 * r + 1]);
    }
}

/// Scores of keys [first, first + n) that do not exist become those of weight 0.
template <int tiles, int n>
__device__ inline void flash_mask(float (&s)[tiles][n / 8][4], int first, int count) {
  const int column = static_cast<int>(threadIdx.x) % 4 * 2;
  BRAING3N_UNROLL_FOR (int j = 0; j < n / 8; ++j)
    BRAING3N_UNROLL_FOR (int i = 0; i < 2; ++i) {
      if (first + 8 * j + column + i < count) continue;
      BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m) s[m][j][i] = s[m][j][2 + i] = -INFINITY;
    }
}

/// Which tile of which head of which sample a block works on: tiles of one head follow each other.
struct FlashPlace {
  Index sample, head, unit;  // unit = sample * heads + head
  int first;                 // row
};
__device__ inline FlashPlace flash_place(Index id, int tile_count, int tile_rows, Index heads) {
  const Index unit = id / tile_count;
  return {unit / heads, unit % heads, unit, static_cast<int>(id % tile_count) * tile_rows};
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
