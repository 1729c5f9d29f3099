// Configurations of the three phases that fit each other: what `quickstart --long` and the phantom study train.
#pragma once

#include <algorithm>

#include "braing3n/base/vocabulary.hpp"
#include "braing3n/train/dit_training.hpp"
#include "braing3n/train/mae_training.hpp"
#include "braing3n/train/tokenizer_training.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Masked autoencoder, tokenizer on its encoder, transformer on the tokenizer's latents.
struct PipelinePreset {
  MaeTrainingConfig mae;
  TokenizerTrainingConfig tokenizer;
  DitTrainingConfig dit;
};

namespace detail {

inline PreprocessingContract coarse_contract(const Extent3& shape, double mm) {
  PreprocessingContract c;
  c.shape = shape;
  c.spacing = {mm, mm, mm};
  c.centring = Centring::mass;
  return c;
}

inline ConditionField age_condition() {
  return {.name = "age", .kind = ConditionKind::continuous, .values = {}, .minimum = 0, .maximum = 120};
}

}  // namespace detail

/// 40 x 48 x 40 voxels of 4 mm, 150 tokens with 32 latent channels. The caller decides how many steps.
inline PipelinePreset quickstart_preset() {
  PipelinePreset p;
  p.mae.contract = detail::coarse_contract({40, 48, 40}, 4);
  p.mae.model.encoder = {
      .image = p.mae.contract.shape, .patch = {8, 8, 8}, .width = 192, .depth = 4, .heads = 4, .mlp = 768};
  p.mae.model.decoder_width = 96, p.mae.model.decoder_depth = 2;
  p.mae.model.decoder_heads = 4, p.mae.model.decoder_mlp = 384;
  p.mae.training = {
      .batch = 8, .lr = 1e-3, .adamw = {.beta2 = 0.95, .weight_decay = 0.05}, .augment = {.flip = true, .shift = 1}};
  p.tokenizer.decoder = {.blocks = DecoderBlocks::residual_first, .mid = 64, .widths = {64, 32, 16}, .groups = 8};
  p.tokenizer.training = {
      .batch = 2, .lr = 2e-3, .ema = EmaOptions{.decay = 0.99, .warmup = true}, .augment = {.flip = true, .shift = 1}};
  p.dit.model.width = 192, p.dit.model.depth = 6, p.dit.model.heads = 6, p.dit.model.mlp = 768;
  p.dit.model.conditions = {
      {.name = "sex", .values = enum_names<Sex>()}, {.name = "disease", .values = {}}, detail::age_condition()};
  p.dit.drop = {.all = 0.1, .all_but_one = 0.1};
  p.dit.training = {.batch = 32, .lr = 1e-3, .clip = 1.0, .ema = EmaOptions{.decay = 0.999, .warmup = true}};
  return p;
}

/// 32 x 40 x 32 voxels of 5 mm in patches of 8: 80 tokens, of which the tokenizer keeps 32 values each. The transformer adds to a normal
/// distribution with as many directions as the scans of so many subjects can show. The caller decides how many steps.
inline PipelinePreset phantom_study_preset(Index subjects) {
  PipelinePreset p;
  p.mae.contract = detail::coarse_contract({32, 40, 32}, 5);
  p.mae.model.encoder = {
      .image = p.mae.contract.shape, .patch = {8, 8, 8}, .width = 192, .depth = 6, .heads = 6, .mlp = 768};
  p.mae.model.decoder_width = 144, p.mae.model.decoder_depth = 2;
  p.mae.model.decoder_heads = 6, p.mae.model.decoder_mlp = 576;
  p.mae.model.masking_ratio = 0.7;
  p.mae.training = {.batch = 64,
                    .lr = 1e-3,
                    .adamw = {.beta2 = 0.95, .weight_decay = 0.05},
                    .validate_every = 250,
                    .augment = {.flip = true}};
  p.tokenizer.decoder = {.blocks = DecoderBlocks::residual_first, .mid = 128, .widths = {64, 32, 16}, .groups = 8};
  p.tokenizer.training = {.batch = 8,
                          .lr = 1e-3,
                          .ema = EmaOptions{.decay = 0.995, .warmup = true},
                          .validate_every = 250,
                          .augment = {.flip = true}};
  p.dit.model.width = 192, p.dit.model.depth = 6, p.dit.model.heads = 6, p.dit.model.mlp = 768;
  p.dit.model.gaussian_rank = std::min<Index>(512, subjects / 2);
  p.dit.model.conditions = {{.name = "disease", .values = {}},
                            {.name = "sex", .values = enum_names<Sex>()},
                            {.name = "modality", .values = enum_names<Modality>(), .drop = 0, .required = true},
                            {.name = "site", .values = {}},
                            detail::age_condition(),
                            {.name = "idh1", .values = enum_names<Idh1>()}};
  p.dit.drop = {.all = 0.1, .all_but_one = 0.15};
  p.dit.balance = {.conditions = {"idh1"}, .strength = 0.6};
  p.dit.training = {
      .batch = 32, .lr = 1e-3, .clip = 1.0, .ema = EmaOptions{.decay = 0.9999, .warmup = true}, .validate_every = 200};
  return p;
}

}  // namespace braing3n::inline BRAING3N_ABI
