// Attention on the CPU without the (queries x keys) matrix: online softmax over blocks of keys (Milakov and Gimelshein,
// arXiv 1805.02867), backward by recomputing the scores from the log-sum-exp (Dao et al., arXiv 2205.14135).
//
// Keys and values of a head are packed once into panels (rows of a packed qkv lie several KiB apart; the panels also fill
// up the last keys with zeros). One unit of forward work is a tile of queries of one head; scores, running sums and the
// result of a tile stay in the L1 cache. One unit of backward work is a head, or a range of its keys when there are few
// heads; it sums its keys' gradients over query tiles in order, and its share of the queries' gradient apart.
// Everything is cut by shape, so results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cmath>

#include "braing3n/backend/attention.hpp"
#include "braing3n/backend/cpu/attention_tiles.hpp"
#include "braing3n/backend/cpu/context.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

constexpr Index attention_key_block = 96;    // keys whose scores are held at once; a multiple of every R
constexpr Index attention_few_units = 16;    // backward splits the keys of a head below this many heads
constexpr double log2_e = 1.44269504088896340736;

constexpr Index round_up(Index n, Index unit) { return (n + unit - 1) / unit * unit; }

/// Calls f(tile) with the register tile for an instruction set. Double precision serves tests: it stays at AVX2.
template <class A, class F>
void with_attention_tile(Isa isa, F&& f) {
  if constexpr (sizeof(A) == sizeof(float)) {
    if (isa >= Isa::avx512) return f(AttentionTile<A, Isa::avx512, 3, 8>{});
  }
  if (isa >= Isa::avx2) return f(AttentionTile<A, Isa::avx2, 3, 4>{});
  f(AttentionTile<A, Isa::baseline, 3, 4>{});
}

/// to [panel][depth][panel_rows] from rows [first, last), zeros past the last row and past `width`.
template <class T, class A>
void pack_panels(const T* from, Index row, Index first, Index last, Index width, Index depth, Index panel_rows, A* to) {
  for (Index j0 = first; j0 < last; j0 += panel_rows, to += depth * panel_rows) {
    for (Index r = 0; r < panel_rows; ++r) {
      const T* x = from + (j0 + r) * row;
      const Index filled = j0 + r < last ? width : 0;
      for (Index d = 0; d < filled; ++d) to[d * panel_rows + r] = static_cast<A>(x[d]);
      for (Index d = filled; d < depth; ++d) to[d * panel_rows + r] = A{0};
    }
  }
}

/// to [rows][stride] from rows [first, last), zeros past `width`.
template <class T, class A>
void pack_rows(const T* from, Index row, Index first, Index last, Index width, Index stride, A* to) {
  for (Index i = first; i < last; ++i, to += stride) {
    for (Index d = 0; d < width; ++d) to[d] = static_cast<A>(from[i * row + d]);
    for (Index d = width; d < stride; ++d) to[d] = A{0};
  }
}

/// Forward for one tile of queries q [width][Q], already in units of log 2, against packed keys and values.
/// out [padded][Q] is the weighted sum of values before the division by sum [Q]; s [key block][Q] is scratch.
template <class Tile, class A = typename Tile::Scalar>
void attention_forward_tile(Index keys, Index width, Index padded, const A* q, const A* k, const A* v, A* s, A* out, A* maximum, A* sum,
                            A* correction) {
  Tile::call([&]() BRAING3N_LAMBDA_INLINE {
    for (Index i = 0; i < padded * Tile::queries; ++i) out[i] = A{0};
    for (Index i = 0; i < Tile::queries; ++i) maximum[i] = std::numeric_limits<A>::lowest(), sum[i] = A{0};
    for (Index j0 = 0; j0 < keys; j0 += attention_key_block) {
      const Index count = std::min(attention_key_block, keys - j0);
      for (Index j = 0; j < count; j += Tile::R) tile_scores<Tile>(width, k + (j0 + j) * padded, q, s + j * Tile::queries);
      softmax_block<Tile>(count, s, maximum, sum, correction);
      tile_mix<Tile>(count, padded, v + j0 * padded, s, correction, out);
    }
  });
}

/// What a backward unit keeps for all query tiles of its head.
template <class Tile, class A = typename Tile::Scalar>
struct AttentionBackwardScratch {
  Index width, padded, stride;
  A *q, *dy;            // [tile][width][Q]
  A *q_rows, *dy_rows;  // [queries][stride]
  A* dq;                // [tile][padded][Q]
  A *log_sum, *delta;   // [tile][Q]
  A *k, *v;             // panels of one key block, [panel][padded][R]
  A *dk, *dv;           // [key block][stride]
  A *s, *ds;            // [key block][Q]
  Index elements = 0;

  AttentionBackwardScratch(A* memory, Index queries, Index w) : width(w), padded(round_up(w, Tile::R)), stride(round_up(w, Tile::W)) {
    constexpr Index Q = Tile::queries;
    const Index rows = round_up(queries, Q);
    const auto take = [&](Index n) {
      A* at = memory == nullptr ? nullptr : memory + elements;
      elements += round_up(n, 16);
      return at;
    };
    q = take(rows * width), dy = take(rows * width);
    q_rows = take(queries * stride), dy_rows = take(queries * stride);
    dq = take(rows * padded);
    log_sum = take(rows), delta = take(rows);
    k = take(attention_key_block * padded), v = take(attention_key_block * padded);
    dk = take(attention_key_block * stride), dv = take(attention_key_block * stride);
    s = take(attention_key_block * Q), ds = take(attention_key_block * Q);
  }
};

/// s = 2^(s - log_sum) (the attention weights), ds = s (ds - delta), over [keys][queries].
template <class Tile, class A = typename Tile::Scalar>
BRAING3N_INLINE void softmax_gradient(Index keys, A* s, A* ds, const A* log_sum, const A* delta) {
  using L = typename Tile::L;
  for (Index j = 0; j < keys; ++j) {
    BRAING3N_UNROLL
    for (int n = 0; n < Tile::N; ++n) {
      const Index at = j * Tile::queries + n * Tile::W;
      typename Tile::V p = L::at(s + at) - L::at(log_sum + n * Tile::W);
      L::exp2_nonpositive(p);
      L::at(s + at) = p;
      L::at(ds + at) = p * (L::at(ds + at) - L::at(delta + n * Tile::W));
    }
  }
}

/// Backward for one block of packed keys: dk and dv of the block (without the scale), and its share added to dq.
template <class Tile, class A = typename Tile::Scalar>
void attention_backward_block(Index queries, Index keys, const AttentionBackwardScratch<Tile, A>& m) {
  constexpr Index Q = Tile::queries;
  Tile::call([&]() BRAING3N_LAMBDA_INLINE {
    for (Index i = 0; i < attention_key_block * m.stride; ++i) m.dk[i] = A{0}, m.dv[i] = A{0};
    for (Index t = 0; t * Q < queries; ++t) {
      const Index rows = std::min(Q, queries - t * Q);
      for (Index j = 0; j < keys; j += Tile::R) {
        tile_scores<Tile>(m.width, m.k + j * m.padded, m.q + t * m.width * Q, m.s + j * Q);
        tile_scores<Tile>(m.width, m.v + j * m.padded, m.dy + t * m.width * Q, m.ds + j * Q);
      }
      softmax_gradient<Tile>(keys, m.s, m.ds, m.log_sum + t * Q, m.delta + t * Q);
      for (Index j = 0; j < keys; j += Tile::R) {
        tile_outer<Tile>(rows, m.s + j * Q, m.dy_rows + t * Q * m.stride, m.stride, m.dv + j * m.stride);
        tile_outer<Tile>(rows, m.ds + j * Q, m.q_rows + t * Q * m.stride, m.stride, m.dk + j * m.stride);
      }
      tile_mix<Tile>(keys, m.padded, m.k, m.ds, static_cast<const A*>(nullptr), m.dq + t * m.padded * Q);
    }
  });
}

/// Backward for the keys [first_key, last_key) of one head. dq_part, when not null, takes this unit's share of dq
/// (queries, width); otherwise the unit owns the whole head and writes dq itself.
template <class Tile, class T, class A = typename Tile::Scalar>
void attention_backward_unit(const AttentionCall<T>& c, const AttentionGradients<T>& g, Index sample, Index head, Index first_key,
                             Index last_key, A* memory, A* dq_part) {
  constexpr Index Q = Tile::queries;
  const AttentionBackwardScratch<Tile, A> m(memory, c.queries, c.width);
  const Index y_row = c.heads * c.width, from_y = sample * c.queries * y_row + head * c.width;
  const T* q = c.q + sample * c.q_sample + head * c.width;
  const T* y = g.y + from_y;
  const T* dy = g.dy + from_y;
  const A* log_sum = g.log_sum + (sample * c.heads + head) * c.queries;

  pack_rows(q, c.q_row, 0, c.queries, c.width, m.stride, m.q_rows);
  pack_rows(dy, y_row, 0, c.queries, c.width, m.stride, m.dy_rows);
  pack_panels(q, c.q_row, 0, c.queries, c.width, c.width, Q, m.q);
  pack_panels(dy, y_row, 0, c.queries, c.width, c.width, Q, m.dy);
  const A factor = static_cast<A>(c.scale * log2_e), scale = static_cast<A>(c.scale);
  const Index rows = round_up(c.queries, Q);
  for (Index i = 0; i < rows * c.width; ++i) m.q[i] *= factor;
  for (Index i = 0; i < rows * m.padded; ++i) m.dq[i] = A{0};
  for (Index i = 0; i < rows; ++i) {
    const bool real = i < c.queries;
    m.log_sum[i] = real ? static_cast<A>(static_cast<double>(log_sum[i]) * log2_e) : A{0};
    A delta = A{0};  // sum over d of dy y = sum over keys of dP P
    for (Index d = 0; real && d < c.width; ++d) delta += static_cast<A>(dy[i * y_row + d]) * static_cast<A>(y[i * y_row + d]);
    m.delta[i] = delta;
  }

  for (Index j0 = first_key; j0 < last_key; j0 += attention_key_block) {
    const Index keys = std::min(attention_key_block, last_key - j0);
    const Index at_k = sample * c.k_sample + head * c.width, at_v = sample * c.v_sample + head * c.width;
    pack_panels(c.k + at_k, c.k_row, j0, j0 + keys, c.width, m.padded, Index{Tile::R}, m.k);
    pack_panels(c.v + at_v, c.v_row, j0, j0 + keys, c.width, m.padded, Index{Tile::R}, m.v);
    attention_backward_block<Tile>(c.queries, keys, m);
    for (Index j = 0; j < keys; ++j) {
      T* dk = g.dk + at_k + (j0 + j) * c.k_row;
      T* dv = g.dv + at_v + (j0 + j) * c.v_row;
      for (Index d = 0; d < c.width; ++d) {
        dk[d] = static_cast<T>(scale * m.dk[j * m.stride + d]);
        dv[d] = static_cast<T>(m.dv[j * m.stride + d]);
      }
    }
  }

  for (Index i = 0; i < c.queries; ++i) {
    const A* from = m.dq + i / Q * m.padded * Q + i % Q;
    if (dq_part != nullptr) {
      for (Index d = 0; d < c.width; ++d) dq_part[i * c.width + d] = scale * from[d * Q];
    } else {
      T* dq = g.dq + sample * c.q_sample + i * c.q_row + head * c.width;
      for (Index d = 0; d < c.width; ++d) dq[d] = static_cast<T>(scale * from[d * Q]);
    }
  }
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
    const Tensor<A, Cpu> k = pack_heads<Tile>(ctx, c, c.k, c.k_row, c.k_sample), v = pack_heads<Tile>(ctx, c, c.v, c.v_row, c.v_sample);
    const Index scratch = Q * (c.width + padded + detail::attention_key_block + 3);
    Tensor<A, Cpu> memory(ctx, Shape{ctx.threads(), detail::round_up(scratch, 16)});
    const Index tiles = (c.queries + Q - 1) / Q;
    ctx.pool().run(units * tiles, [&](Index id, int worker) {
      const Index unit = id / tiles, sample = unit / c.heads, head = unit % c.heads;
      const Index first = id % tiles * Q, last = std::min(c.queries, first + Q);
      A* q = memory.data() + worker * memory.dim(1);
      A* out = q + c.width * Q;
      A* s = out + padded * Q;
      A* maximum = s + detail::attention_key_block * Q;
      A* sum = maximum + Q;
      load_queries<Tile>(c, sample, head, first, last, q);
      detail::attention_forward_tile<Tile>(c.keys, c.width, padded, q, k.data() + unit * head_size, v.data() + unit * head_size, s, out,
                                           maximum, sum, sum + Q);
      T* y = c.y + (sample * c.queries + first) * c.heads * c.width + head * c.width;
      for (Index i = 0; i < last - first; ++i, y += c.heads * c.width) {
        const A inverse = A{1} / sum[i];
        for (Index d = 0; d < c.width; ++d) y[d] = static_cast<T>(inverse * out[d * Q + i]);
        c.log_sum[unit * c.queries + first + i] =
            static_cast<A>((static_cast<double>(maximum[i]) + std::log2(static_cast<double>(sum[i]))) / detail::log2_e);
      }
    });
  }

  /// q [width][Q] in units of log 2, so that the softmax can use powers of two.
  template <class Tile, class T, class A = typename Tile::Scalar>
  static void load_queries(const AttentionCall<T>& c, Index sample, Index head, Index first, Index last, A* q) {
    detail::pack_panels(c.q + sample * c.q_sample + head * c.width, c.q_row, first, last, c.width, c.width, Index{Tile::queries}, q);
    const A factor = static_cast<A>(c.scale * detail::log2_e);
    for (Index i = 0; i < c.width * Tile::queries; ++i) q[i] *= factor;
  }

  /// Panels of the keys (or values) of all heads: (batch * heads, panels, padded width, R).
  template <class Tile, class T, class A = typename Tile::Scalar>
  static Tensor<A, Cpu> pack_heads(Context<Cpu>& ctx, const AttentionCall<T>& c, const T* from, Index row, Index sample) {
    constexpr Index block = detail::attention_key_block;
    const Index padded = detail::round_up(c.width, Tile::R), head_size = detail::round_up(c.keys, Tile::R) * padded;
    const Index blocks = (c.keys + block - 1) / block;
    Tensor<A, Cpu> to(ctx, Shape{c.batch * c.heads, head_size});
    ctx.parallel(c.batch * c.heads * blocks, [&](Index id) {
      const Index unit = id / blocks, first = id % blocks * block;
      detail::pack_panels(from + unit / c.heads * sample + unit % c.heads * c.width, row, first, std::min(c.keys, first + block), c.width,
                          padded, Index{Tile::R}, to.data() + unit * head_size + first * padded);
    });
    return to;
  }

  template <class Tile, class T, class A = typename Tile::Scalar>
  static void backward_with(Context<Cpu>& ctx, const AttentionCall<T>& c, const AttentionGradients<T>& g) {
    constexpr Index block = detail::attention_key_block;
    const Index heads = c.batch * c.heads, blocks = (c.keys + block - 1) / block;
    const Index parts = std::min(blocks, (detail::attention_few_units + heads - 1) / heads);
    const Index part_keys = (blocks + parts - 1) / parts * block;
    const detail::AttentionBackwardScratch<Tile, A> sizes(nullptr, c.queries, c.width);
    Tensor<A, Cpu> memory(ctx, Shape{ctx.threads(), sizes.elements}), dq_parts;
    const Index dq_size = c.queries * c.width;
    if (parts > 1) dq_parts = Tensor<A, Cpu>(ctx, Shape{heads * parts, dq_size});
    ctx.pool().run(heads * parts, [&](Index id, int worker) {
      const Index unit = id / parts, first = std::min(c.keys, id % parts * part_keys), last = std::min(c.keys, first + part_keys);
      detail::attention_backward_unit<Tile>(c, g, unit / c.heads, unit % c.heads, first, last, memory.data() + worker * sizes.elements,
                                            parts > 1 ? dq_parts.data() + id * dq_size : nullptr);
    });
    if (parts == 1) return;
    ctx.parallel_range(heads * c.queries, 64, [&](Index begin, Index end) {
      for (Index row = begin; row < end; ++row) {
        const Index unit = row / c.queries, i = row % c.queries;
        T* dq = g.dq + unit / c.heads * c.q_sample + i * c.q_row + unit % c.heads * c.width;
        const A* part = dq_parts.data() + unit * parts * dq_size + i * c.width;
        for (Index d = 0; d < c.width; ++d) {
          A sum = A{0};
          for (Index p = 0; p < parts; ++p) sum += part[p * dq_size + d];
          dq[d] = static_cast<T>(sum);
        }
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
      const Index unit = id / tiles, first = id % tiles * Q, last = std::min(c.queries, first + Q);
      A* q = memory.data() + worker * memory.dim(1);
      A* s = q + c.width * Q;
      A* maximum = s + panel_keys * Q;
      A* sum = maximum + Q;
      load_queries<Tile>(c, unit / c.heads, unit % c.heads, first, last, q);
      std::fill_n(maximum, Q, std::numeric_limits<A>::lowest());
      std::fill_n(sum, Q, A{0});
      Tile::call([&]() BRAING3N_LAMBDA_INLINE {
        const A* panels = k.data() + unit * panel_keys * padded;
        for (Index j = 0; j < c.keys; j += Tile::R) detail::tile_scores<Tile>(c.width, panels + j * padded, q, s + j * Q);
        detail::softmax_block<Tile>(c.keys, s, maximum, sum, sum + Q);
      });
      for (Index i = 0; i < last - first; ++i) {
        A* row = weights + (unit * c.queries + first + i) * c.keys;
        for (Index j = 0; j < c.keys; ++j) row[j] = s[j * Q + i] / sum[i];
      }
    });
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
