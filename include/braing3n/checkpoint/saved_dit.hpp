// Diffusion transformers to files and back.
//
// Kind "dit3d"; beside config and weights the metadata latent_mean and latent_std (JSON lists: what the model calls 0 and 1 in every
// latent channel), "tokenizer" (hash of the tokenizer whose latents it learnt, empty when unknown), and that tokenizer's contract.
#pragma once

#include <string>
#include <utility>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/volume/model_grid.hpp"
#include "braing3n/volume/preprocess.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// contract: JSON of the scans' preprocessing, empty when unknown. Throws Error (shape) for statistics of another number of channels.
template <Backend B>
void save_dit(const std::filesystem::path& path, const Dit3d<B, F32>& model, const LatentStatistics& latents,
              const std::string& tokenizer_hash, const std::string& contract, ModelInfo info,
              const WriteOptions& options = {}) {
  info.kind = "dit3d";
  info.contract = contract;
  set_latent_statistics(info, latents, model.config.channels);
  info.extra["tokenizer"] = tokenizer_hash;
  save_model(path, model, std::move(info), options);
}

template <Backend B, Precision P>
struct LoadedDit final : AnySampler {
  Dit3d<B, P> model;

  LoadedDit(Context<B>& context, Dit3d<B, P> m) : model(std::move(m)), context_(&context) {}

  const Dit3dConfig& config() const override { return model.config; }
  Tensor<float, Cpu> sample(Context<Cpu>& host, std::span<const std::uint32_t> ids,
                            const std::vector<ConditionRow>& rows, std::uint64_t seed, const SamplingOptions& options,
                            const std::function<void()>& before_evaluation) const override {
    return to_host<float>(host, sample_latents(*context_, model, ids, rows, seed, options, before_evaluation));
  }

 private:
  Context<B>* context_;
};

/// Throws Error: config (another kind), format (damaged, weights that do not fit).
template <Precision P, Backend B>
LoadedDit<B, P> load_dit(Context<B>& context, const std::filesystem::path& path) {
  const ModelFile file(model_path(path));
  LoadedDit<B, P> d(context, load_model<Dit3d<B, P>>(context, file, "dit3d", {.inference = true}));
  d.contract = file.info().contract;
  d.hash = model_hash(file);
  d.latents = latent_statistics(file, d.model.config.channels);
  d.tokenizer = detail::extra_text(file, "tokenizer");
  return d;
}

/// The half of a tokenizer that makes volumes from latents.
template <Backend B>
struct LoadedDecoder final : AnyDecoder {
  CnnDecoder3d<B, F32> model;
  TokenizerConfig config;

  LoadedDecoder(Context<B>& context, const TokenizerConfig& c)
      : model(context, c.decoder), config(c), context_(&context) {}

  const TokenizerConfig& tokenizer_config() const override { return config; }
  Tensor<float, Cpu> decode(Context<Cpu>& host, const Tensor<float, Cpu>& z) const override {
    return to_host<float>(host, (*this)(to_backend<float>(*context_, z)));
  }
  /// latents (N, X', Y', Z', C) -> voxels (N, X, Y, Z, 1).
  Tensor<float, B> operator()(const Tensor<float, B>& z) const {
    Pass<B> pass(z.context());
    return model(pass, Var<float, B>(z)).value();
  }

 private:
  Context<B>* context_;
};

/// Samples z (N, L, C) of the model, standardised, as its tokenizer's latents (N, X', Y', Z', C). Throws Error (numeric) for values that
/// are not finite.
inline Tensor<float, Cpu> sampled_latents(const AnySampler& sampler, const Tensor<float, Cpu>& z) {
  const Extent3 g = sampler.config().grid;
  Tensor<float, Cpu> latents = sampler.latents.restore(z).reshape({z.dim(0), g[0], g[1], g[2], z.dim(2)});
  if (!all_finite(latents))
    fail(ErrorKind::numeric, "generate.finite",
         "a sample has values that are not finite, expected finite ones: less guidance or more steps may help");
  return latents;
}

/// One sample's latents (1, X', Y', Z', C) as a volume around the origin, in the model's intensities: z-scores over the brain.
inline Volume decoded_volume(Context<Cpu>& host, const AnyDecoder& decoder, const Tensor<float, Cpu>& latents) {
  return sample_volume(decoder.decode(host, latents), decoder.contract);
}

template <Backend B>
LoadedDecoder<B> load_decoder(Context<B>& context, const std::filesystem::path& path) {
  const ModelFile file(model_path(path));
  file.require_kind("tokenizer");
  const auto config = file.config<TokenizerConfig>();
  config.validate();
  LoadedDecoder<B> d(context, config);
  load_weights(d.model, file, "decoder.", {.inference = true});
  d.contract = model_contract(file, d.config.encoder);
  d.hash = model_hash(file);
  return d;
}

/// Throws Error (config) unless that tokenizer made the latents that the model learnt. path: its file.
inline void require_tokenizer(const AnySampler& sampler, const AnyDecoder& tokenizer, const std::string& path) {
  const TokenizerConfig& c = tokenizer.tokenizer_config();
  const Extent3 grid = c.encoder.grid();
  const Dit3dConfig& wanted = sampler.config();
  if (c.bottleneck != wanted.channels || grid != wanted.grid)
    throw Error(
        ErrorKind::config, "dit3d.tokenizer",
        concat("the tokenizer has ", c.bottleneck, " channels on a grid of ", Shape(std::span<const Index>(grid)),
               ", the model makes ", wanted.channels, " on ", Shape(std::span<const Index>(wanted.grid))),
        path);
  if (!sampler.tokenizer.empty() && sampler.tokenizer != tokenizer.hash)
    throw Error(
        ErrorKind::config, "dit3d.tokenizer",
        concat("the model learnt the latents of tokenizer ", sampler.tokenizer, ", this one is ", tokenizer.hash),
        path);
}

}  // namespace braing3n::inline BRAING3N_ABI
