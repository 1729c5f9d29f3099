// The activations that kernels apply while a result is still in cache.
#pragma once

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Activation { none, gelu, gelu_tanh, silu };

}  // namespace braing3n::inline BRAING3N_ABI
