// Layer norm against the definition in double; gradients against finite differences; the fused modulation against its parts.
#include <doctest/doctest.h>

#include <cmath>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/layer_norm.hpp"
#include "support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

/// y for x (rows, n), gain and shift (rows_of_gain, n) with rows_per_gain rows each; empty gain: 1 and 0.
template <class T>
Tensor<double, Cpu> reference(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& gain, const Tensor<T, Cpu>& shift,
                              double eps, double gain_offset = 0, Index rows_per_gain = 1 << 30) {
  const Index n = x.dim(-1), rows = x.size() / n;
  Tensor<double, Cpu> y(x.context(), x.shape());
  for (Index r = 0; r < rows; ++r) {
    double mean = 0, variance = 0;
    for (Index i = 0; i < n; ++i) mean += static_cast<double>(x.data()[r * n + i]) / static_cast<double>(n);
    for (Index i = 0; i < n; ++i)
      variance += std::pow(static_cast<double>(x.data()[r * n + i]) - mean, 2) / static_cast<double>(n);
    for (Index i = 0; i < n; ++i) {
      const Index at = r / rows_per_gain * n + i;
      const double xhat = (static_cast<double>(x.data()[r * n + i]) - mean) / std::sqrt(variance + eps);
      y.data()[r * n + i] = xhat;
      if (!gain.empty())
        y.data()[r * n + i] =
            xhat * (gain_offset + static_cast<double>(gain.data()[at])) + static_cast<double>(shift.data()[at]);
    }
  }
  return y;
}

constexpr Index widths[] = {1, 5, 31, 32, 33, 64, 100, 1152};

}  // namespace

TEST_CASE_TEMPLATE("layer norm follows the definition", T, double, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  for (Index n : widths) {
    const auto x = random<T>(ctx, {2, 37, n}, 1, 3), w = random<T>(ctx, {n}, 2), b = random<T>(ctx, {n}, 3);
    const double bound = tolerance<T>(1, 8) + tolerance<accum_t<T>>(n, 2);
    CAPTURE(n);
    for (double eps : {1e-6, 0.3}) {
      CHECK(max_difference(layer_norm_forward(x, w, b, {.eps = eps}).y, reference(x, w, b, eps)) <= bound);
      const Tensor<T, Cpu> none;
      CHECK(max_difference(layer_norm_forward(x, none, none, {.eps = eps}).y, reference(x, none, none, eps)) <= bound);
    }
  }
}

TEST_CASE("layer norm keeps its accuracy far from zero") {
  Context<Cpu> ctx({.threads = 1});
  auto x = random<float>(ctx, {3, 1152}, 1);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] += 1000.0f;
  const Tensor<float, Cpu> none;
  // The mean of floats near 1000 is good to a few 6e-5 (their ulp); deviations are of size 1.
  CHECK(max_difference(layer_norm_forward(x, none, none).y, reference(x, none, none, 1e-6)) <=
        tolerance<float>(1, 1000));
}

TEST_CASE("layer norm gradients against finite differences") {
  Context<Cpu> ctx({.threads = 2});
  for (Index n : {3, 31, 32, 33}) {
    const auto x = random<double>(ctx, {2, 19, n}, 1), w = random<double>(ctx, {n}, 2), b = random<double>(ctx, {n}, 3);
    const auto dy = random<double>(ctx, x.shape(), 4);
    const LayerNormOptions options{.eps = 0.05};
    const auto loss = [&] { return dot(dy, layer_norm_forward(x, w, b, options).y); };
    // Parameter gradients are added to what is there.
    auto dw = random<double>(ctx, {n}, 5), db = random<double>(ctx, {n}, 6);
    const auto dw_before = dw.clone(), db_before = db.clone();
    const auto dx = layer_norm_backward(x, w, layer_norm_forward(x, w, b, options), dy, dw, db);
    for (Index i = 0; i < n; ++i) dw.data()[i] -= dw_before.data()[i], db.data()[i] -= db_before.data()[i];
    check_gradient("dx", x, dx, loss);
    check_gradient("dweight", w, dw, loss);
    check_gradient("dbias", b, db, loss);
    const Tensor<double, Cpu> none;
    const auto plain = layer_norm_backward(x, none, layer_norm_forward(x, none, none, options), dy);
    check_gradient("dx without affine", x, plain,
                   [&] { return dot(dy, layer_norm_forward(x, none, none, options).y); });
  }
}

TEST_CASE("gradients of weight and bias of a bf16 layer norm are sums in fp32") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<bfloat16>(ctx, {900, 33}, 1), w = random<bfloat16>(ctx, {33}, 2),
             b = random<bfloat16>(ctx, {33}, 3), dy = random<bfloat16>(ctx, {900, 33}, 4);
  const auto r = layer_norm_forward(x, w, b);
  auto dw = Tensor<float, Cpu>::zeros(ctx, {33}), db = dw.clone(), dw32 = dw.clone(), db32 = dw.clone();
  layer_norm_backward(x, w, r, dy, dw, db);
  layer_norm_backward(cast<float>(x), cast<float>(w), {{}, r.mean, r.rstd}, cast<float>(dy), dw32, db32);
  CHECK(same_bits(dw, dw32));
  CHECK(same_bits(db, db32));
}

TEST_CASE("layer norm with modulation equals norm, then modulation") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<float>(ctx, {3, 41, 72}, 1, 2), shift = random<float>(ctx, {3, 72}, 2),
             scale = random<float>(ctx, {3, 72}, 3);
  const auto fused = layer_norm_modulate_forward(x, shift, scale);
  CHECK(max_difference(fused.y, reference(x, scale, shift, 1e-6, 1.0, 41)) <= tolerance<float>(72, 4));
  const Tensor<float, Cpu> none;
  const auto plain = layer_norm_forward(x, none, none);
  CHECK(same_bits(fused.mean, plain.mean));
  CHECK(same_bits(fused.rstd, plain.rstd));
}

TEST_CASE("layer norm gives the same bits on 1, 2 and 3 threads") {
  std::vector<std::vector<float>> y, dx, dw;
  for (int threads : {1, 2, 3}) {
    Context<Cpu> ctx({.threads = threads});
    const auto x = random<float>(ctx, {900, 100}, 1), w = random<float>(ctx, {100}, 2),
               b = random<float>(ctx, {100}, 3);
    const auto dy = random<float>(ctx, {900, 100}, 4);
    auto dweight = Tensor<float, Cpu>::zeros(ctx, {100}), dbias = Tensor<float, Cpu>::zeros(ctx, {100});
    const auto r = layer_norm_forward(x, w, b);
    y.push_back(r.y.to_host());
    dx.push_back(layer_norm_backward(x, w, r, dy, dweight, dbias).to_host());
    dw.push_back(dweight.to_host());
  }
  for (std::size_t i : {1u, 2u}) {
    CHECK(y[i] == y[0]);
    CHECK(dx[i] == dx[0]);
    CHECK(dw[i] == dw[0]);
  }
}

TEST_CASE("layer norm refuses what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const Tensor<float, Cpu> x(ctx, {2, 5}), w(ctx, {5}), short_w(ctx, {4}), none, empty(ctx, {0, 5});
  const auto id = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.id();
    }
    return "none";
  };
  CHECK(id([&] { layer_norm_forward(x, short_w, w); }) == "op.shape");
  CHECK(id([&] { layer_norm_forward(x, w, none); }) == "layer_norm.affine");
  CHECK(id([&] { layer_norm_forward(empty, w, w); }) == "op.empty");
  CHECK(id([&] { layer_norm_forward(x, w, w, {.eps = -1}); }) == "layer_norm.eps");
  CHECK(id([&] { layer_norm_backward(x, none, layer_norm_forward(x, none, none), x, w); }) == "layer_norm.affine");
}
