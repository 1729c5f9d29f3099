// Standard deviations of forecasts by horizon and change: recovered from errors, and what they do to intervals.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "braing3n/eval/error_growth.hpp"
#include "braing3n/eval/forecast_error.hpp"
#include "braing3n/eval/interval_scale.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;

namespace {

struct Errors {
  std::vector<double> years, change, error;
};

/// Forecast changes of half the subjects are four times those of the others.
Errors errors_of(std::size_t n, const ForecastError& sd, std::uint32_t stream) {
  const Philox rng(17, Purpose::test, 31, stream);
  Errors e;
  for (std::size_t i = 0; i < n; ++i) {
    e.years.push_back(i % 3 == 0 ? 1 : i % 3 == 1 ? 3 : 10);
    e.change.push_back((i % 2 == 0 ? 0.5 : 2.0) * e.years.back());
    e.error.push_back(sd(e.years.back(), e.change.back()) * rng.normal(i));
  }
  return e;
}

}  // namespace

TEST_CASE("error of forecasts: noise, growth with years and with the change are told apart") {
  const ForecastError wanted{.noise = 1, .yearly = 0.3, .relative = 0.5};
  const Errors e = errors_of(6000, wanted, 0);
  const ForecastError found = fit_forecast_error(e.years, e.change, e.error);
  CHECK(found.noise == doctest::Approx(wanted.noise).epsilon(0.1));
  CHECK(found.yearly == doctest::Approx(wanted.yearly).epsilon(0.2));
  CHECK(found.relative == doctest::Approx(wanted.relative).epsilon(0.05));
  CHECK(found(10, 20) == doctest::Approx(std::sqrt(1 + 9 + 100)).epsilon(0.05));
}

TEST_CASE("error of forecasts: parts that do not vary stay out, and no deviation is 0") {
  const std::vector<double> years{1, 1, 1, 1}, none{0, 0, 0, 0}, error{1, -1, 1, -1};
  const ForecastError same = fit_forecast_error(years, none, error);
  CHECK(same.noise == doctest::Approx(1));
  CHECK(same.yearly == 0);
  CHECK(same.relative == 0);
  const Errors e = errors_of(3000, {.noise = 0, .yearly = 0, .relative = 1}, 1);
  const ForecastError steep = fit_forecast_error(e.years, e.change, e.error);
  CHECK(steep.relative == doctest::Approx(1).epsilon(0.05));
  CHECK(steep.noise > 0);
  CHECK(steep(0, 0) > 0);
  CHECK(fit_forecast_error(years, none, none)(5, 5) == 0);
  test::check_error("forecast_error.few", {"at least two errors, got 1"},
                    [] { fit_forecast_error(std::vector{1.0}, std::vector{1.0}, std::vector{1.0}); });
  test::check_error("forecast_error.length", {"4 horizons, 4 changes, 2 errors"},
                    [&] { fit_forecast_error(years, none, std::vector{1.0, 2.0}); });
  test::check_error("forecast_error.finite", {"got nan after 1 years"},
                    [&] { fit_forecast_error(years, none, std::vector{1.0, std::nan(""), 1.0, 1.0}); });
}

TEST_CASE("error of forecasts: intervals that follow the change are narrower on average and hold as often") {
  const ForecastError truth{.noise = 0.2, .yearly = 0, .relative = 0.5};
  const auto world = [&](std::uint32_t stream, std::size_t n) {
    const Errors e = errors_of(n, truth, stream);
    std::pair<ForecastPairs, Forecasts> w;
    for (std::size_t i = 0; i < n; ++i) {
      w.first.subject.push_back(static_cast<std::int32_t>(i)), w.first.years.push_back(e.years[i]);
      w.first.baseline.push_back(20), w.second.value.push_back(20 + e.change[i]);
      w.first.truth.push_back(w.second.value.back() - e.error[i]);
    }
    return w;
  };
  auto [held, held_forecasts] = world(2, 600);
  auto [test, forecasts] = world(3, 3000);
  const auto measure = [&](bool by_change) {
    if (by_change) {
      fit_error_sd(held, held_forecasts, test, forecasts);
    } else {
      std::vector<double> errors;
      for (std::size_t i = 0; i < held.size(); ++i) errors.push_back(held_forecasts.value[i] - held.truth[i]);
      const ErrorGrowth sd = fit_error_growth(held.years, errors);
      for (const double years : held.years) held_forecasts.sd.push_back(sd(years));
      for (const double years : test.years) forecasts.sd.push_back(sd(years));
    }
    const Forecasts f = with_intervals(forecasts, fit_interval_scale(held, held_forecasts));
    double width = 0, inside = 0;
    for (std::size_t i = 0; i < test.size(); ++i) {
      width += (f.high[i] - f.low[i]) / static_cast<double>(test.size());
      inside += (test.truth[i] >= f.low[i] && test.truth[i] <= f.high[i]) / static_cast<double>(test.size());
    }
    return std::pair(width, inside);
  };
  const auto [by_years, held_by_years] = measure(false);
  const auto [by_change, held_by_change] = measure(true);
  CHECK(std::abs(held_by_change - 0.9) < 0.03);
  CHECK(std::abs(held_by_years - 0.9) < 0.03);
  CHECK(by_change < 0.92 * by_years);
}
