// The scores of a panel as a table for the terminal, and a warning for every score that a confound explains.
#pragma once

#include <ostream>
#include <vector>

#include "braing3n/report/panel_charts.hpp"
#include "braing3n/report/table.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline void print_panel(std::ostream& out, const PanelReport& report) {
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
  table.print(out);
  for (const PanelRun& run : report.runs)
    for (std::size_t t = 0; t < run.tasks.size(); ++t)
      for (const ConfoundScore& c : run.confounds[t])
        if (c.suspicious)
          out << "warning: " << run.tasks[t].task.task.text << ": " << c.confound << " alone reaches "
              << decimals(c.alone) << ", the probe " << decimals(run.tasks[t].scores.scores[0].mean) << ", within "
              << c.confound << " " << decimals(c.within) << '\n';
}

}  // namespace braing3n::inline BRAING3N_ABI
