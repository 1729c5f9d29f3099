// The code of docs/forecast-scores.md.
#include <doctest/doctest.h>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/eval/forecast_floors.hpp"
#include "braing3n/eval/forecast_scores.hpp"
#include "braing3n/eval/interval_scale.hpp"

using namespace braing3n;

namespace {

// [scores]
/// How well the rate of a diagnosis forecasts a volume, with intervals for 90 % of the pairs.
std::vector<BandScores> score_group_rate(const ForecastPairs& train, const ForecastPairs& validation,
                                         const ForecastPairs& test) {
  const GroupRate rule = fit_group_rate(train);
  const IntervalScale scale = fit_interval_scale(validation, forecasts_of(rule, validation), 0.9);
  const Forecasts mean_rate = forecasts_of(fit_mean_rate(train), test);
  return forecast_scores(test, with_intervals(forecasts_of(rule, test), scale), mean_rate.value);
}
// [scores]

ForecastPairs pairs_of(std::int32_t first, std::int32_t subjects) {
  ForecastPairs p;
  for (std::int32_t s = first; s < first + subjects; ++s)
    for (const double years : {1.0, 2.0, 5.0}) {
      const Philox rng(3, Purpose::test, 22, static_cast<std::uint32_t>(s));
      p.subject.push_back(s), p.group.push_back(s % 2), p.years.push_back(years), p.baseline.push_back(30);
      const double rate = s % 2 == 0 ? 0.5 : 2.0;
      p.truth.push_back(30 + (rate + 0.2 * rng.normal(0)) * years + 0.3 * rng.normal(1 + static_cast<unsigned>(years)));
    }
  return p;
}

}  // namespace

TEST_CASE("scores of the rate of a diagnosis") {
  const auto scores = score_group_rate(pairs_of(0, 60), pairs_of(100, 60), pairs_of(200, 200));
  REQUIRE(scores.size() == 5);
  CHECK(scores[3].pairs == 0);  // no horizon above 5 years
  const BandScores& all = scores.back();
  CHECK(all.pairs == 600);
  CHECK(all.skill_locf.value > 0.9);
  CHECK(all.skill_reference.value > 0.5);
  CHECK(all.coverage.low < 0.93);
  CHECK(all.coverage.high > 0.87);
}
