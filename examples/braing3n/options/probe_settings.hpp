// The options of `probe`, and its two tasks.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/output_guard.hpp"
#include "braing3n/probe/run_panel.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

struct ProbeSettings {
  std::vector<std::string> features, feature_columns, missing;
  std::string labels, tasks, tasks_file, out, id_column, subject_column, confounds = "auto", folds_from, folds_to, salt,
                                                                         save, apply;
  bool by_order = false, legacy_folds = false, group_folds = false, raw = false, balanced = false, uncalibrated = false,
       no_leakage = false;
  PanelOptions panel;
};

void add_table_options(CLI::App& app, ProbeSettings& s);
void add_fit_options(CLI::App& app, ProbeSettings& s);
int fit_probes(const ProbeSettings& s, const CommonOptions& common);
int apply_probes(const ProbeSettings& s, const CommonOptions& common);

/// Throws Error (argument): --id-column is neither NAME nor FEATURES=LABELS.
inline PanelTables tables_of(const ProbeSettings& s) {
  PanelTables out{.features = s.features,
                  .labels = s.labels,
                  .feature_columns = s.feature_columns,
                  .missing = s.missing,
                  .feature_ids = s.id_column,
                  .label_ids = s.id_column,
                  .subject_column = s.subject_column,
                  .by_order = s.by_order};
  const std::size_t equals = s.id_column.find('=');
  if (equals == std::string::npos) return out;
  if (equals == 0 || equals + 1 == s.id_column.size())
    fail(ErrorKind::argument, "probe.id_column", "--id-column: expected NAME or FEATURES=LABELS, got ",
         in_quotes(s.id_column));
  out.feature_ids = s.id_column.substr(0, equals);
  out.label_ids = s.id_column.substr(equals + 1);
  return out;
}

/// Calls f; an error about tables that do not match also names the option that helps.
template <class F>
auto with_advice(F&& f) {
  try {
    return f();
  } catch (const Error& e) {
    std::string advice;
    if (e.id() == "pair.order") advice = " (--id-column names it; --pair-by-order takes row i for row i)";
    if (e.id() == "pair.column")
      advice = " (--id-column FEATURES=LABELS names the columns; --pair-by-order takes row i for row i)";
    if (e.id() == "features.columns" || e.id() == "features.value" || e.id() == "features.range")
      advice = " (--feature-columns chooses the columns)";
    throw Error(e.kind(), e.id(), e.text() + advice, e.path());
  }
}

/// What is read, against every result. Throws Error (argument).
inline void guard_probe_files(const ProbeSettings& s, const CommonOptions& common,
                              std::initializer_list<std::filesystem::path> results) {
  OutputGuard guard;
  for (const std::string& text : s.features)
    for (const std::string& path : feature_parts(text)) guard.input(path);
  for (const std::string& path : {s.labels, s.tasks_file, s.folds_from, s.apply}) guard.input(path);
  for (const auto& path : results) guard.output(path);
  guard.output(common.json_log);
}

}  // namespace braing3n::examples
