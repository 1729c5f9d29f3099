// The vectors of all fits of a batch on a GPU, and what a pass does with them: one row for every output of every fit, of width() numbers
// (device_design.hpp): the weights of the features, the intercept, zeros.
#pragma once

#include <cmath>
#include <cstdint>

#include "braing3n/probe/device_rows.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// A column of a pass: one output of a fit.
struct ActiveColumn {
  std::int32_t column = 0, problem = 0;  // of the batch
  std::int32_t first = 0, outputs = 1;   // the fit's columns of the pass
  double length = 0;                     // of the step
  bool starts = false;                   // the direction is the first of its system
};

/// What every kernel over columns reads and writes. Vectors (columns of the batch, width).
struct FitVectors {
  const ActiveColumn* active;
  const PlacedProblem* problem;
  const double *mean,
      *deviation;  // (problems, width): of the training rows in the units of the design; 0 and 1 behind the features
  double *w, *step, *g, *trial, *r, *p, *hp;
  double *rz, *next_rz;  // (columns)
  Index features, width;

  BRAING3N_HD BRAING3N_INLINE Index at(const ActiveColumn& a, Index j) const { return a.column * width + j; }
};

/// The weights of a pass in the units of the design. The sum over j is what the intercept loses to the means.
template <class P>
struct ComposeWeights {
  FitVectors v;
  const double* source;  // w or p
  bool stepped;
  P* weights;  // (pass columns, width)

  BRAING3N_HD BRAING3N_INLINE double operator()(Index c, Index j) const {
    const ActiveColumn a = v.active[c];
    if (j == v.features) return 0.0;
    if (j > v.features) {
      weights[c * v.width + j] = P(0);
      return 0.0;
    }
    const Index of = a.problem * v.width + j;
    const double scaled = value(a, j) / v.deviation[of];
    weights[c * v.width + j] = static_cast<P>(scaled);
    return scaled * v.mean[of];
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index c, double lost) const {
    const ActiveColumn a = v.active[c];
    weights[c * v.width + v.features] = static_cast<P>(value(a, v.features) - lost);
    if (!stepped) v.rz[a.column] = v.next_rz[a.column];
  }

 private:
  BRAING3N_HD BRAING3N_INLINE double value(const ActiveColumn& a, Index j) const {
    return source[v.at(a, j)] + (stepped ? a.length * v.step[v.at(a, j)] : 0.0);
  }
};

/// Products with the design, summed over its chunks, in the units of a fit.
template <class P>
struct BackInFitUnits {
  FitVectors v;
  const P* back;  // (chunks, pass columns, width)
  Index chunks, pass_columns;

  BRAING3N_HD BRAING3N_INLINE double operator()(const ActiveColumn& a, Index c, Index j) const {
    const double sum = total(c, v.features);
    if (j >= v.features) return j == v.features ? sum : 0.0;
    const Index of = a.problem * v.width + j;
    return (total(c, j) - v.mean[of] * sum) / v.deviation[of];
  }

 private:
  BRAING3N_HD BRAING3N_INLINE double total(Index c, Index j) const {
    double sum = 0;
    for (Index s = 0; s < chunks; ++s) sum += static_cast<double>(back[(s * pass_columns + c) * v.width + j]);
    return sum;
  }
};

/// Writes the gradient at the trial point; the sum over j is the penalty.
struct TrialGradient {
  BackInFitUnits<double> back;

  BRAING3N_HD BRAING3N_INLINE double operator()(Index c, Index j) const {
    const FitVectors& v = back.v;
    const ActiveColumn a = v.active[c];
    const Index at = v.at(a, j);
    double g = back(a, c, j), penalty = 0;
    if (j < v.features) {
      const double w = v.w[at] + a.length * v.step[at], strength = v.problem[a.problem].penalty;
      g += strength * w;
      penalty = 0.5 * strength * w * w;
    }
    v.trial[at] = g;
    return penalty;
  }
};

/// |row| of a vector, for the largest.
struct SizeOfTrial {
  FitVectors v;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index c, Index j) const {
    return std::abs(v.trial[v.at(v.active[c], j)]);
  }
};

/// Takes steps that were accepted and sets up the next systems.
struct SettleStep {
  FitVectors v;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index c, Index j) const {
    const ActiveColumn a = v.active[c];
    const Index at = v.at(a, j);
    v.w[at] += a.length * v.step[at];
    v.g[at] = v.trial[at];
    v.step[at] = 0.0;
    v.r[at] = -v.trial[at];
  }
};

/// Writes the Hessian times the direction; the sum over j is the curvature along it.
template <class P>
struct HessianProduct {
  BackInFitUnits<P> back;

  BRAING3N_HD BRAING3N_INLINE double operator()(Index c, Index j) const {
    const FitVectors& v = back.v;
    const ActiveColumn a = v.active[c];
    const Index at = v.at(a, j);
    double hp = back(a, c, j);
    if (j < v.features) hp += v.problem[a.problem].penalty * v.p[at];
    v.hp[at] = hp;
    return v.p[at] * hp;
  }
};

/// The sum over the columns of a fit; usable as a step's denominator when positive and finite.
BRAING3N_HD BRAING3N_INLINE double sum_of_outputs(const double* of, Index outputs) {
  double sum = 0;
  for (Index k = 0; k < outputs; ++k) sum += of[k];
  return sum;
}
BRAING3N_HD BRAING3N_INLINE bool usable_curvature(double curved) {
  return curved > 0 && curved < 1.7976931348623157e308;
}

/// One step of the conjugate gradients; gives |r|. A first direction without curvature becomes the step.
struct AdvanceStep {
  FitVectors v;
  const double* curved;  // (pass columns)

  BRAING3N_HD BRAING3N_INLINE double operator()(Index c, Index j) const {
    const ActiveColumn a = v.active[c];
    const Index at = v.at(a, j);
    const double denominator = sum_of_outputs(curved + a.first, a.outputs);
    if (usable_curvature(denominator)) {
      const double alpha = sum_of_outputs(v.rz + (a.column - (c - a.first)), a.outputs) / denominator;
      v.step[at] += alpha * v.p[at];
      v.r[at] -= alpha * v.hp[at];
    } else if (a.starts) {
      v.step[at] = v.p[at];
    }
    return std::abs(v.r[at]);
  }
};
struct SlopeOfStep {
  FitVectors v;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index c, Index j) const {
    const Index at = v.at(v.active[c], j);
    return v.g[at] * v.step[at];
  }
};

/// The next direction from the preconditioned residual z (pass columns, width): z alone when the system starts.
struct TurnDirection {
  FitVectors v;
  const double* z;

  BRAING3N_HD BRAING3N_INLINE void operator()(Index c, Index j) const {
    const ActiveColumn a = v.active[c];
    const Index at = v.at(a, j), first = a.column - (c - a.first);
    const double beta =
        a.starts ? 0.0 : sum_of_outputs(v.next_rz + first, a.outputs) / sum_of_outputs(v.rz + first, a.outputs);
    v.p[at] = z[c * v.width + j] + (a.starts ? 0.0 : beta * v.p[at]);
  }
};

struct StoreAt {
  double* to;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index c, double value) const { to[c] = value; }
};
struct StoreSum {
  double* to;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index, Index c, double value) const { to[c] = value; }
};

/// (column of the batch, j): zero steps, zero weights and the first intercept.
struct StartVectors {
  const ActiveColumn* column;
  const PlacedProblem* problem;
  double *w, *step;
  Index features, width;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index c, Index j) const {
    w[c * width + j] = j == features ? problem[column[c].problem].intercept : 0.0;
    step[c * width + j] = 0.0;
  }
};

/// (problem, j): mean and deviation of the training rows from sums (chunks, problems, width) of values and (problems, width) of squares.
struct FitMoments {
  const PlacedProblem* problem;
  const double *sums, *squares;
  double *mean, *deviation;
  Index chunks, problems, features, width;
  bool scale;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index f, Index j) const {
    const Index at = f * width + j;
    mean[at] = 0.0;
    deviation[at] = 1.0;
    if (j >= features) return;
    double sum = 0;
    for (Index s = 0; s < chunks; ++s) sum += sums[s * problems * width + at];
    const double m = sum / problem[f].rows, variance = squares[at] / problem[f].rows - m * m;
    mean[at] = m;
    // A feature that is constant on these rows has nothing but rounding here.
    if (scale && variance > 1e-12 * (1.0 + m * m)) deviation[at] = std::sqrt(variance);
  }
};
struct SquareOf {
  const double* x;
  double* out;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { out[i] = x[i] * x[i]; }
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
