// Transposed convolution with kernel = stride = 2: every voxel becomes a 2 x 2 x 2 block.
//
//   x (N, X, Y, Z, in), weight (2, 2, 2, in, out), bias (out), y (N, 2X, 2Y, 2Z, out)
//   y[n, 2p + k, o] = bias[o] + sum over i of x[n, p, i] weight[k, i, o]
// It is the transpose of the convolution with the same kernel and stride that maps y to x.
#pragma once

#include "braing3n/ops/conv3d.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Kernel 2, stride 2 from the fine grid to the coarse one: its transpose is this op.
inline ConvGeometry conv_transpose_geometry(const char* op, const Shape& x, const Shape& weight) {
  return doubling_geometry(op, x, weight, 2, 2, 0);
}

}  // namespace detail

/// y (N, 2X, 2Y, 2Z, out); bias (out) may be empty.
template <class T, Backend B>
Tensor<T, B> conv_transpose3d_forward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias) {
  require_elements("conv_transpose3d", x);
  require_elements("conv_transpose3d", weight);
  require_same_context("conv_transpose3d", x, weight);
  const ConvGeometry g = detail::conv_transpose_geometry("conv_transpose3d", x.shape(), weight.shape());
  if (!bias.empty()) {
    require_same_context("conv_transpose3d", x, bias);
    require_shape("conv_transpose3d", "bias", bias, Shape{weight.dim(4)});
  }
  Tensor<T, B> y(x.context(), detail::conv_input_shape(g));
  ConvolutionKernel<B>::backward_input(x.context(), g, weight.data(), bias.data(), x.data(), y.data());
  return y;
}

/// dx (N, X, Y, Z, in) for dy (N, 2X, 2Y, 2Z, out).
template <class T, Backend B>
Tensor<T, B> conv_transpose3d_backward_input(const Tensor<T, B>& dy, const Tensor<T, B>& weight) {
  require_elements("conv_transpose3d_backward_input", dy);
  require_elements("conv_transpose3d_backward_input", weight);
  require_rank("conv_transpose3d_backward_input", "upstream gradient", dy, 5, "(N, 2X, 2Y, 2Z, C)");
  require_same_context("conv_transpose3d_backward_input", dy, weight);
  const Shape& s = dy.shape();
  const Shape x_shape{s[0], s[1] / 2, s[2] / 2, s[3] / 2, weight.dim(-2)};
  const ConvGeometry g = detail::conv_transpose_geometry("conv_transpose3d_backward_input", x_shape, weight.shape());
  require_shape("conv_transpose3d_backward_input", "upstream gradient", dy, detail::conv_input_shape(g));
  Tensor<T, B> dx(dy.context(), x_shape);
  ConvolutionKernel<B>::forward(dy.context(), g, dy.data(), weight.data(), static_cast<const T*>(nullptr),
                                static_cast<const T*>(nullptr), dx.data());
  return dx;
}

/// dweight (2, 2, 2, in, out) += the gradient for x (N, X, Y, Z, in), dy (N, 2X, 2Y, 2Z, out).
template <class T, Backend B>
void conv_transpose3d_backward_weight(const Tensor<T, B>& x, const Tensor<T, B>& dy, Tensor<accum_t<T>, B>& dweight) {
  require_elements("conv_transpose3d_backward_weight", x);
  require_elements("conv_transpose3d_backward_weight", dweight);
  require_same_context("conv_transpose3d_backward_weight", x, dy);
  require_same_context("conv_transpose3d_backward_weight", x, dweight);
  const ConvGeometry g =
      detail::conv_transpose_geometry("conv_transpose3d_backward_weight", x.shape(), dweight.shape());
  require_shape("conv_transpose3d_backward_weight", "upstream gradient", dy, detail::conv_input_shape(g));
  ConvolutionKernel<B>::backward_weight(x.context(), g, dy.data(), x.data(), dweight.data());
}

/// dbias (out) += the sum of dy (N, 2X, 2Y, 2Z, out) over all voxels.
template <class T, Backend B>
void conv_transpose3d_backward_bias(const Tensor<T, B>& dy, Tensor<accum_t<T>, B>& dbias) {
  conv3d_backward_bias(dy, dbias);
}

}  // namespace braing3n::inline BRAING3N_ABI
