// A saved probe applied to the features of one scan.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/easy/tokenizer.hpp"
#include "braing3n/probe/saved_probe.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The prediction of one task of a probe for one scan.
struct ProbeResult {
  std::string task;
  double value = 0;                            // regression: the prediction; classification: the probability of `label`
  std::string label;                           // classification: the likeliest class
  std::vector<std::string> classes;            // classification
  std::vector<double> probabilities;           // (classes)
  RangeVerdict range = RangeVerdict::unknown;  // whether features and prediction are in the range of the fit
};

/// Made by Session::probe().
class ScanProbe {
 public:
  /// Throws Error: file, format (not a saved probe, damaged).
  explicit ScanProbe(const std::filesystem::path& path) : probe_(read_saved_probe(path)) {}

  /// One result per task. Throws Error: shape (another number of features), config (features of another model or contract), numeric
  /// (a feature that is not finite).
  std::vector<ProbeResult> apply(const ScanFeatures& features) const {
    FeatureTable table;
    table.path = "features of one scan";
    set_size(table.values, 1, static_cast<Index>(features.values.size()));
    std::copy_n(features.values.data(), features.values.size(), table.values.data());
    table.column_names = probe_.feature_names;
    // A probe that was fitted on a table without a contract can be checked against the number of features only.
    const bool contract_unknown = feature_fingerprint(table) == probe_.fingerprint;
    if (!contract_unknown && !features.contract.empty()) table.set_contract(features.contract);
    require_same_features(probe_, table);
    const std::span<const float> values = table.row(0);
    for (std::size_t j = 0; j < values.size(); ++j)
      if (!std::isfinite(values[j]))
        fail(ErrorKind::numeric, "probe.finite", "probe: expected finite features, got ", values[j], " in column ", j);
    std::vector<ProbeResult> all;
    for (const SavedTask& task : probe_.tasks) {
      ProbeResult r;
      r.task = task.name;
      const std::vector<double> result = apply_probe(task, values.data());
      if (task.classification) {
        r.classes = task.classes;
        r.probabilities = result;
        const auto most = std::max_element(result.begin(), result.end());
        r.label = task.classes[static_cast<std::size_t>(most - result.begin())];
        r.value = *most;
      } else {
        r.value = result[0];
      }
      r.range = judge_range(task.range, values.data(), task.classification ? std::nullopt : std::optional(result[0]));
      all.push_back(std::move(r));
    }
    return all;
  }

  const SavedProbe& loaded() const { return probe_; }

 private:
  SavedProbe probe_;
};

}  // namespace braing3n::inline BRAING3N_ABI
