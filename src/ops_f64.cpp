// Recorded ops in double, compiled once.
#include "braing3n/autograd/ops.hpp"
#include "braing3n/backend/cpu.hpp"

namespace braing3n::inline BRAING3N_ABI {

BRAING3N_BASIC_OPS(template, double, Cpu);
BRAING3N_LAYER_OPS(template, double, Cpu);
BRAING3N_LOSS_OPS(template, double, Cpu);

}  // namespace braing3n::inline BRAING3N_ABI
