// Phase 1, for open_training() (device/training_run.hpp).
#pragma once

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

  template <Backend B, Precision P>
  using Model = Mae3d<B, P>;
  template <Backend B, Precision P>
  using Task = MaeTask<B, P>;

  template <Backend B, Precision P>
  std::unique_ptr<Task<B, P>> task(Context<B>& context, Context<Cpu>& host, const Mae3d<B, P>& m, Index start) const {
    return std::make_unique<Task<B, P>>(context, host, m, *data, config.training, seed, start, config.visible_weight);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
