// The one place where kernels are launched, and the words of CUDA that the host emulation in tests/emulation/ spells differently.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/launch.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <cuda_runtime.h>

#include <algorithm>

#include "braing3n/backend/cuda/context.hpp"

// BRAING3N_SHARED(double, lane, 256); is `__shared__ double lane[256];`. The emulation gives every block memory of its own instead.
#ifndef BRAING3N_SHARED
#define BRAING3N_SHARED(T, name, n) __shared__ T name[n]
#endif
// `for` in front of a loop of fixed length whose arrays shall be registers. The emulation has no use for the pragma.
#ifndef BRAING3N_UNROLL_FOR
#define BRAING3N_UNROLL_FOR _Pragma("unroll") for
#endif

namespace braing3n::inline BRAING3N_ABI::detail {

constexpr int cuda_block = 256;  // threads of a block unless a kernel says otherwise

struct LaunchShape {
  dim3 grid = 1;
  dim3 block = cuda_block;
  std::size_t shared = 0;  // bytes of dynamic shared memory
};

/// Blocks for a kernel that loops over `n` items, `per_block` of them at a time: enough to fill the chip, few enough that each thread
/// has work. Such a kernel must be right for every number of blocks: the context's options may ask for few.
inline unsigned cuda_grid(const Context<Cuda>& ctx, Index n, Index per_block = cuda_block) {
  return static_cast<unsigned>(std::clamp<Index>((n + per_block - 1) / per_block, 1, ctx.options().max_blocks));
}

/// Puts `kernel(args...)` into the stream of `ctx`. `name` stands in the message when CUDA refuses. Every launch of the library goes
/// through here: device of the calling thread, permission for large shared memory, errors.
template <class... Parameters, class... Arguments>
void launch(Context<Cuda>& ctx, const char* name, void (*kernel)(Parameters...), const LaunchShape& shape,
            const Arguments&... args) {
  const CudaDeviceScope scope(ctx.options().device);
  constexpr std::size_t granted = 48 * 1024;
  if (shape.shared > granted)
    check_cuda(
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared)),
        name);
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared;
  config.stream = ctx.stream();
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(args)...), name);
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
