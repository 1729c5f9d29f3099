// The launchers of backend/kernels.hpp on a GPU: element-wise work and row copies.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/map.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <type_traits>

#include "braing3n/backend/cuda/launch.cuh"
#include "braing3n/backend/kernels.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

// Arguments stay where the launch has put them: a copy of an array that is indexed by a variable would lie in local memory.
template <class F>
__global__ void map_kernel(Index n, const __grid_constant__ F given) {
  decltype(auto) f = prepared(given);
  for (Index i = blockIdx.x * static_cast<Index>(blockDim.x) + threadIdx.x; i < n;
       i += static_cast<Index>(gridDim.x) * blockDim.x)
    f(i);
}

template <class F>
__global__ void map_rows_kernel(Index rows, Index cols, const __grid_constant__ F given) {
  decltype(auto) f = prepared(given);
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
    detail::launch(ctx, "map", detail::map_kernel<F>, {detail::cuda_grid(ctx, n)}, n, f);
  }

  template <class F>
  static void map_rows(Context<Cuda>& ctx, Index rows, Index cols, const F& f) {
    if (rows <= 0 || cols <= 0) return;
    detail::launch(ctx, "map_rows", detail::map_rows_kernel<F>, {detail::cuda_grid(ctx, rows * cols)}, rows, cols, f);
  }

  template <class F>
  static void map_columns(Context<Cuda>& ctx, Index batch, Index rows, Index cols, const F& f) {
    if (batch <= 0 || cols <= 0) return;
    detail::launch(ctx, "map_columns", detail::map_columns_kernel<F>, {detail::cuda_grid(ctx, batch * cols)}, batch,
                   rows, cols, f);
  }

  template <class F>
  static void copy_rows(Context<Cuda>& ctx, Index rows, Index pieces, Index width, const F& where) {
    using T = std::remove_pointer_t<decltype(where(Index{0}).to)>;
    if (rows <= 0 || pieces <= 0 || width <= 0) return;
    detail::launch(ctx, "copy_rows", detail::copy_rows_kernel<T, F>, {detail::cuda_grid(ctx, rows, 1)}, rows, pieces,
                   width, where);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
