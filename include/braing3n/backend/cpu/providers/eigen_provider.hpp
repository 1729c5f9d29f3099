// A provider on Eigen's matrix product, for comparisons and for machines where the packed kernels do not fit.
//
//   Context<Cpu> ctx({.provider = &eigen_cpu_provider()});
//
// Eigen computes at the instruction set the translation unit is compiled for (g++ 12 on newer machines: -march=native
// -mtune=skylake-avx512). It is always called single-threaded, on pieces of C cut by shape, so results do not depend on threads.
// bfloat16 is converted to float and back. Convolutions are sums of products too (eigen_conv.hpp).
#pragma once

#include <algorithm>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/backend/cpu/gemm/epilogue.hpp"
#include "braing3n/backend/cpu/providers/eigen_conv.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// A strided matrix as contiguous rows of float.
inline const float* eigen_rows(Context<Cpu>& ctx, Index rows, Index cols, const bfloat16* from, Index row, Index col,
                               float* to) {
  ctx.parallel_range(rows, 64, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i)
      for (Index j = 0; j < cols; ++j) to[i * cols + j] = from[i * row + j * col];
  });
  return to;
}

template <class T>
void eigen_gemm(Context<Cpu>& ctx, const GemmCall<T>& call) {
  using Acc = accum_t<T>;
  if (call.m <= 0 || call.n <= 0) return;
  const bool converts = !std::is_same_v<T, Acc>;
  const bool in_c = !converts && call.residual == nullptr;
  const Index m = call.m, n = call.n, k = call.k;
  const Storage scratch(ctx.memory(),
                        static_cast<std::size_t>((in_c ? 0 : m * n) + (converts ? (m + n) * k : 0)) * sizeof(Acc));
  Acc* const sums = static_cast<Acc*>(scratch.data());
  const Acc *a = nullptr, *b = nullptr;
  Index a_row = call.a_row, a_col = call.a_col, b_row = call.b_row, b_col = call.b_col;
  if constexpr (converts) {
    a = eigen_rows(ctx, m, k, call.a, a_row, a_col, sums + m * n), a_row = k, a_col = 1;
    b = eigen_rows(ctx, k, n, call.b, b_row, b_col, sums + m * n + m * k), b_row = n, b_col = 1;
  } else {
    a = call.a, b = call.b;
  }

  // Eigen packs both operands of every piece: the pieces are large, unless there are few of them.
  Index rows = std::min<Index>(m, 320), cols = std::min<Index>(n, 1152);
  const Index least_piece = (Index{2} << 20) / std::max<Index>(1, k);
  while (cols > 256 && ((m + rows - 1) / rows) * ((n + cols - 1) / cols) < 8 && rows * cols > least_piece)
    cols = (cols / 2 + 15) / 16 * 16;
  const Index row_pieces = (m + rows - 1) / rows, col_pieces = (n + cols - 1) / cols;
  rows = (m + row_pieces - 1) / row_pieces;  // 360 rows are 2 x 180 and not 320 + 40: the threads end together
  ctx.parallel(row_pieces * col_pieces, [&](Index piece) {
    const Index i = piece % row_pieces * rows, j = piece / row_pieces * cols;
    const Index r = std::min(rows, m - i), s = std::min(cols, n - j);
    Acc* c = sums + i * n + j;
    Index c_row = n;
    if constexpr (!converts)
      if (in_c) c = call.c + i * call.c_row + j, c_row = call.c_row;
    eigen_product<Acc>(r, s, k, a + i * a_row, a_row, a_col, b + j * b_col, b_row, b_col, c, c_row,
                       in_c && call.accumulate);
    if (!in_c || call.bias != nullptr || call.preactivation != nullptr || call.activation != Activation::none)
      finish_tile<T>(ctx.isa(), call, !in_c && call.accumulate, i, r, j, s, c, c_row);
  });
}

}  // namespace detail

/// Eigen's product for float, double and bfloat16, and convolutions of float and double on it; no packed weights.
inline const CpuProvider& eigen_cpu_provider() {
  static const CpuProvider table = [] {
    Eigen::setNbThreads(1);  // in a program built with OpenMP, Eigen would start its own threads inside ours
    CpuProvider p;
    p.name = "eigen";
    p.gemm_f32.run = &detail::eigen_gemm<float>;
    p.gemm_f64.run = &detail::eigen_gemm<double>;
    p.gemm_bf16.run = &detail::eigen_gemm<bfloat16>;
    p.conv_f32 = detail::eigen_convolutions<float>();
    p.conv_f64 = detail::eigen_convolutions<double>();
    return p;
  }();
  return table;
}

}  // namespace braing3n::inline BRAING3N_ABI
