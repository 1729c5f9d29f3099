// Linear systems with a symmetric positive definite matrix, by Eigen's LDLT on one thread. Eigen stands in linalg/ldlt_body.hpp only
// (linalg/symmetric_eigen.hpp says why).
#pragma once

#include <span>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// b (n, columns) <- a^-1 b for a (n, n), both row-major, a symmetric and positive definite.
/// Errors: shape, numeric (the matrix is not positive definite to rounding).
template <class T>
void ldlt_solve(std::span<const T> a, Index n, std::span<T> b, Index columns);

#ifdef BRAING3N_COMPILED
extern template void ldlt_solve(std::span<const double>, Index, std::span<double>, Index);
#endif

}  // namespace braing3n::inline BRAING3N_ABI

#ifndef BRAING3N_COMPILED
#include "braing3n/linalg/ldlt_body.hpp"
#endif
