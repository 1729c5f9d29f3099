// Reductions on the CPU. All sums are in double and in an order fixed by the shape: inside a chunk a fixed number of lanes,
// folded pairwise, then the chunks one after the other. The number of threads changes who computes a partial sum, never
// which elements it holds.
#pragma once

#include <limits>

#include "braing3n/backend/cpu/loops/map.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <>
struct ReduceKernel<Cpu> {
  static constexpr Index chunk = 65536;        // elements per partial sum
  static constexpr Index lanes = 32;           // independent partial sums in flight
  static constexpr Index column_block = 2048;  // 16 KiB of sums: stays in the L1 cache while rows stream by
  static constexpr Index narrow = 16;          // fewer columns than this: lanes run over rows instead
  static constexpr Index row_lanes = 8;

  template <class F>
  static double sum(Context<Cpu>& ctx, Index n, const F& f) {
    const Index chunks = (n + chunk - 1) / chunk;
    if (chunks <= 1) return range_sum(ctx.isa(), 0, n, f);
    Tensor<double, Cpu> partial(ctx, Shape{chunks});
    double* p = partial.data();
    ctx.parallel(chunks, [&](Index id) { p[id] = range_sum(ctx.isa(), id * chunk, std::min(n, (id + 1) * chunk), f); });
    double total = 0;
    for (Index id = 0; id < chunks; ++id) total += p[id];
    return total;
  }

  template <class F, class S>
  static void sum_to(Context<Cpu>& ctx, Index n, const F& f, const S& store) {
    store(sum(ctx, n, f));
  }

  template <class F>
  static double max_value(Context<Cpu>& ctx, Index n, const F& f) {
    const Index chunks = (n + chunk - 1) / chunk;
    if (chunks <= 1) return range_max(ctx.isa(), 0, n, f);
    Tensor<double, Cpu> partial(ctx, Shape{chunks});
    double* p = partial.data();
    ctx.parallel(chunks, [&](Index id) { p[id] = range_max(ctx.isa(), id * chunk, std::min(n, (id + 1) * chunk), f); });
    double best = p[0];
    for (Index id = 1; id < chunks; ++id) best = larger(best, p[id]);
    return best;
  }

  template <class F, class S>
  static void row_sums(Context<Cpu>& ctx, Index rows, Index cols, const F& f, const S& store) {
    if (rows <= 0) return;
    ctx.parallel_range(rows, std::max<Index>(1, chunk / std::max<Index>(1, cols)), [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) store(r, range_sum(ctx.isa(), 0, cols, AtRow<F>{f, r}));
    });
  }

  template <class F, class S>
  static void row_max(Context<Cpu>& ctx, Index rows, Index cols, const F& f, const S& store) {
    if (rows <= 0) return;
    ctx.parallel_range(rows, std::max<Index>(1, chunk / std::max<Index>(1, cols)), [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) store(r, range_max(ctx.isa(), 0, cols, AtRow<F>{f, r}));
    });
  }

  template <class F, class S>
  static void column_sums(Context<Cpu>& ctx, Index batch, Index rows, Index cols, const F& f, const S& store) {
    if (batch <= 0 || cols <= 0) return;
    const Index group = std::max<Index>(1, chunk / cols);
    const Index groups = std::max<Index>(1, (rows + group - 1) / group);
    Tensor<double, Cpu> partial(ctx, Shape{batch, groups, cols});
    double* p = partial.data();
    ctx.parallel(batch * groups, [&](Index id) {
      const Index b = id / groups, r0 = id % groups * group, r1 = std::min(rows, r0 + group);
      double* out = p + id * cols;
      if (cols == 1) *out = range_sum(ctx.isa(), r0, r1, OnlyColumn<F>{f, b});
      else if (cols < narrow) narrow_columns(ctx.isa(), b, r0, r1, cols, f, out);
      else wide_columns(ctx.isa(), b, r0, r1, cols, f, out);
    });
    for (Index b = 0; b < batch; ++b) {
      double* total = p + b * groups * cols;
      for (Index g = 1; g < groups; ++g)
        for (Index c = 0; c < cols; ++c) total[c] += total[g * cols + c];
      for (Index c = 0; c < cols; ++c) store(b, c, total[c]);
    }
  }

 private:
  template <class F>
  struct AtRow {
    F f;
    Index r;
    BRAING3N_INLINE auto operator()(Index c) const { return f(r, c); }
  };

  template <class F>
  struct OnlyColumn {
    F f;
    Index b;
    BRAING3N_INLINE auto operator()(Index r) const { return f(b, r, 0); }
  };

  BRAING3N_INLINE static double larger(double a, double b) { return b > a || b != b ? b : a; }

  template <class F>
  static double range_sum(Isa isa, Index begin, Index end, const F& f) {
    double total = 0;
    vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
      const F g = f;
      alignas(64) double lane[lanes] = {};
      Index i = begin;
      for (const Index last = end - lanes; i <= last; i += lanes)
        for (Index j = 0; j < lanes; ++j) lane[j] += static_cast<double>(g(i + j));
      for (Index j = 0; i < end; ++i, ++j) lane[j] += static_cast<double>(g(i));
      for (Index width = lanes / 2; width > 0; width /= 2)
        for (Index j = 0; j < width; ++j) lane[j] += lane[j + width];
      total = lane[0];
    });
    return total;
  }

  template <class F>
  static double range_max(Isa isa, Index begin, Index end, const F& f) {
    double best = 0;
    vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
      const F g = f;
      double lane[lanes];
      for (double& l : lane) l = -std::numeric_limits<double>::infinity();
      Index i = begin;
      for (const Index last = end - lanes; i <= last; i += lanes)
        for (Index j = 0; j < lanes; ++j) lane[j] = larger(lane[j], static_cast<double>(g(i + j)));
      for (Index j = 0; i < end; ++i, ++j) lane[j] = larger(lane[j], static_cast<double>(g(i)));
      for (Index j = 1; j < lanes; ++j) lane[0] = larger(lane[0], lane[j]);
      best = lane[0];
    });
    return best;
  }

  template <class F>
  static void wide_columns(Isa isa, Index b, Index r0, Index r1, Index cols, const F& f, double* out) {
    vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
      const F g = f;
      for (Index c0 = 0; c0 < cols; c0 += column_block) {
        const Index width = std::min(column_block, cols - c0);
        alignas(64) double total[column_block] = {};
        Index r = r0;
        for (; r + 4 <= r1; r += 4) {  // four rows per pass over the sums
          BRAING3N_IVDEP
          for (Index j = 0; j < width; ++j) {
            const Index c = c0 + j;
            total[j] += (static_cast<double>(g(b, r, c)) + static_cast<double>(g(b, r + 1, c))) +
                        (static_cast<double>(g(b, r + 2, c)) + static_cast<double>(g(b, r + 3, c)));
          }
        }
        for (; r < r1; ++r) {
          BRAING3N_IVDEP
          for (Index j = 0; j < width; ++j) total[j] += static_cast<double>(g(b, r, c0 + j));
        }
        for (Index j = 0; j < width; ++j) out[c0 + j] = total[j];
      }
    });
  }

  template <class F>
  static void narrow_columns(Isa isa, Index b, Index r0, Index r1, Index cols, const F& f, double* out) {
    vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
      const F g = f;
      double total[row_lanes][narrow] = {};
      Index r = r0;
      for (; r + row_lanes <= r1; r += row_lanes)
        for (Index l = 0; l < row_lanes; ++l)
          for (Index c = 0; c < cols; ++c) total[l][c] += static_cast<double>(g(b, r + l, c));
      for (Index l = 0; r < r1; ++r, ++l)
        for (Index c = 0; c < cols; ++c) total[l][c] += static_cast<double>(g(b, r, c));
      for (Index c = 0; c < cols; ++c) {
        double t = total[0][c];
        for (Index l = 1; l < row_lanes; ++l) t += total[l][c];
        out[c] = t;
      }
    });
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
