#include "tests/support/check.hpp"

#include "braing3n/linalg/llt.hpp"

using namespace braing3n;

TEST_CASE("Cholesky's factor puts the matrix together again and solves with it") {
  Context<Cpu> ctx({.threads = 1});
  for (const Index n : {1, 2, 5, 33, 150}) {
    CAPTURE(n);
    const auto m = test::random<double>(ctx, {n + 2, n}, 3), x = test::random<double>(ctx, {4, n}, 4);
    std::vector<double> a(static_cast<std::size_t>(n * n), 0.0);
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j)
        for (Index k = 0; k < n + 2; ++k)
          a[static_cast<std::size_t>(i * n + j)] += m.data()[k * n + i] * m.data()[k * n + j];
    const auto matrix = [&](Index i, Index j) {
      return 0.5 * a[static_cast<std::size_t>(i * n + j)] + (i == j ? 0.1 : 0.0);
    };
    std::vector<double> lower = a;
    for (Index i = 0; i < n; ++i)
      for (Index j = i + 1; j < n; ++j) lower[static_cast<std::size_t>(i * n + j)] = std::nan("");  // not read
    const Llt<double> factor = llt<double>(ctx, lower, n, {.scale = 0.5, .shift = 0.1});
    CHECK(factor.size == n);
    CHECK(factor.bytes() == static_cast<std::size_t>(n * n) * 8);
    const auto l = [&](Index i, Index j) { return factor.factor[static_cast<std::size_t>(i * n + j)]; };
    double worst = 0;
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j) {
        double sum = 0;
        for (Index k = 0; k < n; ++k) sum += l(i, k) * l(j, k);
        worst = std::max(worst, std::abs(sum - matrix(i, j)));
        if (j > i) CHECK(l(i, j) == 0);
      }
    CHECK(worst <= test::tolerance<double>(n * n, matrix(0, 0)));
    // Rows of b: A x, L x and L^T x.
    std::vector<double> full(static_cast<std::size_t>(4 * n), 0.0), down = full, up = full;
    for (Index r = 0; r < 4; ++r)
      for (Index i = 0; i < n; ++i)
        for (Index j = 0; j < n; ++j) {
          const auto at = static_cast<std::size_t>(r * n + i);
          full[at] += matrix(i, j) * x.data()[r * n + j];
          down[at] += l(i, j) * x.data()[r * n + j];
          up[at] += l(j, i) * x.data()[r * n + j];
        }
    llt_solve<double>(factor, full);
    llt_solve_lower<double>(factor, down);
    llt_solve_upper<double>(factor, up);
    double off = 0;
    for (Index i = 0; i < 4 * n; ++i)
      for (const auto* v : {&full, &down, &up})
        off = std::max(off, std::abs((*v)[static_cast<std::size_t>(i)] - x.data()[i]));
    CHECK(off < 1e-9);
  }
}

TEST_CASE("matrices without a Cholesky factor are refused") {
  Context<Cpu> ctx({.threads = 1});
  const std::vector<double> indefinite = {1, 0, 2, 1}, zero(4, 0.0), unknown = {1, 0, std::nan(""), 1},
                            infinite = {std::numeric_limits<double>::infinity(), 0, 0, 1};
  for (const auto& a : {indefinite, zero, unknown, infinite})
    test::check_error("llt.indefinite", {"2 rows"}, [&] { llt<double>(ctx, a, 2); });
  const Llt<double> rescued = llt<double>(ctx, zero, 2, {.shift = 4});
  CHECK(rescued.factor == std::vector<double>{2, 0, 0, 2});
  test::check_error("llt.shape", {"3 x 3", "got 4"}, [&] { llt<double>(ctx, zero, 3); });
  std::vector<double> three = {1, 2, 3}, none;
  test::check_error("llt.rows", {"rows of 2", "got 3"}, [&] { llt_solve<double>(rescued, three); });
  llt_solve<double>(rescued, none);
  llt_solve<double>(llt<double>(ctx, none, 0), none);
}

TEST_CASE("a large matrix is factored in blocks, with the same bits on any number of threads") {
  const Index n = 700;  // five blocks of columns and a smaller one
  Context<Cpu> one({.threads = 1}), three({.threads = 3});
  // 1 / (1 + |i - j|) is positive definite, and no entry of its factor is small by chance.
  const auto entry = [](Index i, Index j) { return 1 / (1 + static_cast<double>(std::abs(i - j))); };
  std::vector<double> a(static_cast<std::size_t>(n * n), std::nan(""));
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j <= i; ++j) a[static_cast<std::size_t>(i * n + j)] = entry(i, j);
  const Llt<double> factor = llt<double>(one, a, n, {.scale = 2, .shift = 0.5});
  CHECK(factor.factor == llt<double>(three, a, n, {.scale = 2, .shift = 0.5}).factor);
  double worst = 0, above = 0;
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j) {
      const double *row = factor.factor.data() + i * n, *other = factor.factor.data() + j * n;
      if (j > i) above = std::max(above, std::abs(row[j]));
      double sum = 0;
      for (Index k = 0; k <= std::min(i, j); ++k) sum += row[k] * other[k];
      worst = std::max(worst, std::abs(sum - 2 * entry(i, j) - (i == j ? 0.5 : 0.0)));
    }
  CHECK(above == 0);
  CHECK(worst < 1e-13);
  std::vector<double> x(static_cast<std::size_t>(2 * n), 0.0);
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < n; ++j) {
      x[static_cast<std::size_t>(i)] += 2 * entry(i, j) + (i == j ? 0.5 : 0.0);
      x[static_cast<std::size_t>(n + i)] += static_cast<double>(j) * (2 * entry(i, j) + (i == j ? 0.5 : 0.0));
    }
  llt_solve<double>(factor, x);
  double off = 0;
  for (Index i = 0; i < n; ++i) {
    off = std::max(off, std::abs(x[static_cast<std::size_t>(i)] - 1));
    off = std::max(off, std::abs(x[static_cast<std::size_t>(n + i)] - static_cast<double>(i)) / static_cast<double>(n));
  }
  CHECK(off < 1e-12);
  for (const Index row : {200, 699}) {  // found in a later block than the first
    for (const double wrong : {-3.0, std::nan("")}) {
      std::vector<double> b = a;
      b[static_cast<std::size_t>(row * n + row)] = wrong;
      test::check_error("llt.indefinite", {"700 rows"}, [&] { llt<double>(three, b, n); });
    }
  }
}
