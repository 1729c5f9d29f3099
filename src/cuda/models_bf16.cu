#include "models.hpp"

namespace braing3n::inline BRAING3N_ABI::compiled {

BRAING3N_CUDA_MODELS(BF16)

}  // namespace braing3n::inline BRAING3N_ABI::compiled
