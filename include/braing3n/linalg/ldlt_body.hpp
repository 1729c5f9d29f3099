// The body of linalg/ldlt.hpp, on dynamic matrices only.
#pragma once

#include "braing3n/linalg/eigen_body.hpp"

#include <Eigen/Cholesky>

#include <span>
#include <type_traits>

#include "braing3n/linalg/ldlt.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T>
void ldlt_solve(std::span<const T> a, Index n, std::span<T> b, Index columns) {
  static_assert(std::is_same_v<T, double>, "systems are solved in double");
  if (n < 0 || columns < 0 || std::ssize(a) != n * n || std::ssize(b) != n * columns)
    fail(ErrorKind::shape, "ldlt.shape", "ldlt: expected ", n, " x ", n, " and ", n, " x ", columns, " values, got ",
         a.size(), " and ", b.size());
  if (n == 0 || columns == 0) return;
  const Eigen::LDLT<detail::ColumnMatrix<T>> factor(Eigen::Map<const detail::RowMatrix<T>>(a.data(), n, n));
  const T largest = factor.vectorD().maxCoeff(), smallest = factor.vectorD().minCoeff();
  if (static_cast<int>(factor.info()) != 0 || !(smallest > 0x1p-52 * static_cast<double>(n) * largest))
    fail(ErrorKind::numeric, "ldlt.indefinite", "ldlt: expected a positive definite matrix of ", n,
         " rows, got pivots from ", smallest, " to ", largest);
  Eigen::Map<detail::RowMatrix<T>> x(b.data(), n, columns);
  x = factor.solve(x).eval();
}

}  // namespace braing3n::inline BRAING3N_ABI
