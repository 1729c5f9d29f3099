// Softmax against the definition in double, its gradient against finite differences.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/softmax.hpp"
#include "support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE_TEMPLATE("softmax follows the definition", T, double, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  for (Index n : {1, 2, 31, 32, 33, 257}) {
    const auto x = random<T>(ctx, {3, 5, n}, 1, 4);
    Tensor<double, Cpu> want(ctx, x.shape());
    for (Index r = 0; r < 15; ++r) {
      double top = -1e300, sum = 0;
      for (Index i = 0; i < n; ++i) top = std::max(top, static_cast<double>(x.data()[r * n + i]));
      for (Index i = 0; i < n; ++i) sum += std::exp(static_cast<double>(x.data()[r * n + i]) - top);
      for (Index i = 0; i < n; ++i)
        want.data()[r * n + i] = std::exp(static_cast<double>(x.data()[r * n + i]) - top) / sum;
    }
    CAPTURE(n);
    CHECK(max_difference(softmax_forward(x), want) <= tolerance<T>(1) + tolerance<accum_t<T>>(n));
  }
}

TEST_CASE("softmax of extreme rows") {
  Context<Cpu> ctx({.threads = 1});
  constexpr float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {3e38f, 3e38f, -3e38f, -inf, -inf, 5.0f};
  const auto y = softmax_forward(Tensor<float, Cpu>::from_host(ctx, {2, 3}, values)).to_host();
  CHECK(y == std::vector<float>{0.5f, 0.5f, 0.0f, 0.0f, 0.0f, 1.0f});
  const std::vector<float> with_nan = {1.0f, std::nanf(""), 2.0f, 1.0f, 1.0f, 1.0f};
  const auto z = softmax_forward(Tensor<float, Cpu>::from_host(ctx, {2, 3}, with_nan)).to_host();
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::isnan(z[i]));
  for (std::size_t i = 3; i < 6; ++i) CHECK(std::abs(z[i] - 1.0f / 3) <= static_cast<float>(tolerance<float>()));
}

TEST_CASE("softmax gradient against finite differences") {
  Context<Cpu> ctx({.threads = 2});
  for (Index n : {2, 31, 32, 33}) {
    const auto x = random<double>(ctx, {4, 3, n}, 1), dy = random<double>(ctx, {4, 3, n}, 2);
    check_gradient("dx", x, softmax_backward(softmax_forward(x), dy), [&] { return dot(dy, softmax_forward(x)); });
  }
}

TEST_CASE("softmax gives the same bits on 1, 2 and 3 threads and refuses empty input") {
  std::vector<std::vector<float>> y;
  for (int threads : {1, 2, 3}) {
    Context<Cpu> ctx({.threads = threads});
    y.push_back(softmax_forward(random<float>(ctx, {700, 90}, 1)).to_host());
    CHECK_THROWS_AS(softmax_forward(Tensor<float, Cpu>(ctx, {0, 4})), Error);
  }
  CHECK(y[1] == y[0]);
  CHECK(y[2] == y[0]);
}
