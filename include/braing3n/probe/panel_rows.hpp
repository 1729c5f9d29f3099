// Which tasks of a panel share the passes over the features, the rows they share, and the fits on them.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "braing3n/probe/panel_task.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

struct TaskRows {
  std::vector<std::int32_t> label, fold;
  std::vector<double> target;
};
/// The union of the rows of some tasks, and every task's labels, targets and folds (-1: no part) on it.
struct GroupRows {
  std::vector<Index> panel_row, feature_row;
  std::vector<TaskRows> tasks;
};

/// Tasks that can be fitted, in groups that share most of their rows: each group is fitted together. rows: of the panel.
inline std::vector<std::vector<std::size_t>> tasks_that_share_passes(const std::vector<TaskResult>& tasks,
                                                                     std::size_t rows) {
  std::vector<std::size_t> order;
  for (std::size_t t = 0; t < tasks.size(); ++t)
    if (tasks[t].ok()) order.push_back(t);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return tasks[a].sample.size() > tasks[b].sample.size(); });
  struct Group {
    std::vector<char> rows;
    std::size_t count = 0;
    std::vector<std::size_t> members;
  };
  std::vector<Group> made;
  for (std::size_t t : order) {
    const auto& sample = tasks[t].sample;
    const auto fits = [&](const Group& g) {
      std::size_t shared = 0;
      for (Index i : sample) shared += g.rows[static_cast<std::size_t>(i)] != 0;
      return 10 * shared >= 7 * (g.count + sample.size() - shared);
    };
    auto g = std::find_if(made.begin(), made.end(), fits);
    if (g == made.end()) g = made.insert(made.end(), Group{std::vector<char>(rows, 0), 0, {}});
    for (Index i : sample) {
      char& taken = g->rows[static_cast<std::size_t>(i)];
      g->count += taken == 0;
      taken = 1;
    }
    g->members.push_back(t);
  }
  std::vector<std::vector<std::size_t>> out;
  for (Group& g : made) out.push_back(std::move(g.members));
  return out;
}

/// row: where row i of the panel lies in the feature table; empty: at i.
inline GroupRows gather_rows(const std::vector<TaskResult>& tasks, const std::vector<std::size_t>& group,
                             std::size_t rows_of_panel, std::span<const Index> row) {
  std::vector<char> used(rows_of_panel, 0);
  for (std::size_t t : group)
    for (Index i : tasks[t].sample) used[static_cast<std::size_t>(i)] = 1;
  GroupRows out;
  std::vector<std::size_t> place(rows_of_panel);
  for (std::size_t i = 0; i < used.size(); ++i)
    if (used[i] != 0) {
      place[i] = out.panel_row.size();
      out.panel_row.push_back(static_cast<Index>(i));
      out.feature_row.push_back(row.empty() ? static_cast<Index>(i) : row[i]);
    }
  for (std::size_t t : group) {
    const TaskResult& r = tasks[t];
    TaskRows rows;
    rows.fold.assign(out.panel_row.size(), -1);
    if (r.task.classification) rows.label.assign(out.panel_row.size(), -1);
    else rows.target.assign(out.panel_row.size(), 0.0);
    for (std::size_t k = 0; k < r.sample.size(); ++k) {
      const std::size_t at = place[static_cast<std::size_t>(r.sample[k])];
      rows.fold[at] = r.predictions.fold[k];
      if (r.task.classification) rows.label[at] = r.predictions.label[k];
      else rows.target[at] = r.predictions.target[k];
    }
    out.tasks.push_back(std::move(rows));
  }
  return out;
}

/// The fit of a task, all but its fold and class weights.
inline FitProblem task_problem(const TaskResult& r, const TaskRows& rows, const PanelOptions& options) {
  FitProblem p;
  p.outputs = outputs_of(r.task);
  p.loss = !r.task.classification ? Loss::squared : p.outputs == 1 ? Loss::logistic : Loss::softmax;
  p.label = rows.label.data();
  p.target = rows.target.data();
  p.fold = rows.fold.data();
  p.penalty = r.task.classification ? 1.0 / options.C : options.alpha;
  return p;
}

/// Class weights from the training rows of one fold.
inline std::vector<double> training_weights(const TaskResult& r, const TaskRows& rows,
                                            const std::vector<std::int32_t>& fold, std::int32_t held_out,
                                            ClassWeight kind) {
  if (kind == ClassWeight::none || !r.task.classification) return {};
  std::vector<std::int32_t> label = rows.label;
  for (std::size_t i = 0; i < label.size(); ++i)
    if (fold[i] < 0 || fold[i] == held_out) label[i] = -1;
  return balanced_weights(label, static_cast<Index>(r.task.classes.size()));
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
