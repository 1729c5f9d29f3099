// Scores and what is said about their uncertainty.
#include <doctest/doctest.h>

#include <cmath>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/probe/uncertainty.hpp"

using namespace braing3n;

TEST_CASE("scores: ties, absent classes, weights as repetition") {
  const std::vector<double> s{.1, .5, .5, .5, .9};
  CHECK(roc_auc(s, std::vector<std::int32_t>{0, 0, 1, 1, 1}) == doctest::Approx(5.0 / 6.0));
  CHECK(std::isnan(roc_auc(s, std::vector<std::int32_t>{1, 1, 1, 1, 1})));
  const std::vector<double> p{0.9, 0.1, 0.4, 0.6, 0.3, 0.7, 0.8, 0.2};
  const std::vector<std::int32_t> y{0, 1, 1, 1};
  const auto weighted = ClassificationScorer(p, 2).evaluate(y, std::vector<float>{1, 2, 0, 1});
  const std::vector<double> repeated{0.9, 0.1, 0.4, 0.6, 0.4, 0.6, 0.8, 0.2};
  const auto plain = ClassificationScorer(repeated, 2).evaluate(y, std::vector<float>(4, 1.0f));
  for (std::size_t m = 0; m < 6; ++m) CHECK(weighted[m] == doctest::Approx(plain[m]));
  // accuracy 3 of 4, balanced (1 + 2/3) / 2, Brier by hand
  CHECK(plain[1] == doctest::Approx(0.75));
  CHECK(plain[2] == doctest::Approx((1.0 + 2.0 / 3.0) / 2));
  CHECK(plain[4] == doctest::Approx((0.01 + 0.16 + 0.16 + 0.64) / 4));
  const auto r =
      regression_scores(std::vector<double>{1, 2, 3, 4}, std::vector<double>{2, 4, 6, 8}, std::vector<float>(4, 1.0f));
  CHECK(r[0] == doctest::Approx(1.0 - 30.0 / 20.0));
  CHECK(r[1] == doctest::Approx(2.5));
  CHECK(r[2] == doctest::Approx(1.0));
  CHECK(r[3] == doctest::Approx(0.5));
  CHECK(r[4] == doctest::Approx(-2.5));
}

TEST_CASE("sixteen replicates at once, and ranks, give the scores of one at a time") {
  for (const Index classes : {2, 3, 7})
    for (const bool ties : {false, true}) {
      const Philox rng(21, Purpose::test, static_cast<std::uint32_t>(classes), ties ? 1 : 0);
      const std::size_t n = 333, k = static_cast<std::size_t>(classes);
      std::vector<double> p;
      std::vector<std::int32_t> y;
      for (std::size_t i = 0; i < n; ++i) {
        y.push_back(static_cast<std::int32_t>(rng.integer(i) % k));
        double sum = 0;
        for (std::size_t c = 0; c < k; ++c) {
          const double u = static_cast<double>(rng.uniform(10000 + i * k + c));
          p.push_back(ties ? 1 + std::floor(4 * u) : 0.01 + u);
          sum += p.back();
        }
        for (std::size_t c = 0; c < k; ++c) p[i * k + c] /= sum;
      }
      const ClassificationScorer scorer(p, classes);
      const auto lanes = static_cast<std::size_t>(detail::replicate_lanes);
      std::vector<float> weight(n * lanes);
      for (std::size_t i = 0; i < weight.size(); ++i) weight[i] = static_cast<float>(rng.integer(50000 + i) % 4);
      for (std::size_t i = 0; i < n; ++i) weight[i * lanes + 5] = y[i] == 1 ? 0.0f : 1.0f;  // a class is absent
      for (const Isa isa : {Isa::baseline, Context<Cpu>({.threads = 1}).isa()}) {
        const auto made = detail::evaluate_replicates(isa, scorer, y, weight.data());
        for (std::size_t l = 0; l < lanes; ++l) {
          std::vector<float> own;
          for (std::size_t i = 0; i < n; ++i) own.push_back(weight[i * lanes + l]);
          const auto expected = scorer.evaluate(y, own);
          for (std::size_t m = 0; m < 6; ++m) {
            if (std::isnan(expected[m])) CHECK(std::isnan(made[l][m]));
            else CHECK(made[l][m] == doctest::Approx(expected[m]).epsilon(1e-12));
          }
        }
      }
      const detail::RankSums ranks(scorer);
      const std::vector<float> ones(n, 1.0f);
      CHECK(ranks.auc(y) == doctest::Approx(scorer.evaluate(y, ones)[0]).epsilon(1e-12));
      for (std::int32_t& label : y) label = label == 1 ? 0 : label;
      CHECK(std::isnan(ranks.auc(y)));
    }
}

TEST_CASE("intervals count people, not scans, and cover the truth about as often as they say") {
  Context<Cpu> ctx({.threads = 2});
  // Repeating every scan of a person eight times says nothing new, so the interval must not shrink.
  const auto width_of = [&](int scans) {
    Predictions p;
    std::vector<double> values;
    const Philox rng(11, Purpose::test);
    for (std::int32_t person = 0; person < 200; ++person)
      for (int k = 0; k < scans; ++k) {
        p.subject.push_back(person);
        p.fold.push_back(person % 5);
        p.target.push_back(rng.normal(static_cast<std::uint64_t>(2 * person)));
        values.push_back(p.target.back() + rng.normal(static_cast<std::uint64_t>(2 * person + 1)));
      }
    p.values = matrix_of(1, values);
    const ScoreTable table = score_predictions(ctx, p, {.replicates = 400, .permutations = 0});
    return table["mae"].high - table["mae"].low;
  };
  const double once = width_of(1), often = width_of(8);
  CHECK(often == doctest::Approx(once).epsilon(1e-6));
  // Coverage of a known mean absolute error, E|N(0,1)| = sqrt(2 / pi).
  int covered = 0;
  for (std::uint32_t trial = 0; trial < 200; ++trial) {
    Predictions p;
    std::vector<double> values;
    const Philox rng(12, Purpose::test, trial);
    for (std::int32_t person = 0; person < 150; ++person) {
      p.subject.push_back(person);
      p.fold.push_back(person % 5);
      p.target.push_back(rng.normal(static_cast<std::uint64_t>(2 * person)));
      values.push_back(p.target.back() + rng.normal(static_cast<std::uint64_t>(2 * person + 1)));
    }
    p.values = matrix_of(1, values);
    const ScoreTable table = score_predictions(ctx, p, {.replicates = 200, .permutations = 0, .seed = trial});
    covered +=
        table["mae"].low <= std::sqrt(2.0 / 3.14159265358979) && std::sqrt(2.0 / 3.14159265358979) <= table["mae"].high;
  }
  CHECK(covered >= 176);  // 95 % of 200 is 190, its standard deviation 3; the percentile interval is a little narrow
  CHECK(covered < 200);
}

TEST_CASE("p-values of a useless probe are uniform") {
  Context<Cpu> ctx({.threads = 2});
  double sum = 0;
  int small = 0;
  const int trials = 100;
  for (std::uint32_t trial = 0; trial < trials; ++trial) {
    Predictions p;
    std::vector<double> values;
    p.classes = 2;
    const Philox rng(13, Purpose::test, trial);
    for (std::int32_t i = 0; i < 100; ++i) {
      p.subject.push_back(
          i / 2);  // two scans per person with one label: exchanging scans instead of people would be too sure
      p.fold.push_back(i / 2 % 5);
      p.label.push_back(static_cast<std::int32_t>(rng.integer(static_cast<std::uint64_t>(i / 2)) & 1));
      const double v = static_cast<double>(rng.uniform(static_cast<std::uint64_t>(1000 + i / 2)));
      values.insert(values.end(), {1 - v, v});
    }
    p.values = matrix_of(2, values);
    const double value = score_predictions(ctx, p, {.replicates = 0, .permutations = 99, .seed = trial}).p_value;
    sum += value;
    small += value <= 0.05;
  }
  CHECK(std::abs(sum / trials - 0.5) < 0.1);
  CHECK(small <= 12);
}

TEST_CASE("the p-value of a perfect probe is the smallest there is, that of a probe that is always wrong is 1") {
  Context<Cpu> ctx({.threads = 2});
  for (const bool right : {true, false}) {
    Predictions p;
    std::vector<double> values;
    p.classes = 2;
    for (std::int32_t i = 0; i < 60; ++i) {
      p.subject.push_back(i);
      p.fold.push_back(i % 3);
      p.label.push_back(i / 3 % 2);
      const double v = (p.label.back() == 1) == right ? 0.9 : 0.1;
      values.insert(values.end(), {1 - v, v});
    }
    p.values = matrix_of(2, values);
    const double value = score_predictions(ctx, p, {.replicates = 0, .permutations = 99}).p_value;
    CHECK(value == doctest::Approx(right ? 0.01 : 1.0));
  }
}

namespace {

/// Subjects with scans_of(s) scans; label_of(subject, scan); the score of a scan is its label or not, plus noise.
template <class Scans, class LabelOf>
Predictions scans_of_subjects(std::int32_t subjects, std::int32_t folds, Scans&& scans_of, LabelOf&& label_of,
                              double signal, std::uint32_t seed) {
  Predictions p;
  std::vector<double> values;
  p.classes = 2;
  const Philox rng(seed, Purpose::test, 77);
  std::uint64_t draw = 0;
  for (std::int32_t s = 0; s < subjects; ++s)
    for (std::int32_t scan = 0; scan < scans_of(s); ++scan) {
      p.subject.push_back(s);
      p.fold.push_back(s % folds);
      p.label.push_back(label_of(s, scan));
      const double v = 1 / (1 + std::exp(-(signal * (p.label.back() - 0.5) + static_cast<double>(rng.normal(draw++)))));
      values.insert(values.end(), {1 - v, v});
    }
  p.values = matrix_of(2, values);
  return p;
}

}  // namespace

TEST_CASE("permutations exchange what may be exchanged: subjects, or blocks and the scans within them") {
  Context<Cpu> ctx({.threads = 2});
  const UncertaintyOptions options{.replicates = 0, .permutations = 999};
  // Every subject has another number of scans: their labels are exchanged all the same.
  const auto one_label = [](std::int32_t s, std::int32_t) { return s / 2 % 2; };
  const ScoreTable sizes = score_predictions(
      ctx, scans_of_subjects(40, 2, [](std::int32_t s) { return 1 + s / 2; }, one_label, 2.0, 1), options);
  CHECK(sizes.exchange == LabelExchange::subjects);
  CHECK(sizes["auc"].mean > 0.85);
  CHECK(sizes.p_value == doctest::Approx(0.001));
  // Every subject has the same labels, one scan of each class: whole blocks alone would change nothing.
  const auto both_labels = [](std::int32_t, std::int32_t scan) { return scan; };
  const auto two = [](std::int32_t) { return 2; };
  const ScoreTable within = score_predictions(ctx, scans_of_subjects(40, 5, two, both_labels, 2.0, 2), options);
  CHECK(within.exchange == LabelExchange::blocks);
  CHECK(within["auc"].mean > 0.85);
  CHECK(within.p_value <= 0.002);
  // Too few subjects to say anything: no p-value instead of 1.
  const auto few = scans_of_subjects(
      4, 2, [](std::int32_t) { return 3; }, [](std::int32_t s, std::int32_t) { return s / 2; }, 3.0, 3);
  const ScoreTable none = score_predictions(ctx, few, options);
  CHECK(std::isnan(none.p_value));
  CHECK(none.warning.find("in 4 ways") != std::string::npos);
}

TEST_CASE("p-values of a useless probe are uniform where labels vary within subjects") {
  Context<Cpu> ctx({.threads = 2});
  double sum = 0;
  int small = 0;
  for (std::uint32_t trial = 0; trial < 100; ++trial) {
    const Philox rng(trial, Purpose::test, 78);
    Predictions p;
    std::vector<double> values;
    p.classes = 2;
    for (std::int32_t s = 0; s < 50; ++s)
      for (std::int32_t scan = 0; scan < 1 + s % 3; ++scan) {
        const auto at = static_cast<std::uint64_t>(4 * s + scan);
        p.subject.push_back(s);
        p.fold.push_back(s % 5);
        p.label.push_back(static_cast<std::int32_t>(rng.integer(at) % 4 == 0
                                                        ? rng.integer(500 + at) % 2
                                                        : rng.integer(1000 + static_cast<std::uint64_t>(s)) % 2));
        // A subject's scans are alike.
        const double v = 0.8 * static_cast<double>(rng.uniform(2000 + static_cast<std::uint64_t>(s))) +
                         0.2 * static_cast<double>(rng.uniform(3000 + at));
        values.insert(values.end(), {1 - v, v});
      }
    p.values = matrix_of(2, values);
    const double value = score_predictions(ctx, p, {.replicates = 0, .permutations = 99, .seed = trial}).p_value;
    sum += value;
    small += value <= 0.05;
  }
  CHECK(std::abs(sum / 100 - 0.5) < 0.1);
  CHECK(small <= 12);
}

TEST_CASE("the number of ways to exchange labels") {
  const std::vector<std::int32_t> begin{0, 2, 4, 5}, label{0, 1, 1, 1, 0};
  using braing3n::detail::LabelDealer;
  CHECK(std::exp(LabelDealer(begin, LabelExchange::blocks).log_ways(label)) ==
        doctest::Approx(4));  // 2 blocks of 2, times 2 orders of one
  CHECK(std::exp(LabelDealer(begin, LabelExchange::subjects).log_ways(label)) ==
        doctest::Approx(3));  // 0, 1, 0 on three subjects
}
