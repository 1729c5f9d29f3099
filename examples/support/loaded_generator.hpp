// A transformer on latents and a decoder on the machine of a program, and what they will take.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "braing3n/device/models.hpp"
#include "examples/support/context.hpp"
#include "examples/support/memory_estimate.hpp"

namespace braing3n::examples {

struct LoadedGenerator {
  std::shared_ptr<const AnySampler> sampler;
  std::shared_ptr<const AnyDecoder> decoder;
  std::string provider;  // of kernels, for records of samples
  /// Bytes of the process, or of the GPU, for `rows` rows at a time and so many evaluations, models included.
  std::function<std::size_t(Index rows, Index evaluations)> planned;
  std::optional<GpuInfo> gpu;  // before the models were loaded
};

namespace detail {

template <Precision P>
LoadedGenerator generator_on_cpu(Context<Cpu>& ctx, const std::string& model, const std::string& tokenizer) {
  const auto dit = std::make_shared<const LoadedDit<Cpu, P>>(load_dit<P>(ctx, model));
  const auto decoder = std::make_shared<const LoadedDecoder<Cpu>>(load_decoder(ctx, tokenizer));
  return {dit,
          decoder,
          ctx.provider().name,
          [&ctx, dit, decoder](Index rows, Index evaluations) {
            return estimate_generation(ctx, dit->model, decoder->model, rows, evaluations);
          },
          {}};
}

}  // namespace detail

/// Throws what loading throws, and Error (config) for a tokenizer whose latents the model did not learn.
template <std::same_as<ProgramMachine> M>
LoadedGenerator load_generator(const M& machine, const std::string& model, const std::string& tokenizer) {
  const bool half = machine.precision == ModelPrecision::bf16;
  Context<Cpu>& host = *machine.host;
  LoadedGenerator g;
  if (machine.gpu == nullptr) {
    g = half ? detail::generator_on_cpu<BF16>(host, model, tokenizer)
             : detail::generator_on_cpu<F32>(host, model, tokenizer);
  } else {
    g.gpu = machine.gpu->info();
    g.sampler = open_sampler(Machine(machine), model, machine.precision);
    g.decoder = open_decoder(Machine(machine), tokenizer);
    g.provider = "cuda";
    g.planned = [&host, half, s = g.sampler, d = g.decoder](Index rows, Index evaluations) {
      const CnnDecoder3dConfig& c = d->tokenizer_config().decoder;
      return half ? generation_gpu_bytes<BF16>(host, s->config(), c, rows, evaluations)
                  : generation_gpu_bytes<F32>(host, s->config(), c, rows, evaluations);
    };
  }
  require_tokenizer(*g.sampler, *g.decoder, tokenizer);
  return g;
}

}  // namespace braing3n::examples
