// Saved probes and fold files: what is written comes back, foreign features and foreign salts are refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/probe/fold_file.hpp"
#include "braing3n/probe/saved_probe.hpp"
#include "tests/probe/cohort.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;
using test::Cohort;
using test::quick;

namespace {

using Folder = test::ScratchFolder;

}  // namespace

TEST_CASE("saved probes give the fitted predictions again, and refuse foreign features") {
  const Folder folder;
  Context<Cpu> ctx({.threads = 2});
  const Cohort c(ctx);
  ResolvedTask age;
  age.task.text = age.task.column = "age";
  for (Index i = 0; i < c.n; ++i)
    age.target.push_back(50 + 4.0 * c.x.data()[i * c.d + 1] +
                         6.0 * Philox(9, Purpose::test).normal(static_cast<std::uint64_t>(i)));
  std::vector<std::int32_t> three;
  for (Index i = 0; i < c.n; ++i)
    three.push_back(c.x.data()[i * c.d + 3] > 0.5f ? 2 : c.x.data()[i * c.d + 3] > -0.5f ? 1 : 0);
  ResolvedTask stage = c.binary("stage", three);
  stage.classes = {"a", "b", "c"};
  const Panel panel({c.binary("sex", c.readable()), stage, age}, c.subject, quick());
  const auto results = panel.run(ctx, c.view());
  FeatureTable table;
  table.path = "features";
  table.values = matrix_of(c.d, c.x.to_host());
  table.set_contract("1 mm, skull-stripped");
  const auto fits = panel.fit_all(ctx, c.view(), {}, results);
  for (const LinearFit& fit : fits) CHECK(fit.rows == c.n);  // no fold is held out
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
      const std::span<const double> linear = row_of(results[t].linear, static_cast<Index>(k));
      std::vector<double> v(linear.begin(), linear.end());
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
    raw += (age.target[k] - mean) * (results[2].predictions.values(k, 0) - age.target[k]);
    corrected +=
        (age.target[k] - mean) * corrected_gap(read.tasks[2], results[2].predictions.values(k, 0), age.target[k]);
  }
  CHECK(raw < -1000);
  CHECK(std::abs(corrected) < 1e-6 * std::abs(raw));

  // What lies far outside of the training rows is told; a file without ranges says that it cannot tell.
  const SavedTask& of_age = read.tasks[2];
  REQUIRE(of_age.range.known());
  CHECK(of_age.range.low == made.tasks[2].range.low);
  CHECK(of_age.range.target_high == *std::max_element(age.target.begin(), age.target.end()));
  for (Index i = 0; i < c.n; ++i) {
    const float* row = c.x.data() + i * c.d;
    CHECK(judge_range(of_age.range, row, apply_probe(of_age, row)[0]) == RangeVerdict::inside);
  }
  std::vector<float> far(c.x.data(), c.x.data() + c.d);
  far[5] = 60.0f;
  CHECK(judge_range(of_age.range, far.data(), std::nullopt) == RangeVerdict::features);
  CHECK(feature_outside(of_age.range, far.data()) == Index{5});
  CHECK(judge_range(of_age.range, c.x.data(), 400.0) == RangeVerdict::prediction);
  CHECK(judge_range(of_age.range, far.data(), -400.0) == RangeVerdict::both);
  CHECK(std::isnan(read.tasks[0].range.target_low));
  SavedProbe old = made;
  for (SavedTask& task : old.tasks) task.range = {};
  write_saved_probe(folder.path / "old.safetensors", old);
  CHECK(judge_range(read_saved_probe(folder.path / "old.safetensors").tasks[2].range, far.data(), 400.0) ==
        RangeVerdict::unknown);

  FeatureTable other = table;
  other.set_contract("2 mm");
  CHECK_THROWS_AS(require_same_features(read, other), Error);
  other = table;
  set_size(other.values, 1, 19);
  CHECK_THROWS_WITH_AS(require_same_features(read, other), "features: the probe reads 20 features, the table has 19",
                       Error);
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
