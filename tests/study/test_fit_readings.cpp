// Readings of forecasts: fitted on subjects whose changes are known, as a table, and what few subjects cannot show.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "braing3n/study/fit_readings.hpp"
#include "braing3n/study/forecast_scope.hpp"
#include "braing3n/study/reading_table.hpp"
#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;
using namespace braing3n::study;

namespace {

/// Subjects with two visits, five years apart. Six sums of tissue show age and the logarithm of a volume, with noise.
struct World {
  Context<Cpu> ctx{{.threads = 1}};
  Manifest table;
  std::vector<MeasuredQuantity> quantities{{.name = "age"}, {.name = "ventricles_ml", .logarithm = true}};
  RowStore<float> sums;
  std::vector<VisitPair> pairs;

  explicit World(Index subjects) {
    const auto row = [&](Index s, double age, double ml, double own, std::uint64_t at) {
      const Philox rng(9, Purpose::test, 32, static_cast<std::uint32_t>(s));
      ScanRow scan;
      scan.volume_id = concat("v", table.size()), scan.subject_id = concat("s", s);
      table.scans.push_back(scan);
      quantities[0].value.push_back(age), quantities[1].value.push_back(ml);
      const double log_ml = std::log(ml);
      // own: what a reading gets wrong about a subject at both visits.
      const std::vector<float> six{static_cast<float>(age + own + 0.5 * rng.normal(at)),
                                   static_cast<float>(log_ml + 0.1 * own),
                                   static_cast<float>(log_ml + 0.02 * rng.normal(at + 1)),
                                   static_cast<float>(rng.normal(at + 2)),
                                   static_cast<float>(age - log_ml),
                                   1.0f};
      append_row<float>(sums, six);
    };
    for (Index s = 0; s < subjects; ++s) {
      const Philox rng(9, Purpose::test, 33, static_cast<std::uint32_t>(s));
      const double age = 60 + 20 * static_cast<double>(rng.uniform(0)), ml = std::exp(3 + 0.4 * rng.normal(1)),
                   own = rng.normal(2);
      const double rate = s % 2 == 0 ? 0.01 : 0.05;
      pairs.push_back({2 * s, 2 * s + 1, 5, age});
      row(s, age, ml, own, 10);
      row(s, age + 5, ml * std::exp(5 * rate * (1 + 0.3 * rng.normal(3))), own, 20);
    }
  }

  /// Forecasts of some subjects: the expected change, as sums of tissue.
  ReadForecasts forecasts(Index first, Index last) const {
    ReadForecasts r;
    r.made.resize(1);
    for (Index s = first; s < last; ++s) {
      const auto before = row_of(sums, 2 * s), after = row_of(sums, 2 * s + 1);
      r.pairs.push_back(pairs[static_cast<std::size_t>(s)]);
      append_row<float>(r.before, before), append_row<float>(r.after, after);
      std::vector<float> made(before.begin(), before.end());
      const float growth = s % 2 == 0 ? 0.05f : 0.25f;
      made[0] += 5, made[1] += growth, made[2] += growth, made[4] += 5 - growth;
      append_row<float>(r.made[0], made);
    }
    return r;
  }

  ForecastProbes probes(Index subjects) const {
    RowStore<float> some;
    std::vector<Index> rows;
    std::vector<std::int32_t> owners;
    for (Index i = 0; i < 2 * subjects; ++i)
      append_row<float>(some, row_of(sums, i)), rows.push_back(i), owners.push_back(static_cast<std::int32_t>(i / 2));
    return ForecastProbes(const_cast<Context<Cpu>&>(ctx), some, rows, owners, quantities);
  }

  ForecastReadings readings(Index validation_end = 140, Index test_end = 400) const {
    ForecastReadings r = fit_readings(probes(80), quantities, SubjectCodes(table), forecasts(80, validation_end),
                                      forecasts(validation_end, test_end), 0, 0.9);
    r.model = "m1", r.tokenizer = "t1", r.forecaster = "field of rates", r.cohort = "volumes.csv";
    return r;
  }
};

}  // namespace

TEST_CASE("readings: probes as they were fitted, intervals that hold for unseen subjects") {
  const World w(400);
  const ForecastReadings r = w.readings();
  REQUIRE(r.quantities.size() == 2);
  CHECK(r.quantities[1].unit == "ml");
  CHECK(r.validation_subjects == 60);
  const ForecastProbes probes = w.probes(80);
  for (std::size_t q = 0; q < 2; ++q) {
    const std::span<const float> row = row_of(w.sums, 300);
    CHECK(r.read(q, std::vector<double>(row.begin(), row.end())) ==
          doctest::Approx(probes(q, w.forecasts(150, 151).before)[0]).epsilon(1e-9));
  }
  for (const QuantityReading& q : r.quantities)
    for (const auto& interval : {q.baseline, q.value, q.change}) {
      REQUIRE(interval);
      CHECK(interval->scale.subjects == 60);
      CHECK(interval->pairs == 260);
      CHECK(std::abs(interval->covered - 0.9) < 0.08);
    }
  // The changes of those who grow fast are more uncertain, and those of all less than the values.
  const ReadingInterval& change = *r.quantities[1].change;
  CHECK(change.half_width(5, 6) > 2 * change.half_width(5, 1));
  CHECK(r.sentence().find("intervals for 90 % from 60 validation subjects of volumes.csv") == 0);
  const ForecastReadings few = w.readings(88);
  CHECK(!few.quantities[0].change);
  CHECK(few.sentence().find("8 validation subjects are too few") != std::string::npos);
  test::check_error("readings.features", {"expected 6 sums of tissue, got 2"},
                    [&] { r.read(0, std::vector{1.0, 2.0}); });
}

TEST_CASE("readings: changes of a forecaster are scaled to the true sum, those of round trips are not") {
  const World w(400);
  ForecastProbes probes = w.probes(80);
  ReadForecasts r = w.forecasts(80, 200);
  for (Index i = 0; i < row_count(r.made[0]); ++i) {  // the forecaster makes too little of the growth
    const std::span<float> made{r.made[0].data() + 6 * i, 6};
    const float missing = (i % 2 == 0 ? 0.05f : 0.25f) * 0.3f;
    made[1] -= missing, made[2] -= missing, made[4] += missing;
  }
  const std::size_t ml = 1;
  std::vector<double> first, second;
  for (const VisitPair& p : r.pairs) {
    first.push_back(w.quantities[ml].value[static_cast<std::size_t>(p.from)]);
    second.push_back(w.quantities[ml].value[static_cast<std::size_t>(p.to)]);
  }
  const std::vector<double> before = probes(ml, r.before), after = probes(ml, r.made[0]);
  const auto grown = [&](std::optional<std::size_t> forecaster) {
    double sum = 0;
    for (std::size_t i = 0; i < before.size(); ++i)
      sum += probes.moved(ml, first[i], before[i], after[i], forecaster) - first[i];
    return sum;
  };
  double truth = 0;
  for (std::size_t i = 0; i < first.size(); ++i) truth += second[i] - first[i];
  CHECK(grown(0) < 0.8 * truth);
  probes.calibrate_forecasts(0, ml, before, after, first, second);
  CHECK(grown(0) == doctest::Approx(truth).epsilon(1e-6));
  CHECK(probes.factor(ml, 0) > 1.3);
  CHECK(probes.factor(ml) == 1);
  CHECK(probes.factor(ml, 1) == 1);
  CHECK(probes.factor(0, 0) == 1);
  CHECK(grown({}) < 0.8 * truth);
  CHECK(probes.calibrated(ml, before, after, 0)[3] ==
        doctest::Approx(before[3] + probes.factor(ml, 0) * (after[3] - before[3])));
  CHECK(fit_readings(probes, w.quantities, SubjectCodes(w.table), r, r, 0, 0.9).quantities[ml].factor ==
        probes.factor(ml, 0));
  // Without a change there is nothing to scale.
  probes.calibrate_forecasts(1, ml, before, before, first, second);
  CHECK(probes.factor(ml, 1) == 1);
}

TEST_CASE("readings: values and changes of a horizon with their limits") {
  ForecastReadings r;
  r.mean = {0, 0};
  const ReadingInterval two{.sd = {.noise = 1, .yearly = 0, .relative = 0}, .scale = {.factor = 2}},
      tenth{.sd = {.noise = 0.05, .yearly = 0, .relative = 0}, .scale = {.factor = 2}},
      steep{.sd = {.noise = 1, .yearly = 0.5, .relative = 0.25}, .scale = {.factor = 1}};
  r.quantities = {{.name = "age", .unit = "years", .weights = {1, 0}, .baseline = two, .value = two, .change = two},
                  {.name = "ventricles_ml",
                   .unit = "ml",
                   .logarithm = true,
                   .weights = {0, 1},
                   .baseline = tenth,
                   .value = tenth,
                   .change = steep}};
  const std::vector<double> before{70, std::log(20.0)}, after{74, std::log(28.0)};
  const ReadHorizon h = study::detail::read_horizon(r, 4, before, after);
  CHECK(h.value[0].text(1) == "74.0 [72.0, 76.0]");
  CHECK(h.change[0].text(1) == "4.0 [2.0, 6.0]");
  CHECK(h.value[1].low == doctest::Approx(28 * std::exp(-0.1)));
  CHECK(h.value[1].high == doctest::Approx(28 * std::exp(0.1)));
  CHECK(h.change[1].value == doctest::Approx(8));
  CHECK(h.change[1].high - h.change[1].value == doctest::Approx(std::sqrt(1 + 4 + 4)));
  const ReadHorizon now = study::detail::read_horizon(r, 0, before, before),
                    past = study::detail::read_horizon(r, -4, before, after);
  CHECK(now.value[0].text(0) == "70 [68, 72]");
  CHECK(now.change[0].text(0) == "0");
  CHECK((past.value[0].text(0) == "74" && past.change[1].text(0) == "8"));  // no interval was scaled backwards
  CHECK(quantity_words("grey_matter_ml", "ml") == "grey matter");
  const std::string text = readings_text(r, {now, h});
  for (const char* part :
       {"age, years", "ventricles, ml", "change of ventricles, ml", "74.0 [72.0, 76.0]", "4.0 [2.0, 6.0]"})
    CHECK(text.find(part) != std::string::npos);
  const test::ScratchFolder scratch;
  ReadingCsv csv(scratch.path / "readings.csv", {});
  csv.add("sub-1", r, {now, h});
  csv.finish();
  const CsvTable back(scratch.path / "readings.csv");
  REQUIRE(back.rows() == 4);
  CHECK(back.cell(3, 0) == "sub-1");
  CHECK(back.cell(3, 2) == "ventricles_ml");
  CHECK(back.number(3, 7).value() == doctest::Approx(8));
  CHECK(back.cell(0, 8).empty());  // the baseline has no change
}

TEST_CASE("scope: what few or other subjects cannot show is said") {
  World w(30);
  w.table.path = "volumes.csv";
  w.table.fields = {{.name = "disease"}};
  for (ScanRow& s : w.table.scans) s.labels = {{.text = "MS", .number = {}}};
  const std::vector<VisitPair> one{w.pairs.begin(), w.pairs.begin() + 1}, twenty{w.pairs.begin(), w.pairs.begin() + 20};
  ForecastingOptions o;
  ForecastRanges seen{.pairs = 10, .subjects = 5, .ages = true, .youngest = 90, .oldest = 99, .longest_years = 2};
  seen.groups = {"AD", "HC"};
  const std::string ranges = json_text(seen);
  const auto notes = [&](const auto& validation, const auto& test, const std::string& text) {
    return joined(forecasting_scope(w.table, validation, test, text, o), "; ", [](const std::string& s) { return s; });
  };
  CHECK(notes(twenty, twenty, "").empty());
  const std::string all = notes(one, one, ranges);
  for (const char* part :
       {"1 subject in the set \"test\": scores need 10", "1 subject in the set \"validation\": intervals need 9",
        "1 of 1 pair outside the ages of the training, 90 to 99", "a horizon beyond that of the training, 2 years",
        "another disease than those of the training (AD, HC): MS"})
    CHECK_MESSAGE(all.find(part) != std::string::npos, part, " in ", all);
  const Split split{{"s0", "test"}};
  Manifest alone = w.table;
  alone.scans.resize(2);
  test::check_error(
      "split.empty",
      {"the set \"train\", on which rules are fitted", "a single subject, who can be forecast but not scored"},
      [&] { dated_pairs_of(alone, split, "train", "on which rules are fitted"); });
}
