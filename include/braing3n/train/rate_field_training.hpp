// A field of rates learns the changes between visits (models/rate_field.hpp, objective/rate_points.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/models/rate_field.hpp"
#include "braing3n/objective/rate_points.hpp"
#include "braing3n/train/forecast_task.hpp"
#include "braing3n/train/options.hpp"
#include "braing3n/train/rate_base.hpp"
#include "braing3n/train/rate_readout.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct RateFieldTrainingConfig {
  RateFieldConfig
      model{};  // channels and grid 0: those of the latents; a categorical condition without values: those of the labels
  double sigma = 0.05;           // of the noise on points between visits
  double full_weight_years = 0;  // apart from which a rate counts fully; 0: from the training pairs (rate_weights.hpp)
  double readout_weight = 0;     // of the loss on what a frozen readout sees of a rate (rate_readout.hpp); 0: none
  VisitPairOptions pairs{};
  PairStreamOptions stream{.both_ways = true};
  DropOptions drop{};
  Index validation_pairs = 256;  // at most
  TrainingOptions training{};

  static void visit(auto& self, auto&& v) {
    v("model", self.model);
    v("sigma", self.sigma);
    v("full_weight_years", self.full_weight_years);
    // Written only where it is used: runs without it have the settings that they had before there was one.
    if constexpr (std::is_const_v<std::remove_reference_t<decltype(self)>>) {
      if (self.readout_weight != 0) v("readout_weight", self.readout_weight);
    } else {
      v("readout_weight", self.readout_weight);
    }
    v("pairs", self.pairs);
    v("stream", self.stream);
    v("drop", self.drop);
    v("validation_pairs", self.validation_pairs);
    v("training", self.training);
  }

  /// The transformer of the paper's size.
  static RateFieldTrainingConfig paper() {
    RateFieldTrainingConfig c;
    c.model.rank = 256;
    c.training = TrainingOptions::paper_latents();
    return c;
  }
  /// For latents of 80 to 200 tokens, in minutes.
  static RateFieldTrainingConfig small() {
    RateFieldTrainingConfig c;
    Dit3dConfig& n = c.model.network;
    n.width = 192, n.depth = 4, n.heads = 6, n.mlp = 768;
    c.training = {.steps = 1500,
                  .batch = 32,
                  .lr = 5e-4,
                  .adamw = {.weight_decay = 0.05},
                  .clip = 1.0,
                  .ema = EmaOptions{.decay = 0.999, .warmup = true},
                  .validate_every = 100};
    return c;
  }

  /// Fills what the data decides. Conditions of which no training scan has a value are refused or, where that is asked for, removed and
  /// named in the result. Throws Error: shape (latents of another shape), config.
  std::vector<std::string> complete(const LatentData& data, AbsentConditions absent = AbsentConditions::refuse) {
    Dit3dConfig& n = model.network;
    fit_to_latents(n, *data.file, "rate field");
    if (n.context_channels == 0) n.context_channels = n.channels;
    const std::vector<std::string> removed =
        fit_conditions(n.conditions, data.labels, data.scans.train, data.used(), absent);
    model.rank = std::min(model.rank, std::ssize(data.scans.train) / 2);
    model.validate();
    if (!(sigma >= 0) || std::isinf(sigma))
      fail(ErrorKind::config, "rate_field.sigma", "rate field: expected a standard deviation of at least 0, got ",
           sigma);
    if (!(full_weight_years >= 0) || std::isinf(full_weight_years))
      fail(ErrorKind::config, "rate_field.weights", "rate field: expected at least 0 years, got ", full_weight_years);
    if (!(readout_weight >= 0) || std::isinf(readout_weight) || (readout_weight > 0 && model.rank == 0))
      fail(ErrorKind::config, "rate_field.readout",
           "rate field: expected a weight of the readout of at least 0, and a linear part where it is used, got ",
           readout_weight, " and rank ", model.rank);
    require_latent_training(training, drop, validation_pairs, "rate field");
    return removed;
  }

  /// Fills what the pairs decide.
  void take_pairs(Context<Cpu>& ctx, const LatentData& data, const ForecastTrainingPairs& found) {
    if (full_weight_years == 0) full_weight_years = change_horizon(ctx, data, found.train);
    training = training.resolved(std::ssize(found.train));
  }

  RatePointOptions points() const { return {.sigma = sigma, .unit_years = model.unit_years}; }
};

template <Backend B, Precision P>
class RateFieldTask : public ForecastTask<RateFieldTask<B, P>, RateFieldTrainingConfig, B, typename P::Compute> {
  using T = typename P::Compute;
  using Base = ForecastTask<RateFieldTask, RateFieldTrainingConfig, B, T>;
  friend Base;

 public:
  struct Batch {
    RatePoints<T, B> points;   // (N, L, C)
    Tensor<T, B> baseline;     // (N, L, C)
    Tensor<float, B> weights;  // (N)
    std::vector<double> ages;  // (N), at the points
    ConditionBatch conditions;
  };

  RateFieldTask(Context<B>& context, Context<Cpu>& host, const RateField3d<B, P>& model, const LatentData& data,
                const ForecastTrainingPairs& pairs, const RateFieldTrainingConfig& config, std::uint64_t seed,
                Index start)
      : Base(context, host, data, pairs, config, seed, start), model_(&model) {
    if (config.readout_weight > 0)
      readout_ = to_backend<T>(context, fit_latent_readout(host, data, pairs.train, model.linear,
                                                           config.model.unit_years, config.full_weight_years));
  }

  Var<double, B> loss(Pass<B>& pass, const Batch& b) const {
    const Var<T, B> rate = (*model_)(pass, Var<T, B>(b.points.z), b.ages, b.conditions, Var<T, B>(b.baseline));
    const Var<double, B> all = weighted_mse_loss(rate, b.points.target, b.weights);
    if (!readout_) return all;
    return add(all, scale(weighted_mse_loss(read(rate), read(Var<T, B>(b.points.target)).value(), b.weights),
                          this->config_.readout_weight));
  }

 private:
  const std::vector<ConditionField>& fields() const { return model_->config.network.conditions; }
  const ConditionRow& condition(const VisitPair& p) const { return this->labels(p); }
  Batch make(const std::vector<VisitPair>& pairs, const std::vector<double>& u, const Tensor<T, B>& noise,
             const std::vector<ConditionRow>& rows) const {
    std::vector<double> years, ages;
    std::vector<float> weights;
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      years.push_back(pairs[i].years);
      ages.push_back(pairs[i].age + u[i] * pairs[i].years);
      weights.push_back(static_cast<float>(rate_weight(pairs[i].years, this->config_.full_weight_years)));
    }
    const Tensor<T, B> first = this->latents(pairs, &VisitPair::from);
    return {rate_points(first, this->latents(pairs, &VisitPair::to), noise, u, years, this->config_.points()), first,
            Tensor<float, B>::from_host(*this->context_, {std::ssize(weights)}, weights), ages,
            condition_batch(fields(), rows)};
  }

  /// (N, L, C) -> what the readout sees (N, 1).
  Var<T, B> read(const Var<T, B>& rate) const {
    return linear(reshape(rate, {rate.shape()[0], readout_->dim(1)}), Var<T, B>(*readout_), Var<T, B>());
  }

  const RateField3d<B, P>* model_;
  std::optional<Tensor<T, B>> readout_;  // (1, L C)
};

}  // namespace braing3n::inline BRAING3N_ABI
