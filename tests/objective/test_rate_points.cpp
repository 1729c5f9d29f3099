#include "tests/support/check.hpp"

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/objective/rate_points.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE_TEMPLATE("points between visits and their rates", T, double, float) {
  Context<Cpu> ctx({.threads = 2});
  const auto a = random<T>(ctx, Shape{3, 4, 5}, 1), b = random<T>(ctx, Shape{3, 4, 5}, 2),
             e = random<T>(ctx, Shape{3, 4, 5}, 3);
  const std::vector<double> u = {0.25, 0.9, 0.5}, years = {2.0, -4.0, 0.5};
  const RatePointOptions options{.sigma = 0.1, .unit_years = 5};
  const RatePoints<T, Cpu> points = rate_points(a, b, e, u, years, options);
  double z = 0, rate = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const auto n = static_cast<std::size_t>(i / 20);
    const double x = static_cast<double>(a.data()[i]), y = static_cast<double>(b.data()[i]);
    z = std::max(z, std::abs(static_cast<double>(points.z.data()[i]) -
                             ((1 - u[n]) * x + u[n] * y + 0.1 * static_cast<double>(e.data()[i]))));
    rate = std::max(rate, std::abs(static_cast<double>(points.target.data()[i]) - 5 * (y - x) / years[n]));
  }
  CHECK(z < tolerance<T>(4, 4.0));
  CHECK(rate < tolerance<T>(4, 40.0));
}

TEST_CASE("points between visits say what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto a = random<double>(ctx, Shape{2, 3}, 4);
  check_error("rate_points.years", {"0 years"}, [&] { rate_points(a, a, a, {0.5, 0.5}, {1.0, 0.0}, {}); });
  check_error("rate_points.samples", {"2 samples", "1 and 2"}, [&] { rate_points(a, a, a, {0.5}, {1.0, 1.0}, {}); });
}
