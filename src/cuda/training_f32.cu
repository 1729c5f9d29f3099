#include "training.hpp"

namespace braing3n::inline BRAING3N_ABI::compiled {

BRAING3N_CUDA_TRAINING(F32, MaeTrainingJob)
BRAING3N_CUDA_TRAINING(F32, TokenizerTrainingJob)
BRAING3N_CUDA_TRAINING(F32, DitTrainingJob)

}  // namespace braing3n::inline BRAING3N_ABI::compiled
