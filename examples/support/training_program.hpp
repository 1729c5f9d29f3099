// The options of the training programs, and their files.
#pragma once

#include <optional>
#include <string>

#include "braing3n/data/file_stamp.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/data/volumes.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/train/fit.hpp"
#include "examples/support/program.hpp"
#include "examples/support/scan_list.hpp"

namespace braing3n::examples {

struct TrainingArguments {
  TrainingDataOptions data;
  std::string out, config = "small", resume = "never";
  std::optional<Index> steps, batch, accumulate, patience, validate_every;
  std::optional<double> lr;
  Index memory_mb = 2048, stop_at = 0;
  bool recompute = false, no_augment = false;

  void add_to(CLI::App& app) {
    app.add_option("--data", data.manifest, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern")
        ->required();
    app.add_option("--out", out, "folder for the model, the state, the log and the pictures")->required();
    app.add_option("--config", config,
                   "small (2 mm, minutes on two cores), paper (the published sizes), or a JSON file");
    app.add_option("--resume", resume, "auto: go on where a run in this folder stopped")
        ->check(CLI::IsMember({"never", "auto"}));
    app.add_option("--stop-at", stop_at, "save and stop after this step, as Ctrl-C would")->check(at_least(0));
    const char* scans = "Scans";
    app.add_option("--pattern", data.read.pattern,
                   "paths for a table without them, for example sub-{participant_id}_T1w.nii.gz")
        ->group(scans);
    app.add_option("--split", data.split,
                   "table subject_id,split with the sets train and validation (default: drawn from the seed)")
        ->group(scans);
    app.add_option("--validation", data.validation, "share of the subjects for validation")->group(scans);
    app.add_option("--cache", data.cache, "packed cache of the same scans (preprocess --cache)")->group(scans);
    app.add_option("--memory", memory_mb, "MB in which preprocessed scans are kept, 0: none")
        ->check(at_least(0))
        ->group(scans);
    app.add_flag("--strict", data.strict,
                 "refuse scans whose values or places are not what the contract expects (warnings)")
        ->group(scans);
    const char* training = "Training (instead of the value in --config)";
    app.add_option("--steps", steps, "optimiser steps")->group(training);
    app.add_option("--batch", batch, "scans per batch")->group(training);
    app.add_option("--accumulate", accumulate, "batches per step")->group(training);
    app.add_option("--lr", lr, "largest learning rate")->group(training);
    app.add_option("--validate-every", validate_every, "steps between validations")->group(training);
    app.add_option("--patience", patience, "validations without a better one before the training ends, 0: never")
        ->group(training);
    app.add_flag("--recompute", recompute, "activation checkpointing: less memory, more time")->group(training);
    app.add_flag("--no-augment", no_augment, "no flips, shifts and changes of intensity")->group(training);
  }

  /// A preset or a JSON file. Throws Error (config, file, format).
  template <class Config>
  Config load() const {
    Config c = config == "paper"   ? Config::paper()
               : config == "small" ? Config::small()
                                   : config_from_file<Config>(config);
    TrainingOptions& t = c.training;
    t.steps = steps.value_or(t.steps);
    t.batch = batch.value_or(t.batch);
    t.accumulate = accumulate.value_or(t.accumulate);
    t.lr = lr.value_or(t.lr);
    t.validate_every = validate_every.value_or(t.validate_every);
    t.patience = patience.value_or(t.patience);
    t.recompute_blocks = t.recompute_blocks || recompute;
    if (no_augment) t.augment = {};
    return c;
  }
  TrainingDataOptions data_options() const {
    TrainingDataOptions o = data;
    o.memory = static_cast<std::size_t>(memory_mb) << 20;
    return o;
  }
};

/// The output files of a run against its inputs, which `guard` has. Throws Error (argument).
inline void guard_training(OutputGuard& guard, const TrainingArguments& a, const CommonOptions& common) {
  guard.input(a.data.manifest);
  guard.input(a.data.split);
  guard.input(a.data.cache);
  ManifestOptions names_only = a.data.read;
  names_only.check_files = false;  // the run reads the table again and looks for them then
  if (!a.data.manifest.empty())    // not where the run reads latents
    for (const auto& file : scan_files(read_manifest(a.data.manifest, names_only))) guard.input(file);
  if (a.config != "small" && a.config != "paper") guard.input(a.config);
  const TrainingFolder folder{a.out};
  for (const auto& path :
       {folder.model(), folder.last(), folder.state(), folder.log(), folder.curves(), folder.preview(),
        folder.path / "config.json", folder.path / "split.csv", folder.path / "time_bins.csv"})
    // A run that goes on is given the configuration and the split that it has written itself.
    if (a.resume != "auto" || (path.filename() != "config.json" && path.filename() != "split.csv")) guard.output(path);
  guard.output(common.json_log);
}

}  // namespace braing3n::examples
