// The sizes of `braing3n quickstart`, and the commands that it consists of.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "braing3n/data/manifest_types.hpp"
#include "braing3n/train/presets.hpp"
#include "examples/support/pipeline.hpp"

namespace braing3n::examples {

/// Numbers of subjects, steps and samples; by default those of a run without --smoke and --long.
struct QuickstartSize {
  const char* subjects = "120";
  const char *mae_steps = "250", *mae_batch = "8", *mae_validate = "50";
  const char *tokenizer_steps = "360", *tokenizer_validate = "50";
  const char *dit_steps = "220", *dit_batch = "16", *dit_validate = "50", *sampling_steps = "15";
  const char *field_steps = "30", *field_batch = "16";
  bool small_dit = true;  // two fifths of the transformer's work per sample
};
inline constexpr QuickstartSize short_size;
inline constexpr QuickstartSize smoke_size{.subjects = "24",
                                           .mae_steps = "12",
                                           .mae_batch = "3",
                                           .mae_validate = "6",
                                           .tokenizer_steps = "12",
                                           .tokenizer_validate = "6",
                                           .dit_steps = "6",
                                           .dit_batch = "3",
                                           .dit_validate = "3",
                                           .sampling_steps = "3",
                                           .field_steps = "4",
                                           .field_batch = "4"};
inline constexpr QuickstartSize long_size{.subjects = "240",
                                          .mae_steps = "600",
                                          .tokenizer_steps = "1000",
                                          .dit_steps = "600",
                                          .dit_batch = "32",
                                          .dit_validate = "100",
                                          .sampling_steps = "25",
                                          .field_steps = "200",
                                          .field_batch = "32",
                                          .small_dit = false};

struct QuickstartArguments {
  std::filesystem::path out = "quickstart-out";
  bool smoke = false, longer = false;

  void add_to(CLI::App& app) {
    app.add_option("--out", out, "folder for everything that is made");
    CLI::Option* const shortest =
        app.add_flag("--smoke", smoke, "a run of seconds that only checks that everything works");
    app.add_flag("--long", longer, "twice the subjects and more steps: better pictures")->excludes(shortest);
  }

  const QuickstartSize& size() const { return smoke ? smoke_size : longer ? long_size : short_size; }
  std::string at(const std::string& name) const { return (out / name).string(); }
  std::string table() const { return at("cohort") + "/volumes.csv"; }

  PipelinePreset preset() const {
    PipelinePreset p = quickstart_preset();
    if (size().small_dit) p.dit.model.width = 144, p.dit.model.depth = 4, p.dit.model.mlp = 576;
    return p;
  }

  Step cohort_step() const {
    return {"Phantom cohort",
            {"phantom_cohort", "--out", at("cohort"), "--subjects", size().subjects, "--shape", "40,48,40",
             "--visit-years", "0,6", "--montage", at("cohort.png")}};
  }

  /// Both phases of the tokenizer, its features and reconstructions, probes, the transformer and its samples, the forecaster and its scores.
  std::vector<Step> steps() const {
    const QuickstartSize& s = size();
    const std::vector<std::string> data = {"--data", table(), "--split", at("split.csv")},
                                   sampling = {"generate", "--model",        at("dit"), "--tokenizer", at("tokenizer"),
                                               "--steps",  s.sampling_steps, "--cfg",   "1.5"};
    return {
        {"Phase 1: masked autoencoder",
         with_words({"mae_pretrain"}, {data,
                                       {"--out", at("mae"), "--config", at("mae.json"), "--steps", s.mae_steps,
                                        "--batch", s.mae_batch, "--validate-every", s.mae_validate}})},
        {"Phase 2: projection and decoder",
         with_words({"tokenizer_train", "--model", at("mae")},
                    {data,
                     {"--out", at("tokenizer"), "--config", at("tokenizer.json"), "--steps", s.tokenizer_steps,
                      "--validate-every", s.tokenizer_validate}})},
        {"Features and latents of all scans",
         {"encode", "--model", at("tokenizer"), "--data", table(), "--out", at("features.safetensors"), "--latents",
          at("latents.safetensors")}},
        {"Reconstructions of unseen subjects",
         {"reconstruct", "--model", at("tokenizer"), "--data", at("unseen.csv"), "--out", at("reconstructions"),
          "--pictures"}},
        {"Probes of age and sex",
         {"probe", "--features", at("features.safetensors"), "--labels", table(), "--tasks", "sex,age", "--confounds",
          "none", "--permutations", "0", "--out", at("probes")}},
        {"Phase 3: diffusion transformer on latents",
         with_words({"dit_train", "--latents", at("latents.safetensors")},
                    {data,
                     {"--tokenizer", at("tokenizer"), "--out", at("dit"), "--config", at("dit.json"), "--steps",
                      s.dit_steps, "--batch", s.dit_batch, "--validate-every", s.dit_validate}})},
        {"Samples",
         with_words(sampling, {{"--condition", "sex=F,disease=HC,age=35", "--n", "4", "--out", at("samples")}})},
        {"Samples at three ages from the same noise",
         with_words(sampling, {{"--condition", "sex=F,disease=HC", "--sweep", "age=30,55,80", "--n", "2", "--out",
                                at("sweep")}})},
        {"Phase 4: forecaster on pairs of visits",
         with_words({"forecast_train", "--latents", at("latents.safetensors")},
                    {data,
                     {"--tokenizer", at("tokenizer"), "--out", at("forecaster"), "--config", "small", "--steps",
                      s.field_steps, "--batch", s.field_batch, "--validate-every", s.field_steps}})},
        {"Forecasts of unseen subjects",
         with_words({"evaluate", "forecasting", "--latents", at("latents.safetensors")},
                    {data,
                     {"--tokenizer", at("tokenizer"), "--model", at("forecaster"), "--truth",
                      at("cohort") + "/truth.csv", "--oracle-draws", "20000", "--out", at("forecasting")}})},
    };
  }

  /// Follow-ups of one scan.
  Step forecast_step(const ScanRow& scan, const std::string& age, const std::string& sex,
                     const std::string& disease) const {
    return {"Follow-ups of an unseen subject",
            {"forecast", "--model", at("forecaster"), "--tokenizer", at("tokenizer"), "--in", scan.path.string(),
             "--age", age, "--sex", sex, "--disease", disease, "--years", "2,4,6", "--readings",
             at("forecasting") + "/readings.json", "--out", at("follow_ups")}};
  }
};

}  // namespace braing3n::examples
