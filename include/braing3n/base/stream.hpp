// Places in an endless stream of samples as counters of the random generator.
#pragma once

#include <cstdint>

#include "braing3n/base/philox.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Number `position` of a run's stream as the step and sample of Philox. Nothing repeats within 2^62 samples.
struct StreamCounter {
  std::uint32_t step, sample;
  explicit constexpr StreamCounter(Index position)
      : step(static_cast<std::uint32_t>(position >> 32)), sample(static_cast<std::uint32_t>(position)) {}
};

/// Steps that no stream reaches: the draws of validations and of generated samples share no number with training.
inline constexpr std::uint32_t validation_step = 0xfffffffeu, generation_step = 0xffffffffu;
/// Step number i of a sampler that adds noise draws with this one + i.
inline constexpr std::uint32_t sampler_step = 0x80000000u;

}  // namespace braing3n::inline BRAING3N_ABI
