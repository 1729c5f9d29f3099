// The choice of C or alpha by inner folds: whole subjects, training rows of the outer fold only.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/probe/panel_rows.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// The penalty of the grid with the best mean score over inner folds of the training rows.
template <class T, Backend B>
double select_penalty(const Design<T, B>& design, NewtonSolver<T, B>& solver, std::span<const std::int32_t> people,
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
  std::vector<xt::xtensor<double, 2>> values(options.grid.size());
  std::vector<FitProblem> problems;
  for (std::size_t c = 0; c < options.grid.size(); ++c) {
    values[c] = zero_matrix<double>(static_cast<Index>(fold.size()), outer.outputs);
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
    set_size(p.values, std::ssize(fold) - std::count(fold.begin(), fold.end(), -1), std::max<Index>(p.classes, 1));
    Index at = 0;
    for (std::size_t i = 0; i < fold.size(); ++i) {
      if (fold[i] < 0) continue;
      p.fold.push_back(fold[i]);
      p.subject.push_back(subject[i]);
      const std::span<const double> value = row_of(std::as_const(values[c]), static_cast<Index>(i));
      const std::span<double> predicted = row_of(p.values, at++);
      if (p.classes == 0) {
        predicted[0] = value[0];
        p.target.push_back(task.target[i]);
      } else {
        to_probabilities(value.data(), outer.outputs, predicted.data());
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
