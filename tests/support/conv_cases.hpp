// Geometries that reach every branch of the convolution kernels, and the comparison of a provider with the definition.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "support/conv_reference.hpp"

namespace braing3n::test {

struct ConvCase {
  Shape x, w;
  Conv3dOptions options;
};

inline Conv3dOptions conv_options(std::array<Index, 3> stride, std::array<Index, 3> before,
                                  std::array<Index, 3> after) {
  return {.stride = stride, .pad_before = before, .pad_after = after};
}

// Every branch of the kernels: line ends, short and long lines, odd and few channels, panels cut at 16 and 32 columns, weights that
// are larger than a cache share, strides that skip taps, padding that differs at the ends or exceeds the kernel.
inline std::vector<ConvCase> conv_cases() {
  const Conv3dOptions same = Conv3dOptions::same(3);
  return {
      {{2, 3, 4, 5, 3}, {3, 3, 3, 3, 5}, same},
      {{1, 2, 3, 33, 5}, {3, 3, 3, 5, 33}, same},
      {{2, 4, 3, 10, 32}, {3, 3, 3, 32, 31}, same},
      {{1, 2, 2, 45, 33}, {3, 3, 3, 33, 32}, same},
      {{2, 3, 3, 31, 1}, {3, 3, 3, 1, 17}, same},
      {{2, 3, 3, 47, 32}, {3, 3, 3, 32, 1}, same},
      {{1, 3, 2, 32, 2}, {3, 3, 3, 2, 2}, same},
      {{2, 3, 3, 13, 100}, {3, 3, 3, 100, 64}, same},
      {{1, 2, 3, 5, 300}, {3, 3, 3, 300, 280}, same},
      {{2, 33, 2, 3, 4}, {3, 3, 3, 4, 3}, same},
      {{1, 1, 1, 1, 4}, {3, 3, 3, 4, 6}, same},
      {{2, 3, 4, 5, 7}, {1, 1, 1, 7, 9}, {}},
      {{1, 7, 8, 9, 3}, {3, 3, 3, 3, 4}, conv_options({2, 2, 2}, {0, 0, 0}, {1, 1, 1})},
      {{2, 6, 5, 40, 4}, {3, 3, 3, 4, 6}, conv_options({2, 2, 2}, {0, 0, 0}, {1, 1, 1})},
      {{1, 5, 6, 37, 6}, {4, 4, 4, 6, 5}, conv_options({2, 2, 2}, {1, 1, 1}, {1, 1, 1})},
      {{1, 6, 5, 8, 3}, {2, 3, 4, 3, 5}, conv_options({1, 2, 3}, {1, 0, 2}, {0, 2, 1})},
      {{1, 7, 7, 7, 2}, {2, 2, 2, 2, 3}, conv_options({3, 3, 3}, {0, 0, 0}, {0, 0, 0})},  // some voxels meet no tap
      {{1, 3, 2, 4, 2}, {3, 3, 3, 2, 3}, conv_options({1, 1, 1}, {3, 2, 4}, {2, 4, 3})},  // some results meet no voxel
      {{2, 3, 4, 35, 2}, {1, 1, 3, 2, 3}, conv_options({1, 1, 1}, {0, 0, 1}, {0, 0, 1})},
      {{2, 3, 4, 6, 5}, {1, 1, 1, 5, 4}, conv_options({2, 2, 2}, {0, 0, 0}, {0, 0, 0})},
  };
}

/// The results of each provider; the definition, which takes longest, is computed once for all of them.
template <class T>
void compare_conv_with_definition(const std::vector<const CpuProvider*>& providers) {
  Context<Cpu> any({.threads = 2});
  std::uint32_t id = 0;
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(c.x.str());
    CAPTURE(c.w.str());
    const Shape y_shape = detail::conv_output_shape(detail::conv_geometry("test", c.x, c.w, c.options));
    const auto operands = [&, first = id](Context<Cpu>& ctx) {
      return std::array{small_integers<T>(ctx, c.x, first + 1), small_integers<T>(ctx, c.w, first + 2),
                        small_integers<T>(ctx, {c.w[4]}, first + 3), small_integers<T>(ctx, y_shape, first + 4),
                        small_integers<T>(ctx, y_shape, first + 5)};
    };
    id += 5;
    const auto [x0, w0, bias0, residual0, dy0] = operands(any);
    const auto y0 = reference_conv3d(x0, w0, bias0, c.options, residual0),
               plain0 = reference_conv3d(x0, w0, {}, c.options);
    const auto dx0 = reference_conv3d_input(dy0, w0, c.x, c.options);
    const auto dw0 = reference_conv3d_weight(x0, dy0, c.w, c.options);
    // Sums of small integers are exact in every order; what remains is the one rounding to T.
    const auto equal = [](const Tensor<T, Cpu>& got, const Tensor<double, Cpu>& want, double times = 1) {
      REQUIRE(got.shape() == want.shape());
      Index wrong = 0;
      for (Index i = 0; i < got.size(); ++i) wrong += got.data()[i] == static_cast<T>(times * want.data()[i]) ? 0 : 1;
      CHECK(wrong == 0);
    };
    for (const CpuProvider* provider : providers) {
      CAPTURE(std::string(provider->name));
      Context<Cpu> ctx({.threads = 2, .provider = provider});
      const auto [x, w, bias, residual, dy] = operands(ctx);
      equal(conv3d_forward(x, w, bias, c.options, residual), y0);
      equal(conv3d_forward(x, w, {}, c.options), plain0);
      equal(conv3d_backward_input(dy, w, c.x, c.options), dx0);
      if constexpr (!std::is_same_v<T, bfloat16>) {
        Tensor<T, Cpu> dw = Tensor<T, Cpu>::zeros(ctx, c.w);
        conv3d_backward_weight(x, dy, c.options, dw);
        equal(dw, dw0);
        conv3d_backward_weight(x, dy, c.options, dw);  // adds
        equal(dw, dw0, 2);
      }
    }
  }
}

/// Forward and both gradients of all cases have the same bits with one, two and three threads.
inline void check_threads_do_not_matter(const CpuProvider& provider, const std::vector<ConvCase>& cases) {
  std::vector<std::unique_ptr<Context<Cpu>>> contexts;  // outlive the results
  std::vector<Tensor<float, Cpu>> first;
  for (int threads : {1, 2, 3}) {
    contexts.push_back(std::make_unique<Context<Cpu>>(CpuOptions{.threads = threads, .provider = &provider}));
    Context<Cpu>& ctx = *contexts.back();
    std::vector<Tensor<float, Cpu>> got;
    for (const ConvCase& c : cases) {
      const auto x = random<float>(ctx, c.x, 1), w = random<float>(ctx, c.w, 2), bias = random<float>(ctx, {c.w[4]}, 3);
      got.push_back(conv3d_forward(x, w, bias, c.options));
      const auto dy = random<float>(ctx, got.back().shape(), 4);
      got.push_back(conv3d_backward_input(dy, w, c.x, c.options));
      got.push_back(Tensor<float, Cpu>::zeros(ctx, c.w));
      conv3d_backward_weight(x, dy, c.options, got.back());
    }
    if (first.empty()) first = got;
    for (std::size_t i = 0; i < got.size(); ++i)
      CHECK_MESSAGE(same_bits(first[i], got[i]), "result ", i, " with ", threads, " threads");
  }
}

}  // namespace braing3n::test
