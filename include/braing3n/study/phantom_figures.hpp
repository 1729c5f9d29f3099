// The figures of the phantom study beside their targets, from the reports of its evaluations.
#pragma once

#include <cmath>
#include <functional>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/format/json.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

inline constexpr double not_measured = std::numeric_limits<double>::quiet_NaN();

/// One figure. Values are NaN where nothing was measured.
struct Figure {
  std::string figure, target;  // empty: the value is only reported
  double value = not_measured;
  double ceiling = not_measured;          // the same figure on round trips of scans
  double published_probe = not_measured;  // by the published method: probes fitted on scans, or the bridge
  bool pass = false;
  int places = 2;  // decimals in tables

  bool judged() const { return std::isfinite(value) && !target.empty(); }
  static void visit(auto& self, auto&& v) {
    v("figure", self.figure);
    v("target", self.target);
    v("value", self.value);
    v("ceiling", self.ceiling);
    v("published_probe", self.published_probe);
    v("pass", self.pass);
  }
};

namespace phantom_figures {

using Met = std::function<bool(double)>;
inline Met at_least(double least) {
  return [least](double v) { return v >= least; };
}
inline Met at_most(double most) {
  return [most](double v) { return v <= most; };
}
inline Met within(double low, double high) {
  return [low, high](double v) { return v >= low && v <= high; };
}

/// What stands at the end of a path of keys; nullptr where there is nothing.
inline const Json* json_at(const Json& json, const std::vector<std::string>& path) {
  const Json* at = &json;
  for (const std::string& key : path) {
    if (!at->is_object() || !at->contains(key)) return nullptr;
    at = &(*at)[key];
  }
  return at;
}
/// The number there, NaN where there is none.
inline double number_at(const Json& json, const std::vector<std::string>& path) {
  const Json* at = json_at(json, path);
  return at != nullptr && at->is_number() ? at->get<double>() : not_measured;
}

/// met(value): whether a finite value reaches the target.
inline void add_figure(std::vector<Figure>& all, Figure figure, const Met& met = {}) {
  figure.pass = figure.judged() && met(figure.value);
  all.push_back(std::move(figure));
}

/// controllability.json at one scale of guidance.
class ControlFigures {
 public:
  explicit ControlFigures(const Json& control, std::string scale) : control_(&control), scale_(std::move(scale)) {
    // As the report spells the scale.
    if (control.contains("cfg") && control["cfg"].is_array() && !control["cfg"].empty())
      scale_ = number_text(control["cfg"][0].get<double>());
  }

  void add_to(std::vector<Figure>& all) const {
    add_age(all, "age: r", ">= 0.93", "r", at_least(0.93), 3);
    add_age(all, "age: bias, years", "-3 to 3", "bias", within(-3, 3), 1);
    add_age(all, "age: slope", "0.85 to 1.15", "slope", within(0.85, 1.15), 2);
    add_classes(all, "sex", "sex", 0.93);
    add_classes(all, "HC or AD", "HC-AD, balanced", 0.95);
    add_classes(all, "modality", "modality", 0.95);
    add_classes(all, "tumour present or absent", "tumour, balanced", 0.90);
    add_idh1(all);
    add_null(all);
  }

 private:
  double read(const std::string& probe, const std::string& contrast, const std::vector<std::string>& rest) const {
    // Older reports have the key "readers".
    std::vector<std::string> path = {control_->contains("probes") ? "probes" : "readers", probe, contrast};
    path.insert(path.end(), rest.begin(), rest.end());
    return number_at(*control_, path);
  }
  /// Share of a class among all unseen scans; older reports have the key "everybody".
  double all_unseen(const std::string& contrast, const std::string& name) const {
    const double share = read("round-trip", contrast, {"all_unseen", name, "share"});
    return std::isfinite(share) ? share : read("round-trip", contrast, {"everybody", name, "share"});
  }
  // Contrasts of unequal classes take the probe that gives every class the same weight.
  double requested(const char* probe, const std::string& contrast) const {
    return read(probe, contrast, {"cond", scale_, "balanced_accuracy"});
  }
  double ceiling(const std::string& contrast) const {
    return read("round-trip", contrast, {"round_trip", "balanced_accuracy"});
  }

  void add_age(std::vector<Figure>& all, const std::string& what, const std::string& target, const char* key,
               const Met& met, int places) const {
    add_figure(
        all,
        {what, target, read("round-trip", "age", {"cond", scale_, key}), read("round-trip", "age", {"round_trip", key}),
         read("real", "age", {"cond", scale_, key}), false, places},
        met);
  }
  void add_classes(std::vector<Figure>& all, const std::string& what, const std::string& contrast, double least) const {
    add_figure(all,
               {what, concat(">= ", decimals(least, 2)), requested("round-trip", contrast), ceiling(contrast),
                requested("real", contrast)},
               at_least(least));
  }
  void add_idh1(std::vector<Figure>& all) const {
    const std::string idh1 = "idh1@T1c, balanced";
    // Without a ceiling above chance there is no share of it.
    const double share = ceiling(idh1) >= 0.6 ? requested("round-trip", idh1) / ceiling(idh1) : not_measured;
    add_figure(all, {"IDH1 on T1c, share of its ceiling", ">= 0.80", share}, at_least(0.80));
    for (const char* modality : {"T1c", "FLAIR"}) {
      const std::string contrast = concat("idh1@", modality, ", balanced");
      add_figure(all, {concat("IDH1 on ", modality), "", requested("round-trip", contrast), ceiling(contrast),
                       requested("real", contrast)});
    }
  }
  /// Samples without conditions against the data.
  void add_null(std::vector<Figure>& all) const {
    for (const auto& [contrast, first] :
         {std::pair{"sex", "F"}, std::pair{"HC-AD", "HC"}, std::pair{"HC-MCI", "HC"}, std::pair{"HC-PD", "HC"},
          std::pair{"MCI-AD", "MCI"}, std::pair{"tumour", "present"}}) {
      const double prior = read("round-trip", contrast, {"prior", first});
      add_figure(all,
                 {concat("null samples predicted as ", first, " (", contrast, "), minus the prior"), "-0.10 to 0.10",
                  read("round-trip", contrast, {"null", first, "share"}) - prior, all_unseen(contrast, first) - prior,
                  read("real", contrast, {"null", first, "share"}) - read("real", contrast, {"prior", first})},
                 within(-0.10, 0.10));
    }
    const double mean = read("round-trip", "age", {"prior", "mean"}), sd = read("round-trip", "age", {"prior", "sd"});
    add_figure(
        all,
        {"null ages: mean, minus the data's, years", "-5 to 5", read("round-trip", "age", {"null", "mean"}) - mean,
         read("round-trip", "age", {"round_trip", "mean"}) - mean, read("real", "age", {"null", "mean"}) - mean, false,
         1},
        within(-5, 5));
    add_figure(all,
               {"null ages: sd, relative to the data's", ">= 0.80", read("round-trip", "age", {"null", "sd"}) / sd,
                read("round-trip", "age", {"round_trip", "sd"}) / sd, read("real", "age", {"null", "sd"}) / sd},
               at_least(0.80));
  }

  const Json* control_;
  std::string scale_;
};

/// fidelity.json: distances within arms that have at least `least_scans` unseen scans, sizes of regions, the Frechet distance.
inline void add_fidelity_figures(std::vector<Figure>& all, const Json& fidelity, Index least_scans) {
  double least = not_measured, largest = not_measured;
  for (const Json& arm : fidelity["arms"]) {
    const double ratio = number_at(arm, {"ratio"});
    if (number_at(arm, {"unseen_scans"}) < static_cast<double>(least_scans) || !std::isfinite(ratio)) continue;
    least = std::fmin(least, ratio), largest = std::fmax(largest, ratio);
  }
  add_figure(all, {"distance within an arm, relative to unseen scans: least arm", ">= 0.8", least}, at_least(0.8));
  add_figure(all, {"distance within an arm, relative to unseen scans: largest arm", "<= 1.2", largest}, at_most(1.2));
  Index right = 0, regions = 0;
  for (const Json& r : fidelity["regions"]) {
    const double mean = 100 * number_at(r, {"mean_error"}), sd = 100 * number_at(r, {"sd_ratio"}) - 100;
    if (r["arm"] == Json("modality=T1")) {
      const std::string region = r["region"].get<std::string>();
      add_figure(all,
                 {concat(region, " of T1 samples: error of the mean, %"), "-10 to 10", mean,
                  100 * number_at(r, {"round_trip_mean_error"}), not_measured, false, 1},
                 within(-10, 10));
      add_figure(all,
                 {concat(region, " of T1 samples: error of the sd, %"), "-25 to 25", sd,
                  100 * number_at(r, {"round_trip_sd_ratio"}) - 100, not_measured, false, 1},
                 within(-25, 25));
    } else if (std::isfinite(mean) && std::isfinite(sd) && number_at(r, {"truth", "n"}) >= 10) {
      ++regions;
      right += std::abs(mean) <= 10 && std::abs(sd) <= 25;
    }
  }
  const double share = regions > 0 ? static_cast<double>(right) / static_cast<double>(regions) : not_measured;
  add_figure(all, {concat("regions of the other arms within both, of ", regions), "1", share}, at_least(1.0));
  add_figure(all,
             {"Frechet distance to round trips, relative to their two halves", "<= 1.5",
              number_at(fidelity, {"frechet", "gen_recons_ratio"})},
             at_most(1.5));
}

/// memorisation.json.
inline void add_memorisation_figures(std::vector<Figure>& all, const Json& audit) {
  const double planted = number_at(audit, {"planted"});
  add_figure(all,
             {"copies of training scans among the samples", "0", number_at(audit, {"copies"}), not_measured,
              not_measured, false, 0},
             [](double v) { return v == 0; });
  add_figure(all,
             {concat("planted copies found, of ", planted), "all", number_at(audit, {"planted_found"}), not_measured,
              not_measured, false, 0},
             [planted](double v) { return v == planted; });
}

}  // namespace phantom_figures

}  // namespace braing3n::inline BRAING3N_ABI::study
