// Softmax and layer norm on a GPU: one warp per row, sums over its lanes in a fixed order. Group norm: group_norm.cuh.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/norm.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <cmath>
#include <limits>

#include "braing3n/backend/cuda/reduce.cuh"
#include "braing3n/backend/norm.hpp"
#include "braing3n/base/math.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

constexpr int warps_per_block = cuda_block / 32;

/// Calls f(row, lane) for every row, all 32 lanes of a warp together.
template <class F>
__device__ void for_warp_rows(Index rows, const F& f) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (Index r = blockIdx.x * Index{warps_per_block} + threadIdx.x / 32; r < rows;
       r += gridDim.x * Index{warps_per_block})
    f(r, lane);
}

/// f(j) summed over the columns of a row; every lane gets the sum.
template <class A, class F>
__device__ A row_total(Index cols, int lane, const F& f) {
  A sum = 0;
  for (Index j = lane; j < cols; j += 32) sum += f(j);
  return warp_sum(sum);
}

/// y = softmax(scale x) per row, and the row's log-sum-exp unless that is null. y may be x.
template <class S, class W>
__global__ void softmax_kernel(Index rows, Index cols, accum_t<S> scale, const S* x, W* y, accum_t<S>* log_sum) {
  using A = accum_t<S>;
  for_warp_rows(rows, [=](Index r, int lane) {
    const S* row = x + r * cols;
    A top = -std::numeric_limits<A>::infinity();
    for (Index j = lane; j < cols; j += 32) top = larger_or_nan(top, static_cast<A>(row[j]));
    top = warp_max(top);
    const auto term = [=](Index j) { return math::exp(scale * (static_cast<A>(row[j]) - top)); };
    const A total = row_total<A>(cols, lane, term), inverse = A{1} / total;
    for (Index j = lane; j < cols; j += 32) y[r * cols + j] = static_cast<W>(term(j) * inverse);
    if (lane == 0 && log_sum != nullptr) log_sum[r] = scale * top + std::log(total);
  });
}

template <class T>
__global__ void softmax_backward_kernel(Index rows, Index cols, const T* y, const T* dy, T* dx) {
  using A = accum_t<T>;
  for_warp_rows(rows, [=](Index r, int lane) {
    const T *weight = y + r * cols, *up = dy + r * cols;
    const A mean = row_total<A>(cols, lane, [=](Index j) { return static_cast<A>(weight[j]) * static_cast<A>(up[j]); });
    for (Index j = lane; j < cols; j += 32)
      dx[r * cols + j] = static_cast<T>(static_cast<A>(weight[j]) * (static_cast<A>(up[j]) - mean));
  });
}

template <class T>
__global__ void layer_norm_kernel(LayerNormCall<T> c) {
  using A = accum_t<T>;
  for_warp_rows(c.rows, [=](Index r, int lane) {
    const T* x = c.x + r * c.cols;
    const A count = static_cast<A>(c.cols);
    const A mean = row_total<A>(c.cols, lane, [=](Index j) { return static_cast<A>(x[j]); }) / count;
    const A variance = row_total<A>(c.cols, lane,
                                    [=](Index j) {
                                      const A d = static_cast<A>(x[j]) - mean;
                                      return d * d;
                                    }) /
                       count;
    const A rstd = A{1} / std::sqrt(variance + static_cast<A>(c.eps));
    const Index at = c.gain == nullptr ? 0 : r / c.rows_per_gain * c.cols;
    for (Index j = lane; j < c.cols; j += 32) {
      A v = (static_cast<A>(x[j]) - mean) * rstd;
      if (c.gain != nullptr)
        v = v * (static_cast<A>(c.gain_offset) + static_cast<A>(c.gain[at + j])) + static_cast<A>(c.shift[at + j]);
      c.y[r * c.cols + j] = static_cast<T>(v);
    }
    if (lane == 0) c.mean[r] = mean, c.rstd[r] = rstd;
  });
}

template <class T>
__global__ void layer_norm_backward_kernel(LayerNormCall<T> c, LayerNormGradients<T> g) {
  using A = accum_t<T>;
  for_warp_rows(c.rows, [=](Index r, int lane) {
    const T *x = c.x + r * c.cols, *dy = g.dy + r * c.cols;
    const A mean = c.mean[r], rstd = c.rstd[r], count = static_cast<A>(c.cols);
    const auto upstream = [=](Index j) {
      return c.gain == nullptr ? static_cast<A>(dy[j]) : static_cast<A>(dy[j]) * static_cast<A>(c.gain[j]);
    };
    const A sum = row_total<A>(c.cols, lane, upstream) / count;
    const A dot =
        row_total<A>(c.cols, lane, [=](Index j) { return upstream(j) * ((static_cast<A>(x[j]) - mean) * rstd); }) /
        count;
    for (Index j = lane; j < c.cols; j += 32)
      g.dx[r * c.cols + j] = static_cast<T>(rstd * (upstream(j) - sum - (static_cast<A>(x[j]) - mean) * rstd * dot));
  });
}

/// The share of row r in the gradients of gain and shift.
template <class T>
struct LayerNormGainTerm {
  LayerNormCall<T> c;
  const T* dy;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index, Index r, Index j) const {
    using A = accum_t<T>;
    const Index i = r * c.cols + j;
    return static_cast<double>(static_cast<A>(dy[i]) * ((static_cast<A>(c.x[i]) - c.mean[r]) * c.rstd[r]));
  }
};
template <class T>
struct LayerNormShiftTerm {
  const T* dy;
  Index cols;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index, Index r, Index j) const {
    return static_cast<double>(static_cast<accum_t<T>>(dy[r * cols + j]));
  }
};
/// to[c] += sum
template <class A>
struct AddToColumn {
  A* to;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index, Index c, double sum) const { to[c] += static_cast<A>(sum); }
};

}  // namespace detail

template <>
struct NormKernel<Cuda> {
  template <class T>
  static void softmax(Context<Cuda>& ctx, Index rows, Index cols, const T* x, T* y) {
    launch_rows(ctx, "softmax", detail::softmax_kernel<T, T>, rows, rows, cols, accum_t<T>{1}, x, y,
                static_cast<accum_t<T>*>(nullptr));
  }
  template <class T>
  static void softmax_backward(Context<Cuda>& ctx, Index rows, Index cols, const T* y, const T* dy, T* dx) {
    launch_rows(ctx, "softmax_backward", detail::softmax_backward_kernel<T>, rows, rows, cols, y, dy, dx);
  }

  template <class T>
  static void layer_norm(Context<Cuda>& ctx, const LayerNormCall<T>& c) {
    launch_rows(ctx, "layer_norm", detail::layer_norm_kernel<T>, c.rows, c);
  }
  template <class T>
  static void layer_norm_backward(Context<Cuda>& ctx, const LayerNormCall<T>& c, const LayerNormGradients<T>& g) {
    launch_rows(ctx, "layer_norm_backward", detail::layer_norm_backward_kernel<T>, c.rows, c, g);
    using A = accum_t<T>;
    if (g.dgain != nullptr)
      column_sums(ctx, 1, c.rows, c.cols, detail::LayerNormGainTerm<T>{c, g.dy}, detail::AddToColumn<A>{g.dgain});
    if (g.dshift != nullptr)
      column_sums(ctx, 1, c.rows, c.cols, detail::LayerNormShiftTerm<T>{g.dy, c.cols},
                  detail::AddToColumn<A>{g.dshift});
  }

  template <class T>
  static void group_norm(Context<Cuda>& ctx, const GroupNormCall<T>& c);
  template <class T>
  static void group_norm_sums(Context<Cuda>& ctx, const GroupNormCall<T>& c, double* sums);
  template <class T>
  static void group_norm_statistics(Context<Cuda>& ctx, const GroupNormCall<T>& c, double count, const double* sums);
  template <class T>
  static void group_norm_apply(Context<Cuda>& ctx, const GroupNormCall<T>& c);
  template <class T>
  static void group_norm_backward(Context<Cuda>& ctx, const GroupNormCall<T>& c, const GroupNormGradients<T>& g);

 private:
  template <class Kernel, class... Arguments>
  static void launch_rows(Context<Cuda>& ctx, const char* name, Kernel kernel, Index rows, const Arguments&... args) {
    if (rows > 0) detail::launch(ctx, name, kernel, {detail::cuda_grid(ctx, rows, detail::warps_per_block)}, args...);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
