// For programs that link braing3n::compiled: ops, layers and models are compiled once, in that library, instead of in every
// translation unit. Without it the macros are empty. Bodies are the same either way. Those of any length stand behind their class: what a
// class defines inside is inline, and compiled again for every user.
#pragma once

#include "braing3n/core/precision.hpp"
#include "braing3n/core/tags.hpp"

#ifdef BRAING3N_COMPILED
#define BRAING3N_COMPILED_LAYER(Layer)    \
  extern template struct Layer<Cpu, F32>; \
  extern template struct Layer<Cpu, F64>; \
  extern template struct Layer<Cpu, BF16>;
#define BRAING3N_COMPILED_OPS(list)   \
  list(extern template, float, Cpu);  \
  list(extern template, double, Cpu); \
  list(extern template, bfloat16, Cpu);
#else
#define BRAING3N_COMPILED_LAYER(Layer)
#define BRAING3N_COMPILED_OPS(list)
#endif
