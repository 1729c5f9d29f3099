// The options of `braing3n study phantom`, and the commands that the study consists of.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "braing3n/format/output_guard.hpp"
#include "braing3n/study/phantom_study.hpp"
#include "examples/braing3n/options/distribution_option.hpp"
#include "examples/support/pipeline.hpp"

namespace braing3n::examples {

struct StudyPhantomOptions {
  study::PhantomStudyOptions study;
  bool evaluate = false;
  Index subjects = 1800, mae_steps = 2600, tokenizer_steps = 1000, dit_steps = 5500;
  std::string mae, tokenizer, dit, distribution = default_distribution();

  void add_to(CLI::App& app) {
    app.add_option("--out", study.folder, "folder for everything that is made")->required();
    app.add_flag("--smoke", study.smoke, "a short run that only checks that everything works");
    app.add_flag("--evaluate", evaluate, "evaluate the models in the folder again");
    app.add_option("--subjects", subjects, "subjects, with four scans each")->check(CLI::Range(24, 100000));
    add_distribution(app, distribution);
    app.add_option("--mae-steps", mae_steps, "of 64 scans")->check(more_than_zero());
    app.add_option("--tokenizer-steps", tokenizer_steps, "of 8 scans")->check(more_than_zero());
    app.add_option("--dit-steps", dit_steps, "of 32 latents")->check(more_than_zero());
    app.add_option("--mae-config", mae, "a JSON file instead of the study's own (mae.json in the folder)");
    app.add_option("--tokenizer-config", tokenizer, "the same of tokenizer_train");
    app.add_option("--dit-config", dit, "the same of dit_train");
    app.add_option("--cfg", study.cfg, "guidance of the samples that are evaluated, chosen beforehand");
    app.add_option("--cfg-of", study.cfg_of, "NAME=SCALE,...: conditions with a scale of their own, chosen beforehand");
    app.add_option("--n", study.n, "samples per class")->check(CLI::Range(2, 100000));
    app.add_option("--sampling-steps", study.sampling_steps, "from noise to data")->check(CLI::Range(1, 100000));
  }

  /// A smoke run reduces all sizes that are not given.
  void resolve(const CLI::App& app, std::uint64_t seed) {
    study.seed = seed;
    const auto smaller = [&](const char* option, Index& value, Index by) {
      if (study.smoke && app.count(option) == 0) value = by;
    };
    smaller("--subjects", subjects, 40);
    smaller("--mae-steps", mae_steps, 12);
    smaller("--tokenizer-steps", tokenizer_steps, 12);
    smaller("--dit-steps", dit_steps, 12);
    smaller("--n", study.n, 4);
    smaller("--sampling-steps", study.sampling_steps, 3);
  }

  /// No result replaces a configuration that was given. Throws Error (argument).
  void guard(const CommonOptions& common) const {
    OutputGuard guard;
    for (const std::string& config : {mae, tokenizer, dit}) guard.input(config);
    for (const char* file :
         {"mae.json", "tokenizer.json", "dit.json", "steps.json", "output.txt", "summary.txt", "summary.json"})
      if (!evaluate) guard.output(study.folder / file);
    guard.output(common.json_log);
    require_kept(
        study.folder,
        {"cohort", "mae", "tokenizer", "dit", "sweep", "controllability", "guidance", "fidelity", "memorisation"},
        {mae, tokenizer, dit});
  }

  std::string at(const std::string& name) const { return (study.folder / name).string(); }
  std::string table() const { return at("cohort/volumes.csv"); }
  std::vector<std::string> scans() const { return {"--data", table(), "--split", at("split.csv")}; }

  /// The first step; the split follows from its table.
  Step cohort_step() const {
    return {"Phantom cohort",
            with_words({"phantom_cohort", "--out", at("cohort"), "--subjects", std::to_string(subjects), "--shape",
                        "40,48,40", "--modalities", "T1,T2,FLAIR,T1c"},
                       {distribution_words(distribution)})};
  }

  std::vector<Step> training_steps() const {
    using Words = std::vector<std::string>;
    const Words small = study.smoke ? Words{"--batch", "4", "--validate-every", "6"} : Words{};
    return {
        {"Phase 1: masked autoencoder", with_words({"mae_pretrain", "--out", at("mae"), "--config", at("mae.json"),
                                                    "--steps", std::to_string(mae_steps)},
                                                   {scans(), small})},
        {"Phase 2: projection and decoder",
         with_words({"tokenizer_train", "--model", at("mae"), "--out", at("tokenizer"), "--config",
                     at("tokenizer.json"), "--steps", std::to_string(tokenizer_steps)},
                    {scans(), small})},
        {"Latents of all scans",
         {"encode", "--model", at("tokenizer"), "--data", table(), "--latents", at("latents.safetensors")}},
        {"Phase 3: diffusion transformer on latents",
         with_words({"dit_train", "--latents", at("latents.safetensors"), "--data", table(), "--split", at("split.csv"),
                     "--tokenizer", at("tokenizer"), "--out", at("dit"), "--config", at("dit.json"), "--steps",
                     std::to_string(dit_steps), "--preview-steps", study.smoke ? "2" : "20"},
                    {small})},
    };
  }

  std::vector<Step> evaluation_steps() const {
    const bool smoke = study.smoke;
    const std::string n = std::to_string(study.n), half = std::to_string(std::max<Index>(2, study.n / 2));
    const std::vector<std::string> models = {"--model", at("dit"), "--tokenizer", at("tokenizer")},
                                   sampling = {"--sampler", "heun",
                                               "--shift",   "3",
                                               "--steps",   std::to_string(study.sampling_steps),
                                               "--seed",    std::to_string(study.seed)},
                                   guidance = {"--cfg", study.cfg, "--cfg-of", study.cfg_of};
    return {
        {"Samples at three ages from the same noise",
         with_words({"generate", "--condition", "modality=T1,disease=HC", "--sweep", "age=30,50,70", "--n",
                     smoke ? "1" : "4", "--cfg", study.cfg, "--out", at("sweep")},
                    {models, sampling})},
        {"Controllability",
         with_words({"evaluate", "controllability", "--contrasts",
                     "HC-AD,MCI-AD,HC-MCI,HC-PD,sex,modality,tumour,idh1,age", "--n", n},
                    {guidance,
                     {"--probe-kinds", "both", "--probe-scans", "6000", "--out", at("controllability")},
                     models,
                     scans(),
                     sampling})},
        {"Controllability with other guidance, on half as many samples",
         with_words({"evaluate", "controllability", "--contrasts", "HC-AD,sex,tumour,idh1@T1c,age", "--n", half,
                     "--cfg", smoke ? "2" : "1,2,3", "--probe-kinds", "both", "--out", at("guidance")},
                    {models, scans(), sampling})},
        {"Fidelity", with_words({"evaluate", "fidelity", "--truth", at("cohort/truth.csv"), "--conditions",
                                 "disease,sex,modality", "--n", n},
                                {guidance, {"--out", at("fidelity")}, models, scans(), sampling})},
        {"Memorisation",
         with_words({"evaluate", "memorisation", "--latents", at("latents.safetensors"), "--n", smoke ? "8" : "256",
                     "--cfg", study.cfg, "--plant", smoke ? "2" : "20", "--out", at("memorisation")},
                    {models, scans(), sampling})},
    };
  }
};

}  // namespace braing3n::examples
