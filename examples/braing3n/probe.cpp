// Linear probes on a table of features: a panel of tasks with folds, intervals, confounds and a report; or a saved probe applied.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <optional>
#include <set>

#include "braing3n/base/text.hpp"
#include "braing3n/data/manifest_cells.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/probe/fold_file.hpp"
#include "braing3n/probe/panel_files.hpp"
#include "braing3n/probe/saved_probe.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/table/column_names.hpp"
#include "braing3n/table/finite_rows.hpp"
#include "braing3n/table/join_features.hpp"
#include "braing3n/table/row_pairing.hpp"
#include "braing3n/table/stated_missing.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/report_panel.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Settings {
  std::vector<std::string> features, feature_columns, missing;
  std::string labels, tasks, tasks_file, out, id_column, subject_column, confounds = "auto", folds_from, folds_to, salt,
                                                                         save, apply;
  bool by_order = false, legacy_folds = false, group_folds = false, raw = false, balanced = false, uncalibrated = false,
       no_leakage = false;
  PanelOptions panel;
};

std::string read_text(const std::string& path) {
  const MappedFile file(path);
  std::string text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  require_utf8(text, path);
  return text;
}

/// File names without folder and ending ("a+b" for files side by side), or whole paths where these are not distinct.
std::vector<std::string> short_names(const std::vector<std::string>& features) {
  std::vector<std::string> names;
  for (const std::string& text : features) {
    std::string name;
    for (const std::string& part : feature_parts(text))
      name += (name.empty() ? "" : "+") + std::filesystem::path(part).stem().string();
    names.push_back(name);
  }
  return std::set<std::string>(names.begin(), names.end()).size() < names.size() ? features : names;
}

/// The names of --id-column for the features and for the labels: NAME or FEATURES=LABELS.
std::pair<std::string, std::string> id_columns(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return {text, text};
  if (equals == 0 || equals + 1 == text.size())
    fail(ErrorKind::argument, "probe.id_column", "--id-column: expected NAME or FEATURES=LABELS, got ",
         in_quotes(text));
  return {text.substr(0, equals), text.substr(equals + 1)};
}

/// Does what f does; an error about tables that do not meet also says which option would help.
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

/// The table of one entry of --features, of one file or several side by side.
FeatureTable features_of(const std::string& text, const FeatureOptions& reading, const JoinOptions& joining) {
  std::vector<FeatureTable> parts;
  for (const std::string& part : feature_parts(text)) parts.push_back(read_features(part, reading));
  return join_features(parts, joining);
}

std::vector<std::string> column_of(const CsvTable& labels, const Pairing& pairing, const std::string& name) {
  std::vector<std::string> out;
  const std::size_t c = labels.column(name);
  for (Index r : pairing.label_row) {
    const std::string_view cell = labels.cell(static_cast<std::size_t>(r), c);
    out.push_back(is_missing_label(cell) ? std::string() : canonical_value(name, cell));
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
    const auto site = find_site_column(labels);
    if (site) out.push_back(labels.header()[*site]);
    for (const std::string& name : usual_confounds())
      if (const auto c = find_named_column(labels, name); c && c != site) out.push_back(labels.header()[*c]);
    return out;
  }
  for (const Task& task : parse_tasks(s.confounds)) {
    (void)labels.column(task.column);
    out.push_back(task.column);
  }
  return out;
}

/// A confound as a task: the values that enough subjects have.
std::optional<Task> confound_task(const std::string& column, const Encoded<std::string>& values,
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

void print_summary(const PanelReport& report) {
  Table table({"features", "task", "n", "subjects", "score", "mean", "sd", "interval", "p", "converged"});
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks) {
      if (!r.ok()) continue;
      for (const char* name :
           r.task.classification ? std::vector<const char*>{"auc"} : std::vector<const char*>{"r2", "mae"}) {
        const Score& s = r.scores[name];
        table.row(run.features, r.confound ? concat(r.task.task.text, " (confound)") : r.task.task.text,
                  r.sample.size(), r.subjects, name, decimals(s.mean, 4), decimals(s.sd, 4), interval_text(s, 4),
                  p_text(r.scores.p_value), r.converged() ? "yes" : "NO");
      }
    }
  table.print(std::cout);
  for (const PanelRun& run : report.runs)
    for (std::size_t t = 0; t < run.tasks.size(); ++t)
      for (const ConfoundScore& c : run.confounds[t])
        if (c.suspicious)
          std::cout << "warning: " << run.tasks[t].task.task.text << ": " << c.confound << " alone reaches "
                    << decimals(c.alone) << ", the probe " << decimals(run.tasks[t].scores.scores[0].mean)
                    << ", within " << c.confound << " " << decimals(c.within) << '\n';
}

FeatureOptions feature_options(const Settings& s, const std::vector<std::string>& columns) {
  return {.id_column = id_columns(s.id_column).first,
          .columns = columns,
          .not_features = {usual_confounds().begin(), usual_confounds().end()}};
}

/// The header of the labels' column that names the person.
std::optional<std::string> subject_column_of(const CsvTable& labels, const std::string& wanted) {
  if (!wanted.empty()) return labels.header()[braing3n::detail::named_column(labels, wanted)];
  const auto found = find_subject_column(labels);
  return found ? std::optional(labels.header()[*found]) : std::nullopt;
}

/// Subjects that the features name, row by row, or null.
const std::vector<std::string>* subjects_of(const FeatureTable& table) {
  if (table.ids_are_subjects && !table.ids.empty()) return &table.ids;
  for (const IdentifierColumn& other : table.other_ids)
    if (other.subjects) return &other.values;
  return nullptr;
}

/// Which columns of a CSV came to be features, so that no label hides among them.
std::string columns_sentence(const FeatureTable& t) {
  std::string list;
  for (std::size_t j = 0; j < t.column_names.size(); ++j)
    if (j < 3 || j + 1 == t.column_names.size())
      list += concat(j == 0 ? "" : j > 3 ? ", ..., " : ", ", in_quotes(t.column_names[j], 40));
  return concat(t.path, ": ", t.columns(),
                t.columns() == 1 ? " column is taken as a feature: " : " columns are taken as features: ", list,
                " (--feature-columns chooses)");
}

/// What is read, against every result. Throws Error (argument).
void guard_files(const Settings& s, const CommonOptions& common, std::initializer_list<std::filesystem::path> results) {
  OutputGuard guard;
  for (const std::string& text : s.features)
    for (const std::string& path : feature_parts(text)) guard.input(path);
  for (const std::string& path : {s.labels, s.tasks_file, s.folds_from, s.apply}) guard.input(path);
  for (const auto& path : results) guard.output(path);
  guard.output(common.json_log);
}

int fit(const Settings& s, const CommonOptions& common) {
  const std::filesystem::path out(s.out);
  if (!s.save.empty()) require_ending(s.save, {".safetensors", ".probe", ""});
  if (!s.folds_to.empty()) require_ending(s.folds_to, {".csv", ".tsv", ""});
  guard_files(
      s, common,
      {out / "panel.csv", out / "panel.json", out / "predictions.csv", out / "report.html", s.save, s.folds_to});
  const auto context = make_cpu_context(common);
  JsonLog log(common.json_log);
  if (!s.tasks.empty() && !s.tasks_file.empty())
    fail(ErrorKind::argument, "probe.tasks", "--tasks and --tasks-file exclude each other");
  const std::vector<Task> tasks = parse_tasks(s.tasks_file.empty() ? s.tasks : read_text(s.tasks_file));
  if (tasks.empty())
    fail(ErrorKind::argument, "probe.tasks", "no tasks: give --tasks \"sex,age\" or --tasks-file FILE");
  const WriteOptions writing{.overwrite = common.force};
  for (const char* name : {"panel.csv", "panel.json", "predictions.csv", "report.html"})
    if (!common.force && std::filesystem::exists(out / name))
      throw Error(ErrorKind::file, "file.exists", "exists already; --force replaces it", (out / name).string());

  const FileLock lock = lock_folder(out);
  for (const std::string& path : {s.save, s.folds_to})
    if (!path.empty()) make_folder_of(path);

  // Labels, features and which belong together.
  CsvTable labels(s.labels);
  clear_stated_missing(labels, s.missing);
  FeatureOptions reading = feature_options(s, s.feature_columns);
  for (const Task& task : tasks) {
    reading.not_features.insert(task.column);
    for (const auto& [column, value] : task.where) reading.not_features.insert(column);
  }
  for (const std::string& column : confound_columns(s, labels)) reading.not_features.insert(column);
  std::vector<FeatureTable> tables;
  Pairing pairing = with_advice([&] {
    for (const std::string& text : s.features) tables.push_back(features_of(text, reading, {.by_order = s.by_order}));
    return pair_rows(labels, tables, {.id_column = id_columns(s.id_column).second, .by_order = s.by_order});
  });
  drop_non_finite(pairing, tables);
  PanelReport report;
  report.warnings = pairing.warnings;
  bool complaint = !report.warnings.empty();
  if (s.feature_columns.empty())
    for (const FeatureTable& t : tables) {
      report.warnings.insert(report.warnings.end(), t.notes.begin(), t.notes.end());
      if (!t.column_names.empty()) report.warnings.push_back(columns_sentence(t));
    }

  // People.
  const auto subject_column = subject_column_of(labels, s.subject_column);
  std::vector<std::string> people;
  if (subject_column) {
    people = column_of(labels, pairing, *subject_column);
    for (std::size_t i = 0; i < people.size(); ++i)
      if (people[i].empty())
        throw labels.error_at(static_cast<std::size_t>(pairing.label_row[i]), "probe.subject",
                              concat("the subject in column ", in_quotes(*subject_column), " is missing"));
  } else if (const std::vector<std::string>* subjects = subjects_of(tables[0])) {
    for (const Index row : pairing.feature_row[0]) people.push_back((*subjects)[static_cast<std::size_t>(row)]);
  } else {
    for (const Index row : pairing.label_row) people.push_back(concat(row));
    std::map<Index, std::size_t> rows_of_label;
    for (const Index row : pairing.label_row) ++rows_of_label[row];
    if (rows_of_label.size() == pairing.ids.size()) people = pairing.ids;
    report.warnings.push_back(
        "the labels have no subject column, so every row of labels counts as a person of its own; repeated scans would "
        "leak between folds");
  }
  const Encoded<std::string> subject = encode_column(people);
  report.ids = pairing.ids;
  report.subjects = subject.values;

  // Tasks and confounds.
  PanelOptions options = s.panel;
  if (common.seed > 0xffffffffu)
    fail(ErrorKind::argument, "probe.seed", "--seed: folds take seeds below 2^32, got ", common.seed);
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
  if (asked == 0) {  // nothing to write
    for (const TaskResult& r : failed) std::cerr << "probe: " << r.task.task.text << ": " << r.error << '\n';
    return exit_not_started;
  }
  std::vector<std::pair<std::string, Encoded<std::string>>> confounds;
  for (const std::string& column : confound_columns(s, labels)) {
    Encoded<std::string> values = encode_column(column_of(labels, pairing, column));
    if (values.count() < 2) continue;
    const bool is_task = std::any_of(tasks.begin(), tasks.end(), [&](const Task& t) { return t.column == column; });
    if (!is_task)
      if (const auto task = confound_task(column, values, subject.codes, options.folds.folds))
        resolved.push_back(resolve_task(*task, labels, pairing.label_row));
    confounds.emplace_back(column, std::move(values));
  }
  std::optional<FoldFile> fold_file;
  if (!s.folds_from.empty()) fold_file.emplace(s.folds_from, pairing.ids, s.salt);
  const Panel panel(std::move(resolved), subject.codes, options,
                    fold_file ? ImportedFolds([&](const Task& t) { return (*fold_file)(t); }) : ImportedFolds());
  log.event("tasks", {{"asked", tasks.size()}, {"rows", pairing.ids.size()}, {"subjects", subject.values.size()}});

  // One run per table on identical folds.
  const std::vector<std::string> names = short_names(s.features);
  std::vector<std::vector<TaskResult>> raw(tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    stop_if_interrupted();
    const auto start = std::chrono::steady_clock::now();
    PanelRun run{names[t],
                 static_cast<Index>(pairing.ids.size()),
                 tables[t].columns(),
                 panel.run(*context, tables[t].view(), pairing.feature_row[t]),
                 {}};
    for (std::size_t k = asked; k < run.tasks.size(); ++k) run.tasks[k].confound = true;
    raw[t] = run.tasks;
    run.tasks.insert(run.tasks.end(), failed.begin(), failed.end());
    for (const TaskResult& r : run.tasks) {
      run.confounds.emplace_back();
      if (!r.ok() || r.confound) continue;
      for (const auto& [column, values] : confounds)
        if (column != r.task.task.column)
          run.confounds.back().push_back(score_confound(r, column, values.codes, values.values));
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    log.event("panel", {{"features", names[t]}, {"seconds", seconds}});
    if (!common.quiet)
      std::cerr << concat(names[t], ": ", run.tasks.size(), " tasks in ", decimals(seconds, 2), " s\n");
    report.runs.push_back(std::move(run));
  }

  // Leaks.
  const auto add = [&](std::vector<Leak> found) {
    report.leaks.insert(report.leaks.end(), found.begin(), found.end());
  };
  const std::span<const TaskResult> asked_tasks(panel.tasks().data(), asked);
  if (fold_file)
    for (const TaskResult& r : asked_tasks)
      if (const auto folds = (*fold_file)(r.task.task)) add(find_split_subjects(r, *folds, subject.values));
  if (s.no_leakage) {
    for (const TaskResult& r : asked_tasks) add(find_label_conflicts(r, subject.values));
  } else {
    LeakageRows rows{pairing.ids, subject.codes, subject.values, {}, {}};
    for (const char* name : {"hash", "sha256", "md5", "checksum"})
      if (labels.has_column(name) && rows.hash.empty()) rows.hash = column_of(labels, pairing, name);
    if (const auto cohort = labels.has_column("cohort") ? labels.find_column("cohort") : find_site_column(labels))
      rows.cohort = encode_column(column_of(labels, pairing, labels.header()[*cohort])).codes;
    for (std::size_t t = 0; t < tables.size(); ++t) {
      add(check_leakage(*context, tables[t].view(), pairing.feature_row[t], rows,
                        t == 0 ? asked_tasks : std::span<const TaskResult>()));
      rows.hash.clear();
    }
  }
  log.event("leaks", {{"found", report.leaks.size()}});

  // Files.
  write_panel_csv(out / "panel.csv", report, writing);
  write_text(out / "panel.json", to_json(report).dump(1) + "\n", writing);
  write_predictions_csv(out / "predictions.csv", report, writing);
  write_text(out / "report.html", panel_html(report), writing);
  if (!s.folds_to.empty()) write_folds(s.folds_to, pairing.ids, panel.tasks(), s.salt, writing);
  if (!s.save.empty()) {
    SavedProbe saved =
        make_saved_probe(tables[0], raw[0], panel.fit_all(*context, tables[0].view(), pairing.feature_row[0], raw[0]),
                         pairing.feature_row[0]);
    if (subject_column)
      for (const std::string& person : subject.values) saved.people.push_back(person_key(person));
    std::sort(saved.people.begin(), saved.people.end());
    write_saved_probe(s.save, saved, writing);
  }

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
  std::map<std::string, std::size_t> shown;  // by kind
  for (const Leak& leak : report.leaks) {
    if (++shown[leak.kind] <= 5) std::cerr << "probe: " << leak.kind << ": " << leak.sentence << '\n';
    complaint = complaint || leak.kind != "label_conflict";
  }
  for (const auto& [kind, count] : shown)
    if (count > 5) std::cerr << "probe: and " << count - 5 << " more of " << kind << ", in panel.json\n";
  if (done == 0) return exit_not_started;
  return lost > 0 || complaint ? exit_some_failed : exit_done;
}

/// What is far outside in a row of the table, in words.
std::string outside_text(const SavedTask& t, const FeatureTable& table, Index i, double prediction) {
  const std::vector<double> row = table.row_values(i);
  if (const auto j = feature_outside(t.range, row.data())) {
    const auto f = static_cast<std::size_t>(*j);
    return concat(table.id(i), ", where ", table.column(*j), " is ", row[f], ", in training ", t.range.low[f], " to ",
                  t.range.high[f]);
  }
  return concat(table.id(i), ", predicted ", prediction, ", in training ", t.range.target_low, " to ",
                t.range.target_high);
}

/// Predictions of people on whom the probe was fitted are better than those of others, and so are their gaps.
void warn_of_known_people(const SavedProbe& probe, const Settings& s, const std::optional<CsvTable>& labels,
                          const std::vector<Index>& label_row) {
  if (!labels || probe.people.empty()) return;
  const auto found =
      s.subject_column.empty() ? find_subject_column(*labels) : std::optional(labels->column(s.subject_column));
  if (!found) return;
  const std::string& column = labels->header()[*found];
  std::set<std::string> known;
  for (const Index r : label_row) {
    if (r < 0) continue;
    const std::string person = canonical_value(column, labels->cell(static_cast<std::size_t>(r), *found));
    if (std::binary_search(probe.people.begin(), probe.people.end(), person_key(person))) known.insert(person);
  }
  if (!known.empty())
    std::cerr << "probe: warning: the probes were fitted on " << known.size()
              << " of these people, whose gaps are too small: "
              << braing3n::detail::some_of({known.begin(), known.end()}) << '\n';
}

int apply(const Settings& s, const CommonOptions& common) {
  if (s.features.size() != 1)
    fail(ErrorKind::argument, "probe.features", "--apply reads one feature file, got ", s.features.size());
  require_ending(s.out, {".csv", ".tsv", ""});
  guard_files(s, common, {s.out});
  const FileLock lock = lock_file(s.out);
  const SavedProbe probe = read_saved_probe(s.apply);
  // The probe knows the columns it wants: a CSV may hold others, in any order.
  const bool named = s.feature_columns.empty() && !probe.feature_names.empty();
  FeatureOptions reading = feature_options(s, s.feature_columns);
  if (named)
    for (const std::string& name : probe.feature_names) {
      reading.columns.push_back(name);
      if (const std::string original = original_column_name(name); original != name)
        reading.columns.push_back(original);
    }
  for (const SavedTask& task : probe.tasks) reading.not_features.insert(task.column);
  FeatureTable table =
      with_advice([&] { return features_of(s.features[0], reading, {.by_order = s.by_order, .keep_equal = true}); });
  if (named && !table.column_names.empty()) table = select_columns(table, probe.feature_names);
  require_same_features(probe, table);
  // Truth, where it is known, for gaps.
  std::optional<CsvTable> labels;
  std::vector<Index> label_row(static_cast<std::size_t>(table.rows()), -1);
  if (!s.labels.empty()) {
    labels.emplace(s.labels);
    clear_stated_missing(*labels, s.missing);
    const Pairing pairing = with_advice([&] {
      return pair_rows(*labels, {&table, 1}, {.id_column = id_columns(s.id_column).second, .by_order = s.by_order});
    });
    for (const std::string& w : pairing.warnings) std::cerr << "probe: " << w << '\n';
    for (std::size_t i = 0; i < pairing.label_row.size(); ++i)
      label_row[static_cast<std::size_t>(pairing.feature_row[0][i])] = pairing.label_row[i];
  }
  warn_of_known_people(probe, s, labels, label_row);
  const auto has_truth = [&](const SavedTask& t) {
    return !t.classification && labels && labels->has_column(t.column);
  };
  std::vector<std::string> header{"id"};
  for (const SavedTask& t : probe.tasks) {
    header.push_back(t.name);
    for (const std::string& c : t.classes) header.push_back(concat(t.name, ':', c));
    header.push_back(t.name + ":range");
    if (has_truth(t)) header.insert(header.end(), {t.name + ":gap", t.name + ":gap_corrected"});
  }
  for (const SavedTask& t : probe.tasks)
    if (!t.range.known())
      std::cerr << "probe: " << t.name
                << ": the file does not say what the probe was fitted on; rows far from that cannot be told (range: "
                   "unknown)\n";
  std::vector<Index> outside(probe.tasks.size(), 0);
  std::vector<std::string> first_outside(probe.tasks.size());
  CsvWriter writer(s.out, header, {.overwrite = common.force});
  Index unreadable = 0;
  for (Index i = 0; i < table.rows(); ++i) {
    const std::vector<double> row = table.row_values(i);
    std::vector<std::string> cells{table.id(i)};
    const auto bad = std::find_if(row.begin(), row.end(), [](double v) { return !std::isfinite(v); });
    if (bad != row.end()) {
      std::cerr << "probe: " << table.id(i) << ": " << table.column(bad - row.begin()) << " is " << *bad
                << "; the row is left empty\n";
      ++unreadable;
      cells.resize(header.size());
      writer.cells(cells);
      continue;
    }
    for (std::size_t k = 0; k < probe.tasks.size(); ++k) {
      const SavedTask& t = probe.tasks[k];
      const std::vector<double> value = apply_probe(t, row.data(), !s.uncalibrated);
      if (t.classification) {
        cells.push_back(
            t.classes[static_cast<std::size_t>(std::max_element(value.begin(), value.end()) - value.begin())]);
        for (double p : value) cells.push_back(Json(p).dump());
      } else {
        cells.push_back(Json(value[0]).dump());
      }
      const RangeVerdict verdict =
          judge_range(t.range, row.data(), t.classification ? std::nullopt : std::optional(value[0]));
      cells.emplace_back(to_string(verdict));
      if (verdict > RangeVerdict::inside && outside[k]++ == 0) first_outside[k] = outside_text(t, table, i, value[0]);
      if (!has_truth(t)) continue;
      const Index r = label_row[static_cast<std::size_t>(i)];
      const auto truth = r < 0 ? std::nullopt : labels->number(static_cast<std::size_t>(r), labels->column(t.column));
      cells.push_back(truth ? Json(value[0] - *truth).dump() : "");
      cells.push_back(truth ? Json(corrected_gap(t, value[0], *truth)).dump() : "");
    }
    writer.cells(cells);
  }
  writer.finish();
  for (std::size_t k = 0; k < outside.size(); ++k)
    if (outside[k] > 0)
      std::cerr << "probe: warning: " << probe.tasks[k].name << ": " << outside[k] << " of " << table.rows()
                << " rows lie far outside of what the probe was fitted on, the first: " << first_outside[k] << '\n';
  if (!common.quiet)
    std::cerr << "probe: " << table.rows() - unreadable << " rows, " << probe.tasks.size() << " tasks -> " << s.out
              << '\n';
  return unreadable == 0 ? exit_done : unreadable == table.rows() ? exit_not_started : exit_some_failed;
}

}  // namespace

int probe_command(int argc, char** argv) {
  Program program("probe",
                  "Linear probes on features: scores with intervals, confounds, a report; or a saved probe applied to "
                  "new features.");
  Settings s;
  PanelOptions& p = s.panel;
  CLI::App& app = program.app;
  app.add_option("--features", s.features,
                 "one or more tables of features: .csv, .tsv, .npy, .npz, .safetensors; several are compared on "
                 "identical folds; A+B: the "
                 "columns of both, joined by identifiers")
      ->required()
      ->default_str("")
      ->group("Tables");
  app.add_option("--labels", s.labels,
                 "table of labels (CSV or TSV); not needed where the one CSV of features holds them too")
      ->group("Tables");
  app.add_option("--feature-columns", s.feature_columns,
                 "columns of a CSV that are features, * for any text (default: all columns of numbers but labels)")
      ->delimiter(',')
      ->default_str("")
      ->group("Tables");
  app.add_option("--missing", s.missing,
                 "values of labels that stand for missing ones: -999 or age=-1, separated by commas")
      ->delimiter(',')
      ->default_str("")
      ->group("Tables");
  app.add_option("--id-column", s.id_column,
                 "column that names the rows, NAME in all tables or FEATURES=LABELS (default: volume_id, ID, "
                 "participant_id, ... in any spelling)")
      ->group("Tables");
  app.add_flag("--pair-by-order", s.by_order,
               "features that identifiers do not pair: row i of the features is row i of the labels")
      ->group("Tables");
  app.add_option("--subject-column", s.subject_column,
                 "column that names the person (default: subject_id, participant_id, ...)")
      ->group("Tables");
  app.add_option("--tasks", s.tasks, "what to predict: NAME[:A|B...][=class|reg][@column=value], separated by commas")
      ->group("Tasks");
  app.add_option("--tasks-file", s.tasks_file, "the same from a file: one task per line, # starts a comment")
      ->group("Tasks");
  app.add_option(
         "--confounds", s.confounds,
         "columns to hold against every task: names, \"auto\" (site, scanner, vendor, modality, ...) or \"none\"")
      ->group("Tasks");
  app.add_option("--out", s.out,
                 "folder for report.html, panel.csv, panel.json, predictions.csv; with --apply a CSV file")
      ->required()
      ->group("Results");
  app.add_option("--bootstrap", p.uncertainty.replicates, "replicates of the bootstrap over persons, 0: no intervals")
      ->check(CLI::Range(0, 1000000))
      ->group("Results");
  app.add_option("--permutations", p.uncertainty.permutations, "permutations of the labels, 0: no p-values")
      ->check(CLI::Range(0, 1000000))
      ->group("Results");
  app.add_option("--coverage", p.uncertainty.coverage, "coverage of the intervals")
      ->check(CLI::Range(0.5, 0.9999))
      ->group("Results");
  app.add_flag("--no-leakage-check", s.no_leakage, "do not search for copied and nearly equal scans")->group("Results");
  app.add_option("--folds", p.folds.folds, "number of folds; the scans of a person always stay together")
      ->check(CLI::Range(2, 1000))
      ->group("Folds");
  app.add_flag("--legacy-folds", s.legacy_folds, "the folds scikit-learn made before the shuffle correction of 2025")
      ->group("Folds");
  app.add_flag("--group-folds", s.group_folds, "regressions: do not balance the folds by the target")->group("Folds");
  app.add_option("--export-folds", s.folds_to, "write the folds to this file")->group("Folds");
  app.add_option("--import-folds", s.folds_from, "take the folds from this file")->group("Folds");
  app.add_option("--salt", s.salt, "a secret: fold files hold hashes instead of identifiers and may be published")
      ->group("Folds");
  app.add_option("--C", p.C, "classifications: inverse of the penalty")->check(CLI::PositiveNumber)->group("Fits");
  app.add_option("--alpha", p.alpha, "regressions: penalty")->check(CLI::PositiveNumber)->group("Fits");
  app.add_flag("--select", p.select, "choose C and alpha by folds inside the training rows")->group("Fits");
  app.add_option("--inner-folds", p.inner_folds, "how many of them")->check(CLI::Range(2, 100))->group("Fits");
  app.add_flag("--balanced", s.balanced, "let every class count the same")->group("Fits");
  app.add_flag("--no-standardize", s.raw, "take features as they are, not scaled by the training rows")->group("Fits");
  app.add_option("--tolerance", p.tolerance, "stop at this gradient, relative to that at zero weights")
      ->check(CLI::Range(1e-12, 1e-1))
      ->group("Fits");
  app.add_option("--save", s.save, "fit on all rows and write the probes to this file (.safetensors)")
      ->group("Saved probes");
  app.add_option("--apply", s.apply,
                 "read new features with the probes of this file; --labels, if given, adds gaps to the truth")
      ->group("Saved probes");
  app.add_flag("--uncalibrated", s.uncalibrated, "with --apply: probabilities as fitted, not calibrated")
      ->group("Saved probes");
  app.footer(
      "Examples:\n"
      "  braing3n probe --features thickness.csv --labels people.csv --tasks age,sex --out results\n"
      "  braing3n probe --features a.safetensors b.safetensors --labels volumes.csv --tasks "
      "\"disease:HC|AD,idh1@modality=T1c,cdr=class\" --out "
      "results\n"
      "  braing3n probe --features train.csv --labels people.csv --tasks age --out results --save age.safetensors\n"
      "  braing3n probe --apply age.safetensors --features new.csv --labels new_people.csv --out predicted.csv\n"
      "Exit codes: 0 done; 1 done, but a task or row failed or a leak was found; 2 nothing could start; 3 no memory or "
      "disk left.");
  return program.run(argc, argv, [&] {
    if (program.common.precision != "f32")
      fail(ErrorKind::argument, "probe.precision", "--precision: probes read float32 features, got ",
           program.common.precision);
    if (!s.apply.empty()) return apply(s, program.common);
    if (s.labels.empty()) {  // one CSV may hold both
      const std::string ending = s.features.size() == 1 ? file_ending(s.features[0]) : std::string();
      if (ending != ".csv" && ending != ".tsv")
        fail(ErrorKind::argument, "probe.labels",
             "--labels is required, unless one CSV holds features and labels, or --apply is given");
      s.labels = s.features[0];
    }
    return fit(s, program.common);
  });
}
