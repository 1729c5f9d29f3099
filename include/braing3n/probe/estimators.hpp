// Linear probes with the interface a user of scikit-learn expects: Standardizer, LogisticRegression, Ridge.
//
// Thin layers over the shared solver (newton.hpp). LogisticRegression(C) minimises sum of losses + |W|^2 / (2 C): two classes
// one weight row and a sigmoid, more classes one row each and a softmax, intercepts free. Ridge(alpha) minimises
// sum of squared residuals + alpha |w|^2 for any number of targets at once; with more features than rows it is solved
// through the rows. All give the exact optimum and say how close they came (LinearFit::gradient, converged).
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/probe/folds.hpp"
#include "braing3n/probe/linear_values.hpp"
#include "braing3n/probe/newton.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Mean and population deviation per feature; a constant feature is divided by 1.
template <class T, Backend B>
class Standardizer {
 public:
  Standardizer(Context<B>& ctx, FeatureView<T> x) {
    const Design<T, B> design(ctx, x);
    mean = design.mean();
    scale = design.deviation();
  }
  std::vector<double> mean, scale;

  /// (x - mean) / scale of one row.
  void transform(const T* x, double* out) const {
    for (std::size_t j = 0; j < mean.size(); ++j) out[j] = (static_cast<double>(x[j]) - mean[j]) / scale[j];
  }
};

enum class ClassWeight { none, balanced };

/// Weights n / (K n_k) of the classes among labels, so that every class counts the same.
inline std::vector<double> balanced_weights(std::span<const std::int32_t> labels, Index classes) {
  std::vector<double> count(static_cast<std::size_t>(classes), 0.0);
  double n = 0;
  for (std::int32_t y : labels)
    if (y >= 0) {
      count[static_cast<std::size_t>(y)] += 1;
      n += 1;
    }
  for (double& c : count) c = c > 0 ? n / (static_cast<double>(classes) * c) : 0.0;
  return count;
}

/// Turns linear values into probabilities: one value (sigmoid) or K (softmax) -> K >= 2 probabilities.
inline void to_probabilities(const double* value, Index outputs, double* probability) {
  if (outputs == 1) {
    const double e = std::exp(-std::abs(value[0])), high = 1.0 / (1.0 + e);
    probability[1] = value[0] >= 0 ? high : e / (1.0 + e);
    probability[0] = value[0] >= 0 ? e / (1.0 + e) : high;
    return;
  }
  const double top = *std::max_element(value, value + outputs);
  double sum = 0;
  for (Index k = 0; k < outputs; ++k) sum += probability[k] = std::exp(value[k] - top);
  for (Index k = 0; k < outputs; ++k) probability[k] /= sum;
}

struct LogisticOptions {
  double C = 1.0;
  ClassWeight class_weight = ClassWeight::none;
  bool standardize = true;
  double tolerance = 1e-6;
  int max_iterations = 100;
};

template <class T, Backend B>
class LogisticRegression {
 public:
  /// labels: one integer per row; classes are their distinct values in ascending order.
  /// Errors: lengths that differ, fewer than two classes, C <= 0, features that are not finite.
  LogisticRegression(Context<B>& ctx, FeatureView<T> x, std::span<const std::int64_t> labels,
                     const LogisticOptions& options = {});

  const std::vector<std::int64_t>& classes() const { return classes_; }
  /// Weights, iterations, gradient norm, converged or not.
  const LinearFit& fit() const { return fit_; }

  /// Probabilities (rows, classes). Computed in the context of the fit, which must still exist.
  xt::xtensor<double, 2> predict_proba(FeatureView<T> x) const {
    const xt::xtensor<double, 2> value = detail::linear_values(*context_, {&fit_, 1}, x);
    xt::xtensor<double, 2> out;
    set_size(out, x.rows, static_cast<Index>(classes_.size()));
    for (Index i = 0; i < x.rows; ++i) to_probabilities(row_of(value, i).data(), fit_.outputs, row_of(out, i).data());
    return out;
  }

 private:
  Context<B>* context_;
  std::vector<std::int64_t> classes_;
  LinearFit fit_;
};

struct RidgeOptions {
  double alpha = 1.0;
  bool standardize = true;
  double tolerance = 1e-10;
};

template <class T, Backend B>
class Ridge {
 public:
  /// targets (rows, count), row-major. Errors: lengths that differ, alpha <= 0, features or targets that are not finite.
  Ridge(Context<B>& ctx, FeatureView<T> x, std::span<const double> targets, Index count = 1,
        const RidgeOptions& options = {});

  Index targets() const { return static_cast<Index>(fits_.size()); }
  const LinearFit& fit(Index target = 0) const { return fits_.at(static_cast<std::size_t>(target)); }

  /// Predictions (rows, targets). Computed in the context of the fit, which must still exist.
  xt::xtensor<double, 2> predict(FeatureView<T> x) const { return detail::linear_values(*context_, fits_, x); }

 private:
  Context<B>* context_;
  std::vector<LinearFit> fits_;
};

// Constructors outside the classes, so that braing3n::compiled can hold them once.

template <class T, Backend B>
LogisticRegression<T, B>::LogisticRegression(Context<B>& ctx, FeatureView<T> x, std::span<const std::int64_t> labels,
                                             const LogisticOptions& options)
    : context_(&ctx) {
  if (static_cast<Index>(labels.size()) != x.rows)
    fail(ErrorKind::shape, "logistic.rows", "logistic regression: ", x.rows, " rows of features, ", labels.size(),
         " labels");
  if (!(options.C > 0))
    fail(ErrorKind::argument, "logistic.C", "logistic regression: C must be positive, got ", options.C);
  const auto encoded = encode_sorted(labels);
  if (encoded.count() < 2)
    fail(ErrorKind::argument, "logistic.classes",
         "logistic regression: at least 2 classes are needed, the labels have ", encoded.count());
  classes_ = encoded.values;
  FitProblem problem;
  problem.loss = encoded.count() == 2 ? Loss::logistic : Loss::softmax;
  problem.outputs = encoded.count() == 2 ? 1 : encoded.count();
  problem.label = encoded.codes.data();
  problem.penalty = 1.0 / options.C;
  if (options.class_weight == ClassWeight::balanced)
    problem.class_weight = balanced_weights(encoded.codes, encoded.count());
  const Design<T, B> design(ctx, x, {}, options.standardize);
  NewtonSolver<T, B> solver(
      design,
      {.tolerance = options.tolerance, .max_iterations = options.max_iterations, .standardize = options.standardize});
  fit_ = solver.solve({&problem, 1})[0];
}

template <class T, Backend B>
Ridge<T, B>::Ridge(Context<B>& ctx, FeatureView<T> x, std::span<const double> targets, Index count,
                   const RidgeOptions& options)
    : context_(&ctx) {
  if (count < 1 || static_cast<Index>(targets.size()) != x.rows * count)
    fail(ErrorKind::shape, "ridge.rows", "ridge: ", x.rows, " rows of features and ", count, " targets want ",
         x.rows * count, " values, got ", targets.size());
  if (!(options.alpha > 0))
    fail(ErrorKind::argument, "ridge.alpha", "ridge: alpha must be positive, got ", options.alpha);
  std::vector<std::vector<double>> columns(static_cast<std::size_t>(count));
  std::vector<FitProblem> problems(columns.size());
  for (std::size_t k = 0; k < columns.size(); ++k) {
    for (Index i = 0; i < x.rows; ++i) {
      columns[k].push_back(targets[static_cast<std::size_t>(i * count) + k]);
      if (!std::isfinite(columns[k].back()))
        fail(ErrorKind::numeric, "ridge.target", "ridge: target ", k, " of row ", i, " is ", columns[k].back());
    }
    problems[k].target = columns[k].data();
    problems[k].penalty = options.alpha;
  }
  const Design<T, B> design(ctx, x, {}, options.standardize);
  NewtonSolver<T, B> solver(design, {.squared_tolerance = options.tolerance, .standardize = options.standardize});
  fits_ = solver.solve(problems);
}

#ifdef BRAING3N_COMPILED
extern template class LogisticRegression<float, Cpu>;
extern template class LogisticRegression<double, Cpu>;
extern template class Ridge<float, Cpu>;
extern template class Ridge<double, Cpu>;
#endif

}  // namespace braing3n::inline BRAING3N_ABI
