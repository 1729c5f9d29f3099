// What kernels share: sums over a block, in an order fixed by its size.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/device.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include "braing3n/backend/cuda/launch.cuh"

namespace braing3n::inline BRAING3N_ABI::detail {

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

}  // namespace braing3n::inline BRAING3N_ABI::detail
