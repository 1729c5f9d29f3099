// Are samples as diverse as real scans, are their regions as large, and do their features have the same distribution?
//
//   diversity  mean distance of the latents of samples under the same conditions, beside that of real scans under these conditions
//   regions    millilitres of brain, grey and white matter and ventricles in T1-weighted samples, beside the truth of phantoms
//   Frechet    samples under the conditions of half of the unseen subjects against the other half: scans and their round trips, at equal n
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/guidance_scales.hpp"
#include "braing3n/eval/diversity.hpp"
#include "braing3n/eval/frechet.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/eval/region_regressor.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/study/fidelity_plan.hpp"
#include "braing3n/study/sample_arms.hpp"
#include "braing3n/table/feature_file.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Some rows of a table.
inline Tensor<float, Cpu> rows_tensor(Context<Cpu>& ctx, FeatureView<float> x, const std::vector<Index>& rows) {
  Tensor<float, Cpu> t(ctx, {static_cast<Index>(rows.size()), x.features});
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::copy_n(x.row(rows[i]).data(), x.features, t.data() + static_cast<Index>(i) * x.features);
  return t;
}

/// Means of both ways round: features of one group in half 0 against another in half 1, and the reverse.
inline double frechet_between(Context<Cpu>& ctx, const std::array<FeatureMoments, 2>& x,
                              const std::array<FeatureMoments, 2>& y) {
  return 0.5 * (frechet_distance(ctx, x[0], y[1]) + frechet_distance(ctx, x[1], y[0]));
}

/// Throws Error (argument): the scored set is the training set, a reference without Frechet distances.
inline void require_valid(const FidelityOptions& options) {
  require_other_set(options.train, options.test, "trained the model, no scan in it is unseen");
  if (!options.reference.empty() && options.frechet == 0)
    fail(ErrorKind::argument, "fidelity.reference",
         "a reference needs Frechet distances: expected at least 1 scan for them, got 0");
}

/// One study: subjects and arms are found first, then scans are read and samples made.
class FidelityStudy {
 public:
  /// Throws what reading models, tables and truth throws, and Error (argument) where nothing can be compared.
  FidelityStudy(const Machine& machine, const FidelityOptions& options, Observer& observer)
      : ctx_(machine.host), options_(validated(options)), observer_(&observer),
        models_(machine, options.model, options.tokenizer), fields_(models_.conditions()), manifest_(prepared()),
        source_(scan_source(manifest_, models_.contract(), {.findings = findings_})), recipe_(models_.recipe()) {
    const Split split = read_split(options.cohort.split);
    require_unseen({{"model", options.model}, {"tokenizer", options.tokenizer}},
                   rows_of(manifest_, split, options.test), manifest_, observer);
    if (!options.truth.empty()) truth_.emplace(options.truth);
    load_reference();
    plan_.emplace(fields_, manifest_, split, options_, truth_ ? &*truth_ : nullptr);
  }
  FidelityStudy(const FidelityStudy&) = delete;
  FidelityStudy& operator=(const FidelityStudy&) = delete;

  /// Once. Throws Error when no scan can be read or a sample is not finite, and what the observer throws.
  FidelityResult run() {
    describe_run();
    {
      const Stage stage(*observer_, "fidelity", plan_->units());
      read_scans();
      for (const FidelityArm& arm : plan_->arms) measure(arm);
      if (options_.frechet > 0) result_.frechet = frechet();
    }
    result_.left_out = left_out(failures_, manifest_);
    tell_findings(*findings_, *observer_);
    return std::move(result_);
  }

 private:
  static const FidelityOptions& validated(const FidelityOptions& options) {
    require_valid(options);
    return options;
  }
  Manifest prepared() {
    options_.sampling.guidance.validate(fields_);
    own_ = parse_scales("guidance", options_.own_scales, fields_);
    return read_cohort(options_.cohort, *observer_);
  }

  void load_reference() {
    if (options_.reference.empty()) return;
    reference_ = read_feature_file(options_.reference);
    std::string recipe = "unknown";
    if (!reference_->contract.empty())
      if (const Json said = parse_json(reference_->contract, options_.reference); said.is_object())
        recipe = said.value("recipe", recipe);
    if (recipe != recipe_)
      throw Error(ErrorKind::argument, "frechet.recipe",
                  concat("expected features of recipe ", recipe_, ", got ", recipe), options_.reference);
  }

  void describe_run() {
    result_.model = models_.dit().hash, result_.tokenizer = models_.tokenizer().hash;
    result_.distribution = phantom::distribution_name_beside(options_.cohort.data);
    result_.guidance = options_.sampling.guidance.scale;
    result_.own_scales = options_.own_scales;
    result_.steps = options_.sampling.steps, result_.sampler = options_.sampling.sampler;
    result_.seed = options_.seed;
    result_.samples = options_.samples;
    result_.latent_size = models_.latent_size();
    result_.arms_left_out = plan_->left_out;
    result_.has_truth = truth_.has_value();
  }
  std::optional<std::vector<double>> blocks(const Tensor<float, Cpu>& imposed) const {
    const std::vector<std::uint8_t> mask = nonzero_mask(imposed);
    if (std::find(mask.begin(), mask.end(), std::uint8_t{1}) == mask.end()) return std::nullopt;
    return tissue_blocks(imposed, mask, models_.contract());
  }
  /// Predictions for unseen subjects vary less than the truth (shrinkage); groups are compared with the variation restored.
  TissueVolumes regions_of(const std::vector<double>& b) const { return spread_.keeping_spread(regressor_(b)); }

  /// The unseen scans with their round trips, and the training scans of the arms and of the calibration.
  void read_scans() {
    const auto collect = [&](std::map<Index, std::vector<double>>& to) -> VolumeVisitor {
      if (!truth_) return {};
      return [&](Index row, const Tensor<float, Cpu>&, const Tensor<float, Cpu>& imposed) {
        if (!plan_->is_t1(row)) return;
        if (auto found = blocks(imposed)) to.emplace(row, std::move(*found));
      };
    };
    unseen_ = models_.scans(source_, plan_->test, true, failures_, *observer_, collect(unseen_blocks_));
    learnt_ = models_.scans(source_, {plan_->learnt.begin(), plan_->learnt.end()}, false, failures_, *observer_);
    if (!truth_) return;
    std::map<Index, std::vector<double>> calibration;
    (void)models_.scans(source_, plan_->calibration, true, failures_, *observer_, collect(calibration));
    if (calibration.size() < 10)
      fail(ErrorKind::argument, "fidelity.calibration", "region volumes: ", calibration.size(),
           " T1-weighted training scans with a brain, expected at least 10");
    for (const auto& [row, b] : calibration) regressor_.add(b, (*truth_)(plan_->id_of(row)));
    regressor_.fit(*ctx_);
    for (std::size_t i = 0; i < regressor_.truth().size(); ++i)
      spread_.add(regressor_.held_out()[i], regressor_.truth()[i]);
    result_.calibration = regressor_.size();
  }

  PairwiseDistance distance_of(const CohortFeatures& from, const std::vector<Index>& scans) const {
    std::vector<Index> rows;
    std::vector<std::string> groups;
    for (const Index i : scans)
      if (const auto found = std::find(from.rows.begin(), from.rows.end(), i); found != from.rows.end()) {
        rows.push_back(found - from.rows.begin());
        groups.push_back(plan_->subject_of(i));
      }
    return rows.empty() ? PairwiseDistance{}
                        : mean_pairwise_distance(rows_tensor(*ctx_, view_of(from.latents), rows), groups);
  }

  /// Makes the samples of an arm and compares them with its scans.
  void measure(const FidelityArm& arm) {
    Tensor<float, Cpu> shown;
    std::vector<TissueVolumes> volumes;
    const Index n = options_.samples;
    const ArmSamples made =
        models_.sample({arm.name, [&](Index) { return arm.row; }, n,
                        guidance_of(fields_, arm.row, options_.sampling.guidance.scale, own_), next_},
                       options_.seed, options_.sampling, *observer_,
                       [&](Index i, const Tensor<float, Cpu>& decoded, const Tensor<float, Cpu>& imposed) {
                         if (i == 0) shown = decoded;
                         if (!truth_ || !arm.t1) return;
                         if (const auto found = blocks(imposed)) volumes.push_back(regions_of(*found));
                       });
    next_ += static_cast<std::uint32_t>(n);
    result_.empty += made.empty;
    const double distance = mean_pairwise_distance(Tensor<float, Cpu>::from_host(*ctx_, {n, models_.latent_size()},
                                                                                 elements_of(made.latents)))
                                .mean;
    const double unseen = distance_of(unseen_, arm.unseen).mean, train = distance_of(learnt_, arm.train).mean;
    result_.arms.push_back({arm.name, conditions_json(fields_, arm.row), n, made.empty, distance,
                            std::ssize(arm.unseen), unseen, ratio_of(distance, unseen), std::ssize(arm.train), train,
                            ratio_of(distance, train)});
    if (truth_ && arm.t1) compare_regions(arm, volumes);
    show(arm, shown);
  }

  void compare_regions(const FidelityArm& arm, const std::vector<TissueVolumes>& samples) {
    std::vector<Index> scans = plan_->labels().matching(plan_->train, arm.row);
    scans.insert(scans.end(), arm.unseen.begin(), arm.unseen.end());
    for (std::size_t r = 0; r < tissue_names.size(); ++r) {
      std::vector<double> truth, back, made;
      for (const Index i : scans) truth.push_back((*truth_)(plan_->id_of(i))[r]);
      for (const Index i : arm.unseen)
        if (const auto found = unseen_blocks_.find(i); found != unseen_blocks_.end())
          back.push_back(regions_of(found->second)[r]);
      for (const TissueVolumes& v : samples) made.push_back(v[r]);
      RegionFidelity f{arm.name, tissue_names[r], Spread::of(truth), Spread::of(back), Spread::of(made)};
      const auto error = [&](const Spread& s) { return 100 * (s.mean - f.truth.mean) / f.truth.mean / 100; };
      f.mean_error = error(f.samples);
      f.sd_ratio = ratio_of(f.samples.sd, f.truth.sd);
      f.round_trip_mean_error = error(f.round_trips);
      f.round_trip_sd_ratio = ratio_of(f.round_trips.sd, f.truth.sd);
      result_.regions.push_back(std::move(f));
    }
  }

  void show(const FidelityArm& arm, const Tensor<float, Cpu>& sample) {
    const auto real =
        std::find_if(arm.unseen.begin(), arm.unseen.end(), [&](Index i) { return !failures_.contains(i); });
    if (std::ssize(result_.pictures) >= 2 * options_.pictures || real == arm.unseen.end()) return;
    const Tensor<float, Cpu> scan = source_(*ctx_, *real);
    for (Image& image : preview_rows(*ctx_, models_.contract(), scan, {sample, scan}))
      result_.pictures.push_back(std::move(image));
    result_.captions.push_back(concat("SYNTHETIC ", arm.name));
    result_.captions.push_back(plan_->id_of(*real));
  }

  /// Features of one half: scans, round trips, and samples under the conditions of these scans.
  struct HalfMoments {
    FeatureMoments real, back, made;
  };
  HalfMoments half(std::size_t h) {
    std::vector<Index> rows, scans;
    for (const Index i : plan_->halves[h])
      if (const auto found = std::find(unseen_.rows.begin(), unseen_.rows.end(), i); found != unseen_.rows.end()) {
        rows.push_back(found - unseen_.rows.begin());
        scans.push_back(i);
        result_.features.ids.push_back(plan_->id_of(i));
      }
    const Tensor<float, Cpu> of_scans = rows_tensor(*ctx_, unseen_.scans.encoder.view(), rows);
    append_rows(kept_, of_scans.dim(0),
                std::span<const float>(of_scans.data(), static_cast<std::size_t>(of_scans.size())));
    const auto conditions = [&](Index i) { return plan_->labels()[scans[static_cast<std::size_t>(i)]]; };
    const ArmSamples samples = models_.sample(
        {concat("conditions of half ", h + 1), conditions, std::ssize(scans), options_.sampling.guidance, next_},
        options_.seed, options_.sampling, *observer_);
    next_ += static_cast<std::uint32_t>(scans.size());
    return {feature_moments(of_scans, recipe_),
            feature_moments(rows_tensor(*ctx_, unseen_.round_trips.view(), rows), recipe_),
            feature_moments(samples.features.tensor(*ctx_), recipe_)};
  }

  FrechetDistances frechet() {
    const HalfMoments first = half(0), second = half(1);
    const std::array<FeatureMoments, 2> real{first.real, second.real}, back{first.back, second.back},
        made{first.made, second.made};
    result_.features.values = kept_;
    result_.features.set_contract(Json{{"recipe", recipe_}}.dump());
    FrechetDistances d;
    d.recipe = recipe_;
    d.features = result_.features.columns();
    d.n = {made[0].rows, made[1].rows};
    d.gen_real = frechet_between(*ctx_, made, real);
    d.gen_recons = frechet_between(*ctx_, made, back);
    d.recons_real = frechet_between(*ctx_, back, real);
    d.real_halves = frechet_distance(*ctx_, real[0], real[1]);
    d.recons_halves = frechet_distance(*ctx_, back[0], back[1]);
    d.gen_recons_ratio = ratio_of(d.gen_recons, d.recons_halves);
    if (!reference_) return d;
    std::vector<Index> rows;
    for (Index i = 0; i < reference_->rows(); ++i) rows.push_back(i);
    const auto other = feature_moments(rows_tensor(*ctx_, reference_->view(), some_rows(rows, made[0].rows)), recipe_);
    d.gen_reference = 0.5 * (frechet_distance(*ctx_, made[0], other) + frechet_distance(*ctx_, made[1], other));
    d.reference_rows = other.rows;
    return d;
  }

  Context<Cpu>* ctx_;
  FidelityOptions options_;
  Observer* observer_;
  SampleArms models_;
  const std::vector<ConditionField>& fields_;
  std::vector<ConditionScale> own_;
  Manifest manifest_;
  std::shared_ptr<FindingLog> findings_ = std::make_shared<FindingLog>();
  VolumeSource source_;
  std::string recipe_;
  std::optional<RegionTruth> truth_;
  std::optional<FeatureTable> reference_;
  std::optional<FidelityPlan> plan_;
  ScanFailures failures_;
  CohortFeatures unseen_, learnt_;
  std::map<Index, std::vector<double>> unseen_blocks_;  // round trips of T1-weighted scans
  RegionRegressor regressor_;
  VolumeCalibration spread_;
  std::uint32_t next_ = 0;  // number of the next sample
  RowStore<float> kept_;    // features of the unseen scans, half by half
  FidelityResult result_;
};

/// Throws what FidelityStudy's constructor and run() throw.
inline FidelityResult run(const Machine& machine, const FidelityOptions& options, Observer& observer) {
  return FidelityStudy(machine, options, observer).run();
}

}  // namespace braing3n::inline BRAING3N_ABI::study
