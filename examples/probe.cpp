// Linear probes on a table of features: a panel of tasks with folds, intervals, confounds and a report; or a saved probe applied.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "braing3n/probe/fold_file.hpp"
#include "braing3n/probe/panel_files.hpp"
#include "braing3n/probe/saved_probe.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/report_panel.hpp"
#include "examples/support/table.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Settings {
  std::vector<std::string> features, feature_columns;
  std::string labels, tasks, tasks_file, out, id_column, subject_column, confounds = "auto", folds_from, folds_to, salt, save, apply;
  bool legacy_folds = false, group_folds = false, raw = false, balanced = false, uncalibrated = false, no_leakage = false;
  PanelOptions panel;
};

std::string read_text(const std::string& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

/// File names without folder and ending, or whole paths where these are not distinct.
std::vector<std::string> short_names(const std::vector<FeatureTable>& tables) {
  std::vector<std::string> names;
  for (const FeatureTable& t : tables) names.push_back(std::filesystem::path(t.path).stem().string());
  if (std::set<std::string>(names.begin(), names.end()).size() < names.size())
    for (std::size_t i = 0; i < names.size(); ++i) names[i] = tables[i].path;
  return names;
}

/// Takes out rows with a feature that is no number in any of the tables; names the first of them.
void drop_non_finite(Pairing& pairing, const std::vector<FeatureTable>& tables, std::vector<std::string>& warnings) {
  std::vector<char> bad(pairing.ids.size(), 0);
  for (std::size_t t = 0; t < tables.size(); ++t) {
    std::vector<std::string> named;
    std::size_t count = 0;
    for (std::size_t i = 0; i < bad.size(); ++i) {
      const float* row = tables[t].values.data() + pairing.feature_row[t][i] * tables[t].columns;
      const float* found = std::find_if(row, row + tables[t].columns, [](float v) { return !std::isfinite(v); });
      if (found == row + tables[t].columns) continue;
      bad[i] = 1;
      if (++count <= 3) named.push_back(concat(pairing.ids[i], " (", tables[t].column(found - row), " is ", *found, ")"));
    }
    std::string list;
    for (const std::string& n : named) list += (list.empty() ? "" : ", ") + n;
    if (count > 0) warnings.push_back(concat(tables[t].path, ": ", count, count == 1 ? " row has" : " rows have", " features that are not numbers and is left out: ", list, count > 3 ? ", ..." : ""));
  }
  const auto keep = [&](auto& items) {
    std::size_t to = 0;
    for (std::size_t i = 0; i < bad.size(); ++i)
      if (bad[i] == 0) {
        if (to != i) items[to] = std::move(items[i]);
        ++to;
      }
    items.resize(to);
  };
  keep(pairing.ids);
  keep(pairing.label_row);
  for (auto& rows : pairing.feature_row) keep(rows);
  if (pairing.ids.empty()) fail(ErrorKind::numeric, "probe.nonfinite", "no row is left: every row has a feature that is not a number");
}

std::vector<std::string> column_of(const CsvTable& labels, const Pairing& pairing, const std::string& name) {
  std::vector<std::string> out;
  const std::size_t c = labels.column(name);
  for (Index r : pairing.label_row) {
    const std::string_view cell = labels.cell(static_cast<std::size_t>(r), c);
    out.push_back(is_missing(cell) ? std::string() : canonical_value(name, cell));
  }
  return out;
}

/// Codes of the non-empty values (-1: empty) and their names.
Encoded<std::string> encode_column(const std::vector<std::string>& cells) {
  Encoded<std::string> out = encode_sorted(std::span<const std::string>(cells));
  if (!out.values.empty() && out.values[0].empty()) {
    out.values.erase(out.values.begin());
    for (std::int32_t& code : out.codes) --code;
  }
  return out;
}

std::vector<std::string> confound_columns(const Settings& s, const CsvTable& labels) {
  if (s.confounds == "none") return {};
  std::vector<std::string> out;
  if (s.confounds == "auto") {
    for (const std::string& name : usual_confounds())
      if (labels.has_column(name)) out.push_back(name);
    return out;
  }
  for (const Task& task : parse_tasks(s.confounds)) {
    (void)labels.column(task.column);
    out.push_back(task.column);
  }
  return out;
}

/// A confound as a task: the values that enough subjects have.
std::optional<Task> confound_task(const std::string& column, const Encoded<std::string>& values, const std::vector<std::int32_t>& subject, int folds) {
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

void write_text(const std::filesystem::path& path, const std::string& text, const WriteOptions& options) {
  AtomicFile file(path, options);
  file.write(text);
  file.commit();
}

void print_summary(const PanelReport& report) {
  Table table({"features", "task", "n", "subjects", "score", "mean", "sd", "interval", "p", "converged"});
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks) {
      if (!r.ok()) continue;
      for (const char* name : r.task.classification ? std::vector<const char*>{"auc"} : std::vector<const char*>{"r2", "mae"}) {
        const Score& s = r.scores[name];
        table.row(run.features, r.confound ? concat(r.task.task.text, " (confound)") : r.task.task.text, r.sample.size(), r.subjects, name, decimals(s.mean, 4), decimals(s.sd, 4),
                  interval_text(s, 4), p_text(r.scores.p_value), r.converged() ? "yes" : "NO");
      }
    }
  table.print(std::cout);
  for (const PanelRun& run : report.runs)
    for (std::size_t t = 0; t < run.tasks.size(); ++t)
      for (const ConfoundScore& c : run.confounds[t])
        if (c.suspicious)
          std::cout << "warning: " << run.tasks[t].task.task.text << ": " << c.confound << " alone reaches " << decimals(c.alone) << ", the probe "
                    << decimals(run.tasks[t].scores.scores[0].mean) << ", within " << c.confound << " " << decimals(c.within) << '\n';
}

int fit(const Settings& s, const CommonOptions& common) {
  const auto context = make_cpu_context(common);
  JsonLog log(common.json_log);
  if (!s.tasks.empty() && !s.tasks_file.empty()) fail(ErrorKind::argument, "probe.tasks", "--tasks and --tasks-file exclude each other");
  const std::vector<Task> tasks = parse_tasks(s.tasks_file.empty() ? s.tasks : read_text(s.tasks_file));
  if (tasks.empty()) fail(ErrorKind::argument, "probe.tasks", "no tasks: give --tasks \"sex,age\" or --tasks-file FILE");
  const std::filesystem::path out(s.out);
  const WriteOptions writing{.overwrite = common.force};
  for (const char* name : {"panel.csv", "panel.json", "predictions.csv", "report.html"})
    if (!common.force && std::filesystem::exists(out / name)) throw Error(ErrorKind::file, "file.exists", "exists already; --force replaces it", (out / name).string());

  // Labels, features and which belong together.
  const CsvTable labels(s.labels);
  FeatureOptions reading{.id_column = s.id_column, .columns = s.feature_columns, .not_features = {}};
  for (const auto& names : {usual_id_columns(), usual_subject_columns(), usual_confounds()}) reading.not_features.insert(names.begin(), names.end());
  for (const char* name : {"age", "sex", "session_id", "path", "disease", "days"}) reading.not_features.insert(name);
  for (const Task& task : tasks) {
    reading.not_features.insert(task.column);
    for (const auto& [column, value] : task.where) reading.not_features.insert(column);
  }
  std::vector<FeatureTable> tables;
  for (const std::string& path : s.features) tables.push_back(read_features(path, reading));
  PanelReport report;
  // A person measured twice has one identifier in two rows. Labels with the same rows in the same order still say which is which.
  for (FeatureTable& table : tables)
    if (const auto twice = duplicate_id(table)) {
      if (!same_identifiers(labels, table)) throw *twice;
      table.ids.clear();
    }
  Pairing pairing = pair_rows(labels, tables, s.id_column);
  report.warnings = pairing.warnings;
  drop_non_finite(pairing, tables, report.warnings);
  bool complaint = !report.warnings.empty();

  // People.
  const auto subject_column = s.subject_column.empty() ? first_column_of(labels, usual_subject_columns()) : std::optional(s.subject_column);
  std::vector<std::string> people;
  if (subject_column) {
    people = column_of(labels, pairing, *subject_column);
    for (std::size_t i = 0; i < people.size(); ++i)
      if (people[i].empty()) throw labels.error_at(static_cast<std::size_t>(pairing.label_row[i]), "probe.subject", concat("the subject in column ", in_quotes(*subject_column), " is missing"));
  } else {
    people = pairing.ids;
    report.warnings.push_back("the labels have no subject column, so every row counts as a person of its own; repeated scans would leak between folds");
  }
  const Encoded<std::string> subject = encode_column(people);
  report.ids = pairing.ids;
  report.subjects = subject.values;

  // Tasks and confounds.
  PanelOptions options = s.panel;
  if (common.seed > 0xffffffffu) fail(ErrorKind::argument, "probe.seed", "--seed: folds take seeds below 2^32, got ", common.seed);
  options.folds.seed = static_cast<std::uint32_t>(common.seed);
  options.uncertainty.seed = common.seed;
  options.folds.mode = s.legacy_folds ? FoldShuffle::legacy : FoldShuffle::fixed;
  options.stratify_regression = !s.group_folds;
  options.standardize = !s.raw;
  options.class_weight = s.balanced ? ClassWeight::balanced : ClassWeight::none;
  report.options = options;
  std::vector<ResolvedTask> resolved;
  std::vector<TaskResult> failed;
  for (const Task& task : tasks) {
    try {
      resolved.push_back(resolve_task(task, labels, pairing.label_row));
    } catch (const Error& e) {
      failed.emplace_back();
      failed.back().task.task = task;
      failed.back().task.classification = true;
      failed.back().error = e.text();
    }
  }
  const std::size_t asked = resolved.size();
  std::vector<std::pair<std::string, Encoded<std::string>>> confounds;
  for (const std::string& column : confound_columns(s, labels)) {
    Encoded<std::string> values = encode_column(column_of(labels, pairing, column));
    if (values.count() < 2) continue;
    const bool is_task = std::any_of(tasks.begin(), tasks.end(), [&](const Task& t) { return t.column == column; });
    if (!is_task)
      if (const auto task = confound_task(column, values, subject.codes, options.folds.folds)) resolved.push_back(resolve_task(*task, labels, pairing.label_row));
    confounds.emplace_back(column, std::move(values));
  }
  std::optional<FoldFile> fold_file;
  if (!s.folds_from.empty()) fold_file.emplace(s.folds_from, pairing.ids, s.salt);
  const Panel panel(std::move(resolved), subject.codes, options, fold_file ? Panel::ImportedFolds([&](const Task& t) { return (*fold_file)(t); }) : Panel::ImportedFolds());
  log.event("tasks", {{"asked", tasks.size()}, {"rows", pairing.ids.size()}, {"subjects", subject.values.size()}});

  // One run per table on identical folds.
  const std::vector<std::string> names = short_names(tables);
  std::vector<std::vector<TaskResult>> raw(tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    stop_if_interrupted();
    const auto start = std::chrono::steady_clock::now();
    PanelRun run{names[t], static_cast<Index>(pairing.ids.size()), tables[t].columns, panel.run(*context, tables[t].view(), pairing.feature_row[t]), {}};
    for (std::size_t k = asked; k < run.tasks.size(); ++k) run.tasks[k].confound = true;
    raw[t] = run.tasks;
    run.tasks.insert(run.tasks.end(), failed.begin(), failed.end());
    for (const TaskResult& r : run.tasks) {
      run.confounds.emplace_back();
      if (!r.ok() || r.confound) continue;
      for (const auto& [column, values] : confounds)
        if (column != r.task.task.column) run.confounds.back().push_back(score_confound(r, column, values.codes, values.values));
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    log.event("panel", {{"features", names[t]}, {"seconds", seconds}});
    if (!common.quiet) std::cerr << concat(names[t], ": ", run.tasks.size(), " tasks in ", decimals(seconds, 2), " s\n");
    report.runs.push_back(std::move(run));
  }

  // Leaks.
  const auto add = [&](std::vector<Leak> found) { report.leaks.insert(report.leaks.end(), found.begin(), found.end()); };
  for (const TaskResult& r : panel.tasks()) {
    if (&r - panel.tasks().data() < static_cast<std::ptrdiff_t>(asked)) add(find_label_conflicts(r, subject.values));
    if (fold_file)
      if (const auto folds = (*fold_file)(r.task.task)) add(find_split_subjects(r, *folds, subject.values));
  }
  if (!s.no_leakage) {
    std::vector<std::string> hash;
    for (const char* name : {"hash", "sha256", "md5", "checksum"})
      if (labels.has_column(name) && hash.empty()) hash = column_of(labels, pairing, name);
    const auto cohort_column = first_column_of(labels, {"cohort", "site"});
    const std::vector<std::int32_t> cohort = cohort_column ? encode_column(column_of(labels, pairing, *cohort_column)).codes : std::vector<std::int32_t>{};
    for (std::size_t t = 0; t < tables.size(); ++t) {
      add(find_copies(tables[t].view(), pairing.feature_row[t], pairing.ids, t == 0 ? hash : std::vector<std::string>{}));
      add(find_near_duplicates(*context, tables[t].view(), pairing.feature_row[t], pairing.ids, subject.codes, cohort));
    }
  }

  // Files.
  std::error_code ignored;
  std::filesystem::create_directories(out, ignored);
  write_panel_csv(out / "panel.csv", report, writing);
  write_text(out / "panel.json", to_json(report).dump(1) + "\n", writing);
  write_predictions_csv(out / "predictions.csv", report, writing);
  write_text(out / "report.html", panel_html(report), writing);
  if (!s.folds_to.empty()) write_folds(s.folds_to, pairing.ids, panel.tasks(), s.salt, writing);
  if (!s.save.empty()) write_saved_probe(s.save, make_saved_probe(tables[0], raw[0], panel.fit_all(*context, tables[0].view(), pairing.feature_row[0], raw[0])), writing);

  print_summary(report);
  std::size_t done = 0, lost = 0;
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks) {
      if (r.ok() && !r.confound) ++done;
      if (!r.ok() && !r.confound) {
        ++lost;
        std::cerr << "probe: " << r.task.task.text << ": " << r.error << '\n';
      }
      complaint = complaint || (r.ok() && !r.converged());
    }
  for (const std::string& w : report.warnings) std::cerr << "probe: " << w << '\n';
  std::size_t shown = 0;
  for (const Leak& leak : report.leaks) {
    if (++shown <= 20) std::cerr << "probe: " << leak.kind << ": " << leak.sentence << '\n';
    complaint = complaint || leak.kind != "label_conflict";
  }
  if (shown > 20) std::cerr << "probe: and " << shown - 20 << " more, in panel.json\n";
  if (done == 0) return exit_not_started;
  return lost > 0 || complaint ? exit_some_failed : exit_done;
}

int apply(const Settings& s, const CommonOptions& common) {
  if (s.features.size() != 1) fail(ErrorKind::argument, "probe.features", "--apply reads one feature file, got ", s.features.size());
  const SavedProbe probe = read_saved_probe(s.apply);
  FeatureOptions reading{.id_column = s.id_column, .columns = s.feature_columns, .not_features = {}};
  for (const auto& names : {usual_id_columns(), usual_subject_columns(), usual_confounds()}) reading.not_features.insert(names.begin(), names.end());
  for (const char* name : {"age", "sex", "session_id", "path", "disease", "days"}) reading.not_features.insert(name);
  for (const SavedTask& task : probe.tasks) reading.not_features.insert(task.column);
  const FeatureTable table = read_features(s.features[0], reading);
  require_same_features(probe, table);
  // Truth, where it is known, for gaps.
  std::optional<CsvTable> labels;
  std::vector<Index> label_row(static_cast<std::size_t>(table.rows), -1);
  if (!s.labels.empty()) {
    labels.emplace(s.labels);
    const Pairing pairing = pair_rows(*labels, {&table, 1}, s.id_column);
    for (std::size_t i = 0; i < pairing.label_row.size(); ++i) label_row[static_cast<std::size_t>(pairing.feature_row[0][i])] = pairing.label_row[i];
  }
  const auto has_truth = [&](const SavedTask& t) { return !t.classification && labels && labels->has_column(t.column); };
  std::vector<std::string> header{"id"};
  for (const SavedTask& t : probe.tasks) {
    header.push_back(t.name);
    for (const std::string& c : t.classes) header.push_back(concat(t.name, ':', c));
    if (has_truth(t)) header.insert(header.end(), {t.name + ":gap", t.name + ":gap_corrected"});
  }
  CsvWriter writer(s.out, header, {.overwrite = common.force});
  Index unreadable = 0;
  for (Index i = 0; i < table.rows; ++i) {
    const float* row = table.values.data() + i * table.columns;
    std::vector<std::string> cells{table.id(i)};
    const float* bad = std::find_if(row, row + table.columns, [](float v) { return !std::isfinite(v); });
    if (bad != row + table.columns) {
      std::cerr << "probe: " << table.id(i) << ": " << table.column(bad - row) << " is " << *bad << "; the row is left empty\n";
      ++unreadable;
      cells.resize(header.size());
      writer.cells(cells);
      continue;
    }
    for (const SavedTask& t : probe.tasks) {
      const std::vector<double> value = apply_probe(t, row, !s.uncalibrated);
      if (t.classification) {
        cells.push_back(t.classes[static_cast<std::size_t>(std::max_element(value.begin(), value.end()) - value.begin())]);
        for (double p : value) cells.push_back(Json(p).dump());
      } else {
        cells.push_back(Json(value[0]).dump());
      }
      if (!has_truth(t)) continue;
      const Index r = label_row[static_cast<std::size_t>(i)];
      const auto truth = r < 0 ? std::nullopt : labels->number(static_cast<std::size_t>(r), labels->column(t.column));
      cells.push_back(truth ? Json(value[0] - *truth).dump() : "");
      cells.push_back(truth ? Json(corrected_gap(t, value[0], *truth)).dump() : "");
    }
    writer.cells(cells);
  }
  writer.finish();
  if (!common.quiet) std::cerr << "probe: " << table.rows - unreadable << " rows, " << probe.tasks.size() << " tasks -> " << s.out << '\n';
  return unreadable == 0 ? exit_done : unreadable == table.rows ? exit_not_started : exit_some_failed;
}

}  // namespace

int main(int argc, char** argv) {
  Program program("probe", "Linear probes on features: scores with intervals, confounds, a report; or a saved probe applied to new features.");
  Settings s;
  PanelOptions& p = s.panel;
  CLI::App& app = program.app;
  app.add_option("--features", s.features, "feature tables: .safetensors, .npy, .npz, .csv, .tsv; several are compared on identical folds")->required();
  app.add_option("--labels", s.labels, "label table (CSV or TSV)");
  app.add_option("--tasks", s.tasks, "NAME[:A|B...][=class|reg][@column=value], separated by commas");
  app.add_option("--tasks-file", s.tasks_file, "tasks from a file, one per line, # for comments");
  app.add_option("--out", s.out, "folder for panel.csv, panel.json, predictions.csv, report.html; with --apply a CSV file")->required();
  app.add_option("--feature-columns", s.feature_columns, "columns of CSV features, * for any text (default: all numeric columns that are not labels)")->delimiter(',');
  app.add_option("--id-column", s.id_column, "column with the identifiers of rows");
  app.add_option("--subject-column", s.subject_column, "column with the person");
  app.add_option("--confounds", s.confounds, "columns to show beside every task, \"auto\" or \"none\"");
  app.add_option("--folds", p.folds.folds, "number of folds")->check(CLI::Range(2, 1000));
  app.add_flag("--legacy-folds", s.legacy_folds, "folds of scikit-learn before its 2025 shuffle correction");
  app.add_flag("--group-folds", s.group_folds, "regressions: folds by subject alone instead of by quantiles of the target");
  app.add_option("--import-folds", s.folds_from, "folds from a file");
  app.add_option("--export-folds", s.folds_to, "folds to a file");
  app.add_option("--salt", s.salt, "replace identifiers in fold files by salted hashes");
  app.add_option("--C", p.C, "inverse penalty of classifications")->check(CLI::PositiveNumber);
  app.add_option("--alpha", p.alpha, "penalty of regressions")->check(CLI::PositiveNumber);
  app.add_flag("--select", p.select, "choose C and alpha by inner folds");
  app.add_option("--inner-folds", p.inner_folds, "inner folds of --select")->check(CLI::Range(2, 100));
  app.add_flag("--balanced", s.balanced, "weight classes so that each counts the same");
  app.add_flag("--no-standardize", s.raw, "take features as they are");
  app.add_option("--tolerance", p.tolerance, "largest gradient relative to zero weights")->check(CLI::Range(1e-12, 1e-1));
  app.add_option("--bootstrap", p.uncertainty.replicates, "bootstrap replicates, 0: no intervals")->check(CLI::Range(0, 1000000));
  app.add_option("--permutations", p.uncertainty.permutations, "permutations, 0: no p-values")->check(CLI::Range(0, 1000000));
  app.add_option("--coverage", p.uncertainty.coverage, "coverage of the intervals")->check(CLI::Range(0.5, 0.9999));
  app.add_flag("--no-leakage-check", s.no_leakage, "skip the search for copies and near-duplicates");
  app.add_option("--save", s.save, "write the probes fitted on all rows (.safetensors)");
  app.add_option("--apply", s.apply, "apply a saved probe");
  app.add_flag("--uncalibrated", s.uncalibrated, "with --apply: probabilities as fitted");
  return program.run(argc, argv, [&] {
    if (program.common.precision != "f32") fail(ErrorKind::argument, "probe.precision", "--precision: probes read float32 features, got ", program.common.precision);
    if (!s.apply.empty()) return apply(s, program.common);
    if (s.labels.empty()) fail(ErrorKind::argument, "probe.labels", "--labels is required unless --apply is given");
    return fit(s, program.common);
  });
}
