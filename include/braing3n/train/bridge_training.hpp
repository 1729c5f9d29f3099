// A bridge learns follow-ups from baselines (objective/bridge.hpp): the longitudinal model of BrainG3N.
//
// Of its conditions, "years" is the time between the visits and "age" the age at the baseline; the others are labels of the baseline.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/data/forecast_ranges.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/objective/bridge.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/train/forecast_task.hpp"
#include "braing3n/train/options.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct BridgeTrainingConfig {
  Dit3dConfig model = free_model();  // channels and grid 0: those of the latents
  BridgeOptions bridge{};
  VisitPairOptions pairs{};
  PairStreamOptions stream{};
  DropOptions drop{};
  Index validation_pairs = 256;  // at most
  TrainingOptions training{};

  static void visit(auto& self, auto&& v) {
    v("model", self.model);
    v("bridge", self.bridge);
    v("pairs", self.pairs);
    v("stream", self.stream);
    v("drop", self.drop);
    v("validation_pairs", self.validation_pairs);
    v("training", self.training);
  }

  static Dit3dConfig free_model() {
    Dit3dConfig c = Dit3dConfig::paper_longitudinal();
    c.channels = 0;
    c.grid = {0, 0, 0};
    return c;
  }

  /// The paper: its transformer with five conditions, sigma 0.5, the displacement as the target, pairs as often as they are.
  static BridgeTrainingConfig paper() {
    BridgeTrainingConfig c;
    c.stream.strength = 0;
    c.training = TrainingOptions::paper_latents();
    return c;
  }
  /// The same with a transformer for latents of 80 to 200 tokens.
  static BridgeTrainingConfig small() {
    BridgeTrainingConfig c = paper();
    c.model.width = 192, c.model.depth = 6, c.model.heads = 6, c.model.mlp = 768;
    c.training = TrainingOptions::small_latents();
    return c;
  }

  /// Fills what the data decides. Conditions of which no training scan has a value are refused or, where that is asked for, removed and
  /// named in the result. Throws Error: shape (latents of another shape), config.
  std::vector<std::string> complete(const LatentData& data, AbsentConditions absent = AbsentConditions::refuse) {
    fit_to_latents(model, *data.file, "bridge");
    model.outputs = bridge.outputs();
    bridge.validate();
    const auto years = std::find_if(model.conditions.begin(), model.conditions.end(),
                                    [](const ConditionField& f) { return f.name == "years"; });
    if (years == model.conditions.end())
      fail(ErrorKind::config, "bridge.conditions", "bridge: expected a condition \"years\", got none");
    const ConditionField kept = *years;
    const auto place = years - model.conditions.begin();
    model.conditions.erase(years);
    const std::vector<std::string> removed =
        fit_conditions(model.conditions, data.labels, data.scans.train, data.used(), absent);
    model.conditions.insert(model.conditions.begin() + std::min(place, std::ssize(model.conditions)), kept);
    model.validate();
    require_latent_training(training, drop, validation_pairs, "bridge");
    return removed;
  }
  /// Fills what the pairs decide.
  void take_pairs(Context<Cpu>&, const LatentData&, const ForecastTrainingPairs& found) {
    training = training.resolved(std::ssize(found.train));
  }
  /// The conditions that labels have: all but the years.
  std::vector<ConditionField> label_conditions() const { return baseline_conditions(model.conditions); }
};

template <Backend B, Precision P>
class BridgeTask : public ForecastTask<BridgeTask<B, P>, BridgeTrainingConfig, B, typename P::Compute> {
  using T = typename P::Compute;
  using Base = ForecastTask<BridgeTask, BridgeTrainingConfig, B, T>;
  friend Base;

 public:
  struct Batch {
    BridgeSample<T, B> sample;
    Tensor<T, B> baseline;  // (N, L, C)
    ConditionBatch conditions;
  };

  BridgeTask(Context<B>& context, Context<Cpu>& host, const Dit3d<B, P>& model, const LatentData& data,
             const ForecastTrainingPairs& pairs, const BridgeTrainingConfig& config, std::uint64_t seed, Index start)
      : Base(context, host, data, pairs, config, seed, start), model_(&model) {}

  Var<double, B> loss(Pass<B>& pass, const Batch& b) const {
    const Var<T, B> context = model_->config.context_channels > 0 ? Var<T, B>(b.baseline) : Var<T, B>();
    return mse_loss((*model_)(pass, Var<T, B>(b.sample.x_t), b.sample.t, b.conditions, context), b.sample.target);
  }

 private:
  const std::vector<ConditionField>& fields() const { return model_->config.conditions; }
  ConditionRow condition(const VisitPair& p) const {
    return pair_conditions(fields(), this->labels(p), p.age, p.years);
  }
  Batch make(const std::vector<VisitPair>& pairs, const std::vector<double>& t, const Tensor<T, B>& noise,
             const std::vector<ConditionRow>& rows) const {
    const Tensor<T, B> baseline = this->latents(pairs, &VisitPair::from);
    return {bridge_interpolate(this->config_.bridge, baseline, this->latents(pairs, &VisitPair::to), noise, t),
            baseline, condition_batch(fields(), rows)};
  }

  const Dit3d<B, P>* model_;
};

}  // namespace braing3n::inline BRAING3N_ABI
