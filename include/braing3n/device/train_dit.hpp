// The training of a transformer on latents on the machine that a program has chosen.
#pragma once

#include <concepts>
#include <functional>
#include <memory>

#include "braing3n/device/training_run.hpp"
#include "braing3n/train/dit_preview.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A training of a diffusion transformer; its options are resolved.
struct DitTrainingJob {
  Dit3d<Cpu, F32>* model = nullptr;
  const LatentData* data = nullptr;
  DitTrainingConfig config{};
  std::uint64_t seed = 0;
  std::function<void(Index samples, const TimeBins&)> on_bins{};  // losses by time of a validation
  LatentPicture picture{};                                        // of previews
  SamplingOptions preview{};
  Index preview_rows = 0;
};

template <Precision P, Backend B>
std::unique_ptr<TrainingRun> make_training(Context<B>& context, Context<Cpu>& host, const DitTrainingJob& job) {
  using Task = DitTask<B, P>;
  return std::make_unique<BackendTraining<Dit3d<Cpu, F32>, Dit3d<B, P>, Task, B>>(
      context, *job.model, job.config.training, job.seed, [&context, &host, job](const Dit3d<B, P>& m, Index start) {
        auto task = std::make_unique<Task>(context, host, m, *job.data, job.config, job.seed, start);
        if (job.on_bins)
          task->on_bins = [on_bins = job.on_bins, t = task.get()](const TimeBins& b) { on_bins(t->position(), b); };
        task->make_preview = [&context, &host, &m, job] {
          return preview_samples(context, host, m, *job.data, job.picture, job.preview, job.preview_rows);
        };
        return task;
      });
}

template <std::same_as<Machine> M>
std::unique_ptr<TrainingRun> open_training(const M& machine, const DitTrainingJob& job, ModelPrecision precision) {
  if (machine.gpu != nullptr) return machine.gpu->training(*machine.host, job, precision);
  require_f32(precision);
  return make_training<F32>(*machine.host, *machine.host, job);
}

}  // namespace braing3n::inline BRAING3N_ABI
