// Options and result of the study of memorisation, see memorisation.hpp.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "braing3n/eval/memorisation.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/study/result_json.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct MemorisationOptions {
  std::string model{}, tokenizer{};  // files, or the folders of their runs
  std::string latents{};             // those that trained the model
  std::string data{}, split{};       // a table of scans and conditions; a table subject_id,split
  std::string train = "train";       // the set that trained the model
  std::string samples{};       // a folder of synthetic volumes with sidecars that is searched; empty: samples are made
  Index n = 256;               // samples to make, under the conditions of training scans
  SamplingOptions sampling{};  // of these
  Index plant = 0;             // training scans, slightly changed, among the samples
  double plant_noise = 0.05;   // standard deviation of the noise on them, relative to that of the latents' channels
  Index pictures = 6;          // pairs in the picture
  std::uint64_t seed = 2025;   // of the samples and of the planted copies

  static void visit(auto& self, auto&& v) {
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    v("latents", self.latents);
    v("data", self.data);
    v("split", self.split);
    v("train", self.train);
    v("samples", self.samples);
    v("n", self.n);
    v("sampling", self.sampling);
    v("plant", self.plant);
    v("plant_noise", self.plant_noise);
    v("pictures", self.pictures);
    v("seed", self.seed);
  }
};

/// A sample and its nearest training scan.
struct NearestScan {
  std::string sample, nearest;
  double distance = 0;
  bool copy = false;                   // nearer than the 5th percentile of scans to any other scan
  bool near_subject = false;           // nearer than that of scans to another subject's
  std::optional<std::string> planted;  // the training scan that it is a copy of
  std::string conditions;              // of the sample, as text

  static void visit(auto& self, auto&& v) {
    v("sample", self.sample);
    v("nearest", self.nearest);
    v("distance", self.distance);
    v("copy", self.copy);
    v("near_subject", self.near_subject);
    if (self.planted) v("planted", *self.planted);
  }
};

/// The options with which samples were made.
struct MadeSamples {
  double guidance = 1;
  Index steps = 0;
  Sampler sampler = Sampler::euler;
  std::uint64_t seed = 0;

  static void visit(auto& self, auto&& v) {
    v("cfg", self.guidance);
    v("steps", self.steps);
    v("sampler", self.sampler);
    v("seed", self.seed);
  }
};

struct MemorisationResult {
  std::string kind = "braing3n memorisation audit";
  std::string model, tokenizer;  // hashes
  std::string distribution;      // of phantoms; empty for other scans
  Index training_scans = 0, samples = 0;
  DistanceSummary real, real_other_subjects,
      generated;                        // to the nearest other scan, to the nearest of others, of samples
  Index copies = 0, near_subjects = 0;  // samples, without the planted copies
  double ratio = 0;                     // mean distance of samples over that of scans
  Index planted = 0, planted_found = 0;
  std::vector<NearestScan> nearest;     // of samples and planted copies, the nearest pair first
  std::optional<MadeSamples> sampling;  // unless the samples were made from sidecars

  DistanceSummary planted_distances;
  Index values = 0;             // of a scan's latents
  std::string latents;          // their file
  std::vector<Image> pictures;  // two columns
  std::vector<std::string> captions;

  /// What memorisation.json holds.
  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("training_scans", self.training_scans);
    v("samples", self.samples);
    v("real", self.real);
    v("real_other_subjects", self.real_other_subjects);
    v("generated", self.generated);
    v("copies", self.copies);
    v("near_subjects", self.near_subjects);
    v("ratio", self.ratio);
    v("planted", self.planted);
    v("planted_found", self.planted_found);
    v("nearest", self.nearest);
    if (self.sampling) v("sampling", *self.sampling);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI::study
