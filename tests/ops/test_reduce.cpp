#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/reduce.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE("reductions over everything, and over tokens") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = small_integers<float>(ctx, Shape{3, 31, 33}, 11);
  double total = 0, squares = 0, largest = 0;
  for (Index i = 0; i < x.size(); ++i) {
    total += static_cast<double>(x.data()[i]);
    squares += static_cast<double>(x.data()[i]) * static_cast<double>(x.data()[i]);
    largest = std::max(largest, std::abs(static_cast<double>(x.data()[i])));
  }
  CHECK(sum_forward(x) == total);
  CHECK(mean_forward(x) == total / static_cast<double>(x.size()));
  CHECK(squared_norm(x) == squares);
  CHECK(norm(x) == std::sqrt(squares));
  CHECK(max_abs(x) == largest);
  CHECK(all_finite(x));
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity()}) {
    auto y = x.clone();
    y.data()[y.size() - 1] = static_cast<float>(bad);
    CHECK_FALSE(all_finite(y));
  }
  const auto z = random<double>(ctx, Shape{2, 31, 5}, 12), up = random<double>(ctx, Shape{2, 5}, 13);
  check_gradient("mean_tokens", z, mean_tokens_backward(up, 31), [&] { return dot(up, mean_tokens_forward(z)); });
  check_gradient("sum", z, sum_backward<double>(ctx, z.shape(), 0.7), [&] { return 0.7 * sum_forward(z); });
  check_gradient("mean", z, mean_backward<double>(ctx, z.shape(), 0.7), [&] { return 0.7 * mean_forward(z); });
}

TEST_CASE("reductions have the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("reductions", [](Context<Cpu>& ctx) {
    const auto x = random<float>(ctx, Shape{2, 1500, 67}, 14);
    return std::vector<Tensor<float, Cpu>>{mean_tokens_forward(x), full<float>(ctx, Shape{1}, sum_forward(x)),
                                           full<float>(ctx, Shape{1}, norm(x))};
  });
}

TEST_CASE("reductions say what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = random<float>(ctx, Shape{2, 3}, 1);
  check_error("op.rank", {"mean_tokens", "(2, 3)", "(N, L, C)"}, [&] { mean_tokens_forward(x); });
  check_error("op.rank", {"mean_tokens_backward", "(6)", "(N, C)"},
              [&] { mean_tokens_backward(x.reshape(Shape{6}), 2); });
  check_error("op.empty", {"sum", "(0, 2)"}, [&] { sum_forward(Tensor<float, Cpu>(ctx, Shape{0, 2})); });
}
