// Phase 2 on the machine that a program has chosen.
#pragma once

#include <concepts>
#include <memory>

#include "braing3n/device/training_run.hpp"
#include "braing3n/train/tokenizer_training.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A training of projection and decoder; its options are resolved.
struct TokenizerTrainingJob {
  Tokenizer<Cpu, F32>* model = nullptr;
  const TrainingData* data = nullptr;
  TokenizerTrainingConfig config{};
  std::uint64_t seed = 0;
};

template <Precision P, Backend B>
std::unique_ptr<TrainingRun> make_training(Context<B>& context, Context<Cpu>& host, const TokenizerTrainingJob& job) {
  using Task = TokenizerTask<B, P>;
  return std::make_unique<BackendTraining<Tokenizer<Cpu, F32>, Tokenizer<B, P>, Task, B>>(
      context, *job.model, job.config.training, job.seed,
      [&context, &host, job](const Tokenizer<B, P>& m, Index start) {
        return std::make_unique<Task>(context, host, m, *job.data, job.config, job.seed, start);
      });
}

template <std::same_as<Machine> M>
std::unique_ptr<TrainingRun> open_training(const M& machine, const TokenizerTrainingJob& job,
                                           ModelPrecision precision) {
  if (machine.gpu != nullptr) return machine.gpu->training(*machine.host, job, precision);
  require_f32(precision);
  return make_training<F32>(*machine.host, *machine.host, job);
}

}  // namespace braing3n::inline BRAING3N_ABI
