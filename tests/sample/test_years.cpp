// Fields of rates whose flow is known in closed form.
#include "tests/support/check.hpp"

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/sample/years.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

using D = Tensor<double, Cpu>;

/// dz/da = k z + s (a - 50): z(a) + p a' + q with a' = a - 50 decays or grows by exp(k dt).
constexpr double k = -0.08, s = 0.01;
double exact(double z, double age, double years) {
  const double p = -s / k, q = -s / (k * k), a = age - 50;
  return (z - p * a - q) * std::exp(k * years) + p * (a + years) + q;
}
D rate(const D& z, const std::vector<double>& ages) {
  D r(z.context(), z.shape());
  const Index each = z.size() / z.dim(0);
  for (Index i = 0; i < z.size(); ++i)
    r.data()[i] = k * z.data()[i] + s * (ages[static_cast<std::size_t>(i / each)] - 50);
  return r;
}

double worst(const D& got, const D& start, const std::vector<double>& ages, const std::vector<double>& years) {
  double most = 0;
  const Index each = start.size() / start.dim(0);
  for (Index i = 0; i < start.size(); ++i) {
    const auto n = static_cast<std::size_t>(i / each);
    most = std::max(most, std::abs(got.data()[i] - exact(start.data()[i], ages[n], years[n])));
  }
  return most;
}

}  // namespace

TEST_CASE("a linear field of rates arrives where its closed form does") {
  Context<Cpu> ctx({.threads = 1});
  const D start = random<double>(ctx, Shape{3, 4, 2}, 1);
  const std::vector<double> ages = {48.5, 61, 80};
  const std::vector<std::vector<double>> stops = {{1, 2, 0.5}, {4, 2, 10}, {9.5, 2, 10}};
  const auto reached = integrate_years(start, ages, stops, 1.0, rate);
  REQUIRE(reached.size() == 3);
  for (std::size_t h = 0; h < stops.size(); ++h) CHECK(worst(reached[h], start, ages, stops[h]) < 2e-3);
  // Second order: steps of half the length leave a quarter of the error.
  const double coarse = worst(integrate_years(start, ages, {stops[2]}, 1.0, rate)[0], start, ages, stops[2]),
               fine = worst(integrate_years(start, ages, {stops[2]}, 0.5, rate)[0], start, ages, stops[2]);
  CHECK(coarse / fine > 3.5);
  CHECK(coarse / fine < 4.5);
}

TEST_CASE("a horizon of 0 keeps every bit, and ways add up") {
  Context<Cpu> ctx({.threads = 1});
  const D start = random<double>(ctx, Shape{2, 5}, 2);
  const std::vector<double> ages = {55, 70};
  CHECK(max_difference(integrate_years(start, ages, {{0, 0}}, 1.0, rate)[0], start) == 0.0);
  const auto some = integrate_years(start, ages, {{0, 3}}, 1.0, rate)[0];
  for (Index i = 0; i < 5; ++i) CHECK(some.data()[i] == start.data()[i]);
  const D two = integrate_years(start, ages, {{2, 2}}, 1.0, rate)[0];
  const D again = integrate_years(two, {57, 72}, {{3, 3}}, 1.0, rate)[0],
          five = integrate_years(start, ages, {{5, 5}}, 1.0, rate)[0];
  CHECK(max_difference(again, five) < 1e-14);  // the same steps at the same ages
  CHECK(max_difference(integrate_years(five, {60, 75}, {{-5, -5}}, 1.0, rate)[0], start) < 2e-3);
}

TEST_CASE("evaluations of a forecast: two for every year of the longest horizon") {
  Context<Cpu> ctx({.threads = 1});
  Index count = 0;
  const auto counted = [&](const D& z, const std::vector<double>& ages) {
    ++count;
    return rate(z, ages);
  };
  integrate_years(random<double>(ctx, Shape{1, 3}, 3), {60}, {{1}, {2}, {5}, {10}}, 1.0, counted);
  CHECK(count == 20);
}

TEST_CASE("forecasts say what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const D start = random<double>(ctx, Shape{2, 3}, 4);
  check_error("years.samples", {"1 ages", "2 samples"}, [&] { integrate_years(start, {60}, {{1, 1}}, 1.0, rate); });
  check_error("years.stops", {"2 samples", "1"}, [&] { integrate_years(start, {60, 61}, {{1}}, 1.0, rate); });
  check_error("years.horizon", {"nan"}, [&] { integrate_years(start, {60, 61}, {{1, std::nan("")}}, 1.0, rate); });
  check_error("years.step", {"0"}, [&] { integrate_years(start, {60, 61}, {{1, 1}}, 0.0, rate); });
}
