// The compute context that the common options ask for.
#pragma once

#include <memory>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

/// Throws Error: argument (unknown provider), environment (a device or processor that this build or machine does not have).
/// All commands run on the CPU: no command has a version for a GPU yet.
inline std::unique_ptr<Context<Cpu>> make_cpu_context(const CommonOptions& options,
                                                      std::span<const CpuProvider* const> more_providers = {}) {
  if (options.device != "cpu")
    fail(ErrorKind::environment, "program.device", "--device ", options.device,
         ": this program was built for the CPU only");
  CpuOptions cpu;
  cpu.threads = options.threads;
  if (!options.provider.empty()) cpu.provider = &find_cpu_provider(options.provider, more_providers);
  return std::make_unique<Context<Cpu>>(cpu);
}

}  // namespace braing3n::examples
