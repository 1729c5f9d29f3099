// The two kinds of forecasters with one interface: for programs that train either.
#pragma once

#include <string>
#include <utility>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/checkpoint/saved_forecaster.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/sample/bridge.hpp"
#include "braing3n/sample/years.hpp"
#include "braing3n/train/bridge_training.hpp"
#include "braing3n/train/forecast_preview.hpp"
#include "braing3n/train/rate_field_training.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A field of rates, whose linear part is fitted before the first step.
struct RateFieldKind {
  using Config = RateFieldTrainingConfig;
  using Model = RateField3d<Cpu, F32>;
  using Task = RateFieldTask<Cpu, F32>;
  static constexpr const char* name = "rate_field3d";

  static const Dit3dConfig& network(const Config& c) { return c.model.network; }
  static std::vector<ConditionField> labels(const Config& c) { return c.model.network.conditions; }
  /// report: of the linear part, where there is one.
  static Model start(Context<Cpu>& ctx, const Config& c, const LatentData& data, const ForecastTrainingPairs& pairs,
                     std::uint64_t seed, LinearRateReport& report) {
    Model model(ctx, c.model);
    initialize(model, seed);
    if (c.model.rank > 0)
      report = fit_linear_rate(ctx, data, pairs.train, pairs.validation, c.full_weight_years, model);
    return model;
  }
  static void save(const std::filesystem::path& path, const Model& model, const Config&, const ForecasterOrigin& origin,
                   ModelInfo info) {
    save_rate_field(path, model, origin, std::move(info), {.overwrite = true});
  }
  static Tensor<float, Cpu> follow_up(Context<Cpu>& ctx, const Model& model, const Config&,
                                      const Tensor<float, Cpu>& baseline, const ConditionRow& row, const VisitPair& p) {
    return forecast_latents(ctx, model, baseline, {p.age}, {row}, {{p.years}})[0];
  }
};

/// The published bridge.
struct BridgeKind {
  using Config = BridgeTrainingConfig;
  using Model = Dit3d<Cpu, F32>;
  using Task = BridgeTask<Cpu, F32>;
  static constexpr const char* name = "bridge3d";

  static const Dit3dConfig& network(const Config& c) { return c.model; }
  static std::vector<ConditionField> labels(const Config& c) { return c.label_conditions(); }
  static Model start(Context<Cpu>& ctx, const Config& c, const LatentData&, const ForecastTrainingPairs&,
                     std::uint64_t seed, LinearRateReport&) {
    Model model(ctx, c.model);
    initialize(model, seed);
    return model;
  }
  static void save(const std::filesystem::path& path, const Model& model, const Config& c,
                   const ForecasterOrigin& origin, ModelInfo info) {
    save_bridge(path, model, c.bridge, origin, std::move(info), {.overwrite = true});
  }
  static Tensor<float, Cpu> follow_up(Context<Cpu>& ctx, const Model& model, const Config& c,
                                      const Tensor<float, Cpu>& baseline, const ConditionRow& row, const VisitPair& p) {
    const std::uint32_t first[] = {0};
    return sample_bridge(ctx, model, baseline, {pair_conditions(model.config.conditions, row, p.age, p.years)},
                         std::span<const std::uint32_t>(first), 0, {.bridge = c.bridge, .steps = 25});
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
