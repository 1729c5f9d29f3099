#include "braing3n/ops/upsample.hpp"

#include "support/conv_reference.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

/// y[i, j, k] = x[i / 2, j / 2, k / 2], as written.
template <class T>
Tensor<T, Cpu> repeat(const Tensor<T, Cpu>& x) {
  const Shape& s = x.shape();
  Tensor<T, Cpu> y(x.context(), Shape{s[0], 2 * s[1], 2 * s[2], 2 * s[3], s[4]});
  Index e = 0;
  for (Index n = 0; n < s[0]; ++n)
    for (Index i = 0; i < 2 * s[1]; ++i)
      for (Index j = 0; j < 2 * s[2]; ++j)
        for (Index k = 0; k < 2 * s[3]; ++k)
          for (Index c = 0; c < s[4]; ++c)
            y.data()[e++] = x.data()[(((n * s[1] + i / 2) * s[2] + j / 2) * s[3] + k / 2) * s[4] + c];
  return y;
}

const Conv3dOptions same = Conv3dOptions::same(3);

/// Small integers and what upsampling and convolving as two steps make of them, in double: computed once for all providers and types.
struct TwoSteps {
  Tensor<double, Cpu> up, y, y_without_bias, dx, dw;
  Shape x_shape, w_shape, y_shape;
  std::uint32_t id;

  TwoSteps(Context<Cpu>& ctx, const Shape& x, Index out, std::uint32_t first_id)
      : x_shape(x), w_shape{3, 3, 3, x[4], out}, id(first_id) {
    const auto w = small_integers<double>(ctx, w_shape, id + 1), bias = small_integers<double>(ctx, {out}, id + 2);
    up = repeat(small_integers<double>(ctx, x_shape, id));
    y = reference_conv3d(up, w, bias, same);
    y_without_bias = reference_conv3d(up, w, {}, same);
    y_shape = y.shape();
    const auto dy = small_integers<double>(ctx, y_shape, id + 3);
    dx = upsample_nearest2_backward(reference_conv3d_input(dy, w, up.shape(), same));
    dw = reference_conv3d_weight(up, dy, w_shape, same);
  }
};

/// The fused op against the two steps.
template <class T>
void compare_with_two_steps(const CpuProvider& provider, const TwoSteps& want) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  CAPTURE(std::string(provider.name));
  CAPTURE(want.x_shape.str());
  const auto x = small_integers<T>(ctx, want.x_shape, want.id), w = small_integers<T>(ctx, want.w_shape, want.id + 1);
  const auto bias = small_integers<T>(ctx, {want.w_shape[4]}, want.id + 2),
             dy = small_integers<T>(ctx, want.y_shape, want.id + 3);
  const auto equal = [](const Tensor<T, Cpu>& got, const Tensor<double, Cpu>& expected, double times) {
    REQUIRE(got.shape() == expected.shape());
    Index wrong = 0;
    for (Index i = 0; i < got.size(); ++i) wrong += got.data()[i] == static_cast<T>(times * expected.data()[i]) ? 0 : 1;
    CHECK(wrong == 0);
  };
  equal(upsample_nearest2_forward(x), want.up, 1);
  equal(upsample_conv3d_forward(x, w, bias), want.y, 1);
  equal(upsample_conv3d_forward(x, w, {}), want.y_without_bias, 1);
  equal(upsample_conv3d_backward_input(dy, w), want.dx, 1);
  if constexpr (!std::is_same_v<T, bfloat16>) {
    auto dw = Tensor<T, Cpu>::zeros(ctx, w.shape());
    upsample_conv3d_backward_weight(x, dy, dw);
    equal(dw, want.dw, 1);
    upsample_conv3d_backward_weight(x, dy, dw);  // adds
    equal(dw, want.dw, 2);
  }
}

}  // namespace

TEST_CASE("upsample_conv3d equals upsampling and convolving, bit for bit on small integers") {
  Context<Cpu> reference({.threads = 1});
  std::uint32_t id = 1;
  for (const auto& [x_shape, out] : {std::pair{Shape{2, 2, 3, 5, 3}, Index{5}},
                                     {Shape{1, 1, 1, 1, 2}, Index{1}},
                                     {Shape{1, 3, 2, 20, 33}, Index{32}},
                                     {Shape{1, 2, 9, 31, 31}, Index{33}},
                                     {Shape{1, 2, 2, 4, 200}, Index{150}}}) {
    const TwoSteps want(reference, x_shape, out, id);
    id += 4;
    for (const CpuProvider* provider : usable_providers()) {
      compare_with_two_steps<float>(*provider, want);
      compare_with_two_steps<double>(*provider, want);
      compare_with_two_steps<bfloat16>(*provider, want);
    }
    compare_with_two_steps<double>(direct_double_provider(), want);
  }
}

TEST_CASE("upsample gradients agree with finite differences") {
  for (const CpuProvider* provider : {&default_cpu_provider(), &direct_double_provider()}) {
    Context<Cpu> ctx({.threads = 2, .provider = provider});
    auto x = random<double>(ctx, {2, 2, 3, 4, 3}, 1), w = random<double>(ctx, {3, 3, 3, 3, 4}, 2),
         bias = random<double>(ctx, {4}, 3);
    const auto up = random<double>(ctx, {2, 4, 6, 8, 4}, 4), up_nearest = random<double>(ctx, {2, 4, 6, 8, 3}, 5);
    check_gradient("nearest x", x, upsample_nearest2_backward(up_nearest),
                   [&] { return dot(up_nearest, upsample_nearest2_forward(x)); });
    const auto loss = [&] { return dot(up, upsample_conv3d_forward(x, w, bias)); };
    auto dw = Tensor<double, Cpu>::zeros(ctx, w.shape()), dbias = Tensor<double, Cpu>::zeros(ctx, {4});
    upsample_conv3d_backward_weight(x, up, dw);
    conv3d_backward_bias(up, dbias);
    check_gradient("x", x, upsample_conv3d_backward_input(up, w), loss);
    check_gradient("weight", w, dw, loss);
    check_gradient("bias", bias, dbias, loss);
  }
}

TEST_CASE("upsample_conv3d does not depend on the number of threads") {
  std::vector<std::unique_ptr<Context<Cpu>>> contexts;  // outlive the results
  std::vector<Tensor<float, Cpu>> first;
  for (int threads : {1, 2, 3}) {
    contexts.push_back(std::make_unique<Context<Cpu>>(CpuOptions{.threads = threads}));
    Context<Cpu>& ctx = *contexts.back();
    const auto x = random<float>(ctx, {2, 6, 11, 33, 16}, 1), w = random<float>(ctx, {3, 3, 3, 16, 40}, 2);
    const auto y = upsample_conv3d_forward(x, w, {});
    const auto dy = random<float>(ctx, y.shape(), 3);
    auto dw = Tensor<float, Cpu>::zeros(ctx, w.shape());
    upsample_conv3d_backward_weight(x, dy, dw);
    const std::vector<Tensor<float, Cpu>> got = {y, upsample_conv3d_backward_input(dy, w), dw,
                                                 upsample_nearest2_backward(dy)};
    if (first.empty()) first = got;
    for (std::size_t i = 0; i < got.size(); ++i)
      CHECK_MESSAGE(same_bits(first[i], got[i]), "result ", i, " with ", threads, " threads");
  }
}

TEST_CASE("upsample says what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = small_integers<float>(ctx, {1, 2, 2, 2, 3}, 1), w = small_integers<float>(ctx, {3, 3, 3, 3, 5}, 1);
  CHECK_THROWS_AS(upsample_nearest2_forward(x.reshape({2, 2, 2, 3})), Error);
  CHECK_THROWS_AS(upsample_nearest2_backward(small_integers<float>(ctx, {1, 4, 5, 4, 5}, 1)), Error);
  CHECK_THROWS_AS(upsample_conv3d_forward(x, small_integers<float>(ctx, {3, 3, 3, 4, 5}, 1), {}), Error);
  CHECK_THROWS_AS(upsample_conv3d_forward(x, small_integers<float>(ctx, {3, 3, 2, 3, 5}, 1), {}), Error);
  CHECK_THROWS_AS(upsample_conv3d_forward(x, w, small_integers<float>(ctx, {3}, 1)), Error);
  CHECK_THROWS_AS(upsample_conv3d_backward_input(small_integers<float>(ctx, {1, 4, 5, 4, 5}, 1), w), Error);
}
