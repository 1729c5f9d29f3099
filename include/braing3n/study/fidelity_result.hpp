// Options and result of the study of fidelity, see fidelity.hpp.
#pragma once

#include <array>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/study/cohort.hpp"
#include "braing3n/study/result_json.hpp"
#include "braing3n/table/feature_table.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct FidelityOptions {
  std::string model{}, tokenizer{};  // files, or the folders of their runs
  CohortOptions cohort{};
  std::string train = "train", test = "test";  // the set that trained the model, the set of unseen subjects
  std::string truth{};                         // truth.csv of phantoms, or empty
  std::string reference{};                     // features of another run for Frechet distances, or empty
  std::vector<std::string> conditions{};       // whose classes become arms; none: all that have classes
  std::string within{};  // further conditions of every arm; empty: modality=T1 where the model knows it
  SamplingOptions sampling{.guidance = {.scale = 1.5}};
  std::string own_scales{};   // NAME=SCALE,...: conditions with a scale of their own
  Index samples = 64;         // of each arm
  Index calibration = 200;    // training scans on which the regression of region volumes is fitted, at most
  Index frechet = 400;        // unseen scans for Frechet distances, at most; 0: none of these
  Index pictures = 12;        // arms in the picture
  std::uint64_t seed = 2025;  // of the samples and of the halves

  static void visit(auto& self, auto&& v) {
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    v("cohort", self.cohort);
    v("train", self.train);
    v("test", self.test);
    v("truth", self.truth);
    v("reference", self.reference);
    v("conditions", self.conditions);
    v("within", self.within);
    v("sampling", self.sampling);
    v("own_scales", self.own_scales);
    v("samples", self.samples);
    v("calibration", self.calibration);
    v("frechet", self.frechet);
    v("pictures", self.pictures);
    v("seed", self.seed);
  }
};

/// Mean and standard deviation over scans or samples; NaN where there are too few.
struct Spread {
  Index n = 0;
  double mean = std::numeric_limits<double>::quiet_NaN(), sd = mean;

  static Spread of(const std::vector<double>& values) {
    Spread s;
    s.n = std::ssize(values);
    if (values.empty()) return s;
    const Moments m = moments(values);
    s.mean = m.mean, s.sd = m.sample_standard_deviation();
    return s;
  }

  static void visit(auto& self, auto&& v) {
    v("n", self.n);
    v("mean", self.mean);
    v("sd", self.sd);
  }
};

/// x / y; NaN unless y is positive.
inline double ratio_of(double x, double y) { return y > 0 ? x / y : std::numeric_limits<double>::quiet_NaN(); }

/// Mean distances of latents within one arm, between different subjects.
struct ArmDiversity {
  std::string arm;
  Json conditions;
  Index samples = 0, empty = 0;  // empty: without a brain
  double distance = 0;
  Index unseen_scans = 0;
  double unseen_distance = 0, ratio = 0;
  Index training_scans = 0;
  double training_distance = 0, ratio_training = 0;

  static void visit(auto& self, auto&& v) {
    v("arm", self.arm);
    v("conditions", self.conditions);
    v("samples", self.samples);
    v("empty", self.empty);
    v("distance", self.distance);
    v("unseen_scans", self.unseen_scans);
    v("unseen_distance", self.unseen_distance);
    v("ratio", self.ratio);
    v("training_scans", self.training_scans);
    v("training_distance", self.training_distance);
    v("ratio_training", self.ratio_training);
  }
};

/// Volumes of one region in one arm, in ml. Errors are relative to the truth's mean, ratios to its standard deviation.
struct RegionFidelity {
  std::string arm, region;
  Spread truth, round_trips, samples;
  double mean_error = 0, sd_ratio = 0, round_trip_mean_error = 0, round_trip_sd_ratio = 0;

  static void visit(auto& self, auto&& v) {
    v("arm", self.arm);
    v("region", self.region);
    v("truth", self.truth);
    v("round_trips", self.round_trips);
    v("samples", self.samples);
    v("mean_error", self.mean_error);
    v("sd_ratio", self.sd_ratio);
    v("round_trip_mean_error", self.round_trip_mean_error);
    v("round_trip_sd_ratio", self.round_trip_sd_ratio);
  }
};

/// Distances of features between groups of different subjects; real: scans, recons: their round trips, gen: samples under their conditions.
struct FrechetDistances {
  std::string recipe;  // identifies model, preprocessing and pooling of the features
  Index features = 0;
  std::array<Index, 2> n{};  // scans in each half
  double gen_real = 0, gen_recons = 0, recons_real = 0, real_halves = 0, recons_halves = 0, gen_recons_ratio = 0;
  std::optional<double> gen_reference;
  Index reference_rows = 0;

  static void visit(auto& self, auto&& v) {
    v("recipe", self.recipe);
    v("features", self.features);
    v("n", self.n);
    v("gen_real", self.gen_real);
    v("gen_recons", self.gen_recons);
    v("recons_real", self.recons_real);
    v("real_halves", self.real_halves);
    v("recons_halves", self.recons_halves);
    v("gen_recons_ratio", self.gen_recons_ratio);
    if (self.gen_reference) v("gen_reference", *self.gen_reference);
  }
};

struct FidelityResult {
  std::string kind = "braing3n fidelity";
  std::string model, tokenizer;  // hashes
  std::string distribution{};    // of phantoms; empty for other scans
  double guidance = 0;
  std::string own_scales;
  Index steps = 0;
  Sampler sampler = Sampler::euler;
  std::uint64_t seed = 0;
  Index empty = 0;  // samples of the arms without a brain
  std::vector<ArmDiversity> arms;
  std::vector<RegionFidelity> regions;      // with a truth
  std::optional<FrechetDistances> frechet;  // unless options.frechet is 0

  Index samples = 0, latent_size = 0, calibration = 0;
  FeatureTable features;                   // of the unseen scans of `frechet`
  std::vector<std::string> arms_left_out;  // no training scan has these conditions
  bool has_truth = false;
  std::vector<Image> pictures;  // two columns
  std::vector<std::string> captions;
  std::vector<LeftOut> left_out;

  /// What fidelity.json holds.
  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("cfg", self.guidance);
    v("cfg_of", self.own_scales);
    v("steps", self.steps);
    v("sampler", self.sampler);
    v("seed", self.seed);
    v("empty", self.empty);
    v("arms", self.arms);
    v("regions", self.regions);
    v("frechet", self.frechet);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI::study
