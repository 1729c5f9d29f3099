// Forecasting from end to end on phantoms: the figures of its evaluation beside their targets.
//
// The steps (a cohort with follow-ups, a tokenizer, the forecasters, the evaluation) are run by the caller; the report lies in
// FOLDER/forecasting/forecasting.json.
#pragma once

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "braing3n/data/split.hpp"
#include "braing3n/study/observer.hpp"
#include "braing3n/study/phantom_study.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct ForecastingStudyOptions {
  std::filesystem::path folder;
  bool smoke = false;  // a run too short to learn anything
  std::uint64_t seed = 2025;
};

struct ForecastingStudyResult {
  std::string kind = "braing3n forecasting study", version = BRAING3N_VERSION_STRING;
  std::string distribution;  // of the phantoms
  bool smoke = false;
  std::uint64_t seed = 0;
  std::vector<Figure> figures;
  Named<StepTime> steps;

  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("version", self.version);
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("smoke", self.smoke);
    v("seed", self.seed);
    v("figures", self.figures);
    v("steps", self.steps);
  }
};

/// The sets of the study: 44 % of the subjects are test and 10 % validation subjects, stratified by disease. Throws Error (argument).
inline Split forecasting_study_split(const Manifest& cohort, std::uint64_t seed) {
  return split_subjects(cohort, {{"train", 0.46}, {"validation", 0.10}, {"test", 0.44}}, seed, "disease");
}

namespace detail {

/// forecasting.json by forecaster, quantity, band and score.
class ForecastFigures {
 public:
  explicit ForecastFigures(const Json& report) : report_(&report) {}

  double band(const std::string& forecaster, const std::string& quantity, const std::string& name,
              const std::string& score) const {
    return in_band(forecaster, {"quantities", quantity, "bands"}, name, {score, "value"});
  }
  /// PSNR less that of the last value.
  double psnr(const std::string& forecaster, const std::string& name) const {
    return in_band(forecaster, {"images", "over_locf"}, name, {"mean", "value"});
  }
  double number(const std::string& forecaster, std::vector<std::string> path) const {
    path.insert(path.begin(), {"forecasters", forecaster});
    return phantom_figures::number_at(*report_, path);
  }

 private:
  double in_band(const std::string& forecaster, std::vector<std::string> list, const std::string& name,
                 const std::vector<std::string>& path) const {
    list.insert(list.begin(), {"forecasters", forecaster});
    if (const Json* bands = phantom_figures::json_at(*report_, list))
      for (const Json& b : *bands)
        if (b.value("band", std::string()) == name) return phantom_figures::number_at(b, path);
    return not_measured;
  }

  const Json* report_;
};

inline constexpr const char *our_forecaster = "field of rates", *published_forecaster = "bridge";

/// The figures of one volume.
inline void add_volume_figures(std::vector<Figure>& all, const ForecastFigures& f, const std::string& quantity) {
  using phantom_figures::add_figure;
  const auto figure = [&](const std::string& text, const std::string& target, double value, double bridge,
                          const phantom_figures::Met& met) {
    add_figure(all, {quantity + ": " + text, target, value, not_measured, bridge}, met);
  };
  const auto of = [&](const char* who, const char* band, const char* score) {
    return f.band(who, quantity, band, score);
  };
  const auto share = [&](const char* who, const char* band, const char* score) {
    const double known = of("oracle", band, score);
    return known > 0 ? of(who, band, score) / known : not_measured;
  };
  const char *ours = our_forecaster, *theirs = published_forecaster;
  figure("true on forecast change", ".90 to 1.10", of(ours, "all", "slope_true_on_forecast"),
         of(theirs, "all", "slope_true_on_forecast"), phantom_figures::within(0.90, 1.10));
  figure("r with the true change, share of the oracle's", ">= .95", share(ours, "all", "r"), share(theirs, "all", "r"),
         phantom_figures::at_least(0.95));
  for (const char* band : {"1-3", "3-5", "5-10"}) {
    figure(concat("skill over the last value, ", band, " years, share of the oracle's"), ">= .90",
           share(ours, band, "skill_locf"), share(theirs, band, "skill_locf"), phantom_figures::at_least(0.90));
    figure(concat("skill over the mean rate, ", band, " years, share of the oracle's"), ">= .70",
           share(ours, band, "skill_reference"), share(theirs, band, "skill_reference"),
           phantom_figures::at_least(0.70));
  }
  figure("relative error over the oracle's", "<= 1.15", share(ours, "all", "relative_error"),
         share(theirs, "all", "relative_error"), phantom_figures::at_most(1.15));
  figure("relative error less that of the group rate", "< 0",
         of(ours, "all", "relative_error") - of("group rate", "all", "relative_error"),
         of(theirs, "all", "relative_error") - of("group rate", "all", "relative_error"),
         [](double v) { return v < 0; });
  const double coverage = of(ours, "all", "coverage"), width = of("oracle", "all", "width");
  figure("coverage of 90 % intervals", "", coverage, of(theirs, "all", "coverage"), {});
  figure("width of the intervals over the oracle's", "<= 1.2", of(ours, "all", "width") / width,
         of(theirs, "all", "width") / width, phantom_figures::at_most(1.2));
}

inline std::vector<Figure> forecasting_figures(const Json& report) {
  using phantom_figures::add_figure;
  const ForecastFigures f(report);
  std::vector<Figure> all;
  const auto years = [&](const char* who) {
    return f.band(who, "age", "all", "slope_on_years") / f.band("round trip", "age", "all", "slope_on_years");
  };
  add_figure(all,
             {"age read on years asked, share of round trips", ">= .90", years(our_forecaster), not_measured,
              years(published_forecaster)},
             phantom_figures::at_least(0.90));
  for (const char* quantity : {"ventricles_ml", "brain_ml", "grey_matter_ml"}) add_volume_figures(all, f, quantity);
  const auto growth = [&](const char* who) {
    return f.number(who, {"quantities", "ventricles_ml", "growth", "ratio", "value"}) /
           f.number("true follow-up", {"quantities", "ventricles_ml", "growth", "ratio", "value"});
  };
  add_figure(all,
             {"AD : HC growth of ventricles, over the true one", ".85 to 1.15", growth(our_forecaster), not_measured,
              growth(published_forecaster)},
             phantom_figures::within(0.85, 1.15));
  const auto asked = [&](const char* who) {
    return f.number(who, {"quantities", "ventricles_ml", "asked", "share", "value"});
  };
  add_figure(all,
             {"HC asked for AD: growth of ventricles, share of the true difference", ">= .70", asked(our_forecaster),
              not_measured, asked(published_forecaster)},
             phantom_figures::at_least(0.70));
  const auto check = [&](const char* name, double most, const char* target, int places) {
    add_figure(all,
               {concat("consistency, ", name), target, f.number(our_forecaster, {"checks", name}), not_measured,
                f.number(published_forecaster, {"checks", name}), false, places},
               phantom_figures::at_most(most));
  };
  check("identity", 0, "0", 6);
  check("composed", 0.05, "<= .05", 3);
  check("returned", 0.10, "<= .10", 3);
  add_figure(all,
             {"PSNR over the last value, 5-10 years, dB", ">= 1.5", f.psnr(our_forecaster, "5-10"), not_measured,
              f.psnr(published_forecaster, "5-10")},
             phantom_figures::at_least(1.5));
  return all;
}

}  // namespace detail

/// Reads the report in the folder and compares it with the targets. Throws Error (file, format) for a report that is not there.
inline ForecastingStudyResult run(const ForecastingStudyOptions& options, const StepTimes& steps, Observer& observer) {
  observer.check_interrupt();
  const Json report = read_json(options.folder / "forecasting" / "forecasting.json");
  ForecastingStudyResult r;
  r.distribution = report.value("phantom_distribution", std::string());
  r.smoke = options.smoke;
  r.seed = options.seed;
  r.figures = detail::forecasting_figures(report);
  r.steps = steps.all();
  return r;
}

inline void print(std::ostream& out, const ForecastingStudyResult& r) {
  out << "Unseen phantoms of the distribution " << r.distribution
      << "; the last column is the published method, the bridge, on the same subjects"
      << (r.smoke ? ". A smoke run, too short to learn anything" : "") << "\n\n";
  print_figures(out, r.figures, "bridge", false);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
