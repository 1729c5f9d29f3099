// Tables and files of a study of forecasts, on made-up numbers.
#include <filesystem>
#include <map>
#include <string>

#include "braing3n/eval/forecast_floors.hpp"
#include "braing3n/study/forecasting_report.hpp"
#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;
using namespace braing3n::study;

namespace {

ForecastPairs pairs_of(std::int32_t first, std::int32_t subjects) {
  ForecastPairs p;
  for (std::int32_t s = first; s < first + subjects; ++s)
    for (const double years : {1.0, 2.0, 5.0}) {
      const Philox rng(4, Purpose::test, 23, static_cast<std::uint32_t>(s));
      p.subject.push_back(s), p.group.push_back(s % 2), p.sex.push_back(s / 2 % 2), p.age.push_back(60 + s % 30);
      p.years.push_back(years), p.baseline.push_back(30 + 5 * rng.normal(7));
      const double rate = (s % 2 == 0 ? 0.5 : 2.0) + 0.4 * rng.normal(0);
      p.truth.push_back(p.baseline.back() + rate * years + 0.3 * rng.normal(1 + static_cast<unsigned>(years)));
    }
  return p;
}

/// Two quantities, of which the oracle knows one.
ForecastingResult made_up(Context<Cpu>& ctx) {
  const ForecastPairs train = pairs_of(0, 60), validation = pairs_of(100, 40), test = pairs_of(200, 60);
  ForecastingResult r;
  r.model = "abc", r.distribution = "phantom-2", r.options.scores.bootstrap.replicates = 50;
  r.pairs = 180, r.subjects = 60, r.training_pairs = 180, r.validation_subjects = 40;
  r.quantities = {{"ventricles", "ml"}, {"age", "years"}};
  const Forecasts mean_rate = forecasts_of(fit_mean_rate(train), test);
  const auto scored = [&](const Forecasts& f) {
    QuantityScores q;
    q.bands = forecast_scores(test, f, mean_rate.value, r.options.scores);
    q.growth = growth_ratio(test, f.value, {.over = 1, .under = 0, .bootstrap = {.replicates = 50}});
    return q;
  };
  const auto rule = [&](const char* name, const auto& fitted) {
    const IntervalScale scale = fit_interval_scale(validation, forecasts_of(fitted, validation));
    ForecasterResult f{.name = name, .text = "a rule", .kind = ForecasterKind::floor};
    QuantityScores q = scored(with_intervals(forecasts_of(fitted, test), scale));
    q.intervals = scale;
    f.quantities = {{"ventricles", q}, {"age", q}};
    return f;
  };
  r.forecasters = {rule("last value", fit_last_value(train)), rule("mean rate", fit_mean_rate(train)),
                   rule("group rate", fit_group_rate(train)), rule("GLM", fit_glm_counterfactual(ctx, train))};
  ForecasterResult oracle{.name = "oracle", .text = "knows", .kind = ForecasterKind::oracle},
      ceiling{.name = "round trip", .text = "second visits", .kind = ForecasterKind::ceiling};
  oracle.quantities = {{"ventricles", r.forecasters[2].quantities[0].second}};
  ceiling.quantities = {{"ventricles", scored({.value = test.truth})}};
  ForecasterResult model{.name = "ours", .text = "a model"};
  model.quantities = oracle.quantities;
  model.quantities[0].second.asked = asked_effect(test, test.baseline, test.truth, {.over = 1, .under = 0});
  std::vector<double> gain(test.years);
  model.images =
      ImageScores{band_means(test.subject, test.years, test.truth), band_means(test.subject, test.years, gain),
                  band_means(test.subject, test.years, test.baseline)};
  model.checks = ConsistencyChecks{0, 0.031, 0.052};
  r.forecasters.insert(r.forecasters.end(), {model, oracle, ceiling});
  return r;
}

}  // namespace

TEST_CASE("forecasting: shares of the oracle and of the ceiling") {
  Context<Cpu> ctx({.threads = 1});
  const ForecastingResult r = made_up(ctx);
  const BandScores *oracle = band_of(r, ForecasterKind::oracle, "ventricles", "all"),
                   *ours = band_of(r.forecasters[4], "ventricles", "all"),
                   *mean = band_of(r.forecasters[1], "ventricles", "all");
  REQUIRE(oracle != nullptr);
  REQUIRE(ours != nullptr);
  REQUIRE(mean != nullptr);
  CHECK(share_of(ours->r.value, oracle, &BandScores::r) == doctest::Approx(1));
  CHECK(share_of(mean->skill_locf.value, oracle, &BandScores::skill_locf) ==
        doctest::Approx(mean->skill_locf.value / oracle->skill_locf.value));
  CHECK(std::isnan(share_of(1, nullptr, &BandScores::r)));
  CHECK(band_of(r, ForecasterKind::oracle, "age", "all") == nullptr);
  CHECK(band_of(r, ForecasterKind::truth, "ventricles", "all") == nullptr);
  CHECK(band_of(*r.forecasters.begin(), "ventricles", "7-8") == nullptr);
  // By construction: the rate of a group beats the mean rate, which beats the last value; the truth has no error.
  CHECK(mean->skill_locf.value > 0.5);
  CHECK(ours->skill_reference.value > 0.3);
  CHECK(band_of(r, ForecasterKind::ceiling, "ventricles", "all")->skill_reference.value == 1);
}

TEST_CASE("forecasting: tables name every forecaster in every band that has scores") {
  Context<Cpu> ctx({.threads = 1});
  ForecastingResult r = made_up(ctx);
  const std::string text = tables(r);
  const auto count = [&](const std::string& what) {
    std::size_t n = 0;
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
    return n;
  };
  for (const char* heading : {"ventricles (ml), all horizons", "ventricles (ml), 0-1 years",
                              "ventricles (ml), 1-3 years", "ventricles (ml), 3-5 years", "age (years), all horizons",
                              "phantom-2", "AD : HC", "asked for AD", "over LOCF", "there and back", "3.1 %", "5.2 %"})
    CHECK_MESSAGE(count(heading) >= 1, heading);
  CHECK(text.find("all horizons") < text.find("0-1 years"));
  CHECK(count("GLM  ") >= 8 + 2);  // four bands of two quantities, growth
  // No subject has a visit after more than five years: said, not scored.
  const std::size_t empty = text.find("ventricles (ml), 5-10 years");
  REQUIRE(empty != std::string::npos);
  CHECK(text.find("no scores: 0 subjects, expected at least 10", empty) != std::string::npos);
  CHECK(text.find("ours: ") == std::string::npos);
  CHECK(text.find("nan") == std::string::npos);

  // What one forecaster lacks is said of it.
  r.forecasters[4].quantities[0].second.bands[1].missing = 7;
  r.forecasters[4].quantities[0].second.bands[0].note = "3 subjects, expected at least 10";
  const std::string lacking = tables(r);
  CHECK(lacking.find("ours: 7 pairs without a value") != std::string::npos);
  CHECK(lacking.find("ours: 3 subjects, expected at least 10") != std::string::npos);

  // Without an oracle, intervals, images and checks the tables are still there.
  r.forecasters.resize(1);
  r.forecasters[0].quantities[0].second.growth.reset();
  r.forecasters[0].quantities.resize(1);
  const std::string plain = tables(r);
  CHECK(plain.find("last value") != std::string::npos);
  CHECK(plain.find("Growth") == std::string::npos);
  CHECK(plain.find("Images") == std::string::npos);
  CHECK(plain.find("Consistency") == std::string::npos);
}

TEST_CASE("forecasting: files hold every defined score") {
  Context<Cpu> ctx({.threads = 1});
  const ForecastingResult r = made_up(ctx);
  const test::ScratchFolder scratch;
  write_results(scratch / "out", r, {});
  const CsvTable csv(scratch / "out" / "forecasting.csv");
  std::map<std::string, std::string> value;
  for (std::size_t i = 0; i < csv.rows(); ++i)
    value[concat(csv.cell(i, "forecaster"), '|', csv.cell(i, "quantity"), '|', csv.cell(i, "band"), '|',
                 csv.cell(i, "score"))] = csv.cell(i, "value");
  const BandScores& all = r.forecasters[2].quantities[0].second.bands.back();
  CHECK(value.at("group rate|ventricles|all|skill_locf") == number_text(all.skill_locf.value));
  CHECK(value.at("group rate|age|all|width") == number_text(all.width.value));
  CHECK(value.at("ours|image|1-3|psnr_over_locf") == "2");
  CHECK(value.at("ours|latents|all|composed") == "0.031");
  CHECK(value.contains("ours|ventricles|all|asked_share"));
  CHECK(value.contains("round trip|ventricles|all|growth_ratio"));
  CHECK(value.contains("mean rate|ventricles|all|interval_factor"));
  CHECK_FALSE(value.contains("last value|ventricles|all|r"));     // not defined
  CHECK_FALSE(value.contains("group rate|ventricles|5-10|mae"));  // no pairs
  const Json json = read_json(scratch / "out" / "forecasting.json");
  CHECK(json["kind"] == "braing3n forecasting");
  CHECK(json["options"]["scores"]["limits"].size() == 5);
  const Json& bands = json["forecasters"]["last value"]["quantities"]["ventricles"]["bands"];
  REQUIRE(bands.size() == 5);
  CHECK(bands[4]["band"] == "all");
  CHECK(bands[4]["r"]["value"].is_null());
  CHECK(bands[4]["mae"]["value"].get<double>() ==
        doctest::Approx(r.forecasters[0].quantities[0].second.bands[4].mae.value));
  CHECK(json["forecasters"]["oracle"]["kind"] == "oracle");
  CHECK(std::filesystem::exists(scratch / "out" / "tables.txt"));
  CHECK_FALSE(std::filesystem::exists(scratch / "out" / "montage.png"));
}

TEST_CASE("forecasting: options survive JSON") {
  ForecastingOptions o;
  o.model = "f", o.bridge = "b", o.coverage = 0.8, o.scores.limits = {0, 2}, o.scores.bootstrap.seed = 3,
  o.over = "MCI";
  ForecastingOptions back;
  json_into(json_from(o), back, "options");
  CHECK(json_from(back) == json_from(o));
  CHECK(back.scores.limits == std::vector<double>{0, 2});
  CHECK(json_from(back) != json_from(ForecastingOptions{}));
}
