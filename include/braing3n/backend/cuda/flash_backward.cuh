// Attention backward in bf16 on tensor cores, the scores computed again from q, k and the log-sum-exp (Dao, arXiv 2307.08691):
//
//   p_ij = exp(scale q_i . k_j - log_sum_i),   ds_ij = p_ij (dy_i . v_j - delta_i),   delta_i = dy_i . y_i
//   dv_j = sum_i p_ij dy_i,   dk_j = scale sum_i ds_ij q_i,   dq_i = scale sum_j ds_ij k_j
//
// Two kernels, so that each sum is made by one block in a fixed order and no gradient is added to by several: one takes a tile of keys
// and all queries (dk, dv), the other a tile of queries and all keys (dq). Scores and p are computed in both: seven products, not five.
//
// p and ds enter their products as two bf16 numbers each (flash_parts): rounded to one, they alone would make errors as large as
// rounding the result does, and gradients 1.4 times as far off as the CPU's, which keeps p and ds in float.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/flash_backward.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include "braing3n/backend/cuda/flash_tiles.cuh"
#include "braing3n/backend/cuda/norm.cuh"

namespace braing3n::inline BRAING3N_ABI::detail {

constexpr int flash_parts = 2;
constexpr int flash_row_padding = 128;  // a multiple of the queries of every tile

/// What the backward pass needs of a query, 0 for queries that do not exist: p = 2^(scale log2(e) q k - log_sum).
struct FlashQuery {
  float log_sum;  // in units of log 2
  float delta;
};

/// Sizes of the kernels for heads of at most `Width`: own rows of a block, others that are in shared memory at once (twice). They are what
/// registers allow for: dk and dv together are as large as two tiles of queries and their gradient.
template <int Width>
struct FlashBackward {
  using Rows = FlashRows<Width>;
  static constexpr int loaded = Width <= 96 ? 64 : 32;
  static constexpr int key_tiles = 1;                      // of 16 keys per warp, in the kernel for dk and dv
  static constexpr int query_tiles = Width <= 72 ? 2 : 1;  // of 16 queries per warp, in the kernel for dq,
  static constexpr int query_keys = 32;  // which takes that many of the keys in shared memory at a time
  static constexpr int keys = 16 * key_tiles * flash_warps, queries = 16 * query_tiles * flash_warps;
  static constexpr int loaded_bytes = Rows::bytes(loaded);
  static constexpr int number_bytes = loaded * static_cast<int>(sizeof(FlashQuery));
  static constexpr int keys_bytes = 2 * Rows::bytes(keys) + 4 * loaded_bytes + 2 * number_bytes;
  static constexpr int queries_bytes = 2 * Rows::bytes(queries) + 4 * loaded_bytes;
};

/// The numbers of all queries: (batch * heads, padded).
template <class T>
__global__ void flash_numbers_kernel(AttentionCall<T> c, AttentionGradients<T> g, Index padded, FlashQuery* to) {
  for_warp_rows(c.batch * c.heads * padded, [=](Index r, int lane) {
    const Index unit = r / padded, query = r % padded, sample = unit / c.heads, head = unit % c.heads;
    const bool exists = query < c.queries;
    const Index at = ((sample * c.queries + (exists ? query : 0)) * c.heads + head) * c.width;
    const float delta = row_total<float>(
        c.width, lane, [=](Index d) { return static_cast<float>(g.dy[at + d]) * static_cast<float>(g.y[at + d]); });
    if (lane != 0) return;
    to[r] = exists ? FlashQuery{g.log_sum[unit * c.queries + query] * flash_log2_e, delta} : FlashQuery{0, 0};
  });
}

/// dk and dv of a warp's keys from queries `q`, `dy` (n rows each) and their numbers.
template <int Width, int tiles, int n>
__device__ inline void flash_key_tile(float (&dk)[tiles][Width / 8][4], float (&dv)[tiles][Width / 8][4],
                                      const FlashSharedRows<Width, tiles>& k, const FlashSharedRows<Width, tiles>& v,
                                      const bfloat16* q, const bfloat16* dy, const FlashQuery* of, float scale) {
  const FlashQuery* const own = of + static_cast<int>(threadIdx.x) % 4 * 2;  // those of this lane's columns
  float p[tiles][n / 8][4], ds[tiles][n / 8][4];
  std::uint32_t left[flash_parts][tiles][n / 16][4];
  flash_row_product<Width, tiles, n>(p, k, q);
  BRAING3N_UNROLL_FOR (int j = 0; j < n / 8; ++j)
    BRAING3N_UNROLL_FOR (int i = 0; i < 2; ++i) {
      const float log_sum = own[8 * j + i].log_sum;
      BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
        BRAING3N_UNROLL_FOR (int r = 0; r < 2; ++r)
          p[m][j][2 * r + i] = exp2_approx(scale * p[m][j][2 * r + i] - log_sum);
    }
  flash_round<flash_parts, tiles, n>(left, p);
  flash_mix_product<Width, flash_parts, tiles, n>(dv, left, dy);
  flash_row_product<Width, tiles, n>(ds, v, dy);
  BRAING3N_UNROLL_FOR (int j = 0; j < n / 8; ++j)
    BRAING3N_UNROLL_FOR (int i = 0; i < 2; ++i) {
      const float delta = own[8 * j + i].delta;
      BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
        BRAING3N_UNROLL_FOR (int r = 0; r < 2; ++r)
          ds[m][j][2 * r + i] = p[m][j][2 * r + i] * (ds[m][j][2 * r + i] - delta);
    }
  flash_round<flash_parts, tiles, n>(left, ds);
  flash_mix_product<Width, flash_parts, tiles, n>(dk, left, q);
}

/// dq of a warp's queries, whose numbers are `of`, from keys `k`, `v` (n rows each), the first of them `first`.
template <int Width, int tiles, int n>
__device__ inline void flash_query_tile(float (&dq)[tiles][Width / 8][4], const FlashSharedRows<Width, tiles>& q,
                                        const FlashSharedRows<Width, tiles>& dy, const FlashQuery (&of)[tiles][2],
                                        const bfloat16* k, const bfloat16* v, int first, int count, float scale) {
  float p[tiles][n / 8][4], ds[tiles][n / 8][4];
  std::uint32_t left[flash_parts][tiles][n / 16][4];
  flash_row_product<Width, tiles, n>(p, q, k);
  if (first + n > count) flash_mask<tiles, n>(p, first, count);
  flash_row_product<Width, tiles, n>(ds, dy, v);
  BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
    BRAING3N_UNROLL_FOR (int j = 0; j < n / 8; ++j)
      BRAING3N_UNROLL_FOR (int i = 0; i < 4; ++i) {
        const FlashQuery& query = of[m][i / 2];
        ds[m][j][i] = exp2_approx(scale * p[m][j][i] - query.log_sum) * (ds[m][j][i] - query.delta);
      }
  flash_round<flash_parts, tiles, n>(left, ds);
  flash_mix_product<Width, flash_parts, tiles, n>(dq, left, k);
}

/// Pointers of one head of one sample.
struct FlashHead {
  FlashSource q, k, v, dy;
  Index q_at, k_at, v_at;  // where dq, dk, dv of it begin
};
__device__ inline FlashHead flash_head(const AttentionCall<bfloat16>& c, const AttentionGradients<bfloat16>& g,
                                       const FlashPlace& at) {
  const Index head = at.head * c.width, y_row = c.heads * c.width;
  const Index q_at = at.sample * c.q_sample + head, k_at = at.sample * c.k_sample + head,
              v_at = at.sample * c.v_sample + head;
  const int queries = static_cast<int>(c.queries), keys = static_cast<int>(c.keys), width = static_cast<int>(c.width);
  return {{c.q + q_at, c.q_row, queries, width},
          {c.k + k_at, c.k_row, keys, width},
          {c.v + v_at, c.v_row, keys, width},
          {g.dy + at.sample * c.queries * y_row + head, y_row, queries, width},
          q_at,
          k_at,
          v_at};
}

/// Starts to copy the numbers of `count` queries, a multiple of 2, as many as there are threads or fewer.
template <int count>
__device__ inline void flash_load_numbers(FlashQuery* to, const FlashQuery* from) {
  constexpr int each = 16 / static_cast<int>(sizeof(FlashQuery));
  const int at = static_cast<int>(threadIdx.x) * each;
  if (at < count) cp_async_16(to + at, from + at, true);
}

template <int Width>
__global__ void __launch_bounds__(flash_threads)
    flash_keys_kernel(AttentionCall<bfloat16> c, AttentionGradients<bfloat16> g, const FlashQuery* numbers,
                      Index padded, Index blocks, int tile_count, float scale) {
  using Sizes = FlashBackward<Width>;
  constexpr int tiles = Sizes::key_tiles, n = Sizes::loaded, own = Sizes::keys * Sizes::Rows::row,
                other = n * Sizes::Rows::row;
  bfloat16* const k = reinterpret_cast<bfloat16*>(dynamic_shared_memory());
  bfloat16 *const v = k + own, *const q = v + own, *const dy = q + 2 * other;
  FlashQuery* const of = reinterpret_cast<FlashQuery*>(dy + 2 * other);
  const int warp_row = static_cast<int>(threadIdx.x) / 32 * 16 * tiles, queries = static_cast<int>(c.queries);
  const int from = warp_row * Sizes::Rows::row + flash_lane_offset<Width, true>();
  const FlashSharedRows<Width, tiles> own_k{k + from}, own_v{v + from};
  for (Index id = blockIdx.x; id < blocks; id += gridDim.x) {
    const FlashPlace at = flash_place(id, tile_count, Sizes::keys, c.heads);
    const FlashHead head = flash_head(c, g, at);
    const auto load = [&](int side, int first) {
      flash_load<Width, n>(q + side * other, head.q, first);
      flash_load<Width, n>(dy + side * other, head.dy, first);
      flash_load_numbers<n>(of + side * n, numbers + at.unit * padded + first);
      cp_async_commit();
    };
    flash_load<Width, Sizes::keys>(k, head.k, at.first);
    flash_load<Width, Sizes::keys>(v, head.v, at.first);
    load(0, 0);
    float dk[tiles][Width / 8][4], dv[tiles][Width / 8][4];
    flash_clear(dk);
    flash_clear(dv);
    for (int first = 0, side = 0; first < queries; first += n, side ^= 1) {
      cp_async_wait<0>();
      __syncthreads();  // the copies of all threads have arrived; nobody reads the other side any more
      if (first + n < queries) load(side ^ 1, first + n);
      flash_key_tile<Width, tiles, n>(dk, dv, own_k, own_v, q + side * other, dy + side * other, of + side * n,
                                      scale * flash_log2_e);
    }
    const int first = at.first + warp_row, keys = static_cast<int>(c.keys), width = static_cast<int>(c.width);
    flash_store<Width, tiles>(g.dk + head.k_at, c.k_row, first, keys, width, dk, [=](int, int) { return scale; });
    flash_store<Width, tiles>(g.dv + head.v_at, c.v_row, first, keys, width, dv, [](int, int) { return 1.0f; });
    __syncthreads();  // the next tile of keys overwrites what the last queries are read from
  }
}

template <int Width>
__global__ void __launch_bounds__(flash_threads)
    flash_queries_kernel(AttentionCall<bfloat16> c, AttentionGradients<bfloat16> g, const FlashQuery* numbers,
                         Index padded, Index blocks, int tile_count, float scale) {
  using Sizes = FlashBackward<Width>;
  constexpr int tiles = Sizes::query_tiles, n = Sizes::loaded, own = Sizes::queries * Sizes::Rows::row,
                other = n * Sizes::Rows::row;
  bfloat16* const q = reinterpret_cast<bfloat16*>(dynamic_shared_memory());
  bfloat16 *const dy = q + own, *const k = dy + own, *const v = k + 2 * other;
  const int lane = static_cast<int>(threadIdx.x) % 32, warp_row = static_cast<int>(threadIdx.x) / 32 * 16 * tiles;
  const int keys = static_cast<int>(c.keys), from = warp_row * Sizes::Rows::row + flash_lane_offset<Width, true>();
  const FlashSharedRows<Width, tiles> own_q{q + from}, own_dy{dy + from};
  for (Index id = blockIdx.x; id < blocks; id += gridDim.x) {
    const FlashPlace at = flash_place(id, tile_count, Sizes::queries, c.heads);
    const FlashHead head = flash_head(c, g, at);
    const auto load = [&](int side, int first) {
      flash_load<Width, n>(k + side * other, head.k, first);
      flash_load<Width, n>(v + side * other, head.v, first);
      cp_async_commit();
    };
    flash_load<Width, Sizes::queries>(q, head.q, at.first);
    flash_load<Width, Sizes::queries>(dy, head.dy, at.first);
    load(0, 0);
    FlashQuery of[tiles][2];
    float dq[tiles][Width / 8][4];
    flash_clear(dq);
    BRAING3N_UNROLL_FOR (int m = 0; m < tiles; ++m)
      BRAING3N_UNROLL_FOR (int r = 0; r < 2; ++r)
        of[m][r] = numbers[at.unit * padded + at.first + warp_row + 16 * m + 8 * r + lane / 4];
    for (int first = 0, side = 0; first < keys; first += n, side ^= 1) {
      cp_async_wait<0>();
      __syncthreads();  // the copies of all threads have arrived; nobody reads the other side any more
      if (first + n < keys) load(side ^ 1, first + n);
      for (int part = 0; part < n; part += Sizes::query_keys) {
        const int row = side * other + part * Sizes::Rows::row;
        flash_query_tile<Width, tiles, Sizes::query_keys>(dq, own_q, own_dy, of, k + row, v + row, first + part, keys,
                                                          scale * flash_log2_e);
      }
    }
    flash_store<Width, tiles>(g.dq + head.q_at, c.q_row, at.first + warp_row, static_cast<int>(c.queries),
                              static_cast<int>(c.width), dq, [=](int, int) { return scale; });
    __syncthreads();  // the next tile of queries overwrites what the last keys are read from
  }
}

template <int Width>
void flash_backward(Context<Cuda>& ctx, const AttentionCall<bfloat16>& c, const AttentionGradients<bfloat16>& g) {
  using Sizes = FlashBackward<Width>;
  static_assert(flash_row_padding % Sizes::queries == 0 && flash_row_padding % Sizes::loaded == 0);
  const Index units = c.batch * c.heads;
  const Index padded = (c.queries + flash_row_padding - 1) / flash_row_padding * flash_row_padding;
  const Index key_tiles = (c.keys + Sizes::keys - 1) / Sizes::keys,
              query_tiles = (c.queries + Sizes::queries - 1) / Sizes::queries;
  const float scale = static_cast<float>(c.scale);
  Tensor<float, Cuda> memory(ctx, Shape{units, padded, 2});
  FlashQuery* const numbers = reinterpret_cast<FlashQuery*>(memory.data());
  launch(ctx, "flash_numbers", flash_numbers_kernel<bfloat16>, {cuda_grid(ctx, units * padded, warps_per_block)}, c, g,
         padded, numbers);
  launch(ctx, "flash_backward_keys", flash_keys_kernel<Width>,
         {cuda_grid(ctx, units * key_tiles, 1), flash_threads, static_cast<std::size_t>(Sizes::keys_bytes)}, c, g,
         numbers, padded, units * key_tiles, static_cast<int>(key_tiles), scale);
  launch(ctx, "flash_backward_queries", flash_queries_kernel<Width>,
         {cuda_grid(ctx, units * query_tiles, 1), flash_threads, static_cast<std::size_t>(Sizes::queries_bytes)}, c, g,
         numbers, padded, units * query_tiles, static_cast<int>(query_tiles), scale);
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
