// Factorisations, compiled once. Eigen and Spectra get names of their own here: a program that uses Eigen with another -march has functions
// of the same names but another alignment, and the linker would keep one of the two.
#define EIGEN_DONT_PARALLELIZE
#define Eigen braing3n_compiled_eigen
#define Spectra braing3n_compiled_spectra
#include "braing3n/linalg/ldlt_body.hpp"
#include "braing3n/linalg/leading_eigen_body.hpp"
#include "braing3n/linalg/llt_body.hpp"
#include "braing3n/linalg/symmetric_eigen_body.hpp"

namespace braing3n::inline BRAING3N_ABI {

template LeadingEigen leading_eigen(Context<Cpu>&, Index, Index, const SymmetricOperator<double>&);
template LeadingEigen leading_eigen(Context<Cpu>&, const Tensor<double, Cpu>&, Index);
template Llt<double> llt(Context<Cpu>&, std::span<const double>, Index, const LltOptions&);
template void llt_solve(const Llt<double>&, std::span<double>);
template void llt_solve_lower(const Llt<double>&, std::span<double>);
template void llt_solve_upper(const Llt<double>&, std::span<double>);
template SymmetricEigen symmetric_eigen(const std::vector<double>&, Index);
template std::vector<double> symmetric_eigenvalues(const std::vector<double>&, Index);
template void ldlt_solve(std::span<const double>, Index, std::span<double>, Index);

}  // namespace braing3n::inline BRAING3N_ABI
