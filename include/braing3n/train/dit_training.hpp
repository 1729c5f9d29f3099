// A diffusion transformer learns latents under their conditions by flow matching (BrainG3N, section 2.3).
#pragma once

#include <array>
#include <functional>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/train/options.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct DitTrainingConfig {
  Dit3dConfig model =
      free_model();  // channels and grid 0: those of the latents; a categorical condition without values: those of the labels
  TimeDistribution time_distribution = TimeDistribution::uniform;
  DropOptions drop{};
  BalanceOptions balance{};
  Index validation_samples = 256;  // at most; every validation scan at least once when there are fewer
  TrainingOptions training{};

  static void visit(auto& self, auto&& v) {
    v("model", self.model);
    v("time_law", self.time_distribution);
    v("drop", self.drop);
    v("balance", self.balance);
    v("validation_samples", self.validation_samples);
    v("training", self.training);
  }

  static Dit3dConfig free_model() {
    Dit3dConfig c;
    c.channels = 0;
    c.grid = {0, 0, 0};
    return c;
  }

  /// The paper: 292.9 M parameters, AdamW at 5e-5, batch 28, 1100 epochs; t uniform, conditions dropped one by one.
  static DitTrainingConfig paper() {
    DitTrainingConfig c;
    c.model = Dit3dConfig{};
    c.training = TrainingOptions::paper_latents();
    return c;
  }
  /// 4.3 M parameters, for latents of 100 to 200 tokens; the values of disease and site come from the labels.
  static DitTrainingConfig small() {
    DitTrainingConfig c;
    c.model.width = 192, c.model.depth = 6, c.model.heads = 6, c.model.mlp = 768;
    for (ConditionField& f : c.model.conditions)
      if (f.name == "disease" || f.name == "site") f.values.clear();
    c.drop = {.all = 0.1, .all_but_one = 0.1};
    c.training = TrainingOptions::small_latents();
    return c;
  }

  /// Fills what the data decides. Conditions of which no training scan has a value are refused or, where that is asked for, removed and
  /// named in the result. Throws Error: shape (latents of another shape), config.
  std::vector<std::string> complete(const LatentData& data, AbsentConditions absent = AbsentConditions::refuse) {
    const LatentFile& f = *data.file;
    if (model.channels == 0) model.channels = f.channels();
    if (model.grid == Extent3{0, 0, 0}) model.grid = f.grid();
    if (model.channels != f.channels() || model.grid != f.grid())
      throw Error(
          ErrorKind::shape, "dit3d.latents",
          concat("latents of ", f.channels(), " channels on a grid of ", Shape(std::span<const Index>(f.grid())),
                 ", the model wants ", model.channels, " on ", Shape(std::span<const Index>(model.grid))),
          f.path());
    const std::vector<std::string> removed =
        fit_conditions(model.conditions, data.labels, data.scans.train, data.used(), absent);
    model.validate();
    if (model.context_channels != 0 || model.outputs != 1)
      fail(ErrorKind::config, "dit3d.second_input",
           "dit3d: expected a model without context channels and with one output, got ", model.context_channels,
           " and ", model.outputs);
    if (!(drop.all >= 0 && drop.all_but_one >= 0 && drop.all + drop.all_but_one <= 1))
      fail(ErrorKind::config, "dit3d.drop",
           "dit3d: expected probabilities of hiding all conditions and all but one in [0, 1] that add up to at most 1, "
           "got ",
           drop.all, " and ", drop.all_but_one);
    if (training.augment.any()) fail(ErrorKind::config, "dit3d.augment", "dit3d: latents cannot be augmented");
    if (validation_samples < 1)
      fail(ErrorKind::config, "dit3d.validation", "dit3d: expected at least 1 validation sample, got ",
           validation_samples);
    return removed;
  }
};

/// Validation losses by t, in equal parts of [0, 1]: near 0 the data is nearly there, near 1 only noise is.
using TimeBins = std::array<double, 10>;

/// The task of train/trainer.hpp. Latents are read on `host`; the model runs on its own backend, in its own precision.
template <Backend B, Precision P>
class DitTask {
  using T = typename P::Compute;

 public:
  struct Batch {
    FlowSample<T, B> flow;  // (N, L, C)
    std::vector<double> t;
    ConditionBatch conditions;
  };

  DitTask(Context<B>& context, Context<Cpu>& host, const Dit3d<B, P>& model, const LatentData& data,
          const DitTrainingConfig& config, std::uint64_t seed, Index start)
      : context_(&context), host_(&host), model_(&model), data_(&data), config_(config), seed_(seed),
        stream_(data, config.model.conditions, config.balance, config.drop, config.training.batch, seed, start) {
    for (const Index s : data.scans.train) (void)data.conditions.at(static_cast<std::size_t>(s));
  }
  DitTask(Context<B>& context, const Dit3d<B, P>& model, const LatentData& data, const DitTrainingConfig& config,
          std::uint64_t seed, Index start)
    requires std::is_same_v<B, Cpu>
      : DitTask(context, context, model, data, config, seed, start) {}

  /// Noise, time and unobserved conditions are functions of the seed and of the sample's place in the stream.
  Batch next() {
    const LatentStream::Draw draw = stream_.next();
    const std::span<const Index> positions(draw.positions);
    return make(draw.scans, draw_times(seed_, positions, config_.time_distribution),
                draw_noise<T>(*context_, seed_, positions, latent_shape()), draw.conditions);
  }
  Var<double, B> loss(Pass<B>& pass, const Batch& b) const {
    return mse_loss((*model_)(pass, Var<T, B>(b.flow.x_t), b.t, b.conditions), b.flow.velocity);
  }
  Index position() const { return stream_.position(); }
  Index scans() const { return stream_.scans(); }
  const LatentStream& stream() const { return stream_; }

  /// Mean loss over t uniform in [0, 1], whatever the distribution of times in training, under all conditions: every validation sample has one time and one
  /// noise that never change, the times evenly spread.
  double validate(ScanFailures&) const {
    const std::vector<Index>& scans = data_->scans.validation;
    const Index n = static_cast<Index>(scans.size()), bins = static_cast<Index>(bins_.size());
    const Index all = std::max(std::min(n, config_.validation_samples), 4 * bins), cycle = std::lcm(n, bins);
    TimeBins sums{}, counts{};
    for (Index begin = 0; begin < all; begin += config_.training.batch) {
      const Index end = std::min(all, begin + config_.training.batch);
      std::vector<Index> rows, bin_of;
      std::vector<std::uint32_t> ids;
      std::vector<double> t;
      std::vector<ConditionRow> conditions;
      for (Index i = begin; i < end; ++i) {
        const Index bin = i % bins;  // every part has its share; a scan that comes again comes into another one
        ids.push_back(static_cast<std::uint32_t>(i));
        rows.push_back(scans[static_cast<std::size_t>(all < n ? i * n / all : (i + i / cycle) % n)]);
        bin_of.push_back(bin);
        conditions.push_back(condition(rows.back()));
        const double u =
            static_cast<double>(Philox(seed_, Purpose::time, validation_step, ids.back()).uniform(0)) + 0x1p-25;
        t.push_back((static_cast<double>(bin) + u) / static_cast<double>(bins));
      }
      const Batch b =
          make(rows, t,
               draw_noise<T>(*context_, seed_, validation_step, std::span<const std::uint32_t>(ids), latent_shape()),
               conditions);
      Pass<B> pass(*context_);
      const auto v = to_host<float>(*host_, (*model_)(pass, Var<T, B>(b.flow.x_t), b.t, b.conditions).value()),
                 wanted = to_host<float>(*host_, b.flow.velocity);
      const Index each = v.size() / v.dim(0);
      for (Index i = 0; i < v.dim(0); ++i) {
        double sum = 0;
        for (Index k = i * each; k < (i + 1) * each; ++k) {
          const double e = static_cast<double>(v.data()[k]) - static_cast<double>(wanted.data()[k]);
          sum += e * e;
        }
        const auto bin = static_cast<std::size_t>(bin_of[static_cast<std::size_t>(i)]);
        sums[bin] += sum / static_cast<double>(each);
        ++counts[bin];
      }
    }
    double mean = 0;
    for (std::size_t b = 0; b < bins_.size(); ++b) {
      bins_[b] = sums[b] / counts[b];
      mean += bins_[b] / static_cast<double>(bins);
    }
    if (on_bins) on_bins(bins_);
    return mean;
  }
  /// Of the last validation.
  const TimeBins& time_bins() const { return bins_; }
  std::function<void(const TimeBins&)> on_bins;

  /// Makes the picture of a validation (train/dit_preview.hpp).
  Image preview(ScanFailures&) const { return make_preview ? make_preview() : Image(1, 1); }
  std::function<Image()> make_preview;

 private:
  const ConditionRow& condition(Index scan) const { return data_->conditions[static_cast<std::size_t>(scan)]; }
  Shape latent_shape() const { return {data_->file->tokens(), data_->file->channels()}; }
  Batch make(const std::vector<Index>& scans, const std::vector<double>& t, const Tensor<T, B>& noise,
             const std::vector<ConditionRow>& rows) const {
    return {flow_interpolate(to_backend<T>(*context_, latent_batch(*host_, *data_, scans)), noise, t), t,
            condition_batch(model_->config.conditions, rows)};
  }

  Context<B>* context_;
  Context<Cpu>* host_;
  const Dit3d<B, P>* model_;
  const LatentData* data_;
  DitTrainingConfig config_;
  std::uint64_t seed_;
  LatentStream stream_;
  mutable TimeBins bins_{};
};

}  // namespace braing3n::inline BRAING3N_ABI
