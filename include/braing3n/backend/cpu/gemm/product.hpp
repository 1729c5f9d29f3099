// Matrix products on the CPU: the context's table of kernels.
#pragma once

#include <type_traits>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/backend/cpu/loops/map.hpp"
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
    if constexpr (!std::is_same_v<T, accum_t<T>>) {
      if (call.sums != nullptr) return run_unrounded(ctx, call);
    }
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

 private:
  /// GemmCall::sums, by a product of widened copies: bf16 on the CPU is for inference, so this is the plain form that others are
  /// compared with.
  template <class T>
  static void run_unrounded(Context<Cpu>& ctx, const GemmCall<T>& call) {
    using A = accum_t<T>;
    const auto widened = [&](const T* from, Index rows, Index cols, Index row, Index col) {
      Tensor<A, Cpu> to(ctx, Shape{rows, cols});
      map_rows(ctx, rows, cols, Widen<T>{from, to.data(), row, col, cols});
      return to;
    };
    const Tensor<A, Cpu> a = widened(call.a, call.m, call.k, call.a_row, call.a_col),
                         b = widened(call.b, call.k, call.n, call.b_row, call.b_col);
    run(ctx, GemmCall<A>{.m = call.m,
                         .n = call.n,
                         .k = call.k,
                         .a = a.data(),
                         .a_row = call.k,
                         .b = b.data(),
                         .b_row = call.n,
                         .c = call.sums,
                         .c_row = call.c_row,
                         .accumulate = call.accumulate});
  }

  template <class T>
  struct Widen {
    const T* from;
    accum_t<T>* to;
    Index row, col, width;
    BRAING3N_INLINE void operator()(Index r, Index c) const {
      to[r * width + c] = static_cast<accum_t<T>>(from[r * row + c * col]);
    }
  };
};

}  // namespace braing3n::inline BRAING3N_ABI
