// Panels, confounds and leaks: planted faults are found, clean data raises nothing.
#include <doctest/doctest.h>

#include <numeric>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/probe/panel_files.hpp"
#include "tests/probe/cohort.hpp"

using namespace braing3n;
using test::Cohort;
using test::quick;

TEST_CASE("a panel finds what is there and nothing else, with the same bits on 1, 2 and 3 threads") {
  std::vector<std::string> results;
  for (int threads : {1, 2, 3}) {
    Context<Cpu> ctx({.threads = threads});
    const Cohort c(ctx);
    std::vector<std::int32_t> random;
    for (Index i = 0; i < c.n; ++i)
      random.push_back(
          static_cast<std::int32_t>(Philox(5, Purpose::test).integer(static_cast<std::uint64_t>(i / 2)) % 2));
    ResolvedTask age;
    age.task.text = age.task.column = "age";
    for (Index i = 0; i < c.n; ++i)
      age.target.push_back(i % 7 == 0 ? std::nan("")
                                      : 50 + 10.0 * c.x.data()[i * c.d + 1] + 3.0 * c.x.data()[i * c.d + 2]);
    std::vector<std::int32_t> hopeless(static_cast<std::size_t>(c.n), 0);
    hopeless[3] = 1;
    std::vector<std::int32_t> own;
    for (Index i = 0; i < c.n; ++i) own.push_back(c.x.data()[i * c.d] > 0);
    const Panel panel({c.binary("sex", own), c.binary("random", random), age, c.binary("hopeless", hopeless)},
                      c.subject, quick());
    const auto r = panel.run(ctx, c.view());
    CHECK(r[0].scores["auc"].mean > 0.97);
    CHECK(r[0].scores.p_value == doctest::Approx(0.01));
    CHECK(r[0].scores["auc"].low <= r[0].scores["auc"].mean);
    CHECK(r[0].scores["auc"].high >= r[0].scores["auc"].mean);
    CHECK(std::abs(r[1].scores["auc"].mean - 0.5) < 0.15);
    CHECK(r[1].scores.p_value > 0.01);
    CHECK(r[2].scores["r2"].mean > 0.95);
    CHECK(r[2].sample.size() == 205);
    CHECK(std::abs(r[2].scores["bias"].mean) < 0.5);
    CHECK(r[3].error.find("nothing is left to train on") != std::string::npos);
    for (const TaskResult& t : r) CHECK((!t.ok() || t.converged()));
    for (std::size_t k = 1; k < r[0].sample.size(); k += 2)
      CHECK(r[0].predictions.fold[k] == r[0].predictions.fold[k - 1]);
    PanelReport report;
    report.runs.push_back({"f", c.n, c.d, r, std::vector<std::vector<ConfoundScore>>(r.size())});
    results.push_back(to_json(report).dump());
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("inner selection prefers the penalty that predicts, and uses training rows only") {
  Context<Cpu> ctx({.threads = 2});
  const Cohort c(ctx);
  ResolvedTask noisy;
  noisy.task.text = noisy.task.column = "noisy";
  for (Index i = 0; i < c.n; ++i)
    noisy.target.push_back(0.3 * c.x.data()[i * c.d] + Philox(6, Purpose::test).normal(static_cast<std::uint64_t>(i)));
  PanelOptions o = quick();
  o.uncertainty = {.replicates = 0, .permutations = 0};
  o.select = true;
  const Panel panel({noisy}, c.subject, o);
  const auto selected = panel.run(ctx, c.view());
  for (const FoldFit& f : selected[0].fits)
    CHECK(f.penalty > 1.0);  // much noise, few rows: more shrinking than the default
  // Changing the target of a held-out row must not change the choice or the fit of its fold.
  ResolvedTask changed = noisy;
  const std::int32_t fold = selected[0].predictions.fold[0];
  for (Index i = 0; i < c.n; ++i)
    if (selected[0].predictions.fold[static_cast<std::size_t>(i)] == fold)
      changed.target[static_cast<std::size_t>(i)] += 1e-3;  // same quantile bins
  const auto again = Panel({changed}, c.subject, o, [&](const Task&) {
                       return std::optional(selected[0].predictions.fold);
                     }).run(ctx, c.view());
  const auto base = Panel({noisy}, c.subject, o, [&](const Task&) {
                      return std::optional(selected[0].predictions.fold);
                    }).run(ctx, c.view());
  CHECK(again[0].fits[static_cast<std::size_t>(fold)].penalty == base[0].fits[static_cast<std::size_t>(fold)].penalty);
  for (std::size_t k = 0; k < base[0].sample.size(); ++k)
    if (base[0].predictions.fold[k] == fold)
      CHECK(again[0].predictions.values(k, 0) == base[0].predictions.values(k, 0));
}

TEST_CASE("a task whose training rows cannot be split again says so, and the others go on") {
  Context<Cpu> ctx({.threads = 2});
  const Cohort c(ctx);
  std::vector<std::int32_t> rare(static_cast<std::size_t>(c.n), -1);  // 8 people
  for (std::size_t i = 0; i < 16; ++i) rare[i] = static_cast<std::int32_t>(i / 2 % 2);
  PanelOptions o = quick();
  o.select = true;
  o.inner_folds = 7;
  const Panel panel({c.binary("rare", rare), c.binary("sex", c.readable())}, c.subject, o);
  const auto r = panel.run(ctx, c.view());
  CHECK(r[0].error.find("6 subjects cannot fill 7 folds") != std::string::npos);
  REQUIRE(r[1].ok());
  CHECK(r[1].fits.size() == 5);
  const auto fits = panel.fit_all(ctx, c.view(), {}, r);
  CHECK(fits[0].weights.size() == 0);
  CHECK(fits[1].weights.size() == static_cast<std::size_t>(c.d));
}

TEST_CASE("a planted site confound is called suspicious; a real signal and a balanced site are not") {
  Context<Cpu> ctx({.threads = 2});
  Cohort c(ctx);
  // Site shifts feature 4. Disease goes with the site and with nothing else.
  for (Index i = 0; i < c.n; ++i)
    c.x.data()[i * c.d + 4] += 6.0f * static_cast<float>(c.site[static_cast<std::size_t>(i)] == 0);
  std::vector<std::int32_t> disease;
  const Philox rng(8, Purpose::test);
  for (Index i = 0; i < c.n; ++i) {
    const double p = c.site[static_cast<std::size_t>(i)] == 0 ? 0.9 : 0.1;
    disease.push_back(static_cast<double>(rng.uniform(static_cast<std::uint64_t>(i / 2))) < p ? 1 : 0);
  }
  const Panel panel({c.binary("disease", disease), c.binary("sex", c.readable())}, c.subject, quick());
  const auto r = panel.run(ctx, c.view());
  const std::vector<std::string> names{"s0", "s1", "s2"};
  const ConfoundScore planted = score_confound(r[0], "site", c.site, names),
                      clean = score_confound(r[1], "site", c.site, names);
  CHECK(r[0].scores["auc"].mean > 0.75);
  CHECK(planted.alone > 0.75);
  CHECK(planted.within < 0.65);
  CHECK(planted.suspicious);
  CHECK(clean.alone < 0.65);
  CHECK_FALSE(clean.suspicious);
  CHECK(planted.sites.size() == 3);
}

TEST_CASE("planted leaks are found, clean data raises none") {
  Context<Cpu> ctx({.threads = 2});
  for (Index d : {20, 300}) {  // exact search, and the search on projections
    const Index n = 200;
    auto x = test::random<float>(ctx, {n, d}, 50);
    std::vector<std::string> ids;
    std::vector<std::int32_t> subject, cohort;
    for (Index i = 0; i < n; ++i) {
      ids.push_back(concat("v", i));
      subject.push_back(static_cast<std::int32_t>(i));
      cohort.push_back(static_cast<std::int32_t>(i % 2));
    }
    const FeatureView<float> view{x.data(), n, d};
    CHECK(find_copies(view, {}, ids).empty());
    CHECK(find_near_duplicates(ctx, view, {}, ids, subject, cohort).empty());
    // 10 and 31 are one scan, processed twice, in different cohorts; 40 and 41 likewise, but of one person; 50 and 52 of one cohort.
    const auto copy = [&](Index from, Index to, float noise) {
      for (Index j = 0; j < d; ++j)
        x.data()[to * d + j] = x.data()[from * d + j] + noise * static_cast<float>(j % 3 - 1);
    };
    copy(10, 31, 0.05f);
    copy(40, 41, 0.05f);
    subject[41] = subject[40];
    copy(50, 52, 0.05f);
    const auto near = find_near_duplicates(ctx, view, {}, ids, subject, cohort);
    REQUIRE(near.size() == 1);
    CHECK(near[0].first == 10);
    CHECK(near[0].second == 31);
    CHECK(find_near_duplicates(ctx, view, {}, ids, subject).size() == 2);  // without cohorts: any two people
    copy(60, 75, 0.0f);
    const auto copies = find_copies(view, {}, ids);
    REQUIRE(copies.size() == 1);
    CHECK(copies[0].sentence == "\"v60\" and \"v75\" have the same features, bit for bit");
    std::vector<std::string> hash(static_cast<std::size_t>(n));
    hash[3] = hash[8] = "abc";
    CHECK(find_copies(view, {}, ids, hash).size() == 2);
  }
}

TEST_CASE(
    "few columns of coarse values are equal by chance: no copies are found; with more columns or finer values they "
    "are") {
  Context<Cpu> ctx({.threads = 1});
  const Index n = 200;
  const auto table = [&](Index d, double values) {  // whole numbers 0 to values - 1
    std::vector<float> x;
    const Philox rng(3, Purpose::test);
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(n * d); ++i)
      x.push_back(static_cast<float>(std::floor(values * static_cast<double>(rng.integer(i)) * 0x1p-32)));
    return x;
  };
  std::vector<std::string> ids;
  for (Index i = 0; i < n; ++i) ids.push_back(concat("v", i));
  const auto copies = [&](std::vector<float> x, Index d, bool copied) {
    if (copied) std::copy_n(x.data() + 3 * d, d, x.data() + 150 * d);
    return find_copies(FeatureView<float>{x.data(), n, d}, {}, ids).size();
  };
  const std::vector<float> coarse = table(2, 20);
  CHECK(copies(coarse, 2, false) == 0);  // 50 pairs are equal
  std::vector<std::int32_t> subject(static_cast<std::size_t>(n));
  std::iota(subject.begin(), subject.end(), 0);
  CHECK(find_near_duplicates(ctx, FeatureView<float>{coarse.data(), n, 2}, {}, ids, subject).empty());
  CHECK(copies(table(1, 1e6), 1, true) == 0);  // two people of one size
  CHECK(copies(table(2, 1e6), 2, true) == 1);
  CHECK(copies(table(12, 20), 12, true) == 1);
  CHECK(copies(table(12, 20), 12, false) == 0);
  auto constant = table(3, 20);
  for (Index i = 0; i < n; ++i) constant[static_cast<std::size_t>(3 * i)] = 7;  // says nothing
  CHECK(copies(constant, 3, true) == 0);
  std::vector<std::string> hash(static_cast<std::size_t>(n));
  hash[3] = hash[8] = "abc";  // of the volumes: counts whatever the features are
  CHECK(find_copies(FeatureView<float>{coarse.data(), n, 2}, {}, ids, hash).size() == 1);
}

TEST_CASE("with few features people come close by chance: no alarm, and a copy with a little noise is still found") {
  Context<Cpu> ctx({.threads = 2});
  for (Index d : {1, 2, 3, 6}) {
    const Index n = 2000;
    auto x = test::random<float>(ctx, {n, d}, 60);
    std::vector<std::string> ids;
    std::vector<std::int32_t> subject, cohort;
    for (Index i = 0; i < n; ++i) {
      ids.push_back(concat("v", i));
      subject.push_back(static_cast<std::int32_t>(i / 2));
      cohort.push_back(static_cast<std::int32_t>(i / 2 % 2));
    }
    const FeatureView<float> view{x.data(), n, d};
    const auto clean = find_near_duplicates(ctx, view, {}, ids, subject, cohort);
    CHECK_MESSAGE(clean.empty(), d, " features: ", clean.size(), " alarms");
    if (d < 3) continue;  // on a line or a plane nobody can tell
    for (Index j = 0; j < d; ++j) x.data()[22 * d + j] = x.data()[100 * d + j] * 1.0001f;
    const auto found = find_near_duplicates(ctx, view, {}, ids, subject, cohort);
    REQUIRE_MESSAGE(found.size() == 1, d, " features");
    CHECK(found[0].first == 22);
    CHECK(found[0].second == 100);
  }
}

TEST_CASE("subjects with two labels and subjects in two folds are named") {
  Context<Cpu> ctx({.threads = 1});
  const Cohort c(ctx);
  auto label = c.readable();
  const std::vector<std::string> names = [&] {
    std::vector<std::string> out;
    for (int i = 0; i < 120; ++i) out.push_back(concat("P", i));
    return out;
  }();
  const Panel clean({c.binary("sex", label)}, c.subject, quick());
  CHECK(find_label_conflicts(clean.tasks()[0], names).empty());
  label[14] = 1 - label[15];
  const Panel panel({c.binary("sex", label)}, c.subject, quick());
  const auto conflicts = find_label_conflicts(panel.tasks()[0], names);
  REQUIRE(conflicts.size() == 1);
  CHECK(conflicts[0].sentence == "subject \"P7\" has more than one value of sex: a, b");

  std::vector<std::int32_t> fold;
  for (Index i = 0; i < c.n; ++i) fold.push_back(static_cast<std::int32_t>(i / 2 % 5));
  CHECK(find_split_subjects(clean.tasks()[0], fold, names).empty());
  fold[9] = (fold[9] + 1) % 5;
  const auto split = find_split_subjects(clean.tasks()[0], fold, names);
  REQUIRE(split.size() == 1);
  CHECK(split[0].sentence.find("\"P4\" is in 2 folds") != std::string::npos);
  CHECK(check_leakage(ctx, c.view(), {}, {c.ids, c.subject, names, c.site, {}}, clean.tasks()).empty());
  const auto all = check_leakage(ctx, c.view(), {}, {c.ids, c.subject, names, c.site, {}}, panel.tasks());
  REQUIRE(all.size() == 1);
  CHECK(all[0].kind == "label_conflict");
  const Panel refused({c.binary("sex", c.readable())}, c.subject, quick(),
                      [&](const Task&) { return std::optional(fold); });
  CHECK(refused.tasks()[0].error.find("one subject into two folds") != std::string::npos);
}
