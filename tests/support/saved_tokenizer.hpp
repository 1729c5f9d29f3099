// A small untrained tokenizer on the disk.
#pragma once

#include <filesystem>
#include <vector>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/nn/initialize.hpp"

namespace braing3n::test {

/// For 16 x 24 x 16 voxels of 3 mm, centred by mass; 5 channels per token, two blocks. Returns folder/model.safetensors.
inline std::filesystem::path saved_tokenizer(Context<Cpu>& ctx, const std::filesystem::path& folder) {
  TokenizerConfig c;
  c.encoder = {.image = {16, 24, 16}, .patch = {8, 8, 8}, .width = 24, .depth = 2, .heads = 3, .mlp = 40};
  c.bottleneck = 5;
  c.decoder = residual_first_decoder({5, 12, {12, 6, 6}, 3});
  c.decoder.grid = {2, 3, 2};
  Tokenizer<Cpu, F32> tokenizer(ctx, c);
  initialize(tokenizer, 4);
  PreprocessingContract contract = PreprocessingContract::small();
  contract.shape = {16, 24, 16};
  contract.spacing = {3, 3, 3};
  contract.centring = Centring::mass;
  save_tokenizer(folder / "model.safetensors", tokenizer, contract,
                 {std::vector<double>(5, 0.0), std::vector<double>(5, 1.0)}, {});
  return folder / "model.safetensors";
}

}  // namespace braing3n::test
