// A run from its first step, or from where it stopped, to its end.
//
// Everything lies in one folder:
//   model.safetensors   the model with the best validation loss       last.safetensors   the model after the last step
//   state.safetensors   what a resumed run needs (state.safetensors.previous: the one before)
//   log.jsonl, curves.svg, preview.png
// A stopped and resumed run writes the same bytes into model and state as one that went through.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "braing3n/format/file_lock.hpp"
#include "braing3n/train/trainer.hpp"
#include "braing3n/train/training_log.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct TrainingFolder {
  std::filesystem::path path;
  std::filesystem::path model() const { return path / "model.safetensors"; }
  std::filesystem::path last() const { return path / "last.safetensors"; }
  std::filesystem::path state() const { return path / "state.safetensors"; }
  std::filesystem::path log() const { return path / "log.jsonl"; }
  std::filesystem::path curves() const { return path / "curves.svg"; }
  std::filesystem::path preview() const { return path / "preview.png"; }
};

enum class ResumeMode { never, automatic };  // automatic: goes on when there is a state, begins otherwise

/// Opens the folder: takes the newest whole state into the trainer when asked to. Throws Error: file (a run is there and is neither
/// to be resumed nor replaced; another process trains there), config (the state belongs to another run), format (no state is whole).
/// Returns the folder's lock, to be held as long as the training writes.
template <class Model, Backend B, class T>
FileLock open_training_folder(const TrainingFolder& folder, Trainer<Model, B, T>& trainer, const TrainingInfo& identity,
                              ResumeMode resume, bool replace, const std::function<void(const std::string&)>& tell) {
  std::error_code error;
  FileLock lock = lock_folder(folder.path);
  if (resume == ResumeMode::automatic) {
    const ResumeChoice choice = newest_training_state(folder.state());
    for (const std::string& reason : choice.rejected) tell("passed over: " + reason);
    if (!choice.state) return lock;
    trainer.restore(*choice.state, identity);
    tell(concat("resumed after step ", trainer.progress().step, " of ", trainer.options().steps));
    return lock;
  }
  for (const auto& path : {folder.state(), folder.model(), folder.last()})
    if (std::filesystem::exists(path, error)) {
      if (!replace)
        throw Error(ErrorKind::file, "training.exists",
                    "expected an empty folder, or to resume or replace the run in it, got a run", path.string());
      std::filesystem::remove(path, error);
      std::filesystem::remove(previous_path(path), error);
    }
  return lock;
}

enum class FitEnd { complete, out_of_patience, interrupted };

struct FitHooks {
  std::function<void(const StepReport&)> on_step;                         // of every step, in their order
  std::function<double()> validate;                                       // loss of the model as it stands
  std::function<void(const std::filesystem::path&)> save_model;           // writes the model as it stands
  std::function<void(Index step, double loss, bool best)> on_validation;  // pictures, messages
  std::function<bool()> interrupted;                                      // asked after every step: save and return
  Index stop_at = 0;         // a step after which to stop as if interrupted; 0: none
  double save_minutes = 10;  // the state is saved with every validation, and this often in between
  std::string title = "loss";
};

/// Steps until the options' last one. The model holds the last parameters afterwards. On a GPU the report of a step comes while the next
/// one runs; before the model is validated or saved, every step has been read.
template <class Model, Backend B, class T, class Task>
FitEnd fit(Trainer<Model, B, T>& trainer, Task& task, const TrainingFolder& folder, const TrainingInfo& identity,
           const FitHooks& hooks) {
  using Clock = std::chrono::steady_clock;
  TrainingLog log(folder.log(), trainer.progress().step);
  const TrainingOptions& o = trainer.options();
  Clock::time_point saved = Clock::now();
  const auto save = [&] {
    trainer.save(folder.state(), identity);
    saved = Clock::now();
  };
  const auto note = [&](const std::optional<StepReport>& report) {
    if (!report) return;
    log.step(*report);
    if (hooks.on_step) hooks.on_step(*report);
  };
  FitEnd end = FitEnd::complete;
  if (trainer.out_of_patience()) end = FitEnd::out_of_patience;
  while (end == FitEnd::complete && trainer.progress().step < o.steps) {
    note(trainer.advance(task));
    const Index step = trainer.progress().step;
    const bool validate = step % o.validate_every == 0 || step == o.steps;
    if (validate) {
      note(trainer.finish());
      trainer.with_average([&] {
        const double loss = hooks.validate();
        const bool best = trainer.note_validation(loss);
        if (best) hooks.save_model(folder.model());
        log.validation(step, loss, best);
        if (hooks.on_validation) hooks.on_validation(step, loss, best);
      });
      log.draw(folder.curves(), hooks.title);
    }
    const bool stop = (hooks.interrupted && hooks.interrupted()) || step == hooks.stop_at;
    if (validate || stop || std::chrono::duration<double>(Clock::now() - saved).count() > 60.0 * hooks.save_minutes) {
      note(trainer.finish());
      save();
    }
    if (trainer.out_of_patience()) end = FitEnd::out_of_patience;
    else if (stop && step < o.steps) end = FitEnd::interrupted;
  }
  if (end != FitEnd::interrupted) trainer.with_average([&] { hooks.save_model(folder.last()); });
  return end;
}

}  // namespace braing3n::inline BRAING3N_ABI
