// The bodies of linalg/symmetric_eigen.hpp: the only place that includes Eigen for them, and on dynamic matrices only, whose layout no
// compiler flag changes.
#pragma once

#include "braing3n/linalg/eigen_body.hpp"

#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "braing3n/linalg/symmetric_eigen.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// With vectors or without. Throws Error: shape, numeric.
template <class T>
SymmetricEigen eigen_decomposition(const std::vector<T>& a, Index n, bool with_vectors) {
  static_assert(std::is_same_v<T, double>, "eigenvalues are computed in double");
  const auto size = static_cast<std::size_t>(n);
  if (n < 0 || a.size() != size * size)
    fail(ErrorKind::shape, "symmetric_eigen.shape", "eigenvalues: expected ", n, " x ", n, " values, got ", a.size());
  SymmetricEigen out;
  if (n == 0) return out;
  if (!std::all_of(a.begin(), a.end(), [](double v) { return std::isfinite(v); })) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    out.values.assign(size, nan);
    if (with_vectors) out.vectors.assign(size * size, nan);
    return out;
  }
  const Eigen::SelfAdjointEigenSolver<ColumnMatrix<T>> solver(
      Eigen::Map<const RowMatrix<T>>(a.data(), n, n),
      with_vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
  if (static_cast<int>(solver.info()) != 0)  // not Eigen::Success: X11 has a macro of that name
    fail(ErrorKind::numeric, "symmetric_eigen.steps", "eigenvalues: no convergence for a matrix of ", n, " rows");
  out.values.assign(solver.eigenvalues().data(), solver.eigenvalues().data() + n);
  if (!with_vectors) return out;
  out.vectors.resize(size * size);
  Eigen::Map<RowMatrix<T>>(out.vectors.data(), n, n) = solver.eigenvectors();
  return out;
}

}  // namespace detail

template <class T>
SymmetricEigen symmetric_eigen(const std::vector<T>& a, Index n) {
  return detail::eigen_decomposition(a, n, true);
}

template <class T>
std::vector<double> symmetric_eigenvalues(const std::vector<T>& a, Index n) {
  return detail::eigen_decomposition(a, n, false).values;
}

}  // namespace braing3n::inline BRAING3N_ABI
