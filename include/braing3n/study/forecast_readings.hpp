// What `evaluate forecasting` has learnt about reading forecasts, as a file: probes of age and volumes, and how far they err.
//
// The probes are ridge regressions on sums of tissue of decoded volumes (study/forecast_reading.hpp). A reading comes with two intervals, each scaled on
// validation subjects, who trained neither models nor probes: one of the quantity itself, and one of its change, which is narrower, because
// most of what a probe gets wrong about a subject is the same at both ends. Both belong to one forecaster and one tokenizer.
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "braing3n/eval/forecast_error.hpp"
#include "braing3n/eval/interval_scale.hpp"
#include "braing3n/format/json.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Limits value -+ factor sd, where sd depends on the horizon and on the forecast change.
struct ReadingInterval {
  ForecastError sd;
  IntervalScale scale;
  double covered = 0;  // share of the pairs of unseen subjects that the intervals held
  Index pairs = 0;     // of them; 0: not measured

  double half_width(double years, double change) const { return scale.factor * sd(years, change); }

  static void visit(auto& self, auto&& v) {
    v("sd", self.sd);
    v("scale", self.scale);
    v("covered", self.covered);
    v("pairs", self.pairs);
  }
};

/// One quantity: intercept + weights (sums - mean of the sums).
struct QuantityReading {
  std::string name{}, unit{};
  bool logarithm = false;  // the probe reads the logarithm
  double intercept = 0;
  std::vector<double> weights{};                       // (features)
  double factor = 1;                                   // of changes that the probe reads
  std::optional<ReadingInterval> baseline{}, value{};  // in the unit of the probe: of a logarithm, too
  std::optional<ReadingInterval> change{};             // in the quantity's own unit

  static void visit(auto& self, auto&& v) {
    v("name", self.name);
    v("unit", self.unit);
    v("logarithm", self.logarithm);
    v("intercept", self.intercept);
    v("weights", self.weights);
    v("factor", self.factor);
    v("baseline", self.baseline);
    v("value", self.value);
    v("change", self.change);
  }
};

/// "grey matter" of "grey_matter_ml" in ml.
inline std::string quantity_words(std::string name, const std::string& unit) {
  if (name.ends_with("_" + unit)) name.resize(name.size() - unit.size() - 1);
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

struct ForecastReadings {
  std::string kind = "braing3n forecast readings", version = BRAING3N_VERSION_STRING;
  std::string model, tokenizer;      // hashes
  std::string forecaster;            // whose follow-ups were read: "field of rates"
  std::string cohort, distribution;  // whose readings they are, in words; distribution of phantoms, or empty
  double coverage = 0.9;             // of the intervals
  Index validation_subjects = 0;
  std::vector<double> mean;  // (features) of the sums of tissue, ml
  std::vector<QuantityReading> quantities;

  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("version", self.version);
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    v("forecaster", self.forecaster);
    v("cohort", self.cohort);
    v("phantom_distribution", self.distribution);
    v("coverage", self.coverage);
    v("validation_subjects", self.validation_subjects);
    v("mean", self.mean);
    v("quantities", self.quantities);
  }

  /// Quantity q of sums of tissue (features), in the unit of the probe. Throws Error (shape).
  double read(std::size_t q, std::span<const double> sums) const {
    if (sums.size() != mean.size())
      fail(ErrorKind::shape, "readings.features", "readings: expected ", mean.size(), " sums of tissue, got ",
           sums.size());
    const QuantityReading& quantity = quantities.at(q);
    double value = quantity.intercept;
    for (std::size_t k = 0; k < sums.size(); ++k) value += quantity.weights[k] * (sums[k] - mean[k]);
    return value;
  }

  /// What the intervals rest on, in a sentence.
  std::string sentence() const {
    const bool intervals = !quantities.empty() && quantities[0].change.has_value();
    if (!intervals)
      return concat("readings of ", cohort, " without intervals: ", validation_subjects,
                    " validation subjects are too few to scale any");
    double least = 1;
    for (const QuantityReading& q : quantities)
      if (q.change && q.change->pairs > 0) least = std::min(least, q.change->covered);
    const bool measured = quantities[0].change->pairs > 0;
    return concat("intervals for ", decimals(100 * coverage, 0), " % from ", validation_subjects,
                  " validation subjects of ", cohort,
                  measured ? concat("; those of changes held for at least ", decimals(100 * least, 0),
                                    " % of the pairs of unseen subjects")
                           : std::string());
  }
};

namespace detail {

inline void check_interval(const std::optional<ReadingInterval>& interval, const std::string& field,
                           const std::string& path) {
  if (!interval) return;
  const auto refuse = [&](const char* what, double value) {
    throw Error(ErrorKind::config, "readings.interval", concat(field, ".", what, ", got ", value), path);
  };
  const ForecastError& sd = interval->sd;
  for (const double part : {sd.noise, sd.yearly, sd.relative})
    if (!(part >= 0)) refuse("sd: expected standard deviations of at least 0", part);
  if (!(interval->scale.factor >= 0)) refuse("scale.factor: expected a number of at least 0", interval->scale.factor);
  if (!(interval->covered >= 0 && interval->covered <= 1))
    refuse("covered: expected a share from 0 to 1", interval->covered);
}

}  // namespace detail

/// Throws Error: file, format (no JSON), config (not such a file, a value out of place; the field is named).
inline ForecastReadings read_readings(const std::filesystem::path& path) {
  const Json json = read_json(path);
  ForecastReadings r;
  const std::string where = path.string();
  if (!json.is_object() || !json.contains("kind") || json["kind"] != Json(r.kind))
    throw Error(ErrorKind::config, "readings.kind", concat("expected the readings of forecasts, ", in_quotes(r.kind)),
                where);
  json_into(json, r, where);
  const auto refuse = [&](const std::string& sentence) {
    throw Error(ErrorKind::config, "readings.content", sentence, where);
  };
  if (r.model.empty() || r.tokenizer.empty()) refuse("expected the hashes of a model and a tokenizer, got none");
  if (r.mean.empty() || r.quantities.empty())
    refuse(concat("expected means and quantities, got ", r.mean.size(), " and ", r.quantities.size()));
  std::set<std::string> names;
  for (std::size_t q = 0; q < r.quantities.size(); ++q) {
    const QuantityReading& quantity = r.quantities[q];
    const std::string field = concat("quantities[", q, "]");
    if (quantity.name.empty() || !names.insert(quantity.name).second)
      refuse(concat(field, ".name: expected a name of its own, got ", in_quotes(quantity.name)));
    if (quantity.weights.size() != r.mean.size())
      refuse(concat(field, ".weights: expected ", r.mean.size(), " numbers, as many as mean has, got ",
                    quantity.weights.size()));
    detail::check_interval(quantity.baseline, field + ".baseline", where);
    detail::check_interval(quantity.value, field + ".value", where);
    detail::check_interval(quantity.change, field + ".change", where);
  }
  return r;
}

/// Throws Error (config) unless the readings belong to this forecaster and tokenizer and read volumes of so many sums of tissue.
inline void require_readings_of(const ForecastReadings& readings, const std::string& model,
                                const std::string& tokenizer, std::size_t features, const std::string& path) {
  const auto require = [&](const char* what, const std::string& wanted, const std::string& came) {
    if (wanted != came)
      throw Error(ErrorKind::config, "readings.model",
                  concat("expected readings of ", what, ' ', wanted, ", got those of ", came), path);
  };
  require("forecaster", model, readings.model);
  require("tokenizer", tokenizer, readings.tokenizer);
  if (readings.mean.size() != features)
    throw Error(ErrorKind::config, "readings.features",
                concat("expected readings of ", features, " sums of tissue, got ", readings.mean.size()), path);
}

}  // namespace braing3n::inline BRAING3N_ABI::study
