// The inner kernels of attention on the CPU. All of them work on tiles of `queries` = N * W queries (N vectors of W lanes,
// one query per lane) and panels of R keys, so that softmax runs down the keys lane by lane, without sums across lanes.
//
//   tile_scores      S[j][i]  = sum over d of  K[j][d] Q[i][d]           a panel of R keys against a query tile
//   softmax_block    online softmax over a block of keys                 (running maximum, sum, correction factor)
//   tile_mix         O[d][i]  = c[i] O[d][i] + sum over j of  V[j][d] P[j][i]
//   tile_outer       G[j][d] += sum over i of  P[j][i] X[i][d]           gradients of keys and values
//
// Layouts: a query tile is [width][queries] (transposed), keys and values are panels [panel][padded width][R] with zeros for
// keys past the end, scores are [keys][queries]. Sums run in one fixed order.
#pragma once

#include "braing3n/backend/cpu/loops/simd.hpp"
#include "braing3n/backend/cpu/loops/vector.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

/// Shapes of the register tiles for one instruction set: N * R accumulators of W lanes, N operands and a broadcast.
template <class A, Isa Set, int Vectors, int Rows>
struct AttentionTile {
  using Scalar = A;
  static constexpr int W = (Set == Isa::avx512 ? 64 : Set == Isa::avx2 ? 32 : 16) / static_cast<int>(sizeof(A));
  static constexpr int N = Vectors;
  static constexpr int R = Rows;
  static constexpr int queries = N * W;
  using L = Lanes<A, W>;
  using V = typename L::type;

  /// The same with another number of vectors; it reads the same panels.
  template <int M>
  using With = AttentionTile<A, Set, M, Rows>;

  /// Calls f() compiled for the instruction set of this tile.
  template <class F>
  static void call(F&& f) {
    if constexpr (Set == Isa::avx512) call_avx512(f);
    else if constexpr (Set == Isa::avx2) call_avx2(f);
    else call_baseline(f);
  }
};

/// out [R][queries] = panel^T tile; panel [..][R] and tile [..][queries] are read for k < depth.
template <class Tile, class A = typename Tile::Scalar>
BRAING3N_INLINE void tile_scores(Index depth, const A* panel, const A* tile, A* out) {
  using L = typename Tile::L;
  typename Tile::V acc[Tile::R][Tile::N] = {};
  for (Index k = 0; k < depth; ++k) {
    typename Tile::V x[Tile::N];
    unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE { x[n] = L::at(tile + n * Tile::W); });
    unroll<Tile::R>([&](auto r) BRAING3N_LAMBDA_INLINE {
      const A b = panel[r];
      unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE { acc[r][n] += x[n] * b; });
    });
    tile += Tile::queries;
    panel += Tile::R;
  }
  unroll<Tile::R>([&](auto r) BRAING3N_LAMBDA_INLINE {
    unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE { L::at(out + r * Tile::queries + n * Tile::W) = acc[r][n]; });
  });
}

/// One step of the online softmax over `keys` rows of s [keys][queries], scores in units of log 2:
/// s becomes 2^(s - maximum); maximum, sum and correction (the factor for everything summed so far) are [queries].
template <class Tile, class A = typename Tile::Scalar>
BRAING3N_INLINE void softmax_block(Index keys, A* s, A* maximum, A* sum, A* correction) {
  using L = typename Tile::L;
  using V = typename Tile::V;
  V top[Tile::N], total[Tile::N];
  unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE { top[n] = L::at(maximum + n * Tile::W); });
  for (Index j = 0; j < keys; ++j) {
    unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE { L::max(top[n], L::at(s + j * Tile::queries + n * Tile::W)); });
  }
  unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE {
    V c = L::at(maximum + n * Tile::W) - top[n];
    L::exp2_nonpositive(c);
    L::at(correction + n * Tile::W) = c;
    L::at(maximum + n * Tile::W) = top[n];
    total[n] = c * L::at(sum + n * Tile::W);
  });
  for (Index j = 0; j < keys; ++j) {
    unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE {
      V p = L::at(s + j * Tile::queries + n * Tile::W) - top[n];
      L::exp2_nonpositive(p);
      L::at(s + j * Tile::queries + n * Tile::W) = p;
      total[n] += p;
    });
  }
  unroll<Tile::N>([&](auto n) BRAING3N_LAMBDA_INLINE { L::at(sum + n * Tile::W) = total[n]; });
}

/// out [padded width][queries] = correction * out + sum over the first `keys` keys of panels[..][d][j] p[j][..].
/// padded_width is a multiple of R. A null correction means 1.
template <class Tile, class A = typename Tile::Scalar>
BRAING3N_INLINE void tile_mix(Index keys, Index padded_width, const A* panels, const A* p, const A* correction,
                              A* out) {
  using L = typename Tile::L;
  constexpr int R = Tile::R, N = Tile::N, W = Tile::W;
  for (Index d = 0; d < padded_width; d += R) {
    typename Tile::V acc[R][N];
    unroll<R>([&](auto r) BRAING3N_LAMBDA_INLINE {
      unroll<N>([&](auto n) BRAING3N_LAMBDA_INLINE { acc[r][n] = L::at(out + (d + r) * Tile::queries + n * W); });
    });
    if (correction != nullptr) {
      unroll<R>([&](auto r) BRAING3N_LAMBDA_INLINE {
        unroll<N>([&](auto n) BRAING3N_LAMBDA_INLINE { acc[r][n] *= L::at(correction + n * W); });
      });
    }
    const A* x = p;
    for (Index j0 = 0; j0 < keys; j0 += R) {
      const A* values = panels + j0 * padded_width + d * R;
      const Index rest = keys - j0 < R ? keys - j0 : R;
      for (Index j = 0; j < rest; ++j) {
        typename Tile::V v[N];
        unroll<N>([&](auto n) BRAING3N_LAMBDA_INLINE { v[n] = L::at(x + n * W); });
        unroll<R>([&](auto r) BRAING3N_LAMBDA_INLINE {
          const A b = values[r * R];
          unroll<N>([&](auto n) BRAING3N_LAMBDA_INLINE { acc[r][n] += v[n] * b; });
        });
        x += Tile::queries;
        ++values;
      }
    }
    unroll<R>([&](auto r) BRAING3N_LAMBDA_INLINE {
      unroll<N>([&](auto n) BRAING3N_LAMBDA_INLINE { L::at(out + (d + r) * Tile::queries + n * W) = acc[r][n]; });
    });
  }
}

/// M vectors of tile_outer: out [R][stride] += sum over i < rows of p[r][i] x[i][..], p [R][queries], x [rows][stride].
template <class Tile, int M, class A = typename Tile::Scalar>
BRAING3N_INLINE void tile_outer_vectors(Index rows, const A* p, const A* x, Index stride, A* out) {
  using L = typename Tile::L;
  typename Tile::V acc[Tile::R][M];
  unroll<Tile::R>([&](auto r) BRAING3N_LAMBDA_INLINE {
    unroll<M>([&](auto m) BRAING3N_LAMBDA_INLINE { acc[r][m] = L::at(out + r * stride + m * Tile::W); });
  });
  for (Index i = 0; i < rows; ++i) {
    typename Tile::V v[M];
    unroll<M>([&](auto m) BRAING3N_LAMBDA_INLINE { v[m] = L::at(x + m * Tile::W); });
    unroll<Tile::R>([&](auto r) BRAING3N_LAMBDA_INLINE {
      const A b = p[r * Tile::queries];
      unroll<M>([&](auto m) BRAING3N_LAMBDA_INLINE { acc[r][m] += v[m] * b; });
    });
    x += stride;
    ++p;
  }
  unroll<Tile::R>([&](auto r) BRAING3N_LAMBDA_INLINE {
    unroll<M>([&](auto m) BRAING3N_LAMBDA_INLINE { L::at(out + r * stride + m * Tile::W) = acc[r][m]; });
  });
}

/// out [R][stride] += p^T x over a panel of R keys; stride is a multiple of W.
template <class Tile, class A = typename Tile::Scalar>
BRAING3N_INLINE void tile_outer(Index rows, const A* p, const A* x, Index stride, A* out) {
  Index d = 0;
  const Index vectors = stride / Tile::W;
  for (Index left = vectors; left > 0;) {
    if (left == 1) {
      tile_outer_vectors<Tile, 1>(rows, p, x + d, stride, out + d);
      left -= 1, d += Tile::W;
    } else if (left == 2 || left == 4) {
      tile_outer_vectors<Tile, 2>(rows, p, x + d, stride, out + d);
      left -= 2, d += 2 * Tile::W;
    } else {
      tile_outer_vectors<Tile, 3>(rows, p, x + d, stride, out + d);
      left -= 3, d += 3 * Tile::W;
    }
  }
}

}  // namespace detail
}  // namespace braing3n::inline BRAING3N_ABI
