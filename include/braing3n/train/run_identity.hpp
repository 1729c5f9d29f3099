// What a training state belongs to, beside the settings: the files of the models under the one that is trained.
#pragma once

#include <optional>
#include <string>

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/train/dit_training.hpp"
#include "braing3n/train/mae_training.hpp"
#include "braing3n/train/tokenizer_training.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A run of phase 2: its settings and the very encoder.
struct TokenizerRun {
  TokenizerTrainingConfig tokenizer;
  Vit3dConfig encoder;
  PreprocessingContract contract;
  std::string encoder_file;  // its checksum
  bool untrained_encoder = false;

  static void visit(auto& self, auto&& v) {
    v("tokenizer", self.tokenizer);
    v("encoder", self.encoder);
    v("contract", self.contract);
    v("encoder_file", self.encoder_file);
    v("untrained_encoder", self.untrained_encoder);
  }

  /// Takes encoder, contract and checksum from a model of phase 1. given: a contract for weights that carry none. Throws Error (config).
  void take_encoder(const ModelFile& file, const std::optional<PreprocessingContract>& given) {
    if (file.info().kind != "mae3d" && file.info().kind != "vit3d")
      throw Error(ErrorKind::config, "model.kind",
                  concat("a model of kind ", in_quotes(file.info().kind), ", expected \"mae3d\" or \"vit3d\""),
                  file.path());
    encoder = file.info().kind == "mae3d" ? file.config<Mae3dConfig>().encoder : file.config<Vit3dConfig>();
    contract = model_contract(file, encoder, given);
    encoder_file = model_hash(file);
  }
};

/// The hash of the decoder's tokenizer. Throws Error (config) unless that tokenizer made the latents; expected: its hash where it is known, path: its
/// file.
inline std::string checked_tokenizer(const AnyDecoder& decoder, const LatentFile& latents, const std::string& expected,
                                     const std::string& path) {
  const TokenizerConfig& c = decoder.tokenizer_config();
  if (c.bottleneck != latents.channels() || c.encoder.grid() != latents.grid() ||
      (!expected.empty() && expected != decoder.hash))
    throw Error(ErrorKind::config, "dit3d.tokenizer",
                concat("the latents were made by tokenizer ", expected, ", this one is ", decoder.hash), path);
  return decoder.hash;
}

/// A run of a transformer on latents.
struct DitRun {
  DitTrainingConfig dit;
  std::string tokenizer;  // hash of the tokenizer that made the latents

  static void visit(auto& self, auto&& v) {
    v("dit", self.dit);
    v("tokenizer", self.tokenizer);
  }

  /// checked_tokenizer() of the decoder.
  void take_tokenizer(const AnyDecoder& decoder, const LatentFile& latents, const std::string& path) {
    tokenizer = checked_tokenizer(decoder, latents, tokenizer, path);
  }
};

/// A run of a forecaster: its settings (RateFieldTrainingConfig, BridgeTrainingConfig).
template <class Config>
struct ForecasterRun {
  Config forecaster;
  std::string tokenizer;  // hash of the tokenizer that made the latents

  static void visit(auto& self, auto&& v) {
    v("forecaster", self.forecaster);
    v("tokenizer", self.tokenizer);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
