// What the trainings of forecasters share: pairs of visits that can be used, conditions of a pair, validation over pairs.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "braing3n/data/forecast_ranges.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/data/pair_stream.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/train/options.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The pairs of a training: of known age and some time apart.
struct ForecastTrainingPairs {
  std::vector<VisitPair> train, validation;
  ForecastRanges ranges;  // of the training pairs
  Findings findings;
  std::string hash;  // of latents, conditions and pairs
};

/// The pairs of the training and of the validation subjects. Conditions of the data are taken. Throws Error: what visit_pair_sets() throws; format (no pair
/// of known age).
inline ForecastTrainingPairs forecast_training_pairs(const LatentData& data, const VisitPairOptions& options,
                                                     bool both_ways) {
  const VisitPairSets sets = visit_pair_sets(data.labels, data.scans, options);
  ForecastTrainingPairs r;
  r.findings = sets.train.findings;
  for (const Finding& f : sets.validation.findings)
    if (f.severity != Severity::note) r.findings.add(f.severity, f.id.c_str(), "validation set: ", f.sentence);
  const auto usable = [&](const VisitPairs& from, const char* set) {
    std::vector<VisitPair> kept;
    Index without_age = 0;
    for (const VisitPair& p : from.pairs) {
      if (p.years != 0 && std::isfinite(p.age)) kept.push_back(p);
      else without_age += p.years != 0;
    }
    if (without_age > 0)
      r.findings.add(Severity::warning, "visits.age_missing", without_age, " of ", from.pairs.size(), " ", set,
                     " pairs are left out: the age at their first visit is not known");
    if (kept.empty())
      throw Error(
          ErrorKind::format, "forecast.pairs",
          concat("expected ", set, " pairs of visits some time apart with an age, got none of ", from.pairs.size()),
          data.labels.path.string());
    return kept;
  };
  r.train = usable(sets.train, "training");
  r.validation = usable(sets.validation, "validation");
  r.ranges = forecast_ranges(data.labels, r.train, both_ways);
  r.hash =
      concat(data.scans.hash, '-', hash_of_pairs(data.labels, r.train), '-', hash_of_pairs(data.labels, r.validation));
  return r;
}

/// Channels and grid of a network that has none become those of the latents. Throws Error (shape) where it has others; `what` begins its
/// sentence.
inline void fit_to_latents(Dit3dConfig& network, const LatentFile& latents, const std::string& what) {
  if (network.channels == 0) network.channels = latents.channels();
  if (network.grid == Extent3{0, 0, 0}) network.grid = latents.grid();
  if (network.channels != latents.channels() || network.grid != latents.grid())
    throw Error(ErrorKind::shape, "forecast.latents",
                concat(what, ": expected latents of ", network.channels, " channels on ",
                       Shape(std::span<const Index>(network.grid)), ", got ", latents.channels(), " on ",
                       Shape(std::span<const Index>(latents.grid()))),
                latents.path());
}

/// Throws Error (config): augmentation, no validation pairs, probabilities that are none.
inline void require_latent_training(const TrainingOptions& training, const DropOptions& drop, Index validation_pairs,
                                    const std::string& what) {
  if (!(drop.all >= 0 && drop.all_but_one >= 0 && drop.all + drop.all_but_one <= 1))
    fail(ErrorKind::config, "forecast.drop", what,
         ": expected probabilities of hiding all conditions and all but one in [0, 1] that add up to at most 1, got ",
         drop.all, " and ", drop.all_but_one);
  if (training.augment.any()) fail(ErrorKind::config, "forecast.augment", what, ": latents cannot be augmented");
  if (validation_pairs < 1)
    fail(ErrorKind::config, "forecast.validation", what, ": expected at least 1 validation pair, got ",
         validation_pairs);
}

/// The conditions that labels of the baseline have: all but the years.
inline std::vector<ConditionField> baseline_conditions(std::vector<ConditionField> fields) {
  std::erase_if(fields, [](const ConditionField& f) { return f.name == "years"; });
  return fields;
}

/// The row of baseline_conditions() with the years in their place, and with the age at the baseline.
inline ConditionRow pair_conditions(const std::vector<ConditionField>& fields, const ConditionRow& baseline, double age,
                                    double years) {
  ConditionRow row;
  std::size_t at = 0;
  for (const ConditionField& f : fields) {
    ConditionValue value;
    if (f.name == "years") value.number = years;
    else value = baseline.at(at++);
    if (f.name == "age" && std::isfinite(age)) value.number = age;
    row.push_back(value);
  }
  return row;
}

}  // namespace braing3n::inline BRAING3N_ABI
