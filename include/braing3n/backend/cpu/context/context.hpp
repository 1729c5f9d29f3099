// The CPU context with its built-in tables of kernels. See context_type.hpp for the class.
#pragma once

#include <algorithm>
#include <concepts>
#include <thread>

#include "braing3n/backend/cpu/context/context_type.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <std::same_as<CpuOptions> O>
Context<Cpu>::Context(const O& options)
    : pool_(options.threads > 0 ? options.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()))),
      provider_(options.provider != nullptr ? options.provider : &default_cpu_provider()),
      isa_(std::min(detect_isa(), Isa::avx512bf16)), packed_weights_(options.packed_weights) {
  if (provider_->isa > isa_)
    fail(ErrorKind::environment, "provider.isa", "provider ", provider_->name, " needs ", to_string(provider_->isa),
         ", this processor has ", to_string(isa_));
  // A provider below the machine's instruction set was asked for on purpose (tests of the portable path, comparisons).
  if (provider_->isa < isa_ && options.provider != nullptr && provider_->limits_isa) isa_ = provider_->isa;
}

}  // namespace braing3n::inline BRAING3N_ABI
