// Batched matrix product: y[b] = op(a[b]) op(b[b]), op being the matrix itself or its transpose.
//
//   op(a) (..., M, K), op(b) (..., K, N) -> y (..., M, N); the leading axes are equal.
// A weight shared by the whole batch is a linear layer (ops/linear.hpp), not this.
#pragma once

#include "braing3n/backend/gemm.hpp"
#include "braing3n/ops/check.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct MatmulOptions {
  bool transpose_a = false;  // a is stored (..., K, M)
  bool transpose_b = false;  // b is stored (..., N, K)
};

/// a (..., M, K), b (..., K, N), before the transposes of `options`.
template <class T, Backend B>
Tensor<T, B> matmul_forward(const Tensor<T, B>& a, const Tensor<T, B>& b, const MatmulOptions& options = {}) {
  require_elements("matmul", a);
  require_elements("matmul", b);
  require_same_context("matmul", a, b);
  const int rank = a.rank();
  bool fits = rank >= 2 && b.rank() == rank;
  for (int axis = 0; fits && axis < rank - 2; ++axis) fits = a.dim(axis) == b.dim(axis);
  if (!fits || a.dim(options.transpose_a ? -2 : -1) != b.dim(options.transpose_b ? -1 : -2))
    fail(ErrorKind::shape, "matmul.shape", "matmul: ", a.shape(), options.transpose_a ? " transposed" : "", " times ",
         b.shape(), options.transpose_b ? " transposed" : "", ": leading axes and the inner extent must be equal");
  const Index m = a.dim(options.transpose_a ? -1 : -2), k = a.dim(options.transpose_a ? -2 : -1),
              n = b.dim(options.transpose_b ? -2 : -1);
  Tensor<T, B> y(a.context(), a.shape().with(-2, m).with(-1, n));
  GemmCall<T> call;
  call.m = m, call.n = n, call.k = k;
  call.a_row = options.transpose_a ? 1 : k, call.a_col = options.transpose_a ? m : 1;
  call.b_row = options.transpose_b ? 1 : n, call.b_col = options.transpose_b ? k : 1;
  call.c_row = n;
  ProductKernel<B>::run_batch(a.context(), call, y.size() / (m * n), a.data(), m * k, b.data(), k * n, y.data(), m * n);
  return y;
}

template <class T, Backend B>
struct MatmulGradients {
  Tensor<T, B> da, db;  // like a, like b
};

/// a and b as given to the forward, dy (..., M, N).
template <class T, Backend B>
MatmulGradients<T, B> matmul_backward(const Tensor<T, B>& a, const Tensor<T, B>& b, const Tensor<T, B>& dy,
                                      const MatmulOptions& options = {}) {
  const bool ta = options.transpose_a, tb = options.transpose_b;
  MatmulGradients<T, B> d;
  // op(da) = dy op(b)^T and op(db) = op(a)^T dy; a transposed input wants the transpose of that.
  d.da = ta ? matmul_forward(b, dy, {tb, true}) : matmul_forward(dy, b, {false, !tb});
  d.db = tb ? matmul_forward(dy, a, {true, ta}) : matmul_forward(a, dy, {!ta, false});
  require_shape("matmul_backward", "gradient of a", d.da, a.shape());
  require_shape("matmul_backward", "gradient of b", d.db, b.shape());
  return d;
}

}  // namespace braing3n::inline BRAING3N_ABI
