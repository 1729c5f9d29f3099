// What `probe` prints and logs while a panel runs and afterwards.
#pragma once

#include <iostream>
#include <map>
#include <string>

#include "braing3n/base/text.hpp"
#include "braing3n/probe/run_panel.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

inline PanelObserver probe_observer(JsonLog& log, bool quiet) {
  PanelObserver o;
  o.started = [&log](std::size_t tasks, std::size_t rows, std::size_t subjects) {
    log.event("tasks", {{"asked", tasks}, {"rows", rows}, {"subjects", subjects}});
  };
  o.before_table = [] { stop_if_interrupted(); };
  o.table_done = [&log, quiet](const PanelRun& run, double seconds) {
    log.event("panel", {{"features", run.features}, {"seconds", seconds}});
    if (!quiet) std::cerr << concat(run.features, ": ", run.tasks.size(), " tasks in ", decimals(seconds, 2), " s\n");
  };
  o.searched = [&log](std::size_t leaks) { log.event("leaks", {{"found", leaks}}); };
  return o;
}

/// Prints failures and warnings; returns the exit code.
inline int tell_results(const PanelAnalysis& a) {
  std::size_t done = 0, lost = 0;
  bool complaint = a.rows_lost;
  for (const PanelRun& run : a.report.runs)
    for (const TaskResult& r : run.tasks) {
      if (r.ok() && !r.confound) ++done;
      if (!r.ok() && !r.confound) {
        ++lost;
        std::cerr << "probe: " << r.task.task.text << ": " << r.error << '\n';
      }
      complaint = complaint || (r.ok() && !r.converged());
    }
  for (const std::string& w : a.report.warnings) std::cerr << "probe: " << w << '\n';
  std::map<std::string, std::size_t> shown;  // by kind
  for (const Leak& leak : a.report.leaks) {
    if (++shown[leak.kind] <= 5) std::cerr << "probe: " << leak.kind << ": " << leak.sentence << '\n';
    complaint = complaint || leak.kind != "label_conflict";
  }
  for (const auto& [kind, count] : shown)
    if (count > 5) std::cerr << "probe: and " << count - 5 << " more of " << kind << ", in panel.json\n";
  if (done == 0) return exit_not_started;
  return lost > 0 || complaint ? exit_some_failed : exit_done;
}

}  // namespace braing3n::examples
