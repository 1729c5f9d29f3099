// All blocks of a launch, shared out over OS threads.
#pragma once

#include "core/block.hpp"

namespace emulation::core {

/// Runs every block and returns when all have ended, or when one has reported a fault.
void run_grid(Launch& launch);

}  // namespace emulation::core
