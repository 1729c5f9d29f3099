// Attention backward on the CPU: one unit is a range of keys of one head against all of its queries.
#pragma once

#include <algorithm>

#include "braing3n/backend/attention.hpp"
#include "braing3n/backend/cpu/attention/pack.hpp"
#include "braing3n/backend/cpu/attention/tiles.hpp"
#include "braing3n/backend/cpu/loops/rows.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

constexpr Index attention_key_block = 96;  // keys whose scores are held at once; a multiple of every R
constexpr double log2_e = 1.44269504088896340736;

/// Cuts one allocation into arrays; with a null pointer it only counts.
template <class A>
struct Carver {
  A* memory;
  Index elements = 0;
  A* take(Index n) {
    A* at = memory == nullptr ? nullptr : memory + elements;
    elements += round_up(n, 16);
    return at;
  }
};

/// Queries and upstream gradients of one head in the layouts of the kernels.
template <class Tile, class A = typename Tile::Scalar>
struct AttentionBackwardQueries {
  A *q, *dy;            // [tile][width][Q]
  A *q_rows, *dy_rows;  // [queries][stride]
  A *log_sum, *delta;   // [tile][Q]
  Index elements;

  AttentionBackwardQueries(A* memory, Index queries, Index width) {
    Carver<A> carver{memory};
    const Index rows = round_up(queries, Tile::queries), stride = round_up(width, Tile::W);
    q = carver.take(rows * width), dy = carver.take(rows * width);
    q_rows = carver.take(queries * stride), dy_rows = carver.take(queries * stride);
    log_sum = carver.take(rows), delta = carver.take(rows);
    elements = carver.elements;
  }

  /// Fills tile t.
  template <class T>
  void load(const AttentionCall<T>& c, const AttentionGradients<T>& g, Index sample, Index head, Index t) const {
    constexpr Index Q = Tile::queries;
    const Index first = t * Q, rows = std::min(Q, c.queries - first), width = c.width,
                stride = round_up(width, Tile::W);
    const Index y_row = c.heads * width, from_y = (sample * c.queries + first) * y_row + head * width;
    const T* from_q = c.q + sample * c.q_sample + first * c.q_row + head * width;
    const T* y = g.y + from_y;
    const T* upstream = g.dy + from_y;
    pack_panel(from_q, c.q_row, rows, width, width, Q, static_cast<A>(c.scale * log2_e), q + first * width);
    pack_panel(upstream, y_row, rows, width, width, Q, A{1}, dy + first * width);
    pack_rows(from_q, c.q_row, rows, width, stride, q_rows + first * stride);
    pack_rows(upstream, y_row, rows, width, stride, dy_rows + first * stride);
    for (Index i = 0; i < Q; ++i) {
      // Lanes past the last query: q = dy = 0, so their weights are 1 and their gradients 0.
      log_sum[first + i] = delta[first + i] = A{0};
      if (i >= rows) continue;
      log_sum[first + i] =
          static_cast<A>(static_cast<double>(g.log_sum[(sample * c.heads + head) * c.queries + first + i]) * log2_e);
      // sum over d of dy y = sum over keys of dP P
      const T* a = upstream + i * y_row;
      const T* b = y + i * y_row;
      delta[first + i] = lane_sum<A>(width, [=](Index d) BRAING3N_LAMBDA_INLINE { return widen(a[d]) * widen(b[d]); });
    }
  }
};

/// What a unit works in.
template <class Tile, class A = typename Tile::Scalar>
struct AttentionBackwardWork {
  Index width, padded, stride;
  A* dq;       // [tile][padded][Q]
  A *k, *v;    // panels of one key block, [panel][padded][R]
  A *dk, *dv;  // [key block][stride]
  A *s, *ds;   // [key block][Q]
  Index elements;

  AttentionBackwardWork(A* memory, Index queries, Index w)
      : width(w), padded(round_up(w, Tile::R)), stride(round_up(w, Tile::W)) {
    Carver<A> carver{memory};
    dq = carver.take(round_up(queries, Tile::queries) * padded);
    k = carver.take(attention_key_block * padded), v = carver.take(attention_key_block * padded);
    dk = carver.take(attention_key_block * stride), dv = carver.take(attention_key_block * stride);
    s = carver.take(attention_key_block * Tile::queries), ds = carver.take(attention_key_block * Tile::queries);
    elements = carver.elements;
  }
};

/// s = 2^(s - log_sum) (the attention weights), ds = s (ds - delta), over [keys][queries].
template <class Tile, class A = typename Tile::Scalar>
BRAING3N_INLINE void softmax_gradient(Index keys, A* s, A* ds, const A* log_sum, const A* delta) {
  using L = typename Tile::L;
  for (Index j = 0; j < keys; ++j) {
    unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE {
      const Index at = j * Tile::queries + n * Tile::W;
      typename Tile::V p = L::at(s + at) - L::at(log_sum + n * Tile::W);
      L::exp2_nonpositive(p);
      L::at(s + at) = p;
      L::at(ds + at) = p * (L::at(ds + at) - L::at(delta + n * Tile::W));
    });
  }
}

/// One block of packed keys: dk and dv of the block (without the scale), and its share added to dq.
template <class Tile, class A = typename Tile::Scalar>
void attention_backward_block(Index queries, Index keys, const AttentionBackwardQueries<Tile, A>& in,
                              const AttentionBackwardWork<Tile, A>& m) {
  constexpr Index Q = Tile::queries;
  Tile::call([&]() BRAING3N_LAMBDA_INLINE {
    for (Index i = 0; i < attention_key_block * m.stride; ++i) m.dk[i] = A{0}, m.dv[i] = A{0};
    for (Index first = 0; first < queries; first += Q) {
      const Index rows = std::min(Q, queries - first);
      for (Index j = 0; j < keys; j += Tile::R) {
        tile_scores<Tile>(m.width, m.k + j * m.padded, in.q + first * m.width, m.s + j * Q);
        tile_scores<Tile>(m.width, m.v + j * m.padded, in.dy + first * m.width, m.ds + j * Q);
      }
      softmax_gradient<Tile>(keys, m.s, m.ds, in.log_sum + first, in.delta + first);
      for (Index j = 0; j < keys; j += Tile::R) {
        tile_outer<Tile>(rows, m.s + j * Q, in.dy_rows + first * m.stride, m.stride, m.dv + j * m.stride);
        tile_outer<Tile>(rows, m.ds + j * Q, in.q_rows + first * m.stride, m.stride, m.dk + j * m.stride);
      }
      tile_mix<Tile>(keys, m.padded, m.k, m.ds, static_cast<const A*>(nullptr), m.dq + first * m.padded);
    }
  });
}

/// The keys [first_key, last_key) of one head. dq_part, when not null, takes this unit's share of dq (queries, width); otherwise
/// the unit owns the whole head and writes dq itself.
template <class Tile, class T, class A = typename Tile::Scalar>
void attention_backward_unit(const AttentionCall<T>& c, const AttentionGradients<T>& g, Index sample, Index head,
                             Index first_key, Index last_key, const AttentionBackwardQueries<Tile, A>& in,
                             const AttentionBackwardWork<Tile, A>& m, A* dq_part) {
  constexpr Index Q = Tile::queries;
  const A scale = static_cast<A>(c.scale);
  const Index at_k = sample * c.k_sample + head * c.width, at_v = sample * c.v_sample + head * c.width;
  std::fill_n(m.dq, round_up(c.queries, Q) * m.padded, A{0});
  for (Index j0 = first_key; j0 < last_key; j0 += attention_key_block) {
    const Index keys = std::min(attention_key_block, last_key - j0);
    pack_panels(c.k + at_k + j0 * c.k_row, c.k_row, keys, c.width, m.padded, Index{Tile::R}, m.k);
    pack_panels(c.v + at_v + j0 * c.v_row, c.v_row, keys, c.width, m.padded, Index{Tile::R}, m.v);
    attention_backward_block<Tile>(c.queries, keys, in, m);
    for (Index j = 0; j < keys; ++j) {
      T* dk = g.dk + at_k + (j0 + j) * c.k_row;
      T* dv = g.dv + at_v + (j0 + j) * c.v_row;
      for (Index d = 0; d < c.width; ++d) {
        dk[d] = static_cast<T>(scale * m.dk[j * m.stride + d]);
        dv[d] = static_cast<T>(m.dv[j * m.stride + d]);
      }
    }
  }
  for (Index first = 0; first < c.queries; first += Q) {
    const Index rows = std::min(Q, c.queries - first);
    const A* from = m.dq + first * m.padded;
    T* dq = g.dq + sample * c.q_sample + first * c.q_row + head * c.width;
    if (dq_part != nullptr) unpack_panel(from, Q, rows, c.width, scale, dq_part + first * c.width, c.width);
    else unpack_panel(from, Q, rows, c.width, scale, dq, c.q_row);
  }
}

}  // namespace detail
}  // namespace braing3n::inline BRAING3N_ABI
