// A panel from files to results: tables are read and paired, tasks and confounds resolved, probes cross-validated, leaks searched.
//
// Options -> run_panel() -> Result; probe/panel_files.hpp and report/panel_page.hpp write what came of it. The context says where fits run,
// on the CPU or a GPU; tables, scores and the search for leaks are the host's.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/probe/fold_file.hpp"
#include "braing3n/probe/panel_files.hpp"
#include "braing3n/probe/panel_tables.hpp"
#include "braing3n/probe/saved_probe.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct PanelPlan {
  PanelTables tables{};
  std::vector<Task> tasks{};
  std::string confounds = "auto";   // columns, "auto" (site, scanner, vendor, ...) or "none"
  std::string fold_file{}, salt{};  // folds to import; empty: made here
  bool search_copies = true;        // copied and nearly equal scans
  std::string column_advice{};      // follows the sentence about the columns that are taken as features
  PanelOptions panel{};
};

/// Told what happens while a panel runs. before_table may throw, which ends the run.
struct PanelObserver {
  std::function<void(std::size_t tasks, std::size_t rows, std::size_t subjects)> started = [](auto...) {};
  std::function<void()> before_table = [] {};
  std::function<void(const PanelRun&, double seconds)> table_done = [](const auto&...) {};
  std::function<void(std::size_t leaks)> searched = [](auto...) {};
};

struct PanelAnalysis {
  PanelReport report;  // without runs when no task could be resolved
  std::vector<FeatureTable> tables;
  Pairing pairing;
  PanelSubjects subjects;
  std::optional<Panel> panel;
  std::vector<TaskResult> first_results;  // of the panel's tasks on the first table
  std::vector<TaskResult> unresolved;     // tasks that the labels do not have, with the reason
  std::size_t asked = 0;                  // the panel's first tasks; confounds follow
  bool rows_lost = false;                 // some rows found no partner or have features that are no numbers
};

namespace detail {

inline std::vector<std::string> confound_columns(const std::string& confounds, const CsvTable& labels) {
  if (confounds == "none") return {};
  std::vector<std::string> out;
  if (confounds == "auto") {
    const auto site = find_site_column(labels);
    if (site) out.push_back(labels.header()[*site]);
    for (const std::string& name : usual_confounds())
      if (const auto c = find_named_column(labels, name); c && c != site) out.push_back(labels.header()[*c]);
    return out;
  }
  for (const Task& task : parse_tasks(confounds)) {
    (void)labels.column(task.column);
    out.push_back(task.column);
  }
  return out;
}

/// A confound as a task: the values that enough subjects have.
inline std::optional<Task> confound_task(const std::string& column, const Encoded<std::string>& values,
                                         const std::vector<std::int32_t>& subject, int folds) {
  std::vector<std::set<std::int32_t>> people(values.values.size());
  for (std::size_t i = 0; i < values.codes.size(); ++i)
    if (values.codes[i] >= 0) people[static_cast<std::size_t>(values.codes[i])].insert(subject[i]);
  Task task;
  task.text = task.column = column;
  task.kind = Task::Kind::classification;
  for (std::size_t v = 0; v < people.size(); ++v)
    if (people[v].size() >= 2 * static_cast<std::size_t>(folds)) task.values.push_back(values.values[v]);
  if (task.values.size() < 2) return std::nullopt;
  return task;
}

using ConfoundValues = std::vector<std::pair<std::string, Encoded<std::string>>>;

/// Reads and pairs the tables; what is left out goes to the warnings.
template <std::same_as<PanelPlan> Plan = PanelPlan>
void read_panel_tables(const Plan& plan, const CsvTable& labels, PanelAnalysis& out) {
  FeatureOptions reading = panel_feature_options(plan.tables);
  for (const Task& task : plan.tasks) {
    reading.not_features.insert(task.column);
    for (const auto& [column, value] : task.where) reading.not_features.insert(column);
  }
  for (const std::string& column : confound_columns(plan.confounds, labels)) reading.not_features.insert(column);
  for (const std::string& text : plan.tables.features)
    out.tables.push_back(read_joined_features(text, reading, {.by_order = plan.tables.by_order}));
  out.pairing = pair_rows(labels, out.tables, {.id_column = plan.tables.label_ids, .by_order = plan.tables.by_order});
  drop_non_finite(out.pairing, out.tables);
  out.report.warnings = out.pairing.warnings;
  out.rows_lost = !out.report.warnings.empty();
  if (!plan.tables.feature_columns.empty()) return;
  for (const FeatureTable& t : out.tables) {
    out.report.warnings.insert(out.report.warnings.end(), t.notes.begin(), t.notes.end());
    if (!t.column_names.empty()) out.report.warnings.push_back(feature_columns_sentence(t) + plan.column_advice);
  }
}

/// The tasks of the plan, then the confounds as tasks. Tasks that the labels do not have are put aside with the reason.
inline std::vector<ResolvedTask> resolve_panel_tasks(const PanelPlan& plan, const CsvTable& labels, PanelAnalysis& out,
                                                     ConfoundValues& confounds) {
  std::vector<ResolvedTask> resolved;
  for (const Task& task : plan.tasks) {
    try {
      resolved.push_back(resolve_task(task, labels, out.pairing.label_row));
    } catch (const Error& e) {
      TaskResult& failed = out.unresolved.emplace_back();
      failed.task.task = task;
      failed.task.classification = true;
      failed.error = e.text();
    }
  }
  out.asked = resolved.size();
  if (out.asked == 0) return resolved;
  for (const std::string& column : confound_columns(plan.confounds, labels)) {
    Encoded<std::string> values = encode_cells(paired_cells(labels, out.pairing, column));
    if (values.count() < 2) continue;
    const bool is_task =
        std::any_of(plan.tasks.begin(), plan.tasks.end(), [&](const Task& t) { return t.column == column; });
    if (!is_task)
      if (const auto task = confound_task(column, values, out.subjects.codes.codes, plan.panel.folds.folds))
        resolved.push_back(resolve_task(*task, labels, out.pairing.label_row));
    confounds.emplace_back(column, std::move(values));
  }
  return resolved;
}

/// One table on the panel's folds.
template <Backend B>
PanelRun run_table(Context<B>& ctx, const std::string& name, std::size_t t, const ConfoundValues& confounds,
                   PanelAnalysis& out) {
  PanelRun run{name,
               static_cast<Index>(out.pairing.ids.size()),
               out.tables[t].columns(),
               out.panel->run(ctx, out.tables[t].view(), out.pairing.feature_row[t]),
               {}};
  for (std::size_t k = out.asked; k < run.tasks.size(); ++k) run.tasks[k].confound = true;
  if (t == 0) out.first_results = run.tasks;
  run.tasks.insert(run.tasks.end(), out.unresolved.begin(), out.unresolved.end());
  for (const TaskResult& r : run.tasks) {
    run.confounds.emplace_back();
    if (!r.ok() || r.confound) continue;
    for (const auto& [column, values] : confounds)
      if (column != r.task.task.column)
        run.confounds.back().push_back(score_confound(r, column, values.codes, values.values));
  }
  return run;
}

template <std::same_as<Cpu> B>
void search_leaks(Context<B>& ctx, const PanelPlan& plan, const CsvTable& labels, const std::optional<FoldFile>& folds,
                  PanelAnalysis& out) {
  const auto add = [&](const std::vector<Leak>& found) {
    out.report.leaks.insert(out.report.leaks.end(), found.begin(), found.end());
  };
  const Encoded<std::string>& subject = out.subjects.codes;
  const std::span<const TaskResult> asked(out.panel->tasks().data(), out.asked);
  if (folds)
    for (const TaskResult& r : asked)
      if (const auto given = (*folds)(r.task.task)) add(find_split_subjects(r, *given, subject.values));
  if (!plan.search_copies) {
    for (const TaskResult& r : asked) add(find_label_conflicts(r, subject.values));
    return;
  }
  LeakageRows rows{out.pairing.ids, subject.codes, subject.values, {}, {}};
  for (const char* name : {"hash", "sha256", "md5", "checksum"})
    if (labels.has_column(name) && rows.hash.empty()) rows.hash = paired_cells(labels, out.pairing, name);
  if (const auto cohort = labels.has_column("cohort") ? labels.find_column("cohort") : find_site_column(labels))
    rows.cohort = encode_cells(paired_cells(labels, out.pairing, labels.header()[*cohort])).codes;
  for (std::size_t t = 0; t < out.tables.size(); ++t) {
    add(check_leakage(ctx, out.tables[t].view(), out.pairing.feature_row[t], rows,
                      t == 0 ? asked : std::span<const TaskResult>()));
    rows.hash.clear();
  }
}

}  // namespace detail

/// Throws what reading and pairing tables throws, and Error: argument (no features), format (folds that do not fit).
template <Backend B>
PanelAnalysis run_panel(Context<B>& ctx, const PanelPlan& plan, const PanelObserver& observer = {}) {
  if (plan.tables.features.empty())
    fail(ErrorKind::argument, "probe.features", "panel: expected a table of features, got none");
  CsvTable labels(plan.tables.labels);
  clear_stated_missing(labels, plan.tables.missing);
  PanelAnalysis out;
  detail::read_panel_tables(plan, labels, out);
  out.subjects = panel_subjects(labels, out.pairing, out.tables[0], plan.tables.subject_column);
  if (!out.subjects.warning.empty()) out.report.warnings.push_back(out.subjects.warning);
  const Encoded<std::string>& subject = out.subjects.codes;
  if (out.subjects.warning.empty())
    for (const FeatureTable& t : out.tables)
      if (const std::string sentence = encoder_people_sentence(t, subject.values); !sentence.empty())
        out.report.warnings.push_back(sentence);
  out.report.ids = out.pairing.ids;
  out.report.subjects = subject.values;
  out.report.options = plan.panel;
  detail::ConfoundValues confounds;
  std::vector<ResolvedTask> resolved = detail::resolve_panel_tasks(plan, labels, out, confounds);
  if (out.asked == 0) return out;
  std::optional<FoldFile> folds;
  if (!plan.fold_file.empty()) folds.emplace(plan.fold_file, out.pairing.ids, plan.salt);
  out.panel.emplace(std::move(resolved), subject.codes, plan.panel,
                    folds ? ImportedFolds([&](const Task& t) { return (*folds)(t); }) : ImportedFolds());
  observer.started(plan.tasks.size(), out.pairing.ids.size(), subject.values.size());
  const std::vector<std::string> names = short_feature_names(plan.tables.features);
  for (std::size_t t = 0; t < out.tables.size(); ++t) {
    observer.before_table();
    const auto start = std::chrono::steady_clock::now();
    out.report.runs.push_back(detail::run_table(ctx, names[t], t, confounds, out));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    observer.table_done(out.report.runs.back(), seconds);
  }
  if constexpr (std::is_same_v<B, Cpu>) {
    detail::search_leaks(ctx, plan, labels, folds, out);
  } else {
    Context<Cpu> host;
    detail::search_leaks(host, plan, labels, folds, out);
  }
  observer.searched(out.report.leaks.size());
  return out;
}

/// The panel's tasks fitted on all rows of the first table. Throws what fitting throws, and Error (state): no task of the panel could be
/// resolved.
template <Backend B>
SavedProbe fit_saved_probe(Context<B>& ctx, const PanelAnalysis& a) {
  if (!a.panel) fail(ErrorKind::state, "probe.fitted", "panel: expected a task that was fitted, got none");
  const std::vector<Index>& rows = a.pairing.feature_row[0];
  SavedProbe saved = make_saved_probe(a.tables[0], a.first_results,
                                      a.panel->fit_all(ctx, a.tables[0].view(), rows, a.first_results), rows);
  if (a.subjects.named_by_labels)
    for (const std::string& subject : a.subjects.codes.values) saved.people.push_back(subject_key(subject));
  std::sort(saved.people.begin(), saved.people.end());
  return saved;
}

}  // namespace braing3n::inline BRAING3N_ABI
