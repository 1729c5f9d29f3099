// Scan noise told from change by how squared changes grow with time.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/train/scan_noise.hpp"

using namespace braing3n;

namespace {

/// Changes (n, 2) over the years, of scans whose noise has the covariance {.5, .1; .1, .2}, and of subjects with rates (r, -2 r).
Tensor<double, Cpu> changes(Context<Cpu>& ctx, const std::vector<double>& years, double rate_sd) {
  std::vector<double> values;
  for (std::size_t i = 0; i < years.size(); ++i) {
    const Philox rng(3, Purpose::test, 41, static_cast<std::uint32_t>(i));
    const double rate = rate_sd * rng.normal(0), first = std::sqrt(0.5), cross = 0.1 / first,
                 second = std::sqrt(0.2 - cross * cross);
    double noise[2] = {0, 0};
    for (unsigned visit = 0; visit < 2; ++visit) {
      const double a = rng.normal(1 + 2 * visit), b = rng.normal(2 + 2 * visit), sign = visit == 0 ? -1 : 1;
      noise[0] += sign * first * a;
      noise[1] += sign * (cross * a + second * b);
    }
    values.push_back(rate * years[i] + noise[0]);
    values.push_back(-2 * rate * years[i] + noise[1]);
  }
  return Tensor<double, Cpu>::from_host(ctx, {std::ssize(years), 2}, values);
}

}  // namespace

TEST_CASE("noise of scans is what does not grow with time") {
  Context<Cpu> ctx({.threads = 1});
  std::vector<double> years;
  for (int i = 0; i < 20000; ++i) years.push_back(1 + i % 8);
  const auto change = changes(ctx, years, 0.2);
  detail::NoiseFit fit(ctx, 2, 2);
  fit.add(change, change, years, 5);
  const std::vector<double> n = fit.noise().to_host(), truth = {0.5, 0.1, 0.1, 0.2};
  for (std::size_t i = 0; i < 4; ++i) CHECK(n[i] == doctest::Approx(truth[i]).epsilon(0.05).scale(0.5));
}

TEST_CASE("where all times are alike, all change counts as noise") {
  Context<Cpu> ctx({.threads = 1});
  const std::vector<double> years(20000, 2.0);
  const auto change = changes(ctx, years, 0.2);
  detail::NoiseFit fit(ctx, 2, 2);
  fit.add(change, change, years, 5);
  const std::vector<double> n = fit.noise().to_host();
  CHECK(n[0] == doctest::Approx(0.5 + 0.5 * 0.16).epsilon(0.05));
  CHECK(n[3] == doctest::Approx(0.2 + 0.5 * 0.64).epsilon(0.05));
}
