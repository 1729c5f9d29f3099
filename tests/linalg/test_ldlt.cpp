#include "tests/support/check.hpp"

#include "braing3n/linalg/ldlt.hpp"

using namespace braing3n;

TEST_CASE("a system with a positive definite matrix is solved") {
  Context<Cpu> ctx({.threads = 1});
  for (const Index n : {1, 2, 5, 33}) {
    const auto size = static_cast<std::size_t>(n);
    const auto m = test::random<double>(ctx, {n + 2, n}, 3), x = test::random<double>(ctx, {n, 4}, 4);
    std::vector<double> a(size * size, 0.0), b(size * 4, 0.0);
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j) {
        double& v = a[static_cast<std::size_t>(i * n + j)];
        for (Index k = 0; k < n + 2; ++k) v += m.data()[k * n + i] * m.data()[k * n + j];
        if (i == j) v += 0.1;
      }
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j)
        for (Index c = 0; c < 4; ++c)
          b[static_cast<std::size_t>(i * 4 + c)] += a[static_cast<std::size_t>(i * n + j)] * x.data()[j * 4 + c];
    ldlt_solve<double>(a, n, b, 4);
    for (Index i = 0; i < n * 4; ++i)
      CHECK(b[static_cast<std::size_t>(i)] == doctest::Approx(x.data()[i]).epsilon(1e-9));
  }
}

TEST_CASE("a singular, an indefinite and an ill-shaped system are refused") {
  std::vector<double> b = {1, 1}, singular = {1, 1, 1, 1}, nearly = {1, 1, 1, 1 + 1e-17}, indefinite = {1, 2, 2, 1},
                      zero(4, 0.0);
  for (const auto& a : {singular, nearly, indefinite, zero})
    test::check_error("ldlt.indefinite", {"2 rows"}, [&] { ldlt_solve<double>(a, 2, b, 1); });
  test::check_error("ldlt.indefinite", {"2 rows"},
                    [&] { ldlt_solve<double>(std::vector<double>{std::nan(""), 0, 0, 1}, 2, b, 1); });
  test::check_error("ldlt.shape", {"3 x 3", "got 4"}, [&] { ldlt_solve<double>(singular, 3, b, 1); });
  std::vector<double> close = {1, 1 - 1e-9, 1 - 1e-9, 1};
  ldlt_solve<double>(close, 2, b, 1);  // badly conditioned, but definite
  CHECK(b[0] == doctest::Approx(0.5).epsilon(1e-6));
}
