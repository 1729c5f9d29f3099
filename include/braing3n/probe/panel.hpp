// A panel: many tasks, one table of features, cross-validated together. Fits run where the context computes, to which the table is copied
// once; folds, scores, intervals and p-values are the host's.
//
// Every task has its own folds (stratified by its label, subjects whole), its own rows (those with a label) and fits one linear
// probe per fold; standardisation happens inside the fold. Tasks whose rows overlap share the passes over the features.
// A task that cannot be probed carries a sentence in `error`; the others go on.
#pragma once

#include <algorithm>
#include <iterator>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/probe/inner_selection.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Runs panels on one feature table after another; folds are made once, so that tables are compared on identical folds.
class Panel {
 public:
  /// tasks: resolved on the rows of the panel. subject: person of each row.
  Panel(std::vector<ResolvedTask> tasks, std::vector<std::int32_t> subject, PanelOptions options,
        const ImportedFolds& imported = {})
      : options_(std::move(options)), subject_(std::move(subject)) {
    for (ResolvedTask& task : tasks) prepared_.push_back(prepare_task(std::move(task), subject_, options_, imported));
  }

  /// Tasks with their folds, before any fit.
  const std::vector<TaskResult>& tasks() const { return prepared_; }
  const std::vector<std::int32_t>& subject() const { return subject_; }
  const PanelOptions& options() const { return options_; }

  /// features: one row per row of the panel, or row[i] of a larger table.
  /// Errors: features that are not finite (Design::NonFinite).
  template <class T, Backend B>
  std::vector<TaskResult> run(Context<B>& ctx, FeatureView<T> features, std::span<const Index> row = {}) const;

  /// The same tasks fitted on all their rows, for a saved probe. Fits of failed tasks are empty.
  template <class T, Backend B>
  std::vector<LinearFit> fit_all(Context<B>& ctx, FeatureView<T> features, std::span<const Index> row,
                                 const std::vector<TaskResult>& results) const;

 private:
  SolverOptions solver_options() const {
    return {.tolerance = options_.tolerance, .standardize = options_.standardize};
  }

  template <class T, Backend B>
  void run_group(Context<B>& ctx, const PlacedFeatures<T, B>& features, std::span<const Index> row,
                 const std::vector<std::size_t>& group, std::vector<TaskResult>& results) const;

  PanelOptions options_;
  std::vector<std::int32_t> subject_;
  std::vector<TaskResult> prepared_;
};

namespace detail {

/// Linear values of the rows of a group -> predictions of a task.
inline void collect_predictions(TaskResult& r, const GroupRows& rows, const xt::xtensor<double, 2>& values) {
  const Index n = static_cast<Index>(r.sample.size());
  Predictions& p = r.predictions;
  set_size(p.values, n, std::max<Index>(p.classes, 1));
  set_size(r.linear, n, column_count(values));
  std::size_t at = 0;
  for (Index k = 0; k < n; ++k) {
    while (rows.panel_row[at] != r.sample[static_cast<std::size_t>(k)]) ++at;
    const std::span<const double> value = row_of(values, static_cast<Index>(at));
    std::ranges::copy(value, row_of(r.linear, k).begin());
    if (p.classes == 0) p.values(k, 0) = value[0];
    else to_probabilities(value.data(), column_count(values), row_of(p.values, k).data());
  }
}

}  // namespace detail

// Members outside the class, so that braing3n::compiled can hold them once.

template <class T, Backend B>
std::vector<TaskResult> Panel::run(Context<B>& ctx, FeatureView<T> features, std::span<const Index> row) const {
  std::vector<TaskResult> results = prepared_;
  const PlacedFeatures<T, B> placed(ctx, features);
  for (const std::vector<std::size_t>& group : detail::tasks_that_share_passes(prepared_, subject_.size()))
    run_group(ctx, placed, row, group, results);
  for (TaskResult& r : results)
    if (r.ok()) {
      r.scores = score_predictions(ctx, r.predictions, options_.uncertainty);
      if (!r.scores.warning.empty()) r.warnings.push_back(r.scores.warning);
    }
  return results;
}

template <class T, Backend B>
std::vector<LinearFit> Panel::fit_all(Context<B>& ctx, FeatureView<T> features, std::span<const Index> row,
                                      const std::vector<TaskResult>& results) const {
  std::vector<LinearFit> fits(results.size());
  const PlacedFeatures<T, B> placed(ctx, features);
  for (const std::vector<std::size_t>& group : detail::tasks_that_share_passes(prepared_, subject_.size())) {
    const detail::GroupRows rows = detail::gather_rows(prepared_, group, subject_.size(), row);
    const Design<T, B> design(ctx, placed, rows.feature_row, options_.standardize);
    std::vector<FitProblem> problems;
    std::vector<std::size_t> owner;
    for (std::size_t t = 0; t < group.size(); ++t) {
      const TaskResult& r = results[group[t]];
      if (!r.ok()) continue;
      FitProblem p = detail::task_problem(r, rows.tasks[t], options_);
      std::vector<double> penalties;  // the middle one of those the folds chose
      for (const FoldFit& f : r.fits) penalties.push_back(f.penalty);
      std::sort(penalties.begin(), penalties.end());
      p.penalty = penalties[penalties.size() / 2];
      p.held_out = std::numeric_limits<std::int32_t>::max();
      p.class_weight =
          detail::training_weights(r, rows.tasks[t], rows.tasks[t].fold, p.held_out, options_.class_weight);
      problems.push_back(std::move(p));
      owner.push_back(group[t]);
    }
    std::vector<LinearFit> made = NewtonSolver<T, B>(design, solver_options()).solve(problems);
    for (std::size_t k = 0; k < owner.size(); ++k) fits[owner[k]] = std::move(made[k]);
  }
  return fits;
}

template <class T, Backend B>
void Panel::run_group(Context<B>& ctx, const PlacedFeatures<T, B>& features, std::span<const Index> row,
                      const std::vector<std::size_t>& group, std::vector<TaskResult>& results) const {
  const detail::GroupRows rows = detail::gather_rows(prepared_, group, subject_.size(), row);
  const Design<T, B> design(ctx, features, rows.feature_row, options_.standardize);
  std::vector<xt::xtensor<double, 2>> values(group.size());  // linear values of the rows held out
  std::vector<FitProblem> problems;
  std::vector<LinearFit> fits;
  std::vector<std::size_t> owner;
  {
    NewtonSolver<T, B> solver(design, solver_options());
    for (std::size_t t = 0; t < group.size(); ++t) {
      TaskResult& r = results[group[t]];
      FitProblem p = detail::task_problem(r, rows.tasks[t], options_);
      values[t] = zero_matrix<double>(static_cast<Index>(rows.panel_row.size()), p.outputs);
      p.held_out_values = values[t].data();
      const std::int32_t folds = *std::max_element(r.predictions.fold.begin(), r.predictions.fold.end()) + 1;
      std::vector<FitProblem> own;
      try {
        for (p.held_out = 0; p.held_out < folds; ++p.held_out) {
          p.class_weight =
              detail::training_weights(r, rows.tasks[t], rows.tasks[t].fold, p.held_out, options_.class_weight);
          own.push_back(p);
          if (options_.select)
            own.back().penalty = detail::select_penalty(design, solver, std::span<const std::int32_t>(subject_), rows,
                                                        rows.tasks[t], r, p, options_);
        }
      } catch (const Error& e) {  // the training rows of a fold cannot be split again
        r.error = concat("choosing the penalty by inner folds: ", e.what());
        continue;
      }
      problems.insert(problems.end(), std::make_move_iterator(own.begin()), std::make_move_iterator(own.end()));
      owner.insert(owner.end(), own.size(), t);
    }
    fits = solver.solve(problems);
  }
  for (std::size_t k = 0; k < fits.size(); ++k)
    results[group[owner[k]]].fits.push_back(
        {problems[k].penalty, fits[k].gradient_at_zero > 0 ? fits[k].gradient / fits[k].gradient_at_zero : 0.0,
         fits[k].iterations, fits[k].products, fits[k].converged});
  for (std::size_t t = 0; t < group.size(); ++t) {
    if (results[group[t]].ok()) detail::collect_predictions(results[group[t]], rows, values[t]);
    values[t] = {};
  }
}

#ifdef BRAING3N_COMPILED
extern template std::vector<TaskResult> Panel::run(Context<Cpu>&, FeatureView<float>, std::span<const Index>) const;
extern template std::vector<LinearFit> Panel::fit_all(Context<Cpu>&, FeatureView<float>, std::span<const Index>,
                                                      const std::vector<TaskResult>&) const;
#endif

}  // namespace braing3n::inline BRAING3N_ABI
