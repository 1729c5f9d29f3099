// The bodies of linalg/llt.hpp.
#pragma once

#include "braing3n/linalg/eigen_body.hpp"

#include <Eigen/Cholesky>

#include <cmath>
#include <span>
#include <type_traits>

#include "braing3n/linalg/llt.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Rows of x as columns: (n, count) column-major. Throws Error (shape).
inline Eigen::Map<ColumnMatrix> rows_as_columns(const Llt<double>& llt, std::span<double> x) {
  if (llt.size < 1 ? !x.empty() : std::ssize(x) % llt.size != 0)
    fail(ErrorKind::shape, "llt.rows", "llt: expected rows of ", llt.size, " values, got ", x.size(), " values");
  return {x.data(), llt.size, llt.size < 1 ? 0 : std::ssize(x) / llt.size};
}
inline Eigen::Map<const ColumnMatrix> factor_of(const Llt<double>& llt) {
  return {llt.factor.data(), llt.size, llt.size};
}

}  // namespace detail

template <class T>
Llt<T> llt(std::span<const T> a, Index n, const LltOptions& options) {
  static_assert(std::is_same_v<T, double>, "matrices are factored in double");
  if (n < 0 || std::ssize(a) != n * n)
    fail(ErrorKind::shape, "llt.shape", "llt: expected ", n, " x ", n, " values, got ", a.size());
  Llt<T> out{n, std::vector<T>(a.size(), 0.0)};
  if (n == 0) return out;
  Eigen::Map<detail::ColumnMatrix> l(out.factor.data(), n, n);
  l.triangularView<Eigen::Lower>() = options.scale * Eigen::Map<const detail::RowMatrix>(a.data(), n, n);
  l.diagonal().array() += options.shift;
  Eigen::Ref<detail::ColumnMatrix> in_place(l);
  const Eigen::LLT<Eigen::Ref<detail::ColumnMatrix>> factor(in_place);
  // A pivot that is not a number passes Eigen's own test.
  if (static_cast<int>(factor.info()) != 0 || !l.diagonal().allFinite())
    fail(ErrorKind::numeric, "llt.indefinite", "llt: expected a positive definite matrix of ", n,
         " rows, got one that is not, to rounding");
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
