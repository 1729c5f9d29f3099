// The table of heavy CPU kernels: matrix products and convolutions. A context holds one table; every product costs one
// indirect call. Which kernels stand in the table is decided at run time, so one binary runs everywhere and fast.
#pragma once

#include <cstddef>
#include <type_traits>

#include "braing3n/backend/cpu/simd.hpp"
#include "braing3n/core/precision.hpp"
#include "braing3n/core/tags.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Activation { none, gelu, gelu_tanh, silu };

/// C (m, n) = [C +] A (m, k) B (k, n), then per element, in this order: + bias[j]; store to `preactivation`; activation;
/// + residual (which may be C's own memory). Strides are in elements; one stride of A and one of B is 1.
/// Every element of C is summed over k in an order fixed by (m, n, k) alone, by one thread.
template <class T>
struct GemmCall {
  Index m = 0, n = 0, k = 0;
  const T* a = nullptr;  // (m, k)
  Index a_row = 0, a_col = 1;
  const T* b = nullptr;  // (k, n)
  Index b_row = 0, b_col = 1;
  T* c = nullptr;  // (m, n)
  Index c_row = 0;
  bool accumulate = false;
  const T* bias = nullptr;     // (n)
  T* preactivation = nullptr;  // (m, n), rows c_row apart
  Activation activation = Activation::none;
  const T* residual = nullptr;  // (m, n), rows residual_row apart
  Index residual_row = 0;
  const void* packed_b = nullptr;  // B as GemmKernels::pack made it for the same (k, n); `b` is then not read
};

/// Matrix product for one element type.
template <class T>
struct GemmKernels {
  void (*run)(Context<Cpu>&, const GemmCall<T>&) = nullptr;
  /// Bytes that pack() writes for B (k, n); 0 when this provider keeps no packed form.
  std::size_t (*packed_bytes)(Index k, Index n) = nullptr;
  void (*pack)(Context<Cpu>&, Index k, Index n, const T* b, Index b_row, Index b_col, void* packed) = nullptr;
};

/// Geometry of a convolution over channels-last volumes: x (batch, in[0], in[1], in[2], channels_in),
/// w (kernel[0], kernel[1], kernel[2], channels_in, channels_out), y (batch, out[0], out[1], out[2], channels_out).
/// weight_swapped: w and its gradient are (kernel[0], kernel[1], kernel[2], channels_out, channels_in) instead. A transposed
/// convolution is the transpose of such a convolution, from its result to its input, and keeps its own (in, out) order this way.
/// out[a] = (in[a] + pad_before[a] + pad_after[a] - kernel[a]) / stride[a] + 1.
struct ConvGeometry {
  Index batch = 0, channels_in = 0, channels_out = 0;
  Index in[3] = {0, 0, 0};
  Index kernel[3] = {1, 1, 1};
  Index stride[3] = {1, 1, 1};
  Index pad_before[3] = {0, 0, 0};
  Index pad_after[3] = {0, 0, 0};
  Index out[3] = {0, 0, 0};
  bool weight_swapped = false;
};

/// Convolution for one element type. An entry may be null: backend/cpu/conv.hpp then uses im2col and the matrix product.
template <class T>
struct ConvKernels {
  /// y = conv(x, w) [+ bias] [+ residual]; bias (channels_out) and residual (like y) may be null.
  void (*forward)(Context<Cpu>&, const ConvGeometry&, const T* x, const T* w, const T* bias, const T* residual, T* y) = nullptr;
  /// dx = the transpose of the convolution applied to dy [+ bias (channels_in), which may be null]. This is the gradient of
  /// forward(), and the forward pass of transposed convolutions and of nearest x2 upsampling followed by a convolution.
  void (*backward_input)(Context<Cpu>&, const ConvGeometry&, const T* w, const T* bias, const T* dy, T* dx) = nullptr;
  /// dw += correlation of x with dy, in an order fixed by the geometry.
  void (*backward_weight)(Context<Cpu>&, const ConvGeometry&, const T* x, const T* dy, T* dw) = nullptr;
};

struct CpuProvider {
  const char* name = "none";
  Isa isa = Isa::baseline;   // what the kernels of this table need
  bool limits_isa = false;   // element-wise loops too stay at `isa` (to test or time the path of older machines)
  GemmKernels<float> gemm_f32;
  GemmKernels<double> gemm_f64;
  GemmKernels<bfloat16> gemm_bf16;
  ConvKernels<float> conv_f32;
  ConvKernels<double> conv_f64;
  ConvKernels<bfloat16> conv_bf16;

  template <class T>
  const GemmKernels<T>& gemm() const {
    if constexpr (std::is_same_v<T, float>) return gemm_f32;
    else if constexpr (std::is_same_v<T, double>) return gemm_f64;
    else return gemm_bf16;
  }
  template <class T>
  const ConvKernels<T>& conv() const {
    if constexpr (std::is_same_v<T, float>) return conv_f32;
    else if constexpr (std::is_same_v<T, double>) return conv_f64;
    else return conv_bf16;
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
