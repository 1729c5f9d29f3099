// Matrix products on the CPU: the context's table of kernels.
#pragma once

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/backend/gemm.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <>
struct ProductKernel<Cpu> {
  template <class T>
  static void run(Context<Cpu>& ctx, const GemmCall<T>& call) {
    const auto run = ctx.provider().template gemm<T>().run;
    if (run == nullptr)
      fail(ErrorKind::environment, "provider.gemm", "provider ", ctx.provider().name, " has no matrix product for ",
           type_name<T>());
    run(ctx, call);
  }

  template <class T>
  static void run_batch(Context<Cpu>& ctx, const GemmCall<T>& one, Index batch, const T* a, Index a_step, const T* b,
                        Index b_step, T* c, Index c_step) {
    const auto product = [&](Index i) {
      GemmCall<T> call = one;
      call.a = a + i * a_step, call.b = b + i * b_step, call.c = c + i * c_step;
      run(ctx, call);
    };
    // Small products are shared out whole; a large one is cut up by its own kernel. The sums are the same either way.
    if (batch >= 4 && one.m * one.n * one.k <= (Index{1} << 24)) {
      ctx.parallel(batch, product);
    } else {
      for (Index i = 0; i < batch; ++i) product(i);
    }
  }

  template <class T>
  static Tensor<std::uint8_t, Cpu> pack(Context<Cpu>& ctx, Index k, Index n, const T* b, Index b_row, Index b_col) {
    const GemmKernels<T>& gemm = ctx.provider().template gemm<T>();
    const std::size_t bytes = gemm.packed_bytes == nullptr || gemm.pack == nullptr ? 0 : gemm.packed_bytes(k, n);
    if (bytes == 0) return {};
    Tensor<std::uint8_t, Cpu> packed(ctx, Shape{static_cast<Index>(bytes)});
    gemm.pack(ctx, k, n, b, b_row, b_col, packed.data());
    return packed;
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
