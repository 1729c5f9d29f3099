#include "braing3n/autograd/ops_loss.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/weighted_loss.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE_TEMPLATE("the weighted squared error of samples", T, double, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  const auto p = random<T>(ctx, Shape{3, 5, 7}, 1), t = random<T>(ctx, Shape{3, 5, 7}, 2);
  const std::vector<float> w = {0.25f, 0.0f, 2.0f};
  double sum = 0;
  for (Index i = 0; i < p.size(); ++i) {
    const double d = static_cast<double>(p.data()[i]) - static_cast<double>(t.data()[i]);
    sum += static_cast<double>(w[static_cast<std::size_t>(i / 35)]) * d * d;
  }
  const auto weights = Tensor<float, Cpu>::from_host(ctx, Shape{3}, w);
  CHECK(std::abs(item(weighted_mse_forward(p, t, weights)) - sum / 105) < tolerance<accum_t<T>>(105, 8.0));
}

TEST_CASE("gradient of the weighted squared error") {
  Context<Cpu> ctx({.threads = 2});
  const auto p = random<double>(ctx, Shape{3, 5, 7}, 3), t = random<double>(ctx, Shape{3, 5, 7}, 4);
  const auto weights = Tensor<float, Cpu>::from_host(ctx, Shape{3}, std::vector<float>{0.5f, 0.0f, 1.5f});
  const double factor = -0.7;
  check_gradient("weighted", p, weighted_mse_backward(p, t, weights, scalar(ctx, factor)),
                 [&] { return factor * item(weighted_mse_forward(p, t, weights)); });
  const auto once = Tensor<float, Cpu>::from_host(ctx, Shape{3}, std::vector<float>{1, 1, 1});
  CHECK(std::abs(item(weighted_mse_forward(p, t, once)) - item(mse_forward(p, t))) < tolerance<double>(105));
  Tape<Cpu> tape;
  const Var<double, Cpu> leaf = tape.leaf(p);
  tape.backward(weighted_mse_loss(leaf, t, weights), scalar(ctx, factor));
  CHECK(max_difference(leaf.gradient(), weighted_mse_backward(p, t, weights, scalar(ctx, factor))) == 0.0);
}

TEST_CASE("the weighted squared error says what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto p = random<float>(ctx, Shape{2, 3}, 5);
  check_error("op.shape", {"weights", "(3)", "(2)"},
              [&] { weighted_mse_forward(p, p, full<float>(ctx, Shape{3}, 1.0)); });
  check_error("op.shape", {"(2, 3)", "(3, 2)"},
              [&] { weighted_mse_forward(p, random<float>(ctx, Shape{3, 2}, 6), full<float>(ctx, Shape{2}, 1.0)); });
}
