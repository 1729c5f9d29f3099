// Task grammar, labels, pairing of rows; scores and what is said about their uncertainty.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "braing3n/backend/cpu/providers.hpp"
#include "braing3n/probe/row_pairing.hpp"
#include "braing3n/probe/task.hpp"
#include "braing3n/probe/uncertainty.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;

namespace {

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / concat("braing3n_tasks_", ::getpid());
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path / name) << text;
    return (path / name).string();
  }
};

}  // namespace

TEST_CASE("task grammar") {
  const Task t = parse_task(" disease:HC|AD=class@modality=T1c@cohort=ADNI ");
  CHECK(t.column == "disease");
  CHECK(t.values == std::vector<std::string>{"HC", "AD"});
  CHECK(t.kind == Task::Kind::classification);
  CHECK(t.where == std::vector<std::pair<std::string, std::string>>{{"modality", "T1c"}, {"cohort", "ADNI"}});
  CHECK(parse_tasks("sex, age # comment, with comma\n\ncdr=class,mmse=reg").size() == 4);
  for (const char* wrong : {"", ":A|B", "a:B", "a:B|", "a:B|B", "a=what", "a:B|C=reg", "a@b", "a@b=", "a@=c"})
    CHECK_THROWS_AS(parse_task(wrong), Error);
  CHECK_THROWS_AS(parse_tasks("sex,sex"), Error);
}

TEST_CASE("labels: kinds, spellings, conditions, and what cannot be a task") {
  const CsvTable table = CsvTable::from_text(
      "volume_id,sex,age,cdr,group,constant,one,modality\na,F,30.123456789,0,HC,5,x,T1\nb,male,40,0.5,AD,5,x,T1c\nc,m,50,1,HC,5,,T1c\nd,"
      "female,n/a,1.0,AD,5,x,T1\n",
      "labels");
  const std::vector<Index> rows{0, 1, 2, 3};
  const auto resolve = [&](const char* task) { return resolve_task(parse_task(task), table, rows); };
  CHECK(resolve("sex").classes == std::vector<std::string>{"F", "M"});
  CHECK(resolve("sex").label == std::vector<std::int32_t>{0, 1, 1, 0});
  const ResolvedTask age = resolve("age");
  CHECK_FALSE(age.classification);
  CHECK(age.target[0] == 30.123456789);
  CHECK(age.rows == 3);
  CHECK_FALSE(age.has(3));
  CHECK(resolve("cdr=class").classes == std::vector<std::string>{"0", "0.5", "1"});
  CHECK(resolve("cdr=class").label == std::vector<std::int32_t>{0, 1, 2, 2});
  CHECK(resolve("group:AD|HC").label == std::vector<std::int32_t>{1, 0, 1, 0});
  CHECK(resolve("age@modality=T1c").rows == 2);
  CHECK(resolve("age@sex=M").rows == 2);
  const auto says = [&](const char* task, const char* id) {
    try {
      (void)resolve(task);
      FAIL_CHECK(task);
    } catch (const Error& e) {
      CHECK_MESSAGE(e.id() == id, task, ": ", e.what());
    }
  };
  says("agee", "task.column");
  says("sex@modalty=T1", "task.column");
  says("sex=reg", "task.type");
  says("constant=reg", "task.constant");
  says("one", "task.one_class");
  says("group:HC|XX", "task.value");
  says("age@sex=X", "task.empty");
}

TEST_CASE("features and labels find each other, or the sentence says who is missing") {
  const Folder folder;
  const std::string features = folder.write("f.csv", "id,f1,f2\nb,1,2\na,3,4\nc,5,nan\nz,0,0\n");
  const FeatureTable table = read_features(features);
  CHECK(table.rows == 4);
  CHECK(table.column_names == std::vector<std::string>{"f1", "f2"});
  CHECK(std::isnan(table.values[5]));
  const CsvTable labels = CsvTable::from_text("id,sex\na,F\nb,M\nc,F\nq,M\nb,M\n", "labels.csv");
  const Pairing pairing = pair_rows(labels, {&table, 1});
  CHECK(pairing.ids == std::vector<std::string>{"a", "b", "c"});
  CHECK(pairing.feature_row[0] == std::vector<Index>{1, 0, 2});
  REQUIRE(pairing.warnings.size() == 3);
  CHECK(pairing.warnings[0].find("\"b\" (lines 3 and 6, equal)") != std::string::npos);
  CHECK(pairing.warnings[1].find("1 row of labels has no features: \"q\"") != std::string::npos);
  CHECK(pairing.warnings[2].find("1 row has no labels: \"z\"") != std::string::npos);
  // The same identifier with two different labels cannot be believed.
  CHECK(pair_rows(CsvTable::from_text("id,sex\na,F\nb,M\na,M\n", "l"), {&table, 1}).ids == std::vector<std::string>{"b"});
  // Repeated identifiers are an error, unless the labels repeat them row by row; then rows pair in order.
  FeatureTable twice = read_features(folder.write("twice.csv", "id,f\na,1\na,2\n"));
  REQUIRE(duplicate_id(twice).has_value());
  CHECK_THROWS_AS(pair_rows(labels, {&twice, 1}), Error);
  CHECK_FALSE(same_identifiers(labels, twice));
  const CsvTable visits = CsvTable::from_text("id,age\na,60\na,62\n", "l");
  CHECK(same_identifiers(visits, twice));
  twice.ids.clear();
  CHECK(pair_rows(visits, {&twice, 1}).ids == std::vector<std::string>{"a", "a#2"});
  CHECK_THROWS_AS(read_features(folder.write("text.csv", "id,f\na,x\n")), Error);
  FeatureTable plain;
  plain.rows = 2;
  plain.columns = 1;
  plain.values = {1, 2};
  plain.path = "plain.npy";
  CHECK_THROWS_WITH_AS(pair_rows(labels, {&plain, 1}),
                       "plain.npy: 2 rows of features without identifiers, but 5 rows of labels in labels.csv", Error);
  CHECK_THROWS_AS(pair_rows(CsvTable::from_text("id,sex\nx,F\n", "l"), {&table, 1}), Error);
  CHECK(matches_pattern("lh_insula_thickness", "lh_*_thick*"));
  CHECK_FALSE(matches_pattern("rh_insula_thickness", "lh_*"));
}

TEST_CASE("the feature file: what is written is read, and a contract that was changed is noticed") {
  const Folder folder;
  const auto path = folder.path / "f.safetensors";
  FeatureTable table;
  table.rows = 3;
  table.columns = 2;
  table.values = {1, 2, 3, 4, 5, std::nanf("")};
  table.ids = {"sub-01_T1w", "a \"b\"", "\u00fc,1"};
  table.column_names = {"x", "y"};
  table.set_contract(R"({"spacing": [1, 1, 1], "encoder": "crc32 0a1b2c3d", "pooling": "mean"})");
  write_feature_file(path, table);
  const FeatureTable read = read_features(path);
  CHECK(read.ids == table.ids);
  CHECK(read.column_names == table.column_names);
  CHECK(read.contract == table.contract);
  CHECK(read.contract_hash == sha256_hex(table.contract));
  CHECK(read.rows == 3);
  CHECK(std::memcmp(read.values.data(), table.values.data(), 6 * sizeof(float)) == 0);
  const SafetensorsFile file(path);
  CHECK(file.metadata().at("volume_ids") == R"(["sub-01_T1w","a \"b\"","ü,1"])");
  CHECK(file.metadata().at("braing3n.type") == "features");
  CHECK_THROWS_AS(write_feature_file(path, table), Error);  // exists
  write_feature_file(path, table, {.overwrite = true});

  const auto refuses = [&](FeatureTable t, const char* id) {
    try {
      write_feature_file(folder.path / "no.safetensors", t);
      FAIL_CHECK(id);
    } catch (const Error& e) {
      CHECK(e.id() == id);
    }
    CHECK_FALSE(std::filesystem::exists(folder.path / "no.safetensors"));
  };
  FeatureTable wrong = table;
  wrong.ids[2] = wrong.ids[0];
  refuses(wrong, "features.duplicate");
  wrong.ids[2] = "";
  refuses(wrong, "features.id");
  wrong.ids.pop_back();
  refuses(wrong, "features.ids");
  wrong = table;
  wrong.values.pop_back();
  refuses(wrong, "features.shape");

  const auto reads = [&](const Metadata& metadata) {
    const std::vector<NamedTensor> tensors{named_tensor<float>("features", {3, 2}, std::span<const float>(table.values))};
    write_safetensors(path, tensors, metadata, {.overwrite = true});
    return read_features(path);
  };
  CHECK(reads({}).ids.empty());
  CHECK(reads({}).contract_hash.empty());
  CHECK(reads({{"braing3n.contract_hash", "abc"}}).contract_hash == "abc");
  CHECK_THROWS_WITH_AS(reads({{"volume_ids", "[\"a\"]"}}), (path.string() + ": metadata \"volume_ids\": 1 entries for 3 rows").c_str(),
                       Error);
  CHECK_THROWS_AS(reads({{"volume_ids", "[1, 2, 3]"}}), Error);
  CHECK_THROWS_AS(reads({{"volume_ids", "a, b, c"}}), Error);
  CHECK_THROWS_AS(reads({{"braing3n.contract", "{}"}, {"braing3n.contract_hash", "abc"}}), Error);
}

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
  const auto r = regression_scores(std::vector<double>{1, 2, 3, 4}, std::vector<double>{2, 4, 6, 8}, std::vector<float>(4, 1.0f));
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
    const Philox rng(11, Purpose::test);
    for (std::int32_t person = 0; person < 200; ++person)
      for (int k = 0; k < scans; ++k) {
        p.subject.push_back(person);
        p.fold.push_back(person % 5);
        p.target.push_back(rng.normal(static_cast<std::uint64_t>(2 * person)));
        p.values.push_back(p.target.back() + rng.normal(static_cast<std::uint64_t>(2 * person + 1)));
      }
    const ScoreTable table = score_predictions(ctx, p, {.replicates = 400, .permutations = 0});
    return table["mae"].high - table["mae"].low;
  };
  const double once = width_of(1), often = width_of(8);
  CHECK(often == doctest::Approx(once).epsilon(1e-6));
  // Coverage of a known mean absolute error, E|N(0,1)| = sqrt(2 / pi).
  int covered = 0;
  for (std::uint32_t trial = 0; trial < 200; ++trial) {
    Predictions p;
    const Philox rng(12, Purpose::test, trial);
    for (std::int32_t person = 0; person < 150; ++person) {
      p.subject.push_back(person);
      p.fold.push_back(person % 5);
      p.target.push_back(rng.normal(static_cast<std::uint64_t>(2 * person)));
      p.values.push_back(p.target.back() + rng.normal(static_cast<std::uint64_t>(2 * person + 1)));
    }
    const ScoreTable table = score_predictions(ctx, p, {.replicates = 200, .permutations = 0, .seed = trial});
    covered += table["mae"].low <= std::sqrt(2.0 / 3.14159265358979) && std::sqrt(2.0 / 3.14159265358979) <= table["mae"].high;
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
    p.classes = 2;
    const Philox rng(13, Purpose::test, trial);
    for (std::int32_t i = 0; i < 100; ++i) {
      p.subject.push_back(i / 2);  // two scans per person with one label: exchanging scans instead of people would be too sure
      p.fold.push_back(i / 2 % 5);
      p.label.push_back(static_cast<std::int32_t>(rng.integer(static_cast<std::uint64_t>(i / 2)) & 1));
      const double v = static_cast<double>(rng.uniform(static_cast<std::uint64_t>(1000 + i / 2)));
      p.values.insert(p.values.end(), {1 - v, v});
    }
    const double value = score_predictions(ctx, p, {.replicates = 0, .permutations = 99, .seed = trial}).p_value;
    sum += value;
    small += value <= 0.05;
  }
  CHECK(std::abs(sum / trials - 0.5) < 0.1);
  CHECK(small <= 12);
}
