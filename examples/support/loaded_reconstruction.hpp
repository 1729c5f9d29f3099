// A tokenizer that reconstructs scans on the machine of a program, within the memory that it may take.
#pragma once

#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>

#include "braing3n/device/models.hpp"
#include "braing3n/eval/reconstruct.hpp"
#include "examples/support/context.hpp"
#include "examples/support/memory_estimate.hpp"

namespace braing3n::examples {

struct LoadedReconstruction {
  std::shared_ptr<const AnyTokenizer> tokenizer;
  std::function<ModelReconstruction(const Tensor<float, Cpu>& input)> run;  // (X, Y, Z) on the model's grid
  std::size_t planned = 0;                                                  // bytes of the process; 0 on a GPU
  Json plan;
};

struct ReconstructionNeeds {
  std::optional<PreprocessingContract> contract;
  Index scan_voxels = 0;            // of the largest scan
  std::optional<std::size_t> most;  // bytes that the process may take
};

namespace detail {

template <Precision P>
LoadedReconstruction reconstruction_on_cpu(Context<Cpu>& ctx, const std::string& path, const ReconstructionNeeds& needs,
                                           bool quiet) {
  const auto t = std::make_shared<const LoadedTokenizer<Cpu, P>>(load_tokenizer<P>(ctx, path, needs.contract));
  if (!quiet) std::cerr << describe(t->contract) << '\n';
  ctx.memory().trim();
  const MemoryEstimate estimate = estimate_memory(t->model, needs.scan_voxels, needs.most);
  if (!quiet) std::cerr << estimate.str(t->model.config.decoder) << '\n';
  if (!estimate.decoder.tight) ctx.prefault(estimate.decoding);
  const auto run = [&ctx, t, tiling = estimate.decoder](const Tensor<float, Cpu>& input) {
    return reconstruct(ctx, *t, input, tiling);
  };
  return {t, run, estimate.peak(), estimate.json()};
}

}  // namespace detail

/// Says what is planned unless `quiet`. Throws what loading throws, and Error: argument (--max-memory that is too little, or on a GPU),
/// environment (a GPU with too little memory).
template <std::same_as<ProgramMachine> M>
LoadedReconstruction load_reconstruction(const M& machine, const std::string& path, const ReconstructionNeeds& needs,
                                         bool quiet) {
  const bool half = machine.precision == ModelPrecision::bf16;
  Context<Cpu>& host = *machine.host;
  if (machine.gpu == nullptr)
    return half ? detail::reconstruction_on_cpu<BF16>(host, path, needs, quiet)
                : detail::reconstruction_on_cpu<F32>(host, path, needs, quiet);
  if (needs.most) fail(ErrorKind::argument, "memory.most", "--max-memory: the decoder works in slabs on the CPU only");
  const ModelFile file(model_path(path));
  file.require_kind("tokenizer");
  const std::size_t planned = tokenizer_gpu_bytes(host, file.config<TokenizerConfig>(), half ? 2 : 4);
  require_planned_memory(machine, planned);
  std::shared_ptr<const AnyTokenizer> t = open_tokenizer(Machine(machine), path, needs.contract, machine.precision);
  if (!quiet) std::cerr << describe(t->contract) << "\nmemory: " << planned / 1'000'000 << " MB of the GPU planned\n";
  const auto run = [&host, t](const Tensor<float, Cpu>& input) { return reconstruct(host, *t, input); };
  Json plan;
  plan["gpu"] = planned;
  return {t, run, 0, plan};
}

}  // namespace braing3n::examples
