// Eigenvalues and eigenvectors of a symmetric matrix, by Eigen's SelfAdjointEigenSolver on one thread.
//
// Eigen stands in the bodies only (linalg/symmetric_eigen_body.hpp). A program that links braing3n::compiled neither compiles them nor
// sees Eigen, so its own -march cannot meet an Eigen of another alignment in the library.
#pragma once

#include <vector>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct SymmetricEigen {
  std::vector<double> values;   // ascending
  std::vector<double> vectors;  // (n, n) row-major, orthonormal; column j belongs to values[j]
};

/// a: (n, n) row-major, symmetric. A value that is not finite makes all results NaN.
/// Errors: shape, numeric (no convergence).
template <class T>
SymmetricEigen symmetric_eigen(const std::vector<T>& a, Index n);

/// The eigenvalues alone, ascending; otherwise as symmetric_eigen().
template <class T>
std::vector<double> symmetric_eigenvalues(const std::vector<T>& a, Index n);

#ifdef BRAING3N_COMPILED
extern template SymmetricEigen symmetric_eigen(const std::vector<double>&, Index);
extern template std::vector<double> symmetric_eigenvalues(const std::vector<double>&, Index);
#endif

}  // namespace braing3n::inline BRAING3N_ABI

#ifndef BRAING3N_COMPILED
#include "braing3n/linalg/symmetric_eigen_body.hpp"
#endif
