// What kernels share: sums over a block or a warp, in an order fixed by its size.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/device.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include "braing3n/backend/cuda/launch.cuh"

namespace braing3n::inline BRAING3N_ABI::detail {

/// Neighbouring elements that are read or written at once.
template <class T, int n>
struct alignas(sizeof(T) * n) Elements {
  T values[n];
};

/// Combines one value per thread of a block of cuda_block threads in a fixed tree; every thread gets the result.
template <class Op>
__device__ double block_combine(double value, Op op) {
  BRAING3N_SHARED(double, lane, cuda_block);
  lane[threadIdx.x] = value;
  __syncthreads();
  for (unsigned width = cuda_block / 2; width > 0; width /= 2) {
    if (threadIdx.x < width) lane[threadIdx.x] = op(lane[threadIdx.x], lane[threadIdx.x + width]);
    __syncthreads();
  }
  const double total = lane[0];
  __syncthreads();  // the next call writes lane[0] again
  return total;
}

/// The larger of two; NaN when one is.
template <class A>
BRAING3N_HD BRAING3N_INLINE A larger_or_nan(A a, A b) {
  return b > a || b != b ? b : a;
}

/// Over the 32 lanes of a warp, all of which call it; every lane gets the same bits.
template <class A>
__device__ A warp_sum(A value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  return value;
}
template <class A>
__device__ A warp_max(A value) {
  for (int step = 16; step > 0; step /= 2) value = larger_or_nan(value, __shfl_xor_sync(0xffffffffu, value, step));
  return value;
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
