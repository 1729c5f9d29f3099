// Geometries that reach every branch of the convolution kernels, and the comparison of a provider with the definition.
#pragma once

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

template <class T>
void compare_conv_with_definition(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  std::uint32_t id = 0;
  for (const ConvCase& c : conv_cases()) {
    CAPTURE(std::string(provider.name));
    CAPTURE(c.x.str());
    CAPTURE(c.w.str());
    const auto x = small_integers<T>(ctx, c.x, ++id), w = small_integers<T>(ctx, c.w, ++id),
               bias = small_integers<T>(ctx, {c.w[4]}, ++id);
    const Shape y_shape = detail::conv_output_shape(detail::conv_geometry("test", c.x, c.w, c.options));
    const auto residual = small_integers<T>(ctx, y_shape, ++id), dy = small_integers<T>(ctx, y_shape, ++id);
    const auto equal = [](const Tensor<T, Cpu>& got, const Tensor<double, Cpu>& want) {
      REQUIRE(got.shape() == want.shape());
      Index wrong = 0;
      // Sums of small integers are exact in every order; what remains is the one rounding to T.
      for (Index i = 0; i < got.size(); ++i) wrong += got.data()[i] == static_cast<T>(want.data()[i]) ? 0 : 1;
      CHECK(wrong == 0);
    };
    equal(conv3d_forward(x, w, bias, c.options, residual), reference_conv3d(x, w, bias, c.options, residual));
    equal(conv3d_forward(x, w, {}, c.options), reference_conv3d(x, w, {}, c.options));
    equal(conv3d_backward_input(dy, w, c.x, c.options), reference_conv3d_input(dy, w, c.x, c.options));
    if constexpr (!std::is_same_v<T, bfloat16>) {
      Tensor<T, Cpu> dw = Tensor<T, Cpu>::zeros(ctx, c.w);
      conv3d_backward_weight(x, dy, c.options, dw);
      auto want = reference_conv3d_weight(x, dy, c.w, c.options);
      equal(dw, want);
      conv3d_backward_weight(x, dy, c.options, dw);  // adds
      for (Index i = 0; i < want.size(); ++i) want.data()[i] *= 2;
      equal(dw, want);
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
