// The losses of fit_rows.hpp on a GPU: values of one row and one fit to residuals, directions to curvature, for all rows and fits at once.
#pragma once

#include <cmath>
#include <cstdint>

#include "braing3n/core/tags.hpp"
#include "braing3n/probe/fit_problem.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// A problem of a batch as kernels see it; labels, targets and folds of all problems lie one behind the other.
struct PlacedProblem {
  Loss loss = Loss::squared;
  std::int32_t held_out = -1;
  Index outputs = 1, column = 0;                // columns of the batch: column to column + outputs
  Index label = -1, fold = -1, target = -1;     // where its rows begin among the integers and the numbers; -1: none
  Index class_weight = -1;                      // the same, (classes)
  Index held_out_values = -1;                   // (rows, outputs) among the values that are kept; -1: not wanted
  double penalty = 1, rows = 0, intercept = 0;  // rows trained on; where the intercept starts
};

/// What every kernel over rows reads.
struct PlacedRows {
  const PlacedProblem* problem;
  const std::int32_t* integers;
  const double* numbers;

  BRAING3N_HD BRAING3N_INLINE bool trains(const PlacedProblem& p, Index i) const {
    return p.fold < 0 || (integers[p.fold + i] >= 0 && integers[p.fold + i] != p.held_out);
  }
  BRAING3N_HD BRAING3N_INLINE bool holds_out(const PlacedProblem& p, Index i) const {
    return p.fold >= 0 && integers[p.fold + i] >= 0 && integers[p.fold + i] == p.held_out;
  }
  BRAING3N_HD BRAING3N_INLINE double weight(const PlacedProblem& p, Index i) const {
    return p.class_weight < 0 ? 1.0 : numbers[p.class_weight + integers[p.label + i]];
  }
};

/// A fit that takes part in a pass: its problem, and where its columns begin among those of the pass.
struct ActiveFit {
  std::int32_t problem = 0, first = 0;
};

/// (row, active fit): values become residuals; losses (rows, fits) and curvature (rows, columns of the batch) are written: w p (1 - p)
/// for the logistic loss, p of each class for softmax, 1 for least squares, 0 for rows outside the training set.
struct ResidualRows {
  PlacedRows rows;
  const ActiveFit* active;
  double* values;  // (rows, pass_columns)
  double* loss;    // (rows, fits)
  float* curvature;
  double* held_out_values;
  Index pass_columns, fits, columns;

  BRAING3N_HD BRAING3N_INLINE void operator()(Index i, Index f) const {
    const ActiveFit at = active[f];
    const PlacedProblem p = rows.problem[at.problem];
    double* const value = values + i * pass_columns + at.first;
    float* const second = curvature + i * columns + p.column;
    double& own_loss = loss[i * fits + f];
    if (!rows.trains(p, i)) {
      const bool kept = p.held_out_values >= 0 && rows.holds_out(p, i);
      for (Index k = 0; k < p.outputs; ++k) {
        if (kept) held_out_values[p.held_out_values + i * p.outputs + k] = value[k];
        value[k] = 0.0;
        second[k] = 0.0f;
      }
      own_loss = 0.0;
    } else if (p.loss == Loss::squared) {
      value[0] -= rows.numbers[p.target + i];
      own_loss = 0.5 * value[0] * value[0];
      second[0] = 1.0f;
    } else if (p.loss == Loss::logistic) {
      const double w = rows.weight(p, i), m = value[0], y = rows.integers[p.label + i], e = std::exp(-std::abs(m)),
                   positive = m >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
      own_loss = w * (std::log1p(e) + (m > 0 ? m : 0.0) - y * m);
      value[0] = w * (positive - y);
      second[0] = static_cast<float>(w * e / ((1.0 + e) * (1.0 + e)));
    } else {
      softmax(p, rows.weight(p, i), rows.integers[p.label + i], value, second, own_loss);
    }
  }

 private:
  BRAING3N_HD BRAING3N_INLINE static void softmax(const PlacedProblem& p, double w, std::int32_t label, double* value,
                                                  float* probability, double& loss) {
    const double own = value[label];
    double top = value[0], total = 0.0;
    for (Index k = 1; k < p.outputs; ++k) top = value[k] > top ? value[k] : top;
    for (Index k = 0; k < p.outputs; ++k) total += value[k] = std::exp(value[k] - top);
    loss = w * (std::log(total) + top - own);
    for (Index k = 0; k < p.outputs; ++k) {
      const double share = value[k] / total;
      probability[k] = static_cast<float>(share);
      value[k] = w * (share - (k == label ? 1.0 : 0.0));
    }
  }
};

/// (row, active fit): directional values times the curvature of the loss.
template <class P>
struct CurvatureRows {
  PlacedRows rows;
  const ActiveFit* active;
  P* values;  // (rows, pass_columns)
  const float* curvature;
  Index pass_columns, columns;

  BRAING3N_HD BRAING3N_INLINE void operator()(Index i, Index f) const {
    const ActiveFit at = active[f];
    const PlacedProblem p = rows.problem[at.problem];
    P* const value = values + i * pass_columns + at.first;
    const float* const second = curvature + i * columns + p.column;
    if (p.loss != Loss::softmax) {
      value[0] *= static_cast<P>(second[0]);
      return;
    }
    // Probabilities of rows outside the training set are zero, and so is their product.
    const P w = rows.trains(p, i) ? static_cast<P>(rows.weight(p, i)) : P(1);
    P mean = 0;
    for (Index k = 0; k < p.outputs; ++k) mean += static_cast<P>(second[k]) * value[k];
    for (Index k = 0; k < p.outputs; ++k) value[k] = w * static_cast<P>(second[k]) * (value[k] - mean);
  }
};

/// One sum over rows: the loss of a fit (k < 0), or entry (k, l) of its class covariance.
struct RowSum {
  std::int32_t fit = 0, problem = 0, first = 0, k = -1, l = -1;  // first: the fit's columns of the pass
};
struct LossAndCovariance {
  PlacedRows rows;
  const RowSum* sum;
  const double *loss, *residuals;  // (rows, fits), (rows, pass_columns)
  const float* curvature;
  Index fits, pass_columns, columns;

  BRAING3N_HD BRAING3N_INLINE double operator()(Index, Index i, Index q) const {
    const RowSum s = sum[q];
    if (s.k < 0) return loss[i * fits + s.fit];
    const PlacedProblem p = rows.problem[s.problem];
    if (p.loss != Loss::softmax) return curvature[i * columns + p.column];
    const double w = rows.trains(p, i) ? rows.weight(p, i) : 0.0;
    if (!(w > 0)) return 0.0;
    // Probabilities in fp64, from the residuals: adding the same to all intercepts changes nothing, and the eigenvalue of that direction
    // must not come out of rounding.
    const std::int32_t label = rows.integers[p.label + i];
    const double* const residual = residuals + i * pass_columns + s.first;
    const double pk = residual[s.k] / w + (s.k == label ? 1.0 : 0.0),
                 pl = residual[s.l] / w + (s.l == label ? 1.0 : 0.0);
    return w * ((s.k == s.l ? pk : 0.0) - pk * pl);
  }
};

/// (row, problem): 1 for rows trained on, 0 for others and for those behind the last.
struct TrainingMask {
  PlacedRows rows;
  double* values;
  Index count, problems;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i, Index f) const {
    values[i * problems + f] = i < count && rows.trains(rows.problem[f], i) ? 1.0 : 0.0;
  }
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
