// Matrices of features and predictions: row-major xtensor containers of rank 2, a row per scan or sample.
//
// xt::xtensor<T, 2> holds what is complete. RowStore<T> holds what is still collected: the same container over std::vector, to which rows
// are added in amortised constant time.
#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/table/feature_view.hpp"
#include "braing3n/volume/xtensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T>
using RowStore = xt::xtensor_container<std::vector<T>, 2, xt::layout_type::row_major>;

template <class M>
Index row_count(const M& matrix) {
  return static_cast<Index>(matrix.shape()[0]);
}
template <class M>
Index column_count(const M& matrix) {
  return static_cast<Index>(matrix.shape()[1]);
}

/// One row, (columns).
template <class M>
auto row_of(M& matrix, Index row) {
  const auto columns = static_cast<std::size_t>(matrix.shape()[1]);
  return std::span(matrix.data() + static_cast<std::size_t>(row) * columns, columns);
}
/// All elements in row-major order.
template <class M>
auto elements_of(M& matrix) {
  return std::span(matrix.data(), matrix.size());
}

/// A matrix as probes and measures take it, without a copy.
template <class M>
auto view_of(const M& matrix) {
  return FeatureView<typename M::value_type>{matrix.data(), row_count(matrix), column_count(matrix)};
}

/// Sets the shape; what the elements were before is lost.
template <class M>
void set_size(M& matrix, Index rows, Index columns) {
  matrix.resize(std::array<std::size_t, 2>{static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)});
}

/// A matrix of zeros.
template <class T>
xt::xtensor<T, 2> zero_matrix(Index rows, Index columns) {
  xt::xtensor<T, 2> out;
  set_size(out, rows, columns);
  std::fill_n(out.data(), out.size(), T(0));
  return out;
}

/// A matrix of these elements in row-major order. Throws Error (shape) unless they fill whole rows.
template <class T>
xt::xtensor<T, 2> matrix_of(Index columns, const std::vector<T>& elements) {
  const Index size = static_cast<Index>(elements.size());
  if (columns < 1 || size % columns != 0)
    fail(ErrorKind::shape, "matrix.elements", "matrix: ", size, " elements, expected rows of ", columns);
  xt::xtensor<T, 2> out;
  set_size(out, size / columns, columns);
  std::copy_n(elements.data(), elements.size(), out.data());
  return out;
}

/// Adds rows of equal length at the end; the first ones say how many columns there are. Throws Error (shape) for rows of another length.
template <class T>
void append_rows(RowStore<T>& store, Index rows, std::span<const T> elements) {
  if (rows == 0 && elements.empty()) return;
  const Index at = row_count(store), columns = rows > 0 ? static_cast<Index>(elements.size()) / rows : 0;
  if (rows * columns != static_cast<Index>(elements.size()) || (at > 0 && column_count(store) != columns))
    fail(ErrorKind::shape, "matrix.row", "matrix: ", elements.size(), " elements for ", rows, " more rows, expected ",
         at > 0 ? rows * column_count(store) : rows * columns);
  set_size(store, at + rows, columns);  // std::vector keeps the earlier rows
  std::copy_n(elements.data(), elements.size(), store.data() + at * columns);
}
template <class T>
void append_row(RowStore<T>& store, std::span<const T> row) {
  append_rows(store, 1, row);
}

}  // namespace braing3n::inline BRAING3N_ABI
