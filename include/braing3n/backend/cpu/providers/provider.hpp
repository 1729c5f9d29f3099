// The table of heavy CPU kernels: matrix products and convolutions. A context holds one table; every product costs one
// indirect call. Which kernels stand in the table is decided at run time, so one binary runs everywhere and fast.
#pragma once

#include <cstddef>
#include <type_traits>

#include "braing3n/backend/conv.hpp"
#include "braing3n/backend/cpu/loops/simd.hpp"
#include "braing3n/backend/gemm.hpp"
#include "braing3n/core/precision.hpp"
#include "braing3n/core/tags.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Matrix product for one element type.
template <class T>
struct GemmKernels {
  void (*run)(Context<Cpu>&, const GemmCall<T>&) = nullptr;
  /// Bytes that pack() writes for B (k, n); 0 when this provider keeps no packed form.
  std::size_t (*packed_bytes)(Index k, Index n) = nullptr;
  void (*pack)(Context<Cpu>&, Index k, Index n, const T* b, Index b_row, Index b_col, void* packed) = nullptr;
};

/// Convolution for one element type. An entry may be null: backend/cpu/conv/conv.hpp then uses im2col and the matrix product.
template <class T>
struct ConvKernels {
  /// y = conv(x, w) [+ bias] [+ residual]; bias (channels_out) and residual (like y) may be null.
  void (*forward)(Context<Cpu>&, const ConvGeometry&, const T* x, const T* w, const T* bias, const T* residual,
                  T* y) = nullptr;
  /// dx = the transpose of the convolution applied to dy [+ bias (channels_in), which may be null]. This is the gradient of
  /// forward(), and the forward pass of transposed convolutions and of nearest x2 upsampling followed by a convolution.
  void (*backward_input)(Context<Cpu>&, const ConvGeometry&, const T* w, const T* bias, const T* dy, T* dx) = nullptr;
  /// dw += correlation of x with dy, in an order fixed by the geometry.
  void (*backward_weight)(Context<Cpu>&, const ConvGeometry&, const T* x, const T* dy, T* dw) = nullptr;
};

struct CpuProvider {
  const char* name = "none";
  Isa isa = Isa::baseline;  // what the kernels of this table need
  bool limits_isa = false;  // element-wise loops too stay at `isa` (to test or time the path of older machines)
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
