// Joining and cutting along an axis. All are copies of contiguous runs: a tensor seen from axis a is (outer, extent, inner).
//
//   concat  parts equal in all axes but one -> one tensor        backward: split
//   split   x -> parts of given extents                          backward: concat
//   chunk   x -> K equal parts of the last axis                  backward: concat
//   slice   x -> [begin, end) of an axis                         backward: zeros around dy
//   prepend_token  token (C), x (N, L, C) -> (N, 1 + L, C)       backward: drops the first token, dtoken += its sum over N
#pragma once

#include <array>
#include <span>
#include <vector>

#include "braing3n/ops/reduce.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Copies runs of `width` elements that start every from_step and to_step elements.
template <class T>
struct StridedRow {
  const T* from;
  T* to;
  Index from_step, to_step;
  BRAING3N_HD BRAING3N_INLINE RowCopy<T> operator()(Index r) const {
    return {to + r * to_step, from == nullptr ? nullptr : from + r * from_step};
  }
};

template <class T, Backend B>
void copy_strided(Context<B>& ctx, Index rows, Index width, const T* from, Index from_step, T* to, Index to_step) {
  copy_rows(ctx, rows, 1, width, StridedRow<T>{from, to, from_step, to_step});
}

}  // namespace detail

/// Joins the parts along `axis` (negative: from the end). Throws Error (shape) when another axis differs.
template <class T, Backend B>
Tensor<T, B> concat_forward(std::span<const Tensor<T, B>> parts, int axis) {
  if (parts.empty()) fail(ErrorKind::argument, "concat.empty", "concat: expected at least one part, got none");
  const Shape& first = parts[0].shape();
  const int a = require_axis("concat", first, axis);
  Index extent = 0;
  for (const Tensor<T, B>& part : parts) {
    require_elements("concat", part);
    require_same_context("concat", parts[0], part);
    if (part.rank() != first.rank() || !(part.shape().with(a, 1) == first.with(a, 1)))
      fail(ErrorKind::shape, "concat.shape", "concat along axis ", a, ": ", part.shape(), " does not fit ", first);
    extent += part.dim(a);
  }
  Tensor<T, B> y(parts[0].context(), first.with(a, extent));
  const Index outer = first.product(0, a), inner = first.product(a + 1, first.rank());
  Index offset = 0;
  for (const Tensor<T, B>& part : parts) {
    const Index width = part.dim(a) * inner;
    detail::copy_strided(y.context(), outer, width, part.data(), width, y.data() + offset, extent * inner);
    offset += width;
  }
  return y;
}
template <class T, Backend B>
Tensor<T, B> concat_forward(const std::vector<Tensor<T, B>>& parts, int axis) {
  return concat_forward(std::span<const Tensor<T, B>>(parts), axis);
}

/// [begin, end) of `axis`.
template <class T, Backend B>
Tensor<T, B> slice_forward(const Tensor<T, B>& x, int axis, Index begin, Index end) {
  require_elements("slice", x);
  const int a = require_axis("slice", x.shape(), axis);
  if (begin < 0 || end <= begin || end > x.dim(a))
    fail(ErrorKind::shape, "slice.range", "slice: expected a range within axis ", a, " of a tensor with shape ",
         x.shape(), ", got [", begin, ", ", end, ")");
  Tensor<T, B> y(x.context(), x.shape().with(a, end - begin));
  const Index outer = x.shape().product(0, a), inner = x.shape().product(a + 1, x.rank());
  detail::copy_strided(x.context(), outer, (end - begin) * inner, x.data() + begin * inner, x.dim(a) * inner, y.data(),
                       (end - begin) * inner);
  return y;
}
/// dy -> dx of shape `shape`, zero outside the slice that began at `begin`.
template <class T, Backend B>
Tensor<T, B> slice_backward(const Tensor<T, B>& dy, const Shape& shape, int axis, Index begin) {
  require_elements("slice_backward", dy);
  const int a = require_axis("slice_backward", shape, axis);
  if (dy.rank() != shape.rank() || !(dy.shape().with(a, 1) == shape.with(a, 1)) || begin < 0 ||
      begin + dy.dim(a) > shape[a])
    fail(ErrorKind::shape, "slice.range", "slice_backward: gradient ", dy.shape(), " at ", begin, " of axis ", a,
         " does not fit ", shape);
  Tensor<T, B> dx(dy.context(), shape);
  const Index outer = shape.product(0, a), inner = shape.product(a + 1, shape.rank());
  const Index row = shape[a] * inner, width = dy.dim(a) * inner, before = begin * inner;
  const T* nothing = nullptr;
  detail::copy_strided(dy.context(), outer, before, nothing, Index{0}, dx.data(), row);
  detail::copy_strided(dy.context(), outer, width, dy.data(), width, dx.data() + before, row);
  detail::copy_strided(dy.context(), outer, row - before - width, nothing, Index{0}, dx.data() + before + width, row);
  return dx;
}

/// Cuts `axis` into parts of the given extents, which must add up to it.
template <class T, Backend B>
std::vector<Tensor<T, B>> split_forward(const Tensor<T, B>& x, std::span<const Index> extents, int axis) {
  require_elements("split", x);
  const int a = require_axis("split", x.shape(), axis);
  Index total = 0;
  for (const Index extent : extents) total += extent;
  if (total != x.dim(a))
    fail(ErrorKind::shape, "split.extents", "split: expected parts that add up to ", x.dim(a), ", axis ", a, " of ",
         x.shape(), ", got ", total);
  std::vector<Tensor<T, B>> parts;
  Index begin = 0;
  for (const Index extent : extents) {
    parts.push_back(slice_forward(x, a, begin, begin + extent));
    begin += extent;
  }
  return parts;
}
template <class T, Backend B>
Tensor<T, B> split_backward(const std::vector<Tensor<T, B>>& dparts, int axis) {
  return concat_forward(dparts, axis);
}
/// Gradients of the parts of concat_forward, given their extents along `axis`.
template <class T, Backend B>
std::vector<Tensor<T, B>> concat_backward(const Tensor<T, B>& dy, std::span<const Index> extents, int axis) {
  return split_forward(dy, extents, axis);
}

/// x (..., K C) -> K tensors (..., C).
template <std::size_t K, class T, Backend B>
std::array<Tensor<T, B>, K> chunk_forward(const Tensor<T, B>& x) {
  require_elements("chunk", x);
  const Index count = static_cast<Index>(K);
  if (x.rank() < 1 || x.dim(-1) % count != 0)
    fail(ErrorKind::shape, "chunk.extent", "chunk: expected a last axis that divides into ", K, " parts, got ",
         x.shape());
  const Index c = x.dim(-1) / count;
  std::array<Tensor<T, B>, K> parts;
  for (std::size_t i = 0; i < K; ++i)
    parts[i] = slice_forward(x, -1, static_cast<Index>(i) * c, static_cast<Index>(i + 1) * c);
  return parts;
}
template <std::size_t K, class T, Backend B>
Tensor<T, B> chunk_backward(const std::array<Tensor<T, B>, K>& dparts) {
  return concat_forward(std::span<const Tensor<T, B>>(dparts), -1);
}

/// token (C), x (N, L, C) -> (N, 1 + L, C): the same token in front of every sample.
template <class T, Backend B>
Tensor<T, B> prepend_token_forward(const Tensor<T, B>& token, const Tensor<T, B>& x) {
  require_elements("prepend_token", x);
  require_rank("prepend_token", "tokens", x, 3, "(N, L, C)");
  require_same_context("prepend_token", x, token);
  const Index n = x.dim(0), l = x.dim(1), c = x.dim(2);
  require_shape("prepend_token", "token", token, Shape{c});
  Tensor<T, B> y(x.context(), Shape{n, l + 1, c});
  detail::copy_strided(x.context(), n, c, token.data(), Index{0}, y.data(), (l + 1) * c);
  detail::copy_strided(x.context(), n, l * c, x.data(), l * c, y.data() + c, (l + 1) * c);
  return y;
}
/// dy (N, 1 + L, C) -> dx (N, L, C); dtoken (C) += the sum of the first tokens over N, unless null.
template <class T, class G, Backend B>
Tensor<T, B> prepend_token_backward(const Tensor<T, B>& dy, Tensor<G, B>* dtoken) {
  require_rank("prepend_token_backward", "gradient", dy, 3, "(N, 1 + L, C)");
  const Index n = dy.dim(0), row = dy.dim(1) * dy.dim(2), c = dy.dim(2);
  if (dtoken != nullptr) {
    require_shape("prepend_token_backward", "token gradient", *dtoken, Shape{c});
    column_sums(dy.context(), 1, n, c, detail::Element<T>{dy.data(), n, row}, detail::AddColumn<G>{dtoken->data(), c});
  }
  return slice_forward(dy, 1, 1, dy.dim(1));
}

/// x (N, 1 + L, C) -> (N, L, C): without the first token of every sample.
template <class T, Backend B>
Tensor<T, B> drop_token_forward(const Tensor<T, B>& x) {
  require_rank("drop_token", "tokens", x, 3, "(N, 1 + L, C)");
  return slice_forward(x, 1, 1, x.dim(1));
}
template <class T, Backend B>
Tensor<T, B> drop_token_backward(const Tensor<T, B>& dy) {
  require_rank("drop_token_backward", "gradient", dy, 3, "(N, L, C)");
  return slice_backward(dy, dy.shape().with(1, dy.dim(1) + 1), 1, Index{1});
}

}  // namespace braing3n::inline BRAING3N_ABI
