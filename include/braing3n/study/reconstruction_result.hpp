// Options and result of the study of reconstructions, see reconstruction.hpp.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/study/cohort.hpp"
#include "braing3n/study/result_json.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// A model with the name that tables give it.
struct NamedModel {
  std::string name, path;

  static void visit(auto& self, auto&& v) {
    v("name", self.name);
    v("path", self.path);
  }
};

struct ReconstructionOptions {
  std::string tokenizer{};           // its file, or the folder of its run
  std::vector<NamedModel> beside{};  // other tokenizers for the same scans
  CohortOptions cohort{};
  std::string test = "test";                                         // the set that is scored
  std::vector<std::string> baseline_sets = {"train", "validation"};  // on which the simpler codes are fitted
  std::string truth{};                                               // truth.csv of phantoms (T1 only), or empty
  Index pictures = 3;                                                // scans in the picture

  static void visit(auto& self, auto&& v) {
    v("tokenizer", self.tokenizer);
    v("beside", self.beside);
    v("cohort", self.cohort);
    v("test", self.test);
    v("baseline_sets", self.baseline_sets);
    v("truth", self.truth);
    v("pictures", self.pictures);
  }
};

/// The mean over scans, and the border jump: how much larger differences between voxels are at the borders of patches than inside.
struct MeanReconstructionScore : ReconstructionScore {
  double border_jump = 0;

  static void visit(auto& self, auto&& v) {
    ReconstructionScore::visit(self, v);
    v("border_jump", self.border_jump);
  }
};

/// The scores of one method, scan by scan.
struct MethodScores {
  std::string name;
  std::vector<ReconstructionScore> scores{};
  std::vector<double> border_jump{};

  MeanReconstructionScore mean() const;
};

struct PairedDifference {
  double mean = 0, two_standard_errors = 0;
  Index better = 0;  // scans

  static void visit(auto& self, auto&& v) {
    v("mean", self.mean);
    v("two_standard_errors", self.two_standard_errors);
    v("better", self.better);
  }
};

/// Differences to the better of the two trilinear methods, score by score; mask: inside the brain.
struct ScoreDifferences {
  PairedDifference psnr, ssim, mask_psnr, mask_ssim;

  static void visit(auto& self, auto&& v) {
    v("psnr", self.psnr);
    v("ssim", self.ssim);
    v("mask_psnr", self.mask_psnr);
    v("mask_ssim", self.mask_ssim);
  }
};

/// Error of a region's volume, relative to the truth: mean, and mean of the absolute values.
struct VolumeError {
  double mean = 0, mean_size = 0;

  static void visit(auto& self, auto&& v) {
    v("mean", self.mean);
    v("mean_size", self.mean_size);
  }
};
struct RegionVolumeErrors {
  VolumeError scans, tokenizer;

  static void visit(auto& self, auto&& v) {
    v("scans", self.scans);
    v("tokenizer", self.tokenizer);
  }
};

struct ReconstructionResult {
  std::string distribution{};                        // of phantoms; empty for other scans
  std::vector<std::string> scans;                    // volume_id of each scan that was scored
  Named<ScoreDifferences> difference_to_trilinear;   // of every other method
  Named<MeanReconstructionScore> methods;            // means over scans
  std::optional<Named<RegionVolumeErrors>> regions;  // with a truth

  std::vector<MethodScores> scores;                               // scan by scan, methods in the order of `methods`
  std::string set;                                                // that was scored
  Index tokens = 0, channels = 0, values = 0, coarse_values = 0;  // of a scan's code; of its trilinear code
  double scan_border_jump = 0;                                    // of the scans themselves
  std::vector<Image> pictures;                                    // four columns
  std::vector<std::string> captions;
  std::vector<LeftOut> left_out;

  /// What summary.json holds.
  static void visit(auto& self, auto&& v) {
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("scans", self.scans);
    v("difference_to_trilinear", self.difference_to_trilinear);
    v("methods", self.methods);
    if (self.regions) v("region_volume_errors", *self.regions);
  }
};

/// a - b over scans, with the same scans in both. field and region choose the score.
inline PairedDifference paired_difference(const MethodScores& a, const MethodScores& b, double RegionScore::* field,
                                          RegionScore ReconstructionScore::* region) {
  PairedDifference d;
  const double n = static_cast<double>(a.scores.size());
  const auto difference = [&](std::size_t i) { return a.scores[i].*region.*field - b.scores[i].*region.*field; };
  for (std::size_t i = 0; i < a.scores.size(); ++i) {
    d.mean += difference(i) / n;
    d.better += difference(i) > 0;
  }
  double squares = 0;  // about the mean: a method that is always better by the same has an error of 0
  for (std::size_t i = 0; i < a.scores.size(); ++i) squares += (difference(i) - d.mean) * (difference(i) - d.mean) / n;
  if (a.scores.size() > 1) d.two_standard_errors = 2 * std::sqrt(squares / (n - 1));
  return d;
}

inline MeanReconstructionScore MethodScores::mean() const { return {mean_score(scores), moments(border_jump).mean}; }

/// The differences of every method but the two trilinear ones, which are at `first_trilinear` and after it.
inline Named<ScoreDifferences> differences_to_trilinear(const std::vector<MethodScores>& methods,
                                                        std::size_t first_trilinear) {
  const MethodScores &point = methods[first_trilinear], &area = methods[first_trilinear + 1];
  Named<ScoreDifferences> all;
  for (const MethodScores& m : methods) {
    if (&m == &point || &m == &area) continue;
    const auto difference = [&](double RegionScore::* field, RegionScore ReconstructionScore::* region) {
      const auto value = [&](const MethodScores& t) { return mean_score(t.scores).*region.*field; };
      return paired_difference(m, value(point) >= value(area) ? point : area, field, region);
    };
    all.emplace_back(m.name, ScoreDifferences{difference(&RegionScore::psnr_extremes, &ReconstructionScore::whole),
                                              difference(&RegionScore::ssim, &ReconstructionScore::whole),
                                              difference(&RegionScore::psnr_extremes, &ReconstructionScore::mask),
                                              difference(&RegionScore::ssim, &ReconstructionScore::mask)});
  }
  return all;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
