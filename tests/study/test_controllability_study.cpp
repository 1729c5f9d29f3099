// The study of controllability: a run on small models, its tables and files, and who may not score.
#include "braing3n/study/controllability.hpp"

#include "braing3n/format/csv.hpp"
#include "braing3n/study/controllability_report.hpp"
#include "tests/study/small_cohort.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::study;

namespace {

ControllabilityOptions options_of(const test::SmallCohort& c) {
  ControllabilityOptions o;
  o.model = c.dit.string();
  o.tokenizer = c.tokenizer.string();
  o.cohort = c.cohort;
  o.contrasts = {"sex", "age", "HC-AD"};
  o.probe_kinds = {"round-trip", "latents"};
  o.sampling.steps = 2;
  o.guidance = {1, 2};
  o.n = 4;
  return o;
}

}  // namespace

TEST_CASE("samples are scored by probes fitted on scans, and the files follow from the result") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  c.call_phantoms();
  const ControllabilityResult r = run(c.ctx, options_of(c), observer);
  CHECK(r.probe_scans == 12);
  CHECK(r.unseen_scans == 8);
  REQUIRE(r.contrasts_left_out.size() == 1);
  CHECK(r.contrasts_left_out[0].contrast == "HC-AD");
  REQUIRE(r.probes.size() == 2);
  CHECK(r.probes[0].name == "round-trip");
  CHECK(r.probes[0].decoded);
  CHECK_FALSE(r.probes[1].decoded);
  for (const ProbeScores& probe : r.probes) {
    REQUIRE(probe.contrasts.size() == 2);
    const ContrastResult &sex = probe.contrasts[0], &age = probe.contrasts[1];
    CHECK(sex.classes == std::vector<std::string>{"F", "M"});
    CHECK(sex.of_classes.cond.size() == 2);
    CHECK(sex.of_classes.cond[1].first == "2");
    CHECK(sex.of_classes.cond[1].second.recall[0].second.n == 4);
    CHECK(sex.of_classes.real.recall[1].second.n == 4);
    CHECK(sex.of_classes.prior[0].second == doctest::Approx(0.5));
    CHECK(age.is_number());
    CHECK(age.of_numbers.cond[0].second.n == 4);
    CHECK_FALSE(sex.hash.empty());
  }
  // The arms: no conditions once; F, M and ages under two scales.
  CHECK(observer.titles == std::vector<std::string>{"scans and round trips", "samples of 4 arms"});
  CHECK(observer.total == 20 + 4 + 3 * 2 * 4);
  CHECK(observer.units == observer.total);
  CHECK(observer.open == 0);
  CHECK(r.picture_columns == 2);
  CHECK(r.captions.size() == r.pictures.size());

  write_results(c.folder / "out", r, {});
  const Json json = read_json(c.folder / "out" / "controllability.json");
  CHECK(json["kind"] == "braing3n controllability");
  CHECK(json["phantom_distribution"] == "phantom-2");
  CHECK(tables(r).starts_with("Phantoms of the distribution phantom-2\n"));
  CHECK(json["left_out"][0]["contrast"] == "HC-AD");
  std::vector<std::string> keys;
  for (const auto& [key, value] : json["probes"]["latents"]["sex"].items()) keys.push_back(key);
  CHECK(keys == std::vector<std::string>{"hash", "converged", "modalities", "cond", "classes", "real", "round_trip",
                                         "prior", "all_unseen", "null"});
  CHECK(json["probes"]["round-trip"]["sex"]["cond"]["2"]["balanced_accuracy"].get<double>() ==
        r.probes[0].contrasts[0].of_classes.cond[1].second.balanced_accuracy);
  const CsvTable csv(c.folder / "out" / "controllability.csv");
  Index asked = 0;
  for (std::size_t i = 0; i < csv.rows(); ++i)
    asked += csv.cell(i, csv.column("of")) == "cond" && csv.cell(i, csv.column("measure")) == "balanced_accuracy";
  CHECK(asked == 2 * 2);  // probes, scales
  CHECK(tables(r).find("Probe latents (") != std::string::npos);
  CHECK(tables(r).find("left out: HC-AD") != std::string::npos);

  // The same for one thread; probes that chose the guidance may not score.
  Context<Cpu> one({.threads = 1});
  CHECK(result_json(run(one, options_of(c), observer)) == json);
  ControllabilityOptions again = options_of(c);
  again.chosen_with = {(c.folder / "out" / "controllability.json").string()};
  test::check_error("evaluate.spent", {"it chose the guidance and may not score"},
                    [&] { run(c.ctx, again, observer); });
  // Reports of older versions have the key "readers".
  std::string older = read_text(c.folder / "out" / "controllability.json");
  older.replace(older.find("\"probes\""), 8, "\"readers\"");
  write_text(c.folder / "older.json", older);
  again.chosen_with = {(c.folder / "older.json").string()};
  test::check_error("evaluate.spent", {"it chose the guidance and may not score"},
                    [&] { run(c.ctx, again, observer); });
  again.chosen_with = {(c.folder / "latents.json").string()};
  write_text(c.folder / "latents.json", "{}");
  test::check_error("evaluate.report", {"expected a controllability.json"}, [&] { run(c.ctx, again, observer); });
}

TEST_CASE("options of the study of controllability that mean nothing are refused") {
  test::SmallCohort c;
  test::RecordingObserver observer;
  const auto refuse = [&](auto&& change, const char* id, const char* text) {
    ControllabilityOptions o = options_of(c);
    change(o);
    test::check_error(id, {text}, [&] { run(c.ctx, o, observer); });
  };
  refuse([](auto& o) { o.n = 1; }, "evaluate.n", "expected 2 to 100000, got 1");
  refuse([](auto& o) { o.guidance = {}; }, "guidance.scale", "got none");
  refuse([](auto& o) { o.guidance = {2, 1, 2}; }, "guidance.scale", "got 2 twice");
  refuse([](auto& o) { o.probe_scans = 0; }, "evaluate.probe_scans", "expected at least the scans of one subject");
  refuse([](auto& o) { o.contrasts = {"HC-XX"}; }, "evaluate.contrast", "there is no contrast \"HC-XX\"");
  refuse([](auto& o) { std::swap(o.train, o.test); }, "evaluate.unseen", "trained the model");
}
