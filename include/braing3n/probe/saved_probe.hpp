// Probes in a file: what a site deploys, and what other programs score with.
//
// Fitted on all rows: standardiser and weights of every task, its classes, a calibration learnt from the held-out predictions
// of the cross-validation, and a fingerprint of the features, so that a probe never reads features it was not made for.
//   calibration   two classes: Platt's sigmoid a v + b; more: one temperature; on the linear values
//   age bias      regressions shrink to the mean, so prediction - truth falls with truth; gap = c0 + c1 truth is fitted on the
//                 held-out predictions and taken off: the corrected gap is uncorrelated with the truth (the brain-age gap)
//   range         of the features and targets it was fitted on (training_range.hpp); files written before there were ranges have none
// File: safetensors with the tensors task.I.{weights, intercept, mean, scale, low, high} and the metadata "braing3n.type" = "probe",
// "braing3n.probe" = JSON.
#pragma once

#include <concepts>
#include <filesystem>
#include <string>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/format/json_text.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/format/sha256.hpp"
#include "braing3n/probe/panel.hpp"
#include "braing3n/probe/subject_key.hpp"
#include "braing3n/probe/training_range.hpp"
#include "braing3n/table/feature_table.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct SavedTask {
  std::string name, column;
  bool classification = false;
  std::vector<std::string> classes;
  LinearFit fit;
  double calibration_slope = 1.0, calibration_offset = 0.0;  // on the linear values
  double gap_offset = 0.0, gap_slope = 0.0;                  // regression: c0, c1
  double cross_validated = not_a_number;                     // primary score
  TrainingRange range;
};

struct SavedProbe {
  Index features = 0;
  std::vector<std::string> feature_names;  // empty: the features had none
  std::string fingerprint;
  std::vector<std::string> people;  // on whom it was fitted: subject_key of each, sorted; empty: unknown
  std::vector<SavedTask> tasks;
};

/// What the features are, in 64 digits: the hash of their contract, their number and their names.
inline std::string feature_fingerprint(const FeatureTable& table) {
  std::string text = concat(table.contract_hash, '\n', table.columns(), '\n');
  for (const std::string& name : table.column_names) text += concat(name, '\n');
  return sha256_hex(text);
}

namespace detail {

inline void calibrate(SavedTask& saved, const TaskResult& r) {
  const Index outputs = outputs_of(r.task), n = static_cast<Index>(r.sample.size());
  if (!r.task.classification) {  // least squares of the gap on the truth
    double mean_t = 0, mean_g = 0, tt = 0, tg = 0;
    for (Index i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      mean_t += r.predictions.target[k] / static_cast<double>(n);
      mean_g += (r.predictions.values(k, 0) - r.predictions.target[k]) / static_cast<double>(n);
    }
    for (Index i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const double t = r.predictions.target[k] - mean_t;
      tt += t * t;
      tg += t * (r.predictions.values(k, 0) - r.predictions.target[k] - mean_g);
    }
    saved.gap_slope = tt > 0 ? tg / tt : 0.0;
    saved.gap_offset = mean_g - saved.gap_slope * mean_t;
    return;
  }
  // Newton's method on slope and offset (sigmoid), or on the slope alone (softmax); both are convex.
  double a = 1.0, b = 0.0;
  std::vector<double> p(static_cast<std::size_t>(outputs)), scaled(p.size());
  for (int iteration = 0; iteration < 50; ++iteration) {
    double ga = 1e-6 * (a - 1.0) * static_cast<double>(n), gb = 0, haa = 1e-6 * static_cast<double>(n), hab = 0,
           hbb = 1e-9;
    for (Index i = 0; i < n; ++i) {
      const std::span<const double> v = row_of(r.linear, i);
      const auto y = r.predictions.label[static_cast<std::size_t>(i)];
      if (outputs == 1) {
        const double q = 1.0 / (1.0 + std::exp(-(a * v[0] + b))), residual = q - y, h = q * (1.0 - q);
        ga += residual * v[0];
        gb += residual;
        haa += h * v[0] * v[0];
        hab += h * v[0];
        hbb += h;
      } else {
        for (std::size_t k = 0; k < v.size(); ++k) scaled[k] = a * v[k];
        to_probabilities(scaled.data(), outputs, p.data());
        Moments m;
        for (std::size_t k = 0; k < v.size(); ++k) m.add(v[k], p[k]);
        ga += m.mean - v[static_cast<std::size_t>(y)];
        haa += m.squares;
      }
    }
    const double determinant = haa * hbb - hab * hab;
    double da = outputs == 1 ? (hbb * ga - hab * gb) / determinant : ga / haa,
           db = outputs == 1 ? (haa * gb - hab * ga) / determinant : 0.0;
    da = std::clamp(da, -1.0, 1.0);
    db = std::clamp(db, -2.0, 2.0);
    a -= da;
    b -= db;
    if (std::abs(da) + std::abs(db) < 1e-10) break;
  }
  if (std::isfinite(a) && std::isfinite(b)) {
    saved.calibration_slope = a;
    saved.calibration_offset = b;
  }
}

}  // namespace detail

/// Probes of all tasks that could be fitted. Confound tasks are left out. row: where row i of the panel lies in the table; empty: at i.
inline SavedProbe make_saved_probe(const FeatureTable& table, const std::vector<TaskResult>& results,
                                   const std::vector<LinearFit>& fits, std::span<const Index> row = {}) {
  SavedProbe out;
  out.features = table.columns();
  out.feature_names = table.column_names;
  out.fingerprint = feature_fingerprint(table);
  for (std::size_t t = 0; t < results.size(); ++t) {
    const TaskResult& r = results[t];
    if (!r.ok() || r.confound) continue;
    SavedTask saved;
    saved.name = r.task.task.text;
    saved.column = r.task.task.column;
    saved.classification = r.task.classification;
    saved.classes = r.task.classes;
    saved.fit = fits[t];
    for (std::size_t j = 0; j < table.offset.size() && j < saved.fit.mean.size(); ++j)
      saved.fit.mean[j] += table.offset[j];
    saved.cross_validated = r.scores.scores[0].mean;
    detail::calibrate(saved, r);
    for (const Index i : r.sample) saved.range.add(table.row(row.empty() ? i : row[static_cast<std::size_t>(i)]));
    for (std::size_t j = 0; j < table.offset.size() && j < saved.range.low.size(); ++j) {
      saved.range.low[j] += table.offset[j];
      saved.range.high[j] += table.offset[j];
    }
    for (const double target : r.predictions.target) saved.range.add_target(target);
    out.tasks.push_back(std::move(saved));
  }
  return out;
}

namespace detail {
inline Json json_number_or_null(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }
}  // namespace detail

template <std::same_as<SavedProbe> Probe = SavedProbe>
void write_saved_probe(const std::filesystem::path& path, const Probe& probe, const WriteOptions& options = {}) {
  std::vector<NamedTensor> tensors;
  Json tasks = Json::array();
  for (std::size_t t = 0; t < probe.tasks.size(); ++t) {
    const SavedTask& s = probe.tasks[t];
    const auto add = [&](const char* name, std::vector<Index> shape, std::span<const double> values) {
      tensors.push_back(named_tensor<double>(concat("task.", t, '.', name), std::move(shape), values));
    };
    add("weights", {s.fit.outputs, s.fit.features}, elements_of(s.fit.weights));
    add("intercept", {s.fit.outputs}, s.fit.intercept);
    add("mean", {s.fit.features}, s.fit.mean);
    add("scale", {s.fit.features}, s.fit.scale);
    if (s.range.known()) {
      add("low", {s.fit.features}, s.range.low);
      add("high", {s.fit.features}, s.range.high);
    }
    tasks.push_back({{"name", s.name},
                     {"column", s.column},
                     {"kind", s.classification ? "classification" : "regression"},
                     {"classes", s.classes},
                     {"rows", s.fit.rows},
                     {"converged", s.fit.converged},
                     {"calibration_slope", s.calibration_slope},
                     {"calibration_offset", s.calibration_offset},
                     {"gap_offset", s.gap_offset},
                     {"gap_slope", s.gap_slope},
                     {"target_low", detail::json_number_or_null(s.range.target_low)},
                     {"target_high", detail::json_number_or_null(s.range.target_high)},
                     {"cross_validated", detail::json_number_or_null(s.cross_validated)}});
  }
  const Json json{{"features", probe.features},
                  {"feature_names", probe.feature_names},
                  {"fingerprint", probe.fingerprint},
                  {"people", probe.people},
                  {"tasks", tasks}};
  write_safetensors(path, tensors,
                    {{"braing3n.format", "1"},
                     {"braing3n.type", "probe"},
                     {"braing3n.version", version()},
                     {"braing3n.probe", json.dump()}},
                    options, true);
}

/// Throws Error: file, format (not a saved probe, damaged).
template <std::same_as<SavedProbe> Probe = SavedProbe>
Probe read_saved_probe(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  const auto type = file.metadata().find("braing3n.type");
  if (type == file.metadata().end() || type->second != "probe" || !file.metadata().contains("braing3n.probe"))
    throw Error(ErrorKind::format, "probe.type", "this is not a saved probe", file.path());
  (void)file.verify_checksum();
  Probe out;
  try {
    const Json json = parse_json(file.metadata().at("braing3n.probe"), file.path());
    out.features = json.at("features").get<Index>();
    out.feature_names = json.at("feature_names").get<std::vector<std::string>>();
    out.fingerprint = json.at("fingerprint").get<std::string>();
    if (json.contains("people")) out.people = json.at("people").get<std::vector<std::string>>();
    std::size_t t = 0;
    for (const Json& task : json.at("tasks")) {
      SavedTask s;
      s.name = task.at("name").get<std::string>();
      s.column = task.at("column").get<std::string>();
      s.classification = task.at("kind").get<std::string>() == "classification";
      s.classes = task.at("classes").get<std::vector<std::string>>();
      s.calibration_slope = task.at("calibration_slope").get<double>();
      s.calibration_offset = task.at("calibration_offset").get<double>();
      s.gap_offset = task.at("gap_offset").get<double>();
      s.gap_slope = task.at("gap_slope").get<double>();
      if (task.at("cross_validated").is_number()) s.cross_validated = task.at("cross_validated").get<double>();
      s.fit.rows = task.at("rows").get<Index>();
      s.fit.converged = task.at("converged").get<bool>();
      const std::string prefix = concat("task.", t++, '.');
      const std::vector<double> weights = file.read<double>(prefix + "weights");
      s.fit.intercept = file.read<double>(prefix + "intercept");
      s.fit.mean = file.read<double>(prefix + "mean");
      s.fit.scale = file.read<double>(prefix + "scale");
      if (file.contains(prefix + "low") && file.contains(prefix + "high")) {
        s.range.low = file.read<double>(prefix + "low");
        s.range.high = file.read<double>(prefix + "high");
        if (task.contains("target_low") && task.at("target_low").is_number())
          s.range.target_low = task.at("target_low").get<double>();
        if (task.contains("target_high") && task.at("target_high").is_number())
          s.range.target_high = task.at("target_high").get<double>();
      }
      s.fit.features = out.features;
      s.fit.outputs = static_cast<Index>(s.fit.intercept.size());
      const Index outputs = !s.classification || s.classes.size() == 2 ? 1 : static_cast<Index>(s.classes.size());
      const auto width = static_cast<std::size_t>(out.features);
      if (s.fit.outputs != outputs || weights.size() != static_cast<std::size_t>(outputs) * width ||
          s.fit.mean.size() != width || s.fit.scale.size() != width ||
          (s.range.known() && (s.range.low.size() != width || s.range.high.size() != width)))
        throw Error(ErrorKind::format, "probe.shape",
                    concat("task ", in_quotes(s.name), ": the tensors do not fit its classes and features"),
                    file.path());
      s.fit.weights = matrix_of(out.features, weights);
      out.tasks.push_back(std::move(s));
    }
  } catch (const nlohmann::json::exception& e) {
    throw Error(ErrorKind::format, "probe.metadata",
                concat("the metadata is not that of a saved probe: ", detail::plain_json_message(e.what())),
                file.path());
  }
  return out;
}

/// Throws Error when the probe was made for other features.
inline void require_same_features(const SavedProbe& probe, const FeatureTable& table) {
  if (probe.features != table.columns())
    throw Error(ErrorKind::shape, "probe.width",
                concat("the probe reads ", probe.features, " features, the table has ", table.columns()), table.path);
  const std::string fingerprint = feature_fingerprint(table);
  if (probe.fingerprint != fingerprint)
    throw Error(ErrorKind::config, "probe.contract",
                concat("the features come from another contract than those the probe was fitted on (fingerprint ",
                       fingerprint.substr(0, 12), ", the probe has ", probe.fingerprint.substr(0, 12), ")"),
                table.path);
}

/// One row (features, float or double, offsets added) read by one task: probabilities (calibrated), or one prediction.
template <class T>
std::vector<double> apply_probe(const SavedTask& task, const T* features, bool calibrated = true) {
  std::vector<double> value(static_cast<std::size_t>(task.fit.outputs));
  task.fit.evaluate(features, value.data());
  if (!task.classification) return value;
  if (calibrated)
    for (double& v : value) v = task.calibration_slope * v + task.calibration_offset;
  std::vector<double> p(std::max<std::size_t>(value.size(), 2));
  to_probabilities(value.data(), task.fit.outputs, p.data());
  return p;
}

/// Prediction minus truth, with the part that the truth explains taken off.
inline double corrected_gap(const SavedTask& task, double prediction, double truth) {
  return prediction - truth - (task.gap_offset + task.gap_slope * truth);
}

}  // namespace braing3n::inline BRAING3N_ABI
