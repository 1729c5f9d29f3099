#include "tests/support/check.hpp"

#include "braing3n/linalg/leading_eigen.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"
#include "braing3n/ops/matmul.hpp"

using namespace braing3n;

namespace {

/// Q diag(values) Q^T with a random orthogonal Q.
Tensor<double, Cpu> with_eigenvalues(Context<Cpu>& ctx, const std::vector<double>& values) {
  const Index n = std::ssize(values);
  const auto random = test::random<double>(ctx, {n, n}, 3);
  const SymmetricEigen basis = symmetric_eigen(matmul_forward(random, random, {.transpose_a = true}).to_host(), n);
  const auto q = Tensor<double, Cpu>::from_host(ctx, {n, n}, basis.vectors);
  Tensor<double, Cpu> scaled = q.clone();
  for (Index i = 0; i < scaled.size(); ++i) scaled.data()[i] *= values[static_cast<std::size_t>(i % n)];
  Tensor<double, Cpu> a = matmul_forward(scaled, q, {.transpose_b = true});
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j < i; ++j) a.data()[i * n + j] = a.data()[j * n + i];
  return a;
}

/// The values are the k largest of `values`, the vectors orthonormal eigenvectors.
void check_leading(Context<Cpu>& ctx, std::vector<double> values, Index k, double scale = 1) {
  Tensor<double, Cpu> a = with_eigenvalues(ctx, values);
  for (Index i = 0; i < a.size(); ++i) a.data()[i] *= scale;
  const LeadingEigen e = leading_eigen(ctx, a, k);
  std::sort(values.begin(), values.end(), std::greater<>());
  const Index n = a.dim(0);
  double size = 0;
  for (const double v : values) size = std::max(size, std::abs(v));
  REQUIRE(std::ssize(e.values) == k);
  REQUIRE(e.vectors.shape() == Shape{k, n});
  const auto products = matmul_forward(e.vectors, a),
             inner = matmul_forward(e.vectors, e.vectors, {.transpose_b = true});
  double value_error = 0, residual = 0, tilt = 0;
  for (Index r = 0; r < k; ++r) {
    value_error = std::max(
        value_error, std::abs(e.values[static_cast<std::size_t>(r)] / scale - values[static_cast<std::size_t>(r)]));
    double square = 0, largest = 0;
    for (Index i = 0; i < n; ++i) {
      const double v = e.vectors.data()[r * n + i];
      square += std::pow((products.data()[r * n + i] - e.values[static_cast<std::size_t>(r)] * v) / scale, 2);
      if (std::abs(v) > std::abs(largest)) largest = v;
    }
    CHECK(largest > 0);
    residual = std::max(residual, std::sqrt(square));
    for (Index s = 0; s < k; ++s) tilt = std::max(tilt, std::abs(inner.data()[r * k + s] - (r == s ? 1.0 : 0.0)));
  }
  CHECK(value_error <= 1e-11 * size);
  CHECK(residual <= 1e-8 * size);
  CHECK(tilt <= 1e-9);
}

}  // namespace

TEST_CASE("leading eigenvectors of spectra of every kind") {
  Context<Cpu> ctx({.threads = 2});
  const auto spectrum = [](Index n, auto&& f) {
    std::vector<double> values;
    for (Index i = 0; i < n; ++i) values.push_back(f(static_cast<double>(i)));
    return values;
  };
  const auto decaying = [](double i) { return 3 / (1 + 0.3 * i); };
  SUBCASE("small, by the full decomposition") {
    for (const Index n : {1, 2, 7, 40}) check_leading(ctx, spectrum(n, decaying), std::min<Index>(n, 5));
    check_leading(ctx, spectrum(40, decaying), 40);
  }
  SUBCASE("decaying, flat, linear") {
    check_leading(ctx, spectrum(300, decaying), 6);
    check_leading(ctx, spectrum(300, [](double i) { return 1 - 1e-4 * i; }), 8);
    check_leading(ctx, spectrum(150, [](double i) { return 150 - i; }), 1);
  }
  SUBCASE("repeated eigenvalues") {
    check_leading(ctx, spectrum(300, [](double i) { return i < 3 ? 5.0 : 4.9 - 0.001 * i; }), 6);
    check_leading(ctx, spectrum(300, [](double i) { return 5 - 0.01 * std::floor(i / 2); }), 6);
    check_leading(ctx, spectrum(300, [](double i) { return 5 - 0.1 * std::floor(i / 5); }), 12);
    check_leading(ctx, spectrum(200, [](double) { return 2.0; }), 5);
    // Which a Lanczos run alone does not find.
    check_leading(ctx, spectrum(300, [](double i) { return 5 - 0.5 * std::floor(i / 10); }), 8);
    check_leading(ctx, spectrum(300, [](double i) { return 5 - 0.1 * std::floor(i / 20); }), 12);
  }
  SUBCASE("low rank, negative, indefinite, tiny and huge") {
    check_leading(ctx, spectrum(300, [](double i) { return i < 5 ? 5.0 - i : 0.0; }), 8);
    check_leading(ctx, spectrum(300, [](double i) { return i < 1 ? 1.0 : 0.0; }), 8);
    check_leading(ctx, spectrum(200, [](double i) { return -1 - i; }), 4);
    check_leading(ctx, spectrum(200, [](double i) { return 10 - i; }), 12);
    check_leading(ctx, spectrum(200, decaying), 6, 1e-180);
    check_leading(ctx, spectrum(200, decaying), 6, 1e150);
    check_leading(ctx, spectrum(200, [](double i) { return std::pow(10, -0.2 * i); }), 20);
  }
}

TEST_CASE("a matrix of zeros has eigenvalues of zero") {
  Context<Cpu> ctx({.threads = 1});
  const LeadingEigen e = leading_eigen(ctx, Tensor<double, Cpu>::zeros(ctx, {100, 100}), 3);
  for (const double v : e.values) CHECK(v == 0);
  const auto inner = matmul_forward(e.vectors, e.vectors, {.transpose_b = true});
  for (Index i = 0; i < 9; ++i) CHECK(inner.data()[i] == (i % 4 == 0 ? 1 : 0));
}

TEST_CASE("an operator gives what its matrix gives, for any number of threads") {
  const Index n = 200, k = 7;
  std::vector<double> values;
  for (Index i = 0; i < n; ++i) values.push_back(std::exp(-0.05 * static_cast<double>(i)));
  std::vector<double> first;
  for (const int threads : {1, 2, 3}) {
    Context<Cpu> ctx({.threads = threads});
    const LeadingEigen e = leading_eigen(ctx, with_eigenvalues(ctx, values), k);
    if (first.empty()) first = e.vectors.to_host();
    CHECK(e.vectors.to_host() == first);
  }
  Context<Cpu> ctx({.threads = 1});
  Index products = 0;
  const LeadingEigen e = leading_eigen<double>(ctx, n, k, [&](std::span<const double> x, std::span<double> y) {
    ++products;
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = values[(7 * i) % x.size()] * x[i];
  });
  for (std::size_t r = 0; r < e.values.size(); ++r) CHECK(e.values[r] == doctest::Approx(values[r]).epsilon(1e-12));
  CHECK(products < n);
}

TEST_CASE("what has no leading eigenvectors is refused") {
  Context<Cpu> ctx({.threads = 1});
  const auto square = Tensor<double, Cpu>::zeros(ctx, {9, 9});
  test::check_error("leading_eigen.count", {"1 to 9", "got 0"}, [&] { leading_eigen(ctx, square, 0); });
  test::check_error("leading_eigen.count", {"1 to 9", "got 10"}, [&] { leading_eigen(ctx, square, 10); });
  test::check_error("leading_eigen.shape", {"(9, 8)"},
                    [&] { leading_eigen(ctx, Tensor<double, Cpu>::zeros(ctx, {9, 8}), 1); });
  for (const Index n : {9, 100})
    for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
      auto a = Tensor<double, Cpu>::zeros(ctx, {n, n});
      a.data()[n + 1] = bad;
      test::check_error("leading_eigen.finite", {}, [&] { leading_eigen(ctx, a, 2); });
    }
}
