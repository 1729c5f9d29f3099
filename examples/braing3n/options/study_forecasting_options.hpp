// The options of `braing3n study forecasting`, and the commands that the study consists of.
#pragma once

#include <string>
#include <vector>

#include "braing3n/checkpoint/model_file.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/study/forecasting_study.hpp"
#include "examples/braing3n/options/distribution_option.hpp"
#include "examples/support/pipeline.hpp"

namespace braing3n::examples {

struct StudyForecastingOptions {
  study::ForecastingStudyOptions study;
  bool evaluate = false;
  Index subjects = 1800, mae_steps = 2600, tokenizer_steps = 1000, field_steps = 1000, bridge_steps = 1000;
  std::string visit_years = "0,1,3,5,10", distribution = default_distribution(), tokenizer;

  void add_to(CLI::App& app) {
    app.add_option("--out", study.folder, "folder for everything that is made")->required();
    app.add_flag("--smoke", study.smoke, "a short run that only checks that everything works");
    app.add_flag("--evaluate", evaluate, "evaluate the models in the folder again");
    app.add_option("--subjects", subjects, "healthy, with MCI and with AD")->check(CLI::Range(60, 100000));
    app.add_option("--visit-years", visit_years, "times of the visits, the first at 0");
    add_distribution(app, distribution);
    app.add_option("--tokenizer", tokenizer, "a tokenizer instead of one that is trained first");
    app.add_option("--mae-steps", mae_steps, "of 64 scans")->check(more_than_zero());
    app.add_option("--tokenizer-steps", tokenizer_steps, "of 8 scans")->check(more_than_zero());
    app.add_option("--field-steps", field_steps, "of 32 pairs of visits")->check(more_than_zero());
    app.add_option("--bridge-steps", bridge_steps, "of 32 pairs of visits; the published method")
        ->check(more_than_zero());
  }

  /// A smoke run reduces all sizes that are not given.
  void resolve(const CLI::App& app, std::uint64_t seed) {
    study.seed = seed;
    const auto smaller = [&](const char* option, Index& value, Index by) {
      if (study.smoke && app.count(option) == 0) value = by;
    };
    smaller("--subjects", subjects, 72);
    smaller("--mae-steps", mae_steps, 12);
    smaller("--tokenizer-steps", tokenizer_steps, 12);
    smaller("--field-steps", field_steps, 12);
    smaller("--bridge-steps", bridge_steps, 12);
    if (study.smoke && app.count("--visit-years") == 0) visit_years = "0,1,5";
  }

  /// No result replaces an input. Throws Error (argument).
  void guard(const CommonOptions& common) const {
    OutputGuard guard;
    if (!tokenizer.empty()) guard.input(model_path(tokenizer));
    for (const char* file : {"mae.json", "tokenizer.json", "steps.json", "output.txt", "summary.txt", "summary.json"})
      if (!evaluate) guard.output(study.folder / file);
    guard.output(common.json_log);
    require_kept(study.folder, {"forecasting"}, {tokenizer});
    if (!evaluate) require_kept(study.folder, {"cohort", "mae", "tokenizer", "field", "bridge"}, {tokenizer});
  }

  std::string at(const std::string& name) const { return (study.folder / name).string(); }
  std::string table() const { return at("cohort/volumes.csv"); }
  std::string tokenizer_path() const { return tokenizer.empty() ? at("tokenizer") : tokenizer; }

  /// The first step; the split follows from its table.
  Step cohort_step() const {
    return {"Phantom cohort",
            {"phantom_cohort", "--out", at("cohort"), "--subjects", std::to_string(subjects), "--shape", "40,48,40",
             "--modalities", "T1", "--diseases", "HC,MCI,AD", "--visit-years", visit_years, "--distribution",
             distribution}};
  }

  std::vector<Step> training_steps() const {
    using Words = std::vector<std::string>;
    const Words small = study.smoke ? Words{"--batch", "4", "--validate-every", "6"} : Words{},
                scans = {"--data", table(), "--split", at("split.csv")},
                latents = {"--latents", at("latents.safetensors"), "--tokenizer", tokenizer_path(), "--config",
                           "small"};
    std::vector<Step> steps;
    if (tokenizer.empty()) {
      steps.push_back({"Masked autoencoder", with_words({"mae_pretrain", "--out", at("mae"), "--config", at("mae.json"),
                                                         "--steps", std::to_string(mae_steps)},
                                                        {scans, small})});
      steps.push_back({"Projection and decoder",
                       with_words({"tokenizer_train", "--model", at("mae"), "--out", at("tokenizer"), "--config",
                                   at("tokenizer.json"), "--steps", std::to_string(tokenizer_steps)},
                                  {scans, small})});
    }
    steps.push_back(
        {"Latents of all visits",
         {"encode", "--model", tokenizer_path(), "--data", table(), "--latents", at("latents.safetensors")}});
    steps.push_back(
        {"Field of rates", with_words({"forecast_train", "--out", at("field"), "--steps", std::to_string(field_steps)},
                                      {scans, latents, small})});
    steps.push_back({"Bridge, the published method", with_words({"forecast_train", "--bridge", "--out", at("bridge"),
                                                                 "--steps", std::to_string(bridge_steps)},
                                                                {scans, latents, small})});
    return steps;
  }

  Step evaluation_step() const {
    using Words = std::vector<std::string>;
    return {"Forecasts of unseen subjects", with_words({"evaluate",    "forecasting",
                                                        "--model",     at("field"),
                                                        "--bridge",    at("bridge"),
                                                        "--tokenizer", tokenizer_path(),
                                                        "--latents",   at("latents.safetensors"),
                                                        "--data",      table(),
                                                        "--split",     at("split.csv"),
                                                        "--truth",     at("cohort/truth.csv"),
                                                        "--seed",      std::to_string(study.seed),
                                                        "--out",       at("forecasting")},
                                                       {{"--bridge-steps", study.smoke ? "5" : "20"},
                                                        study.smoke ? Words{"--oracle-draws", "20000"} : Words{}})};
  }
};

}  // namespace braing3n::examples
