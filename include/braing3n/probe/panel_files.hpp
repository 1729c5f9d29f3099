// The results of a panel as files: panel.csv (a row per task), panel.json (everything), predictions.csv (held-out predictions).
#pragma once

#include <concepts>
#include <filesystem>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/format/json_text.hpp"
#include "braing3n/probe/confound.hpp"
#include "braing3n/probe/leakage.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// One feature table and what came of it.
struct PanelRun {
  std::string features;  // name in tables
  Index rows = 0, columns = 0;
  std::vector<TaskResult> tasks;
  std::vector<std::vector<ConfoundScore>> confounds;  // per task
};

struct PanelReport {
  std::vector<PanelRun> runs;
  std::vector<std::string> ids, subjects;  // per row of the panel; per subject code
  std::vector<std::string> warnings;
  std::vector<Leak> leaks;
  PanelOptions options;
};

inline Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

template <std::same_as<TaskResult> Result = TaskResult>
Json to_json(const Result& r, const std::vector<ConfoundScore>& confounds) {
  Json json{{"name", r.task.task.text},
            {"kind", r.task.classification ? "classification" : "regression"},
            {"confound", r.confound},
            {"n", r.sample.size()},
            {"subjects", r.subjects}};
  if (!r.ok()) {
    json["error"] = r.error;
    return json;
  }
  if (r.task.classification) {
    std::vector<Index> count(r.task.classes.size(), 0);
    for (std::int32_t y : r.predictions.label) ++count[static_cast<std::size_t>(y)];
    json["classes"] = Json::array();
    for (std::size_t k = 0; k < count.size(); ++k)
      json["classes"].push_back({{"value", r.task.classes[k]}, {"n", count[k]}});
  }
  for (const Score& s : r.scores.scores) {
    Json folds = Json::array();
    for (double f : s.folds) folds.push_back(json_number(f));
    json[s.name] = {{"mean", json_number(s.mean)},
                    {"sd", json_number(s.sd)},
                    {"folds", folds},
                    {"interval", {json_number(s.low), json_number(s.high)}}};
  }
  json["p_value"] = json_number(r.scores.p_value);
  json["permutations_exchange"] = to_string(r.scores.exchange);
  json["converged"] = r.converged();
  json["fits"] = Json::array();
  for (const FoldFit& f : r.fits)
    json["fits"].push_back({{"penalty", f.penalty},
                            {"iterations", f.iterations},
                            {"products", f.products},
                            {"gradient", f.gradient},
                            {"converged", f.converged}});
  json["confounds"] = Json::array();
  for (const ConfoundScore& c : confounds) {
    Json sites = Json::array();
    for (const SiteScore& s : c.sites)
      sites.push_back({{"value", s.value}, {"n", s.rows}, {"score", json_number(s.score)}});
    json["confounds"].push_back({{"name", c.confound},
                                 {"alone", json_number(c.alone)},
                                 {"within", json_number(c.within)},
                                 {"suspicious", c.suspicious},
                                 {"values", sites}});
  }
  json["warnings"] = r.warnings;
  return json;
}

template <std::same_as<PanelReport> Report = PanelReport>
Json to_json(const Report& report) {
  const PanelOptions& o = report.options;
  Json json{{"program", concat("probe (braing3n) ", version())},
            {"options",
             {{"folds", o.folds.folds},
              {"seed", o.folds.seed},
              {"legacy_folds", o.folds.mode == FoldShuffle::legacy},
              {"stratify_regression", o.stratify_regression},
              {"C", o.C},
              {"alpha", o.alpha},
              {"standardize", o.standardize},
              {"balanced", o.class_weight == ClassWeight::balanced},
              {"select", o.select},
              {"tolerance", o.tolerance},
              {"bootstrap", o.uncertainty.replicates},
              {"permutations", o.uncertainty.permutations},
              {"coverage", o.uncertainty.coverage}}}};
  json["features"] = Json::array();
  for (const PanelRun& run : report.runs)
    json["features"].push_back({{"name", run.features}, {"rows", run.rows}, {"columns", run.columns}});
  json["tasks"] = Json::array();
  for (const PanelRun& run : report.runs)
    for (std::size_t t = 0; t < run.tasks.size(); ++t) {
      Json task = to_json(run.tasks[t], run.confounds[t]);
      task["features"] = run.features;
      json["tasks"].push_back(std::move(task));
    }
  json["leaks"] = Json::array();
  for (const Leak& leak : report.leaks) json["leaks"].push_back({{"kind", leak.kind}, {"text", leak.sentence}});
  json["warnings"] = report.warnings;
  return json;
}

template <std::same_as<PanelReport> Report = PanelReport>
void write_panel_csv(const std::filesystem::path& path, const Report& report, const WriteOptions& options = {}) {
  std::vector<std::string> header{"features", "task", "kind", "confound", "n", "subjects"};
  std::vector<std::string> names;
  for (bool classification : {true, false})
    for (const std::string& name : score_names(classification)) names.push_back(name);
  for (const std::string& name : names)
    for (const char* part : {"", "_sd", "_low", "_high"}) header.push_back(name + part);
  for (const char* last : {"p_value", "converged", "gradient", "error"}) header.emplace_back(last);
  CsvWriter writer(path, header, options);
  const auto number = [](double v) { return std::isfinite(v) ? Json(v).dump() : std::string(); };
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks) {
      std::vector<std::string> row{
          run.features,           r.task.task.text,        r.task.classification ? "classification" : "regression",
          r.confound ? "1" : "0", concat(r.sample.size()), concat(r.subjects)};
      for (const std::string& name : names) {
        const auto found = std::find_if(r.scores.scores.begin(), r.scores.scores.end(),
                                        [&](const Score& s) { return s.name == name; });
        if (!r.ok() || found == r.scores.scores.end()) row.insert(row.end(), 4, "");
        else row.insert(row.end(), {number(found->mean), number(found->sd), number(found->low), number(found->high)});
      }
      double gradient = 0;
      for (const FoldFit& f : r.fits) gradient = std::max(gradient, f.gradient);
      if (r.ok()) row.insert(row.end(), {number(r.scores.p_value), r.converged() ? "1" : "0", number(gradient), ""});
      else row.insert(row.end(), {"", "", "", r.error});
      writer.cells(row);
    }
  writer.finish();
}

/// One row per task and sample. probabilities: of all classes in their order, separated by semicolons.
template <std::same_as<PanelReport> Report = PanelReport>
void write_predictions_csv(const std::filesystem::path& path, const Report& report, const WriteOptions& options = {}) {
  CsvWriter writer(path, {"features", "task", "id", "subject", "fold", "truth", "prediction", "probabilities"},
                   options);
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks) {
      if (!r.ok()) continue;
      const Predictions& p = r.predictions;
      for (std::size_t k = 0; k < r.sample.size(); ++k) {
        const auto at = static_cast<std::size_t>(r.sample[k]);
        const std::string& subject = report.subjects[static_cast<std::size_t>(p.subject[k])];
        if (p.classes == 0) {
          writer.row(run.features, r.task.task.text, report.ids[at], subject, p.fold[k], p.target[k], p.values(k, 0),
                     "");
          continue;
        }
        const std::span<const double> row = row_of(p.values, static_cast<Index>(k));
        const std::string all = joined(row, ";", [](double v) { return significant(v, 7); });
        writer.row(run.features, r.task.task.text, report.ids[at], subject, p.fold[k],
                   r.task.classes[static_cast<std::size_t>(p.label[k])],
                   r.task.classes[static_cast<std::size_t>(std::ranges::max_element(row) - row.begin())], all);
      }
    }
  writer.finish();
}

}  // namespace braing3n::inline BRAING3N_ABI
