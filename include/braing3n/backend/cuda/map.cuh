// The launchers of backend/kernels.hpp on a GPU: element-wise work and row copies.
#pragma once

#ifndef __CUDACC__
#error "braing3n/backend/cuda/map.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <algorithm>
#include <type_traits>

#include "braing3n/backend/cuda/context.hpp"
#include "braing3n/backend/kernels.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

constexpr int cuda_block = 256;

/// Blocks for n items: enough to fill the chip, few enough that each thread has work.
inline unsigned cuda_grid(Index n, int block = cuda_block) {
  return static_cast<unsigned>(std::clamp<Index>((n + block - 1) / block, 1, Index{1} << 16));
}

template <class F>
__global__ void map_kernel(Index n, F f) {
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<Index>(gridDim.x) * blockDim.x)
    f(i);
}

template <class F>
__global__ void map_rows_kernel(Index rows, Index cols, F f) {
  const Index n = rows * cols;
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<Index>(gridDim.x) * blockDim.x)
    f(i / cols, i % cols);
}

// One thread walks down a column, so rows of a column come in increasing order.
template <class F>
__global__ void map_columns_kernel(Index batch, Index rows, Index cols, F f) {
  const Index n = batch * cols;
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<Index>(gridDim.x) * blockDim.x)
    for (Index r = 0; r < rows; ++r) f(i / cols, r, i % cols);
}

template <class T, class F>
__global__ void copy_rows_kernel(Index rows, Index pieces, Index width, F where) {
  for (Index row = blockIdx.x; row < rows; row += gridDim.x) {
    const RowCopy<T> copy = where(row);
    for (Index i = threadIdx.x; i < pieces * width; i += blockDim.x) {
      const Index piece = i / width, at = i % width;
      copy.to[piece * copy.to_step + at] = copy.from == nullptr ? T{} : copy.from[piece * copy.from_step + at];
    }
  }
}

}  // namespace detail

template <>
struct MapKernel<Cuda> {
  template <class F>
  static void map(Context<Cuda>& ctx, Index n, const F& f) {
    if (n <= 0) return;
    detail::map_kernel<<<detail::cuda_grid(n), detail::cuda_block, 0, ctx.stream()>>>(n, f);
    check_cuda(cudaGetLastError(), "map");
  }

  template <class F>
  static void map_rows(Context<Cuda>& ctx, Index rows, Index cols, const F& f) {
    if (rows <= 0 || cols <= 0) return;
    detail::map_rows_kernel<<<detail::cuda_grid(rows * cols), detail::cuda_block, 0, ctx.stream()>>>(rows, cols, f);
    check_cuda(cudaGetLastError(), "map_rows");
  }

  template <class F>
  static void map_columns(Context<Cuda>& ctx, Index batch, Index rows, Index cols, const F& f) {
    if (batch <= 0 || cols <= 0) return;
    detail::map_columns_kernel<<<detail::cuda_grid(batch * cols), detail::cuda_block, 0, ctx.stream()>>>(batch, rows,
                                                                                                         cols, f);
    check_cuda(cudaGetLastError(), "map_columns");
  }

  template <class F>
  static void copy_rows(Context<Cuda>& ctx, Index rows, Index pieces, Index width, const F& where) {
    using T = std::remove_pointer_t<decltype(where(Index{0}).to)>;
    if (rows <= 0 || pieces <= 0 || width <= 0) return;
    detail::copy_rows_kernel<T>
        <<<static_cast<unsigned>(std::min<Index>(rows, Index{1} << 16)), detail::cuda_block, 0, ctx.stream()>>>(
            rows, pieces, width, where);
    check_cuda(cudaGetLastError(), "copy_rows");
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
