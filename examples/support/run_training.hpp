// A training with progress, pictures and a summary.
#pragma once

#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include "braing3n/device/training_run.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/table.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/resident_memory.hpp"
#include "examples/support/tell_findings.hpp"
#include "examples/support/training_program.hpp"

namespace braing3n::examples {

/// The parts of a run that differ from program to program.
struct TrainingParts {
  const TrainingData* data = nullptr;
  TrainingOptions options;  // resolved
  ScanFailures failures;    // scans that were left out
  TrainingInfo identity;    // kind, config, data
  std::unique_ptr<TrainingRun> run{};
  Index parameters = 0, frozen = 0;           // of the model, without fixed tables; those of them that are not trained
  std::function<void(Index samples)> opened;  // once the folder is open: samples that an earlier run has taken
  std::function<void(const std::filesystem::path&, const std::string& provenance)> save_model;
  std::function<void()> at_the_end;  // checks and numbers to print
  std::size_t step_bytes = 0;  // of a step, parameters and what belongs to them not included; 0: not known beforehand
};

/// Bytes of the process during a step: what it holds now, activations, gradients, two moments and the average.
inline std::size_t planned_bytes(std::size_t step_bytes, Index parameters, const TrainingOptions& options) {
  if (step_bytes == 0) return 0;
  return resident_bytes() + step_bytes + static_cast<std::size_t>(parameters) * sizeof(float) * (options.ema ? 4 : 3);
}
/// Bytes of a GPU during a step, as far as they are known beforehand: activations, parameters with gradients, two moments and the average,
/// and in bf16 the copies that products read. Of frozen parameters there is the value alone.
inline std::size_t planned_gpu_bytes(const TrainingParts& parts, ModelPrecision precision) {
  const std::size_t copy = precision == ModelPrecision::bf16 ? 2 : 0, values = parts.options.ema ? 5 : 4;
  return parts.step_bytes +
         static_cast<std::size_t>(parts.parameters - parts.frozen) * (values * sizeof(float) + copy) +
         static_cast<std::size_t>(parts.frozen) * (sizeof(float) + copy);
}

/// Opens the folder of a run, with the advice of the programs when a run is there already.
inline FileLock open_folder(const TrainingFolder& folder, TrainingRun& run, const TrainingInfo& identity,
                            const TrainingArguments& a, const Program& program) {
  try {
    return run.open(folder, identity, a.resume == "auto" ? ResumeMode::automatic : ResumeMode::never,
                    program.common.force,
                    [&](const std::string& text) { std::cerr << program.name() << ": " << text << '\n'; });
  } catch (const Error& e) {
    if (e.id() != "training.exists") throw;
    throw Error(e.kind(), e.id(), e.text() + "; --resume auto goes on with it, --force begins anew", e.path());
  }
}

/// Output and log of a run.
class TrainingDisplay {
 public:
  TrainingDisplay(const Program& program, const TrainingData& data, const TrainingFolder& folder, JsonLog& log,
                  Index steps, const TrainingProgress& progress)
      : program_(program), data_(data), folder_(folder), log_(log), first_(progress.samples),
        progress_(program.name(), steps, program.common.quiet, progress.step) {
    findings();  // of the scans read so far; others follow at validations
  }

  void step(const StepReport& r, const TrainingRun& run) {
    const double seconds = std::max(1e-9, std::chrono::duration<double>(Clock::now() - begin_).count());
    const double rate = static_cast<double>(run.progress().samples - first_) / seconds,
                 stall = 100.0 * run.seconds_waited() / seconds;
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
inline void tell_end(FitEnd end, const TrainingRun& run, const TrainingFolder& folder) {
  const TrainingOptions& options = run.options();
  if (end == FitEnd::interrupted) {
    std::cout << "stopped after step " << run.progress().step << " of " << options.steps << "; --resume auto goes on\n";
    return;
  }
  if (end == FitEnd::out_of_patience)
    std::cout << "ended early after step " << run.progress().step << ": no better validation in " << options.patience
              << '\n';
  if (run.progress().best)
    std::cout << "best validation loss " << *run.progress().best << ", model " << folder.model().string() << '\n';
}

/// The steps, with progress, pictures and saved models.
inline FitEnd fit_with_display(const Program& program, const TrainingArguments& a, const TrainingFolder& folder,
                               TrainingParts& parts, JsonLog& log, std::size_t planned) {
  TrainingRun& run = *parts.run;
  const TrainingData& data = *parts.data;
  const Index steps = parts.options.steps;
  TrainingDisplay display(program, data, folder, log, steps, run.progress());
  FitHooks hooks;
  hooks.title = program.name() + " loss";
  hooks.stop_at = a.stop_at;
  hooks.interrupted = [] { return interrupted(); };
  hooks.on_step = [&](const StepReport& r) { display.step(r, run); };
  hooks.validate = [&] { return run.validate(parts.failures); };
  hooks.save_model = [&](const std::filesystem::path& path) {
    parts.save_model(path, concat(program.name(), ", step ", run.progress().step, " of ", steps, ", ",
                                  data.train.size(), " scans, data ", data.hash, ", seed ", program.common.seed));
  };
  hooks.on_validation = [&](Index step, double loss, bool best) {
    display.validation(step, loss, best, run.preview(parts.failures));
  };
  const FitEnd end = run.fit(folder, parts.identity, hooks);
  display.end(planned);
  return end;
}

/// In a handler: throws the error of a GPU whose memory ran out with what was planned, any other as it is.
[[noreturn]] inline void explain_memory(const Error& e, const ProgramMachine& machine, std::size_t planned) {
  if (machine.gpu == nullptr || e.id() != "memory.exhausted") throw;
  const GpuInfo gpu = machine.gpu->info();
  throw Error(
      e.kind(), e.id(),
      concat(e.text(), "; ", gpu.name, " has ", gpu.memory / 1'000'000, " MB, of which at least ", planned / 1'000'000,
             " MB were planned for parameters and activations: a smaller --batch with --accumulate, or "
             "--recompute, takes less"),
      e.path());
}

/// `parts` has everything but the run, which `start` makes.
template <class Start>
int run_training(const Program& program, const TrainingArguments& a, const ProgramMachine& machine,
                 TrainingParts& parts, Start&& start) {
  const CommonOptions& common = program.common;
  const TrainingData& data = *parts.data;
  const TrainingOptions& options = parts.options;
  JsonLog log(common.json_log);
  const std::string name = program.name();
  for (const std::string& w : data.warnings) std::cerr << name << ": " << w << '\n';
  if (!data.files.empty()) parts.identity.extra["scan_files"] = data.files;
  const TrainingFolder folder{a.out};
  const bool gpu = machine.gpu != nullptr;
  const std::size_t planned =
      gpu ? planned_gpu_bytes(parts, machine.precision) : planned_bytes(parts.step_bytes, parts.parameters, options);
  require_planned_memory(machine, planned);
  FitEnd end{};
  std::optional<FileLock> lock;
  try {
    parts.run = start();
    lock.emplace(open_folder(folder, *parts.run, parts.identity, a, program));
    if (parts.opened) parts.opened(parts.run->progress().samples);
    write_text(folder.path / "config.json", parse_json(parts.identity.config, "config").dump(2) + "\n",
               {.overwrite = true});
    write_split(folder.path / "split.csv", data.split, {.overwrite = true});
    if (!common.quiet)
      std::cerr << data.train.size() << " scans to learn from, " << data.validation.size() << " for validation, "
                << options.steps << " steps of " << options.accumulate << " x " << options.batch << " scans, "
                << with_commas(parts.parameters) << " parameters\n";
    if (!common.quiet && planned > 0)
      std::cerr << "memory: " << (gpu ? "at least " : "") << planned / 1'000'000 << " MB planned\n";
    end = fit_with_display(program, a, folder, parts, log, gpu ? 0 : planned);
  } catch (const Error& e) {
    explain_memory(e, machine, planned);
  }
  ScanFailures& failures = parts.failures;
  failures.insert(parts.run->failures().begin(), parts.run->failures().end());
  for (const auto& [row, reason] : failures)
    std::cerr << name << ": left out " << data.ids[static_cast<std::size_t>(row)] << ": " << reason << '\n';
  tell_end(end, *parts.run, folder);
  if (end == FitEnd::interrupted && interrupted()) return exit_interrupted;
  if (end != FitEnd::interrupted && parts.at_the_end) parts.at_the_end();
  return failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace braing3n::examples
