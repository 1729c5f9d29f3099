// The 3D masked autoencoder: phase 1 of the tokenizer.
//
// Source: BrainG3N (arXiv 2606.19651), section 2.1; He et al. 2022. The encoder sees the visible patches only; a lighter
// decoder sees all positions, with a learned token in the masked ones, and predicts the voxels of every patch.
// State-dict names of facebookresearch/mae. Default sizes: encoder 196,005,888, decoder 133,576,192 parameters.
#pragma once

#include <utility>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/models/vit3d.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct Mae3dConfig {
  Vit3dConfig encoder;
  Index decoder_width = 1152, decoder_depth = 8, decoder_heads = 16, decoder_mlp = 4608;
  double masking_ratio = 0.7;
  bool norm_pix_loss = false;  // the paper's losses point to raw patches

  static void visit(auto& self, auto&& v) {
    v("encoder", self.encoder);
    v("decoder_width", self.decoder_width);
    v("decoder_depth", self.decoder_depth);
    v("decoder_heads", self.decoder_heads);
    v("decoder_mlp", self.decoder_mlp);
    v("masking_ratio", self.masking_ratio);
    v("norm_pix_loss", self.norm_pix_loss);
  }

  void validate() const {
    encoder.validate();
    if (!(masking_ratio > 0.0 && masking_ratio < 1.0))
      fail(ErrorKind::config, "mae3d.masking_ratio", "mae3d: expected a masking ratio inside (0, 1), got ",
           masking_ratio);
    if (decoder_heads < 1 || decoder_width % decoder_heads != 0)
      fail(ErrorKind::config, "mae3d.decoder_heads", "mae3d: expected a decoder width that ", decoder_heads,
           " heads divide, got ", decoder_width);
    if (encoder.position == PositionKind::sincos && decoder_width % 6 != 0)
      fail(ErrorKind::config, "mae3d.decoder_width",
           "mae3d: expected a decoder width divisible by 6, for sine-cosine positions in 3D, got ", decoder_width);
  }
};

template <Backend B, Precision P>
struct Mae3d {
  using T = typename P::Compute;
  using Act = Var<T, B>;

  struct Output {
    Act prediction;       // (N, L, patch size)
    Tensor<T, B> target;  // (N, L, patch size), raw patches
  };

  Mae3dConfig config;
  Vit3d<B, P> encoder;
  Linear<B, P> decoder_embed;
  Parameter<B, P> mask_token, decoder_positions;
  std::vector<TransformerBlock<B, P>> decoder_blocks;
  LayerNorm<B, P> decoder_norm;
  Linear<B, P> decoder_pred;
  std::string path;

  Mae3d() = default;
  Mae3d(Context<B>& context, const Mae3dConfig& c);

  /// x (N, X, Y, Z, channels); the mask is drawn outside (ops/token_mask.hpp).
  Output operator()(Pass<B>& pass, const Tensor<T, B>& x, const TokenMask<B>& mask) const;

  /// latent (N, [1 +] K, width) -> predicted patches (N, L, patch size).
  Act decode(Pass<B>& pass, const Act& latent, const TokenMask<B>& mask) const;

  static void visit(auto& self, auto&& v) {
    v("", self.encoder);
    v("decoder_embed", self.decoder_embed);
    v("mask_token", self.mask_token);
    v("decoder_pos_embed", self.decoder_positions);
    v("decoder_blocks", self.decoder_blocks);
    v("decoder_norm", self.decoder_norm);
    v("decoder_pred", self.decoder_pred);
  }
};

template <Backend B, Precision P>
Mae3d<B, P>::Mae3d(Context<B>& context, const Mae3dConfig& c) : config(c) {
  c.validate();
  encoder = Vit3d<B, P>(context, c.encoder);
  decoder_embed = Linear<B, P>(context, c.encoder.width, c.decoder_width);
  mask_token = Parameter<B, P>(context, {.shape = {1, 1, c.decoder_width}, .init = normal(0.02)});
  decoder_positions =
      position_table<B, P>(context, c.encoder.position, c.encoder.grid(), c.decoder_width, c.encoder.has_class_row());
  const TransformerOptions options = {c.decoder_width, c.decoder_heads, c.decoder_mlp, c.encoder.qkv_bias,
                                      c.encoder.layer_norm_eps};
  for (Index i = 0; i < c.decoder_depth; ++i) decoder_blocks.emplace_back(context, options);
  decoder_norm = LayerNorm<B, P>(context, c.decoder_width, c.encoder.layer_norm_eps);
  decoder_pred = Linear<B, P>(context, c.decoder_width, c.encoder.patch_size());
}

template <Backend B, Precision P>
auto Mae3d<B, P>::operator()(Pass<B>& pass, const Tensor<T, B>& x, const TokenMask<B>& mask) const -> Output {
  const Tensor<T, B> patches = encoder.patches(x);
  return {decode(pass, encoder.encode(pass, Act(patches), &mask.visible), mask), patches};
}

template <Backend B, Precision P>
auto Mae3d<B, P>::decode(Pass<B>& pass, const Act& latent, const TokenMask<B>& mask) const -> Act {
  return pass.at(path, [&] {
    const Vit3dConfig& e = config.encoder;
    const Act embedded = decoder_embed(pass, latent);
    const Act fill = reshape(mask_token.var(pass), {config.decoder_width});
    const Act table = reshape(decoder_positions.var(pass), {decoder_positions.shape()[1], config.decoder_width});
    Act y = scatter(e.class_token ? drop_token(embedded) : embedded, fill, mask);
    if (!e.has_class_row()) y = add_broadcast(y, table);
    if (e.class_token) y = join(slice(embedded, 1, 0, 1), y, 1);
    if (e.has_class_row()) y = add_broadcast(y, table);
    for (const auto& block : decoder_blocks) y = run_block(pass, block, std::move(y));
    y = decoder_pred(pass, decoder_norm(pass, y));
    return e.class_token ? drop_token(y) : y;
  });
}

BRAING3N_COMPILED_LAYER(Mae3d)

}  // namespace braing3n::inline BRAING3N_ABI
