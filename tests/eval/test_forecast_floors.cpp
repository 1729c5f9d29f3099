#include "tests/support/check.hpp"

#include "braing3n/eval/forecast_floors.hpp"
#include "braing3n/eval/forecast_scores.hpp"
#include "braing3n/eval/interval_scale.hpp"

using namespace braing3n;

namespace {

double normal(std::uint32_t stream, std::uint64_t i) { return Philox(12, Purpose::test, 21, stream).normal(i); }

/// Subjects of three groups, HC, MCI, AD, with a quantity that follows f(age, sex, group) exactly, up to what is their own.
struct Subjects {
  static double f(double age, std::int32_t sex, std::int32_t group) {
    const double a = age - 70;
    return 900 - 2 * a - 0.04 * a * a + 80 * sex - 15 * group - 1.5 * group * a;
  }
  static ForecastPairs pairs(std::int32_t n, double own = 0) {
    ForecastPairs p;
    for (std::int32_t s = 0; s < n; ++s) {
      const double age = 60 + s % 23 + 0.37 * (s % 7);
      const std::int32_t sex = s / 3 % 2, group = s % 3;
      const double u = own * normal(1, static_cast<std::uint64_t>(s));
      for (const double years : {1.0, 2.5, 6.0}) {
        p.subject.push_back(s), p.sex.push_back(sex), p.group.push_back(group), p.age.push_back(age);
        p.years.push_back(years);
        p.baseline.push_back(f(age, sex, group) + u), p.truth.push_back(f(age + years, sex, group) + u);
      }
    }
    return p;
  }
};

}  // namespace

TEST_CASE("the error's growth: noise of two visits and a yearly part") {
  std::vector<double> years, error;
  for (std::uint64_t i = 0; i < 30000; ++i) {
    years.push_back(0.5 + static_cast<double>(i % 5) * 2);
    error.push_back(0.9 * normal(2, i) + 0.3 * years.back() * normal(3, i));
  }
  const ErrorGrowth both = fit_error_growth(years, error);
  CHECK(both.noise == doctest::Approx(0.9).epsilon(0.02));
  CHECK(both.yearly == doctest::Approx(0.3).epsilon(0.02));
  CHECK(both(4) == doctest::Approx(std::sqrt(both.noise * both.noise + 16 * both.yearly * both.yearly)));
  CHECK(both(-4) == both(4));

  // Each part alone, exactly: +-c, and +-c years.
  const std::vector<double> horizon{1, 1, 2, 2, 5, 5}, flat{0.5, -0.5, 0.5, -0.5, 0.5, -0.5};
  std::vector<double> steep = flat;
  for (std::size_t i = 0; i < steep.size(); ++i) steep[i] *= horizon[i];
  CHECK(fit_error_growth(horizon, flat).noise == doctest::Approx(0.5));
  CHECK(fit_error_growth(horizon, flat).yearly < 1e-3);
  CHECK(fit_error_growth(horizon, steep).yearly == doctest::Approx(0.5).epsilon(1e-3));
  CHECK(fit_error_growth(horizon, steep).noise < 0.02);
  // With one horizon nothing is known to grow; without errors there is no deviation.
  const std::vector<double> same(6, 3.0), none(6, 0.0);
  CHECK(fit_error_growth(same, steep).noise == doctest::Approx(0.5 * std::sqrt(10)));
  CHECK(fit_error_growth(same, steep).yearly == 0);
  CHECK(fit_error_growth(horizon, none)(7) == 0);
  test::check_error("error_growth.few", {"got 1"}, [&] { fit_error_growth(std::vector{1.0}, std::vector{1.0}); });
  test::check_error("error_growth.length", {"6 horizons, 1 errors"},
                    [&] { fit_error_growth(horizon, std::vector{1.0}); });
  test::check_error("error_growth.finite", {"nan"},
                    [&] { fit_error_growth(horizon, std::vector{1.0, 1.0, 1.0, 1.0, 1.0, std::nan("")}); });
}

TEST_CASE("rates by least squares through the origin, computed by hand") {
  ForecastPairs p;
  p.subject = {1, 1, 2, 2, 3, 4}, p.group = {0, 0, 2, 2, -1, 0}, p.years = {1, 2, 1, 3, 0, 2};
  p.baseline = {10, 10, 20, 20, 5, 7}, p.truth = {12, 13, 19, 17, 6, std::nan("")};
  // Changes 2, 3, -1, -3; the fifth is a repeat, the sixth was not measured.
  CHECK(fit_mean_rate(p).rate == doctest::Approx((2 + 6 - 1 - 9) / 15.0));
  const GroupRate g = fit_group_rate(p, 1);
  CHECK(g.rate(0) == doctest::Approx(8.0 / 5));
  CHECK(g.rate(2) == doctest::Approx(-10.0 / 10));
  for (const std::int32_t unknown : {-1, 1, 9}) CHECK(g.rate(unknown) == doctest::Approx(fit_mean_rate(p).rate));
  CHECK(fit_group_rate(p, 2).rates.empty());  // a subject for each group
  const Forecasts f = forecasts_of(g, p);
  CHECK(f.value[1] == doctest::Approx(10 + 2 * 1.6));
  CHECK(f.value[3] == doctest::Approx(20 - 3));
  CHECK(f.value[4] == 5);
  CHECK(f.sd[0] == g.error(1));
  CHECK(f.sd[3] >= f.sd[0]);
  const Forecasts locf = forecasts_of(fit_last_value(p), p);
  CHECK(locf.value == p.baseline);
  CHECK(locf.sd[0] > 0);

  // The same pairs backwards have the same rates.
  ForecastPairs back = p;
  std::swap(back.baseline, back.truth);
  for (double& years : back.years) years = -years;
  CHECK(fit_mean_rate(back).rate == doctest::Approx(fit_mean_rate(p).rate));

  p.truth.assign(6, std::nan(""));
  test::check_error("floors.rate", {"got none"}, [&] { fit_mean_rate(p); });
  test::check_error("floors.few", {"got 0"}, [&] { fit_last_value(p); });
}

TEST_CASE("linear and normal: the sd of the floors is that of their errors") {
  constexpr double mean = 1.2, sd = 0.5, noise = 0.7;
  ForecastPairs p;
  for (std::int32_t s = 0; s < 20000; ++s) {
    const auto at = static_cast<std::uint64_t>(s);
    const double rate = mean + sd * normal(4, at), years = 1 + s % 6;
    p.subject.push_back(s), p.years.push_back(years), p.baseline.push_back(40);
    p.truth.push_back(40 + rate * years + noise * normal(5, at));
  }
  const MeanRate m = fit_mean_rate(p);
  CHECK(m.rate == doctest::Approx(mean).epsilon(0.01));
  CHECK(m.error.noise == doctest::Approx(noise).epsilon(0.05));
  CHECK(m.error.yearly == doctest::Approx(sd).epsilon(0.02));
  const LastValue l = fit_last_value(p);
  CHECK(l.error(6) == doctest::Approx(std::sqrt(noise * noise + 36 * (mean * mean + sd * sd))).epsilon(0.03));
  // Nothing beats the mean rate among rates: its skill over any other is positive.
  for (const double other : {0.9 * m.rate, 1.1 * m.rate}) {
    std::vector<double> reference = p.baseline;
    for (std::size_t i = 0; i < reference.size(); ++i) reference[i] += other * p.years[i];
    CHECK(forecast_scores(p, forecasts_of(m, p), reference, {.bootstrap = {.replicates = 0}})
              .back()
              .skill_reference.value > 0);
  }
}

TEST_CASE("the counterfactual keeps what is the subject's own and moves its age") {
  Context<Cpu> ctx({.threads = 1});
  const ForecastPairs train = Subjects::pairs(240);
  const GlmCounterfactual glm = fit_glm_counterfactual(ctx, train, 1e-8);
  CHECK(glm.features.groups.size() == 3);
  // Without noise f is found exactly, and a new subject far from the mean of its kind keeps its distance.
  ForecastPairs unseen;
  unseen.subject = {1, 2, 3, 4}, unseen.sex = {0, 1, 1, 0}, unseen.group = {0, 1, 2, 2};
  unseen.age = {66, 71.5, 80, 80}, unseen.years = {5, 10, 2, -3};
  for (std::size_t i = 0; i < 4; ++i) {
    const double u = 100.0 * static_cast<double>(i) - 50;
    unseen.baseline.push_back(Subjects::f(unseen.age[i], unseen.sex[i], unseen.group[i]) + u);
    unseen.truth.push_back(Subjects::f(unseen.age[i] + unseen.years[i], unseen.sex[i], unseen.group[i]) + u);
  }
  const Forecasts f = forecasts_of(glm, unseen);
  for (std::size_t i = 0; i < 4; ++i) CHECK(f.value[i] == doctest::Approx(unseen.truth[i]).epsilon(1e-6));
  CHECK(glm.mean(75, 1, 2) == doctest::Approx(Subjects::f(75, 1, 2)).epsilon(1e-6));
  // A group or sex that is not known counts as the average of the training, here a third of each group, half of each sex.
  CHECK(glm.mean(75, -1, -1) == doctest::Approx((Subjects::f(75, 0, 1) + Subjects::f(75, 1, 1)) / 2).epsilon(1e-6));
  CHECK(glm.mean(75, 0, 7) == doctest::Approx(glm.mean(75, 0, -1)));
  unseen.age[1] = std::nan("");
  CHECK(std::isnan(forecasts_of(glm, unseen).value[1]));

  // A visit that several pairs have counts once: more pairs of the same visits change nothing.
  const ForecastPairs spread = Subjects::pairs(120, 30);
  ForecastPairs doubled = spread;
  for (std::size_t i = 0; i < spread.size(); i += 2) {
    doubled.subject.push_back(spread.subject[i]), doubled.sex.push_back(spread.sex[i]);
    doubled.group.push_back(spread.group[i]), doubled.age.push_back(spread.age[i] + 1e-9);
    doubled.years.push_back(spread.years[i] - 1e-9), doubled.baseline.push_back(spread.baseline[i]);
    doubled.truth.push_back(spread.truth[i]);
  }
  const GlmCounterfactual once = fit_glm_counterfactual(ctx, spread), twice = fit_glm_counterfactual(ctx, doubled);
  CHECK(twice.mean(68, 0, 1) == doctest::Approx(once.mean(68, 0, 1)).epsilon(1e-12));
  // What is their own is noise for f and not for the forecast.
  CHECK(once.error(1) < 30);

  ForecastPairs few = Subjects::pairs(3);
  test::check_error("floors.visits", {"at least 14", "got 12"}, [&] { fit_glm_counterfactual(ctx, few); });
  few.age.clear();
  test::check_error("floors.visits", {"got 0"}, [&] { fit_glm_counterfactual(ctx, few); });
}

TEST_CASE("the factor of intervals is the conformal quantile over subjects") {
  // One pair for each of 19 subjects: the 18th of the errors in order, ceil(.9 (19 + 1)).
  ForecastPairs p;
  Forecasts f;
  for (std::int32_t s = 0; s < 19; ++s) {
    p.subject.push_back(s), p.years.push_back(2), p.baseline.push_back(0), p.truth.push_back(0);
    f.value.push_back((s % 2 == 0 ? 1 : -1) * (7 * s % 19 + 1)), f.sd.push_back(2);
  }
  const IntervalScale one = fit_interval_scale(p, f);
  CHECK(one.factor == 18 / 2.0);
  CHECK(one.subjects == 19);
  const Forecasts limits = with_intervals({.value = {5, 6}, .sd = {1, 2}}, one);
  CHECK(limits.low == std::vector<double>{-4, -12});
  CHECK(limits.high == std::vector<double>{14, 24});

  // Several pairs: the smallest factor under which the mean share of a subject's pairs, times m / (m + 1), is .8.
  ForecastPairs q;
  Forecasts g;
  for (std::int32_t s = 0; s < 40; ++s)
    for (std::int32_t k = 0; k <= s % 4; ++k) {
      const auto i = static_cast<std::uint64_t>(8 * s + k);
      q.subject.push_back(300 - s), q.years.push_back(1 + k), q.baseline.push_back(10);
      g.sd.push_back(0.5 + 0.1 * k), g.value.push_back(12);
      q.truth.push_back(12 + g.sd.back() * (normal(6, static_cast<std::uint64_t>(8 * s)) + 0.3 * normal(7, i)));
    }
  const auto mean_share = [&](double factor) {
    std::map<std::int32_t, std::pair<double, double>> of;
    for (std::size_t i = 0; i < q.size(); ++i) {
      of[q.subject[i]].first += std::abs(q.truth[i] - g.value[i]) <= factor * g.sd[i] * (1 + 1e-12);
      of[q.subject[i]].second += 1;
    }
    double sum = 0;
    for (const auto& [subject, hits] : of) sum += hits.first / hits.second;
    return sum / static_cast<double>(of.size() + 1);
  };
  const IntervalScale several = fit_interval_scale(q, g, 0.8);
  double smallest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < q.size(); ++i) {
    const double factor = std::abs(q.truth[i] - g.value[i]) / g.sd[i];
    if (mean_share(factor) >= 0.8) smallest = std::min(smallest, factor);
  }
  CHECK(several.factor == smallest);
  CHECK(several.pairs == 100);

  // What has no measurement, is a repeat or goes backwards does not count.
  q.truth[3] = std::nan(""), q.years[7] = 0, q.years[8] = -2, g.value[11] = std::nan(""), g.sd[7] = 0;
  CHECK(fit_interval_scale(q, g, 0.8).pairs == 96);
  g.sd[0] = 0;
  test::check_error("interval_scale.sd", {"got 0 for pair 0"}, [&] { fit_interval_scale(q, g, 0.8); });
  g.sd.clear();
  test::check_error("interval_scale.sd", {"got 0"}, [&] { fit_interval_scale(q, g, 0.8); });
  test::check_error("interval_scale.sd", {"got 0"}, [&] { with_intervals(g, several); });
  test::check_error("interval_scale.coverage", {"got 1"}, [&] { fit_interval_scale(p, f, 1); });
  for (std::vector<double>* v : {&p.years, &p.baseline, &p.truth, &f.value, &f.sd}) v->resize(8);
  p.subject.resize(8);
  test::check_error("interval_scale.subjects", {"at least 9 subjects, got 8"}, [&] { fit_interval_scale(p, f); });
}

TEST_CASE("scaled intervals hold for the stated share of new subjects' pairs") {
  // Errors with heavy tails, alike within a subject, and predicted deviations that are far off: 60 validation subjects, 60 new ones.
  const auto draw = [](std::uint32_t world, std::int32_t first, ForecastPairs& p, Forecasts& f) {
    for (std::int32_t s = first; s < first + 60; ++s) {
      const auto at = static_cast<std::uint64_t>(4 * s);
      const double own = normal(100 + world, at), tail = std::exp(0.7 * normal(300 + world, at));
      for (std::uint64_t k = 0; k < 3; ++k) {
        const double years = 1 + 2 * static_cast<double>(k);
        p.subject.push_back(s), p.years.push_back(years), p.baseline.push_back(0), f.value.push_back(0);
        p.truth.push_back(years * tail * (own + 0.4 * normal(500 + world, at + k)));
        f.sd.push_back(0.05 * years);
      }
    }
  };
  double covered = 0, worst = 1;
  for (std::uint32_t world = 0; world < 100; ++world) {
    ForecastPairs validation, unseen;
    Forecasts f, g;
    draw(world, 0, validation, f), draw(world, 60, unseen, g);
    const IntervalScale scale = fit_interval_scale(validation, f);
    const double share =
        forecast_scores(unseen, with_intervals(g, scale), {}, {.bootstrap = {.replicates = 0}}).back().coverage.value;
    covered += share / 100, worst = std::min(worst, share);
  }
  CHECK(covered > 0.89);
  CHECK(covered < 0.92);
  CHECK(worst > 0.7);
}
