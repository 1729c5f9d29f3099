// The bodies of linalg/llt.hpp.
//
// Eigen factors blocks of the diagonal and solves with them; everything else, nearly all of the arithmetic, is one product of the context
// for each block of columns: Eigen itself would run with the instructions that every x86-64 processor has, on one thread.
#pragma once

#include "braing3n/linalg/eigen_body.hpp"

#include <Eigen/Cholesky>

#include <algorithm>
#include <cmath>
#include <span>
#include <type_traits>

#include "braing3n/linalg/llt.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Columns that are factored together; smaller matrices, whose products would not pay, are factored as one.
inline constexpr Index llt_block = 128, llt_smallest = 512;

/// Rows of n values as columns of a matrix, some values apart.
template <class T>
using StridedRows = Eigen::Map<ColumnMatrix<T>, 0, Eigen::OuterStride<>>;

/// Rows first to n of columns first to first + width of the lower triangle l (n, n) -= what the columns before contribute to A.
template <class T>
void subtract_columns_before(Context<Cpu>& ctx, Index n, T* l, Index first, Index width, T* negative) {
  for (Index i = 0; i < width; ++i)
    for (Index j = 0; j < first; ++j) negative[i * n + j] = -l[(first + i) * n + j];
  ctx.provider().template gemm<T>().run(ctx, {.m = n - first,
                                              .n = width,
                                              .k = first,
                                              .a = l + first * n,
                                              .a_row = n,
                                              .b = negative,
                                              .b_row = 1,
                                              .b_col = n,
                                              .c = l + first * n + first,
                                              .c_row = n,
                                              .accumulate = true});
}

/// Factors the lower triangle l (n, n), row-major, in place, from left to right. False where it is not positive definite.
template <class T>
bool factor_lower(Context<Cpu>& ctx, Index n, T* l) {
  const Index block = n <= llt_smallest ? n : llt_block;
  Tensor<T, Cpu> negative(ctx, {block < n ? block : 0, n});
  for (Index first = 0; first < n; first += block) {
    const Index width = std::min(block, n - first), after = first + width;
    if (first > 0) subtract_columns_before(ctx, n, l, first, width, negative.data());
    // Row by row the lower triangle is the upper one of a matrix column by column.
    StridedRows<T> diagonal(l + first * n + first, width, width, Eigen::OuterStride<>(n));
    Eigen::Ref<ColumnMatrix<T>> in_place(diagonal);
    const Eigen::LLT<Eigen::Ref<ColumnMatrix<T>>, Eigen::Upper> factor(in_place);
    // A pivot that is not a number passes Eigen's own test.
    if (static_cast<int>(factor.info()) != 0 || !diagonal.diagonal().allFinite()) return false;
    ctx.parallel_range(n - after, 64, [&](Index begin, Index end) {
      StridedRows<T> below(l + (after + begin) * n + first, width, end - begin, Eigen::OuterStride<>(n));
      diagonal.template triangularView<Eigen::Upper>().transpose().solveInPlace(below);
    });
  }
  return true;
}

/// Rows of x as columns: (n, count) column-major. Throws Error (shape).
template <class T>
Eigen::Map<ColumnMatrix<T>> rows_as_columns(const Llt<T>& llt, std::span<T> x) {
  if (llt.size < 1 ? !x.empty() : std::ssize(x) % llt.size != 0)
    fail(ErrorKind::shape, "llt.rows", "llt: expected rows of ", llt.size, " values, got ", x.size(), " values");
  return {x.data(), llt.size, llt.size < 1 ? 0 : std::ssize(x) / llt.size};
}
template <class T>
Eigen::Map<const RowMatrix<T>> factor_of(const Llt<T>& llt) {
  return {llt.factor.data(), llt.size, llt.size};
}

}  // namespace detail

template <class T>
Llt<T> llt(Context<Cpu>& ctx, std::span<const T> a, Index n, const LltOptions& options) {
  static_assert(std::is_same_v<T, double>, "matrices are factored in double");
  if (n < 0 || std::ssize(a) != n * n)
    fail(ErrorKind::shape, "llt.shape", "llt: expected ", n, " x ", n, " values, got ", a.size());
  Llt<T> out{n, std::vector<T>(a.size(), T(0))};
  if (n == 0) return out;
  T* l = out.factor.data();
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j <= i; ++j) l[i * n + j] = options.scale * a[static_cast<std::size_t>(i * n + j)];
    l[i * n + i] += options.shift;
  }
  if (!detail::factor_lower(ctx, n, l))
    fail(ErrorKind::numeric, "llt.indefinite", "llt: expected a positive definite matrix of ", n,
         " rows, got one that is not, to rounding");
  for (Index i = 0; i < n; ++i) std::fill(l + i * n + i + 1, l + (i + 1) * n, 0.0);
  return out;
}

template <class T>
void llt_solve(const Llt<T>& llt, std::span<T> x) {
  llt_solve_lower(llt, x);
  llt_solve_upper(llt, x);
}

template <class T>
void llt_solve_lower(const Llt<T>& llt, std::span<T> x) {
  auto columns = detail::rows_as_columns(llt, x);
  detail::factor_of(llt).template triangularView<Eigen::Lower>().solveInPlace(columns);
}

template <class T>
void llt_solve_upper(const Llt<T>& llt, std::span<T> x) {
  auto columns = detail::rows_as_columns(llt, x);
  detail::factor_of(llt).transpose().template triangularView<Eigen::Upper>().solveInPlace(columns);
}

}  // namespace braing3n::inline BRAING3N_ABI
