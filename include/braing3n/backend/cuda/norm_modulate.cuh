// Gated residual, layer norm and modulation of an adaptive transformer block on a GPU: one launch forward, two backward.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/norm_modulate.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <cmath>

#include "braing3n/backend/cuda/norm.cuh"
#include "braing3n/backend/fused.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

template <class T>
__global__ void norm_modulate_kernel(NormModulateCall<T> c) {
  using A = accum_t<T>;
  for_warp_rows(c.samples * c.tokens, [=](Index r, int lane) {
    const Index at = r / c.tokens * c.cols, row = r * c.cols;
    const T* x = c.residual + row;
    if (c.gate != nullptr) {
      for (Index j = lane; j < c.cols; j += 32)
        c.x[row + j] = static_cast<T>(static_cast<A>(c.gate[at + j]) * static_cast<A>(c.branch[row + j]) +
                                      static_cast<A>(c.residual[row + j]));
      x = c.x + row;  // a lane reads what it has written itself
    }
    const A count = static_cast<A>(c.cols);
    const A mean = row_total<A>(c.cols, lane, [=](Index j) { return static_cast<A>(x[j]); }) / count;
    const A variance = row_total<A>(c.cols, lane,
                                    [=](Index j) {
                                      const A d = static_cast<A>(x[j]) - mean;
                                      return d * d;
                                    }) /
                       count;
    const A rstd = A{1} / std::sqrt(variance + static_cast<A>(c.eps));
    for (Index j = lane; j < c.cols; j += 32)
      c.y[row + j] = static_cast<T>((static_cast<A>(x[j]) - mean) * rstd * (A{1} + static_cast<A>(c.scale[at + j])) +
                                    static_cast<A>(c.shift[at + j]));
    if (lane == 0) c.mean[r] = mean, c.rstd[r] = rstd;
  });
}

constexpr Index modulated_rows = 32;  // of one sample, for one block at a time

/// First a warp per row finds what the norm's gradient subtracts; then a thread per column walks down the rows: gradients of the rows, and
/// partial sums (shift, scale, gate) of the column.
template <class T>
__global__ void norm_modulate_backward_kernel(NormModulateCall<T> c, NormModulateGradients<T> g, Index groups,
                                              double* partial) {
  using A = accum_t<T>;
  BRAING3N_SHARED(A, average, modulated_rows);
  BRAING3N_SHARED(A, slope, modulated_rows);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const T* const normed = c.gate != nullptr ? c.x : c.residual;
  for (Index block = blockIdx.x; block < c.samples * groups; block += gridDim.x) {
    const Index sample = block / groups, first = block % groups * modulated_rows, at = sample * c.cols,
                count = first + modulated_rows < c.tokens ? modulated_rows : c.tokens - first,
                top = sample * c.tokens + first;
    for (Index q = threadIdx.x / 32; q < count; q += warps_per_block) {
      const Index row = (top + q) * c.cols;
      const A mean = c.mean[top + q], rstd = c.rstd[top + q];
      const auto up = [=](Index j) { return static_cast<A>(g.dy[row + j]) * (A{1} + static_cast<A>(c.scale[at + j])); };
      const A sum = row_total<A>(c.cols, lane, up);
      const A products =
          row_total<A>(c.cols, lane, [=](Index j) { return up(j) * (static_cast<A>(normed[row + j]) - mean) * rstd; });
      if (lane == 0) average[q] = sum / static_cast<A>(c.cols), slope[q] = products / static_cast<A>(c.cols);
    }
    __syncthreads();
    for (Index j = threadIdx.x; j < c.cols; j += cuda_block) {
      const A factor = A{1} + static_cast<A>(c.scale[at + j]);
      double shift = 0, scale = 0, gate = 0;
      for (Index q = 0; q < count; ++q) {
        const Index i = (top + q) * c.cols + j;
        const A dy = static_cast<A>(g.dy[i]), rstd = c.rstd[top + q],
                xhat = (static_cast<A>(normed[i]) - c.mean[top + q]) * rstd;
        A dx = rstd * (dy * factor - average[q] - xhat * slope[q]);
        if (g.dx != nullptr) dx += static_cast<A>(g.dx[i]);
        const T rounded = static_cast<T>(dx);
        g.dresidual[i] = rounded;
        shift += static_cast<double>(dy);
        scale += static_cast<double>(dy) * static_cast<double>(xhat);
        if (c.gate == nullptr) continue;
        const A total = static_cast<A>(rounded);
        g.dbranch[i] = static_cast<T>(static_cast<A>(c.gate[at + j]) * total);
        gate += static_cast<double>(total) * static_cast<double>(static_cast<A>(c.branch[i]));
      }
      double* const own = partial + 3 * block * c.cols + j;
      own[0] = shift, own[c.cols] = scale, own[2 * c.cols] = gate;
    }
    __syncthreads();  // the next rows write average and slope again
  }
}

template <class T>
__global__ void modulation_totals_kernel(Index samples, Index cols, Index groups, const double* partial,
                                         NormModulateGradients<T> g) {
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < 3 * samples * cols;
       i += static_cast<Index>(gridDim.x) * blockDim.x) {
    const Index column = i % cols, which = i / cols % 3, sample = i / cols / 3;
    T* const to = which == 0 ? g.dshift : which == 1 ? g.dscale : g.dgate;
    if (to == nullptr) continue;
    double total = 0;
    for (Index group = 0; group < groups; ++group)
      total += partial[(3 * (sample * groups + group) + which) * cols + column];
    to[sample * cols + column] = static_cast<T>(static_cast<accum_t<T>>(total));
  }
}

}  // namespace detail

template <>
struct NormModulateKernel<Cuda> {
  template <class T>
  static void forward(Context<Cuda>& ctx, const NormModulateCall<T>& c) {
    detail::launch(ctx, "norm_modulate", detail::norm_modulate_kernel<T>,
                   {detail::cuda_grid(ctx, c.samples * c.tokens, detail::warps_per_block)}, c);
  }
  template <class T>
  static void backward(Context<Cuda>& ctx, const NormModulateCall<T>& c, const NormModulateGradients<T>& g) {
    const Index groups = (c.tokens + detail::modulated_rows - 1) / detail::modulated_rows;
    Tensor<double, Cuda> partial(ctx, Shape{c.samples, groups, 3, c.cols});
    detail::launch(ctx, "norm_modulate_backward", detail::norm_modulate_backward_kernel<T>,
                   {detail::cuda_grid(ctx, c.samples * groups, 1)}, c, g, groups, partial.data());
    detail::launch(ctx, "modulation_totals", detail::modulation_totals_kernel<T>,
                   {detail::cuda_grid(ctx, 3 * c.samples * c.cols)}, c.samples, c.cols, groups, partial.data(), g);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
