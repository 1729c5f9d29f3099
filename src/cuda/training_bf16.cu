#include "training.hpp"

namespace braing3n::inline BRAING3N_ABI::compiled {

BRAING3N_CUDA_TRAINING(BF16, MaeTrainingJob)
BRAING3N_CUDA_TRAINING(BF16, TokenizerTrainingJob)
BRAING3N_CUDA_TRAINING(BF16, DitTrainingJob)

}  // namespace braing3n::inline BRAING3N_ABI::compiled
