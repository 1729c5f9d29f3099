// Do the samples of a diffusion transformer have the requested labels?
//
// Probes are fitted on the subjects that trained the generator and applied to unseen scans, to their round trips through the tokenizer
// (the ceiling) and to samples, decoded and encoded again:
//   round-trip  one probe per modality on mean and sd of the tokens, fitted on round trips: samples are comparable with these
//   real        one probe for all modalities on the mean of the tokens, fitted on scans: the published method
//   latents     one probe per modality on the latents themselves, fitted on those of scans: the generator without the tokenizer's decoder
//   tokens      the same on the latents of every token
//   probe       saved probes
#pragma once

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/data/feature_contract.hpp"
#include "braing3n/data/guidance_scales.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/study/controllability_probes.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Hashes of the probes in a report of this study, older ones under the key "readers". Throws Error (file, format).
inline std::set<std::string> probes_of_report(const std::filesystem::path& path) {
  const Json json = read_json(path);
  std::set<std::string> hashes;
  if (!json.is_object() || json.value("kind", std::string()) != ControllabilityResult().kind)
    throw Error(ErrorKind::format, "evaluate.report", "expected a controllability.json, got another JSON file",
                path.string());
  for (const auto& [probe, contrasts] : json.at(json.contains("probes") ? "probes" : "readers").items())
    for (const auto& [contrast, scores] : contrasts.items()) hashes.insert(scores.value("hash", std::string()));
  return hashes;
}

/// Subjects on whom saved probes were fitted must not be scored. Throws Error (argument, format).
inline void require_fair_probe(const SavedProbe& probe, const std::string& path, const std::vector<Index>& test,
                               const Manifest& manifest) {
  if (probe.people.empty())
    throw Error(ErrorKind::argument, "probe.people",
                "expected probes with the list of subjects they were fitted on, got none: whether the scored subjects "
                "are unseen "
                "is unknown; fit the probes again",
                path);
  const std::set<std::string> fitted(probe.people.begin(), probe.people.end());
  std::vector<std::string> seen;
  for (const Index i : test) {
    const std::string& subject = manifest.scans[static_cast<std::size_t>(i)].subject_id;
    if (fitted.contains(subject_key(canonical_value("subject_id", subject))) &&
        std::find(seen.begin(), seen.end(), subject) == seen.end())
      seen.push_back(subject);
  }
  if (!seen.empty())
    throw Error(ErrorKind::argument, "probe.people",
                concat("the probes were fitted on ", seen.size(),
                       " of the subjects that should be unseen: ", braing3n::detail::some_of(seen)),
                path);
}

/// The requested kinds of probes, without saved ones.
inline std::vector<ProbeKind> requested_probe_kinds(const std::set<std::string>& wanted) {
  const bool both = wanted.contains("both");
  std::vector<ProbeKind> kinds;
  if (both || wanted.contains("round-trip"))
    kinds.push_back({.name = "round-trip",
                     .text = "a probe per modality on mean and standard deviation of the tokens, fitted on round trips "
                             "of training scans",
                     .round_trips = true});
  if (both || wanted.contains("real"))
    kinds.push_back({.name = "real",
                     .text = "one probe for all modalities on the mean of the tokens, fitted on training scans",
                     .means_only = true,
                     .grouped = false});
  if (wanted.contains("latents"))
    kinds.push_back(
        {.name = "latents",
         .text = "a probe per modality on mean and standard deviation of the latents, before any decoding, fitted "
                 "on those of training scans",
         .latents = true});
  if (wanted.contains("tokens"))
    kinds.push_back({.name = "tokens",
                     .text =
                         "a probe per modality on the latents of every token, which depend on the position, before any "
                         "decoding, fitted on those of training scans",
                     .latents = true,
                     .whole = true});
  return kinds;
}

/// Throws Error (argument) unless samples are requested, and guidance scales that are finite and differ.
inline void require_valid(const ControllabilityOptions& options) {
  if (options.n < 2 || options.n > 100000)
    fail(ErrorKind::argument, "evaluate.n", "samples of a class: expected 2 to 100000, got ", options.n);
  const std::vector<double>& scales = options.guidance;
  if (scales.empty()) fail(ErrorKind::argument, "guidance.scale", "guidance scales: expected at least one, got none");
  for (auto scale = scales.begin(); scale != scales.end(); ++scale) {
    require_guidance(*scale);
    if (std::find(scales.begin(), scale, *scale) != scale)
      fail(ErrorKind::argument, "guidance.scale", "guidance scales: expected each once, got ", *scale, " twice");
  }
}

/// One study: probes are fitted and scored on unseen subjects, then samples are made and scored.
class ControllabilityStudy {
 public:
  /// Throws what reading models, tables and probes throws, and Error (argument) where no contrast can be tested or no subject is unseen.
  ControllabilityStudy(const Machine& machine, const ControllabilityOptions& options, Observer& observer)
      : ctx_(machine.host), options_(validated(options)), observer_(&observer), spent_(spent_probes()),
        models_(machine, options.model, options.tokenizer), manifest_(read_cohort(options.cohort, observer)),
        own_(parse_scales("guidance", options.own_scales, models_.conditions())),
        plan_(models_.conditions(), manifest_, read_split(options.cohort.split), options_),
        wanted_(options.probe_kinds.begin(), options.probe_kinds.end()), kinds_(requested_probe_kinds(wanted_)) {
    require_unseen({{"model", options.model}, {"tokenizer", options.tokenizer}}, plan_.test, manifest_, observer);
    if (!options.probe.empty()) read_probe();
    fit_rows_ = probe_fit_rows(plan_, options_);
    if (fit_rows_.empty())
      fail(ErrorKind::argument, "evaluate.probe_scans", "probes are fitted on at most ", options.probe_scans,
           " scans: expected at least the scans of one subject");
  }
  ControllabilityStudy(const ControllabilityStudy&) = delete;
  ControllabilityStudy& operator=(const ControllabilityStudy&) = delete;

  /// Once. Throws Error (argument) when a probe may not score, what reading scans and sampling throw, and what the observer throws.
  ControllabilityResult run() {
    read_scans();
    ControllabilityScores scorer(*ctx_, plan_, train_, test_);
    fit_probes(scorer);
    for (std::size_t r = 0; r < kinds_.size(); ++r) scorer.score_scans(kinds_[r], probe(), scores_[r]);
    score_samples(scorer);
    describe_run();
    add_probes();
    show();
    return std::move(result_);
  }

 private:
  static const ControllabilityOptions& validated(const ControllabilityOptions& options) {
    require_valid(options);
    return options;
  }
  std::set<std::string> spent_probes() const {
    std::set<std::string> spent;
    for (const std::string& path : options_.chosen_with) spent.merge(probes_of_report(path));
    return spent;
  }
  const SavedProbe* probe() const { return saved_ ? &*saved_ : nullptr; }

  void read_probe() {
    saved_ = read_saved_probe(options_.probe);
    saved_hash_ = sha256_hex(read_text(options_.probe));
    FeatureTable table;
    set_size(table.values, 0, models_.tokenizer().tokenizer_config().encoder.width);
    table.path = options_.tokenizer;
    table.set_contract(
        feature_contract(models_.contract(), "tokenizer", models_.tokenizer().hash, "encoder", "mean").dump());
    require_same_features(*saved_, table);
    require_fair_probe(*saved_, options_.probe, plan_.test, manifest_);
  }

  void read_scans() {
    const auto findings = std::make_shared<FindingLog>();
    const VolumeSource source = scan_source(manifest_, models_.contract(), {.findings = findings});
    {
      const Stage stage(*observer_, "scans and round trips", std::ssize(fit_rows_) + std::ssize(plan_.test));
      train_ = models_.scans(source, fit_rows_, true, failures_, *observer_);
      test_ = models_.scans(source, plan_.test, true, failures_, *observer_);
    }
    tell_findings(*findings, *observer_);
  }

  /// Nothing is sampled when one of the probes may not score.
  void fit_probes(ControllabilityScores& scorer) {
    for (const ProbeKind& kind : kinds_) scores_.push_back(scorer.fit(kind));
    if (saved_) {
      kinds_.push_back({.name = "probe",
                        .text = concat("saved probes, ", options_.probe),
                        .means_only = true,
                        .grouped = false,
                        .saved = true});
      scores_.emplace_back(plan_.contrasts.size());
      for (ContrastScores& s : scores_.back()) s.hash = saved_hash_;
    }
    for (std::size_t r = 0; r < kinds_.size(); ++r)
      for (std::size_t k = 0; k < plan_.contrasts.size(); ++k) {
        const std::string name = concat("probe ", kinds_[r].name, ", ", plan_.contrasts[k].name);
        if (spent_.contains(scores_[r][k].hash))
          fail(ErrorKind::argument, "evaluate.spent", name, ": it chose the guidance and may not score; expected ",
               kinds_[r].saved ? "other probes" : "probes that are fitted on the other half of the subjects");
        if (!scores_[r][k].converged) observer_->warning(concat(name, ": the fit did not converge"));
      }
  }

  /// Samples of the arms, once per guidance scale; arms on which guidance has no effect once in all.
  void score_samples(ControllabilityScores& scorer) {
    const Index scales = std::ssize(options_.guidance);
    Index total = 0;
    for (const PlannedArm& p : plan_.arms) total += options_.n * (p.guided ? scales : 1);
    const Stage stage(*observer_, concat("samples of ", plan_.arms.size(), " arms"), total);
    result_.picture_columns = scales > 1 ? scales : std::min<Index>(4, options_.n);
    shown_.resize(plan_.arms.size());
    std::vector<ArmSamples> fixed(plan_.arms.size());
    for (std::size_t s = 0; s < options_.guidance.size(); ++s) {
      std::vector<ArmSamples> made(plan_.arms.size());
      std::vector<const ArmSamples*> all;
      for (std::size_t k = 0; k < plan_.arms.size(); ++k) {
        const bool guided = plan_.arms[k].guided;
        if (guided || s == 0) (guided ? made[k] : fixed[k]) = sample(k, options_.guidance[s]);
        all.push_back(guided ? &made[k] : &fixed[k]);
      }
      for (std::size_t r = 0; r < kinds_.size(); ++r) scorer.score_samples(kinds_[r], probe(), all, s == 0, scores_[r]);
    }
  }

  ArmSamples sample(std::size_t k, double scale) {
    const PlannedArm& p = plan_.arms[k];
    const Index most = p.guided && options_.guidance.size() > 1 ? 1 : result_.picture_columns;
    const Arm arm{.name = p.name,
                  .conditions = [&p](Index i) { return p.rows[static_cast<std::size_t>(i)]; },
                  .n = std::ssize(p.rows),
                  .guidance = guidance_of(models_.conditions(), p.rows.front(), scale, own_),
                  .first = p.first};
    ArmSamples samples = models_.sample(arm, options_.seed, options_.sampling, *observer_,
                                        [&](Index i, const Tensor<float, Cpu>& decoded, const Tensor<float, Cpu>&) {
                                          if (i < most) shown_[k].push_back(decoded.clone());
                                        });
    result_.samples_without_brain += samples.empty;
    if (!wanted_.contains("tokens")) {
      samples.latents = {};
    }
    return samples;
  }

  void describe_run() {
    result_.model = {options_.model, models_.dit().hash};
    result_.tokenizer = {options_.tokenizer, models_.tokenizer().hash};
    result_.distribution = phantom::distribution_name_beside(options_.cohort.data);
    result_.options = options_;
    result_.probe_scans = std::ssize(train_.rows);
    result_.unseen_scans = std::ssize(test_.rows);
    result_.features = models_.recipe();
    result_.contrasts_left_out = plan_.left_out;
    result_.left_out = left_out(failures_, manifest_);
  }

  void add_probes() {
    for (std::size_t r = 0; r < kinds_.size(); ++r) {
      const ProbeKind& kind = kinds_[r];
      result_.probes.push_back({kind.name, kind.text, !kind.latents, {}});
      for (std::size_t k = 0; k < plan_.contrasts.size(); ++k) {
        const Contrast& c = plan_.contrasts[k];
        if (kind.saved && saved_task(*saved_, c, plan_) == nullptr) continue;
        result_.probes.back().contrasts.push_back(contrast_result(plan_, c, scores_[r][k], options_.guidance));
      }
    }
  }

  void show() {
    for (std::size_t k = 0; k < shown_.size(); ++k)
      for (std::size_t i = 0; i < shown_[k].size(); ++i) {
        result_.pictures.push_back(preview_rows(*ctx_, models_.contract(), shown_[k][i], {shown_[k][i]})[0]);
        result_.captions.push_back(plan_.arms[k].guided && options_.guidance.size() > 1
                                       ? concat(plan_.arms[k].name, ", guidance ", options_.guidance[i])
                                       : plan_.arms[k].name);
      }
  }

  Context<Cpu>* ctx_;
  ControllabilityOptions options_;
  Observer* observer_;
  std::set<std::string> spent_;  // hashes of the probes that chose the guidance
  SampleArms models_;
  Manifest manifest_;
  std::vector<ConditionScale> own_;
  ControllabilityPlan plan_;
  std::set<std::string> wanted_;
  std::vector<ProbeKind> kinds_;
  std::optional<SavedProbe> saved_;
  std::string saved_hash_;  // of the file of the saved probes
  std::vector<Index> fit_rows_;
  ScanFailures failures_;
  CohortFeatures train_, test_;
  std::vector<std::vector<ContrastScores>> scores_;     // per probe and contrast
  std::vector<std::vector<Tensor<float, Cpu>>> shown_;  // per arm
  ControllabilityResult result_;
};

/// Throws what ControllabilityStudy's constructor and run() throw.
inline ControllabilityResult run(const Machine& machine, const ControllabilityOptions& options, Observer& observer) {
  return ControllabilityStudy(machine, options, observer).run();
}

}  // namespace braing3n::inline BRAING3N_ABI::study
