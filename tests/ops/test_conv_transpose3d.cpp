#include "braing3n/ops/conv_transpose3d.hpp"

#include "support/conv_reference.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

/// y[2p + k] = bias + x[p] w[k], as written.
template <class T>
Tensor<double, Cpu> reference(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& w, const Tensor<T, Cpu>& bias) {
  const Shape& s = x.shape();
  const Index in = w.dim(3), out = w.dim(4);
  Tensor<double, Cpu> y(x.context(), Shape{s[0], 2 * s[1], 2 * s[2], 2 * s[3], out});
  Index e = 0;
  for (Index n = 0; n < s[0]; ++n)
    for (Index i = 0; i < 2 * s[1]; ++i)
      for (Index j = 0; j < 2 * s[2]; ++j)
        for (Index k = 0; k < 2 * s[3]; ++k)
          for (Index o = 0; o < out; ++o, ++e) {
            double v = bias.empty() ? 0.0 : at(bias, o);
            const Index voxel = ((n * s[1] + i / 2) * s[2] + j / 2) * s[3] + k / 2,
                        tap = (i % 2 * 2 + j % 2) * 2 + k % 2;
            for (Index c = 0; c < in; ++c) v += at(x, voxel * in + c) * at(w, (tap * in + c) * out + o);
            y.data()[e] = v;
          }
  return y;
}

template <class T>
void compare_with_definition(const CpuProvider& provider) {
  Context<Cpu> ctx({.threads = 2, .provider = &provider});
  std::uint32_t id = 0;
  for (const auto& [x_shape, out] : {std::pair{Shape{2, 2, 3, 4, 5}, Index{3}},
                                     {Shape{1, 2, 3, 33, 31}, Index{33}},
                                     {Shape{1, 3, 1, 16, 32}, Index{1}}}) {
    CAPTURE(std::string(provider.name));
    CAPTURE(x_shape.str());
    const auto x = small_integers<T>(ctx, x_shape, ++id), w = small_integers<T>(ctx, {2, 2, 2, x_shape[4], out}, ++id);
    const auto bias = small_integers<T>(ctx, {out}, ++id);
    const auto y = conv_transpose3d_forward(x, w, bias);
    const auto want = reference(x, w, bias);
    REQUIRE(y.shape() == want.shape());
    Index wrong = 0;
    for (Index i = 0; i < y.size(); ++i) wrong += y.data()[i] == static_cast<T>(want.data()[i]) ? 0 : 1;
    CHECK(wrong == 0);
  }
}

}  // namespace

TEST_CASE("conv_transpose3d equals its definition, bit for bit on small integers") {
  for (const CpuProvider* provider : usable_providers()) {
    compare_with_definition<float>(*provider);
    compare_with_definition<double>(*provider);
    compare_with_definition<bfloat16>(*provider);
  }
}

TEST_CASE("conv_transpose3d gradients: finite differences, and float against double") {
  for (const CpuProvider* provider : usable_providers()) {
    CAPTURE(std::string(provider->name));
    Context<Cpu> ctx({.threads = 2, .provider = provider});
    auto x = random<double>(ctx, {2, 2, 3, 4, 3}, 1), w = random<double>(ctx, {2, 2, 2, 3, 5}, 2),
         bias = random<double>(ctx, {5}, 3);
    const auto up = random<double>(ctx, {2, 4, 6, 8, 5}, 4);
    const auto loss = [&] { return dot(up, conv_transpose3d_forward(x, w, bias)); };
    auto dw = Tensor<double, Cpu>::zeros(ctx, w.shape()), dbias = Tensor<double, Cpu>::zeros(ctx, {5});
    const auto dx = conv_transpose3d_backward_input(up, w);
    conv_transpose3d_backward_weight(x, up, dw);
    conv_transpose3d_backward_bias(up, dbias);
    check_gradient("x", x, dx, loss);
    check_gradient("weight", w, dw, loss);
    check_gradient("bias", bias, dbias, loss);

    const auto xf = random<float>(ctx, x.shape(), 1), wf = random<float>(ctx, w.shape(), 2),
               upf = random<float>(ctx, up.shape(), 4);
    auto dwf = Tensor<float, Cpu>::zeros(ctx, w.shape());
    conv_transpose3d_backward_weight(xf, upf, dwf);
    CHECK(max_difference(conv_transpose3d_backward_input(upf, wf), dx) <= tolerance<float>(8 * 5));
    CHECK(max_difference(dwf, dw) <= tolerance<float>(2 * 2 * 3 * 4));
  }
}

TEST_CASE("conv_transpose3d says what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = small_integers<float>(ctx, {1, 2, 2, 2, 3}, 1);
  CHECK_THROWS_AS(conv_transpose3d_forward(x, small_integers<float>(ctx, {2, 2, 2, 4, 5}, 1), {}), Error);
  CHECK_THROWS_AS(conv_transpose3d_forward(x, small_integers<float>(ctx, {3, 3, 3, 3, 5}, 1), {}), Error);
  const auto w = small_integers<float>(ctx, {2, 2, 2, 3, 5}, 1);
  CHECK_THROWS_AS(conv_transpose3d_forward(x, w, small_integers<float>(ctx, {3}, 1)), Error);
  CHECK_THROWS_AS(conv_transpose3d_backward_input(small_integers<float>(ctx, {1, 4, 5, 4, 5}, 1), w), Error);
  CHECK_THROWS_AS(conv_transpose3d_backward_input(small_integers<float>(ctx, {1, 4, 4, 4, 3}, 1), w), Error);
}
