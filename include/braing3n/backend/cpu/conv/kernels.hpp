// The convolution entries of the built-in providers.
#pragma once

#include "braing3n/backend/cpu/conv/direct.hpp"
#include "braing3n/backend/cpu/conv/weight.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Direct kernels on one micro-kernel (micro.hpp), and on another one for results with few channels.
template <class Micro, class Few = Micro>
struct DirectConvolution {
  using T = typename Micro::In;

  static void forward(Context<Cpu>& ctx, const ConvGeometry& g, const T* x, const T* w, const T* bias,
                      const T* residual, T* y) {
    run(ctx, detail::forward_problem(g), x, w, bias, residual, y);
  }
  static void backward_input(Context<Cpu>& ctx, const ConvGeometry& g, const T* w, const T* bias, const T* dy, T* dx) {
    run(ctx, detail::transposed_problem(g), dy, w, bias, nullptr, dx);
  }

 private:
  static constexpr Index few = 4, least_sum = 8;  // columns that waste a tile, and a run long enough for a vector

  static void run(Context<Cpu>& ctx, const detail::ConvProblem& problem, const T* x, const T* w, const T* bias,
                  const T* residual, T* y) {
    if constexpr (!std::is_same_v<Few, Micro>)
      if (problem.columns <= few && problem.reduced >= least_sum)
        return detail::DirectConv<Few>(ctx, problem).run(x, w, bias, residual, y);
    detail::DirectConv<Micro>(ctx, problem).run(x, w, bias, residual, y);
  }
};

/// Outer: the inner loop of the weight gradient (conv_weight.hpp). Few: a micro-kernel for results with few channels.
template <class Micro, class Outer, class Few = Micro>
constexpr ConvKernels<typename Micro::In> direct_convolution() {
  return {DirectConvolution<Micro, Few>::forward, DirectConvolution<Micro, Few>::backward_input,
          [](Context<Cpu>& ctx, const ConvGeometry& g, const typename Micro::In* x, const typename Micro::In* dy,
             typename Micro::In* dw) { detail::ConvWeightGradient<Outer>(ctx, g).run(x, dy, dw); }};
}
/// Without a weight gradient: bfloat16 on the CPU is for inference.
template <class Micro>
constexpr ConvKernels<typename Micro::In> direct_convolution() {
  return {DirectConvolution<Micro>::forward, DirectConvolution<Micro>::backward_input, nullptr};
}

}  // namespace braing3n::inline BRAING3N_ABI
