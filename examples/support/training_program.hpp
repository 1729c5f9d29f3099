// Shared parts of the training programs: their options, and a run with progress, pictures and a summary.
#pragma once

#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "braing3n/data/file_stamp.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/data/volumes.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/train/fit.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/program.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/resident_memory.hpp"
#include "examples/support/scan_list.hpp"
#include "examples/support/tell_findings.hpp"

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

/// The parts of a run that differ from program to program.
template <class Task>
struct TrainingParts {
  const TrainingData* data = nullptr;
  TrainingOptions options;                                      // resolved
  ScanFailures failures;                                        // scans that were left out
  TrainingInfo identity;                                        // kind, config, data
  std::function<std::unique_ptr<Task>(Index start)> make_task;  // from a sample of the stream on
  std::function<void(const std::filesystem::path&, const std::string& provenance)> save_model;
  std::function<void()> at_the_end;  // checks and numbers to print
  std::size_t step_bytes = 0;  // of a step, parameters and what belongs to them not included; 0: not known beforehand
};

/// Bytes of the process during a step: what it holds now, activations, gradients, two moments and the average.
inline std::size_t planned_bytes(std::size_t step_bytes, Index parameters, const TrainingOptions& options) {
  if (step_bytes == 0) return 0;
  return resident_bytes() + step_bytes + static_cast<std::size_t>(parameters) * sizeof(float) * (options.ema ? 4 : 3);
}

/// open_training_folder() with the advice of the programs when a run is there already.
template <class Trainer>
FileLock open_folder(const TrainingFolder& folder, Trainer& trainer, const TrainingInfo& identity,
                     const TrainingArguments& a, const Program& program) {
  try {
    return open_training_folder(folder, trainer, identity,
                                a.resume == "auto" ? ResumeMode::automatic : ResumeMode::never, program.common.force,
                                [&](const std::string& text) { std::cerr << program.name() << ": " << text << '\n'; });
  } catch (const Error& e) {
    if (e.id() != "training.exists") throw;
    throw Error(e.kind(), e.id(), e.text() + "; --resume auto goes on with it, --force begins anew", e.path());
  }
}

/// Output and log of a run.
template <class Task>
class TrainingDisplay {
 public:
  TrainingDisplay(const Program& program, const TrainingData& data, const TrainingFolder& folder, JsonLog& log,
                  Index steps, const TrainingProgress& progress)
      : program_(program), data_(data), folder_(folder), log_(log), first_(progress.samples),
        progress_(program.name(), steps, program.common.quiet, progress.step) {
    findings();  // of the scans read so far; others follow at validations
  }

  void step(const StepReport& r, const Task& task, Index samples) {
    const double seconds = std::max(1e-9, std::chrono::duration<double>(Clock::now() - begin_).count());
    const double rate = static_cast<double>(samples - first_) / seconds,
                 stall = 100.0 * task.stream().seconds_waited() / seconds;
    char numbers[96];
    std::snprintf(numbers, sizeof numbers, "loss %.4f  %.2f scans/s, %.0f%% waiting for them", r.loss, rate, stall);
    progress_.advance(1, numbers + validated_);
    log_.event("step", {{"step", r.step},
                        {"loss", r.loss},
                        {"lr", r.lr},
                        {"gradient_norm", r.gradient_norm},
                        {"scans_per_second", rate},
                        {"stall_percent", stall}});
  }
  void validation(Index step, double loss, bool best, const Image& preview) {
    char numbers[64];
    std::snprintf(numbers, sizeof numbers, "  validation %.4f%s", loss, best ? " (best)" : "");
    validated_ = numbers;
    findings();
    log_.event("validation", {{"step", step}, {"loss", loss}, {"best", best}});
    write_png(folder_.preview(), preview, {.overwrite = true, .durable = false});
  }
  void end(std::size_t planned) {
    progress_.close();
    findings();
    if (planned > 0) report_memory(planned, log_, program_.common.quiet);
  }

 private:
  using Clock = std::chrono::steady_clock;
  void findings() { tell_findings(*data_.findings, log_, program_.common.quiet); }

  const Program& program_;
  const TrainingData& data_;
  TrainingFolder folder_;
  JsonLog& log_;
  Clock::time_point begin_ = Clock::now();
  Index first_;
  Progress progress_;
  std::string validated_;
};

/// The summary at the end of a run.
template <class Trainer>
void tell_end(FitEnd end, const Trainer& trainer, const TrainingFolder& folder) {
  const TrainingOptions& options = trainer.options();
  if (end == FitEnd::interrupted) {
    std::cout << "stopped after step " << trainer.progress().step << " of " << options.steps
              << "; --resume auto goes on\n";
    return;
  }
  if (end == FitEnd::out_of_patience)
    std::cout << "ended early after step " << trainer.progress().step << ": no better validation in "
              << options.patience << '\n';
  if (trainer.progress().best)
    std::cout << "best validation loss " << *trainer.progress().best << ", model " << folder.model().string() << '\n';
}

template <class Task, class Model>
int run_training(const Program& program, const TrainingArguments& a, Context<Cpu>& ctx, Model& model,
                 TrainingParts<Task>& parts) {
  const CommonOptions& common = program.common;
  const TrainingData& data = *parts.data;
  const TrainingOptions& options = parts.options;
  JsonLog log(common.json_log);
  const std::string name = program.name();
  for (const std::string& w : data.warnings) std::cerr << name << ": " << w << '\n';
  if (!data.files.empty()) parts.identity.extra["scan_files"] = data.files;
  const TrainingFolder folder{a.out};
  const Index parameters = count_parameters(model).learned;
  const std::size_t planned = planned_bytes(parts.step_bytes, parameters, options);
  Trainer<Model, Cpu> trainer(ctx, model, options, common.seed);
  const FileLock lock = open_folder(folder, trainer, parts.identity, a, program);
  write_text(folder.path / "config.json", parse_json(parts.identity.config, "config").dump(2) + "\n",
             {.overwrite = true});
  write_split(folder.path / "split.csv", data.split, {.overwrite = true});
  if (!common.quiet)
    std::cerr << data.train.size() << " scans to learn from, " << data.validation.size() << " for validation, "
              << options.steps << " steps of " << options.accumulate << " x " << options.batch << " scans, "
              << with_commas(parameters) << " parameters\n";
  if (!common.quiet && planned > 0) std::cerr << "memory: " << planned / 1'000'000 << " MB planned\n";

  const std::unique_ptr<Task> task = parts.make_task(trainer.progress().samples);
  TrainingDisplay<Task> display(program, data, folder, log, options.steps, trainer.progress());
  FitHooks hooks;
  hooks.title = name + " loss";
  hooks.stop_at = a.stop_at;
  hooks.interrupted = [] { return interrupted(); };
  hooks.on_step = [&](const StepReport& r) { display.step(r, *task, trainer.progress().samples); };
  hooks.validate = [&] { return task->validate(parts.failures); };
  hooks.save_model = [&](const std::filesystem::path& path) {
    parts.save_model(path, concat(name, ", step ", trainer.progress().step, " of ", options.steps, ", ",
                                  data.train.size(), " scans, data ", data.hash, ", seed ", common.seed));
  };
  hooks.on_validation = [&](Index step, double loss, bool best) {
    display.validation(step, loss, best, task->preview(parts.failures));
  };
  const FitEnd end = fit(trainer, *task, folder, parts.identity, hooks);
  display.end(planned);
  ScanFailures& failures = parts.failures;
  failures.insert(task->stream().failures().begin(), task->stream().failures().end());
  for (const auto& [row, reason] : failures)
    std::cerr << name << ": left out " << data.ids[static_cast<std::size_t>(row)] << ": " << reason << '\n';
  tell_end(end, trainer, folder);
  if (end == FitEnd::interrupted && interrupted()) return exit_interrupted;
  if (end != FitEnd::interrupted && parts.at_the_end) parts.at_the_end();
  return failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace braing3n::examples
