#include "tests/support/check.hpp"

#include "braing3n/linalg/subspace_iteration.hpp"
#include "braing3n/ops/matmul.hpp"

using namespace braing3n;

TEST_CASE("a few products with a block give the leading eigenvectors of a decaying spectrum") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 120, k = 4;
  // Rows of decreasing size: the covariance has eigenvalues of about 4^-i.
  Tensor<double, Cpu> x = test::random<double>(ctx, {n, n}, 5);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] *= std::pow(0.5, static_cast<double>(i / n));
  const auto a = matmul_forward(x, x, {.transpose_a = true});
  const LeadingEigen wanted = leading_eigen(ctx, a, k);
  double last = 1;
  for (const int products : {1, 2, 4}) {
    int called = 0;
    const LeadingEigen e = subspace_iteration(ctx, n, k, products, [&](const Tensor<double, Cpu>& q) {
      ++called;
      CHECK(q.shape() == Shape{12, n});  // 8 more than asked for
      return matmul_forward(q, a);
    });
    CHECK(called == products);
    double error = 0;
    for (std::size_t r = 0; r < 4; ++r) error = std::max(error, std::abs(e.values[r] / wanted.values[r] - 1));
    for (Index i = 0; i < k * n; ++i) error = std::max(error, std::abs(e.vectors.data()[i] - wanted.vectors.data()[i]));
    CHECK(error < last);
    last = error;
  }
  CHECK(last < 1e-9);
}

TEST_CASE("subspace iteration on a matrix of low rank is finite, and refuses what it cannot do") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = test::random<double>(ctx, {2, 9}, 6);
  const auto a = matmul_forward(x, x, {.transpose_a = true});
  const auto apply = [&](const Tensor<double, Cpu>& q) { return matmul_forward(q, a); };
  const LeadingEigen e = subspace_iteration(ctx, 9, 4, 5, apply);
  CHECK(e.values[2] == doctest::Approx(0).epsilon(1e-9));
  for (Index i = 0; i < e.vectors.size(); ++i) CHECK(std::isfinite(e.vectors.data()[i]));
  test::check_error("subspace.count", {"1 to 9", "got 0"}, [&] { subspace_iteration(ctx, 9, 0, 4, apply); });
  test::check_error("subspace.count", {"1 to 9", "got 10"}, [&] { subspace_iteration(ctx, 9, 10, 4, apply); });
  test::check_error("subspace.products", {"at least 1", "got 0"}, [&] { subspace_iteration(ctx, 9, 4, 0, apply); });
}
