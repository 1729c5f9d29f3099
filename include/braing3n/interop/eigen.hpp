// Tensors on the CPU as matrices of Eigen and the other way round, without a copy. Target: braing3n::linalg.
//
// A view has the memory of what it was made of, which must stay where it is as long as the view is used. Files that exchange Eigen
// types by value must be compiled with the same -march, as with Eigen itself.
#pragma once

#include <Eigen/Core>

#include <type_traits>

#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T>
using EigenMatrixView = Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
template <class T>
using EigenConstMatrixView = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

namespace detail {

template <class View, class T>
View eigen_view(const Shape& shape, T* data) {
  if (shape.rank() < 1)
    fail(ErrorKind::shape, "interop.rank", "as_eigen: expected a tensor with at least one axis, got shape ", shape);
  return View(data, shape.product(0, shape.rank() - 1), shape[-1]);
}

}  // namespace detail

/// t (..., C) as a row-major matrix: the last axis is a row, all others together count the rows; (n) is one row.
/// Errors: shape (no axis).
template <class T, Backend B>
EigenMatrixView<T> as_eigen(Tensor<T, B>& t) {
  static_assert(std::is_same_v<B, Cpu>,
                "braing3n: as_eigen takes a tensor on the CPU: Eigen cannot read a GPU's memory");
  return detail::eigen_view<EigenMatrixView<T>>(t.shape(), t.data());
}
template <class T, Backend B>
EigenConstMatrixView<T> as_eigen(const Tensor<T, B>& t) {
  static_assert(std::is_same_v<B, Cpu>,
                "braing3n: as_eigen takes a tensor on the CPU: Eigen cannot read a GPU's memory");
  return detail::eigen_view<EigenConstMatrixView<T>>(t.shape(), t.data());
}
template <class T, Backend B>
void as_eigen(const Tensor<T, B>&&) = delete;  // the view would outlive the tensor

/// A tensor (rows, columns) over the values of a row-major matrix.
template <class T, int Rows, int Columns, int Options, int MostRows, int MostColumns>
Tensor<T, Cpu> from_eigen(Context<Cpu>& context,
                          Eigen::Matrix<T, Rows, Columns, Options, MostRows, MostColumns>& matrix) {
  static_assert((Options & Eigen::RowMajor) != 0 || Columns == 1,
                "braing3n: from_eigen takes row-major matrices, Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, "
                "Eigen::RowMajor>: tensors are row-major");
  return Tensor<T, Cpu>::borrow(context, {matrix.rows(), matrix.cols()}, matrix.data());
}

}  // namespace braing3n::inline BRAING3N_ABI
