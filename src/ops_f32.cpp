// Recorded ops in float, compiled once.
#include "braing3n/autograd/ops.hpp"
#include "braing3n/backend/cpu.hpp"

namespace braing3n::inline BRAING3N_ABI {

BRAING3N_BASIC_OPS(template, float, Cpu);
BRAING3N_LAYER_OPS(template, float, Cpu);
BRAING3N_LOSS_OPS(template, float, Cpu);

}  // namespace braing3n::inline BRAING3N_ABI
