// The convolutional decoder: phase 2 of the tokenizer. Projected tokens on their grid -> voxels.
//
// A decoder is a list of named layers, coarse to fine, so every architecture is data. residual_first_decoder is the default (43,669,409
// parameters at 32 latent channels, the only one that fits the paper's 43.7 M), upsample_first_decoder has more capacity on the fine grid,
// autoencoder_kl_decoder has the layers of a MONAI AutoencoderKL. Blocks: Rombach et al. 2022. The last group norm is followed by SiLU
// (latent diffusion) or not (MONAI). There is no output activation, since volumes are z-scored.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "braing3n/autograd/checkpoint.hpp"
#include "braing3n/autograd/compiled.hpp"
#include "braing3n/nn/position.hpp"
#include "braing3n/nn/residual_conv.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class DecoderLayerKind { conv1, conv3, residual, attention, upsample_conv, transposed_conv, norm };

struct DecoderLayer {
  DecoderLayerKind kind = DecoderLayerKind::conv3;
  Index out = 0;     // channels after the layer
  std::string name;  // in the state dict

  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("out", self.out);
    v("name", self.name);
  }
};

struct CnnDecoder3dConfig {
  Index latent_channels = 32;
  Extent3 grid = {10, 12, 10};
  Index groups = 32;
  double group_norm_eps = 1e-6;
  bool final_silu = true;  // SiLU between the last norm and the last convolution
  std::vector<DecoderLayer> layers;

  static void visit(auto& self, auto&& v) {
    v("latent_channels", self.latent_channels);
    v("grid", self.grid);
    v("groups", self.groups);
    v("group_norm_eps", self.group_norm_eps);
    v("final_silu", self.final_silu);
    v("layers", self.layers);
  }

  Index upscale() const {
    Index factor = 1;
    for (const DecoderLayer& l : layers)
      if (l.kind == DecoderLayerKind::upsample_conv || l.kind == DecoderLayerKind::transposed_conv) factor *= 2;
    return factor;
  }
  Extent3 image() const { return {grid[0] * upscale(), grid[1] * upscale(), grid[2] * upscale()}; }
};

/// Sizes of a decoder in stages, each of which doubles the grid.
struct StagedDecoderOptions {
  Index latent_channels = 32;
  Index mid = 512;                                 // channels on the coarsest grid
  std::vector<Index> widths = {256, 128, 64, 32};  // channels of the stages, coarse to fine
  Index groups = 32;                               // of every group norm
  Index out_channels = 1;
};

namespace detail {

/// conv_in; Res-Attn-Res at `mid`; stages of two residual blocks and an up-sampling; norm; Conv3 -> out_channels.
inline CnnDecoder3dConfig staged_decoder(const StagedDecoderOptions& o, DecoderLayerKind first, bool upsample_first) {
  using K = DecoderLayerKind;
  CnnDecoder3dConfig c;
  c.latent_channels = o.latent_channels;
  c.groups = o.groups;
  c.layers = {{first, o.mid, "conv_in"},
              {K::residual, o.mid, "mid.0"},
              {K::attention, o.mid, "mid.1"},
              {K::residual, o.mid, "mid.2"}};
  for (std::size_t i = 0; i < o.widths.size(); ++i) {
    const std::string stage = "stages." + std::to_string(i);
    const Index width = o.widths[i];
    if (upsample_first) c.layers.push_back({K::upsample_conv, width, stage + ".up"});
    c.layers.push_back({K::residual, width, stage + ".res1"});
    c.layers.push_back({K::residual, width, stage + ".res2"});
    if (!upsample_first) c.layers.push_back({K::upsample_conv, width, stage + ".up"});
  }
  c.layers.push_back({K::norm, o.widths.back(), "norm_out"});
  c.layers.push_back({K::conv3, o.out_channels, "conv_out"});
  return c;
}

}  // namespace detail

/// "d1" in files. conv_in 1^3; Res-Attn-Res at `mid`; per stage {Res(c -> c'), Res(c'), nearest x2 + Conv3}; norm; Conv3 -> out_channels.
inline CnnDecoder3dConfig residual_first_decoder(const StagedDecoderOptions& options = {}) {
  return detail::staged_decoder(options, DecoderLayerKind::conv1, false);
}

/// "d2" in files. conv_in 3^3; Res-Attn-Res at `mid`; per stage {nearest x2 + Conv3(c -> c'), Res(c'), Res(c')}; norm; Conv3 ->
/// out_channels.
inline CnnDecoder3dConfig upsample_first_decoder(const StagedDecoderOptions& options = {}) {
  return detail::staged_decoder(options, DecoderLayerKind::conv3, true);
}

/// Sizes of the decoder of a MONAI AutoencoderKL. Levels are in MONAI's order, fine to coarse.
struct AutoencoderKlDecoderOptions {
  Index latent_channels = 32;
  std::vector<Index> channels = {32, 64, 128, 192, 384};
  std::vector<Index> residuals = {2, 2, 2, 2, 2};                   // blocks per level
  std::vector<bool> attention = {false, false, false, true, true};  // after each block of the level
  bool mid_attention = true;  // Res-Attn-Res first; MONAI: with_decoder_nonlocal_attn
  Index groups = 32;
  bool transposed = false;  // up-sampling by transposed convolution; MONAI: use_convtranspose
  Index out_channels = 1;
};

/// "d3" in files. Layers are named blocks.N, N as in MONAI's Sequential. Throws Error (config) for levels that do not agree.
inline CnnDecoder3dConfig autoencoder_kl_decoder(const AutoencoderKlDecoderOptions& o = {}) {
  using K = DecoderLayerKind;
  const std::size_t levels = o.channels.size();
  if (levels == 0 || o.residuals.size() != levels || o.attention.size() != levels)
    fail(ErrorKind::config, "decoder.levels",
         "decoder: expected channels, residual blocks and attention of as many levels, got ", levels, ", ",
         o.residuals.size(), " and ", o.attention.size());
  CnnDecoder3dConfig c;
  c.latent_channels = o.latent_channels;
  c.groups = o.groups;
  c.final_silu = false;
  const auto push = [&](K kind, Index out) {
    c.layers.push_back({kind, out, "blocks." + std::to_string(c.layers.size())});
  };
  push(K::conv3, o.channels.back());
  if (o.mid_attention) {
    push(K::residual, o.channels.back());
    push(K::attention, o.channels.back());
    push(K::residual, o.channels.back());
  }
  for (std::size_t level = levels; level-- > 0;) {
    for (Index r = 0; r < o.residuals[level]; ++r) {
      push(K::residual, o.channels[level]);
      if (o.attention[level]) push(K::attention, o.channels[level]);
    }
    if (level > 0) push(o.transposed ? K::transposed_conv : K::upsample_conv, o.channels[level]);
  }
  push(K::norm, o.channels.front());
  push(K::conv3, o.out_channels);
  return c;
}

template <Backend B, Precision P>
struct CnnDecoder3d {
  using T = typename P::Compute;
  using Act = Var<T, B>;
  using Layer = std::variant<Conv3d<B, P>, ResidualConvBlock<B, P>, VoxelAttention<B, P>, UpConv3d<B, P>,
                             ConvTranspose3d<B, P>, GroupNorm<B, P>>;

  CnnDecoder3dConfig config;
  std::vector<Layer> layers;
  std::string path;

  CnnDecoder3d() = default;
  CnnDecoder3d(Context<B>& context, const CnnDecoder3dConfig& c);

  /// z (N, X, Y, Z, latent channels) or tokens (N, L, latent channels) of the configured grid -> (N, X', Y', Z', out).
  /// The argument is consumed: activations are dropped as soon as the next layer has read them.
  Act operator()(Pass<B>& pass, Act z) const;

  static void visit(auto& self, auto&& v) {
    for (std::size_t i = 0; i < self.layers.size(); ++i)
      std::visit([&](auto& l) { v(self.config.layers[i].name, l); }, self.layers[i]);
  }
};

template <Backend B, Precision P>
CnnDecoder3d<B, P>::CnnDecoder3d(Context<B>& context, const CnnDecoder3dConfig& c) : config(c) {
  using K = DecoderLayerKind;
  Index in = c.latent_channels;
  for (const DecoderLayer& l : c.layers) {
    const bool keeps_width = l.kind == K::attention || l.kind == K::norm;
    if (keeps_width && l.out != in)
      fail(ErrorKind::config, "cnn_decoder3d.width", "cnn decoder: layer ", l.name, " keeps ", in,
           " channels, its entry says ", l.out);
    switch (l.kind) {
      case K::conv1:
        layers.emplace_back(Conv3d<B, P>(context, in, l.out, 1));
        break;
      case K::conv3:
        layers.emplace_back(Conv3d<B, P>(context, in, l.out, 3));
        break;
      case K::residual:
        layers.emplace_back(ResidualConvBlock<B, P>(context, in, l.out, c.groups, c.group_norm_eps));
        break;
      case K::attention:
        layers.emplace_back(VoxelAttention<B, P>(context, in, c.groups, c.group_norm_eps));
        break;
      case K::upsample_conv:
        layers.emplace_back(UpConv3d<B, P>(context, in, l.out));
        break;
      case K::transposed_conv:
        layers.emplace_back(ConvTranspose3d<B, P>(context, in, l.out));
        break;
      case K::norm:
        layers.emplace_back(GroupNorm<B, P>(context, in, c.groups, c.group_norm_eps));
        break;
    }
    in = l.out;
  }
}

template <Backend B, Precision P>
auto CnnDecoder3d<B, P>::operator()(Pass<B>& pass, Act z) const -> Act {
  if (z.shape().rank() == 3 && z.dim(1) == volume_of(config.grid))
    z = reshape(z, {z.dim(0), config.grid[0], config.grid[1], config.grid[2], z.dim(2)});
  if (z.shape().rank() != 5 || z.dim(4) != config.latent_channels)
    fail(ErrorKind::shape, "cnn_decoder3d.input", "cnn decoder: input has shape ", z.shape(),
         ", expected (N, X, Y, Z, ", config.latent_channels, ") or (N, ", volume_of(config.grid), ", ",
         config.latent_channels, ")");
  for (const Layer& layer : layers)
    z = std::visit(
        [&](const auto& l) -> Act {
          if constexpr (std::is_same_v<std::remove_cvref_t<decltype(l)>, GroupNorm<B, P>>)
            return l(pass, std::move(z), config.final_silu);
          else return run_block(pass, l, std::move(z));
        },
        layer);
  return z;
}

BRAING3N_COMPILED_LAYER(CnnDecoder3d)

}  // namespace braing3n::inline BRAING3N_ABI
