// The choice of C or alpha by inner folds: whole subjects, training rows of the outer fold only.
#pragma once

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "braing3n/probe/panel_rows.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// The penalty of the grid with the best mean score over inner folds of the training rows.
template <class T>
double select_penalty(const Design<T, Cpu>& design, NewtonSolver<T, Cpu>& solver, std::span<const std::int32_t> people,
                      const GroupRows& rows, const TaskRows& task, const TaskResult& r, const FitProblem& outer,
                      const PanelOptions& options) {
  ResolvedTask training = r.task;
  std::vector<std::int32_t> subject;
  training.label.clear();
  training.target.clear();
  for (std::size_t i = 0; i < rows.panel_row.size(); ++i) {
    const bool in = task.fold[i] >= 0 && task.fold[i] != outer.held_out;
    subject.push_back(people[static_cast<std::size_t>(rows.panel_row[i])]);
    if (training.classification) training.label.push_back(in ? task.label[i] : -1);
    else training.target.push_back(in ? task.target[i] : std::nan(""));
  }
  PanelOptions inner = options;
  inner.folds.folds = options.inner_folds;
  const Folds folds = task_folds(training, subject, inner);
  std::vector<std::int32_t> fold(rows.panel_row.size(), -1);
  for (std::size_t i = 0, k = 0; i < fold.size(); ++i)
    if (training.has(i)) fold[i] = folds.fold[k++];
  std::vector<std::vector<double>> values(options.grid.size());
  std::vector<FitProblem> problems;
  for (std::size_t c = 0; c < options.grid.size(); ++c) {
    values[c].assign(fold.size() * static_cast<std::size_t>(outer.outputs), 0.0);
    FitProblem p = outer;
    p.fold = fold.data();
    p.held_out_values = values[c].data();
    p.penalty = 1.0 / options.grid[c];
    for (p.held_out = 0; p.held_out < options.inner_folds; ++p.held_out) {
      p.class_weight = training_weights(r, task, fold, p.held_out, options.class_weight);
      problems.push_back(p);
    }
  }
  (void)solver.solve(problems);
  double best = -std::numeric_limits<double>::infinity(), penalty = outer.penalty;
  for (std::size_t c = 0; c < values.size(); ++c) {
    Predictions p;
    p.classes = r.predictions.classes;
    const auto width = static_cast<std::size_t>(std::max<Index>(p.classes, 1));
    for (std::size_t i = 0; i < fold.size(); ++i) {
      if (fold[i] < 0) continue;
      p.fold.push_back(fold[i]);
      p.subject.push_back(subject[i]);
      p.values.resize(p.values.size() + width);
      const double* value = values[c].data() + i * static_cast<std::size_t>(outer.outputs);
      if (p.classes == 0) {
        p.values.back() = value[0];
        p.target.push_back(task.target[i]);
      } else {
        to_probabilities(value, outer.outputs, p.values.data() + p.values.size() - width);
        p.label.push_back(task.label[i]);
      }
    }
    const ScoreTable table = score_predictions(design.context(), p, {.replicates = 0, .permutations = 0});
    if (table.scores[0].mean > best) {
      best = table.scores[0].mean;
      penalty = 1.0 / options.grid[c];
    }
  }
  return penalty;
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
