// A task of a panel: its rows, its folds and, afterwards, its results.
//
// Folds keep subjects whole and are stratified by the label (regressions: by quantile bins of the target). A task whose folds
// cannot be fitted or trusted carries a sentence in `error`; the other tasks of the panel go on.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
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
  bool select = false;  // choose C and alpha by inner folds (subjects whole) within every training set
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
  std::string error;  // empty: done
  std::vector<std::string> warnings;
  Index subjects = 0;
  std::vector<Index> sample;  // rows with a label, ascending; predictions run parallel
  Predictions predictions;
  xt::xtensor<double, 2> linear;  // linear values of the held-out rows, (n, outputs)
  ScoreTable scores;
  std::vector<FoldFit> fits;
  bool confound = false;  // added to show what else the features know
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
inline void check_task_folds(const ResolvedTask& task, const std::vector<std::int32_t>& label, const Folds& folds,
                             std::vector<std::string>& warnings) {
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
        fail(ErrorKind::argument, "panel.class", "class ", in_quotes(task.classes[k]), " has all its ", total[k],
             " rows in fold ", f + 1, ": nothing is left to train on");
      if (count[f][k] == 0)
        warnings.push_back(concat("class ", in_quotes(task.classes[k]), " is missing from fold ", f + 1,
                                  ", whose AUC is left out of the mean"));
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

/// For a task, the fold of each row of the panel (-1: none), or nothing to make them here.
using ImportedFolds = std::function<std::optional<std::vector<std::int32_t>>(const Task&)>;

namespace detail {

inline void set_folds(TaskResult& r, std::span<const std::int32_t> subject, const PanelOptions& options,
                      const ImportedFolds& imported) {
  Predictions& p = r.predictions;
  Folds folds;
  const auto given = imported ? imported(r.task.task) : std::nullopt;
  if (given) {
    for (Index i : r.sample) {
      const std::int32_t f = (*given)[static_cast<std::size_t>(i)];
      if (f < 0)
        fail(ErrorKind::format, "panel.fold", "the imported folds leave out ",
             r.sample.size() > 1 ? "some of the rows" : "the row", " of this task");
      folds.fold.push_back(f);
      folds.folds = std::max(folds.folds, f + 1);
    }
    if (folds.folds < 2)
      fail(ErrorKind::format, "panel.fold", "the imported folds put all rows of this task into one fold");
    std::map<std::int32_t, std::int32_t> fold_of;
    for (std::size_t k = 0; k < folds.fold.size(); ++k)
      if (fold_of.emplace(p.subject[k], folds.fold[k]).first->second != folds.fold[k])
        fail(ErrorKind::format, "panel.leak", "the imported folds put one subject into two folds (row ", r.sample[k],
             ")");
  } else {
    folds = task_folds(r.task, subject, options);
  }
  p.fold = folds.fold;
  r.warnings = folds.warnings;
  detail::check_task_folds(r.task, p.label, folds, r.warnings);
  if (r.subjects < 10 * folds.folds)
    r.warnings.push_back(
        concat(r.subjects, " subjects in ", folds.folds, " folds are few: intervals within folds are rough"));
}

}  // namespace detail

/// Rows, subjects and folds of a task; what stands in the way is written to `error`. subject: person of every row of the panel.
inline TaskResult prepare_task(ResolvedTask task, std::span<const std::int32_t> subject, const PanelOptions& options,
                               const ImportedFolds& imported) {
  TaskResult r;
  r.task = std::move(task);
  std::vector<char> seen;  // people
  r.sample.reserve(subject.size());
  for (std::size_t i = 0; i < subject.size(); ++i) {
    if (!r.task.has(i)) continue;
    r.sample.push_back(static_cast<Index>(i));
    const auto person = static_cast<std::size_t>(subject[i]);
    if (person >= seen.size()) seen.resize(person + 1, 0);
    r.subjects += seen[person] == 0;
    seen[person] = 1;
  }
  Predictions& p = r.predictions;
  p.classes = r.task.classification ? static_cast<Index>(r.task.classes.size()) : 0;
  p.subject.reserve(r.sample.size());
  if (r.task.classification) p.label.reserve(r.sample.size());
  else p.target.reserve(r.sample.size());
  for (Index i : r.sample) {
    const auto at = static_cast<std::size_t>(i);
    p.subject.push_back(subject[at]);
    if (r.task.classification) p.label.push_back(r.task.label[at]);
    else p.target.push_back(r.task.target[at]);
  }
  try {
    detail::set_folds(r, subject, options, imported);
  } catch (const Error& e) {
    r.error = e.what();
  }
  return r;
}

}  // namespace braing3n::inline BRAING3N_ABI
