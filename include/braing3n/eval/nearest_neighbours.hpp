// The nearest row of a pool for each of some queries, by Euclidean distance: products find the row, differences give the distance, so that
// a copy has the distance 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Neighbour {
  Index row = -1;  // of the pool; -1: every row was excluded
  double distance = std::numeric_limits<double>::infinity();
};

/// Rows of one group are no neighbours of each other. Empty: all are.
struct NeighbourGroups {
  std::vector<std::int32_t> query, pool;
};

namespace detail {

template <class T, Backend B>
void require_neighbours(const Tensor<T, B>& queries, const Tensor<T, B>& pool) {
  if (queries.rank() != 2 || pool.rank() != 2 || queries.dim(1) != pool.dim(1) || queries.size() == 0 ||
      pool.size() == 0)
    fail(ErrorKind::shape, "neighbours.shape", "neighbours: queries ", queries.shape(), " and pool ", pool.shape(),
         ", expected (m, d) and (n, d)");
}

}  // namespace detail

/// queries (m, d), pool (n, d) -> the nearest row of the pool for each query, ties to the lower row. excluded(query, row) rows do not count.
/// Throws Error (shape).
template <class T, class Excluded>
std::vector<Neighbour> nearest_neighbours(const Tensor<T, Cpu>& queries, const Tensor<T, Cpu>& pool,
                                          Excluded&& excluded) {
  detail::require_neighbours(queries, pool);
  const Index m = queries.dim(0), n = pool.dim(0), d = pool.dim(1);
  const auto squared = [d](const double* v) {
    double sum = 0;
    for (Index k = 0; k < d; ++k) sum += v[k] * v[k];
    return sum;
  };
  constexpr Index block = 512;
  std::vector<Neighbour> nearest(static_cast<std::size_t>(m));
  std::vector<double> best(static_cast<std::size_t>(m), std::numeric_limits<double>::infinity());
  for (Index j0 = 0; j0 < n; j0 += block) {
    const auto some = cast<double>(pool.slice(j0, std::min(n, j0 + block)));
    std::vector<double> norms;
    for (Index j = 0; j < some.dim(0); ++j) norms.push_back(squared(some.data() + j * d));
    for (Index i0 = 0; i0 < m; i0 += block) {
      const auto asked = cast<double>(queries.slice(i0, std::min(m, i0 + block)));
      const auto products = matmul_forward(asked, some, {.transpose_b = true});
      for (Index i = 0; i < asked.dim(0); ++i) {
        const auto q = static_cast<std::size_t>(i0 + i);
        for (Index j = 0; j < some.dim(0); ++j) {
          const double distance = norms[static_cast<std::size_t>(j)] -
                                  2 * products.data()[i * some.dim(0) + j];  // less the query's own norm
          if (distance < best[q] && !excluded(i0 + i, j0 + j)) {
            best[q] = distance;
            nearest[q].row = j0 + j;
          }
        }
      }
    }
  }
  for (Index i = 0; i < m; ++i) {
    Neighbour& near = nearest[static_cast<std::size_t>(i)];
    if (near.row < 0) continue;
    double sum = 0;
    for (Index k = 0; k < d; ++k) {
      const double e =
          static_cast<double>(queries.data()[i * d + k]) - static_cast<double>(pool.data()[near.row * d + k]);
      sum += e * e;
    }
    near.distance = std::sqrt(sum);
  }
  return nearest;
}

namespace detail {

struct NeighbourSearch {
  double *best, *row;  // (segments, queries)
  Index queries;
  static constexpr Index segments = 32;  // of a block of the pool, searched side by side
  static constexpr double none = std::numeric_limits<double>::infinity();
};
struct StartSearch {
  NeighbourSearch to;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    to.best[i] = NeighbourSearch::none;
    to.row[i] = -1;
  }
};
template <class T>
struct SquareOfElement {
  const T* x;
  Index columns;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index r, Index c) const {
    const double v = static_cast<double>(x[r * columns + c]);
    return v * v;
  }
};
struct StoreNorm {
  double* to;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, double value) const { to[r] = value; }
};

/// (segment, query of a block): the nearest row of a segment of a block of the pool, if it is nearer than what was found before.
struct SearchBlock {
  NeighbourSearch found;
  const double *norms, *products;                // (pool block), (pool block, query block)
  const std::int32_t *query_group, *pool_group;  // null: all count
  Index first_query, queries, first_row, rows;

  BRAING3N_HD BRAING3N_INLINE void operator()(Index s, Index i) const {
    const Index each = (rows + NeighbourSearch::segments - 1) / NeighbourSearch::segments, begin = s * each,
                end = begin + each < rows ? begin + each : rows, at = s * found.queries + first_query + i;
    double best = found.best[at], row = found.row[at];
    for (Index j = begin; j < end; ++j) {
      const double distance = norms[j] - 2 * products[j * queries + i];  // less the query's own norm
      if (!(distance < best)) continue;
      if (query_group != nullptr && query_group[first_query + i] == pool_group[first_row + j]) continue;
      best = distance;
      row = static_cast<double>(first_row + j);
    }
    found.best[at] = best;
    found.row[at] = row;
  }
};

/// The best of all segments, ties to the lower row.
struct BestSegment {
  NeighbourSearch found;
  double* nearest;  // (queries)
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    double best = NeighbourSearch::none, row = -1;
    for (Index s = 0; s < NeighbourSearch::segments; ++s) {
      const double distance = found.best[s * found.queries + i], candidate = found.row[s * found.queries + i];
      if (candidate < 0 || (row >= 0 && !(distance < best || (distance == best && candidate < row)))) continue;
      best = distance;
      row = candidate;
    }
    nearest[i] = row;
  }
};

/// Squared differences of a query and its nearest row; their sum is stored as a distance.
template <class T>
struct DistanceToNearest {
  const T *queries, *pool;
  const double* nearest;
  double* distance;
  Index columns;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index i, Index k) const {
    if (nearest[i] < 0) return 0.0;
    const Index row = static_cast<Index>(nearest[i]);
    const double e = static_cast<double>(queries[i * columns + k]) - static_cast<double>(pool[row * columns + k]);
    return e * e;
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i, double sum) const {
    distance[i] = nearest[i] < 0 ? NeighbourSearch::none : std::sqrt(sum);
  }
};

/// On a GPU: one product and one search per pair of blocks; the host reads once.
template <class T, Backend B>
std::vector<Neighbour> device_neighbours(const Tensor<T, B>& queries, const Tensor<T, B>& pool,
                                         const NeighbourGroups& groups, Index query_block = 2048,
                                         Index pool_block = 4096) {
  require_neighbours(queries, pool);
  Context<B>& ctx = pool.context();
  const Index m = queries.dim(0), n = pool.dim(0), d = pool.dim(1), segments = NeighbourSearch::segments;
  Tensor<std::int32_t, B> query_group, pool_group;
  if (!groups.query.empty()) {
    query_group = Tensor<std::int32_t, B>::from_host(ctx, {m}, groups.query);
    pool_group = Tensor<std::int32_t, B>::from_host(ctx, {n}, groups.pool);
  }
  Tensor<double, B> found(ctx, {2, segments, m}), result(ctx, {2, m});
  const NeighbourSearch search{found.data(), found.data() + segments * m, m};
  map(ctx, segments * m, StartSearch{search});
  for (Index j0 = 0; j0 < n; j0 += pool_block) {
    const auto some = cast<double>(pool.slice(j0, std::min(n, j0 + pool_block)));
    Tensor<double, B> norms(ctx, {some.dim(0)});
    row_sums(ctx, some.dim(0), d, SquareOfElement<double>{some.data(), d}, StoreNorm{norms.data()});
    for (Index i0 = 0; i0 < m; i0 += query_block) {
      const auto asked = cast<double>(queries.slice(i0, std::min(m, i0 + query_block)));
      const auto products = matmul_forward(some, asked, {.transpose_b = true});
      map_rows(ctx, segments, asked.dim(0),
               SearchBlock{search, norms.data(), products.data(), query_group.data(), pool_group.data(), i0,
                           asked.dim(0), j0, some.dim(0)});
    }
  }
  map(ctx, m, BestSegment{search, result.data()});
  const DistanceToNearest<T> distance{queries.data(), pool.data(), result.data(), result.data() + m, d};
  row_sums(ctx, m, d, distance, distance);
  const std::vector<double> read = result.to_host();
  std::vector<Neighbour> nearest(static_cast<std::size_t>(m));
  for (std::size_t i = 0; i < nearest.size(); ++i)
    nearest[i] = {static_cast<Index>(read[i]), read[static_cast<std::size_t>(m) + i]};
  return nearest;
}

}  // namespace detail

/// The same on any backend, without rows of the query's own group. Throws Error (shape).
template <class T, Backend B>
std::vector<Neighbour> nearest_of_other_groups(const Tensor<T, B>& queries, const Tensor<T, B>& pool,
                                               const NeighbourGroups& groups = {}) {
  if (!groups.query.empty() || !groups.pool.empty())
    if (std::ssize(groups.query) != queries.dim(0) || std::ssize(groups.pool) != pool.dim(0))
      fail(ErrorKind::shape, "neighbours.groups", "neighbours: expected groups of ", queries.dim(0), " queries and ",
           pool.dim(0), " rows, got ", groups.query.size(), " and ", groups.pool.size());
  if constexpr (std::is_same_v<B, Cpu>)
    return nearest_neighbours(queries, pool, [&](Index i, Index j) {
      return !groups.query.empty() &&
             groups.query[static_cast<std::size_t>(i)] == groups.pool[static_cast<std::size_t>(j)];
    });
  else return detail::device_neighbours(queries, pool, groups);
}

}  // namespace braing3n::inline BRAING3N_ABI
