// What the attention kernels of a backend are given, and the class template that each backend specialises.
#pragma once

#include "braing3n/backend/kernels.hpp"
#include "braing3n/core/precision.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Sizes and places. Heads are `width` apart inside a row; rows and samples are any distance apart (in elements), so q, k
/// and v may be parts of one packed tensor. Outputs are (batch, queries, heads * width), contiguous.
template <class T>
struct AttentionCall {
  Index batch = 0, heads = 0, queries = 0, keys = 0, width = 0;
  double scale = 1;
  const T* q = nullptr;
  const T* k = nullptr;
  const T* v = nullptr;
  Index q_row = 0, q_sample = 0;  // also of dq
  Index k_row = 0, k_sample = 0;  // also of dk
  Index v_row = 0, v_sample = 0;  // also of dv
  T* y = nullptr;
  accum_t<T>* log_sum = nullptr;  // (batch, heads, queries): log of the sum of exp(scale q k)
};

/// Gradients beside the forward call (whose y and log_sum are then inputs).
template <class T>
struct AttentionGradients {
  const T* y = nullptr;
  const accum_t<T>* log_sum = nullptr;
  const T* dy = nullptr;
  T* dq = nullptr;
  T* dk = nullptr;
  T* dv = nullptr;
};

template <Backend B>
struct AttentionKernel {
  template <class T>
  static void forward(Context<B>&, const AttentionCall<T>&) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  template <class T>
  static void backward(Context<B>&, const AttentionCall<T>&, const AttentionGradients<T>&) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  /// weights (batch, heads, queries, keys) = softmax(scale q k^T); v is not read.
  template <class T>
  static void weights(Context<B>&, const AttentionCall<T>&, accum_t<T>*) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
