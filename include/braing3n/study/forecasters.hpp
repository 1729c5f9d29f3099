// The forecasters of the study: from standardised latents at a baseline to those of the follow-up.
#pragma once

#include <algorithm>
#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/checkpoint/saved_forecaster.hpp"
#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/data/condition_labels.hpp"
#include "braing3n/sample/bridge.hpp"
#include "braing3n/sample/years.hpp"
#include "braing3n/study/forecasting_result.hpp"
#include "braing3n/train/forecast_pairs.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Baselines and their horizons.
struct ForecastBatch {
  Tensor<float, Cpu> baseline;  // (N, L, C), standardised
  std::vector<double> ages;     // (N)
  std::vector<std::vector<double>>
      stops;                             // per horizon (N): years from the baseline, in the order of integrate_years()
  std::vector<ConditionRow> conditions;  // (N), of Forecaster::fields
  std::vector<std::uint32_t> ids;        // (N): to which noise belongs
};

struct Forecaster {
  std::string name, text;              // text: what it is
  std::vector<ConditionField> fields;  // labels of the baseline that it takes
  ForecasterOrigin origin;
  std::string hash;
  bool backwards = false;  // takes horizons before the baseline
  std::function<std::vector<Tensor<float, Cpu>>(const ForecastBatch&)> follow_ups;  // per horizon (N, L, C)

  /// Whether it has the condition, and the class in it.
  bool takes(const std::string& condition, const std::string& value) const {
    return std::any_of(fields.begin(), fields.end(), [&](const ConditionField& f) {
      return f.name == condition && std::find(f.values.begin(), f.values.end(), value) != f.values.end();
    });
  }
};

namespace detail {

/// The linear part of a field as a field of its own.
template <class Field>
struct LinearPart {
  using T = typename Field::T;
  const RateFieldConfig& config;
  const Field& field;

  template <Backend B>
  Var<T, B> operator()(Pass<B>& pass, const Var<T, B>&, const std::vector<double>& ages,
                       const ConditionBatch& conditions, const Var<T, B>& baseline) const {
    return field.linear(pass, baseline, rate_features(config.network.conditions, conditions, ages));
  }
};

template <class Field>
std::vector<Tensor<float, Cpu>> followed(Context<Cpu>& ctx, const Field& field, const ForecastBatch& b) {
  return forecast_latents(ctx, field, b.baseline, b.ages, b.conditions, b.stops);
}

/// A bridge goes to every horizon anew.
inline std::vector<Tensor<float, Cpu>> bridged(Context<Cpu>& ctx, const LoadedBridge<Cpu, F32>& bridge,
                                               const BridgeSamplingOptions& sampling, std::uint64_t seed,
                                               const ForecastBatch& b) {
  const std::vector<ConditionField>& fields = bridge.model.config.conditions;
  std::vector<Tensor<float, Cpu>> reached;
  for (const std::vector<double>& years : b.stops) {
    std::vector<ConditionRow> rows;
    for (std::size_t i = 0; i < years.size(); ++i)
      rows.push_back(pair_conditions(fields, b.conditions[i], b.ages[i], years[i]));
    reached.push_back(sample_bridge(ctx, bridge.model, b.baseline, rows, std::span<const std::uint32_t>(b.ids),
                                    seed + reached.size(), sampling));
  }
  return reached;
}

}  // namespace detail

/// The forecasters in a file: a field of rates and, before it, its linear part alone; or a bridge. Throws what loading throws, and Error
/// (config) for a file of another kind.
template <std::same_as<Cpu> B>
std::vector<Forecaster> load_forecasters(Context<B>& ctx, const std::string& path,
                                         const LoadedTokenizer<Cpu, F32>& tokenizer,
                                         const ForecastingOptions& options) {
  const std::string kind = ModelFile(model_path(path)).info().kind;
  std::vector<Forecaster> all;
  if (kind == "bridge3d") {
    const auto loaded = std::make_shared<LoadedBridge<Cpu, F32>>(load_bridge<F32>(ctx, path));
    require_tokenizer(loaded->model.config, loaded->origin, tokenizer.model.config, tokenizer.hash, options.tokenizer);
    const BridgeSamplingOptions sampling{.bridge = loaded->bridge, .steps = options.bridge_steps};
    all.push_back({"bridge", "the published method: a bridge from the baseline to the follow-up",
                   baseline_conditions(loaded->model.config.conditions), loaded->origin, loaded->hash, false,
                   [&ctx, loaded, sampling, seed = options.seed](const ForecastBatch& b) {
                     return detail::bridged(ctx, *loaded, sampling, seed, b);
                   }});
    return all;
  }
  const auto loaded = std::make_shared<LoadedRateField<Cpu, F32>>(load_rate_field<F32>(ctx, path));
  require_tokenizer(loaded->model.config.network, loaded->origin, tokenizer.model.config, tokenizer.hash,
                    options.tokenizer);
  const std::vector<ConditionField>& fields = loaded->model.config.network.conditions;
  using Field = RateField3d<Cpu, F32>;
  if (loaded->model.linear.exists())
    all.push_back({"latent ridge", "the linear part of the field alone", fields, loaded->origin, loaded->hash, true,
                   [&ctx, loaded](const ForecastBatch& b) {
                     return detail::followed(ctx, detail::LinearPart<Field>{loaded->model.config, loaded->model}, b);
                   }});
  all.push_back({"field of rates", "rates of change in years, integrated from the baseline", fields, loaded->origin,
                 loaded->hash, true,
                 [&ctx, loaded](const ForecastBatch& b) { return detail::followed(ctx, loaded->model, b); }});
  return all;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
