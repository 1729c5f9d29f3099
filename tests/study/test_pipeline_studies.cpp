// Studies that run the whole pipeline: presets, splits, figures beside their targets, pages.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "braing3n/study/phantom_study.hpp"
#include "braing3n/study/quickstart_page.hpp"
#include "braing3n/study/tokenizer_study.hpp"
#include "braing3n/train/presets.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

template <class Config>
void same_as(const Config& preset, const char* json) {
  CHECK(json_text(preset, 1) == json_text(config_from_text<Config>(json), 1));
}

const study::Figure& figure(const study::PhantomStudyResult& r, const std::string& name) {
  for (const study::Figure& f : r.figures)
    if (f.figure == name) return f;
  FAIL("no figure ", name);
  return r.figures.front();
}

}  // namespace

TEST_CASE("presets: the quickstart's configurations, as a person would write them") {
  const PipelinePreset p = quickstart_preset();
  same_as(
      p.mae,
      R"({"model": {"encoder": {"image": [40, 48, 40], "patch": [8, 8, 8], "width": 192, "depth": 4, "heads": 4, "mlp": 768},
          "decoder_width": 96, "decoder_depth": 2, "decoder_heads": 4, "decoder_mlp": 384},
          "contract": {"shape": [40, 48, 40], "spacing": [4, 4, 4], "centring": "mass"},
          "training": {"batch": 8, "lr": 0.001, "adamw": {"beta2": 0.95, "weight_decay": 0.05}, "augment": {"flip": true, "shift": 1}}})");
  same_as(p.tokenizer,
          R"({"bottleneck": 32, "decoder": {"plan": "d1", "mid": 64, "widths": [64, 32, 16], "groups": 8},
              "training": {"batch": 2, "lr": 0.002, "ema": {"decay": 0.99, "warmup": true}, "augment": {"flip": true, "shift": 1}}})");
  same_as(p.dit, R"({"model": {"width": 192, "depth": 6, "heads": 6, "mlp": 768,
          "conditions": [{"name": "sex", "values": ["F", "M"]}, {"name": "disease"}, {"name": "age", "kind": "continuous", "minimum": 0, "maximum": 120}]},
          "drop": {"all": 0.1, "all_but_one": 0.1},
          "training": {"batch": 32, "lr": 0.001, "clip": 1.0, "ema": {"decay": 0.999, "warmup": true}}})");
  p.mae.validate();
}

TEST_CASE("presets: the phantom study's configurations, as a person would write them") {
  const PipelinePreset p = phantom_study_preset(40);
  same_as(
      p.mae,
      R"({"model": {"encoder": {"image": [32, 40, 32], "patch": [8, 8, 8], "width": 192, "depth": 6, "heads": 6, "mlp": 768},
          "decoder_width": 144, "decoder_depth": 2, "decoder_heads": 6, "decoder_mlp": 576, "masking_ratio": 0.7},
          "contract": {"shape": [32, 40, 32], "spacing": [5, 5, 5], "centring": "mass"},
          "training": {"batch": 64, "lr": 0.001, "adamw": {"beta2": 0.95, "weight_decay": 0.05}, "validate_every": 250, "augment": {"flip": true}},
          "visible_weight": 0})");
  same_as(p.tokenizer,
          R"({"bottleneck": 32, "decoder": {"plan": "d1", "mid": 128, "widths": [64, 32, 16], "groups": 8},
              "training": {"batch": 8, "lr": 0.001, "ema": {"decay": 0.995, "warmup": true}, "validate_every": 250, "augment": {"flip": true}}})");
  same_as(p.dit, R"({"model": {"width": 192, "depth": 6, "heads": 6, "mlp": 768, "gaussian_rank": 20,
          "conditions": [{"name": "disease"}, {"name": "sex", "values": ["F", "M"]},
                         {"name": "modality", "values": ["T1", "T2", "FLAIR", "T1c"], "drop": 0, "required": true}, {"name": "site"},
                         {"name": "age", "kind": "continuous", "minimum": 0, "maximum": 120},
                         {"name": "idh1", "values": ["wildtype", "mutant"]}]},
          "drop": {"all": 0.1, "all_but_one": 0.15}, "balance": {"conditions": ["idh1"], "strength": 0.6},
          "training": {"batch": 32, "lr": 0.001, "clip": 1.0, "ema": {"decay": 0.9999, "warmup": true}, "validate_every": 200}})");
  p.mae.validate();
  CHECK(phantom_study_preset(1800).dit.model.gaussian_rank == 512);
}

TEST_CASE("phantom study: figures beside their targets") {
  const test::ScratchFolder scratch;
  const std::filesystem::path& out = scratch.path;
  const std::string control =
      R"({"cfg": [1.4], "probes": {"round-trip": {
            "age": {"cond": {"1.4": {"r": 0.95, "bias": -4.0, "slope": 1.0}}, "round_trip": {"r": 0.97, "mean": 55, "sd": 18},
                    "prior": {"mean": 56, "sd": 20}, "null": {"mean": 50.5, "sd": 15}},
            "sex": {"cond": {"1.4": {"balanced_accuracy": 0.92}}, "round_trip": {"balanced_accuracy": 0.99},
                    "null": {"F": {"share": 0.58}}, "prior": {"F": 0.5}, "all_unseen": {"F": {"share": 0.52}}},
            "idh1@T1c, balanced": {"cond": {"1.4": {"balanced_accuracy": 0.7}}, "round_trip": {"balanced_accuracy": 0.8}}}}})";
  write(out / "controllability/controllability.json", control);
  write(
      out / "fidelity/fidelity.json",
      R"({"arms": [{"ratio": 0.5, "unseen_scans": 3}, {"ratio": 0.9, "unseen_scans": 12}, {"ratio": 1.3, "unseen_scans": 40}],
            "regions": [{"arm": "modality=T1", "region": "brain", "mean_error": 0.05, "sd_ratio": 0.7, "round_trip_mean_error": 0.01, "round_trip_sd_ratio": 0.9},
                        {"arm": "sex=F", "region": "brain", "mean_error": 0.05, "sd_ratio": 0.9, "truth": {"n": 12}},
                        {"arm": "sex=M", "region": "brain", "mean_error": 0.15, "sd_ratio": 0.9, "truth": {"n": 12}},
                        {"arm": "disease=PD", "region": "brain", "mean_error": 0.9, "sd_ratio": 0.9, "truth": {"n": 2}}],
            "frechet": {"gen_recons_ratio": 1.5}})");
  write(out / "memorisation/memorisation.json", R"({"planted": 20, "planted_found": 19, "copies": 0})");
  study::StepTimes steps;
  steps.add("first", {1200, "braing3n a"});
  steps.add("second", {300, "braing3n b"});
  steps.add("first", {2400, "braing3n c"});
  CHECK(steps.seconds() == 2700);

  study::Observer observer;
  const study::PhantomStudyResult r = study::run(study::PhantomStudyOptions{.folder = out}, steps, observer);
  CHECK(figure(r, "minutes, all steps").value == 45);
  CHECK_FALSE(figure(r, "minutes, all steps").pass);
  CHECK(figure(r, "age: r").pass);
  CHECK(figure(r, "age: r").ceiling == 0.97);
  CHECK_FALSE(figure(r, "age: bias, years").pass);
  CHECK_FALSE(figure(r, "sex").pass);
  CHECK_FALSE(figure(r, "modality").judged());  // not in the report
  CHECK(figure(r, "IDH1 on T1c, share of its ceiling").value == doctest::Approx(0.875));
  CHECK(figure(r, "null samples predicted as F (sex), minus the prior").value == doctest::Approx(0.08));
  CHECK_FALSE(figure(r, "null ages: mean, minus the data's, years").pass);
  CHECK_FALSE(figure(r, "null ages: sd, relative to the data's").pass);
  CHECK(figure(r, "distance within an arm, relative to unseen scans: least arm").value ==
        0.9);  // ten unseen scans at least
  CHECK_FALSE(figure(r, "distance within an arm, relative to unseen scans: largest arm").pass);
  CHECK(figure(r, "brain of T1 samples: error of the mean, %").pass);
  CHECK_FALSE(figure(r, "brain of T1 samples: error of the sd, %").pass);
  CHECK(figure(r, "regions of the other arms within both, of 2").value == 0.5);
  CHECK(figure(r, "Frechet distance to round trips, relative to their two halves").pass);
  CHECK(figure(r, "copies of training scans among the samples").pass);
  CHECK_FALSE(figure(r, "planted copies found, of 20").pass);
  const study::PhantomStudyResult smoke =
      study::run(study::PhantomStudyOptions{.folder = out, .smoke = true}, steps, observer);
  CHECK(figure(smoke, "distance within an arm, relative to unseen scans: least arm").value ==
        0.5);  // three unseen scans are enough

  // Reports of older versions have other keys and the same figures.
  const auto renamed = [](std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
  };
  write(out / "controllability/controllability.json",
        renamed(renamed(control, "\"probes\"", "\"readers\""), "all_unseen", "everybody"));
  const study::PhantomStudyResult older = study::run(study::PhantomStudyOptions{.folder = out}, steps, observer);
  CHECK(study::result_json(older) == study::result_json(r));
  CHECK(figure(older, "null samples predicted as F (sex), minus the prior").ceiling == doctest::Approx(0.02));

  std::ostringstream text;
  study::print(text, r);
  CHECK(text.str().starts_with(
      "Guidance 1.4 (age=2.5,disease=3.5,sex=2,idh1=4), 64 samples per class, 25 steps of Heun"));
  CHECK(text.str().find("age: r  ") != std::string::npos);
  CHECK(text.str().find("not measured") != std::string::npos);
  CHECK(text.str().find(" figures reach their target\n") != std::string::npos);

  // As JSON: what is not a number is null; the steps come back from it.
  const Json json = study::result_json(r);
  CHECK(json["kind"] == "braing3n phantom study");
  CHECK_FALSE(json.contains("phantom_distribution"));
  CHECK(json["figures"][0]["value"] == 45.0);
  CHECK(json["figures"][0]["ceiling"].is_null());
  CHECK_FALSE(json["figures"][0].contains("places"));
  write_text(out / "steps.json", study::result_json(steps.all()).dump(2));
  const study::StepTimes again = study::read_step_times(out / "steps.json");
  REQUIRE(again.all().size() == 2);
  CHECK(again.all()[0].first == "first");
  CHECK(again.all()[0].second.command == "braing3n c");
  CHECK(again.seconds() == 2700);

  // Evaluations are run again: their earlier times do not count.
  steps.add("samples", {10, "braing3n generate --n 4"});
  steps.add("scores", {20, "braing3n evaluate fidelity"});
  CHECK(study::training_times(steps).seconds() == 2700);
  CHECK(study::training_times(steps).all().size() == 2);

  // The distribution of the cohort stands in the result.
  write(out / "cohort/cohort.json", R"({"kind": "SYNTHETIC braing3n phantom cohort", "distribution": "phantom-2"})");
  const study::PhantomStudyResult second = study::run(study::PhantomStudyOptions{.folder = out}, steps, observer);
  CHECK(study::result_json(second)["phantom_distribution"] == "phantom-2");
  std::ostringstream named;
  study::print(named, second);
  CHECK(named.str().starts_with("Phantoms of the distribution phantom-2\nGuidance 1.4 "));

  std::filesystem::remove(out / "fidelity/fidelity.json");
  CHECK_THROWS_AS((void)study::run(study::PhantomStudyOptions{.folder = out}, steps, observer), Error);
}

TEST_CASE("tokenizer study: who is held out, and what was found") {
  const test::ScratchFolder scratch;
  const std::filesystem::path& out = scratch.path;
  std::string table = "volume_id,subject_id,path\n";
  for (int i = 0; i < 20; ++i) table += concat("v", i, ",s", i / 2, ",v", i, ".nii\n");
  write(out / "volumes.csv", table);
  const Manifest cohort = read_manifest(out / "volumes.csv", {.check_files = false});
  const Split split = study::tokenizer_study_split(cohort, 3, 2, 1);
  CHECK(rows_of(cohort, split, "test").size() == 6);  // three subjects with two scans each
  CHECK(rows_of(cohort, split, "validation").size() == 4);
  CHECK(rows_of(cohort, split, "train").size() == 10);
  CHECK_THROWS_WITH_AS((void)study::tokenizer_study_split(cohort, 8, 2, 1),
                       doctest::Contains("8 held out and 2 for validation: expected more than 10 subjects, got 10"),
                       Error);

  for (int i = 0; i < 20; ++i) write(out / concat("v", i, ".nii"), "");
  write(out / "round_trips/old", "");
  study::write_reconstruction_table(out / "volumes.csv", out / "round_trips/volumes.csv");
  const CsvTable round_trips(out / "round_trips/volumes.csv");
  REQUIRE(round_trips.rows() == 20);
  CHECK(round_trips.cell(3, 1) == "s1");
  CHECK(round_trips.cell(3, 2) == (out / "round_trips/v3_RECONSTRUCTION.nii.gz").string());

  write(out / "evaluation/tables.txt", "the tables\n");
  write(out / "probes/panel.csv",
        "features,task,subjects,auc,balanced_accuracy,pearson,r2,mae\nscans,sex,50,0.9125,0.8,,,\nscans,age,50,,,0.75,"
        "0.5,9\n");
  study::Observer observer;
  std::ostringstream without, with;
  study::print(without, study::run(study::TokenizerStudyOptions{out, 0}, {}, observer));
  CHECK(without.str() == "the tables\n\n");
  const study::TokenizerStudyResult r = study::run(study::TokenizerStudyOptions{out, 50}, {}, observer);
  REQUIRE(r.probes.size() == 2);
  CHECK(r.probes[0].auc == 0.9125);
  CHECK(r.probes[0].balanced_accuracy == 0.8);
  CHECK_FALSE(r.probes[0].pearson.has_value());
  CHECK(r.probes[1].pearson == 0.75);
  CHECK(r.probes[1].r2 == 0.5);
  CHECK(r.probes[1].mae == 9.0);
  CHECK(r.distribution.empty());
  study::print(with, r);
  CHECK(with.str().find("Linear probes on 50 other subjects") != std::string::npos);
  CHECK(with.str().find("0.912") != std::string::npos);
  write(out / "cohort/cohort.json", R"({"kind": "SYNTHETIC braing3n phantom cohort", "distribution": "phantom-1"})");
  const study::TokenizerStudyResult phantoms = study::run(study::TokenizerStudyOptions{out, 0}, {}, observer);
  CHECK(study::result_json(phantoms)["phantom_distribution"] == "phantom-1");
  std::ostringstream named;
  study::print(named, phantoms);
  CHECK(named.str() == "Phantoms of the distribution phantom-1\n\nthe tables\n\n");
}
