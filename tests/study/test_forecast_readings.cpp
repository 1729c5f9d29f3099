// Files of readings of forecasts: written, read again, refused where they cannot be used.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "braing3n/study/forecast_readings.hpp"
#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;
using namespace braing3n::study;

namespace {

ForecastReadings some_readings() {
  const ReadingInterval interval{.sd = {.noise = 0.5, .yearly = 0.1, .relative = 0.1},
                                 .scale = {.coverage = 0.9, .factor = 1.7, .pairs = 40, .subjects = 20},
                                 .covered = 0.91,
                                 .pairs = 200};
  ForecastReadings r;
  r.model = "m1", r.tokenizer = "t1", r.forecaster = "field of rates", r.cohort = "volumes.csv";
  r.validation_subjects = 20;
  r.mean = {1, 2.5, 3, 4, 5, 6};
  QuantityReading age, ventricles;
  age.name = "age", age.unit = "years", age.intercept = 70, age.weights = {1, 0, 0, 0, 0, 0.125};
  ventricles.name = "ventricles_ml", ventricles.unit = "ml", ventricles.logarithm = true, ventricles.intercept = 3;
  ventricles.weights = {0, 0.5, 0, 0, 0, 1};
  age.baseline = age.value = age.change = ventricles.baseline = ventricles.value = ventricles.change = interval;
  r.quantities = {age, ventricles};
  return r;
}

std::string text_with(ForecastReadings r, auto&& change) {
  change(r);
  return json_text(r);
}

}  // namespace

TEST_CASE("readings: a file and back; what cannot be used is named") {
  const test::ScratchFolder scratch;
  const std::filesystem::path path = scratch.path / "readings.json";
  const ForecastReadings r = some_readings();
  const auto reread = [&](const std::string& text) {
    write_text(path, text, {.overwrite = true});
    return read_readings(path);
  };
  CHECK(json_text(reread(json_text(r))) == json_text(r));
  ForecastReadings bare = r;
  for (QuantityReading& q : bare.quantities) q.baseline.reset(), q.value.reset(), q.change.reset();
  CHECK(json_text(reread(json_text(bare))) == json_text(bare));
  CHECK(!reread(json_text(bare)).quantities[0].change);
  CHECK(reread(json_text(r)).quantities[1].change->half_width(3, 2) ==
        doctest::Approx(1.7 * std::sqrt(0.25 + 0.09 + 0.04)));
  require_readings_of(r, "m1", "t1", 6, "readings.json");
  test::check_error("readings.model", {"expected readings of forecaster m2, got those of m1", "readings.json"},
                    [&] { require_readings_of(r, "m2", "t1", 6, "readings.json"); });
  test::check_error("readings.model", {"tokenizer t2, got those of t1"},
                    [&] { require_readings_of(r, "m1", "t2", 6, "readings.json"); });
  test::check_error("readings.features", {"expected readings of 7 sums of tissue, got 6"},
                    [&] { require_readings_of(r, "m1", "t1", 7, "readings.json"); });
  const auto refused = [&](const char* id, const std::string& part, const std::string& text) {
    test::check_error(id, {part, "readings.json"}, [&] { reread(text); });
  };
  refused("readings.kind", "expected the readings of forecasts", R"({"kind": "braing3n forecasting"})");
  refused("readings.kind", "expected the readings of forecasts", "[1, 2]");
  refused("readings.content", "quantities[1].weights: expected 6 numbers, as many as mean has, got 5",
          text_with(r, [](ForecastReadings& x) { x.quantities[1].weights.pop_back(); }));
  refused("readings.content", "quantities[1].name: expected a name of its own, got \"age\"",
          text_with(r, [](ForecastReadings& x) { x.quantities[1].name = "age"; }));
  refused("readings.content", "expected the hashes of a model and a tokenizer",
          text_with(r, [](ForecastReadings& x) { x.model.clear(); }));
  refused("readings.content", "expected means and quantities, got 6 and 0",
          text_with(r, [](ForecastReadings& x) { x.quantities.clear(); }));
  refused("readings.interval", "quantities[0].change.sd: expected standard deviations of at least 0, got -1",
          text_with(r, [](ForecastReadings& x) { x.quantities[0].change->sd.yearly = -1; }));
  refused("readings.interval", "quantities[1].value.covered: expected a share from 0 to 1, got 2",
          text_with(r, [](ForecastReadings& x) { x.quantities[1].value->covered = 2; }));
  std::string strange = json_text(r);
  strange.replace(strange.find("\"intercept\":"), 12, "\"intercept\":\"x\",\"a\":");
  refused("json.type", "quantities[0].intercept: expected a number, got the text \"x\"", strange);
  refused("json.syntax", "", json_text(r).substr(0, 200));
}

TEST_CASE(
    "readings: a quantity is the probe's intercept and its weights on the sums, and the sentence says what intervals "
    "rest on") {
  const ForecastReadings r = some_readings();
  CHECK(r.read(0, std::vector<double>{3, 0, 0, 0, 0, 14}) == 70 + 2 + 1);
  CHECK(r.read(1, std::vector<double>{0, 4.5, 0, 0, 0, 6}) == 3 + 1);
  test::check_error("readings.features", {"expected 6 sums of tissue, got 2"},
                    [&] { r.read(0, std::vector<double>{1, 2}); });
  CHECK(r.sentence() ==
        "intervals for 90 % from 20 validation subjects of volumes.csv; those of changes held for at least 91 % of the "
        "pairs of unseen subjects");
  ForecastReadings bare = r;
  for (QuantityReading& q : bare.quantities) q.change.reset();
  CHECK(bare.sentence().find("20 validation subjects are too few") != std::string::npos);
}
