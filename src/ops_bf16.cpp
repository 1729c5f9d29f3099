// Recorded ops in bfloat16, compiled once.
#include "braing3n/autograd/ops.hpp"
#include "braing3n/backend/cpu.hpp"

namespace braing3n::inline BRAING3N_ABI {

BRAING3N_BASIC_OPS(template, bfloat16, Cpu);
BRAING3N_LAYER_OPS(template, bfloat16, Cpu);
BRAING3N_LOSS_OPS(template, bfloat16, Cpu);

}  // namespace braing3n::inline BRAING3N_ABI
