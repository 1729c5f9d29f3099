// A 3D vision transformer over patches: the encoder that is pre-trained as a masked autoencoder and then frozen.
//
// Source: BrainG3N (arXiv 2606.19651), section 2; Dosovitskiy et al. 2021; He et al. 2022. State-dict names are those of
// facebookresearch/mae carried to 3D. Default sizes: 196,005,888 parameters.
#pragma once

#include <string>
#include <vector>

#include "braing3n/autograd/checkpoint.hpp"
#include "braing3n/autograd/compiled.hpp"
#include "braing3n/nn/position.hpp"
#include "braing3n/nn/transformer.hpp"
#include "braing3n/ops/patch.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class PositionKind { sincos, learned };

struct Vit3dConfig {
  Index channels = 1;
  Extent3 image = {160, 192, 160};  // voxels
  Extent3 patch = {16, 16, 16};     // voxels
  Index width = 1152, depth = 12, heads = 16, mlp = 4608;
  bool qkv_bias = true;
  bool class_token = true;
  double layer_norm_eps = 1e-6;
  PositionKind position = PositionKind::sincos;
  bool class_position = true;  // the table has a row for the class token (facebookresearch: yes, zero; MONAI: no)

  static void visit(auto& self, auto&& v) {
    v("channels", self.channels);
    v("image", self.image);
    v("patch", self.patch);
    v("width", self.width);
    v("depth", self.depth);
    v("heads", self.heads);
    v("mlp", self.mlp);
    v("qkv_bias", self.qkv_bias);
    v("class_token", self.class_token);
    v("layer_norm_eps", self.layer_norm_eps);
    v("position", self.position);
    v("class_position", self.class_position);
  }

  Extent3 grid() const { return {image[0] / patch[0], image[1] / patch[1], image[2] / patch[2]}; }
  Index tokens() const { return volume_of(grid()); }
  Index patch_size() const { return volume_of(patch) * channels; }
  bool has_class_row() const { return class_token && class_position; }

  /// Throws Error (config) that names the field.
  void validate() const {
    if (channels < 1) fail(ErrorKind::config, "vit3d.channels", "vit3d: expected at least 1 channel, got ", channels);
    for (std::size_t a = 0; a < 3; ++a)
      if (patch[a] < 1 || image[a] < patch[a] || image[a] % patch[a] != 0)
        fail(ErrorKind::config, "vit3d.patch", "vit3d: expected a positive multiple of the patch extent ", patch[a],
             " along axis ", a, ", got an image extent of ", image[a]);
    if (depth < 0 || mlp < 1 || width < 1)
      fail(ErrorKind::config, "vit3d.size", "vit3d: expected positive width, depth and mlp, got ", width, ", ", depth,
           ", ", mlp);
    if (heads < 1 || width % heads != 0)
      fail(ErrorKind::config, "vit3d.heads", "vit3d: expected a width that ", heads, " heads divide, got ", width);
    if (position == PositionKind::sincos && width % 6 != 0)
      fail(ErrorKind::config, "vit3d.width",
           "vit3d: expected a width divisible by 6, for sine-cosine positions in 3D, got ", width);
  }
};

/// A table of positions (1, rows, width): fixed sine-cosine rows or learned ones.
template <Backend B, Precision P>
Parameter<B, P> position_table(Context<B>& context, PositionKind kind, const Extent3& grid, Index width,
                               bool class_row) {
  const Shape shape = {1, volume_of(grid) + (class_row ? 1 : 0), width};
  if (kind == PositionKind::sincos)
    return Parameter<B, P>(
        context, {.shape = shape, .init = sincos3d_table(grid, width, class_row), .decay = false, .fixed = true});
  return Parameter<B, P>(context, {.shape = shape, .init = truncated_normal(0.02)});
}

template <Backend B, Precision P>
struct Vit3d {
  using T = typename P::Compute;
  using Act = Var<T, B>;

  Vit3dConfig config;
  Parameter<B, P> class_token, positions, patch_weight, patch_bias;
  std::vector<TransformerBlock<B, P>> blocks;
  LayerNorm<B, P> norm;
  std::string path;

  Vit3d() = default;
  Vit3d(Context<B>& context, const Vit3dConfig& c);

  /// x (N, X, Y, Z, channels) -> patches (N, L, p0 p1 p2 channels), tokens row-major over the grid.
  Tensor<T, B> patches(const Tensor<T, B>& x) const;

  /// All tokens: x (N, X, Y, Z, channels) -> (N, [1 +] L, width), final norm applied.
  Act operator()(Pass<B>& pass, const Tensor<T, B>& x) const { return encode(pass, Act(patches(x)), nullptr); }

  /// Only the visible tokens, in the order given: patches (N, L, patch size), visible (N, K) -> (N, [1 +] K, width).
  Act encode(Pass<B>& pass, const Act& all_patches, const Indices<B>* visible) const;

  /// (N, [1 +] L, width) -> (N, L, width)
  Act drop_class_token(const Act& tokens) const { return config.class_token ? drop_token(tokens) : tokens; }

  static void visit(auto& self, auto&& v) {
    v("cls_token", self.class_token);
    v("pos_embed", self.positions);
    v("patch_embed.proj.weight", self.patch_weight);
    v("patch_embed.proj.bias", self.patch_bias);
    v("blocks", self.blocks);
    v("norm", self.norm);
  }
};

template <Backend B, Precision P>
Vit3d<B, P>::Vit3d(Context<B>& context, const Vit3dConfig& c) : config(c) {
  c.validate();
  if (c.class_token) class_token = Parameter<B, P>(context, {.shape = {1, 1, c.width}, .init = normal(0.02)});
  positions = position_table<B, P>(context, c.position, c.grid(), c.width, c.has_class_row());
  patch_weight = Parameter<B, P>(context, {.shape = {c.width, c.patch[0], c.patch[1], c.patch[2], c.channels},
                                           .init = xavier_uniform(c.patch_size(), c.width),
                                           .layout = FileLayout::patch});
  patch_bias = Parameter<B, P>(context, {.shape = {c.width}, .init = zeros(), .decay = false});
  const TransformerOptions options = {c.width, c.heads, c.mlp, c.qkv_bias, c.layer_norm_eps};
  for (Index i = 0; i < c.depth; ++i) blocks.emplace_back(context, options);
  norm = LayerNorm<B, P>(context, c.width, c.layer_norm_eps);
}

template <Backend B, Precision P>
auto Vit3d<B, P>::patches(const Tensor<T, B>& x) const -> Tensor<T, B> {
  const Shape expected = {x.rank() == 5 ? x.dim(0) : 1, config.image[0], config.image[1], config.image[2],
                          config.channels};
  if (x.rank() != 5 || !(x.shape() == expected))
    fail(ErrorKind::shape, "vit3d.input", "vit3d: input has shape ", x.shape(), ", the model wants ", expected);
  return patchify_forward(x, config.patch);
}

template <Backend B, Precision P>
auto Vit3d<B, P>::encode(Pass<B>& pass, const Act& all_patches, const Indices<B>* visible) const -> Act {
  return pass.at(path, [&] {
    const Act picked = visible != nullptr ? gather(all_patches, *visible) : all_patches;
    Act x = linear(picked, reshape(patch_weight.var(pass), {config.width, config.patch_size()}), patch_bias.var(pass));
    const Index rows = positions.shape()[1], first = config.has_class_row() ? 1 : 0;
    const Act table = reshape(positions.var(pass), {rows, config.width});
    const Act grid_table = first == 0 ? table : slice(table, 0, first, rows);
    x = visible != nullptr ? add(x, embedding(grid_table, *visible)) : add_broadcast(x, grid_table);
    if (config.class_token) {
      Act token = reshape(class_token.var(pass), {config.width});
      if (config.has_class_row()) token = add(token, reshape(slice(table, 0, 0, 1), {config.width}));
      x = prepend_token(token, x);
    }
    for (const auto& block : blocks) x = run_block(pass, block, std::move(x));
    return norm(pass, x);
  });
}

BRAING3N_COMPILED_LAYER(Vit3d)

}  // namespace braing3n::inline BRAING3N_ABI
