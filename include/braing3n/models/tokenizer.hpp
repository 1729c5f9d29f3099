// The tokenizer: a frozen encoder, a projection of its tokens to d' channels, and a convolutional decoder back to voxels.
//
//   x (N, X, Y, Z, 1) -> tokens (N, L, width) -> z = tokens W^T + b (N, X', Y', Z', d') -> reconstruction (N, X, Y, Z, 1)
// Source: BrainG3N (arXiv 2606.19651), section 2.2; the paper has d' = 32, 128 and 512, and 1,200 tokens. The encoder comes from a
// masked autoencoder and stays as it is: its parameters are frozen when a Tokenizer is made. The class token is dropped.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/models/cnn_decoder3d.hpp"
#include "braing3n/models/vit3d.hpp"
#include "braing3n/nn/visit.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct TokenizerConfig {
  Vit3dConfig encoder;
  Index bottleneck = 32;  // d': channels of the latents
  bool projection_bias = true;
  CnnDecoder3dConfig decoder = residual_first_decoder({32});

  static void visit(auto& self, auto&& v) {
    v("encoder", self.encoder);
    v("bottleneck", self.bottleneck);
    v("projection_bias", self.projection_bias);
    v("decoder", self.decoder);
  }

  /// Throws Error (config) when the parts do not fit together.
  void validate() const {
    encoder.validate();
    if (bottleneck < 1)
      fail(ErrorKind::config, "tokenizer.bottleneck", "tokenizer: expected a bottleneck of at least 1 channel, got ",
           bottleneck);
    if (decoder.latent_channels != bottleneck)
      fail(ErrorKind::config, "tokenizer.bottleneck", "tokenizer: expected a decoder of ", bottleneck,
           " channels, as many as the projection makes, got ", decoder.latent_channels);
    if (decoder.grid != encoder.grid() || decoder.image() != encoder.image)
      fail(ErrorKind::config, "tokenizer.decoder", "tokenizer: the decoder makes ",
           Shape(std::span<const Index>(decoder.image())), " voxels from a grid of ",
           Shape(std::span<const Index>(decoder.grid)), ", the encoder has ",
           Shape(std::span<const Index>(encoder.image)), " voxels on ", Shape(std::span<const Index>(encoder.grid())));
    if (decoder.layers.empty() || decoder.layers.back().out != encoder.channels)
      fail(ErrorKind::config, "tokenizer.channels", "tokenizer: expected a decoder that ends in ", encoder.channels,
           " channels, as many as the encoder's input has");
  }
};

/// Mean and standard deviation of every latent channel over a training set: generative models learn (z - mean) / sd.
struct LatentStatistics {
  std::vector<double> mean, sd;

  static void visit(auto& self, auto&& v) {
    v("mean", self.mean);
    v("deviation", self.sd);
  }

  /// z (..., d') -> (z - mean) / sd. Throws Error (shape) for another number of channels.
  template <class T>
  Tensor<T, Cpu> standardize(const Tensor<T, Cpu>& z) const {
    return mapped(z, [](double v, double m, double s) { return (v - m) / s; });
  }
  /// The way back.
  template <class T>
  Tensor<T, Cpu> restore(const Tensor<T, Cpu>& z) const {
    return mapped(z, [](double v, double m, double s) { return v * s + m; });
  }

 private:
  template <class T, class F>
  Tensor<T, Cpu> mapped(const Tensor<T, Cpu>& z, F f) const {
    const Index channels = static_cast<Index>(mean.size());
    if (channels == 0 || sd.size() != mean.size() || z.rank() < 1 || z.dim(-1) != channels)
      fail(ErrorKind::shape, "latents.channels", "latents: expected ", mean.size(),
           " channels, as the statistics have, got ", z.shape());
    Tensor<T, Cpu> y(z.context(), z.shape());
    for (Index i = 0; i < z.size(); ++i) {
      const auto c = static_cast<std::size_t>(i % channels);
      y.data()[i] = static_cast<T>(f(static_cast<double>(z.data()[i]), mean[c], sd[c]));
    }
    return y;
  }
};

template <Backend B, Precision P>
struct Tokenizer {
  using T = typename P::Compute;
  using Act = Var<T, B>;

  TokenizerConfig config;
  Vit3d<B, P> encoder;
  Linear<B, P> projection;
  CnnDecoder3d<B, P> decoder;

  Tokenizer() = default;
  Tokenizer(Context<B>& context, const TokenizerConfig& c);

  /// The frozen encoder: x (N, X, Y, Z, channels) -> all tokens (N, L, width), final norm applied. Nothing is recorded.
  Tensor<T, B> tokens(Pass<B>& pass, const Tensor<T, B>& x) const;

  /// tokens (N, L, width) -> latents (N, X', Y', Z', d').
  Act project(Pass<B>& pass, const Tensor<T, B>& all_tokens) const;

  /// x (N, X, Y, Z, channels) -> latents (N, X', Y', Z', d').
  Act encode(Pass<B>& pass, const Tensor<T, B>& x) const { return project(pass, tokens(pass, x)); }

  /// latents (N, X', Y', Z', d') -> voxels (N, X, Y, Z, channels). Throws Error (shape) for another number of channels.
  Act decode(Pass<B>& pass, Act z) const { return decoder(pass, std::move(z)); }

  Act operator()(Pass<B>& pass, const Tensor<T, B>& x) const { return decode(pass, encode(pass, x)); }

  static void visit(auto& self, auto&& v) {
    v("encoder", self.encoder);
    v("projection", self.projection);
    v("decoder", self.decoder);
  }
};

template <Backend B, Precision P>
Tokenizer<B, P>::Tokenizer(Context<B>& context, const TokenizerConfig& c) : config(c) {
  c.validate();
  encoder = Vit3d<B, P>(context, c.encoder);
  projection = Linear<B, P>(context, c.encoder.width, c.bottleneck, {.bias = c.projection_bias});
  decoder = CnnDecoder3d<B, P>(context, c.decoder);
  set_trainable(encoder, false);
}

template <Backend B, Precision P>
auto Tokenizer<B, P>::tokens(Pass<B>& pass, const Tensor<T, B>& x) const -> Tensor<T, B> {
  Pass<B> plain(pass.context());
  plain.taps = pass.taps;
  plain.check_finite = pass.check_finite;
  return encoder.drop_class_token(encoder(plain, x)).value();
}

template <Backend B, Precision P>
auto Tokenizer<B, P>::project(Pass<B>& pass, const Tensor<T, B>& all_tokens) const -> Act {
  const Extent3 g = config.encoder.grid();
  return reshape(projection(pass, Act(all_tokens)), {all_tokens.dim(0), g[0], g[1], g[2], config.bottleneck});
}

BRAING3N_COMPILED_LAYER(Tokenizer)

}  // namespace braing3n::inline BRAING3N_ABI
