#include "tests/support/check.hpp"

#include "braing3n/eval/forecast_scores.hpp"
#include "braing3n/eval/growth_ratio.hpp"
#include "braing3n/eval/interval_scale.hpp"

using namespace braing3n;

namespace {

double normal(std::uint32_t stream, std::uint64_t i) { return Philox(11, Purpose::test, 20, stream).normal(i); }

ForecastScoreOptions without_intervals(Index least_subjects = 1) {
  return {.least_subjects = least_subjects, .bootstrap = {.replicates = 0}};
}

/// Pairs of subjects with one to three follow-ups each, with forecasts that know a part of the change.
struct World {
  ForecastPairs pairs;
  Forecasts forecasts;
  std::vector<double> reference;

  explicit World(std::int32_t subjects, double level = 100) {
    for (std::int32_t s = 0; s < subjects; ++s)
      for (std::int32_t k = 0; k <= s % 3; ++k) {
        const auto i = static_cast<std::uint64_t>(8 * s + k);
        const double years = 1.5 + 0.4 * k, rate = 2 + normal(1, static_cast<std::uint64_t>(8 * s));
        pairs.subject.push_back(1000 - 7 * s);
        pairs.group.push_back(s % 2);
        pairs.years.push_back(years);
        pairs.baseline.push_back(level + 10 * normal(2, i));
        pairs.truth.push_back(pairs.baseline.back() + rate * years + normal(3, i));
        forecasts.value.push_back(pairs.baseline.back() + (0.5 * rate + 1) * years + 0.5 * normal(4, i));
        forecasts.sd.push_back(0.5 + 0.5 * years);
        reference.push_back(pairs.baseline.back() + 2 * years);
      }
    forecasts = with_intervals(forecasts, {.factor = 1});
  }
};

/// Percentile of a list, by its definition.
double percentile(std::vector<double> v, double q) {
  std::sort(v.begin(), v.end());
  const double at = q * static_cast<double>(v.size() - 1), below = std::floor(at);
  const double low = v[static_cast<std::size_t>(below)],
               high = v[std::min(v.size() - 1, static_cast<std::size_t>(below) + 1)];
  return low + (at - below) * (high - low);
}

/// Slope of y on x, by its definition.
double slope_of(const std::vector<double>& y, const std::vector<double>& x) {
  double mx = 0, my = 0, xy = 0, xx = 0;
  for (std::size_t i = 0; i < x.size(); ++i)
    mx += x[i] / static_cast<double>(x.size()), my += y[i] / static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) xy += (x[i] - mx) * (y[i] - my), xx += (x[i] - mx) * (x[i] - mx);
  return xy / xx;
}

}  // namespace

TEST_CASE("horizon bands are half-open, with a margin for visits that are dated in days") {
  const std::vector<double> limits{0, 1, 3, 5, 10};
  const auto bands = horizon_bands(limits);
  REQUIRE(bands.size() == 5);
  const auto of = [&](double years) {
    std::string names;
    for (const HorizonBand& b : bands)
      if (b.contains(years)) names += b.name + " ";
    return names;
  };
  CHECK(of(0) == "");
  CHECK(of(18 / 365.25) == "");
  CHECK(of(20 / 365.25) == "0-1 all ");
  CHECK(of(365 / 365.25) == "0-1 all ");
  CHECK(of(1) == "0-1 all ");
  CHECK(of(366 / 365.25) == "0-1 all ");
  CHECK(of(380 / 365.25) == "0-1 all ");
  CHECK(of(1.06) == "1-3 all ");
  CHECK(of(3) == "1-3 all ");
  CHECK(of(5) == "3-5 all ");
  CHECK(of(1827 / 365.25) == "3-5 all ");
  CHECK(of(3660 / 365.25) == "5-10 all ");
  CHECK(of(12) == "all ");
  CHECK(of(-2) == "");
  CHECK(horizon_bands(std::vector<double>{0.5, 2.5})[0].name == "0.5-2.5");
  for (const std::vector<double>& wrong : std::vector<std::vector<double>>{{1}, {1, 1}, {-1, 1}, {0, std::nan("")}})
    test::check_error("forecast.limits", {"got"}, [&] { horizon_bands(wrong); });
}

TEST_CASE("scores of a forecast, computed by hand") {
  ForecastPairs p;
  p.subject = {1, 1, 2, 2}, p.years = {2, 3, 2, 3};
  p.baseline = {10, 10, 20, 20}, p.truth = {12, 14, 21, 25};  // changes 2, 4, 1, 5
  Forecasts f{.value = {11, 13, 22, 24}};                     // changes 1, 3, 2, 4
  f.low = {9, 12.5, 20, 22}, f.high = {13, 13.5, 24, 26};
  const std::vector<double> reference{13, 13, 23, 23};  // changes 3, 3, 3, 3
  const auto scores = forecast_scores(p, f, reference, without_intervals());
  REQUIRE(scores.size() == 5);
  for (const BandScores& s : {scores[1], scores[4]}) {
    CHECK(s.pairs == 4);
    CHECK(s.subjects == 2);
    CHECK(s.missing == 0);
    CHECK(s.note == "");
    CHECK(s.mae.value == doctest::Approx(1));
    CHECK(s.bias.value == doctest::Approx(-0.5));
    CHECK(s.slope_true_on_forecast.value == doctest::Approx(6.0 / 5));
    CHECK(s.slope_on_years.value == doctest::Approx(2));
    CHECK(s.r.value == doctest::Approx(6 / std::sqrt(50.0)));
    CHECK(s.r_years.value == doctest::Approx(2 / std::sqrt(5.0)));
    CHECK(s.skill_locf.value == doctest::Approx(1 - 4.0 / 46));
    CHECK(s.skill_reference.value == doctest::Approx(1 - 4.0 / 10));
    CHECK(s.relative_error.value == doctest::Approx(4.0 / 12));
    CHECK(s.coverage.value == doctest::Approx(0.75));
    CHECK(s.width.value == doctest::Approx(3.25));
    CHECK(std::isnan(s.mae.low));  // no replicates
  }
  CHECK(scores[1].band == "1-3");
  CHECK(scores[0].pairs == 0);
  CHECK(scores[0].note == "0 subjects, expected at least 1");
  CHECK(std::isnan(scores[0].mae.value));

  // A reference that misses less than 1 % of the change (root mean square) leaves no skill to have.
  const auto against = [&](double error) {
    std::vector<double> near = p.truth;
    for (double& v : near) v += error;
    return forecast_scores(p, f, near, without_intervals()).back().skill_reference.value;
  };
  CHECK(against(0.04) == doctest::Approx(1 - 4.0 / 0.0064));
  CHECK(std::isnan(against(0.03)));

  // Without a reference and intervals there is nothing to say about them; missing values are counted and in no score.
  p.truth[1] = std::nan(""), f.value[2] = std::nan(""), f.low = f.high = {};
  const BandScores some = forecast_scores(p, f, {}, without_intervals()).back();
  CHECK(some.pairs == 2);
  CHECK(some.missing == 2);
  CHECK(some.mae.value == doctest::Approx(1));
  CHECK(std::isnan(some.skill_reference.value));
  CHECK(std::isnan(some.coverage.value));
  const BandScores few = forecast_scores(p, f, {}, without_intervals(3)).back();
  CHECK(few.note == "2 subjects, expected at least 3");
  CHECK(few.pairs == 2);
  CHECK(std::isnan(few.skill_locf.value));

  test::check_error("forecast.length", {"4 values of the quantity", "got 3"},
                    [&] { forecast_scores(p, {.value = {1, 2, 3}}); });
  test::check_error("forecast.length", {"4 values of the reference"},
                    [&] { forecast_scores(p, f, std::vector<double>{1.0}); });
  test::check_error("forecast.length", {"4 values of high"},
                    [&] { forecast_scores(p, {.value = f.value, .low = f.value}); });
  p.years[2] = std::nan("");
  test::check_error("forecast.years", {"pair 2"}, [&] { forecast_scores(p, f); });
  p.age = {70};
  test::check_error("forecast.length", {"4 values of age", "got 1"}, [&] { forecast_scores(p, f); });
}

TEST_CASE("the last value carried forward, and rates at one horizon, have no slope") {
  World w(30, 1024);
  const auto locf = forecast_scores(w.pairs, {.value = w.pairs.baseline}).back();
  CHECK(locf.skill_locf.value == 0);
  CHECK(locf.relative_error.value == 1);
  CHECK(locf.relative_error.low == 1);
  CHECK(std::isnan(locf.r.value));
  CHECK(std::isnan(locf.slope_true_on_forecast.value));
  CHECK(locf.slope_on_years.value == doctest::Approx(0));
  // Changes by the same amount, up to rounding, which is twice as coarse from 1,024 on.
  for (double& years : w.pairs.years) years = 2;
  std::vector<double> rate = w.pairs.baseline;
  for (double& v : rate) v += 0.05 * 2;
  const auto mean = forecast_scores(w.pairs, {.value = rate}).back();
  CHECK(std::isnan(mean.r.value));
  CHECK(std::isnan(mean.slope_true_on_forecast.value));
  CHECK(std::isnan(mean.slope_on_years.value));
  CHECK(std::isfinite(mean.skill_locf.value));
}

TEST_CASE("linear and normal: skills, slopes and correlations in closed form") {
  // Rates are normal; a share of their variance is known at baseline; visits have noise.
  constexpr double mean = 1.5, sd = 0.8, known = 0.6, noise = 0.5, years = 4;
  constexpr std::int32_t n = 40000;
  ForecastPairs p;
  Forecasts best, half;
  std::vector<double> rate;
  for (std::int32_t i = 0; i < n; ++i) {
    const auto at = static_cast<std::uint64_t>(i);
    const double seen = normal(5, at), own = mean + sd * (known * seen + std::sqrt(1 - known * known) * normal(6, at));
    p.subject.push_back(i), p.years.push_back(years), p.baseline.push_back(30 + 9 * normal(7, at));
    p.truth.push_back(p.baseline.back() + own * years + noise * normal(8, at));
    best.value.push_back(p.baseline.back() + (mean + sd * known * seen) * years);
    half.value.push_back(p.baseline.back() + 0.5 * (mean + sd * known * seen) * years);
    rate.push_back(p.baseline.back() + mean * years);
  }
  const double change = years * years * sd * sd + noise * noise, told = years * years * sd * sd * known * known;
  const auto score = [&](const Forecasts& f) { return forecast_scores(p, f, rate, without_intervals()).back(); };
  const BandScores m = score({.value = rate}), b = score(best), h = score(half);
  CHECK(m.skill_locf.value == doctest::Approx(1 - change / (change + mean * mean * years * years)).epsilon(0.02));
  CHECK(m.skill_reference.value == 0);
  CHECK(b.skill_reference.value == doctest::Approx(told / change).epsilon(0.03));
  CHECK(b.slope_true_on_forecast.value == doctest::Approx(1).epsilon(0.02));
  CHECK(h.slope_true_on_forecast.value == doctest::Approx(2).epsilon(0.02));
  CHECK(b.r.value == doctest::Approx(std::sqrt(told / change)).epsilon(0.02));
  CHECK(h.r.value == doctest::Approx(b.r.value).epsilon(1e-9));
  CHECK(h.bias.value == doctest::Approx(-0.5 * mean * years).epsilon(0.02));
}

TEST_CASE("bootstrap intervals are those of plain code that draws subjects with all of their pairs") {
  const World w(30);
  const ForecastScoreOptions options{.bootstrap = {.replicates = 200, .coverage = 0.9, .seed = 5}};
  const BandScores got = forecast_scores(w.pairs, w.forecasts, w.reference, options).back();
  std::vector<std::int32_t> subjects(w.pairs.subject);
  std::sort(subjects.begin(), subjects.end());
  subjects.erase(std::unique(subjects.begin(), subjects.end()), subjects.end());
  REQUIRE(subjects.size() == 30);
  std::vector<double> slopes, skills, sizes;
  for (std::uint32_t b = 0; b < 200; ++b) {
    const Philox rng(5, Purpose::bootstrap, 0, b);
    std::vector<double> d, f;
    double error = 0, other = 0, size = 0;
    for (std::uint64_t k = 0; k < 30; ++k) {
      const std::int32_t subject = subjects[static_cast<std::size_t>((std::uint64_t{rng.integer(k)} * 30) >> 32)];
      for (std::size_t i = 0; i < w.pairs.size(); ++i) {
        if (w.pairs.subject[i] != subject) continue;
        d.push_back(w.pairs.truth[i] - w.pairs.baseline[i]);
        f.push_back(w.forecasts.value[i] - w.pairs.baseline[i]);
        error += std::pow(f.back() - d.back(), 2), other += std::pow(w.reference[i] - w.pairs.truth[i], 2);
        size += std::abs(f.back() - d.back());
      }
    }
    slopes.push_back(slope_of(d, f)), skills.push_back(1 - error / other);
    sizes.push_back(size / static_cast<double>(d.size()));
  }
  for (const auto& [estimate, all] : {std::pair{got.slope_true_on_forecast, slopes},
                                      std::pair{got.skill_reference, skills}, std::pair{got.mae, sizes}}) {
    CHECK(estimate.low == doctest::Approx(percentile(all, 0.05)).epsilon(1e-9));
    CHECK(estimate.high == doctest::Approx(percentile(all, 0.95)).epsilon(1e-9));
    CHECK(estimate.low < estimate.value);
    CHECK(estimate.value < estimate.high);
  }

  // The order of the pairs does not matter.
  World turned = w;
  for (std::vector<double>* v :
       {&turned.pairs.years, &turned.pairs.baseline, &turned.pairs.truth, &turned.forecasts.value, &turned.forecasts.sd,
        &turned.forecasts.low, &turned.forecasts.high, &turned.reference})
    std::reverse(v->begin(), v->end());
  std::reverse(turned.pairs.subject.begin(), turned.pairs.subject.end());
  std::reverse(turned.pairs.group.begin(), turned.pairs.group.end());
  const BandScores again = forecast_scores(turned.pairs, turned.forecasts, turned.reference, options).back();
  std::vector<Estimate> before;
  BandScores::visit_scores(got, [&](const char*, const Estimate& e) { before.push_back(e); });
  std::size_t at = 0;
  BandScores::visit_scores(again, [&](const char* name, const Estimate& e) {
    CHECK_MESSAGE(e.value == doctest::Approx(before[at].value).epsilon(1e-9), name);
    CHECK_MESSAGE(e.high == doctest::Approx(before[at++].high).epsilon(1e-9), name);
  });
}

TEST_CASE("where all intervals hold, the coverage has Wilson's limits over subjects") {
  World w(20);
  const auto coverage = [&](double factor) {
    return forecast_scores(w.pairs, with_intervals(w.forecasts, {.factor = factor})).back().coverage;
  };
  const Estimate all = coverage(100), none = coverage(0), some = coverage(1);
  CHECK(all.value == 1);
  CHECK(all.low == doctest::Approx(20 / (20 + 1.959963984540054 * 1.959963984540054)));
  CHECK(all.high == 1);
  CHECK(none.high == doctest::Approx(1 - all.low));
  CHECK(some.low < some.value);
  CHECK(some.value < some.high);
}

TEST_CASE("growth of one group over that of another") {
  ForecastPairs p;
  p.subject = {1, 2, 3, 4, 5, 1}, p.group = {1, 1, 0, 0, 2, 1}, p.years = {2, 3, 2, 3, 1, 0};
  p.baseline = {10, 20, 10, 10, 10, 10}, p.truth = {12, 26, 11, 11, 90, 10};
  const auto ratio = [&](bool logarithm, std::int32_t over = 1, std::int32_t under = 0) {
    return growth_ratio(p, p.truth, {.over = over, .under = under, .logarithm = logarithm, .least_subjects = 1});
  };
  const GrowthRatio a = ratio(false), l = ratio(true);
  CHECK(a.over.yearly.value == doctest::Approx(1.6));
  CHECK(a.under.yearly.value == doctest::Approx(0.4));
  CHECK(a.ratio.value == doctest::Approx(4));
  CHECK(a.over.pairs == 2);  // a repeat has no growth
  CHECK(a.note == "");
  // One subject twice: growth of 1 or 2 a year over 1/2 or 1/3.
  CHECK(a.ratio.low == doctest::Approx(2));
  CHECK(a.ratio.high == doctest::Approx(6));
  CHECK(l.ratio.value == doctest::Approx((std::log(1.2) + std::log(1.3)) / (2 * std::log(1.1))));
  p.truth[2] = -1;
  CHECK(ratio(true).missing == 1);
  CHECK(ratio(true).under.pairs == 1);
  // The denominator shrinks in one subject and grows in the other: the ratio has no limits.
  p.truth[2] = 9.5;
  const GrowthRatio unclear = ratio(false);
  CHECK(unclear.ratio.value == doctest::Approx(1.6 / 0.1));
  CHECK(std::isnan(unclear.ratio.low));
  CHECK(unclear.note == "the denominator may be 0");
  p.truth[2] = 9;
  CHECK(ratio(false).note == "the denominator is 0");
  CHECK(std::isnan(ratio(false).ratio.value));
  CHECK(ratio(false, 1, 7).note == "0 subjects in one of the groups, expected at least 1");
  test::check_error("forecast.length", {"got 1"}, [&] { growth_ratio(p, std::vector<double>{1.0}, {}); });
}

TEST_CASE("what another diagnosis changes in a forecast, against how far the groups are apart") {
  ForecastPairs p;
  p.subject = {1, 2, 3, 4}, p.group = {1, 1, 0, 0}, p.years = {2, 3, 2, 4};
  p.baseline = {10, 20, 10, 10}, p.truth = {12, 26, 11, 12};  // 8 / 5 and 3 / 6 a year
  const std::vector<double> own{0, 0, 11, 12}, asked{0, 0, 12, 14.6};
  const GrowthRatioOptions options{.over = 1, .under = 0, .logarithm = false, .least_subjects = 1};
  const AskedEffect e = asked_effect(p, own, asked, options);
  CHECK(e.pairs == 2);
  CHECK(e.yearly.value == doctest::Approx((1 + 2.6) / 6));
  CHECK(e.true_difference.value == doctest::Approx(1.1));
  CHECK(e.share.value == doctest::Approx(0.6 / 1.1));
  // One subject twice: 0.5 and 0.65 a year more when asked, groups that differ by 0.5 or 1.5.
  CHECK(e.share.low == doctest::Approx(0.5 / 1.5));
  CHECK(e.share.high == doctest::Approx(0.65 / 0.5));
  GrowthRatioOptions more = options;
  more.least_subjects = 3;
  CHECK(asked_effect(p, own, asked, more).note == "2 subjects in one of the groups, expected at least 3");
}
