#include "braing3n/ops/conv3d.hpp"

#include "support/conv_cases.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE("conv3d equals its definition, bit for bit on small integers") {
  std::vector<const CpuProvider*> providers = usable_providers();
  compare_conv_with_definition<float>(providers);
  compare_conv_with_definition<bfloat16>(providers);
  providers.push_back(&direct_double_provider());
  compare_conv_with_definition<double>(providers);
}

TEST_CASE("conv3d gradients agree with finite differences") {
  for (const CpuProvider* provider : {&default_cpu_provider(), &direct_double_provider()}) {
    Context<Cpu> ctx({.threads = 2, .provider = provider});
    std::uint32_t id = 100;
    for (const ConvCase& c :
         {ConvCase{{2, 3, 4, 5, 3}, {3, 3, 3, 3, 2}, Conv3dOptions::same(3)},
          ConvCase{{2, 2, 3, 33, 2}, {3, 3, 3, 2, 3}, Conv3dOptions::same(3)},
          ConvCase{{2, 5, 4, 7, 2}, {3, 3, 3, 2, 4}, conv_options({2, 2, 2}, {0, 0, 0}, {1, 1, 1})},
          ConvCase{{2, 4, 3, 5, 3}, {1, 1, 1, 3, 4}, {}},
          ConvCase{{2, 4, 5, 6, 2}, {2, 3, 4, 2, 3}, conv_options({1, 2, 3}, {1, 0, 2}, {0, 2, 1})}}) {
      CAPTURE(c.x.str());
      CAPTURE(c.w.str());
      auto x = random<double>(ctx, c.x, ++id), w = random<double>(ctx, c.w, ++id),
           bias = random<double>(ctx, {c.w[4]}, ++id);
      const auto residual = random<double>(ctx, conv3d_forward(x, w, bias, c.options).shape(), ++id);
      const auto up = random<double>(ctx, residual.shape(), ++id);
      const auto loss = [&] { return dot(up, conv3d_forward(x, w, bias, c.options, residual)); };
      auto dw = Tensor<double, Cpu>::zeros(ctx, c.w), dbias = Tensor<double, Cpu>::zeros(ctx, {c.w[4]});
      conv3d_backward_weight(x, up, c.options, dw);
      conv3d_backward_bias(up, dbias);
      check_gradient("x", x, conv3d_backward_input(up, w, c.x, c.options), loss);
      check_gradient("weight", w, dw, loss);
      check_gradient("bias", bias, dbias, loss);
    }
  }
}

TEST_CASE("conv3d does not depend on the number of threads") {
  for (const CpuProvider* provider : usable_providers()) {
    CAPTURE(std::string(provider->name));
    check_threads_do_not_matter(
        *provider, {ConvCase{{2, 5, 19, 33, 16}, {3, 3, 3, 16, 33}, Conv3dOptions::same(3)},
                    ConvCase{{1, 6, 7, 9, 300}, {3, 3, 3, 300, 34}, Conv3dOptions::same(3)},
                    ConvCase{{1, 12, 13, 40, 5}, {3, 3, 3, 5, 8}, conv_options({2, 2, 2}, {0, 0, 0}, {1, 1, 1})}});
  }
}

// Operands are scaled so that every sum is of size 1, as tolerance() assumes.
TEST_CASE("conv3d providers agree on random numbers") {
  const Shape x_shape{1, 5, 6, 21, 40}, w_shape{3, 3, 3, 40, 36};
  const Conv3dOptions same = Conv3dOptions::same(3);
  for (const CpuProvider* provider : usable_providers()) {
    CAPTURE(std::string(provider->name));
    Context<Cpu> ctx({.threads = 2, .provider = provider});
    const auto x = random<float>(ctx, x_shape, 1), w = random<float>(ctx, w_shape, 2, 1 / std::sqrt(27.0 * 40)),
               bias = random<float>(ctx, {36}, 3);
    CHECK(max_difference(conv3d_forward(x, w, bias, same), reference_conv3d(x, w, bias, same)) <=
          tolerance<float>(27 * 40));
    const auto dy = random<float>(ctx, x_shape.with(4, 36), 4, 1 / std::sqrt(5.0 * 6 * 21));
    CHECK(max_difference(conv3d_backward_input(dy, w, x_shape, same), reference_conv3d_input(dy, w, x_shape, same)) <=
          tolerance<float>(27 * 36));
    auto dw = Tensor<float, Cpu>::zeros(ctx, w_shape);
    conv3d_backward_weight(x, dy, same, dw);
    CHECK(max_difference(dw, reference_conv3d_weight(x, dy, w_shape, same)) <= tolerance<float>(5 * 6 * 21));
  }
}

TEST_CASE("conv3d says what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = small_integers<float>(ctx, {1, 3, 4, 5, 2}, 1), w = small_integers<float>(ctx, {3, 3, 3, 2, 4}, 2);
  const auto id_of = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.id();
    }
    return "no error";
  };
  const Conv3dOptions same = Conv3dOptions::same(3);
  CHECK(id_of([&] { conv3d_forward(x.reshape({3, 4, 5, 2}), w, {}); }) == "op.rank");
  CHECK(id_of([&] { conv3d_forward(x, small_integers<float>(ctx, {3, 3, 3, 3, 4}, 1), {}); }) == "conv3d.channels");
  CHECK(id_of([&] { conv3d_forward(x, small_integers<float>(ctx, {4, 3, 3, 2, 4}, 1), {}); }) == "conv3d.extent");
  CHECK(id_of([&] { conv3d_forward(x, w, small_integers<float>(ctx, {3}, 1), same); }) == "op.shape");
  CHECK(id_of([&] { conv3d_forward(x, w, {}, same, x); }) == "op.shape");
  CHECK(id_of([&] { conv3d_forward(x, w, {}, conv_options({0, 1, 1}, {1, 1, 1}, {1, 1, 1})); }) == "conv3d.options");
  CHECK(id_of([&] { conv3d_forward(x, w, {}, conv_options({1, 1, 1}, {-1, 1, 1}, {1, 1, 1})); }) == "conv3d.options");
  CHECK(id_of([&] { conv3d_forward(Tensor<float, Cpu>(ctx, {0, 3, 4, 5, 2}), w, {}); }) == "op.empty");
  CHECK(id_of([&] { conv3d_backward_input(x, w, x.shape(), same); }) == "conv3d.gradient");
  Context<Cpu> other({.threads = 1});
  CHECK(id_of([&] { conv3d_forward(x, small_integers<float>(other, {3, 3, 3, 2, 4}, 2), {}); }) == "op.context");
}
