// Eigenvalues and linear systems, compiled once. Eigen gets a name of its own here: a program that uses Eigen with another -march has functions of the same
// names but another alignment, and the linker would keep one of the two.
#define EIGEN_DONT_PARALLELIZE
#define Eigen braing3n_compiled_eigen
#include "braing3n/linalg/ldlt_body.hpp"
#include "braing3n/linalg/symmetric_eigen_body.hpp"

namespace braing3n::inline BRAING3N_ABI {

template SymmetricEigen symmetric_eigen(const std::vector<double>&, Index);
template std::vector<double> symmetric_eigenvalues(const std::vector<double>&, Index);
template void ldlt_solve(std::span<const double>, Index, std::span<double>, Index);

}  // namespace braing3n::inline BRAING3N_ABI
