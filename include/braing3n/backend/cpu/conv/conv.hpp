// Convolutions on the CPU: a matrix product for 1^3 kernels, the context's own convolution where
// it has one, im2col and the context's matrix product otherwise.
#pragma once

#include "braing3n/backend/cpu/conv/im2col.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <>
struct ConvolutionKernel<Cpu> {
  /// y = conv(x, w) [+ bias] [+ residual]
  template <class T>
  static void forward(Context<Cpu>& ctx, const ConvGeometry& g, const T* x, const T* w, const T* bias,
                      const T* residual, T* y) {
    if (pointwise(g)) {
      GemmCall<T> call = product(voxels(g), g.channels_out, g.channels_in, x, w, y);
      if (g.weight_swapped) call.b_row = 1, call.b_col = g.channels_in;
      call.bias = bias, call.residual = residual, call.residual_row = g.channels_out;
      return ProductKernel<Cpu>::run(ctx, call);
    }
    if (const auto kernel = ctx.provider().template conv<T>().forward) return kernel(ctx, g, x, w, bias, residual, y);
    const detail::ConvProblem problem = detail::forward_problem(g);
    detail::Im2colConv<T>(ctx, problem).run(x, w, bias, residual, y);
  }

  /// dx = conv^T(dy, w) [+ bias]
  template <class T>
  static void backward_input(Context<Cpu>& ctx, const ConvGeometry& g, const T* w, const T* bias, const T* dy, T* dx) {
    if (pointwise(g)) {
      GemmCall<T> call = product(voxels(g), g.channels_in, g.channels_out, dy, w, dx);
      if (!g.weight_swapped) call.b_row = 1, call.b_col = g.channels_out;
      call.bias = bias;
      return ProductKernel<Cpu>::run(ctx, call);
    }
    if (const auto kernel = ctx.provider().template conv<T>().backward_input) return kernel(ctx, g, w, bias, dy, dx);
    const detail::ConvProblem problem = detail::transposed_problem(g);
    detail::Im2colConv<T>(ctx, problem).run(dy, w, bias, nullptr, dx);
  }

  static void backward_weight(Context<Cpu>&, const ConvGeometry&, const bfloat16*, const bfloat16*, float*) {
    fail(ErrorKind::dtype, "conv3d.bf16", "conv3d_backward_weight: bf16 is for inference on the CPU; train with f32");
  }
  /// dw += the sum over voxels of x times dy.
  template <class T>
  static void backward_weight(Context<Cpu>& ctx, const ConvGeometry& g, const T* x, const T* dy, T* dw) {
    if (pointwise(g)) {
      const bool swap = g.weight_swapped;
      const Index m = swap ? g.channels_out : g.channels_in, n = swap ? g.channels_in : g.channels_out;
      GemmCall<T> call = product(m, n, voxels(g), swap ? dy : x, swap ? x : dy, dw);
      call.a_row = 1, call.a_col = m, call.accumulate = true;
      return ProductKernel<Cpu>::run(ctx, call);
    }
    if (const auto kernel = ctx.provider().template conv<T>().backward_weight) return kernel(ctx, g, x, dy, dw);
    const detail::ConvProblem problem = detail::forward_problem(g);
    detail::Im2colConv<T>(ctx, problem).weight_gradient(x, dy, dw);
  }

 private:
  static bool pointwise(const ConvGeometry& g) {
    for (int a = 0; a < 3; ++a)
      if (g.kernel[a] != 1 || g.stride[a] != 1 || g.pad_before[a] != 0 || g.pad_after[a] != 0) return false;
    return true;
  }
  static Index voxels(const ConvGeometry& g) { return g.batch * g.in[0] * g.in[1] * g.in[2]; }

  /// C (m, n) = A (m, k) B (k, n), all row-major.
  template <class T>
  static GemmCall<T> product(Index m, Index n, Index k, const T* a, const T* b, T* c) {
    GemmCall<T> call;
    call.m = m, call.n = n, call.k = k;
    call.a = a, call.a_row = k;
    call.b = b, call.b_row = n;
    call.c = c, call.c_row = n;
    return call;
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
