// The argument checks that every op begins with. Messages name the op, what was expected and what it got.
#pragma once

#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Throws Error (shape) unless x has `rank` axes; `layout` is how the op writes them, for example "(N, L, C)".
template <class T, Backend B>
void require_rank(const char* op, const char* name, const Tensor<T, B>& x, int rank, const char* layout) {
  if (x.empty() || x.rank() != rank)
    fail(ErrorKind::shape, "op.rank", op, ": ", name, " has shape ", x.shape(), ", expected ", layout);
}

/// Throws Error (shape) unless x has exactly this shape.
template <class T, Backend B>
void require_shape(const char* op, const char* name, const Tensor<T, B>& x, const Shape& expected) {
  if (x.empty() || !(x.shape() == expected))
    fail(ErrorKind::shape, "op.shape", op, ": ", name, " has shape ", x.shape(), ", expected ", expected);
}

/// Throws Error (state) unless both tensors were made with the same context.
template <class T, class U, Backend B>
void require_same_context(const char* op, const Tensor<T, B>& a, const Tensor<U, B>& b) {
  if (&a.context() != &b.context())
    fail(ErrorKind::state, "op.context", op, ": the inputs ", a.shape(), " and ", b.shape(),
         " were made with different contexts");
}

/// Throws Error (argument) unless 0 <= axis < rank after counting negative axes from the end; returns that axis.
inline int require_axis(const char* op, const Shape& shape, int axis) {
  const int a = axis < 0 ? axis + shape.rank() : axis;
  if (a < 0 || a >= shape.rank())
    fail(ErrorKind::argument, "op.axis", op, ": expected an axis of a tensor with shape ", shape, ", got ", axis);
  return a;
}

}  // namespace braing3n::inline BRAING3N_ABI
