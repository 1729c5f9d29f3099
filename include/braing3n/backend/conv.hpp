// What the convolutions of a backend are given, and the class template that each backend specialises.
#pragma once

#include "braing3n/backend/kernels.hpp"
#include "braing3n/core/precision.hpp"

namespace braing3n::inline BRAING3N_ABI {

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

template <Backend B>
struct ConvolutionKernel {
  template <class T>
  static void forward(Context<B>&, const ConvGeometry&, const T*, const T*, const T*, const T*, T*) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  template <class T>
  static void backward_input(Context<B>&, const ConvGeometry&, const T*, const T*, const T*, T*) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
  template <class T>
  static void backward_weight(Context<B>&, const ConvGeometry&, const T*, const T*, accum_t<T>*) {
    BRAING3N_REQUIRE_LAUNCH(B, T);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
