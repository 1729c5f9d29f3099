// Models that look at scans: they carry a preprocessing contract, and it is checked before anything runs.
//
// A vit3d, a mae3d and a tokenizer file all hold an encoder; VolumeEncoder reads any of them. A tokenizer file also has the keys
// latent_mean and latent_std (JSON lists, one number per latent channel, over the training set).
#pragma once

#include <concepts>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/checkpoint/any_model.hpp"
#include "braing3n/checkpoint/saved_model.hpp"
#include "braing3n/format/json_differences.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/models/tokenizer.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/volume/contract.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The contract of a model file; without one there (converted weights), the contract given. Throws Error (config) when neither
/// is there, when both are and differ, or when the contract's shape is not the model's.
template <std::same_as<ModelFile> File = ModelFile>
PreprocessingContract model_contract(const File& file, const Vit3dConfig& encoder,
                                     const std::optional<PreprocessingContract>& given = {}) {
  const auto refuse = [&](const char* id, const std::string& text) {
    throw Error(ErrorKind::config, id, text, file.path());
  };
  if (file.info().contract.empty() && !given)
    refuse("model.contract",
           "the model carries no preprocessing contract; say what it was trained with (--contract, --shape, --spacing, "
           "...)");
  const PreprocessingContract contract =
      file.info().contract.empty() ? *given
                                   : config_from_text<PreprocessingContract>(file.info().contract, file.path());
  if (given && !(*given == contract))
    refuse("contract.differs", concat("the model was trained with another contract: ",
                                      detail::first_difference(json_from(contract), json_from(*given))));
  require_valid(contract);
  if (contract.shape != encoder.image)
    refuse("contract.shape", concat("the contract makes volumes of ", describe(contract.shape), ", the model takes ",
                                    describe(encoder.image)));
  if (encoder.channels != 1)
    refuse("contract.channels", concat("the model takes ", encoder.channels, " channels, scans have one"));
  return contract;
}

namespace detail {

/// A key of the file's own metadata; empty where it is missing.
inline std::string extra_text(const ModelFile& file, const char* key) {
  const auto found = file.info().extra.find(key);
  return found == file.info().extra.end() ? std::string() : found->second;
}

}  // namespace detail

/// Puts the statistics into the metadata of a file. Throws Error (shape) for statistics of another number of channels.
inline void set_latent_statistics(ModelInfo& info, const LatentStatistics& latents, Index channels) {
  const auto wanted = static_cast<std::size_t>(channels);
  if (latents.mean.size() != wanted || latents.sd.size() != wanted)
    fail(ErrorKind::shape, "latents.channels", info.kind, ": statistics of ", latents.mean.size(), " channels for ",
         channels, " latent channels");
  info.extra["latent_mean"] = json_text(latents.mean);
  info.extra["latent_std"] = json_text(latents.sd);
}

template <Backend B, Precision P>
void save_tokenizer(const std::filesystem::path& path, const Tokenizer<B, P>& tokenizer,
                    const PreprocessingContract& contract, const LatentStatistics& latents, ModelInfo info,
                    const WriteOptions& options = {}) {
  info.kind = "tokenizer";
  set_latent_statistics(info, latents, tokenizer.config.bottleneck);
  if (contract.shape != tokenizer.config.encoder.image)
    fail(ErrorKind::config, "contract.shape", "tokenizer: the contract makes volumes of ", describe(contract.shape),
         ", the model takes ", describe(tokenizer.config.encoder.image));
  info.contract = json_text(contract);
  save_model(path, tokenizer, std::move(info), options);
}

/// Throws Error (format) unless the file has one finite mean and one positive standard deviation per latent channel.
template <std::same_as<ModelFile> File = ModelFile>
LatentStatistics latent_statistics(const File& file, Index channels) {
  LatentStatistics s;
  for (const auto& [key, list] : {std::pair{"latent_mean", &s.mean}, std::pair{"latent_std", &s.sd}})
    if (const auto found = file.info().extra.find(key); found != file.info().extra.end())
      json_into(parse_json(found->second, file.path()), *list, file.path() + ": " + key);
  bool good = static_cast<Index>(s.mean.size()) == channels && static_cast<Index>(s.sd.size()) == channels;
  for (const double d : s.sd) good = good && d > 0;
  if (!good)
    throw Error(ErrorKind::format, "model.latents",
                concat("expected latent_mean and latent_std of ", channels, " channels, got ", s.mean.size(), " and ",
                       s.sd.size()),
                file.path());
  return s;
}

template <Backend B, Precision P>
struct LoadedTokenizer final : AnyTokenizer {
  using T = typename P::Compute;

  Tokenizer<B, P> model;

  explicit LoadedTokenizer(Tokenizer<B, P> m) : model(std::move(m)) {}

  const TokenizerConfig& tokenizer_config() const override { return model.config; }
  Tensor<float, Cpu> tokens(Context<Cpu>& host, const Tensor<float, Cpu>& volumes) const override {
    Pass<B> pass(context());
    return to_host<float>(host, model.tokens(pass, to_backend<T>(context(), volumes)));
  }
  Tensor<float, Cpu> project(Context<Cpu>& host, const Tensor<float, Cpu>& t) const override {
    Pass<B> pass(context());
    return to_host<float>(host, model.project(pass, to_backend<T>(context(), t)).value());
  }
  Tensor<float, Cpu> decode(Context<Cpu>& host, const Tensor<float, Cpu>& z) const override {
    Pass<B> pass(context());
    return to_host<float>(host, model.decode(pass, Var<T, B>(to_backend<T>(context(), z))).value());
  }

 private:
  Context<B>& context() const { return model.projection.weight.context(); }
};

/// Throws Error: config (another kind, a contract that differs), format (damaged, weights that do not fit).
template <Precision P, Backend B>
LoadedTokenizer<B, P> load_tokenizer(Context<B>& context, const std::filesystem::path& path,
                                     const std::optional<PreprocessingContract>& given = {}) {
  const ModelFile file(model_path(path));
  LoadedTokenizer<B, P> t(load_model<Tokenizer<B, P>>(context, file, "tokenizer", {.inference = true}));
  t.hash = model_hash(file);
  t.contract = model_contract(file, t.model.config.encoder, given);
  t.latents = latent_statistics(file, t.model.config.bottleneck);
  return t;
}

/// Scans to tokens, with the encoder of a vit3d, mae3d or tokenizer file; a tokenizer also has the projection.
template <Backend B, Precision P>
struct VolumeEncoder final : AnyEncoder {
  Vit3d<B, P> encoder;
  std::optional<Linear<B, P>> projection;

  VolumeEncoder(Context<B>& context, const std::filesystem::path& path,
                const std::optional<PreprocessingContract>& given = {}) {
    const ModelFile file(model_path(path));
    kind = file.info().kind;
    hash = model_hash(file);
    people = detail::extra_text(file, "people");
    const LoadOptions inference{.inference = true};
    if (kind == "tokenizer") {
      const auto c = file.config<TokenizerConfig>();
      c.validate();
      encoder = Vit3d<B, P>(context, c.encoder);
      load_weights(encoder, file, "encoder.", inference);
      projection.emplace(context, c.encoder.width, c.bottleneck, LinearConfig{.bias = c.projection_bias});
      load_weights(*projection, file, "projection.", inference);
      latents = latent_statistics(file, c.bottleneck);
    } else if (kind == "mae3d" || kind == "vit3d") {
      encoder = Vit3d<B, P>(context, kind == "mae3d" ? file.config<Mae3dConfig>().encoder : file.config<Vit3dConfig>());
      load_weights(encoder, file, {}, inference);
    } else {
      throw Error(ErrorKind::config, "model.kind",
                  concat("a model of kind ", in_quotes(kind, 60),
                         " has no encoder, expected \"mae3d\", \"vit3d\" or \"tokenizer\""),
                  file.path());
    }
    contract = model_contract(file, encoder.config, given);
  }

  const Vit3dConfig& encoder_config() const override { return encoder.config; }
  Index projected_channels() const override { return projection ? projection->out : 0; }
  const char* precision_name() const override { return P::name; }
  Tokens encode(Context<Cpu>& host, const Tensor<float, Cpu>& volumes, bool projected) const override {
    using T = typename P::Compute;
    const Tensor<T, B> t = tokens(to_backend<T>(encoder.norm.weight.context(), volumes));
    return {to_host<float>(host, t), projected ? to_host<float>(host, project(t)) : Tensor<float, Cpu>()};
  }

  /// x (N, X, Y, Z, 1) -> (N, L, width) without the class token.
  Tensor<typename P::Compute, B> tokens(const Tensor<typename P::Compute, B>& x) const {
    Pass<B> pass(x.context());
    return encoder.drop_class_token(encoder(pass, x)).value();
  }
  /// tokens (N, L, width) -> (N, L, d'). Throws Error (config) when the model has no projection.
  Tensor<typename P::Compute, B> project(const Tensor<typename P::Compute, B>& t) const {
    if (!projection)
      fail(ErrorKind::config, "model.projection", "a model of kind ", in_quotes(kind),
           " has no projection; projected features and latents need a tokenizer");
    Pass<B> pass(t.context());
    return (*projection)(pass, Var<typename P::Compute, B>(t)).value();
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
