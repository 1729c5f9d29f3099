// Bodies of the trainings in parts.hpp.
#pragma once

#include "braing3n/cuda.cuh"
#include "braing3n/device/train_dit.hpp"
#include "braing3n/device/train_mae.hpp"
#include "braing3n/device/train_tokenizer.hpp"
#include "parts.hpp"

namespace braing3n::inline BRAING3N_ABI::compiled {

template <Precision P, class Job>
std::unique_ptr<TrainingRun> cuda_training(Context<Cuda>& context, Context<Cpu>& host, const Job& job) {
  return make_training<P>(context, host, job);
}

#define BRAING3N_CUDA_TRAINING(P, Job) \
  template std::unique_ptr<TrainingRun> cuda_training<P, Job>(Context<Cuda>&, Context<Cpu>&, const Job&);

}  // namespace braing3n::inline BRAING3N_ABI::compiled
