// Table lookup: y[i] = table[index[i]]; the gradient of a row is the sum of dy over the places that read it.
#pragma once

#include "braing3n/ops/gather.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
struct LookupRow {
  const T* table;
  T* y;
  const std::int32_t* index;
  Index width;
  BRAING3N_HD BRAING3N_INLINE RowCopy<T> operator()(Index r) const { return {y + r * width, table + index[r] * width}; }
};

}  // namespace detail

/// table (V, C), index (...) in [0, V) -> (..., C).
template <class T, Backend B>
Tensor<T, B> embedding_forward(const Tensor<T, B>& table, const Indices<B>& index) {
  require_rank("embedding", "table", table, 2, "(V, C)");
  require_elements("embedding", table);
  require_same_context("embedding", table, index.values());
  require_indices("embedding", index, table.dim(0));
  Shape shape = index.shape();
  shape.push_back(table.dim(1));
  Tensor<T, B> y(table.context(), shape);
  copy_rows(table.context(), index.size(), 1, table.dim(1),
            detail::LookupRow<T>{table.data(), y.data(), index.data(), table.dim(1)});
  return y;
}

/// dtable (V, C) += the rows of dy (..., C), added in the order of the indices.
template <class T, class G, Backend B>
void embedding_backward(const Tensor<T, B>& dy, const Indices<B>& index, Tensor<G, B>& dtable) {
  require_rank("embedding_backward", "table gradient", dtable, 2, "(V, C)");
  require_elements("embedding_backward", dtable);
  require_same_context("embedding_backward", dy, dtable);
  require_same_context("embedding_backward", dy, index.values());
  require_indices("embedding_backward", index, dtable.dim(0));
  Shape shape = index.shape();
  shape.push_back(dtable.dim(1));
  require_shape("embedding_backward", "gradient", dy, shape);
  const Index rows = index.size(), c = dtable.dim(1);
  map_columns(dy.context(), 1, rows, c,
              detail::ScatterAdd<G, T>{dy.data(), dtable.data(), index.data(), dtable.dim(0), rows, c});
}

}  // namespace braing3n::inline BRAING3N_ABI
