// Cholesky's factorisation A = L L^T of a symmetric positive definite matrix, by Eigen and the products of the context, kept for several
// solves.
#pragma once

#include <span>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T>
struct Llt {
  Index size = 0;
  std::vector<T> factor;  // (size, size) row-major; L on and below the diagonal, 0 above it

  std::size_t bytes() const { return factor.size() * sizeof(T); }
};

struct LltOptions {
  double scale = 1, shift = 0;
};

/// Factors scale * a + shift * I; of a (n, n) row-major only the lower triangle is read. The same for any number of threads.
/// Errors: shape, numeric (the matrix is not positive definite to rounding, or not finite).
template <class T>
Llt<T> llt(Context<Cpu>& ctx, std::span<const T> a, Index n, const LltOptions& options = {});

/// Solves A x = b for every row b of x (count, n), in place. Errors: shape.
template <class T>
void llt_solve(const Llt<T>& llt, std::span<T> x);

/// Solves L x = b for every row b of x (count, n), in place. Errors: shape.
template <class T>
void llt_solve_lower(const Llt<T>& llt, std::span<T> x);

/// Solves L^T x = b for every row b of x (count, n), in place. Errors: shape.
template <class T>
void llt_solve_upper(const Llt<T>& llt, std::span<T> x);

#ifdef BRAING3N_COMPILED
extern template Llt<double> llt(Context<Cpu>&, std::span<const double>, Index, const LltOptions&);
extern template void llt_solve(const Llt<double>&, std::span<double>);
extern template void llt_solve_lower(const Llt<double>&, std::span<double>);
extern template void llt_solve_upper(const Llt<double>&, std::span<double>);
#endif

}  // namespace braing3n::inline BRAING3N_ABI

#ifndef BRAING3N_COMPILED
#include "braing3n/linalg/llt_body.hpp"
#endif
