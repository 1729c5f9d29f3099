// Phase 2, for open_training() (device/training_run.hpp).
#pragma once

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

  template <Backend B, Precision P>
  using Model = Tokenizer<B, P>;
  template <Backend B, Precision P>
  using Task = TokenizerTask<B, P>;

  template <Backend B, Precision P>
  std::unique_ptr<Task<B, P>> task(Context<B>& context, Context<Cpu>& host, const Tokenizer<B, P>& m,
                                   Index start) const {
    return std::make_unique<Task<B, P>>(context, host, m, *data, config, seed, start);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
