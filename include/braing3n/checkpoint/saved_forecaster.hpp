// Forecasters to files and back: fields of rates, and bridges.
//
// Kinds "rate_field3d" and "bridge3d" (with the metadata "bridge", JSON of BridgeOptions); beside config and weights what a file of a transformer on latents has (checkpoint/saved_dit.hpp), and "ranges": JSON of
// the ages, horizons and conditions that its training saw (data/forecast_ranges.hpp).
#pragma once

#include <string>
#include <utility>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/models/rate_field.hpp"
#include "braing3n/objective/bridge.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// What a forecaster's file says beside its weights.
struct ForecasterOrigin {
  LatentStatistics latents;
  std::string tokenizer, contract;  // hash of the tokenizer, JSON of its scans' preprocessing; empty when unknown
  std::string ranges;               // JSON
};

namespace detail {

template <class Model>
void save_forecaster(const std::filesystem::path& path, const Model& model, Index channels,
                     const ForecasterOrigin& origin, ModelInfo info, const WriteOptions& options) {
  info.contract = origin.contract;
  set_latent_statistics(info, origin.latents, channels);
  info.extra["tokenizer"] = origin.tokenizer;
  info.extra["ranges"] = origin.ranges;
  save_model(path, model, std::move(info), options);
}

inline ForecasterOrigin forecaster_origin(const ModelFile& file, Index channels) {
  return {latent_statistics(file, channels), extra_text(file, "tokenizer"), file.info().contract,
          extra_text(file, "ranges")};
}

}  // namespace detail

/// Throws Error (shape) for statistics of another number of channels.
template <Backend B>
void save_rate_field(const std::filesystem::path& path, const RateField3d<B, F32>& model,
                     const ForecasterOrigin& origin, ModelInfo info, const WriteOptions& options = {}) {
  info.kind = "rate_field3d";
  detail::save_forecaster(path, model, model.config.network.channels, origin, std::move(info), options);
}
template <Backend B>
void save_bridge(const std::filesystem::path& path, const Dit3d<B, F32>& model, const BridgeOptions& bridge,
                 const ForecasterOrigin& origin, ModelInfo info, const WriteOptions& options = {}) {
  info.kind = "bridge3d";
  info.extra["bridge"] = json_text(bridge);
  detail::save_forecaster(path, model, model.config.channels, origin, std::move(info), options);
}

template <Backend B, Precision P>
struct LoadedRateField {
  RateField3d<B, P> model;
  ForecasterOrigin origin;
  std::string hash;
};
template <Backend B, Precision P>
struct LoadedBridge {
  Dit3d<B, P> model;
  BridgeOptions bridge;
  ForecasterOrigin origin;
  std::string hash;
};

/// Throws Error: config (another kind), format (damaged, weights that do not fit).
template <Precision P, Backend B>
LoadedRateField<B, P> load_rate_field(Context<B>& context, const std::filesystem::path& path) {
  const ModelFile file(model_path(path));
  LoadedRateField<B, P> d{
      load_model<RateField3d<B, P>>(context, file, "rate_field3d", {.inference = true}), {}, model_hash(file)};
  d.origin = detail::forecaster_origin(file, d.model.config.network.channels);
  return d;
}
template <Precision P, Backend B>
LoadedBridge<B, P> load_bridge(Context<B>& context, const std::filesystem::path& path) {
  const ModelFile file(model_path(path));
  LoadedBridge<B, P> d{load_model<Dit3d<B, P>>(context, file, "bridge3d", {.inference = true}),
                       config_from_text<BridgeOptions>(detail::extra_text(file, "bridge"), file.path()),
                       {},
                       model_hash(file)};
  d.origin = detail::forecaster_origin(file, d.model.config.channels);
  return d;
}

/// Throws Error (config) unless the tokenizer of that config and hash made the latents that the forecaster learnt.
inline void require_tokenizer(const Dit3dConfig& network, const ForecasterOrigin& origin,
                              const TokenizerConfig& tokenizer, const std::string& hash, const std::string& path) {
  const Extent3 grid = tokenizer.encoder.grid();
  if (tokenizer.bottleneck != network.channels || grid != network.grid)
    throw Error(ErrorKind::config, "forecast.tokenizer",
                concat("expected a tokenizer of ", network.channels, " channels on a grid of ",
                       Shape(std::span<const Index>(network.grid)), ", which the forecaster learnt, got ",
                       tokenizer.bottleneck, " on ", Shape(std::span<const Index>(grid))),
                path);
  if (!origin.tokenizer.empty() && origin.tokenizer != hash)
    throw Error(ErrorKind::config, "forecast.tokenizer",
                concat("expected tokenizer ", origin.tokenizer, ", whose latents the forecaster learnt, got ", hash),
                path);
}

}  // namespace braing3n::inline BRAING3N_ABI
