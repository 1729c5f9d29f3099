// The instructions that C++ has no words for, one function each. No other header holds PTX: the host emulation in tests/emulation/
// answers for the functions of this one. Source of layouts: the PTX manual, "Matrix multiply-accumulate" and "cp.async".
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/ptx.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <cstdint>

#include "braing3n/backend/cuda/launch.cuh"

#if defined(BRAING3N_EMULATE_CUDA)
#include <emulation_ptx.hpp>  // tests/emulation
#else

namespace braing3n::inline BRAING3N_ABI::detail {

/// d (16 x 8, float) += a (16 x 16, rows, bf16) b (16 x 8, columns, bf16), by the 32 lanes of a warp.
__device__ inline void mma_bf16_16x8x16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// The same for a (16 x 8) b (8 x 8): half the depth.
__device__ inline void mma_bf16_16x8x8(float (&d)[4], const std::uint32_t (&a)[2], std::uint32_t b) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b));
}

/// Two floats rounded to nearest even, `low` in the lower half.
__device__ inline std::uint32_t pack_bf16(float low, float high) {
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/// 2^x to 2 units in the last place; results below the smallest normal number become 0.
__device__ inline float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Four 8 x 8 matrices of 16-bit elements from shared memory; lane l names row l % 8 of matrix l / 8, aligned to 16 bytes.
template <bool transposed>
__device__ inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(row));
  if constexpr (transposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/// Starts to copy 16 bytes to shared memory, zeros when not `valid`; both addresses aligned to 16 bytes.
__device__ inline void cp_async_16(void* shared, const void* global, bool valid) {
  const auto at = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(global), "r"(bytes) : "memory");
}
/// Closes the group of the copies that this thread has started.
__device__ inline void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `pending` groups of this thread are under way.
template <int pending>
__device__ inline void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

/// The dynamic shared memory of the block.
__device__ inline char* dynamic_shared_memory() {
  extern __shared__ __align__(128) char memory[];
  return memory;
}

}  // namespace braing3n::inline BRAING3N_ABI::detail

#endif
