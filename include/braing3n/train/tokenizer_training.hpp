// Phase 2: projection and decoder learn to give scans back from the tokens of a frozen encoder (BrainG3N, section 2.2).
#pragma once

#include <array>
#include <concepts>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/data/volumes.hpp"
#include "braing3n/eval/token_readout.hpp"
#include "braing3n/models/tokenizer.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/train/options.hpp"
#include "braing3n/train/token_statistics.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Order of the blocks of a decoder (models/cnn_decoder3d.hpp).
enum class DecoderBlocks { residual_first, upsample_first, autoencoder_kl };

template <>
struct EnumText<DecoderBlocks> {
  static constexpr std::array<std::string_view, 3> names = {"d1", "d2", "d3"};
};

/// Blocks and sizes of a decoder. widths from coarse to fine, one per doubling.
struct DecoderArchitecture {
  DecoderBlocks blocks = DecoderBlocks::residual_first;
  Index mid = 512;
  std::vector<Index> widths = {256, 128, 64, 32};
  Index groups = 32;

  static void visit(auto& self, auto&& v) {
    v("plan", self.blocks);
    v("mid", self.mid);
    v("widths", self.widths);
    v("groups", self.groups);
  }

  /// Throws Error (config) without widths.
  CnnDecoder3dConfig decoder(Index latent_channels, const Extent3& grid, Index out_channels = 1) const {
    if (widths.empty()) fail(ErrorKind::config, "decoder.widths", "decoder: expected at least one width, got none");
    CnnDecoder3dConfig c;
    if (blocks == DecoderBlocks::autoencoder_kl) {
      // MONAI's levels run from fine to coarse, and its coarsest level is what `mid` is elsewhere.
      AutoencoderKlDecoderOptions o{.latent_channels = latent_channels, .groups = groups, .out_channels = out_channels};
      o.channels.assign(widths.rbegin(), widths.rend());
      o.channels.push_back(mid);
      o.residuals.assign(o.channels.size(), 2);
      o.attention.assign(o.channels.size(), false);
      o.attention[o.channels.size() - 1] = o.attention[o.channels.size() - 2] = true;
      c = autoencoder_kl_decoder(o);
    } else {
      const StagedDecoderOptions o{latent_channels, mid, widths, groups, out_channels};
      c = blocks == DecoderBlocks::residual_first ? residual_first_decoder(o) : upsample_first_decoder(o);
    }
    c.grid = grid;
    return c;
  }
};

enum class ReconstructionLoss { l1, mse };

struct TokenizerTrainingConfig {
  Index bottleneck = 32;
  bool projection_bias = true;
  DecoderArchitecture decoder;
  ReconstructionLoss loss = ReconstructionLoss::l1;
  TrainingOptions training;

  static void visit(auto& self, auto&& v) {
    v("bottleneck", self.bottleneck);
    v("projection_bias", self.projection_bias);
    v("decoder", self.decoder);
    v("loss", self.loss);
    v("training", self.training);
  }

  TokenizerConfig model(const Vit3dConfig& encoder) const {
    TokenizerConfig c{encoder, bottleneck, projection_bias,
                      decoder.decoder(bottleneck, encoder.grid(), encoder.channels)};
    c.validate();
    return c;
  }

  /// The paper: 43.7 M parameters, l1, AdamW at 1e-4, batch 12, 80 epochs, patience 40.
  static TokenizerTrainingConfig paper() {
    TokenizerTrainingConfig c;
    c.training = {
        .epochs = 80, .batch = 12, .lr = 1e-4, .clip = std::nullopt, .recompute_blocks = true, .patience = 40};
    return c;
  }
  /// For 80 x 96 x 80 voxels in patches of 16.
  static TokenizerTrainingConfig small() {
    TokenizerTrainingConfig c;
    c.decoder = {.mid = 128, .widths = {128, 64, 32, 16}, .groups = 8};
    c.training = {.steps = 1200,
                  .batch = 2,
                  .lr = 1e-3,
                  .ema = EmaOptions{.decay = 0.995, .warmup = true},
                  .validate_every = 100,
                  .augment = {.flip = true, .shift = 2, .intensity = 0.05}};
    return c;
  }
};

/// The statistics of the latents that follow from those of the tokens: mean W m + b, variance diag(W S W^T). Exact.
template <Backend B, Precision P>
LatentStatistics latents_of(const Linear<B, P>& projection, const TokenStatistics& tokens) {
  const std::vector<double> mean = tokens.mean(), covariance = tokens.covariance();
  const Index width = tokens.width();
  if (projection.in != width)
    fail(ErrorKind::shape, "tokens.width", "projection: expected tokens of ", projection.in, " channels, got ", width);
  using Value = typename P::Param;
  const std::vector<Value> weight = projection.weight.value().to_host();
  std::vector<Value> bias;
  if (projection.bias.exists()) bias = projection.bias.value().to_host();
  LatentStatistics s;
  for (Index r = 0; r < projection.out; ++r) {
    const Value* w = weight.data() + r * width;
    double m = bias.empty() ? 0.0 : static_cast<double>(bias[static_cast<std::size_t>(r)]), variance = 0;
    for (Index i = 0; i < width; ++i) {
      m += static_cast<double>(w[i]) * mean[static_cast<std::size_t>(i)];
      double row = 0;
      for (Index j = 0; j < width; ++j)
        row += covariance[static_cast<std::size_t>(i * width + j)] * static_cast<double>(w[j]);
      variance += static_cast<double>(w[i]) * row;
    }
    s.mean.push_back(m);
    s.sd.push_back(std::sqrt(std::max(variance, 1e-12)));
  }
  return s;
}

/// The task of train/trainer.hpp. Scans are read and augmented on `host`; the model runs on its own backend, in its own precision.
template <Backend B, Precision P>
class TokenizerTask {
  using T = typename P::Compute;

 public:
  using Batch = Tensor<T, B>;  // volumes (N, X, Y, Z, 1)

  TokenizerTask(Context<B>& context, Context<Cpu>& host, const Tokenizer<B, P>& model, const TrainingData& data,
                const TokenizerTrainingConfig& config, std::uint64_t seed, Index start)
      : context_(&context), host_(&host), model_(&model), data_(&data), loss_(config.loss),
        stream_(host, data, config.training.batch, config.training.augment, seed, start) {}
  TokenizerTask(Context<B>& context, const Tokenizer<B, P>& model, const TrainingData& data,
                const TokenizerTrainingConfig& config, std::uint64_t seed, Index start)
    requires std::is_same_v<B, Cpu>
      : TokenizerTask(context, context, model, data, config, seed, start) {}

  Batch next() { return to_backend<T>(*context_, stream_.next().volumes); }
  Var<double, B> loss(Pass<B>& pass, const Batch& volumes) const {
    const auto output = (*model_)(pass, volumes);
    return loss_ == ReconstructionLoss::l1 ? l1_loss(output, volumes) : mse_loss(output, volumes);
  }
  Index position() const { return stream_.position(); }
  Index scans() const { return stream_.scans(); }
  const VolumeStream& stream() const { return stream_; }

  /// Mean loss over the validation scans.
  double validate(ScanFailures& failures) const {
    double sum = 0;
    Index count = 0;
    for_each_volume(*host_, data_->source, data_->validation, failures, [&](Index, const Tensor<float, Cpu>& volume) {
      Pass<B> pass(*context_);
      sum += item(loss(pass, to_backend<T>(*context_, volume)));
      ++count;
    });
    return sum / static_cast<double>(count);
  }

  /// One validation scan and its reconstruction, three planes each.
  Image preview(ScanFailures& failures) const {
    std::vector<Image> rows;
    for_each_volume(*host_, data_->source, {data_->validation.front()}, failures,
                    [&](Index, const Tensor<float, Cpu>& volume) {
                      Pass<B> pass(*context_);
                      const auto output = (*model_)(pass, to_backend<T>(*context_, volume)).value();
                      rows = preview_rows(*host_, data_->contract, volume, {volume, to_host<float>(*host_, output)});
                    });
    return montage(rows, 1, {"input", "reconstruction"});
  }

 private:
  Context<B>* context_;
  Context<Cpu>* host_;
  const Tokenizer<B, P>* model_;
  const TrainingData* data_;
  ReconstructionLoss loss_;
  VolumeStream stream_;
};

/// The projection starts as the closed-form readout (token_readout.hpp) of the tokens of at most `most` training scans, without
/// augmentation. Returns the statistics of these tokens, from which those of the latents follow.
template <std::same_as<Cpu> B>
TokenStatistics start_projection(Context<B>& ctx, Tokenizer<Cpu, F32>& model, const TrainingData& data,
                                 ScanFailures& failures, Index most = 64) {
  TokenStatistics statistics(true);
  TokenReadout readout;
  for_each_volume(ctx, data.source, some_rows(data.train, most), failures,
                  [&](Index, const Tensor<float, Cpu>& volume) {
                    Pass<Cpu> pass(ctx);
                    const Tensor<float, Cpu> tokens = model.tokens(pass, volume);
                    statistics.add(tokens);
                    readout.add(tokens, model.encoder.patches(volume));
                  });
  readout.solve(ctx, model.config.bottleneck);
  readout.start(model.projection);
  return statistics;
}

}  // namespace braing3n::inline BRAING3N_ABI
