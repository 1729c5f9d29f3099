// Calls that a backend may do in fewer passes over memory than the ops they consist of, and the class templates that a backend
// specialises for them. On the CPU each of these calls is its ops, one after the other (ops/linear_backward.hpp,
// norm_modulate.hpp, masked_patch.hpp): what a fused form is compared with.
#pragma once

#include "braing3n/backend/activation.hpp"
#include "braing3n/backend/kernels.hpp"
#include "braing3n/core/precision.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Gradients of y = act(x W^T + b): dz = dy act'(z), dx = dz W, dW += dz^T x, db += the sum of dz over the rows.
template <class T>
struct LinearBackwardCall {
  Index rows = 0, in = 0, out = 0;
  Activation activation = Activation::none;
  const T* x = nullptr;              // (rows, in)
  const T* weight = nullptr;         // (out, in)
  const T* preactivation = nullptr;  // (rows, out): z; not read without an activation
  const T* dy = nullptr;             // (rows, out)
  T* dx = nullptr;                   // (rows, in); null when not wanted, like the next two
  accum_t<T>* dweight = nullptr;     // (out, in), added to
  accum_t<T>* dbias = nullptr;       // (out), added to
};

/// x = residual + gate branch, y = xhat (1 + scale) + shift with xhat = (x - mean) rstd per row. Without a gate x is the residual itself.
template <class T>
struct NormModulateCall {
  Index samples = 0, tokens = 0, cols = 0;
  double eps = 0;
  const T* residual = nullptr;  // (samples, tokens, cols), like branch, x, y
  const T* gate = nullptr;      // (samples, cols), like shift and scale
  const T* branch = nullptr;
  const T* shift = nullptr;
  const T* scale = nullptr;
  T* x = nullptr;  // only with a gate
  T* y = nullptr;
  accum_t<T>* mean = nullptr;  // (samples tokens)
  accum_t<T>* rstd = nullptr;
};
/// Beside the forward call, whose x, mean and rstd are then inputs (x is the residual when there is no gate).
template <class T>
struct NormModulateGradients {
  const T* dx = nullptr;  // what has arrived for x on other ways; null: nothing
  const T* dy = nullptr;
  T* dresidual = nullptr;
  T* dshift = nullptr;
  T* dscale = nullptr;
  T* dbranch = nullptr;  // these two only with a gate
  T* dgate = nullptr;
};

/// The masked autoencoder's loss, sum_r weight_r sum_c (p_rc - t_rc)^2 / count, and its gradient for the upstream gradient 1.
template <class T>
struct MaskedPatchCall {
  Index rows = 0, cols = 0;
  double count = 0;
  bool normalize = false;  // the target is first shifted and scaled to mean 0 and unbiased variance 1 per row
  double eps = 0;
  const T* prediction = nullptr;
  const T* target = nullptr;
  const float* weights = nullptr;  // (rows)
  double* loss = nullptr;
  T* gradient = nullptr;  // (rows, cols); null when not wanted
};

template <Backend B>
struct LinearBackwardKernel {
  template <class T>
  static void run(Context<B>&, const LinearBackwardCall<T>&) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
};

template <Backend B>
struct NormModulateKernel {
  template <class T>
  static void forward(Context<B>&, const NormModulateCall<T>&) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  template <class T>
  static void backward(Context<B>&, const NormModulateCall<T>&, const NormModulateGradients<T>&) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
};

template <Backend B>
struct MaskedPatchKernel {
  template <class T>
  static void run(Context<B>&, const MaskedPatchCall<T>&) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  /// x *= *factor, where `factor` is the backend's.
  template <class T>
  static void scale(Context<B>&, Index, const double*, T*) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
