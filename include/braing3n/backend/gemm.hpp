// What the matrix products of a backend are given, and the class template that each backend specialises.
#pragma once

#include <cstdint>

#include "braing3n/backend/activation.hpp"
#include "braing3n/backend/kernels.hpp"
#include "braing3n/core/precision.hpp"
#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// C (m, n) = [C +] A (m, k) B (k, n), then per element, in this order: + bias[j]; store to `preactivation`; activation;
/// + residual (which may be C's own memory). Strides are in elements; one stride of A and one of B is 1.
/// `sums` instead of c takes the plain product [sums +] A B in the type it is summed in: gradients of weights in bf16.
/// Every element of C is summed over k in an order fixed by (m, n, k) alone, by one thread.
template <class T>
struct GemmCall {
  Index m = 0, n = 0, k = 0;
  const T* a = nullptr;  // (m, k)
  Index a_row = 0, a_col = 1;
  const T* b = nullptr;  // (k, n)
  Index b_row = 0, b_col = 1;
  T* c = nullptr;  // (m, n)
  accum_t<T>* sums =
      nullptr;  // (m, n), rows c_row apart; c is null then and nothing follows the product. On the CPU for bf16 only
  Index c_row = 0;
  bool accumulate = false;
  const T* bias = nullptr;     // (n)
  T* preactivation = nullptr;  // (m, n), rows c_row apart
  Activation activation = Activation::none;
  const T* residual = nullptr;  // (m, n), rows residual_row apart
  Index residual_row = 0;
  const void* packed_b = nullptr;  // B as ProductKernel::pack made it for the same (k, n); `b` is then not read
};

template <Backend B>
struct ProductKernel {
  /// C = [C +] A B with its epilogue, see GemmCall.
  template <class T>
  static void run(Context<B>&, const GemmCall<T>&) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  /// The same for `batch` triples of matrices, each `*_step` elements after the one before.
  template <class T>
  static void run_batch(Context<B>&, const GemmCall<T>&, Index, const T*, Index, const T*, Index, T*, Index) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  /// B (k, n) in the order run() reads it; empty when there is no such order.
  template <class T>
  static Tensor<std::uint8_t, B> pack(Context<B>&, Index, Index, const T*, Index, Index) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
    return {};
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
