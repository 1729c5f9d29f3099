#include "tests/support/check.hpp"

#include "braing3n/eval/controllability.hpp"

#include "braing3n/eval/grouped_probe.hpp"
#include "braing3n/eval/pooled_features.hpp"

using namespace braing3n;

namespace {

using Labels = std::vector<std::int32_t>;

std::vector<Rate> rates(std::initializer_list<std::pair<Index, Index>> of) {
  std::vector<Rate> all;
  for (const auto& [hits, n] : of) all.push_back({hits, n});
  return all;
}

/// Random features with a column in front.
struct Rows {
  Index n, d;
  std::vector<float> x;
  ProbeRows rows;

  Rows(Index count, Index features, std::uint32_t id) : n(count), d(features) {
    const Philox rng(7, Purpose::split, 3, id);
    for (Index i = 0; i < n * d; ++i) x.push_back(static_cast<float>(rng.normal(static_cast<std::uint64_t>(i))));
    for (Index i = 0; i < n; ++i) {
      rows.group.push_back(0);
      rows.subject.push_back(static_cast<std::int32_t>(i));
    }
    rows.x = {x.data(), n, d};
  }
  float& at(Index i, Index j) { return x[static_cast<std::size_t>(i * d + j)]; }
};

}  // namespace

TEST_CASE("Wilson's interval") {
  const auto [low, high] = Rate{8, 10}.interval();
  CHECK(low == doctest::Approx(0.490162).epsilon(1e-5));
  CHECK(high == doctest::Approx(0.943318).epsilon(1e-5));
  CHECK(Rate{0, 10}.interval()[0] == 0.0);
  CHECK(Rate{0, 10}.interval()[1] == doctest::Approx(0.277533).epsilon(1e-5));
  CHECK(Rate{10, 10}.interval()[0] == doctest::Approx(1 - 0.277533).epsilon(1e-5));
  CHECK(Rate{10, 10}.interval()[1] == 1.0);
  CHECK(std::isnan(Rate{}.share()));
  CHECK(std::isnan(Rate{}.interval()[0]));
}

TEST_CASE("balanced accuracy and its interval") {
  const ClassScore s{rates({{8, 10}, {6, 10}})};
  CHECK(s.balanced_accuracy() == doctest::Approx(0.7));
  // Wilson of 6 of 10 is 0.312674 to 0.831820.
  CHECK(
      s.interval()[0] ==
      doctest::Approx(0.7 - 0.5 * std::sqrt(std::pow(0.8 - 0.490162, 2) + std::pow(0.6 - 0.312674, 2))).epsilon(1e-5));
  CHECK(
      s.interval()[1] ==
      doctest::Approx(0.7 + 0.5 * std::sqrt(std::pow(0.943318 - 0.8, 2) + std::pow(0.831820 - 0.6, 2))).epsilon(1e-5));
  // The classes count the same, however many of each there are.
  CHECK(ClassScore{rates({{90, 90}, {0, 10}})}.balanced_accuracy() == doctest::Approx(0.5));
  CHECK(std::isnan(ClassScore{rates({{1, 1}, {0, 0}})}.balanced_accuracy()));
  // One class alone has Wilson's own interval.
  CHECK(ClassScore{rates({{8, 10}})}.interval()[0] == doctest::Approx(Rate{8, 10}.interval()[0]));

  const Labels asked = {0, 0, 0, 1, 1, -1, 1}, read = {0, 1, 0, 1, 0, 1, -1};
  const ClassScore scored = score_classes(asked, read, 2);
  CHECK(scored.recall[0].hits == 2);
  CHECK(scored.recall[0].n == 3);
  CHECK(scored.recall[1].hits == 1);
  CHECK(scored.recall[1].n == 2);
  const auto shares = class_shares(read, 3);
  CHECK(shares[0].hits == 3);
  CHECK(shares[1].hits == 3);
  CHECK(shares[2].hits == 0);
  CHECK(shares[2].n == 6);
  CHECK_THROWS_WITH_AS(score_classes(asked, Labels{0}, 2), doctest::Contains("7 classes requested, 1 predicted"),
                       Error);
}

TEST_CASE("numbers against the requested values") {
  const std::vector<double> asked = {10, 20, 30, 99}, read = {12, 20, 34, not_a_number};
  const NumberScore s = score_numbers(asked, read);
  CHECK(s.n == 3);
  CHECK(s.bias == doctest::Approx(2));
  CHECK(s.mae == doctest::Approx(2));
  CHECK(s.slope == doctest::Approx(1.1));  // of the prediction on the requested value: 220 / 200
  CHECK(s.r == doctest::Approx(220 / std::sqrt(248.0 * 200.0)));
  CHECK(s.mean == doctest::Approx(22));
  CHECK(s.sd == doctest::Approx(std::sqrt(124.0)));
  const NumberScore free = score_numbers({}, read);
  CHECK(free.n == 3);
  CHECK(free.mean == doctest::Approx(22));
  CHECK(std::isnan(free.slope));
  CHECK(score_numbers({}, std::vector<double>{}).n == 0);
  CHECK_THROWS_AS(score_numbers(asked, std::vector<double>{1}), Error);
}

TEST_CASE("priors in a mix of groups") {
  // Group 0: two of four are class 1; group 1: its only one; group 2 is not asked; a row without a label and one of no group do not count.
  const Labels group = {0, 0, 0, 0, 1, 2, 2, 0, -1}, label = {1, 1, 0, 0, 1, 0, 0, -1, 0};
  std::vector<bool> labelled;
  for (const auto l : label) labelled.push_back(l >= 0);
  const auto weight = mix_weights(group, labelled, {0, 1});
  CHECK(weight == std::vector<double>{0.25, 0.25, 0.25, 0.25, 1, 0, 0, 0, 0});
  const auto shares = prior_shares(label, weight, 2);
  CHECK(shares[0] == doctest::Approx(0.25));
  CHECK(shares[1] == doctest::Approx(0.75));
  const auto [mean, deviation] =
      prior_numbers(std::vector<double>{10, 20, 30, 40, 50, 1000, 1000, not_a_number, 7}, weight);
  CHECK(mean == doctest::Approx(37.5));  // (25 + 50) / 2
  CHECK(deviation ==
        doctest::Approx(std::sqrt(0.125 * (27.5 * 27.5 + 17.5 * 17.5 + 7.5 * 7.5 + 2.5 * 2.5) + 0.5 * 12.5 * 12.5)));
  CHECK(std::isnan(prior_shares(label, std::vector<double>(9, 0.0), 2)[0]));
}

TEST_CASE("a probe per group") {
  Context<Cpu> ctx({.threads = 2});
  // The sign that tells the classes is the other one in the second group; the third has one class only; the fourth is nobody's.
  Rows r(400, 5, 1);
  Labels label;
  for (Index i = 0; i < r.n; ++i) {
    r.rows.group[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i % 4) - (i % 4 == 3 ? 4 : 0);
    const bool positive = r.at(i, 2) > 0;
    label.push_back(i % 4 == 2 ? 1 : static_cast<std::int32_t>(positive != (i % 4 == 1)));
  }
  const GroupedProbe probe(ctx, r.rows, label, 2);
  CHECK(probe.reads(0));
  CHECK(probe.reads(1));
  CHECK_FALSE(probe.reads(2));
  CHECK_FALSE(probe.reads(3));
  CHECK_FALSE(probe.reads(-1));
  CHECK(probe.converged());
  Rows unseen(200, 5, 2);
  Labels truth;
  for (Index i = 0; i < unseen.n; ++i) {
    unseen.rows.group[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i % 3);
    truth.push_back(static_cast<std::int32_t>((unseen.at(i, 2) > 0) != (i % 3 == 1)));
  }
  const Labels read = probe.classes(unseen.rows.x, unseen.rows.group);
  for (std::size_t i = 2; i < read.size(); i += 3) CHECK(read[i] == -1);
  CHECK(score_classes(truth, read, 2).balanced_accuracy() > 0.93);
  const GroupedProbe same(ctx, r.rows, label, 2);
  CHECK(same.hash() == probe.hash());
  label[0] = 1 - label[0];
  CHECK(GroupedProbe(ctx, r.rows, label, 2).hash() != probe.hash());

  CHECK_THROWS_AS(probe.classes(unseen.rows.x, Labels{0}), Error);
  Rows wide(3, 6, 3);
  CHECK_THROWS_WITH_AS(probe.classes(wide.rows.x, wide.rows.group), doctest::Contains("fitted on 5 features, got 6"),
                       Error);
  CHECK_THROWS_WITH_AS(GroupedProbe(ctx, wide.rows, Labels{0, 1, 1}, 2),
                       doctest::Contains("no group has 3 rows of each class"), Error);
  CHECK_THROWS_AS(GroupedProbe(ctx, wide.rows, Labels{0, 1}, 2), Error);
  CHECK_THROWS_AS(GroupedProbe(ctx, wide.rows, Labels{0, 0, 0}, 1), Error);
}

TEST_CASE("one penalty: the estimators' own fits") {
  Context<Cpu> ctx({.threads = 2});
  Rows r(90, 7, 4);
  Labels label;
  std::vector<std::int64_t> wide;
  std::vector<double> target;
  for (Index i = 0; i < r.n; ++i) {
    const double v =
        static_cast<double>(r.at(i, 0)) - 0.5 * static_cast<double>(r.at(i, 3)) + 0.7 * static_cast<double>(r.at(i, 6));
    label.push_back(v > 0.9 ? 2 : v > 0 ? 1 : 0);
    wide.push_back(label.back());
    target.push_back(50 + 9 * v);
  }
  const GroupedProbe probe(ctx, r.rows, label, 3, {.grid = {0.1}});
  const LogisticRegression<float, Cpu> logistic(ctx, r.rows.x, wide, {.C = 0.1});
  for (std::size_t k = 0; k < logistic.fit().weights.size(); ++k)
    CHECK(elements_of(probe.probe(0).weights)[k] ==
          doctest::Approx(elements_of(logistic.fit().weights)[k]).epsilon(1e-4));
  const GroupedProbe ridge(ctx, r.rows, target, {.grid = {0.1}});
  const Ridge<float, Cpu> other(ctx, r.rows.x, target, 1, {.alpha = 10});
  const auto expected = other.predict(r.rows.x);
  const auto came = ridge.numbers(r.rows.x, r.rows.group);
  for (std::size_t i = 0; i < came.size(); ++i) CHECK(came[i] == doctest::Approx(expected(i, 0)).epsilon(1e-6));
  // Classes in the order of their codes, for three of them as for two.
  Index right = 0;
  const Labels read = probe.classes(r.rows.x, r.rows.group);
  for (std::size_t i = 0; i < read.size(); ++i) right += read[i] == label[i];
  CHECK(right > 70);
  // A number without a value takes no part, and one group of two is not read.
  std::vector<double> holes = target;
  for (std::size_t i = 0; i < holes.size(); ++i) {
    r.rows.group[i] = static_cast<std::int32_t>(i % 2);
    if (i % 2 == 1) holes[i] = not_a_number;
  }
  const GroupedProbe half(ctx, r.rows, holes, {.grid = {0.1}});
  CHECK(half.reads(0));
  CHECK_FALSE(half.reads(1));
  CHECK(half.probe(0).rows == 45);
  CHECK(std::isnan(half.numbers(r.rows.x, r.rows.group)[1]));
}

TEST_CASE("the penalty is chosen on held-out subjects") {
  Context<Cpu> ctx({.threads = 2});
  // Labels that go with nothing but the person, whose four rows are nearly equal. Were they parted between folds, the largest C would win
  // by recognising subjects; on whole subjects the smallest does.
  Rows r(160, 30, 5);
  Rows plain(160, 3, 8);
  Labels noise, signal;
  const Philox rng(7, Purpose::split, 9, 9);
  for (Index i = 0; i < r.n; ++i) {
    const Index person = i / 4;
    r.rows.subject[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(person);
    for (Index j = 0; j < r.d; ++j) r.at(i, j) = r.at(4 * person, j) + 0.01f * r.at(i, j);
    noise.push_back(static_cast<std::int32_t>(rng.integer(static_cast<std::uint64_t>(person)) & 1u));
    signal.push_back(static_cast<std::int32_t>(plain.at(i, 0) > 0));
  }
  const GroupedProbeOptions grid{.grid = {1e-4, 10.0}};
  CHECK(GroupedProbe(ctx, r.rows, noise, 2, grid).hash() ==
        GroupedProbe(ctx, r.rows, noise, 2, {.grid = {1e-4}}).hash());
  CHECK(GroupedProbe(ctx, plain.rows, signal, 2, grid).hash() ==
        GroupedProbe(ctx, plain.rows, signal, 2, {.grid = {10.0}}).hash());
  ProbeRows strangers = r.rows;
  for (std::size_t i = 0; i < strangers.subject.size(); ++i) strangers.subject[i] = static_cast<std::int32_t>(i);
  CHECK(GroupedProbe(ctx, strangers, noise, 2, grid).hash() ==
        GroupedProbe(ctx, strangers, noise, 2, {.grid = {10.0}}).hash());
  // Too few subjects for folds: C = 1.
  for (std::int32_t& p : strangers.subject) p %= 2;
  CHECK(GroupedProbe(ctx, strangers, signal, 2, grid).hash() ==
        GroupedProbe(ctx, strangers, signal, 2, {.grid = {1.0}}).hash());
  // The same for any number of threads.
  Context<Cpu> alone({.threads = 1});
  CHECK(GroupedProbe(alone, r.rows, signal, 2).hash() == GroupedProbe(ctx, r.rows, signal, 2).hash());
}

TEST_CASE("rare classes with a probe that gives them the same weight") {
  Context<Cpu> ctx({.threads = 2});
  Rows r(600, 3, 6);
  Labels label;
  for (Index i = 0; i < r.n; ++i) {
    label.push_back(i % 10 == 0);
    r.at(i, 1) += i % 10 == 0 ? 1.0f : 0.0f;
  }
  const auto recall = [&](ClassWeight weight) {
    const GroupedProbe probe(ctx, r.rows, label, 2, {.class_weight = weight});
    return score_classes(label, probe.classes(r.rows.x, r.rows.group), 2).recall[1].share();
  };
  CHECK(recall(ClassWeight::none) < 0.2);
  CHECK(recall(ClassWeight::balanced) > 0.55);
}

TEST_CASE("features pooled over tokens") {
  Context<Cpu> ctx({.threads = 2});
  // Two volumes of three tokens with two channels.
  const auto tokens =
      Tensor<float, Cpu>::from_host(ctx, {2, 3, 2}, std::vector<float>{1, 10, 2, 10, 3, 10, 0, -1, 0, 0, 3, 1});
  PooledFeatures p;
  CHECK(p.rows() == 0);
  p.add(tokens);
  p.add(tokens.slice(1, 2));
  CHECK(p.rows() == 3);
  CHECK(p.width() == 2);
  const float third = std::sqrt(2.0f / 3.0f), root = std::sqrt(2.0f);
  const std::vector<float> expected = {2, 10, third, 0, 1, 0, root, third, 1, 0, root, third};
  REQUIRE(p.values().size() == expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(elements_of(p.values())[i] == doctest::Approx(expected[i]));
  CHECK(p.means() == xt::xtensor<float, 2>{{2, 10}, {1, 0}, {1, 0}});
  CHECK(p.view().rows == 3);
  CHECK(p.view().features == 4);
  CHECK(p.tensor(ctx).shape() == Shape{3, 4});
  CHECK_THROWS_WITH_AS(p.add(Tensor<float, Cpu>(ctx, {1, 3, 3})), doctest::Contains("expected (N, L, 2)"), Error);
}
