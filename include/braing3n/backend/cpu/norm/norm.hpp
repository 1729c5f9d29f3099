// Softmax, layer norm and group norm on the CPU.
//
// A row of softmax or layer norm stays in the L1 cache between its passes. Group norm reads a volume twice: once for sums in
// double (a group has millions of voxels), once to normalise. Gradients of gain and shift are summed per chunk of rows, then
// over chunks in order; chunks are fixed by shape.
#pragma once

#include <cmath>

#include "braing3n/backend/cpu/loops/rows.hpp"
#include "braing3n/backend/norm.hpp"
#include "braing3n/base/functors.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

template <class T>
BRAING3N_INLINE void softmax_row(Index n, const T* x, T* y) {
  using A = accum_t<T>;
  const A top = lane_max<A>(n, [=](Index i) BRAING3N_LAMBDA_INLINE { return widen(x[i]); });
  if constexpr (std::is_same_v<T, A>) {
    BRAING3N_IVDEP
    for (Index i = 0; i < n; ++i) y[i] = math::exp(x[i] - top);
    const A inverse = A{1} / lane_sum<A>(n, [=](Index i) BRAING3N_LAMBDA_INLINE { return y[i]; });
    BRAING3N_IVDEP
    for (Index i = 0; i < n; ++i) y[i] *= inverse;
  } else {  // y is too narrow to hold the exponentials
    const A inverse =
        A{1} / lane_sum<A>(n, [=](Index i) BRAING3N_LAMBDA_INLINE { return math::exp(widen(x[i]) - top); });
    BRAING3N_IVDEP
    for (Index i = 0; i < n; ++i) y[i] = static_cast<T>(inverse * math::exp(widen(x[i]) - top));
  }
}

template <class T>
BRAING3N_INLINE void softmax_backward_row(Index n, const T* y, const T* dy, T* dx) {
  using A = accum_t<T>;
  const A mean = lane_sum<A>(n, [=](Index i) BRAING3N_LAMBDA_INLINE { return widen(y[i]) * widen(dy[i]); });
  BRAING3N_IVDEP
  for (Index i = 0; i < n; ++i) dx[i] = static_cast<T>(widen(y[i]) * (widen(dy[i]) - mean));
}

template <bool affine, class T>
BRAING3N_INLINE void layer_norm_row(const LayerNormCall<T>& c, Index row) {
  using A = accum_t<T>;
  const Index n = c.cols;
  const T* x = c.x + row * n;
  T* y = c.y + row * n;
  const A mean = lane_sum<A>(n, [=](Index i) BRAING3N_LAMBDA_INLINE { return widen(x[i]); }) / static_cast<A>(n);
  const A variance = lane_sum<A>(n,
                                 [=](Index i) BRAING3N_LAMBDA_INLINE {
                                   const A d = widen(x[i]) - mean;
                                   return d * d;
                                 }) /
                     static_cast<A>(n);
  const A rstd = A{1} / std::sqrt(variance + static_cast<A>(c.eps));
  c.mean[row] = mean;
  c.rstd[row] = rstd;
  if constexpr (affine) {
    const Index at = row / c.rows_per_gain * n;
    const T* gain = c.gain + at;
    const T* shift = c.shift + at;
    const A offset = static_cast<A>(c.gain_offset);
    BRAING3N_IVDEP
    for (Index i = 0; i < n; ++i)
      y[i] = static_cast<T>((widen(x[i]) - mean) * rstd * (offset + widen(gain[i])) + widen(shift[i]));
  } else {
    BRAING3N_IVDEP
    for (Index i = 0; i < n; ++i) y[i] = static_cast<T>((widen(x[i]) - mean) * rstd);
  }
}

/// dx of one row; dgain and dshift (cols) take this row's share.
template <bool affine, class T, class A = accum_t<T>>
BRAING3N_INLINE void layer_norm_backward_row(const LayerNormCall<T>& c, const LayerNormGradients<T>& g, Index row,
                                             A* dgain, A* dshift) {
  const Index n = c.cols;
  const T* x = c.x + row * n;
  const T* dy = g.dy + row * n;
  T* dx = g.dx + row * n;
  const T* gain = c.gain;
  const A mean = c.mean[row], rstd = c.rstd[row];
  const auto upstream = [=](Index i) BRAING3N_LAMBDA_INLINE {
    if constexpr (affine) return widen(dy[i]) * widen(gain[i]);
    else return widen(dy[i]);
  };
  const A sum = lane_sum<A>(n, upstream) / static_cast<A>(n);
  const A dot =
      lane_sum<A>(n, [=](Index i) BRAING3N_LAMBDA_INLINE { return upstream(i) * ((widen(x[i]) - mean) * rstd); }) /
      static_cast<A>(n);
  if constexpr (affine) {
    BRAING3N_IVDEP
    for (Index i = 0; i < n; ++i) {
      const A normalised = (widen(x[i]) - mean) * rstd, d = widen(dy[i]);
      dgain[i] += d * normalised;
      dshift[i] += d;
      dx[i] = static_cast<T>(rstd * (d * widen(gain[i]) - sum - normalised * dot));
    }
  } else {
    BRAING3N_IVDEP
    for (Index i = 0; i < n; ++i)
      dx[i] = static_cast<T>(rstd * (widen(dy[i]) - sum - (widen(x[i]) - mean) * rstd * dot));
  }
}

}  // namespace detail

template <>
struct NormKernel<Cpu> {
  /// y = softmax of every row of x (rows, cols); y may be x.
  template <class T>
  static void softmax(Context<Cpu>& ctx, Index rows, Index cols, const T* x, T* y) {
    detail::for_rows(ctx, rows, cols, [=](Index row) BRAING3N_LAMBDA_INLINE {
      detail::softmax_row(cols, x + row * cols, y + row * cols);
    });
  }

  template <class T>
  static void softmax_backward(Context<Cpu>& ctx, Index rows, Index cols, const T* y, const T* dy, T* dx) {
    detail::for_rows(ctx, rows, cols, [=](Index row) BRAING3N_LAMBDA_INLINE {
      detail::softmax_backward_row(cols, y + row * cols, dy + row * cols, dx + row * cols);
    });
  }

  template <class T>
  static void layer_norm(Context<Cpu>& ctx, const LayerNormCall<T>& c) {
    if (c.gain != nullptr) {
      detail::for_rows(ctx, c.rows, c.cols,
                       [c](Index row) BRAING3N_LAMBDA_INLINE { detail::layer_norm_row<true>(c, row); });
    } else {
      detail::for_rows(ctx, c.rows, c.cols,
                       [c](Index row) BRAING3N_LAMBDA_INLINE { detail::layer_norm_row<false>(c, row); });
    }
  }

  template <class T>
  static void layer_norm_backward(Context<Cpu>& ctx, const LayerNormCall<T>& c, const LayerNormGradients<T>& g) {
    using A = accum_t<T>;
    if (c.gain == nullptr) {
      detail::for_rows(ctx, c.rows, c.cols, [c, g](Index row) BRAING3N_LAMBDA_INLINE {
        detail::layer_norm_backward_row<false>(c, g, row, static_cast<A*>(nullptr), static_cast<A*>(nullptr));
      });
      return;
    }
    const Index group = detail::row_group(c.cols), groups = (c.rows + group - 1) / group;
    Tensor<A, Cpu> parts = Tensor<A, Cpu>::zeros(ctx, Shape{groups, 2, c.cols});
    ctx.parallel(groups, [&](Index id) {
      A* dgain = parts.data() + id * 2 * c.cols;
      vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
        const Index last = std::min(c.rows, (id + 1) * group);
        for (Index row = id * group; row < last; ++row)
          detail::layer_norm_backward_row<true>(c, g, row, dgain, dgain + c.cols);
      });
    });
    detail::add_parts(groups, 2 * c.cols, c.cols, parts.data(), g.dgain);
    detail::add_parts(groups, 2 * c.cols, c.cols, parts.data() + c.cols, g.dshift);
  }

  template <class T>
  static void group_norm(Context<Cpu>& ctx, const GroupNormCall<T>& c);
  /// The first half of group_norm: sums (batch, groups, 2) of x and x^2.
  template <class T>
  static void group_norm_sums(Context<Cpu>& ctx, const GroupNormCall<T>& c, double* sums);
  /// mean and rstd of the call from those sums, over `count` elements per group.
  template <class T>
  static void group_norm_statistics(Context<Cpu>& ctx, const GroupNormCall<T>& c, double count, const double* sums);
  /// The second half: y from x and the mean and rstd that are given.
  template <class T>
  static void group_norm_apply(Context<Cpu>& ctx, const GroupNormCall<T>& c);
  template <class T>
  static void group_norm_backward(Context<Cpu>& ctx, const GroupNormCall<T>& c, const GroupNormGradients<T>& g);
};

}  // namespace braing3n::inline BRAING3N_ABI

#include "braing3n/backend/cpu/norm/group_norm.hpp"
