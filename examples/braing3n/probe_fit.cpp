// `probe`: a panel of tasks, cross-validated, and its files.
#include <filesystem>
#include <iostream>

#include "braing3n/format/file_lock.hpp"
#include "braing3n/report/panel_page.hpp"
#include "braing3n/report/panel_text.hpp"
#include "examples/braing3n/options/probe_settings.hpp"
#include "examples/support/context.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/probe_report.hpp"

namespace braing3n::examples {

namespace {

std::vector<Task> tasks_of(const ProbeSettings& s) {
  if (!s.tasks.empty() && !s.tasks_file.empty())
    fail(ErrorKind::argument, "probe.tasks", "--tasks and --tasks-file exclude each other");
  std::string text = s.tasks;
  if (!s.tasks_file.empty()) {
    text = read_text(s.tasks_file);
    require_utf8(text, s.tasks_file);
  }
  std::vector<Task> tasks = parse_tasks(text);
  if (tasks.empty())
    fail(ErrorKind::argument, "probe.tasks", "no tasks: give --tasks \"sex,age\" or --tasks-file FILE");
  return tasks;
}

PanelOptions panel_options(const ProbeSettings& s, std::uint64_t seed) {
  if (seed > 0xffffffffu) fail(ErrorKind::argument, "probe.seed", "--seed: folds take seeds below 2^32, got ", seed);
  PanelOptions options = s.panel;
  options.folds.seed = static_cast<std::uint32_t>(seed);
  options.uncertainty.seed = seed;
  options.folds.mode = s.legacy_folds ? FoldShuffle::legacy : FoldShuffle::fixed;
  options.stratify_regression = !s.group_folds;
  options.standardize = !s.raw;
  options.class_weight = s.balanced ? ClassWeight::balanced : ClassWeight::none;
  return options;
}

void write_files(Context<Cpu>& ctx, const ProbeSettings& s, const PanelAnalysis& a, const WriteOptions& writing) {
  const std::filesystem::path out(s.out);
  write_panel_csv(out / "panel.csv", a.report, writing);
  write_text(out / "panel.json", to_json(a.report).dump(1) + "\n", writing);
  write_predictions_csv(out / "predictions.csv", a.report, writing);
  write_text(out / "report.html", panel_html(a.report), writing);
  if (!s.folds_to.empty()) write_folds(s.folds_to, a.pairing.ids, a.panel->tasks(), s.salt, writing);
  if (!s.save.empty()) write_saved_probe(s.save, fit_saved_probe(ctx, a), writing);
}

}  // namespace

int fit_probes(const ProbeSettings& s, const CommonOptions& common) {
  const std::filesystem::path out(s.out);
  if (!s.save.empty()) require_ending(s.save, {".safetensors", ".probe", ""});
  if (!s.folds_to.empty()) require_ending(s.folds_to, {".csv", ".tsv", ""});
  guard_probe_files(
      s, common,
      {out / "panel.csv", out / "panel.json", out / "predictions.csv", out / "report.html", s.save, s.folds_to});
  const auto context = make_cpu_context(common);
  JsonLog log(common.json_log);
  PanelPlan plan{
      .tables = {}, .tasks = tasks_of(s), .confounds = s.confounds, .fold_file = s.folds_from, .salt = s.salt};
  const WriteOptions writing{.overwrite = common.force};
  for (const char* name : {"panel.csv", "panel.json", "predictions.csv", "report.html"})
    require_new(out / name, common);
  const FileLock lock = lock_folder(out);
  for (const std::string& path : {s.save, s.folds_to})
    if (!path.empty()) make_folder_of(path);
  plan.tables = tables_of(s);
  plan.panel = panel_options(s, common.seed);
  plan.search_copies = !s.no_leakage;
  plan.column_advice = " (--feature-columns chooses)";
  const PanelObserver observer = probe_observer(log, common.quiet);
  const PanelAnalysis a = with_advice([&] { return run_panel(*context, plan, observer); });
  if (a.asked == 0) {  // nothing to write
    for (const TaskResult& r : a.unresolved) std::cerr << "probe: " << r.task.task.text << ": " << r.error << '\n';
    return exit_not_started;
  }
  write_files(*context, s, a, writing);
  print_panel(std::cout, a.report);
  return tell_results(a);
}

}  // namespace braing3n::examples
