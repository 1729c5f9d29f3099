// Diffusion transformers to files and back.
//
// Kind "dit3d"; beside config and weights the metadata latent_mean and latent_std (JSON lists: what the model calls 0 and 1 in every
// latent channel), "tokenizer" (hash of the tokenizer whose latents it learnt, empty when unknown), and that tokenizer's contract.
#pragma once

#include <concepts>
#include <string>
#include <utility>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/backend/cpu/context/context.hpp"
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
  const auto channels = static_cast<std::size_t>(model.config.channels);
  if (latents.mean.size() != channels || latents.sd.size() != channels)
    fail(ErrorKind::shape, "latents.channels", "dit3d: statistics of ", latents.mean.size(), " channels for ", channels,
         " latent channels");
  info.kind = "dit3d";
  info.contract = contract;
  info.extra["latent_mean"] = json_text(latents.mean);
  info.extra["latent_std"] = json_text(latents.sd);
  info.extra["tokenizer"] = tokenizer_hash;
  save_model(path, model, std::move(info), options);
}

template <Backend B, Precision P>
struct LoadedDit {
  Dit3d<B, P> model;
  LatentStatistics latents;
  std::string tokenizer, contract, hash;
};

/// Throws Error: config (another kind), format (damaged, weights that do not fit).
template <Precision P, Backend B>
LoadedDit<B, P> load_dit(Context<B>& context, const std::filesystem::path& path) {
  const ModelFile file(model_path(path));
  LoadedDit<B, P> d{load_model<Dit3d<B, P>>(context, file, "dit3d", {.inference = true}),
                    {},
                    {},
                    file.info().contract,
                    model_hash(file)};
  d.latents = latent_statistics(file, d.model.config.channels);
  if (const auto found = file.info().extra.find("tokenizer"); found != file.info().extra.end())
    d.tokenizer = found->second;
  return d;
}

/// The half of a tokenizer that makes volumes from latents.
template <Backend B>
struct LoadedDecoder {
  CnnDecoder3d<B, F32> model;
  TokenizerConfig config;
  PreprocessingContract contract;
  std::string hash;

  /// latents (N, X', Y', Z', C) -> voxels (N, X, Y, Z, 1).
  Tensor<float, B> operator()(const Tensor<float, B>& z) const {
    Pass<B> pass(z.context());
    return model(pass, Var<float, B>(z)).value();
  }
};

/// Samples z (N, L, C) of the model, standardised, as its tokenizer's latents (N, X', Y', Z', C). Throws Error (numeric) for values that
/// are not finite.
template <Precision P>
Tensor<float, Cpu> sampled_latents(const LoadedDit<Cpu, P>& dit, const Tensor<typename P::Compute, Cpu>& z) {
  const Extent3 g = dit.model.config.grid;
  Tensor<float, Cpu> latents =
      dit.latents.restore(cast<float>(z)).reshape({z.dim(0), g[0], g[1], g[2], dit.model.config.channels});
  if (!all_finite(latents))
    fail(ErrorKind::numeric, "generate.finite",
         "a sample has values that are not finite, expected finite ones: less guidance or more steps may help");
  return latents;
}

/// One sample's latents (1, X', Y', Z', C) as a volume around the origin, in the model's intensities: z-scores over the brain.
template <std::same_as<Cpu> B>
Volume decoded_volume(const LoadedDecoder<B>& decoder, const Tensor<float, Cpu>& latents) {
  return sample_volume(decoder(latents), decoder.contract);
}

template <Backend B>
LoadedDecoder<B> load_decoder(Context<B>& context, const std::filesystem::path& path) {
  const ModelFile file(model_path(path));
  file.require_kind("tokenizer");
  LoadedDecoder<B> d;
  d.config = file.config<TokenizerConfig>();
  d.config.validate();
  d.model = CnnDecoder3d<B, F32>(context, d.config.decoder);
  load_weights(d.model, file, "decoder.", {.inference = true});
  d.contract = model_contract(file, d.config.encoder);
  d.hash = model_hash(file);
  return d;
}

/// Throws Error (config) unless the tokenizer of that config and hash made the latents that the model learnt.
template <Backend B, Precision P>
void require_tokenizer(const LoadedDit<B, P>& dit, const TokenizerConfig& config, const std::string& hash,
                       const std::string& path) {
  const Extent3 grid = config.encoder.grid();
  if (config.bottleneck != dit.model.config.channels || grid != dit.model.config.grid)
    throw Error(ErrorKind::config, "dit3d.tokenizer",
                concat("the tokenizer has ", config.bottleneck, " channels on a grid of ",
                       Shape(std::span<const Index>(grid)), ", the model makes ", dit.model.config.channels, " on ",
                       Shape(std::span<const Index>(dit.model.config.grid))),
                path);
  if (!dit.tokenizer.empty() && dit.tokenizer != hash)
    throw Error(ErrorKind::config, "dit3d.tokenizer",
                concat("the model learnt the latents of tokenizer ", dit.tokenizer, ", this one is ", hash), path);
}

template <Backend B, Precision P>
void require_tokenizer(const LoadedDit<B, P>& dit, const LoadedDecoder<B>& decoder, const std::string& path) {
  require_tokenizer(dit, decoder.config, decoder.hash, path);
}

}  // namespace braing3n::inline BRAING3N_ABI
