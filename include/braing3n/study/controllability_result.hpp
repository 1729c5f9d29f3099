// Options and result of the study of controllability, see controllability.hpp.
#pragma once

#include <string>
#include <vector>

#include "braing3n/eval/controllability.hpp"
#include "braing3n/report/image.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/study/cohort.hpp"
#include "braing3n/study/result_json.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct ControllabilityOptions {
  std::string model{}, tokenizer{};  // files, or the folders of their runs
  CohortOptions cohort{};
  std::string train = "train",
              test = "test";  // the set on which probes are fitted (it trained the model), the set of unseen subjects
  /// A-B (two values of disease), tumour, or a condition's name; NAME@MODALITY restricts it to one modality.
  std::vector<std::string> contrasts{"HC-AD", "MCI-AD", "HC-MCI", "HC-PD", "sex", "modality", "tumour", "idh1", "age"};
  std::vector<std::string> probe_kinds{"round-trip", "real", "latents"};  // these, tokens, or both: the first two
  Index probe_scans = 1600;  // on which probes are fitted, at most (all scans of a subject or none)
  std::string half = "all";  // of the subjects on whom probes are fitted: all, first, second
  std::string probe{};       // a file of saved probes that are scored too, or empty
  std::vector<std::string>
      chosen_with{};  // reports of earlier studies that chose the guidance: their probes may not score
  SamplingOptions sampling{.steps = 25};
  std::vector<double> guidance{1, 1.5, 2, 3};  // scales, each with a table
  std::string own_scales{};                    // NAME=SCALE,...: conditions with a scale of their own in every table
  Index n = 64;                                // samples of a class (idh1: and modality)
  std::uint64_t seed = 2025;                   // of the samples

  static void visit(auto& self, auto&& v) {
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    v("cohort", self.cohort);
    v("train", self.train);
    v("test", self.test);
    v("contrasts", self.contrasts);
    v("probe_kinds", self.probe_kinds);
    v("probe_scans", self.probe_scans);
    v("half", self.half);
    v("probe", self.probe);
    v("chosen_with", self.chosen_with);
    v("sampling", self.sampling);
    v("guidance", self.guidance);
    v("own_scales", self.own_scales);
    v("n", self.n);
    v("seed", self.seed);
  }
};

/// A share of n with its 95 % interval; NaN when n is 0.
struct ShareResult {
  double share = not_a_number, low = not_a_number, high = not_a_number;
  Index n = 0;

  ShareResult() = default;
  ShareResult(const Rate& r) : share(r.share()), low(r.interval()[0]), high(r.interval()[1]), n(r.n) {}

  static void visit(auto& self, auto&& v) {
    v("share", self.share);
    v("low", self.low);
    v("high", self.high);
    v("n", self.n);
  }
};
using Shares = Named<ShareResult>;  // by class

inline Shares shares_of(const std::vector<Rate>& rates, const std::vector<std::string>& classes) {
  Shares all;
  for (std::size_t k = 0; k < rates.size(); ++k) all.emplace_back(classes[k], rates[k]);
  return all;
}

struct ClassResult {
  double balanced_accuracy = not_a_number, low = not_a_number, high = not_a_number;
  Shares recall;

  ClassResult() = default;
  ClassResult(const ClassScore& s, const std::vector<std::string>& classes)
      : balanced_accuracy(s.balanced_accuracy()), low(s.interval()[0]), high(s.interval()[1]),
        recall(shares_of(s.recall, classes)) {}

  static void visit(auto& self, auto&& v) {
    v("balanced_accuracy", self.balanced_accuracy);
    v("low", self.low);
    v("high", self.high);
    v("recall", self.recall);
  }
};

struct MeanSd {
  double mean = not_a_number, sd = not_a_number;

  static void visit(auto& self, auto&& v) {
    v("mean", self.mean);
    v("sd", self.sd);
  }
};

/// Scores of one probe on classes. cond: samples of a requested class, by guidance scale.
struct ClassContrast {
  Named<ClassResult> cond;
  ClassResult real, round_trip;
  Named<double> prior;  // share of the training subjects
  Shares all_unseen;    // shares predicted on round trips of all unseen subjects
  Shares null;          // samples without conditions; none where the classes are the modalities
};

/// Scores of one probe on a number.
struct NumberContrast {
  Named<NumberScore> cond;
  NumberScore real, round_trip, null;
  MeanSd prior;
};

/// Scores of one probe on one contrast.
struct ContrastResult {
  std::string name, hash;  // hash: of the probe
  bool converged = true, of_modalities = false;
  std::vector<std::string> modalities, classes;  // classes: none of a number
  ClassContrast of_classes;                      // one of the two
  NumberContrast of_numbers;

  bool is_number() const { return classes.empty(); }

  static void visit(auto& self, auto&& v) {
    v("hash", self.hash);
    v("converged", self.converged);
    v("modalities", self.modalities);
    if (self.is_number()) {
      v("cond", self.of_numbers.cond);
      v("real", self.of_numbers.real);
      v("round_trip", self.of_numbers.round_trip);
      v("null", self.of_numbers.null);
      v("prior", self.of_numbers.prior);
      return;
    }
    v("cond", self.of_classes.cond);
    v("classes", self.classes);
    v("real", self.of_classes.real);
    v("round_trip", self.of_classes.round_trip);
    v("prior", self.of_classes.prior);
    v("all_unseen", self.of_classes.all_unseen);
    if (!self.of_classes.null.empty()) v("null", self.of_classes.null);
  }
};

struct ProbeScores {
  std::string name, text;  // text: what it is fitted on
  bool decoded = true;     // applied to volumes, so that round trips are a ceiling
  std::vector<ContrastResult> contrasts;
};

/// A contrast that could not be tested, and why.
struct ContrastLeftOut {
  std::string contrast, reason;

  static void visit(auto& self, auto&& v) {
    v("contrast", self.contrast);
    v("reason", self.reason);
  }
};

struct ModelRecord {
  std::string file, hash;

  static void visit(auto& self, auto&& v) {
    v("file", self.file);
    v("hash", self.hash);
  }
};

struct ControllabilityResult {
  std::string kind = "braing3n controllability", version = BRAING3N_VERSION_STRING;
  ModelRecord model, tokenizer;
  std::string distribution;  // of phantoms; empty for other scans
  ControllabilityOptions options;
  Index probe_scans = 0, unseen_scans = 0;  // that were read
  std::string features;                     // what they mean
  Index samples_without_brain = 0;
  std::vector<ContrastLeftOut> contrasts_left_out;
  std::vector<ProbeScores> probes;

  std::vector<Image> pictures;
  Index picture_columns = 1;
  std::vector<std::string> captions;
  std::vector<LeftOut> left_out;

  /// What controllability.json holds.
  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("version", self.version);
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("n", self.options.n);
    v("steps", self.options.sampling.steps);
    v("sampler", self.options.sampling.sampler);
    v("seed", self.options.seed);
    v("cfg", self.options.guidance);
    v("cfg_of", self.options.own_scales);
    v("probe_scans", self.probe_scans);
    v("unseen_scans", self.unseen_scans);
    v("probe_half", self.options.half);
    v("features", self.features);
    v("samples_without_brain", self.samples_without_brain);
    v("left_out", self.contrasts_left_out);
    Named<Named<ContrastResult>> probes;
    for (const ProbeScores& p : self.probes) {
      probes.emplace_back(p.name, Named<ContrastResult>());
      for (const ContrastResult& c : p.contrasts) probes.back().second.emplace_back(c.name, c);
    }
    v("probes", probes);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI::study
