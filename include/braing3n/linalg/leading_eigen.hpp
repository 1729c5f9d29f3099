// The largest eigenvalues of a symmetric matrix and their vectors, by Lanczos iterations with implicit restarts (Spectra's
// SymEigsSolver; Lehoucq, Sorensen and Yang 1998): some hundred products of the matrix with a vector instead of the n^3 rotations of
// linalg/symmetric_eigen.hpp. Where a product costs a pass over a file, linalg/subspace_iteration.hpp needs fewer of them.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct LeadingEigen {
  std::vector<double> values;   // (k) descending
  Tensor<double, Cpu> vectors;  // (k, n), orthonormal, one per row; the largest entry of each is positive
};

/// y = A x for vectors of n values.
template <class T>
using SymmetricOperator = std::function<void(std::span<const T> x, std::span<T> y)>;

/// The k largest of a symmetric matrix of n rows that is known by its products. Residuals |A v - value v| are at most 1e-8 of the
/// largest |value|. Repeated eigenvalues are found as often as they occur. The same for any number of threads if `apply` is.
/// Errors: argument (k out of range), numeric (products that are not finite, no convergence).
template <class T>
LeadingEigen leading_eigen(Context<Cpu>& ctx, Index n, Index k, const SymmetricOperator<T>& apply);

/// The same for a matrix a (n, n), whose products run on the threads of the context. Errors: shape, and as above.
template <class T>
LeadingEigen leading_eigen(Context<Cpu>& ctx, const Tensor<T, Cpu>& a, Index k);

#ifdef BRAING3N_COMPILED
extern template LeadingEigen leading_eigen(Context<Cpu>&, Index, Index, const SymmetricOperator<double>&);
extern template LeadingEigen leading_eigen(Context<Cpu>&, const Tensor<double, Cpu>&, Index);
#endif

}  // namespace braing3n::inline BRAING3N_ABI

#ifndef BRAING3N_COMPILED
#include "braing3n/linalg/leading_eigen_body.hpp"
#endif
