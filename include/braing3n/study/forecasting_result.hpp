// Options and result of the study of forecasts: rules, models, oracle and measured truth side by side, by quantity and horizon.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/eval/band_means.hpp"
#include "braing3n/eval/forecast_scores.hpp"
#include "braing3n/eval/growth_ratio.hpp"
#include "braing3n/eval/interval_scale.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/study/cohort.hpp"
#include "braing3n/study/forecast_readings.hpp"
#include "braing3n/study/result_json.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct ForecastingOptions {
  std::string model{}, bridge{},
      tokenizer{};  // files, or the folders of their runs; bridge: the published method beside ours, or empty
  CohortOptions cohort{};
  std::string train = "train",            // the set that trained the models; rules and probes are fitted on it
      validation = "validation",          // on which intervals are scaled
      test = "test";                      // unseen subjects, who are scored
  std::string latents{};                  // of all visits
  std::string truth{};                    // truth.csv of phantoms, or empty
  std::string over = "AD", under = "HC";  // the diagnoses whose growth is compared
  double coverage = 0.9;                  // of the intervals of forecasts
  ForecastScoreOptions scores{};
  Index probe_scans = 2000;      // round trips of training scans on which probes are fitted, at most
  int bridge_steps = 100;        // of a bridge
  Index oracle_draws = 100'000;  // subjects on which the oracle is fitted
  Index pictures = 4;            // subjects in the picture
  std::uint64_t seed = 2025;

  static void visit(auto& self, auto&& v) {
    v("model", self.model);
    v("bridge", self.bridge);
    v("tokenizer", self.tokenizer);
    v("cohort", self.cohort);
    v("train", self.train);
    v("validation", self.validation);
    v("test", self.test);
    v("latents", self.latents);
    v("truth", self.truth);
    v("over", self.over);
    v("under", self.under);
    v("coverage", self.coverage);
    v("scores", self.scores);
    v("probe_scans", self.probe_scans);
    v("bridge_steps", self.bridge_steps);
    v("oracle_draws", self.oracle_draws);
    v("pictures", self.pictures);
    v("seed", self.seed);
  }
};

/// floor: a rule that sees numbers only. model: sees the scan. oracle: the expected change given all that a baseline could tell, where the
/// distribution is known. truth: second visits themselves. ceiling: second visits after a round trip through the tokenizer.
enum class ForecasterKind { floor, model, oracle, truth, ceiling };

/// Scores of one forecaster on one quantity.
struct QuantityScores {
  std::vector<BandScores> bands;           // "all" last
  std::optional<IntervalScale> intervals;  // where the forecaster has a standard deviation
  std::optional<GrowthRatio> growth;       // where both diagnoses are known
  std::optional<AskedEffect> asked;        // where a model was asked for another diagnosis

  static void visit(auto& self, auto&& v) {
    v("bands", self.bands);
    if (self.intervals) v("intervals", *self.intervals);
    if (self.growth) v("growth", *self.growth);
    if (self.asked) v("asked", *self.asked);
  }
};

/// Images against the round trips of second visits, by band. over_locf: PSNR less that of the baseline's round trip.
struct ImageScores {
  std::vector<BandMean> psnr, over_locf, ssim;

  static void visit(auto& self, auto&& v) {
    v("psnr", self.psnr);
    v("over_locf", self.over_locf);
    v("ssim", self.ssim);
  }
};

/// What a field in years promises by its form. Shares are of the size of the change of latents.
struct ConsistencyChecks {
  double identity = not_a_number;  // largest difference at 0 years
  double composed = not_a_number;  // of two years and three years from five
  double returned = not_a_number;  // of the baseline from there and back

  static void visit(auto& self, auto&& v) {
    v("identity", self.identity);
    v("composed", self.composed);
    v("returned", self.returned);
  }
};

struct ForecasterResult {
  std::string name{}, text{};  // text: what it is, in a sentence
  ForecasterKind kind = ForecasterKind::model;
  Named<QuantityScores> quantities{};
  std::optional<ImageScores> images{};
  std::optional<ConsistencyChecks> checks{};

  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("text", self.text);
    v("quantities", self.quantities);
    if (self.images) v("images", *self.images);
    if (self.checks) v("checks", *self.checks);
  }
};

/// A quantity with the unit of its values: "ml", "years".
struct ForecastQuantity {
  std::string name, unit;

  static void visit(auto& self, auto&& v) {
    v("name", self.name);
    v("unit", self.unit);
  }
};

struct ForecastingResult {
  std::string kind = "braing3n forecasting", version = BRAING3N_VERSION_STRING;
  std::string model, bridge, tokenizer;  // hashes
  std::string distribution;              // of phantoms, or empty
  ForecastingOptions options;
  Index pairs = 0, subjects = 0;  // that are scored
  Index training_pairs = 0, validation_subjects = 0;
  std::vector<std::string> notes;  // what the subjects cannot show
  std::vector<ForecastQuantity> quantities;
  std::vector<ForecasterResult> forecasters;  // in the order of the tables

  std::optional<ForecastReadings> readings;  // what readings.json holds

  std::vector<Image> pictures;
  std::vector<std::string> captions;

  /// What forecasting.json holds.
  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("version", self.version);
    v("model", self.model);
    v("bridge", self.bridge);
    v("tokenizer", self.tokenizer);
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("options", self.options);
    v("pairs", self.pairs);
    v("subjects", self.subjects);
    v("training_pairs", self.training_pairs);
    v("validation_subjects", self.validation_subjects);
    if (!self.notes.empty()) v("notes", self.notes);
    v("quantities", self.quantities);
    Named<ForecasterResult> forecasters;
    for (const ForecasterResult& f : self.forecasters) forecasters.emplace_back(f.name, f);
    v("forecasters", forecasters);
  }
};

/// The scores of a forecaster in one band; none where it does not forecast the quantity.
inline const BandScores* band_of(const ForecasterResult& forecaster, const std::string& quantity,
                                 const std::string& band) {
  for (const auto& [name, scores] : forecaster.quantities)
    if (name == quantity)
      for (const BandScores& b : scores.bands)
        if (b.band == band) return &b;
  return nullptr;
}

/// The same of the first forecaster of a kind.
inline const BandScores* band_of(const ForecastingResult& r, ForecasterKind kind, const std::string& quantity,
                                 const std::string& band) {
  const auto found = std::find_if(r.forecasters.begin(), r.forecasters.end(),
                                  [&](const ForecasterResult& f) { return f.kind == kind; });
  return found == r.forecasters.end() ? nullptr : band_of(*found, quantity, band);
}

/// A score as a share of another's: NaN where that one is missing or not positive.
inline double share_of(double score, const BandScores* of, Estimate BandScores::* field) {
  return of != nullptr && (of->*field).value > 0 ? score / (of->*field).value : not_a_number;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
