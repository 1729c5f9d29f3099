// Follow-ups of one scan: encoded, moved in years by a field of rates, decoded at every horizon.
//
// A tokenizer holds less than a scan shows. What it cannot hold is given back: follow-up = scan + decoded forecast - decoded baseline, on the
// scan's own voxels. At a horizon of 0 the difference is exactly 0, and the follow-up is the scan.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <functional>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/checkpoint/saved_forecaster.hpp"
#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/models/tiled_decode.hpp"
#include "braing3n/sample/years.hpp"
#include "braing3n/volume/preprocess.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The subject of a scan and the horizons asked for.
struct ForecastPlan {
  double age = 0;             // years, at the scan
  ConditionRow conditions{};  // of the forecaster's fields
  std::vector<double> years;  // horizons, in any order
};

struct ScanForecast {
  double years = 0;
  Tensor<float, Cpu> decoded;  // (X, Y, Z) on the model's grid, in the model's intensities
  Volume volume;               // on the scan's own voxels and in its intensities, marked as synthetic
};

struct ScanForecasts {
  Tensor<float, Cpu> baseline;  // the decoded baseline (X, Y, Z)
  std::vector<ScanForecast> horizons;
};

enum class ForecastDetail { scan, decoded };  // the scan's own detail is given back, or the plain decode is returned

/// scan + decoded forecast - decoded baseline, voxel by voxel. Voxels that are exactly 0 in the scan stay 0. Throws Error (shape).
inline Volume with_change(const Volume& scan, Volume forecast, const Volume& baseline) {
  if (scan.size() != forecast.size() || scan.size() != baseline.size())
    fail(ErrorKind::shape, "forecast.voxels", "forecast: expected volumes on the scan's ", scan.size(), " voxels, got ",
         forecast.size(), " and ", baseline.size());
  for (Index i = 0; i < forecast.size(); ++i)
    forecast.data()[i] = scan.data()[i] == 0 ? 0.0f : scan.data()[i] + (forecast.data()[i] - baseline.data()[i]);
  return forecast;
}

namespace detail {

/// The latents (1, L, C) at every horizon. None depends on the others, so that a sidecar is enough to make a follow-up again: whole years are passed in
/// one integration, whose steps of a year are those to each of them alone, and any other horizon is reached by itself.
template <class Field>
std::vector<Tensor<float, Cpu>> latents_at(Context<Cpu>& ctx, const Field& field, const Tensor<float, Cpu>& start,
                                           const ForecastPlan& plan) {
  std::vector<Tensor<float, Cpu>> reached(plan.years.size());
  std::vector<std::size_t> forwards, backwards;
  const auto pass = [&](const std::vector<std::size_t>& places) {
    std::vector<std::vector<double>> stops;
    for (const std::size_t p : places) stops.push_back({plan.years[p]});
    auto made = forecast_latents(ctx, field, start, {plan.age}, {plan.conditions}, stops);
    for (std::size_t k = 0; k < places.size(); ++k) reached[places[k]] = std::move(made[k]);
  };
  for (std::size_t h = 0; h < reached.size(); ++h)
    if (const double years = plan.years[h]; years == std::trunc(years)) (years < 0 ? backwards : forwards).push_back(h);
    else pass({h});
  for (std::vector<std::size_t>* places : {&forwards, &backwards}) {
    std::stable_sort(places->begin(), places->end(),
                     [&](std::size_t a, std::size_t b) { return std::abs(plan.years[a]) < std::abs(plan.years[b]); });
    if (!places->empty()) pass(*places);
  }
  return reached;
}

}  // namespace detail

/// scan: as it was read; preprocessed: the same for the tokenizer. before_decode() runs before each decode and may throw to stop. Throws Error:
/// argument (a horizon or an age that is not finite), numeric (a forecast that is not finite), and what the decoder throws.
template <std::same_as<Cpu> B>
ScanForecasts forecast_scan(Context<B>& ctx, const LoadedTokenizer<Cpu, F32>& tokenizer,
                            const LoadedRateField<Cpu, F32>& field, const Volume& scan,
                            const Preprocessed& preprocessed, const ForecastPlan& plan,
                            ForecastDetail detail = ForecastDetail::scan,
                            const std::function<void()>& before_decode = {}) {
  const Shape& s = preprocessed.data.shape();
  Pass<Cpu> pass(ctx);
  const Tensor<float, Cpu> z =
      tokenizer.model.encode(pass, preprocessed.data.reshape({1, s[0], s[1], s[2], 1})).value();
  const Dit3dConfig& network = field.model.config.network;
  const Tensor<float, Cpu> start =
      field.origin.latents.standardize(z).reshape({1, volume_of(network.grid), network.channels});
  const std::vector<Tensor<float, Cpu>> reached = detail::latents_at(ctx, field.model, start, plan);

  const DecodeTiling tiling = choose_tiling(tokenizer.model.decoder);
  const auto decoded = [&](const Tensor<float, Cpu>& standardised) {
    if (before_decode) before_decode();
    if (!all_finite(standardised))
      fail(ErrorKind::numeric, "forecast.finite", "forecast: expected finite latents, got others");
    return decode(pass, tokenizer.model.decoder, field.origin.latents.restore(standardised).reshape(z.shape()), tiling)
        .reshape(s);
  };
  ScanForecasts out;
  out.baseline = decoded(start);
  const Volume before =
      detail == ForecastDetail::scan ? restore(ctx, out.baseline, preprocessed.record, &preprocessed.data) : Volume{};
  for (std::size_t h = 0; h < reached.size(); ++h) {
    ScanForecast f;
    f.years = plan.years[h];
    f.decoded = decoded(reached[h]);
    Volume after = restore(ctx, f.decoded, preprocessed.record, &preprocessed.data);
    f.volume = detail == ForecastDetail::scan ? with_change(scan, std::move(after), before) : std::move(after);
    f.volume.provenance = Provenance::synthetic;
    out.horizons.push_back(std::move(f));
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
