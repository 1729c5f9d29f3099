// Choosing tokens and putting them back.
//
//   gather   x (N, L, C), index (N, K)                        -> y (N, K, C),  y[n, k] = x[n, index[n, k]]
//   scatter  visible (N, K, C), fill (C), restore (N, L)      -> y (N, L, C),  y[n, l] = visible[n, restore[n, l]], or fill
//                                                               where restore[n, l] >= K
// A masked autoencoder gathers the visible tokens before its encoder and scatters them among mask tokens before its decoder
// (He et al., arXiv 2111.06377). Both index tensors come from ops/token_mask.hpp.
#pragma once

#include "braing3n/ops/indices.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
struct GatherRow {
  const T* x;
  T* y;
  const std::int32_t* index;
  Index tokens, kept, width;
  BRAING3N_HD BRAING3N_INLINE RowCopy<T> operator()(Index r) const {
    return {y + r * width, x + (r / kept * tokens + index[r]) * width};
  }
};

/// dx[b, index[b, k], c] += dy[b, k, c]; one column meets its k in increasing order, so repeated indices are summed in a
/// fixed order.
template <class G, class T>
struct ScatterAdd {
  const T* dy;
  G* dx;
  const std::int32_t* index;
  Index tokens, kept, width;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index b, Index k, Index c) const {
    G& to = dx[(b * tokens + index[b * kept + k]) * width + c];
    to = convert<G>(static_cast<accum_t<G>>(to) +
                    static_cast<accum_t<G>>(static_cast<accum_t<T>>(dy[(b * kept + k) * width + c])));
  }
};

template <class T>
struct ScatterRow {
  const T* visible;
  const T* fill;
  T* y;
  const std::int32_t* restore;
  Index tokens, kept, width;
  BRAING3N_HD BRAING3N_INLINE RowCopy<T> operator()(Index r) const {
    const Index from = restore[r];
    return {y + r * width, from < kept ? visible + (r / tokens * kept + from) * width : fill};
  }
};

/// dy where the token is a filled one, else 0, over all N L tokens.
template <class T>
struct FilledElement {
  const T* dy;
  const std::int32_t* restore;
  Index kept, width;
  BRAING3N_HD BRAING3N_INLINE accum_t<T> operator()(Index, Index r, Index c) const {
    return restore[r] < kept ? accum_t<T>{0} : static_cast<accum_t<T>>(dy[r * width + c]);
  }
};

template <class T, Backend B>
void gather_check(const char* op, const Tensor<T, B>& x, const Indices<B>& index) {
  require_rank(op, "tokens", x, 3, "(N, L, C)");
  require_rank(op, "index", index.values(), 2, "(N, K)");
  require_elements(op, x);
  require_same_context(op, x, index.values());
  if (x.dim(0) != index.dim(0))
    fail(ErrorKind::shape, "gather.batch", op, ": tokens ", x.shape(), " and index ", index.shape(),
         " differ in batch");
}

}  // namespace detail

/// x (N, L, C), index (N, K) -> (N, K, C). Indices may repeat.
template <class T, Backend B>
Tensor<T, B> gather_forward(const Tensor<T, B>& x, const Indices<B>& index) {
  detail::gather_check("gather", x, index);
  require_indices("gather", index, x.dim(1));
  const Index n = x.dim(0), l = x.dim(1), c = x.dim(2), k = index.dim(1);
  Tensor<T, B> y(x.context(), Shape{n, k, c});
  copy_rows(x.context(), n * k, 1, c, detail::GatherRow<T>{x.data(), y.data(), index.data(), l, k, c});
  return y;
}

/// dy (N, K, C), index (N, K) -> dx (N, tokens, C): zero where no index points.
template <class T, Backend B>
Tensor<T, B> gather_backward(const Tensor<T, B>& dy, const Indices<B>& index, Index tokens) {
  detail::gather_check("gather_backward", dy, index);
  require_indices("gather_backward", index, tokens);
  const Index n = dy.dim(0), k = dy.dim(1), c = dy.dim(2);
  if (k != index.dim(1))
    fail(ErrorKind::shape, "gather.count", "gather_backward: gradient ", dy.shape(), " and index ", index.shape(),
         " differ in count");
  Tensor<T, B> dx = Tensor<T, B>::zeros(dy.context(), Shape{n, tokens, c});
  map_columns(dy.context(), n, k, c, detail::ScatterAdd<T, T>{dy.data(), dx.data(), index.data(), tokens, k, c});
  return dx;
}

/// visible (N, K, C), fill (C), restore (N, L) -> (N, L, C). restore is a permutation of 0..L-1 per sample.
template <class T, Backend B>
Tensor<T, B> scatter_forward(const Tensor<T, B>& visible, const Tensor<T, B>& fill, const Indices<B>& restore) {
  detail::gather_check("scatter", visible, restore);
  require_same_context("scatter", visible, fill);
  const Index n = visible.dim(0), k = visible.dim(1), c = visible.dim(2), l = restore.dim(1);
  require_shape("scatter", "fill token", fill, Shape{c});
  require_indices("scatter", restore, l);
  if (k > l)
    fail(ErrorKind::shape, "scatter.count", "scatter: ", visible.shape(), " has more tokens than the places ",
         restore.shape());
  Tensor<T, B> y(visible.context(), Shape{n, l, c});
  copy_rows(visible.context(), n * l, 1, c,
            detail::ScatterRow<T>{visible.data(), fill.data(), y.data(), restore.data(), l, k, c});
  return y;
}

/// dy (N, L, C) -> dvisible (N, K, C), with index (N, K) the places of the visible tokens (restore[n, index[n, k]] = k);
/// dfill (C) += the sum of dy over the filled places, unless null.
template <class T, class G, Backend B>
Tensor<T, B> scatter_backward(const Tensor<T, B>& dy, const Indices<B>& index, const Indices<B>& restore,
                              Tensor<G, B>* dfill) {
  require_rank("scatter_backward", "restore", restore.values(), 2, "(N, L)");
  Tensor<T, B> dvisible = gather_forward(dy, index);
  if (dfill != nullptr) {
    const Index c = dy.dim(2), k = index.dim(1);
    require_shape("scatter_backward", "restore", restore.values(), Shape{dy.dim(0), dy.dim(1)});
    require_shape("scatter_backward", "fill gradient", *dfill, Shape{c});
    require_same_context("scatter_backward", dy, *dfill);
    column_sums(dy.context(), 1, dy.dim(0) * dy.dim(1), c, detail::FilledElement<T>{dy.data(), restore.data(), k, c},
                detail::AddColumn<G>{dfill->data(), c});
  }
  return dvisible;
}

}  // namespace braing3n::inline BRAING3N_ABI
