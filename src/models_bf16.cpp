#include "instantiate_models.hpp"

namespace braing3n::inline BRAING3N_ABI {
BRAING3N_INSTANTIATE_MODELS(BF16)
}  // namespace braing3n::inline BRAING3N_ABI
