// The matrix product of elements T on the micro-kernel Micro, as an entry of a provider's table.
#pragma once

#include <bit>

#include "braing3n/backend/cpu/gemm/driver.hpp"
#include "braing3n/backend/cpu/gemm/epilogue.hpp"
#include "braing3n/backend/cpu/gemm/pack.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// T is Micro's own element type, or bfloat16 on a float kernel: elements are then converted while they are packed.
template <class T, class Micro>
class PackedGemm {
  using In = typename Micro::In;
  using Acc = typename Micro::Acc;
  static_assert(std::is_same_v<Acc, accum_t<T>>);

 public:
  static constexpr GemmKernels<T> kernels() { return {&run, &packed_bytes, &pack}; }

  static void run(Context<Cpu>& ctx, const GemmCall<T>& call) {
    detail::run_gemm(ctx, ops, std::bit_cast<detail::AnyGemm>(call));
  }

  static std::size_t packed_bytes(Index k, Index n) { return detail::packed_b_bytes(ops, k, n); }

  static void pack(Context<Cpu>& ctx, Index k, Index n, const T* b, Index b_row, Index b_col, void* packed) {
    const detail::KBlocks blocks(ops, k);
    detail::pack_b(ctx, ops, blocks, 0, blocks.count, n, reinterpret_cast<const unsigned char*>(b), b_row, b_col,
                   static_cast<unsigned char*>(packed));
  }

 private:
  static void tile(Index rows, Index cols, Index k, const void* a, Index lda, const void* b, void* c, Index ldc,
                   bool accumulate) {
    const TileTerm<In> term{static_cast<const In*>(a), static_cast<const In*>(b)};
    Micro::tile({rows, cols, k, lda, &term, 1, static_cast<Acc*>(c), ldc, accumulate});
  }
  static void pack_panel(const void* b, Index b_row, Index b_col, Index k, Index cols, void* panel) {
    detail::pack_panel<Micro>(static_cast<const T*>(b), b_row, b_col, k, cols, static_cast<In*>(panel));
  }
  static void pack_rows(const void* a, Index a_row, Index a_col, Index rows, Index k, void* out, Index out_row) {
    detail::pack_rows<Micro>(static_cast<const T*>(a), a_row, a_col, rows, k, static_cast<In*>(out), out_row);
  }
  static void finish(const detail::AnyGemm& call, bool add, Index row, Index rows, Index col, Index cols,
                     const void* sums, Index sums_row) {
    constexpr Isa isa = std::min(Micro::isa, Isa::avx512);
    detail::finish_tile<isa>(std::bit_cast<GemmCall<T>>(call), add, row, rows, col, cols, static_cast<const Acc*>(sums),
                             sums_row);
  }

  static constexpr detail::GemmOps ops = {sizeof(T),
                                          sizeof(In),
                                          sizeof(Acc),
                                          Micro::rows,
                                          Micro::cols,
                                          Micro::k_group,
                                          !std::is_same_v<T, In>,
                                          std::is_same_v<T, Acc>,
                                          &tile,
                                          &pack_panel,
                                          &pack_rows,
                                          &finish};
};

}  // namespace braing3n::inline BRAING3N_ABI
