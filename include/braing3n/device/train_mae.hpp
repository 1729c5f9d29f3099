// Phase 1 on the machine that a program has chosen.
#pragma once

#include <concepts>
#include <memory>

#include "braing3n/device/training_run.hpp"
#include "braing3n/train/mae_training.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A training of a masked autoencoder; its options are resolved.
struct MaeTrainingJob {
  Mae3d<Cpu, F32>* model = nullptr;
  const TrainingData* data = nullptr;
  MaeTrainingConfig config{};
  std::uint64_t seed = 0;
};

template <Precision P, Backend B>
std::unique_ptr<TrainingRun> make_training(Context<B>& context, Context<Cpu>& host, const MaeTrainingJob& job) {
  using Task = MaeTask<B, P>;
  return std::make_unique<BackendTraining<Mae3d<Cpu, F32>, Mae3d<B, P>, Task, B>>(
      context, *job.model, job.config.training, job.seed, [&context, &host, job](const Mae3d<B, P>& m, Index start) {
        return std::make_unique<Task>(context, host, m, *job.data, job.config.training, job.seed, start,
                                      job.config.visible_weight);
      });
}

template <std::same_as<Machine> M>
std::unique_ptr<TrainingRun> open_training(const M& machine, const MaeTrainingJob& job, ModelPrecision precision) {
  if (machine.gpu != nullptr) return machine.gpu->training(*machine.host, job, precision);
  require_f32(precision);
  return make_training<F32>(*machine.host, *machine.host, job);
}

}  // namespace braing3n::inline BRAING3N_ABI
