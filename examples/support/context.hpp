// The machine that the common options ask for: a compute context on the CPU, and a GPU where models run on one.
#pragma once

#include <iostream>
#include <memory>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/device/gpu.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

inline std::unique_ptr<Context<Cpu>> make_host_context(const CommonOptions& options,
                                                       std::span<const CpuProvider* const> more_providers = {}) {
  CpuOptions cpu;
  cpu.threads = options.threads;
  if (!options.provider.empty()) cpu.provider = &find_cpu_provider(options.provider, more_providers);
  return std::make_unique<Context<Cpu>>(cpu);
}

/// For commands that have no version for a GPU. Throws Error: argument (unknown provider), environment (a device or processor that this build
/// or machine does not have).
inline std::unique_ptr<Context<Cpu>> make_cpu_context(const CommonOptions& options,
                                                      std::span<const CpuProvider* const> more_providers = {}) {
  if (options.device == "cuda")
    fail(ErrorKind::environment, "program.device", "--device cuda: this command runs on the CPU only");
  return make_host_context(options, more_providers);
}

/// A GPU and the CPU beside it.
struct ProgramMachine {
  std::unique_ptr<Context<Cpu>> host;
  std::unique_ptr<Gpu> gpu;  // none: models run on the CPU
  ModelPrecision precision = ModelPrecision::f32;

  operator Machine() const { return {*host, gpu.get()}; }
};

/// Opens the GPU of --device cuda, or with auto the one that can be used. Says what it took unless --device is cpu. Throws what make_cpu_context()
/// throws, and Error (environment) that says why there is no GPU for --device cuda.
inline ProgramMachine make_machine(const CommonOptions& options, const GpuSupport& support = gpu_support()) {
  ProgramMachine m{make_host_context(options), nullptr,
                   options.precision == "bf16" ? ModelPrecision::bf16 : ModelPrecision::f32};
  if (options.device == "cpu") return m;
  const auto tell = [&](const auto&... parts) {
    if (!options.quiet) std::cerr << concat("device: ", parts...) << '\n';
  };
  try {
    if (support.open == nullptr)
      fail(ErrorKind::environment, "program.device",
           "this build has no CUDA; one configured with BRAING3N_CUDA=ON has it, which takes nvcc");
    m.gpu = support.open(0);
    const GpuInfo gpu = m.gpu->info();
    tell(gpu.name, ", ", gpu.free_memory / 1'000'000, " of ", gpu.memory / 1'000'000, " MB free, by ", support.name);
  } catch (const Error& e) {
    if (options.device == "cuda") throw Error(e.kind(), e.id(), "--device cuda: " + e.text(), e.path());
    tell("CPU; ", e.text());
  }
  return m;
}

/// Throws Error (environment) when the GPU has less than `planned` bytes free. On the CPU nothing is checked.
inline void require_planned_memory(const ProgramMachine& machine, std::size_t planned) {
  if (machine.gpu != nullptr) require_gpu_memory(machine.gpu->info(), planned);
}

}  // namespace braing3n::examples
