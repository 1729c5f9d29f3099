// Models of files for callers that choose backend and precision when they run: tensors of the host in, tensors of the host out.
//
// VolumeEncoder, LoadedTokenizer, LoadedDecoder and LoadedDit are such models, on any backend. Computing waits for the backend.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/tokenizer.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/volume/contract.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// What the models below share.
class AnyModel {
 public:
  virtual ~AnyModel() = default;

 protected:
  AnyModel() = default;
  AnyModel(const AnyModel&) = default;
  AnyModel(AnyModel&&) = default;
  AnyModel& operator=(const AnyModel&) = default;
  AnyModel& operator=(AnyModel&&) = default;
};

/// Scans to tokens.
class AnyEncoder : public AnyModel {
 public:
  PreprocessingContract contract;
  std::optional<LatentStatistics> latents;  // of a tokenizer
  std::string kind, hash;
  std::string people;  // JSON list of the person keys of those who trained the model; empty: unknown

  struct Tokens {
    Tensor<float, Cpu> encoder;    // (N, L, width) without the class token
    Tensor<float, Cpu> projected;  // (N, L, d'), when asked for
  };

  virtual const Vit3dConfig& encoder_config() const = 0;
  /// Channels of the projection; 0 without one.
  virtual Index projected_channels() const = 0;
  /// "f32" or "bf16".
  virtual const char* precision_name() const = 0;
  /// volumes (N, X, Y, Z, 1). Throws Error (config) when a projection is asked for that the model does not have.
  virtual Tokens encode(Context<Cpu>& host, const Tensor<float, Cpu>& volumes, bool projected) const = 0;
};

/// Latents to volumes.
class AnyDecoder : public AnyModel {
 public:
  PreprocessingContract contract;
  std::string hash;  // of the tokenizer's file

  virtual const TokenizerConfig& tokenizer_config() const = 0;
  /// latents (N, X', Y', Z', d') -> voxels (N, X, Y, Z, 1).
  virtual Tensor<float, Cpu> decode(Context<Cpu>& host, const Tensor<float, Cpu>& latents) const = 0;
};

/// Scans to latents and back.
class AnyTokenizer : public AnyDecoder {
 public:
  LatentStatistics latents;

  /// volumes (N, X, Y, Z, 1) -> tokens of the encoder (N, L, width).
  virtual Tensor<float, Cpu> tokens(Context<Cpu>& host, const Tensor<float, Cpu>& volumes) const = 0;
  /// tokens (N, L, width) -> latents (N, X', Y', Z', d').
  virtual Tensor<float, Cpu> project(Context<Cpu>& host, const Tensor<float, Cpu>& tokens) const = 0;

  Tensor<float, Cpu> encode(Context<Cpu>& host, const Tensor<float, Cpu>& volumes) const {
    return project(host, tokens(host, volumes));
  }
};

/// Conditions to latents.
class AnySampler : public AnyModel {
 public:
  LatentStatistics latents;
  std::string tokenizer;  // hash of the tokenizer whose latents the model learnt; empty: unknown
  std::string contract;   // JSON of that one's contract
  std::string hash;       // of the file

  virtual const Dit3dConfig& config() const = 0;
  /// sample_latents(): standardised latents (N, L, C).
  virtual Tensor<float, Cpu> sample(Context<Cpu>& host, std::span<const std::uint32_t> ids,
                                    const std::vector<ConditionRow>& rows, std::uint64_t seed,
                                    const SamplingOptions& options,
                                    const std::function<void()>& before_evaluation) const = 0;
};

}  // namespace braing3n::inline BRAING3N_ABI
