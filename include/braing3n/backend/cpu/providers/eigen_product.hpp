// Eigen's matrix product on strided operands, in the calling thread.
#pragma once

#include <Eigen/Core>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

template <class T, int order>
using EigenOperand = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, order>, 0, Eigen::OuterStride<>>;

/// C [+]= A B on one piece; A and B column-major or row-major, C row-major.
template <class T, int a_order, int b_order>
void eigen_product(Index m, Index n, Index k, const T* a, Index a_outer, const T* b, Index b_outer, T* c, Index c_row,
                   bool accumulate) {
  const EigenOperand<T, a_order> lhs(a, m, k, Eigen::OuterStride<>(a_outer));
  const EigenOperand<T, b_order> rhs(b, k, n, Eigen::OuterStride<>(b_outer));
  using Result = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;
  Result out(c, m, n, Eigen::OuterStride<>(c_row));
  if (!accumulate) out.setZero();
  out.noalias() += lhs * rhs;
}

/// The same with strides in elements; one stride of A and one of B is 1. Rows or columns of A and B may overlap in memory.
template <class T>
void eigen_product(Index m, Index n, Index k, const T* a, Index a_row, Index a_col, const T* b, Index b_row,
                   Index b_col, T* c, Index c_row, bool accumulate) {
  constexpr int row = Eigen::RowMajor, col = Eigen::ColMajor;
  const bool a_rows = a_col == 1, b_rows = b_col == 1;
  const Index a_outer = a_rows ? a_row : a_col, b_outer = b_rows ? b_row : b_col;
  const auto product = a_rows ? (b_rows ? &eigen_product<T, row, row> : &eigen_product<T, row, col>)
                              : (b_rows ? &eigen_product<T, col, row> : &eigen_product<T, col, col>);
  product(m, n, k, a, a_outer, b, b_outer, c, c_row, accumulate);
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
