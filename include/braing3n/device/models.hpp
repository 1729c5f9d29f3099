// Models of files on the machine that a program has chosen (device/gpu.hpp).
#pragma once

#include <concepts>
#include <filesystem>
#include <memory>
#include <optional>

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/device/gpu.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Throws what loading throws.
template <std::same_as<Machine> M>
std::unique_ptr<AnyEncoder> open_encoder(const M& machine, const std::filesystem::path& path,
                                         const std::optional<PreprocessingContract>& given = {},
                                         ModelPrecision precision = ModelPrecision::f32) {
  if (machine.gpu != nullptr) return machine.gpu->encoder(path, given, precision);
  if (precision == ModelPrecision::bf16) return std::make_unique<VolumeEncoder<Cpu, BF16>>(*machine.host, path, given);
  return std::make_unique<VolumeEncoder<Cpu, F32>>(*machine.host, path, given);
}

template <std::same_as<Machine> M>
std::unique_ptr<AnyTokenizer> open_tokenizer(const M& machine, const std::filesystem::path& path,
                                             const std::optional<PreprocessingContract>& given = {},
                                             ModelPrecision precision = ModelPrecision::f32) {
  if (machine.gpu != nullptr) return machine.gpu->tokenizer(path, given, precision);
  if (precision == ModelPrecision::bf16)
    return std::make_unique<LoadedTokenizer<Cpu, BF16>>(load_tokenizer<BF16>(*machine.host, path, given));
  return std::make_unique<LoadedTokenizer<Cpu, F32>>(load_tokenizer<F32>(*machine.host, path, given));
}

/// In F32, whatever the precision of the rest.
template <std::same_as<Machine> M>
std::unique_ptr<AnyDecoder> open_decoder(const M& machine, const std::filesystem::path& path) {
  if (machine.gpu != nullptr) return machine.gpu->decoder(path);
  return std::make_unique<LoadedDecoder<Cpu>>(load_decoder(*machine.host, path));
}

template <std::same_as<Machine> M>
std::unique_ptr<AnySampler> open_sampler(const M& machine, const std::filesystem::path& path,
                                         ModelPrecision precision = ModelPrecision::f32) {
  if (machine.gpu != nullptr) return machine.gpu->sampler(path, precision);
  if (precision == ModelPrecision::bf16)
    return std::make_unique<LoadedDit<Cpu, BF16>>(load_dit<BF16>(*machine.host, path));
  return std::make_unique<LoadedDit<Cpu, F32>>(load_dit<F32>(*machine.host, path));
}

}  // namespace braing3n::inline BRAING3N_ABI
