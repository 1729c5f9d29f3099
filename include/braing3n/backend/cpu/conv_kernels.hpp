// The convolution entries of the built-in providers.
#pragma once

#include "braing3n/backend/cpu/conv_direct.hpp"
#include "braing3n/backend/cpu/conv_weight.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Direct kernels on one micro-kernel (micro.hpp). bfloat16 has no weight gradient: on the CPU it is for inference.
template <class Micro>
struct DirectConvolution {
  using T = typename Micro::In;

  static void forward(Context<Cpu>& ctx, const ConvGeometry& g, const T* x, const T* w, const T* bias, const T* residual, T* y) {
    const detail::ConvProblem problem = detail::forward_problem(g);
    detail::DirectConv<Micro>(ctx, problem).run(x, w, bias, residual, y);
  }
  static void backward_input(Context<Cpu>& ctx, const ConvGeometry& g, const T* w, const T* bias, const T* dy, T* dx) {
    const detail::ConvProblem problem = detail::transposed_problem(g);
    detail::DirectConv<Micro>(ctx, problem).run(dy, w, bias, nullptr, dx);
  }
};

/// Outer: the inner loop of the weight gradient (conv_weight.hpp).
template <class Micro, class Outer>
constexpr ConvKernels<typename Micro::In> direct_convolution() {
  return {DirectConvolution<Micro>::forward, DirectConvolution<Micro>::backward_input,
          [](Context<Cpu>& ctx, const ConvGeometry& g, const typename Micro::In* x, const typename Micro::In* dy, typename Micro::In* dw) {
            detail::ConvWeightGradient<Outer>(ctx, g).run(x, dy, dw);
          }};
}
template <class Micro>
constexpr ConvKernels<typename Micro::In> direct_convolution() {
  return {DirectConvolution<Micro>::forward, DirectConvolution<Micro>::backward_input, nullptr};
}

}  // namespace braing3n::inline BRAING3N_ABI
