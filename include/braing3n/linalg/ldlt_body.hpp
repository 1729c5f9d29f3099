// The body of linalg/ldlt.hpp, on dynamic matrices only.
#pragma once

#if !__has_include(<Eigen/Cholesky>)
#error "braing3n: linalg/ needs Eigen 3.4 (Debian: libeigen3-dev and -I/usr/include/eigen3), or link braing3n::compiled"
#endif
#if defined(_OPENMP) && !defined(EIGEN_DONT_PARALLELIZE)
#error \
    "braing3n: results must not depend on threads: define EIGEN_DONT_PARALLELIZE with -fopenmp, or link braing3n::compiled"
#endif
#include <Eigen/Cholesky>

#include <span>
#include <type_traits>

#include "braing3n/linalg/ldlt.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T>
void ldlt_solve(std::span<const T> a, Index n, std::span<T> b, Index columns) {
  static_assert(std::is_same_v<T, double>, "systems are solved in double");
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  if (n < 0 || columns < 0 || std::ssize(a) != n * n || std::ssize(b) != n * columns)
    fail(ErrorKind::shape, "ldlt.shape", "ldlt: expected ", n, " x ", n, " and ", n, " x ", columns, " values, got ",
         a.size(), " and ", b.size());
  if (n == 0 || columns == 0) return;
  const Eigen::LDLT<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic>> factor(
      Eigen::Map<const Matrix>(a.data(), n, n));
  const double largest = factor.vectorD().maxCoeff(), smallest = factor.vectorD().minCoeff();
  if (static_cast<int>(factor.info()) != 0 || !(smallest > 0x1p-52 * static_cast<double>(n) * largest))
    fail(ErrorKind::numeric, "ldlt.indefinite", "ldlt: expected a positive definite matrix of ", n,
         " rows, got pivots from ", smallest, " to ", largest);
  Eigen::Map<Matrix> x(b.data(), n, columns);
  x = factor.solve(x).eval();
}

}  // namespace braing3n::inline BRAING3N_ABI
