// A panel: many tasks, one table of features, cross-validated together.
//
// Every task has its own folds (stratified by its label, subjects whole), its own rows (those with a label) and fits one linear
// probe per fold; standardisation happens inside the fold. Tasks whose rows overlap share the passes over the features.
// A task that cannot be probed carries a sentence in `error`; the others go on.
#pragma once

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "braing3n/probe/estimators.hpp"
#include "braing3n/probe/task.hpp"
#include "braing3n/probe/uncertainty.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct PanelOptions {
  FoldOptions folds;
  bool stratify_regression = true;  // by quantile bins of the target; false: by subject alone
  int bins = 5;
  double C = 1.0, alpha = 1.0;
  ClassWeight class_weight = ClassWeight::none;
  bool standardize = true;
  double tolerance = 1e-6;
  bool select = false;              // choose C and alpha by inner folds (subjects whole) within every training set
  std::vector<double> grid{1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0};  // of C; alpha takes the inverses
  int inner_folds = 3;
  UncertaintyOptions uncertainty;
};

/// How one fold's fit went.
struct FoldFit {
  double penalty = 0, gradient = 0;  // gradient relative to zero weights
  int iterations = 0, products = 0;
  bool converged = false;
};

struct TaskResult {
  ResolvedTask task;
  std::string error;                    // empty: done
  std::vector<std::string> warnings;
  Index subjects = 0;
  std::vector<Index> sample;            // rows with a label, ascending; predictions run parallel
  Predictions predictions;
  std::vector<double> linear;           // linear values of the held-out rows, (n, outputs)
  ScoreTable scores;
  std::vector<FoldFit> fits;
  bool confound = false;                // added to show what else the features know
  bool ok() const { return error.empty(); }
  bool converged() const {
    return std::all_of(fits.begin(), fits.end(), [](const FoldFit& f) { return f.converged; });
  }
};

namespace detail {

inline Index outputs_of(const ResolvedTask& task) {
  return !task.classification || task.classes.size() == 2 ? 1 : static_cast<Index>(task.classes.size());
}

/// What every fold must have before anything is fitted. Throws Error (argument).
inline void check_task_folds(const ResolvedTask& task, const std::vector<std::int32_t>& label, const Folds& folds, std::vector<std::string>& warnings) {
  if (!task.classification) return;
  const std::size_t classes = task.classes.size();
  std::vector<std::vector<Index>> count(static_cast<std::size_t>(folds.folds), std::vector<Index>(classes, 0));
  std::vector<Index> total(classes, 0);
  for (std::size_t i = 0; i < label.size(); ++i) {
    ++count[static_cast<std::size_t>(folds.fold[i])][static_cast<std::size_t>(label[i])];
    ++total[static_cast<std::size_t>(label[i])];
  }
  for (std::size_t f = 0; f < count.size(); ++f)
    for (std::size_t k = 0; k < classes; ++k) {
      if (count[f][k] == total[k])
        fail(ErrorKind::argument, "panel.class", "class ", in_quotes(task.classes[k]), " has all its ", total[k], " rows in fold ", f + 1,
             ": nothing is left to train on");
      if (count[f][k] == 0)
        warnings.push_back(concat("class ", in_quotes(task.classes[k]), " is missing from fold ", f + 1, ", whose AUC is left out of the mean"));
    }
}

}  // namespace detail

/// Folds of a task over its labelled rows. subject: person of every row of the panel, as codes.
inline Folds task_folds(const ResolvedTask& task, std::span<const std::int32_t> subject, const PanelOptions& options) {
  std::vector<std::int64_t> groups, strata;
  std::vector<double> targets;
  for (std::size_t i = 0; i < subject.size(); ++i) {
    if (!task.has(i)) continue;
    groups.push_back(subject[i]);
    if (task.classification) strata.push_back(task.label[i]);
    else targets.push_back(task.target[i]);
  }
  if (!task.classification) {
    if (!options.stratify_regression) return group_kfold(groups, options.folds);
    strata = quantile_bins(targets, options.bins);
  }
  return stratified_group_kfold(strata, groups, options.folds);
}

/// Runs panels on one feature table after another; folds are made once, so that tables are compared on identical folds.
class Panel {
 public:
  /// tasks: resolved on the rows of the panel. subject: person of each row.
  /// imported: for a task, the fold of each row (-1: none), or nothing to make them here.
  using ImportedFolds = std::function<std::optional<std::vector<std::int32_t>>(const Task&)>;
  Panel(std::vector<ResolvedTask> tasks, std::vector<std::int32_t> subject, PanelOptions options, const ImportedFolds& imported = {})
      : options_(std::move(options)), subject_(std::move(subject)) {
    for (ResolvedTask& task : tasks) {
      TaskResult result;
      result.task = std::move(task);
      std::set<std::int32_t> people;
      for (std::size_t i = 0; i < subject_.size(); ++i)
        if (result.task.has(i)) {
          result.sample.push_back(static_cast<Index>(i));
          people.insert(subject_[i]);
        }
      result.subjects = static_cast<Index>(people.size());
      try {
        prepare(result, imported);
      } catch (const Error& e) {
        result.error = e.what();
      }
      prepared_.push_back(std::move(result));
    }
  }

  const std::vector<TaskResult>& tasks() const { return prepared_; }
  const std::vector<std::int32_t>& subject() const { return subject_; }
  const PanelOptions& options() const { return options_; }

  /// features: one row per row of the panel, or row[i] of a larger table.
  template <class T>
  std::vector<TaskResult> run(Context<Cpu>& ctx, FeatureView<T> features, std::span<const Index> row = {}) const {
    std::vector<TaskResult> results = prepared_;
    for (const std::vector<std::size_t>& group : groups()) run_group(ctx, features, row, group, results);
    for (TaskResult& r : results)
      if (r.ok()) r.scores = score_predictions(ctx, r.predictions, options_.uncertainty);
    return results;
  }

  /// The same tasks fitted on all their rows, for a saved probe. Fits of failed tasks are empty.
  template <class T>
  std::vector<LinearFit> fit_all(Context<Cpu>& ctx, FeatureView<T> features, std::span<const Index> row, const std::vector<TaskResult>& results) const {
    std::vector<LinearFit> fits(results.size());
    for (const std::vector<std::size_t>& group : groups()) {
      const GroupRows rows = gather(group, row);
      const Design<T, Cpu> design(ctx, features, rows.feature_row, options_.standardize);
      std::vector<FitProblem> problems;
      for (std::size_t t = 0; t < group.size(); ++t) {
        FitProblem p = problem(results[group[t]], rows.tasks[t]);
        std::vector<double> penalties;  // the middle one of those the folds chose
        for (const FoldFit& f : results[group[t]].fits) penalties.push_back(f.penalty);
        std::sort(penalties.begin(), penalties.end());
        p.penalty = penalties[penalties.size() / 2];
        p.held_out = std::numeric_limits<std::int32_t>::max();
        if (options_.class_weight == ClassWeight::balanced && results[group[t]].task.classification)
          p.class_weight = balanced_weights(rows.tasks[t].label, static_cast<Index>(results[group[t]].task.classes.size()));
        problems.push_back(std::move(p));
      }
      std::vector<LinearFit> made = NewtonSolver<T, Cpu>(design, solver_options()).solve(problems);
      for (std::size_t t = 0; t < group.size(); ++t) fits[group[t]] = std::move(made[t]);
    }
    return fits;
  }

 private:
  struct TaskRows {
    std::vector<std::int32_t> label, fold;
    std::vector<double> target;
  };
  struct GroupRows {
    std::vector<Index> panel_row, feature_row;
    std::vector<TaskRows> tasks;
  };

  SolverOptions solver_options() const { return {.tolerance = options_.tolerance, .standardize = options_.standardize}; }

  void prepare(TaskResult& r, const ImportedFolds& imported) const {
    Predictions& p = r.predictions;
    p.classes = r.task.classification ? static_cast<Index>(r.task.classes.size()) : 0;
    for (Index i : r.sample) {
      const auto at = static_cast<std::size_t>(i);
      p.subject.push_back(subject_[at]);
      if (r.task.classification) p.label.push_back(r.task.label[at]);
      else p.target.push_back(r.task.target[at]);
    }
    Folds folds;
    const auto given = imported ? imported(r.task.task) : std::nullopt;
    if (given) {
      for (Index i : r.sample) {
        const std::int32_t f = (*given)[static_cast<std::size_t>(i)];
        if (f < 0) fail(ErrorKind::format, "panel.fold", "the imported folds leave out ", r.sample.size() > 1 ? "some of the rows" : "the row", " of this task");
        folds.fold.push_back(f);
        folds.folds = std::max(folds.folds, f + 1);
      }
      if (folds.folds < 2) fail(ErrorKind::format, "panel.fold", "the imported folds put all rows of this task into one fold");
      std::map<std::int32_t, std::int32_t> fold_of;
      for (std::size_t k = 0; k < folds.fold.size(); ++k)
        if (fold_of.emplace(p.subject[k], folds.fold[k]).first->second != folds.fold[k])
          fail(ErrorKind::format, "panel.leak", "the imported folds put one subject into two folds (row ", r.sample[k], ")");
    } else {
      folds = task_folds(r.task, subject_, options_);
    }
    p.fold = folds.fold;
    r.warnings = folds.warnings;
    detail::check_task_folds(r.task, p.label, folds, r.warnings);
    if (r.subjects < 10 * folds.folds)
      r.warnings.push_back(concat(r.subjects, " subjects in ", folds.folds, " folds are few: intervals within folds are rough"));
  }

  /// Tasks that share most of their rows are fitted together.
  std::vector<std::vector<std::size_t>> groups() const {
    std::vector<std::size_t> order;
    for (std::size_t t = 0; t < prepared_.size(); ++t)
      if (prepared_[t].ok()) order.push_back(t);
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return prepared_[a].sample.size() > prepared_[b].sample.size(); });
    struct Group {
      std::vector<char> rows;
      std::size_t count = 0;
      std::vector<std::size_t> tasks;
    };
    std::vector<Group> made;
    for (std::size_t t : order) {
      const auto& sample = prepared_[t].sample;
      const auto fits = [&](const Group& g) {
        std::size_t shared = 0;
        for (Index i : sample) shared += g.rows[static_cast<std::size_t>(i)] != 0;
        return 10 * shared >= 7 * (g.count + sample.size() - shared);
      };
      auto g = std::find_if(made.begin(), made.end(), fits);
      if (g == made.end()) g = made.insert(made.end(), Group{std::vector<char>(subject_.size(), 0), 0, {}});
      for (Index i : sample) {
        char& taken = g->rows[static_cast<std::size_t>(i)];
        g->count += taken == 0;
        taken = 1;
      }
      g->tasks.push_back(t);
    }
    std::vector<std::vector<std::size_t>> out;
    for (Group& g : made) out.push_back(std::move(g.tasks));
    return out;
  }

  GroupRows gather(const std::vector<std::size_t>& group, std::span<const Index> row) const {
    std::vector<char> used(subject_.size(), 0);
    for (std::size_t t : group)
      for (Index i : prepared_[t].sample) used[static_cast<std::size_t>(i)] = 1;
    GroupRows out;
    std::vector<std::size_t> place(subject_.size());
    for (std::size_t i = 0; i < used.size(); ++i)
      if (used[i] != 0) {
        place[i] = out.panel_row.size();
        out.panel_row.push_back(static_cast<Index>(i));
        out.feature_row.push_back(row.empty() ? static_cast<Index>(i) : row[i]);
      }
    for (std::size_t t : group) {
      const TaskResult& r = prepared_[t];
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

  FitProblem problem(const TaskResult& r, const TaskRows& rows) const {
    FitProblem p;
    p.outputs = detail::outputs_of(r.task);
    p.loss = !r.task.classification ? Loss::squared : p.outputs == 1 ? Loss::logistic : Loss::softmax;
    p.label = rows.label.data();
    p.target = rows.target.data();
    p.fold = rows.fold.data();
    p.penalty = r.task.classification ? 1.0 / options_.C : options_.alpha;
    return p;
  }

  std::vector<double> training_weights(const TaskResult& r, const TaskRows& rows, const std::vector<std::int32_t>& fold, std::int32_t held_out) const {
    if (options_.class_weight == ClassWeight::none || !r.task.classification) return {};
    std::vector<std::int32_t> label = rows.label;
    for (std::size_t i = 0; i < label.size(); ++i)
      if (fold[i] < 0 || fold[i] == held_out) label[i] = -1;
    return balanced_weights(label, static_cast<Index>(r.task.classes.size()));
  }

  template <class T>
  void run_group(Context<Cpu>& ctx, FeatureView<T> features, std::span<const Index> row, const std::vector<std::size_t>& group,
                 std::vector<TaskResult>& results) const {
    const GroupRows rows = gather(group, row);
    const Design<T, Cpu> design(ctx, features, rows.feature_row, options_.standardize);
    NewtonSolver<T, Cpu> solver(design, solver_options());
    std::vector<std::vector<double>> values(group.size());
    std::vector<FitProblem> problems;
    std::vector<std::size_t> owner;
    for (std::size_t t = 0; t < group.size(); ++t) {
      const TaskResult& r = results[group[t]];
      FitProblem p = problem(r, rows.tasks[t]);
      values[t].assign(rows.panel_row.size() * static_cast<std::size_t>(p.outputs), 0.0);
      p.held_out_values = values[t].data();
      const std::int32_t folds = *std::max_element(r.predictions.fold.begin(), r.predictions.fold.end()) + 1;
      for (p.held_out = 0; p.held_out < folds; ++p.held_out) {
        p.class_weight = training_weights(r, rows.tasks[t], rows.tasks[t].fold, p.held_out);
        FitProblem chosen = p;
        if (options_.select) chosen.penalty = select_penalty(design, solver, rows, rows.tasks[t], r, p);
        problems.push_back(std::move(chosen));
        owner.push_back(t);
      }
    }
    const std::vector<LinearFit> fits = solver.solve(problems);
    for (std::size_t k = 0; k < fits.size(); ++k)
      results[group[owner[k]]].fits.push_back({problems[k].penalty, fits[k].gradient_at_zero > 0 ? fits[k].gradient / fits[k].gradient_at_zero : 0.0,
                                               fits[k].iterations, fits[k].products, fits[k].converged});
    for (std::size_t t = 0; t < group.size(); ++t) collect(results[group[t]], rows, values[t]);
  }

  static void collect(TaskResult& r, const GroupRows& rows, const std::vector<double>& values) {
    const Index outputs = detail::outputs_of(r.task);
    Predictions& p = r.predictions;
    const auto width = static_cast<std::size_t>(std::max<Index>(p.classes, 1));
    p.values.assign(r.sample.size() * width, 0.0);
    r.linear.clear();
    std::size_t at = 0;
    for (std::size_t k = 0; k < r.sample.size(); ++k) {
      while (rows.panel_row[at] != r.sample[k]) ++at;
      const double* value = values.data() + at * static_cast<std::size_t>(outputs);
      r.linear.insert(r.linear.end(), value, value + outputs);
      if (p.classes == 0) p.values[k] = value[0];
      else to_probabilities(value, outputs, p.values.data() + k * width);
    }
  }

  /// The penalty of the grid with the best mean score over inner folds of the training rows.
  template <class T>
  double select_penalty(const Design<T, Cpu>& design, NewtonSolver<T, Cpu>& solver, const GroupRows& rows, const TaskRows& task, const TaskResult& r,
                        const FitProblem& outer) const {
    ResolvedTask training = r.task;
    std::vector<std::int32_t> subject;
    training.label.clear();
    training.target.clear();
    for (std::size_t i = 0; i < rows.panel_row.size(); ++i) {
      const bool in = task.fold[i] >= 0 && task.fold[i] != outer.held_out;
      subject.push_back(subject_[static_cast<std::size_t>(rows.panel_row[i])]);
      if (training.classification) training.label.push_back(in ? task.label[i] : -1);
      else training.target.push_back(in ? task.target[i] : std::nan(""));
    }
    PanelOptions inner = options_;
    inner.folds.folds = options_.inner_folds;
    const Folds folds = task_folds(training, subject, inner);
    std::vector<std::int32_t> fold(rows.panel_row.size(), -1);
    for (std::size_t i = 0, k = 0; i < fold.size(); ++i)
      if (training.has(i)) fold[i] = folds.fold[k++];
    std::vector<std::vector<double>> values(options_.grid.size());
    std::vector<FitProblem> problems;
    for (std::size_t c = 0; c < options_.grid.size(); ++c) {
      values[c].assign(fold.size() * static_cast<std::size_t>(outer.outputs), 0.0);
      FitProblem p = outer;
      p.fold = fold.data();
      p.held_out_values = values[c].data();
      p.penalty = 1.0 / options_.grid[c];
      for (p.held_out = 0; p.held_out < options_.inner_folds; ++p.held_out) {
        p.class_weight = training_weights(r, task, fold, p.held_out);
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
        penalty = 1.0 / options_.grid[c];
      }
    }
    return penalty;
  }

  PanelOptions options_;
  std::vector<std::int32_t> subject_;
  std::vector<TaskResult> prepared_;
};

}  // namespace braing3n::inline BRAING3N_ABI
