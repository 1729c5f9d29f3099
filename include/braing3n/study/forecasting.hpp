// How well are follow-ups of unseen subjects forecast? Rules, models, oracle and measured truth side by side.
//
// Every test subject is forecast from the first visit to each later one. A model's follow-up is decoded and read (study/forecast_reading.hpp);
// its change is that from the decoded baseline, and its value the true baseline with that change. So a bias of the probes that does not depend on
// the change counts for nobody, and the round trip of the second visit, read in the same way, is the ceiling.
#pragma once

#include <algorithm>
#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/eval/forecast_floors.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/study/fit_readings.hpp"
#include "braing3n/study/forecast_oracle.hpp"
#include "braing3n/study/forecast_runs.hpp"
#include "braing3n/study/forecast_scope.hpp"
#include "braing3n/study/forecasting_result.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

namespace detail {

template <std::same_as<Cpu> B>
class ForecastingStudy {
 public:
  ForecastingStudy(Context<B>& ctx, const ForecastingOptions& options, Observer& observer)
      : ctx_(&ctx), options_(options), runs_(ctx, options, observer),
        quantities_(measured_quantities(runs_.table(), options.truth)), codes_(runs_.table()) {
    require_other_set(options.train, options.test, "cannot both train and be scored");
    require_other_set(options.validation, options.test, "cannot both calibrate and be scored");
    std::vector<ModelBehind> models{{"model", options.model}, {"tokenizer", options.tokenizer}};
    if (!options.bridge.empty()) models.push_back({"bridge", options.bridge});
    require_unseen(models, runs_.rows(options.test), runs_.table(), observer);
    const auto pairs = [&](const std::string& set, const char* use) {
      return dated_pairs_of(runs_.table(), runs_.split(), set, use);
    };
    train_ = pairs(options.train, "on which rules and probes are fitted");
    validation_ = from_first_visit(runs_.table(), pairs(options.validation, "on which intervals are scaled"));
    test_ = from_first_visit(runs_.table(), pairs(options.test, "which is scored"));
    result_.notes =
        forecasting_scope(runs_.table(), validation_, test_, runs_.forecasters().front().origin.ranges, options);
    for (const std::string& sentence : result_.notes) observer.warning(sentence);
    distribution_ = phantom::distribution_beside(options.cohort.data);
  }

  ForecastingResult run() {
    describe();
    ForecastProbes probes = runs_.fit_probes(quantities_, codes_);
    const ReadForecasts held = runs_.forecast("validation subjects", validation_),
                        made = runs_.forecast("unseen subjects", test_);
    for (std::size_t q = 0; q < quantities_.size(); ++q) {
      const ForecastPairs known = scalars(validation_, q);
      const std::vector<double> before = probes(q, held.before);
      probes.calibrate(q, before, probes(q, held.after), known.baseline, known.truth);
      if (result_.validation_subjects < least_to_calibrate) continue;
      for (std::size_t f = 0; f < held.made.size(); ++f)
        probes.calibrate_forecasts(f, q, before, probes(q, held.made[f]), known.baseline, known.truth);
    }
    for (std::size_t q = 0; q < quantities_.size(); ++q) {
      reference_ = forecasts_of(fit_mean_rate(scalars(train_, q)), scalars(test_, q)).value;
      add_rules(q);
      for (std::size_t f = 0; f < made.made.size(); ++f)
        add_read(q, runs_.forecasters()[f].name, values(probes, q, held, held.made[f], f),
                 values(probes, q, made, made.made[f], f));
      if (has_oracle()) add_oracle(q);
      if (quantities_[q].logarithm) {
        Forecasts known;
        known.value = scalars(test_, q).truth;
        score(q, truth, {}, std::move(known));
      }
      add_read(q, ceiling, values(probes, q, held, held.after), values(probes, q, made, made.after));
    }
    add_readings(probes, held, made);
    add_images(made);
    add_asked(probes, made);
    add_checks();
    add_pictures();
    return std::move(result_);
  }

 private:
  static constexpr Index least_to_calibrate = 50;  // validation subjects: the factor's error is then about a tenth
  static constexpr const char *oracle = "oracle", *truth = "true follow-up", *ceiling = "round trip";

  void describe() {
    result_.options = options_;
    result_.tokenizer = runs_.tokenizer_hash();
    result_.model = runs_.forecasters().front().hash;
    if (!options_.bridge.empty()) result_.bridge = runs_.forecasters().back().hash;
    if (distribution_) result_.distribution = enum_name(*distribution_);
    result_.pairs = std::ssize(test_);
    result_.subjects = codes_.subjects(test_);
    result_.validation_subjects = codes_.subjects(validation_);
    result_.training_pairs = std::ssize(train_);
    for (const MeasuredQuantity& q : quantities_) result_.quantities.push_back({q.name, q.logarithm ? "ml" : "years"});
    const auto row = [&](const std::string& name, ForecasterKind kind, const char* text) {
      ForecasterResult& f = result_.forecasters.emplace_back();
      f.name = name, f.kind = kind, f.text = text;
    };
    using K = ForecasterKind;
    row("last value", K::floor, "nothing changes");
    row("mean rate", K::floor, "the mean rate of the training pairs");
    row("group rate", K::floor, "the mean rate of the diagnosis");
    row("GLM", K::floor, "a linear model of age, sex and diagnosis; the subject keeps its residual");
    for (const Forecaster& f : runs_.forecasters()) row(f.name, K::model, f.text.c_str());
    if (has_oracle()) row(oracle, K::oracle, "the expected change given diagnosis, age, sex and the true first visit");
    if (!options_.truth.empty())
      row(truth, K::truth, "the second visit as the table has it: the growth to be forecast");
    row(ceiling, K::ceiling, "the second visit itself through the tokenizer, read as the models are");
  }
  bool has_oracle() const { return distribution_ && !options_.truth.empty(); }
  ForecasterResult& row(const std::string& name) {
    return *std::find_if(result_.forecasters.begin(), result_.forecasters.end(),
                         [&](const ForecasterResult& f) { return f.name == name; });
  }

  /// The values at the second visit that decoded follow-ups imply.
  std::vector<double> values(const ForecastProbes& probes, std::size_t q, const ReadForecasts& r,
                             const RowStore<float>& made, std::optional<std::size_t> forecaster = {}) const {
    const std::vector<double> before = probes(q, r.before), after = probes(q, made);
    std::vector<double> out;
    for (std::size_t i = 0; i < r.pairs.size(); ++i)
      out.push_back(probes.moved(q, quantities_[q].value[static_cast<std::size_t>(r.pairs[i].from)], before[i],
                                 after[i], forecaster));
    return out;
  }
  ForecastPairs scalars(const std::vector<VisitPair>& pairs, std::size_t q) const {
    return scalar_pairs(pairs, quantities_[q], codes_);
  }
  GrowthRatioOptions growth() const {
    return {.over = codes_.group(options_.over),
            .under = codes_.group(options_.under),
            .bootstrap = options_.scores.bootstrap};
  }
  bool compares_growth(std::size_t q) const {
    return quantities_[q].logarithm && growth().over >= 0 && growth().under >= 0;
  }

  /// Scores of one forecaster. Where it has standard deviations, intervals are scaled on its forecasts of the validation subjects.
  void score(std::size_t q, const std::string& name, const Forecasts& held, Forecasts made) {
    const ForecastPairs test = scalars(test_, q);
    QuantityScores s;
    const ForecastPairs validation = scalars(validation_, q);
    if (!made.sd.empty() && interval_subjects(validation, held) >= subjects_for_coverage(options_.coverage)) {
      s.intervals = fit_interval_scale(validation, held, options_.coverage);
      made = with_intervals(std::move(made), *s.intervals);
    }
    s.bands = forecast_scores(test, made, reference_, options_.scores);
    if (compares_growth(q)) s.growth = growth_ratio(test, made.value, growth());
    row(name).quantities.emplace_back(quantities_[q].name, std::move(s));
  }

  void add_rules(std::size_t q) {
    const ForecastPairs train = scalars(train_, q), held = scalars(validation_, q), test = scalars(test_, q);
    // Age grows by a year a year: no error to scale.
    const auto add = [&](const char* name, const auto& rule) {
      Forecasts h = forecasts_of(rule, held), t = forecasts_of(rule, test);
      if (!quantities_[q].logarithm) h.sd.clear(), t.sd.clear();
      score(q, name, h, std::move(t));
    };
    add("last value", fit_last_value(train));
    add("mean rate", fit_mean_rate(train));
    add("group rate", fit_group_rate(train));
    add("GLM", fit_glm_counterfactual(*ctx_, train));
  }

  /// Of values that were read: the sd of their errors by horizon and change is that on the validation subjects.
  void add_read(std::size_t q, const std::string& name, std::vector<double> held, std::vector<double> made) {
    Forecasts h, m;
    h.value = std::move(held), m.value = std::move(made);
    fit_error_sd(scalars(validation_, q), h, scalars(test_, q), m);
    score(q, name, h, std::move(m));
  }

  void add_oracle(std::size_t q) {
    const auto volume = KnownChange::volume(quantities_[q].name);
    if (!volume) return;
    if (!oracle_) oracle_.emplace(*distribution_, options_.oracle_draws);
    const auto forecasts = [&](const std::vector<VisitPair>& pairs) {
      Forecasts f;
      for (const VisitPair& p : pairs) {
        const auto e = oracle_->after(p, runs_.table(), quantities_);
        f.value.push_back(e ? quantities_[q].value[static_cast<std::size_t>(p.from)] + e->ml[*volume] : not_a_number);
        f.sd.push_back(e ? std::max(e->sd[*volume], 1e-9) : 1.0);
      }
      return f;
    };
    score(q, oracle, forecasts(validation_), forecasts(test_));
  }

  /// The model with all of its parts, which comes after its linear part from the same file.
  std::size_t whole_model() const {
    const std::vector<Forecaster>& all = runs_.forecasters();
    std::size_t whole = 0;
    while (whole + 1 < all.size() && all[whole + 1].hash == all[0].hash) ++whole;
    return whole;
  }

  void add_readings(const ForecastProbes& probes, const ReadForecasts& held, const ReadForecasts& made) {
    ForecastReadings r = fit_readings(probes, quantities_, codes_, held, made, whole_model(), options_.coverage);
    r.model = result_.model, r.tokenizer = result_.tokenizer, r.distribution = result_.distribution;
    r.forecaster = runs_.forecasters()[whole_model()].name;
    r.cohort = r.distribution.empty() ? std::filesystem::path(options_.cohort.data).filename().string()
                                      : "phantoms of the distribution " + r.distribution;
    result_.readings = std::move(r);
  }

  void add_images(const ReadForecasts& made) {
    std::vector<std::int32_t> subject;
    std::vector<double> years;
    for (const VisitPair& p : test_) subject.push_back(codes_.subject(p.from)), years.push_back(p.years);
    const auto add = [&](const std::string& name, const std::vector<double>& psnrs, const std::vector<double>& ssims) {
      std::vector<double> over;
      for (std::size_t i = 0; i < psnrs.size(); ++i) over.push_back(psnrs[i] - made.psnr_before[i]);
      const auto means = [&](const std::vector<double>& v) { return band_means(subject, years, v, options_.scores); };
      row(name).images = ImageScores{means(psnrs), means(over), means(ssims)};
    };
    add("last value", made.psnr_before, made.ssim_before);
    for (std::size_t f = 0; f < made.made.size(); ++f) add(runs_.forecasters()[f].name, made.psnr[f], made.ssim[f]);
  }

  /// Subjects of the one diagnosis, asked for the other.
  void add_asked(const ForecastProbes& probes, const ReadForecasts& made) {
    if (growth().over < 0 || growth().under < 0) return;
    ReadForecasts under;  // of those who are asked
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < test_.size(); ++i)
      if (codes_.group(test_[i].from) == growth().under) {
        under.pairs.push_back(test_[i]);
        append_row<float>(under.before, row_of(made.before, static_cast<Index>(i)));
        places.push_back(i);
      }
    if (places.empty()) return;
    for (std::size_t f = 0; f < made.made.size(); ++f) {
      const Forecaster& forecaster = runs_.forecasters()[f];
      if (!forecaster.takes("disease", options_.over)) continue;
      const RowStore<float> asked = runs_.read_follow_ups(forecaster, under.pairs, options_.over);
      for (std::size_t q = 0; q < quantities_.size(); ++q)
        if (compares_growth(q)) {
          std::vector<double> all(test_.size(), not_a_number);
          const std::vector<double> moved = values(probes, q, under, asked, f);
          for (std::size_t i = 0; i < places.size(); ++i) all[places[i]] = moved[i];
          for (auto& [name, scores] : row(forecaster.name).quantities)
            if (name == quantities_[q].name)
              scores.asked = asked_effect(scalars(test_, q), values(probes, q, made, made.made[f], f), all, growth());
        }
    }
  }

  /// The longest pair of subjects of one diagnosis after the other.
  void add_pictures() {
    std::map<std::int32_t, std::vector<VisitPair>> longest;  // of each diagnosis, one pair per subject
    for (const VisitPair& p : test_) {
      std::vector<VisitPair>& group = longest[codes_.group(p.from)];
      if (group.empty() || group.back().from != p.from) group.push_back(p);
      else if (p.years > group.back().years) group.back() = p;
    }
    const Forecaster& shown = runs_.forecasters()[whole_model()];
    for (std::size_t turn = 0; std::ssize(result_.pictures) < options_.pictures && turn < test_.size(); ++turn)
      for (const auto& [group, pairs] : longest)
        if (turn < pairs.size() && std::ssize(result_.pictures) < options_.pictures) {
          result_.pictures.push_back(runs_.picture(shown, pairs[turn]));
          result_.captions.push_back(runs_.table().scans[static_cast<std::size_t>(pairs[turn].from)].subject_id);
        }
  }

  void add_checks() {
    for (const Forecaster& f : runs_.forecasters()) row(f.name).checks = runs_.consistency(f, test_);
  }

  Context<B>* ctx_;
  ForecastingOptions options_;
  ForecastRuns<B> runs_;
  std::vector<MeasuredQuantity> quantities_;
  SubjectCodes codes_;
  std::vector<VisitPair> train_, validation_, test_;
  std::vector<double> reference_;  // forecasts of the mean rate, of the quantity that is scored
  std::optional<phantom::PhantomDistribution> distribution_;
  std::optional<KnownChange> oracle_;
  ForecastingResult result_;
};

}  // namespace detail

/// Forecasts the test subjects and scores rules, models, oracle and ceiling. Throws Error: argument (a set that is fitted and scored, subjects that a model has
/// seen), config (models and latents that do not belong together), format, file.
template <std::same_as<Cpu> B>
ForecastingResult run(Context<B>& ctx, const ForecastingOptions& options, Observer& observer) {
  return detail::ForecastingStudy<B>(ctx, options, observer).run();
}

}  // namespace braing3n::inline BRAING3N_ABI::study
