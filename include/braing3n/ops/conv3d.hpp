// Convolution of channels-last volumes (cross-correlation, as everywhere in deep learning).
//
//   x (N, X, Y, Z, in), weight (kx, ky, kz, in, out), bias (out), y (N, X', Y', Z', out)
//   y[n, p, o] = bias[o] + sum over taps k and channels i of x[n, p * stride - pad_before + k, i] weight[k, i, o]
//   X' = (X + pad_before + pad_after - kx) / stride + 1, likewise Y', Z'; voxels outside the volume count as zero
// The file layout of PyTorch, (out, in, kx, ky, kz), is turned on loading.
#pragma once

#include <array>

#include "braing3n/backend/conv.hpp"
#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Per spatial axis. Padding is in voxels and may differ at the two ends (a stride-2 convolution that pads only the end).
struct Conv3dOptions {
  std::array<Index, 3> stride = {1, 1, 1};
  std::array<Index, 3> pad_before = {0, 0, 0};
  std::array<Index, 3> pad_after = {0, 0, 0};

  /// stride 1 and the padding that keeps the extents for an odd kernel.
  static Conv3dOptions same(Index kernel) {
    Conv3dOptions o;
    for (std::size_t a = 0; a < 3; ++a) o.pad_before[a] = (kernel - 1) / 2, o.pad_after[a] = kernel / 2;
    return o;
  }
};

namespace detail {

/// Checks x_shape (N, X, Y, Z, in) against weight_shape (kx, ky, kz, in, out) and the options.
inline ConvGeometry conv_geometry(const char* op, const Shape& x, const Shape& weight, const Conv3dOptions& options) {
  if (x.rank() != 5) fail(ErrorKind::shape, "op.rank", op, ": input has shape ", x, ", expected (N, X, Y, Z, C)");
  if (weight.rank() != 5 || weight.size() == 0)
    fail(ErrorKind::shape, "op.rank", op, ": weight has shape ", weight, ", expected (kx, ky, kz, in, out)");
  if (x[4] != weight[3])
    fail(ErrorKind::shape, "conv3d.channels", op, ": input ", x, " has ", x[4], " channels, weight ", weight, " wants ",
         weight[3]);
  ConvGeometry g;
  g.batch = x[0], g.channels_in = x[4], g.channels_out = weight[4];
  for (int a = 0; a < 3; ++a) {
    const auto i = static_cast<std::size_t>(a);
    g.in[a] = x[a + 1], g.kernel[a] = weight[a];
    g.stride[a] = options.stride[i], g.pad_before[a] = options.pad_before[i], g.pad_after[a] = options.pad_after[i];
    if (g.stride[a] < 1 || g.pad_before[a] < 0 || g.pad_after[a] < 0)
      fail(ErrorKind::argument, "conv3d.options", op, ": axis ", a, " has stride ", g.stride[a], " and padding ",
           g.pad_before[a], " + ", g.pad_after[a], ", expected a positive stride and no negative padding");
    const Index span = g.in[a] + g.pad_before[a] + g.pad_after[a] - g.kernel[a];
    if (span < 0)
      fail(ErrorKind::shape, "conv3d.extent", op, ": axis ", a, " of input ", x, " with padding ", g.pad_before[a],
           " + ", g.pad_after[a], " is shorter than the kernel ", weight);
    g.out[a] = span / g.stride[a] + 1;
  }
  return g;
}

/// For ops that double the grid of x (N, X, Y, Z, in) with a weight (w, w, w, in, out), w = weight_kernel: the stride-2 convolution
/// from the fine grid with channels `out` to the coarse one with channels `in` whose transpose they are.
inline ConvGeometry doubling_geometry(const char* op, const Shape& x, const Shape& weight, Index weight_kernel,
                                      Index kernel, Index pad) {
  if (x.rank() != 5) fail(ErrorKind::shape, "op.rank", op, ": input has shape ", x, ", expected (N, X, Y, Z, C)");
  const Index w = weight_kernel;
  if (weight.rank() != 5 || weight[0] != w || weight[1] != w || weight[2] != w)
    fail(ErrorKind::shape, "op.rank", op, ": weight has shape ", weight, ", expected (", w, ", ", w, ", ", w,
         ", in, out)");
  if (x[4] != weight[3])
    fail(ErrorKind::shape, "conv3d.channels", op, ": input ", x, " has ", x[4], " channels, weight ", weight, " wants ",
         weight[3]);
  ConvGeometry g;
  g.batch = x[0], g.channels_in = weight[4], g.channels_out = weight[3], g.weight_swapped = true;
  for (int a = 0; a < 3; ++a) {
    g.in[a] = 2 * x[a + 1], g.out[a] = x[a + 1];
    g.kernel[a] = kernel, g.stride[a] = 2, g.pad_before[a] = g.pad_after[a] = pad;
  }
  return g;
}

inline Shape conv_input_shape(const ConvGeometry& g) { return {g.batch, g.in[0], g.in[1], g.in[2], g.channels_in}; }
inline Shape conv_output_shape(const ConvGeometry& g) {
  return {g.batch, g.out[0], g.out[1], g.out[2], g.channels_out};
}

template <class T, Backend B>
void conv_check_gradient(const char* op, const ConvGeometry& g, const Tensor<T, B>& dy) {
  if (dy.empty() || !(dy.shape() == conv_output_shape(g)))
    fail(ErrorKind::shape, "conv3d.gradient", op, ": upstream gradient has shape ", dy.shape(), ", expected ",
         conv_output_shape(g));
}

}  // namespace detail

/// y (N, X', Y', Z', out) = conv(x, weight) [+ bias] [+ residual]; bias (out) and residual (like y) may be empty.
template <class T, Backend B>
Tensor<T, B> conv3d_forward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias,
                            const Conv3dOptions& options = {}, const Tensor<T, B>& residual = {}) {
  require_elements("conv3d", x);
  require_elements("conv3d", weight);
  require_same_context("conv3d", x, weight);
  const ConvGeometry g = detail::conv_geometry("conv3d", x.shape(), weight.shape(), options);
  if (!bias.empty()) {
    require_same_context("conv3d", x, bias);
    require_shape("conv3d", "bias", bias, Shape{g.channels_out});
  }
  if (!residual.empty()) {
    require_same_context("conv3d", x, residual);
    require_shape("conv3d", "residual", residual, detail::conv_output_shape(g));
  }
  Tensor<T, B> y(x.context(), detail::conv_output_shape(g));
  ConvolutionKernel<B>::forward(x.context(), g, x.data(), weight.data(), bias.data(), residual.data(), y.data());
  return y;
}

/// dx, shaped `x_shape` (the stride leaves several possible), for dy (N, X', Y', Z', out).
template <class T, Backend B>
Tensor<T, B> conv3d_backward_input(const Tensor<T, B>& dy, const Tensor<T, B>& weight, const Shape& x_shape,
                                   const Conv3dOptions& options = {}) {
  require_elements("conv3d_backward_input", dy);
  require_same_context("conv3d_backward_input", dy, weight);
  const ConvGeometry g = detail::conv_geometry("conv3d_backward_input", x_shape, weight.shape(), options);
  detail::conv_check_gradient("conv3d_backward_input", g, dy);
  Tensor<T, B> dx(dy.context(), x_shape);
  ConvolutionKernel<B>::backward_input(dy.context(), g, weight.data(), static_cast<const T*>(nullptr), dy.data(),
                                       dx.data());
  return dx;
}

/// dweight (kx, ky, kz, in, out) += the gradient for x (N, X, Y, Z, in), dy (N, X', Y', Z', out).
template <class T, Backend B>
void conv3d_backward_weight(const Tensor<T, B>& x, const Tensor<T, B>& dy, const Conv3dOptions& options,
                            Tensor<accum_t<T>, B>& dweight) {
  require_elements("conv3d_backward_weight", x);
  require_elements("conv3d_backward_weight", dweight);
  require_same_context("conv3d_backward_weight", x, dy);
  require_same_context("conv3d_backward_weight", x, dweight);
  const ConvGeometry g = detail::conv_geometry("conv3d_backward_weight", x.shape(), dweight.shape(), options);
  detail::conv_check_gradient("conv3d_backward_weight", g, dy);
  ConvolutionKernel<B>::backward_weight(x.context(), g, x.data(), dy.data(), dweight.data());
}

/// dbias (out) += the sum of dy (N, X', Y', Z', out) over all voxels.
template <class T, Backend B>
void conv3d_backward_bias(const Tensor<T, B>& dy, Tensor<accum_t<T>, B>& dbias) {
  require_rank("conv3d_backward_bias", "upstream gradient", dy, 5, "(N, X, Y, Z, C)");
  require_shape("conv3d_backward_bias", "bias gradient", dbias, Shape{dy.dim(4)});
  add_broadcast_backward(dy, dbias);
}

}  // namespace braing3n::inline BRAING3N_ABI
