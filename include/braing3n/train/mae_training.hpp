// Phase 1: a masked autoencoder learns scans (He et al. 2022; BrainG3N, section 2.1).
#pragma once

#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/moments.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/data/volumes.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/train/options.hpp"
#include "braing3n/train/token_statistics.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct MaeTrainingConfig {
  Mae3dConfig model;
  PreprocessingContract contract;
  TrainingOptions training;
  double visible_weight = 0;  // of the error in the visible patches, next to 1 for the masked ones; the paper has none

  static void visit(auto& self, auto&& v) {
    v("model", self.model);
    v("contract", self.contract);
    v("training", self.training);
    v("visible_weight", self.visible_weight);
  }

  /// The published sizes: 329,582,080 parameters, 1,200 tokens. Where the paper is silent, the settings of He et al.
  static MaeTrainingConfig paper() {
    MaeTrainingConfig c;
    c.contract = PreprocessingContract::paper();
    c.training = {.epochs = 100,
                  .batch = 16,
                  .lr = 1e-4,
                  .adamw = {.beta2 = 0.95, .weight_decay = 0.05},
                  .clip = std::nullopt,
                  .recompute_blocks = true};
    return c;
  }
  /// 80 x 96 x 80 voxels of 2 mm, 150 tokens: minutes on two cores.
  static MaeTrainingConfig small() {
    MaeTrainingConfig c;
    c.contract = PreprocessingContract::small();
    c.model.encoder = {.image = c.contract.shape, .width = 384, .depth = 6, .heads = 6, .mlp = 1536};
    c.model.decoder_width = 192, c.model.decoder_depth = 2, c.model.decoder_heads = 6, c.model.decoder_mlp = 768;
    c.training = {.steps = 700,
                  .batch = 14,
                  .lr = 1e-3,
                  .adamw = {.beta2 = 0.95, .weight_decay = 0.05},
                  .validate_every = 100,
                  .augment = {.flip = true, .shift = 2, .intensity = 0.05}};
    // A short training on few scans otherwise ends in tokens that know where they are and not what is there.
    c.visible_weight = 1;
    return c;
  }

  /// Throws Error (config).
  void validate() const {
    model.validate();
    require_valid(contract);
    if (!(visible_weight >= 0) || !std::isfinite(visible_weight))
      fail(ErrorKind::config, "mae.visible_weight", "training: visible_weight is ", visible_weight,
           ", expected a number >= 0");
    if (contract.shape != model.encoder.image)
      fail(ErrorKind::config, "contract.shape", "training: expected a contract that makes volumes of ",
           describe(model.encoder.image), ", as the model takes, got ", describe(contract.shape));
  }
};

/// The mean patch over some scans becomes the bias of the prediction: the model starts from the simplest good guess instead of from zero.
template <Backend B, Precision P>
void start_prediction(Mae3d<B, P>& model, const std::vector<double>& mean_patch) {
  Parameter<B, P>& bias = model.decoder_pred.bias;
  if (static_cast<Index>(mean_patch.size()) != bias.shape().size())
    fail(ErrorKind::shape, "mae.bias", "masked autoencoder: a mean patch of ", mean_patch.size(),
         " voxels for a prediction of ", bias.shape());
  using Value = typename P::Param;
  const std::vector<Value> values(mean_patch.begin(), mean_patch.end());
  bias.context().memory().copy_from_host(bias.value().data(), values.data(), bias.value().bytes());
  bias.refresh();
}

/// The share of variance between subjects, of tokens and of scans (token_statistics.hpp).
struct CollapseReport {
  double tokens = 0, scans = 0;
  Index subjects = 0;
  bool collapsed() const { return subjects > 1 && tokens < 0.1 * scans; }
  std::string str() const {
    return concat(
        "collapse check over ", subjects, " scans: ", significant(100 * tokens, 3),
        " % of the tokens' variance is between subjects at one position (of the scans': ", significant(100 * scans, 3),
        " %)", collapsed() ? ": THE ENCODER HAS COLLAPSED, its tokens hardly differ between subjects" : "");
  }
};

/// The scans are read on `host`; the encoder runs on its own backend.
template <Backend B, Precision P>
CollapseReport check_collapse(Context<B>& context, Context<Cpu>& host, const Vit3d<B, P>& encoder,
                              const VolumeSource& source, const std::vector<Index>& rows, ScanFailures& failures) {
  TokenStatistics tokens(false), scans(false);
  for_each_volume(host, source, rows, failures, [&](Index, const Tensor<float, Cpu>& volume) {
    Pass<B> pass(context);
    const auto x = to_backend<typename P::Compute>(context, volume);
    tokens.add(to_host<float>(host, encoder.drop_class_token(encoder(pass, x)).value()));
    scans.add(to_host<float>(host, encoder.patches(x)));
  });
  return {tokens.share_between_subjects(), scans.share_between_subjects(), tokens.subjects()};
}
template <Precision P>
CollapseReport check_collapse(Context<Cpu>& ctx, const Vit3d<Cpu, P>& encoder, const VolumeSource& source,
                              const std::vector<Index>& rows, ScanFailures& failures) {
  return check_collapse(ctx, ctx, encoder, source, rows, failures);
}

/// The task of train/trainer.hpp. Scans are read and augmented on `host`; the model runs on its own backend, in its own precision.
template <Backend B, Precision P>
class MaeTask {
  using T = typename P::Compute;

 public:
  struct Batch {
    Tensor<T, B> volumes;
    TokenMask<B> mask;
  };

  MaeTask(Context<B>& context, Context<Cpu>& host, const Mae3d<B, P>& model, const TrainingData& data,
          const TrainingOptions& options, std::uint64_t seed, Index start, double visible_weight = 0)
      : context_(&context), host_(&host), model_(&model), data_(&data), visible_weight_(visible_weight), seed_(seed),
        stream_(host, data, options.batch, options.augment, seed, start) {}
  MaeTask(Context<B>& context, const Mae3d<B, P>& model, const TrainingData& data, const TrainingOptions& options,
          std::uint64_t seed, Index start, double visible_weight = 0)
    requires std::is_same_v<B, Cpu>
      : MaeTask(context, context, model, data, options, seed, start, visible_weight) {}

  Batch next() {
    const VolumeBatch b = stream_.next();
    return {to_backend<T>(*context_, b.volumes), mask(b.samples, 0)};
  }
  Var<double, B> loss(Pass<B>& pass, const Batch& batch) const {
    const auto out = (*model_)(pass, batch.volumes, batch.mask);
    const auto error = masked_patch_loss(out.prediction, out.target, batch.mask, model_->config.norm_pix_loss);
    if (visible_weight_ == 0) return error;
    return add(error, scale(masked_patch_loss(out.prediction, out.target, visible_selected(batch.mask),
                                              model_->config.norm_pix_loss),
                            visible_weight_));
  }
  Index position() const { return stream_.position(); }
  Index scans() const { return stream_.scans(); }
  const VolumeStream& stream() const { return stream_; }

  /// Mean error of the removed patches over the validation scans, each under one mask of its own that never changes.
  double validate(ScanFailures& failures) const {
    double sum = 0;
    Index count = 0;
    for_each_volume(*host_, data_->source, data_->validation, failures,
                    [&](Index row, const Tensor<float, Cpu>& volume) {
                      Pass<B> pass(*context_);
                      const TokenMask<B> mask = validation_mask(row);
                      const auto out = (*model_)(pass, to_backend<T>(*context_, volume), mask);
                      sum += item(masked_patch_loss(out.prediction, out.target, mask, model_->config.norm_pix_loss));
                      ++count;
                    });
    return sum / static_cast<double>(count);
  }

  /// Input, input with the removed patches, prediction in their place: one validation scan, three planes each.
  Image preview(ScanFailures& failures) const {
    std::vector<Image> rows;
    for_each_volume(*host_, data_->source, {data_->validation.front()}, failures,
                    [&](Index row, const Tensor<float, Cpu>& volume) { rows = preview_of(row, volume); });
    return montage(rows, 1, {"input", "what the encoder sees", "prediction in the removed patches"});
  }

 private:
  std::vector<Image> preview_of(Index row, const Tensor<float, Cpu>& volume) const {
    Pass<B> pass(*context_);
    const TokenMask<B> m = validation_mask(row);
    const auto out = (*model_)(pass, to_backend<T>(*context_, volume), m);
    const Index size = model_->config.encoder.patch_size();
    const auto prediction = to_host<float>(*host_, out.prediction.value()), target = to_host<float>(*host_, out.target);
    const std::vector<float> masked = m.masked.weights.to_host();
    Tensor<float, Cpu> removed = target.clone(), filled = target.clone();
    const float lowest = *std::min_element(volume.data(), volume.data() + volume.size());
    for (Index l = 0; l < m.tokens(); ++l) {
      if (masked[static_cast<std::size_t>(l)] == 0.0f) continue;
      float* to = filled.data() + l * size;
      const float *from = prediction.data() + l * size, *truth = target.data() + l * size;
      // With normalised targets a prediction is in the patch's own units, which only the truth tells.
      const auto [mean, sd] = model_->config.norm_pix_loss ? patch_scale(truth, size) : std::pair{0.0f, 1.0f};
      for (Index i = 0; i < size; ++i) to[i] = from[i] * sd + mean;
      std::fill_n(removed.data() + l * size, size, lowest);
    }
    const auto picture = [&](const Tensor<float, Cpu>& patches) {
      return unpatchify_forward(patches, volume.shape(), model_->config.encoder.patch);
    };
    return preview_rows(*host_, data_->contract, volume, {volume, picture(removed), picture(filled)});
  }
  TokenMask<B> mask(const std::vector<std::uint32_t>& samples, std::uint32_t step) const {
    return draw_token_mask(*context_, seed_, step, std::span<const std::uint32_t>(samples),
                           model_->config.encoder.tokens(), model_->config.masking_ratio);
  }
  TokenMask<B> validation_mask(Index row) const { return mask({static_cast<std::uint32_t>(row)}, 1); }
  static std::pair<float, float> patch_scale(const float* v, Index n) {
    const Moments m = moments(std::span(v, static_cast<std::size_t>(n)));
    return {static_cast<float>(m.mean), static_cast<float>(std::sqrt(m.variance() + 1e-6))};
  }

  Context<B>* context_;
  Context<Cpu>* host_;
  const Mae3d<B, P>* model_;
  const TrainingData* data_;
  double visible_weight_;
  std::uint64_t seed_;
  VolumeStream stream_;
};

/// The mean patch over at most 32 training scans, which are read and summed up on `host`. The model tells how patches are cut.
template <Backend B, Precision P>
std::vector<double> mean_patch(Context<Cpu>& host, const Mae3d<B, P>& model, const TrainingData& data,
                               ScanFailures& failures) {
  TokenStatistics patches(false);
  for_each_volume(host, data.source, some_rows(data.train, 32), failures, [&](Index, const Tensor<float, Cpu>& volume) {
    const auto p = patchify_forward(volume, model.config.encoder.patch);
    patches.add(model.config.norm_pix_loss ? normalize_patches(p) : p);
  });
  return patches.mean();
}

}  // namespace braing3n::inline BRAING3N_ABI
