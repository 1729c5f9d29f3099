// Nearest-neighbour upsampling by two, alone and fused with the 3^3 convolution (stride 1, padding 1) that follows it.
//
//   upsample_nearest2    x (N, X, Y, Z, C) -> y (N, 2X, 2Y, 2Z, C), y[n, i, j, k] = x[n, i / 2, j / 2, k / 2]
//   upsample_conv3d      conv3d(upsample_nearest2(x), weight, bias), weight (3, 3, 3, in, out)
// Along one axis the three taps of a fine voxel meet only two coarse voxels, so two of them can be added beforehand:
//   y[2c]     = x[c - 1] w[0]          + x[c] (w[1] + w[2])
//   y[2c + 1] = x[c]     (w[0] + w[1]) + x[c + 1] w[2]
// which is a transposed convolution with kernel 4, stride 2, padding 1 and taps (w[2], w[1] + w[2], w[0] + w[1], w[0]). In three
// dimensions that is eight 2^3 convolutions instead of one 3^3 convolution on eight times the voxels: 8/27 of the arithmetic,
// forward and backward, and no upsampled copy of x. In bfloat16 the added taps are rounded once more.
#pragma once

#include "braing3n/ops/conv3d.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Row r of a (N, 2X, 2Y, 2Z) grid -> row of the coarse grid.
struct CoarseRow {
  Index y, z;  // coarse extents
  BRAING3N_HD BRAING3N_INLINE Index operator()(Index r) const {
    const Index k = r % (2 * z), j = r / (2 * z) % (2 * y),
                i = r / (2 * z) / (2 * y);  // i counts samples and x together
    return (i / 2 * y + j / 2) * z + k / 2;
  }
};

template <class T>
struct UpsampleNearest2 {
  CoarseRow coarse;
  const T* x;
  T* y;
  Index channels;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    y[r * channels + c] = x[coarse(r) * channels + c];
  }
};

/// dx of one coarse voxel: the sum over its eight fine ones.
template <class T>
struct UpsampleNearest2Backward {
  Index y, z;  // coarse extents
  const T* dy;
  T* dx;
  Index channels;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    const Index k = r % z, j = r / z % y, i = r / z / y;
    const Index line = 2 * z * channels;
    const T* p = dy + ((2 * i * 2 * y + 2 * j) * 2 * z + 2 * k) * channels + c;
    const T* q = p + 2 * y * line;  // the next fine x
    const accum_t<T> near = (static_cast<accum_t<T>>(p[0]) + static_cast<accum_t<T>>(p[channels])) +
                            (static_cast<accum_t<T>>(p[line]) + static_cast<accum_t<T>>(p[line + channels]));
    const accum_t<T> far = (static_cast<accum_t<T>>(q[0]) + static_cast<accum_t<T>>(q[channels])) +
                           (static_cast<accum_t<T>>(q[line]) + static_cast<accum_t<T>>(q[line + channels]));
    dx[r * channels + c] = static_cast<T>(near + far);
  }
};

/// w4 (4, 4, 4, in, out) from w3 (3, 3, 3, in, out): per axis, taps f = 0, 1, 2, 3 are the sums of taps {2}, {1, 2}, {0, 1}, {0}.
template <class T>
struct SumTaps {
  using A = accum_t<T>;
  const T* w3;
  T* w4;
  Index size;  // in * out

  BRAING3N_HD BRAING3N_INLINE void operator()(Index f, Index c) const {
    const Index fx = f / 16, fy = f / 4 % 4, fz = f % 4;
    const Index first = ((fx < 2 ? 1 : 0) * 3 + (fy < 2 ? 1 : 0)) * 3 + (fz < 2 ? 1 : 0);
    const T* w = w3 + first * size + c;
    w4[f * size + c] =
        static_cast<T>((fx != 0 ? plane(w, fy, fz) : A(0)) + (fx != 3 ? plane(w + 9 * size, fy, fz) : A(0)));
  }

 private:
  BRAING3N_HD BRAING3N_INLINE A plane(const T* w, Index fy, Index fz) const {
    return (fy != 0 ? row(w, fz) : A(0)) + (fy != 3 ? row(w + 3 * size, fz) : A(0));
  }
  BRAING3N_HD BRAING3N_INLINE A row(const T* w, Index fz) const {
    return (fz != 0 ? static_cast<A>(w[0]) : A(0)) + (fz != 3 ? static_cast<A>(w[size]) : A(0));
  }
};

/// The transpose of SumTaps: per axis, tap k of dw3 collects f = 2 - k and 3 - k of dw4.
template <class A>
struct CollectTaps {
  const A* dw4;
  A* dw3;
  Index size;

  BRAING3N_HD BRAING3N_INLINE void operator()(Index k, Index c) const {
    const Index first = ((2 - k / 9) * 4 + 2 - k / 3 % 3) * 4 + 2 - k % 3;
    const A* w = dw4 + first * size + c;
    const A* u = w + 16 * size;
    dw3[k * size + c] +=
        ((w[0] + w[size]) + (w[4 * size] + w[5 * size])) + ((u[0] + u[size]) + (u[4 * size] + u[5 * size]));
  }
};

/// Kernel 4, stride 2, padding 1 from the fine grid to the coarse one: its transpose is the fused op.
inline ConvGeometry upsample_geometry(const char* op, const Shape& x, const Shape& weight) {
  return doubling_geometry(op, x, weight, 3, 4, 1);
}

template <class T, Backend B>
Tensor<T, B> sum_taps(const Tensor<T, B>& weight) {
  const Index in = weight.dim(3), out = weight.dim(4);
  Tensor<T, B> w4(weight.context(), Shape{4, 4, 4, in, out});
  map_rows(weight.context(), 64, in * out, SumTaps<T>{weight.data(), w4.data(), in * out});
  return w4;
}

}  // namespace detail

/// y (N, 2X, 2Y, 2Z, C) for x (N, X, Y, Z, C).
template <class T, Backend B>
Tensor<T, B> upsample_nearest2_forward(const Tensor<T, B>& x) {
  require_elements("upsample_nearest2", x);
  require_rank("upsample_nearest2", "input", x, 5, "(N, X, Y, Z, C)");
  const Shape& s = x.shape();
  Tensor<T, B> y(x.context(), Shape{s[0], 2 * s[1], 2 * s[2], 2 * s[3], s[4]});
  map_rows(x.context(), y.size() / s[4], s[4], detail::UpsampleNearest2<T>{{s[2], s[3]}, x.data(), y.data(), s[4]});
  return y;
}

/// dx (N, X, Y, Z, C): every coarse voxel collects its eight fine ones of dy (N, 2X, 2Y, 2Z, C).
template <class T, Backend B>
Tensor<T, B> upsample_nearest2_backward(const Tensor<T, B>& dy) {
  require_elements("upsample_nearest2_backward", dy);
  require_rank("upsample_nearest2_backward", "upstream gradient", dy, 5, "(N, 2X, 2Y, 2Z, C)");
  const Shape& s = dy.shape();
  if (s[1] % 2 != 0 || s[2] % 2 != 0 || s[3] % 2 != 0)
    fail(ErrorKind::shape, "upsample.gradient", "upsample_nearest2_backward: upstream gradient has shape ", s,
         ", expected even extents");
  Tensor<T, B> dx(dy.context(), Shape{s[0], s[1] / 2, s[2] / 2, s[3] / 2, s[4]});
  map_rows(dy.context(), dx.size() / s[4], s[4],
           detail::UpsampleNearest2Backward<T>{s[2] / 2, s[3] / 2, dy.data(), dx.data(), s[4]});
  return dx;
}

/// y (N, 2X, 2Y, 2Z, out) = conv3d(upsample_nearest2(x), weight, bias) with stride 1 and padding 1; bias (out) may be empty.
template <class T, Backend B>
Tensor<T, B> upsample_conv3d_forward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias) {
  require_elements("upsample_conv3d", x);
  require_elements("upsample_conv3d", weight);
  require_same_context("upsample_conv3d", x, weight);
  const ConvGeometry g = detail::upsample_geometry("upsample_conv3d", x.shape(), weight.shape());
  if (!bias.empty()) {
    require_same_context("upsample_conv3d", x, bias);
    require_shape("upsample_conv3d", "bias", bias, Shape{g.channels_in});
  }
  Tensor<T, B> y(x.context(), detail::conv_input_shape(g));
  const Tensor<T, B> w4 = detail::sum_taps(weight);
  ConvolutionKernel<B>::backward_input(x.context(), g, w4.data(), bias.data(), x.data(), y.data());
  return y;
}

/// dx (N, X, Y, Z, in) for dy (N, 2X, 2Y, 2Z, out).
template <class T, Backend B>
Tensor<T, B> upsample_conv3d_backward_input(const Tensor<T, B>& dy, const Tensor<T, B>& weight) {
  require_elements("upsample_conv3d_backward_input", dy);
  require_elements("upsample_conv3d_backward_input", weight);
  require_rank("upsample_conv3d_backward_input", "upstream gradient", dy, 5, "(N, 2X, 2Y, 2Z, C)");
  require_same_context("upsample_conv3d_backward_input", dy, weight);
  const Shape& s = dy.shape();
  const Shape x_shape{s[0], s[1] / 2, s[2] / 2, s[3] / 2, weight.dim(-2)};
  const ConvGeometry g = detail::upsample_geometry("upsample_conv3d_backward_input", x_shape, weight.shape());
  require_shape("upsample_conv3d_backward_input", "upstream gradient", dy, detail::conv_input_shape(g));
  Tensor<T, B> dx(dy.context(), x_shape);
  const Tensor<T, B> w4 = detail::sum_taps(weight);
  ConvolutionKernel<B>::forward(dy.context(), g, dy.data(), w4.data(), static_cast<const T*>(nullptr),
                                static_cast<const T*>(nullptr), dx.data());
  return dx;
}

/// dweight (3, 3, 3, in, out) += the gradient for x (N, X, Y, Z, in), dy (N, 2X, 2Y, 2Z, out). The bias: conv3d_backward_bias.
template <class T, Backend B>
void upsample_conv3d_backward_weight(const Tensor<T, B>& x, const Tensor<T, B>& dy, Tensor<accum_t<T>, B>& dweight) {
  using A = accum_t<T>;
  require_elements("upsample_conv3d_backward_weight", x);
  require_elements("upsample_conv3d_backward_weight", dweight);
  require_same_context("upsample_conv3d_backward_weight", x, dy);
  require_same_context("upsample_conv3d_backward_weight", x, dweight);
  const ConvGeometry g = detail::upsample_geometry("upsample_conv3d_backward_weight", x.shape(), dweight.shape());
  require_shape("upsample_conv3d_backward_weight", "upstream gradient", dy, detail::conv_input_shape(g));
  const Index in = dweight.dim(3), out = dweight.dim(4);
  Tensor<A, B> dw4 = Tensor<A, B>::zeros(x.context(), Shape{4, 4, 4, in, out});
  ConvolutionKernel<B>::backward_weight(x.context(), g, dy.data(), x.data(), dw4.data());
  map_rows(x.context(), 27, in * out, detail::CollectTaps<A>{dw4.data(), dweight.data(), in * out});
}

}  // namespace braing3n::inline BRAING3N_ABI
