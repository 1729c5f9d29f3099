// Attention on the CPU without the (queries x keys) matrix: online softmax over blocks of keys (Milakov and Gimelshein,
// arXiv 1805.02867), backward by recomputing the scores from the log-sum-exp (Dao et al., arXiv 2205.14135).
//
// Keys and values of a head are packed once into panels (rows of a packed qkv lie several KiB apart; the panels also fill
// up the last keys with zeros). One unit of forward work is a tile of queries of one head; scores, running sums and the
// result of a tile stay in the L1 cache. One unit of backward work is a head, or a range of its keys when there are few
// heads; it sums its keys' gradients over query tiles in order, and its share of the queries' gradient apart.
// Everything is cut by shape, so results do not depend on the number of threads.
#pragma once

#include <cmath>
#include <limits>

#include "braing3n/backend/cpu/attention/backward.hpp"
#include "braing3n/backend/cpu/context/context.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

constexpr Index attention_few_units = 16;  // backward splits the keys of a head below this many heads

/// Calls f(tile) with the register tile for an instruction set. Double precision serves tests: one path keeps compile time low.
template <class A, class F>
void with_attention_tile(Isa isa, F&& f) {
  if constexpr (sizeof(A) == sizeof(float)) {
    if (isa >= Isa::avx512) return f(AttentionTile<A, Isa::avx512, 3, 8>{});
    if (isa >= Isa::avx2) return f(AttentionTile<A, Isa::avx2, 3, 4>{});
  }
  f(AttentionTile<A, Isa::baseline, 3, 4>{});
}

/// Forward for one tile of queries q [width][Q], already in units of log 2, against packed keys and values.
/// out [padded][Q] is the result; s [key block][Q] and correction [Q] are scratch.
template <class Tile, class A = typename Tile::Scalar>
void attention_forward_tile(Index keys, Index width, Index padded, const A* q, const A* k, const A* v, A* s, A* out,
                            A* maximum, A* sum, A* correction) {
  Tile::call([&]() BRAING3N_LAMBDA_INLINE {
    for (Index i = 0; i < padded * Tile::queries; ++i) out[i] = A{0};
    for (Index i = 0; i < Tile::queries; ++i) maximum[i] = std::numeric_limits<A>::lowest(), sum[i] = A{0};
    for (Index j0 = 0; j0 < keys; j0 += attention_key_block) {
      const Index count = std::min(attention_key_block, keys - j0);
      for (Index j = 0; j < count; j += Tile::R)
        tile_scores<Tile>(width, k + (j0 + j) * padded, q, s + j * Tile::queries);
      softmax_block<Tile>(count, s, maximum, sum, correction);
      tile_mix<Tile>(count, padded, v + j0 * padded, s, correction, out);
    }
    for (Index i = 0; i < Tile::queries; ++i) correction[i] = A{1} / sum[i];
    for (Index d = 0; d < width; ++d) {
      unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE {
        Tile::L::at(out + d * Tile::queries + n * Tile::W) *= Tile::L::at(correction + n * Tile::W);
      });
    }
  });
}

}  // namespace detail

template <>
struct AttentionKernel<Cpu> {
  template <class T>
  static void forward(Context<Cpu>& ctx, const AttentionCall<T>& c) {
    detail::with_attention_tile<accum_t<T>>(ctx.isa(), [&](auto tile) { forward_with<decltype(tile)>(ctx, c); });
  }
  template <class T>
  static void backward(Context<Cpu>& ctx, const AttentionCall<T>& c, const AttentionGradients<T>& g) {
    detail::with_attention_tile<accum_t<T>>(ctx.isa(), [&](auto tile) { backward_with<decltype(tile)>(ctx, c, g); });
  }
  template <class T>
  static void weights(Context<Cpu>& ctx, const AttentionCall<T>& c, accum_t<T>* w) {
    detail::with_attention_tile<accum_t<T>>(ctx.isa(), [&](auto tile) { weights_with<decltype(tile)>(ctx, c, w); });
  }

 private:
  template <class Tile, class T, class A = typename Tile::Scalar>
  static void forward_with(Context<Cpu>& ctx, const AttentionCall<T>& c) {
    constexpr Index Q = Tile::queries;
    const Index padded = detail::round_up(c.width, Tile::R);
    const Index units = c.batch * c.heads, head_size = detail::round_up(c.keys, Tile::R) * padded;
    const Tensor<A, Cpu> k = pack_heads<Tile>(ctx, c, c.k, c.k_row, c.k_sample),
                         v = pack_heads<Tile>(ctx, c, c.v, c.v_row, c.v_sample);
    const Index scratch = Q * (c.width + padded + detail::attention_key_block + 3);
    Tensor<A, Cpu> memory(ctx, Shape{ctx.threads(), detail::round_up(scratch, 16)});
    const Index tiles = (c.queries + Q - 1) / Q;
    ctx.pool().run(units * tiles, [&](Index id, int worker) {
      const Index unit = id / tiles, first = id % tiles * Q, rows = std::min(Q, c.queries - first);
      A* at = memory.data() + worker * memory.dim(1);
      const A* keys = k.data() + unit * head_size;
      const A* values = v.data() + unit * head_size;
      // The last tile of a head takes as few vectors as its queries need, where the code for it is worth its compile time.
      if constexpr (Tile::W == 16) {
        if (rows <= Tile::W)
          return forward_tile<typename Tile::template With<1>>(c, unit, first, rows, padded, keys, values, at);
        if (rows <= 2 * Tile::W)
          return forward_tile<typename Tile::template With<2>>(c, unit, first, rows, padded, keys, values, at);
      }
      forward_tile<Tile>(c, unit, first, rows, padded, keys, values, at);
    });
  }

  template <class Tile, class T, class A = typename Tile::Scalar>
  static void forward_tile(const AttentionCall<T>& c, Index unit, Index first, Index rows, Index padded, const A* k,
                           const A* v, A* memory) {
    constexpr Index Q = Tile::queries;
    const Index sample = unit / c.heads, head = unit % c.heads, y_row = c.heads * c.width;
    A* q = memory;
    A* out = q + c.width * Q;
    A* s = out + padded * Q;
    A* maximum = s + detail::attention_key_block * Q;
    A* sum = maximum + Q;
    load_queries<Tile>(c, unit, first, rows, q);
    detail::attention_forward_tile<Tile>(c.keys, c.width, padded, q, k, v, s, out, maximum, sum, sum + Q);
    detail::unpack_panel(out, Q, rows, c.width, A{1}, c.y + (sample * c.queries + first) * y_row + head * c.width,
                         y_row);
    for (Index i = 0; i < rows; ++i)
      c.log_sum[unit * c.queries + first + i] =
          static_cast<A>((static_cast<double>(maximum[i]) + std::log2(static_cast<double>(sum[i]))) / detail::log2_e);
  }

  /// q [width][Q] in units of log 2, so that the softmax can use powers of two.
  template <class Tile, class T, class A = typename Tile::Scalar>
  static void load_queries(const AttentionCall<T>& c, Index unit, Index first, Index rows, A* q) {
    const T* from = c.q + unit / c.heads * c.q_sample + first * c.q_row + unit % c.heads * c.width;
    detail::pack_panel(from, c.q_row, rows, c.width, c.width, Index{Tile::queries},
                       static_cast<A>(c.scale * detail::log2_e), q);
  }

  /// Panels of the keys (or values) of all heads: (batch * heads, panels, padded width, R).
  template <class Tile, class T, class A = typename Tile::Scalar>
  static Tensor<A, Cpu> pack_heads(Context<Cpu>& ctx, const AttentionCall<T>& c, const T* from, Index row,
                                   Index sample) {
    constexpr Index block = detail::attention_key_block;
    const Index padded = detail::round_up(c.width, Tile::R), head_size = detail::round_up(c.keys, Tile::R) * padded;
    const Index blocks = (c.keys + block - 1) / block;
    Tensor<A, Cpu> to(ctx, Shape{c.batch * c.heads, head_size});
    ctx.parallel(c.batch * c.heads * blocks, [&](Index id) {
      const Index unit = id / blocks, first = id % blocks * block;
      const T* rows = from + unit / c.heads * sample + first * row + unit % c.heads * c.width;
      detail::pack_panels(rows, row, std::min(block, c.keys - first), c.width, padded, Index{Tile::R},
                          to.data() + unit * head_size + first * padded);
    });
    return to;
  }

  template <class Tile, class T, class A = typename Tile::Scalar>
  static void backward_with(Context<Cpu>& ctx, const AttentionCall<T>& c, const AttentionGradients<T>& g) {
    using Queries = detail::AttentionBackwardQueries<Tile, A>;
    using Work = detail::AttentionBackwardWork<Tile, A>;
    constexpr Index block = detail::attention_key_block;
    const Index heads = c.batch * c.heads, blocks = (c.keys + block - 1) / block;
    const Index parts = std::min(blocks, (detail::attention_few_units + heads - 1) / heads);
    const Index part_keys = (blocks + parts - 1) / parts * block,
                tiles = (c.queries + Tile::queries - 1) / Tile::queries;
    const Index queries_size = Queries(nullptr, c.queries, c.width).elements,
                work_size = Work(nullptr, c.queries, c.width).elements;
    const Index dq_size = c.queries * c.width;
    Tensor<A, Cpu> work(ctx, Shape{ctx.threads(), work_size});
    if (parts == 1) {  // a unit packs its own head
      Tensor<A, Cpu> queries(ctx, Shape{ctx.threads(), queries_size});
      ctx.pool().run(heads, [&](Index unit, int worker) {
        const Queries in(queries.data() + worker * queries_size, c.queries, c.width);
        for (Index t = 0; t < tiles; ++t) in.load(c, g, unit / c.heads, unit % c.heads, t);
        detail::attention_backward_unit<Tile>(c, g, unit / c.heads, unit % c.heads, 0, c.keys, in,
                                              Work(work.data() + worker * work_size, c.queries, c.width),
                                              static_cast<A*>(nullptr));
      });
      return;
    }
    Tensor<A, Cpu> queries(ctx, Shape{heads, queries_size}), dq_parts(ctx, Shape{heads * parts, dq_size});
    ctx.parallel(heads * tiles, [&](Index id) {
      const Index unit = id / tiles;
      Queries(queries.data() + unit * queries_size, c.queries, c.width)
          .load(c, g, unit / c.heads, unit % c.heads, id % tiles);
    });
    ctx.pool().run(heads * parts, [&](Index id, int worker) {
      const Index unit = id / parts, first = std::min(c.keys, id % parts * part_keys),
                  last = std::min(c.keys, first + part_keys);
      detail::attention_backward_unit<Tile>(c, g, unit / c.heads, unit % c.heads, first, last,
                                            Queries(queries.data() + unit * queries_size, c.queries, c.width),
                                            Work(work.data() + worker * work_size, c.queries, c.width),
                                            dq_parts.data() + id * dq_size);
    });
    ctx.parallel_range(heads * c.queries, 64, [&](Index begin, Index end) {
      for (Index row = begin; row < end; ++row) {
        const Index unit = row / c.queries, i = row % c.queries;
        T* dq = g.dq + unit / c.heads * c.q_sample + i * c.q_row + unit % c.heads * c.width;
        A* sum = dq_parts.data() + unit * parts * dq_size + i * c.width;
        for (Index p = 1; p < parts; ++p)
          for (Index d = 0; d < c.width; ++d) sum[d] += sum[p * dq_size + d];
        for (Index d = 0; d < c.width; ++d) dq[d] = static_cast<T>(sum[d]);
      }
    });
  }

  template <class Tile, class T, class A = typename Tile::Scalar>
  static void weights_with(Context<Cpu>& ctx, const AttentionCall<T>& c, A* weights) {
    constexpr Index Q = Tile::queries;
    const Index padded = detail::round_up(c.width, Tile::R), panel_keys = detail::round_up(c.keys, Tile::R);
    const Tensor<A, Cpu> k = pack_heads<Tile>(ctx, c, c.k, c.k_row, c.k_sample);
    Tensor<A, Cpu> memory(ctx, Shape{ctx.threads(), detail::round_up(Q * (c.width + panel_keys + 3), 16)});
    const Index tiles = (c.queries + Q - 1) / Q;
    ctx.pool().run(c.batch * c.heads * tiles, [&](Index id, int worker) {
      const Index unit = id / tiles, first = id % tiles * Q, rows = std::min(Q, c.queries - first);
      A* q = memory.data() + worker * memory.dim(1);
      A* s = q + c.width * Q;
      A* maximum = s + panel_keys * Q;
      A* sum = maximum + Q;
      load_queries<Tile>(c, unit, first, rows, q);
      std::fill_n(maximum, Q, std::numeric_limits<A>::lowest());
      std::fill_n(sum, Q, A{0});
      Tile::call([&]() BRAING3N_LAMBDA_INLINE {
        const A* panels = k.data() + unit * panel_keys * padded;
        for (Index j = 0; j < c.keys; j += Tile::R)
          detail::tile_scores<Tile>(c.width, panels + j * padded, q, s + j * Q);
        detail::softmax_block<Tile>(c.keys, s, maximum, sum, sum + Q);
      });
      for (Index i = 0; i < rows; ++i) {
        A* row = weights + (unit * c.queries + first + i) * c.keys;
        for (Index j = 0; j < c.keys; ++j) row[j] = s[j * Q + i] / sum[i];
      }
    });
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
