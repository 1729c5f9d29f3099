// Panels, confounds, leaks, saved probes and fold files: planted faults are found, clean data raises nothing.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "braing3n/backend/cpu/providers.hpp"
#include "braing3n/probe/fold_file.hpp"
#include "braing3n/probe/panel_files.hpp"
#include "braing3n/probe/saved_probe.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;

namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / concat("braing3n_probe_", ::getpid());
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

/// 240 scans of 120 people at 3 sites; sex and age can be read from the features, "random" cannot.
struct Cohort {
  Context<Cpu>& ctx;
  Index n = 240, d = 20;
  Tensor<float, Cpu> x;
  std::vector<std::string> ids;
  std::vector<std::int32_t> subject, site;
  explicit Cohort(Context<Cpu>& c) : ctx(c), x(test::random<float>(c, {240, 20}, 40)) {
    for (Index i = 0; i < n; ++i) {
      ids.push_back(concat("v", i));
      subject.push_back(static_cast<std::int32_t>(i / 2));
      site.push_back(static_cast<std::int32_t>(i / 2 % 3));
    }
  }
  FeatureView<float> view() const { return {x.data(), n, d}; }
  ResolvedTask binary(const std::string& name, const std::vector<std::int32_t>& label) const {
    ResolvedTask t;
    t.task.text = t.task.column = name;
    t.classification = true;
    t.classes = {"a", "b"};
    t.label = label;
    return t;
  }
  /// One value per person, from feature 0 of the first scan.
  std::vector<std::int32_t> readable() const {
    std::vector<std::int32_t> y;
    for (Index i = 0; i < n; ++i) y.push_back(x.data()[i / 2 * 2 * d] > 0);
    return y;
  }
};

PanelOptions quick() {
  PanelOptions o;
  o.uncertainty = {.replicates = 100, .permutations = 99};
  return o;
}

}  // namespace

TEST_CASE("a panel finds what is there and nothing else, with the same bits on 1, 2 and 3 threads") {
  std::vector<std::string> results;
  for (int threads : {1, 2, 3}) {
    Context<Cpu> ctx({.threads = threads});
    const Cohort c(ctx);
    std::vector<std::int32_t> random;
    for (Index i = 0; i < c.n; ++i)
      random.push_back(static_cast<std::int32_t>(Philox(5, Purpose::test).integer(static_cast<std::uint64_t>(i / 2)) % 2));
    ResolvedTask age;
    age.task.text = age.task.column = "age";
    for (Index i = 0; i < c.n; ++i)
      age.target.push_back(i % 7 == 0 ? std::nan("") : 50 + 10.0 * c.x.data()[i * c.d + 1] + 3.0 * c.x.data()[i * c.d + 2]);
    std::vector<std::int32_t> hopeless(static_cast<std::size_t>(c.n), 0);
    hopeless[3] = 1;
    std::vector<std::int32_t> own;
    for (Index i = 0; i < c.n; ++i) own.push_back(c.x.data()[i * c.d] > 0);
    const Panel panel({c.binary("sex", own), c.binary("random", random), age, c.binary("hopeless", hopeless)}, c.subject, quick());
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
    for (std::size_t k = 1; k < r[0].sample.size(); k += 2) CHECK(r[0].predictions.fold[k] == r[0].predictions.fold[k - 1]);
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
  for (const FoldFit& f : selected[0].fits) CHECK(f.penalty > 1.0);  // much noise, few rows: more shrinking than the default
  // Changing the target of a held-out row must not change the choice or the fit of its fold.
  ResolvedTask changed = noisy;
  const std::int32_t fold = selected[0].predictions.fold[0];
  for (Index i = 0; i < c.n; ++i)
    if (selected[0].predictions.fold[static_cast<std::size_t>(i)] == fold)
      changed.target[static_cast<std::size_t>(i)] += 1e-3;  // same quantile bins
  const auto again =
      Panel({changed}, c.subject, o, [&](const Task&) { return std::optional(selected[0].predictions.fold); }).run(ctx, c.view());
  const auto base =
      Panel({noisy}, c.subject, o, [&](const Task&) { return std::optional(selected[0].predictions.fold); }).run(ctx, c.view());
  CHECK(again[0].fits[static_cast<std::size_t>(fold)].penalty == base[0].fits[static_cast<std::size_t>(fold)].penalty);
  for (std::size_t k = 0; k < base[0].sample.size(); ++k)
    if (base[0].predictions.fold[k] == fold) CHECK(again[0].predictions.values[k] == base[0].predictions.values[k]);
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
  CHECK(fits[0].weights.empty());
  CHECK(fits[1].weights.size() == static_cast<std::size_t>(c.d));
}

TEST_CASE("a planted site confound is called suspicious; a real signal and a balanced site are not") {
  Context<Cpu> ctx({.threads = 2});
  Cohort c(ctx);
  // Site shifts feature 4. Disease goes with the site and with nothing else.
  for (Index i = 0; i < c.n; ++i) c.x.data()[i * c.d + 4] += 6.0f * static_cast<float>(c.site[static_cast<std::size_t>(i)] == 0);
  std::vector<std::int32_t> disease;
  const Philox rng(8, Purpose::test);
  for (Index i = 0; i < c.n; ++i) {
    const double p = c.site[static_cast<std::size_t>(i)] == 0 ? 0.9 : 0.1;
    disease.push_back(static_cast<double>(rng.uniform(static_cast<std::uint64_t>(i / 2))) < p ? 1 : 0);
  }
  const Panel panel({c.binary("disease", disease), c.binary("sex", c.readable())}, c.subject, quick());
  const auto r = panel.run(ctx, c.view());
  const std::vector<std::string> names{"s0", "s1", "s2"};
  const ConfoundScore planted = score_confound(r[0], "site", c.site, names), clean = score_confound(r[1], "site", c.site, names);
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
      for (Index j = 0; j < d; ++j) x.data()[to * d + j] = x.data()[from * d + j] + noise * static_cast<float>(j % 3 - 1);
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
  const Panel refused({c.binary("sex", c.readable())}, c.subject, quick(), [&](const Task&) { return std::optional(fold); });
  CHECK(refused.tasks()[0].error.find("one subject into two folds") != std::string::npos);
}

TEST_CASE("saved probes give the fitted predictions again, and refuse foreign features") {
  const Folder folder;
  Context<Cpu> ctx({.threads = 2});
  const Cohort c(ctx);
  ResolvedTask age;
  age.task.text = age.task.column = "age";
  for (Index i = 0; i < c.n; ++i)
    age.target.push_back(50 + 4.0 * c.x.data()[i * c.d + 1] + 6.0 * Philox(9, Purpose::test).normal(static_cast<std::uint64_t>(i)));
  std::vector<std::int32_t> three;
  for (Index i = 0; i < c.n; ++i) three.push_back(c.x.data()[i * c.d + 3] > 0.5f ? 2 : c.x.data()[i * c.d + 3] > -0.5f ? 1 : 0);
  ResolvedTask stage = c.binary("stage", three);
  stage.classes = {"a", "b", "c"};
  const Panel panel({c.binary("sex", c.readable()), stage, age}, c.subject, quick());
  const auto results = panel.run(ctx, c.view());
  FeatureTable table;
  table.path = "features";
  table.rows = c.n;
  table.columns = c.d;
  table.values.assign(c.x.data(), c.x.data() + c.n * c.d);
  table.set_contract("1 mm, skull-stripped");
  const auto fits = panel.fit_all(ctx, c.view(), {}, results);
  const SavedProbe made = make_saved_probe(table, results, fits);
  const auto file = folder.path / "p.safetensors";
  write_saved_probe(file, made);
  const SavedProbe read = read_saved_probe(file);
  REQUIRE(read.tasks.size() == 3);
  require_same_features(read, table);
  for (std::size_t t = 0; t < 3; ++t) {
    CHECK(read.tasks[t].name == made.tasks[t].name);
    CHECK(read.tasks[t].classes == made.tasks[t].classes);
    for (Index i : {Index{0}, Index{17}})
      CHECK(apply_probe(read.tasks[t], c.x.data() + i * c.d) == apply_probe(made.tasks[t], c.x.data() + i * c.d));
  }
  // The calibrated held-out probabilities have no worse log loss than the raw ones.
  for (std::size_t t = 0; t < 2; ++t) {
    const Index outputs = read.tasks[t].fit.outputs;
    double raw = 0, calibrated = 0;
    for (std::size_t k = 0; k < results[t].sample.size(); ++k) {
      std::vector<double> v(results[t].linear.begin() + static_cast<std::ptrdiff_t>(k) * outputs,
                            results[t].linear.begin() + static_cast<std::ptrdiff_t>(k + 1) * outputs);
      std::vector<double> p(static_cast<std::size_t>(std::max<Index>(outputs, 2)));
      to_probabilities(v.data(), outputs, p.data());
      raw -= std::log(p[static_cast<std::size_t>(results[t].predictions.label[k])]);
      for (double& value : v) value = read.tasks[t].calibration_slope * value + read.tasks[t].calibration_offset;
      to_probabilities(v.data(), outputs, p.data());
      calibrated -= std::log(p[static_cast<std::size_t>(results[t].predictions.label[k])]);
    }
    CHECK(calibrated <= raw + 1e-9);
  }
  // The corrected gap has no slope on age; the raw gap has a negative one.
  double raw = 0, corrected = 0, mean = 0;
  for (double a : age.target) mean += a / static_cast<double>(c.n);
  for (std::size_t k = 0; k < age.target.size(); ++k) {
    raw += (age.target[k] - mean) * (results[2].predictions.values[k] - age.target[k]);
    corrected += (age.target[k] - mean) * corrected_gap(read.tasks[2], results[2].predictions.values[k], age.target[k]);
  }
  CHECK(raw < -1000);
  CHECK(std::abs(corrected) < 1e-6 * std::abs(raw));

  FeatureTable other = table;
  other.set_contract("2 mm");
  CHECK_THROWS_AS(require_same_features(read, other), Error);
  other = table;
  other.columns = 19;
  CHECK_THROWS_WITH_AS(require_same_features(read, other), "features: the probe reads 20 features, the table has 19", Error);
  CHECK_THROWS_AS(read_saved_probe(folder.write("no.safetensors", "not a file of tensors")), Error);
}

TEST_CASE("fold files come back the same, salted or not, and only with the salt") {
  const Folder folder;
  Context<Cpu> ctx({.threads = 1});
  const Cohort c(ctx);
  const Panel panel({c.binary("sex", c.readable())}, c.subject, quick());
  for (const std::string salt : {"", "pepper"}) {
    const auto path = folder.path / concat("folds", salt, ".csv");
    write_folds(path, c.ids, panel.tasks(), salt);
    const FoldFile file(path, c.ids, salt);
    CHECK(file(panel.tasks()[0].task.task) == panel.tasks()[0].predictions.fold);
    CHECK(CsvTable(path).cell(0, "id") == (salt.empty() ? "v0" : published_id("v0", "pepper")));
    if (!salt.empty()) CHECK_THROWS_AS(FoldFile(path, c.ids, "salt"), Error);
    CHECK_FALSE(file(parse_task("age")).has_value());
  }
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex(std::string(119, 'a')).size() == 64);
}
