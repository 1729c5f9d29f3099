// The options of programs that train on cached latents.
#pragma once

#include "braing3n/checkpoint/model_file.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/sample/generate.hpp"
#include "examples/support/training_program.hpp"

namespace braing3n::examples {

struct LatentArguments {
  LatentDataOptions data;
  TrainingArguments training;  // of which these programs have the options below
  std::string tokenizer;
  SamplingOptions preview{.steps = 20, .guidance = {.scale = 1.5}};
  Index preview_rows = 3;

  void add_to(CLI::App& app) {
    app.add_option("--latents", data.latents, "latents of many scans (encode --latents)")->required();
    add_missing(app, data.missing, "the labels");
    app.add_option("--data", data.labels, "table with volume_id, subject_id and the conditions: volumes.csv")
        ->required();
    app.add_option("--out", training.out, "folder for the model, the state, the log and the pictures")->required();
    app.add_option("--config", training.config,
                   "small (minutes on two cores), paper (the published sizes), or a JSON file");
    app.add_option("--resume", training.resume, "auto: go on where a run in this folder stopped")
        ->check(CLI::IsMember({"never", "auto"}));
    app.add_option("--stop-at", training.stop_at, "save and stop after this step, as Ctrl-C would")->check(at_least(0));
    const char* rows = "Rows";
    app.add_option("--split", data.split,
                   "table subject_id,split with the sets train and validation: that of the tokenizer (default: drawn "
                   "from the seed)")
        ->group(rows);
    app.add_option("--validation", data.validation, "share of the subjects for validation")->group(rows);
    app.add_flag("--strict", data.strict, "refuse latents without labels and labels without latents")->group(rows);
    const char* values = "Training (instead of the value in --config)";
    app.add_option("--steps", training.steps, "optimiser steps")->group(values);
    app.add_option("--batch", training.batch, "latents per batch")->group(values);
    app.add_option("--accumulate", training.accumulate, "batches per step")->group(values);
    app.add_option("--lr", training.lr, "largest learning rate")->group(values);
    app.add_option("--validate-every", training.validate_every, "steps between validations")->group(values);
    app.add_option("--patience", training.patience,
                   "validations without a better one before the training ends, 0: never")
        ->group(values);
    app.add_flag("--recompute", training.recompute, "activation checkpointing: less memory, more time")->group(values);
    app.add_option("--tokenizer", tokenizer,
                   "the tokenizer of the latents: previews then show volumes, and its hash is checked");
    app.add_option("--preview-steps", preview.steps, "steps of the samples in the pictures")
        ->check(CLI::Range(1, 1000));
    app.add_option("--preview-rows", preview_rows, "samples in the pictures")->check(CLI::Range(1, 32));
  }
};

/// The files of the run against what it reads. Throws Error (argument).
inline void guard_latents(const LatentArguments& a, const CommonOptions& common) {
  OutputGuard guard;
  for (const auto& input : {a.data.latents, a.data.labels, a.data.split}) guard.input(input);
  if (!a.tokenizer.empty()) guard.input(model_path(a.tokenizer));
  guard_training(guard, a.training, common);
}

/// Fills what the data decides. The configurations small and paper have all conditions of the paper; those that no scan has are removed, and told. A
/// configuration file is taken as it is.
template <class Config, class Tell>
void complete_config(Config& config, const LatentData& data, const LatentArguments& a, Tell&& tell) {
  const bool named = a.training.config == "small" || a.training.config == "paper";
  for (const std::string& condition :
       config.complete(data, named ? AbsentConditions::remove : AbsentConditions::refuse))
    tell(concat("no scan has a ", condition, "; the model is made without this condition"));
}

}  // namespace braing3n::examples
