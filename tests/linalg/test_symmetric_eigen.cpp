#include "tests/support/check.hpp"

#include "braing3n/linalg/symmetric_eigen.hpp"

using namespace braing3n;

TEST_CASE("eigenvalues and eigenvectors put the matrix together again") {
  Context<Cpu> ctx({.threads = 1});
  // General, of low rank, graded over many orders of magnitude, diagonal, in two blocks, tiny and huge.
  for (const Index n : {1, 2, 3, 31, 32, 33, 100})
    for (int kind = 0; kind < 7; ++kind) {
      CAPTURE(n);
      CAPTURE(kind);
      const Index rank = kind == 1 ? (n + 2) / 3 : n;
      const auto random = test::random<double>(ctx, {rank, n}, static_cast<std::uint32_t>(10 * n + kind));
      const auto number = [&](Index i, Index j) { return random.data()[std::min(i, rank - 1) * n + j]; };
      std::vector<double> a(static_cast<std::size_t>(n * n), 0.0);
      for (Index i = 0; i < n; ++i)
        for (Index j = 0; j <= i; ++j) {
          double v = number(i, j);
          if (kind == 1) {
            v = 0;
            for (Index k = 0; k < rank; ++k) v += number(k, i) * number(k, j);
          }
          if (kind == 2) v *= std::pow(10.0, -0.1 * static_cast<double>(i + j));
          if (kind == 3 && i != j) v = 0;
          if (kind == 4 && i >= n / 2 && j < n / 2) v = 0;
          if (kind == 5) v *= 1e-180;
          if (kind == 6) v *= 1e150;
          a[static_cast<std::size_t>(i * n + j)] = a[static_cast<std::size_t>(j * n + i)] = v;
        }
      const SymmetricEigen e = symmetric_eigen(a, n);
      const std::vector<double> values = symmetric_eigenvalues(a, n);
      double largest = 0, worst = 0, tilt = 0, other = 0;
      for (const double v : a) largest = std::max(largest, std::abs(v));
      const auto vector = [&](Index i, Index k) { return e.vectors[static_cast<std::size_t>(i * n + k)]; };
      for (Index i = 0; i < n; ++i)
        for (Index j = 0; j < n; ++j) {
          double sum = 0, product = 0;
          for (Index k = 0; k < n; ++k) {
            sum += vector(i, k) * e.values[static_cast<std::size_t>(k)] * vector(j, k);
            product += vector(k, i) * vector(k, j);
          }
          worst = std::max(worst, std::abs(sum - a[static_cast<std::size_t>(i * n + j)]));
          tilt = std::max(tilt, std::abs(product - (i == j ? 1.0 : 0.0)));
        }
      for (std::size_t k = 0; k < values.size(); ++k) other = std::max(other, std::abs(values[k] - e.values[k]));
      CHECK(worst <= test::tolerance<double>(n * n, largest));
      CHECK(tilt <= test::tolerance<double>(n * n, 1.0));
      CHECK(other <= test::tolerance<double>(n * n, largest));
      CHECK(std::is_sorted(e.values.begin(), e.values.end()));
      CHECK(std::is_sorted(values.begin(), values.end()));
    }
}

TEST_CASE("the eigenvalues of a chain of springs are known") {
  // 2 on the diagonal, -1 beside it: 2 - 2 cos(pi k / (n + 1)).
  const Index n = 64;
  std::vector<double> a(static_cast<std::size_t>(n * n), 0.0);
  for (Index i = 0; i < n; ++i) {
    a[static_cast<std::size_t>(i * n + i)] = 2;
    if (i > 0) a[static_cast<std::size_t>(i * n + i - 1)] = a[static_cast<std::size_t>((i - 1) * n + i)] = -1;
  }
  const std::vector<double> values = symmetric_eigenvalues(a, n);
  for (Index k = 0; k < n; ++k)
    CHECK(values[static_cast<std::size_t>(k)] ==
          doctest::Approx(2 - 2 * std::cos(std::acos(-1.0) * static_cast<double>(k + 1) / static_cast<double>(n + 1)))
              .epsilon(1e-12));
}

TEST_CASE("equal eigenvalues have orthonormal vectors") {
  // 3 I + u u^T with |u| = 1: n - 1 times 3, once 4.
  const Index n = 40;
  std::vector<double> a(static_cast<std::size_t>(n * n), 1.0 / static_cast<double>(n));
  for (Index i = 0; i < n; ++i) a[static_cast<std::size_t>(i * n + i)] += 3;
  const SymmetricEigen e = symmetric_eigen(a, n);
  for (Index k = 0; k < n; ++k)
    CHECK(e.values[static_cast<std::size_t>(k)] == doctest::Approx(k + 1 < n ? 3 : 4).epsilon(1e-13));
  double worst = 0;
  for (Index p = 0; p < n; ++p)
    for (Index q = 0; q < n; ++q) {
      double product = 0;
      for (Index i = 0; i < n; ++i)
        product += e.vectors[static_cast<std::size_t>(i * n + p)] * e.vectors[static_cast<std::size_t>(i * n + q)];
      worst = std::max(worst, std::abs(product - (p == q ? 1.0 : 0.0)));
    }
  CHECK(worst < 1e-13);
  CHECK(std::abs(std::abs(e.vectors[static_cast<std::size_t>(n - 1)]) - 1 / std::sqrt(static_cast<double>(n))) < 1e-13);
}

TEST_CASE("what has no eigenvalues says so") {
  CHECK(symmetric_eigen(std::vector<double>(), 0).values.empty());
  test::check_error("symmetric_eigen.shape", {"3 x 3", "got 8"},
                    [] { symmetric_eigen(std::vector<double>(8, 1.0), 3); });
  std::vector<double> a = {1, 0, 0, std::nan("")};
  for (const double v : symmetric_eigenvalues(a, 2)) CHECK(std::isnan(v));
  CHECK(symmetric_eigen(a, 2).vectors.size() == 4);
}
