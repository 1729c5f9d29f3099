// Attention forward in bf16 on tensor cores without the scores in memory: online softmax over tiles of keys (Milakov and Gimelshein,
// arXiv 1805.02867; Dao, arXiv 2307.08691). A block takes a tile of queries of one head; while it works on a tile of keys and
// values, the next one is copied.
//
// The weights are rounded to bf16 before their product with the values. What they are divided by at the end is the sum of the
// rounded weights, so that the result stays a mean of values: where attention is even, all weights of a row are rounded in one
// direction, and the result would be off by up to 2^-9. The log-sum-exp is that of the weights before they are rounded.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/flash_forward.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <cmath>

#include "braing3n/backend/cuda/flash_tiles.cuh"

namespace braing3n::inline BRAING3N_ABI::detail {

/// Sizes of the forward kernel for heads of at most `Width`.
template <int Width>
struct FlashForward {
  using Rows = FlashRows<Width>;
  // Of 16 queries for a warp: with two, each key is read half as often. Wider heads have no registers for it.
  static constexpr int tiles = Width <= 72 ? 2 : 1;
  static constexpr int queries = 16 * tiles * flash_warps, keys = 64;
  static constexpr int own_bytes = Rows::bytes(queries), other_bytes = Rows::bytes(keys);
  static constexpr int bytes = own_bytes + 4 * other_bytes;  // keys and values twice
};

/// What a warp knows of its queries so far; per lane the rows l / 4 and l / 4 + 8 of each 16.
template <int Width, int tiles>
struct FlashRunning {
  float o[tiles][Width / 8][4];  // sum of rounded weights times values
  float top[tiles][2];           // largest score
  float total[tiles][2];         // this lane's share of the sum of weights, relative to top
  float rounded[tiles][2];       // of the rounded weights
};

template <int Width, int tiles>
__device__ inline void flash_start(FlashRunning<Width, tiles>& run) {
  flash_clear(run.o);
  BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
    BRAING3N_UNROLL_FOR (int r = 0; r < 2; ++r) run.top[m][r] = -INFINITY, run.total[m][r] = run.rounded[m][r] = 0;
}

/// Over the four lanes that share a row.
template <class Op>
__device__ inline float flash_row_combine(float value, const Op& op) {
  value = op(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return op(value, __shfl_xor_sync(0xffffffffu, value, 2));
}

/// One step of the online softmax: s becomes 2^(scale (s - top)), and what was summed so far is brought to the new top.
template <int Width, int tiles, int n>
__device__ inline void flash_softmax(FlashRunning<Width, tiles>& run, float (&s)[tiles][n / 8][4], float scale) {
  BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
    BRAING3N_UNROLL_FOR (int r = 0; r < 2; ++r) {
      float top = run.top[m][r];
      BRAING3N_UNROLL_FOR (int j = 0; j < n / 8; ++j)
        top = std::fmax(top, std::fmax(s[m][j][2 * r], s[m][j][2 * r + 1]));
      top = flash_row_combine(top, [](float a, float b) { return std::fmax(a, b); });
      const float shrink = exp2_approx(scale * (run.top[m][r] - top)), origin = scale * top;
      run.top[m][r] = top;
      float total = run.total[m][r] * shrink;
      BRAING3N_UNROLL_FOR (int j = 0; j < n / 8; ++j)
        BRAING3N_UNROLL_FOR (int i = 0; i < 2; ++i) {
          s[m][j][2 * r + i] = exp2_approx(scale * s[m][j][2 * r + i] - origin);
          total += s[m][j][2 * r + i];
        }
      run.total[m][r] = total;
      run.rounded[m][r] *= shrink;
      BRAING3N_UNROLL_FOR (int d = 0; d < Width / 8; ++d)
        run.o[m][d][2 * r] *= shrink, run.o[m][d][2 * r + 1] *= shrink;
    }
}

/// Adds up the rounded weights p.
template <int Width, int tiles, int n>
__device__ inline void flash_add_rounded(FlashRunning<Width, tiles>& run,
                                         const std::uint32_t (&p)[1][tiles][n / 16][4]) {
  BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
    BRAING3N_UNROLL_FOR (int j = 0; j < n / 16; ++j)
      BRAING3N_UNROLL_FOR (int i = 0; i < 4; ++i)
        run.rounded[m][i % 2] += flash_low(p[0][m][j][i]) + flash_high(p[0][m][j][i]);
}

/// One tile of keys and values.
template <int Width, int tiles, int n>
__device__ inline void flash_forward_tile(FlashRunning<Width, tiles>& run, const FlashSharedRows<Width, tiles>& q,
                                          const bfloat16* k, const bfloat16* v, int first, int count, float scale) {
  float s[tiles][n / 8][4];
  flash_row_product<Width, tiles, n>(s, q, k);
  if (first + n > count) flash_mask<tiles, n>(s, first, count);
  flash_softmax<Width, tiles, n>(run, s, scale);
  std::uint32_t p[1][tiles][n / 16][4];
  flash_round<1, tiles, n>(p, s);
  flash_add_rounded<Width, tiles, n>(run, p);
  flash_mix_product<Width, 1, tiles, n>(run.o, p, v);
}

/// y and log_sum of a warp's queries from `first_query` on.
template <int Width, int tiles>
__device__ inline void flash_finish(const AttentionCall<bfloat16>& c, const FlashPlace& at, int first_query,
                                    FlashRunning<Width, tiles>& run, float scale) {
  const int lane = static_cast<int>(threadIdx.x) % 32, count = static_cast<int>(c.queries);
  const auto add = [](float a, float b) { return a + b; };
  BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
    BRAING3N_UNROLL_FOR (int r = 0; r < 2; ++r) {
      const float total = flash_row_combine(run.total[m][r], add);
      run.rounded[m][r] = 1 / flash_row_combine(run.rounded[m][r], add);
      const int query = first_query + 16 * m + 8 * r + lane / 4;
      if (lane % 4 == 0 && query < count)
        c.log_sum[at.unit * c.queries + query] = (scale * run.top[m][r] + std::log2(total)) * flash_ln_2;
    }
  const Index row = c.heads * c.width;
  flash_store<Width, tiles>(c.y + at.sample * c.queries * row + at.head * c.width, row, first_query, count,
                            static_cast<int>(c.width), run.o, [&](int m, int r) { return run.rounded[m][r]; });
}

template <int Width>
__global__ void __launch_bounds__(flash_threads)
    flash_forward_kernel(AttentionCall<bfloat16> c, Index blocks, int tile_count, float scale) {
  using Sizes = FlashForward<Width>;
  constexpr int tiles = Sizes::tiles, n = Sizes::keys, other = Sizes::other_bytes / 2;
  bfloat16* const q = reinterpret_cast<bfloat16*>(dynamic_shared_memory());
  bfloat16* const k = q + Sizes::own_bytes / 2;
  bfloat16* const v = k + 2 * other;
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16 * tiles, keys = static_cast<int>(c.keys);
  const FlashSharedRows<Width, tiles> own{q + warp_row * Sizes::Rows::row + flash_lane_offset<Width, true>()};
  for (Index id = blockIdx.x; id < blocks; id += gridDim.x) {
    const FlashPlace at = flash_place(id, tile_count, Sizes::queries, c.heads);
    const Index head = at.head * c.width;
    const int width = static_cast<int>(c.width);
    const FlashSource from_k{c.k + at.sample * c.k_sample + head, c.k_row, keys, width},
        from_v{c.v + at.sample * c.v_sample + head, c.v_row, keys, width};
    flash_load<Width, Sizes::queries>(
        q, {c.q + at.sample * c.q_sample + head, c.q_row, static_cast<int>(c.queries), width}, at.first);
    flash_load<Width, n>(k, from_k, 0);
    flash_load<Width, n>(v, from_v, 0);
    cp_async_commit();
    FlashRunning<Width, tiles> run;
    flash_start(run);
    for (int first = 0, side = 0; first < keys; first += n, side ^= 1) {
      cp_async_wait<0>();
      __syncthreads();  // the copies of all threads have arrived; nobody reads the other side any more
      if (first + n < keys) {
        flash_load<Width, n>(k + (side ^ 1) * other, from_k, first + n);
        flash_load<Width, n>(v + (side ^ 1) * other, from_v, first + n);
        cp_async_commit();
      }
      flash_forward_tile<Width, tiles, n>(run, own, k + side * other, v + side * other, first, keys, scale);
    }
    flash_finish(c, at, at.first + warp_row, run, scale);
    __syncthreads();  // the next tile of queries overwrites what the last keys are read from
  }
}

template <int Width>
void flash_forward(Context<Cuda>& ctx, const AttentionCall<bfloat16>& c) {
  const int tile_count =
      static_cast<int>((c.queries + FlashForward<Width>::queries - 1) / FlashForward<Width>::queries);
  const Index blocks = c.batch * c.heads * tile_count;
  launch(ctx, "flash_forward", flash_forward_kernel<Width>,
         {cuda_grid(ctx, blocks, 1), flash_threads, static_cast<std::size_t>(FlashForward<Width>::bytes)}, c, blocks,
         tile_count, static_cast<float>(c.scale * 1.44269504088896340736));
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
