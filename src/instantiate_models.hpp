// Layers and models of one precision. Each precision is a translation unit of its own, so that they compile side by side.
#pragma once

#include "braing3n/backend/cpu.hpp"
#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/models/rate_field.hpp"
#include "braing3n/models/tokenizer.hpp"

#define BRAING3N_INSTANTIATE_MODELS(P)       \
  template struct Linear<Cpu, P>;            \
  template struct LayerNorm<Cpu, P>;         \
  template struct GroupNorm<Cpu, P>;         \
  template struct Mlp<Cpu, P>;               \
  template struct Attention<Cpu, P>;         \
  template struct TransformerBlock<Cpu, P>;  \
  template struct DitBlock<Cpu, P>;          \
  template struct Conv3d<Cpu, P>;            \
  template struct UpConv3d<Cpu, P>;          \
  template struct ConvTranspose3d<Cpu, P>;   \
  template struct ResidualConvBlock<Cpu, P>; \
  template struct VoxelAttention<Cpu, P>;    \
  template struct ScalarEmbedding<Cpu, P>;   \
  template struct LabelEmbedding<Cpu, P>;    \
  template struct Vit3d<Cpu, P>;             \
  template struct Mae3d<Cpu, P>;             \
  template struct CnnDecoder3d<Cpu, P>;      \
  template struct GaussianVelocity<Cpu, P>;  \
  template struct Dit3d<Cpu, P>;             \
  template struct LinearRate<Cpu, P>;        \
  template struct RateField3d<Cpu, P>;       \
  template struct Tokenizer<Cpu, P>;
