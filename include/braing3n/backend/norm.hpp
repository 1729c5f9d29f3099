// What the row kernels (softmax, layer norm) and group norm of a backend are given, and the class template that each backend
// specialises.
#pragma once

#include "braing3n/backend/kernels.hpp"
#include "braing3n/core/precision.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// y = (x - mean) rstd (gain_offset + gain) + shift per row of x (rows, cols). gain and shift are null or hold one row of
/// `cols` for every rows_per_gain rows of x.
template <class T>
struct LayerNormCall {
  Index rows = 0, cols = 0, rows_per_gain = 0;
  double eps = 0;
  double gain_offset = 0;
  const T* x = nullptr;
  const T* gain = nullptr;
  const T* shift = nullptr;
  T* y = nullptr;
  accum_t<T>* mean = nullptr;  // (rows)
  accum_t<T>* rstd = nullptr;  // (rows)
};

/// Beside the forward call (one gain for all rows; mean and rstd are then inputs).
template <class T>
struct LayerNormGradients {
  const T* dy = nullptr;
  T* dx = nullptr;
  accum_t<T>* dgain = nullptr;   // (cols), added to; may be null
  accum_t<T>* dshift = nullptr;  // (cols), added to; may be null
};

/// y = act((x - mean) rstd gain + shift), x (batch, voxels, channels), statistics per sample and group of channels.
template <class T>
struct GroupNormCall {
  Index batch = 0, voxels = 0, channels = 0, groups = 1;
  double eps = 0;
  bool silu = false;
  const T* x = nullptr;
  const T* gain = nullptr;     // (channels)
  const T* shift = nullptr;    // (channels)
  T* y = nullptr;              // may be x
  accum_t<T>* mean = nullptr;  // (batch, groups)
  accum_t<T>* rstd = nullptr;  // (batch, groups)
};

template <class T>
struct GroupNormGradients {
  const T* dy = nullptr;
  T* dx = nullptr;
  accum_t<T>* dgain = nullptr;   // (channels), added to; may be null
  accum_t<T>* dshift = nullptr;  // (channels), added to; may be null
};

template <Backend B>
struct NormKernel {
  template <class T>
  static void softmax(Context<B>&, Index, Index, const T*, T*) {
    missing<T>();
  }
  template <class T>
  static void softmax_backward(Context<B>&, Index, Index, const T*, const T*, T*) {
    missing<T>();
  }
  template <class T>
  static void layer_norm(Context<B>&, const LayerNormCall<T>&) {
    missing<T>();
  }
  template <class T>
  static void layer_norm_backward(Context<B>&, const LayerNormCall<T>&, const LayerNormGradients<T>&) {
    missing<T>();
  }
  template <class T>
  static void group_norm(Context<B>&, const GroupNormCall<T>&) {
    missing<T>();
  }
  /// The parts of group_norm: sums (batch, groups, 2) of x and x^2; mean and rstd from them over `count` elements; y from those.
  template <class T>
  static void group_norm_sums(Context<B>&, const GroupNormCall<T>&, double*) {
    missing<T>();
  }
  template <class T>
  static void group_norm_statistics(Context<B>&, const GroupNormCall<T>&, double, const double*) {
    missing<T>();
  }
  template <class T>
  static void group_norm_apply(Context<B>&, const GroupNormCall<T>&) {
    missing<T>();
  }
  template <class T>
  static void group_norm_backward(Context<B>&, const GroupNormCall<T>&, const GroupNormGradients<T>&) {
    missing<T>();
  }

 private:
  template <class T>
  static void missing() {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
