// A linear fit: what is asked (FitProblem, SolverOptions) and what comes back (LinearFit). newton.hpp solves it.
#pragma once

#include <cstdint>
#include <vector>

#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Loss { squared, logistic, softmax };

/// One problem. Arrays have one entry per row of the design and outlive the solver.
struct FitProblem {
  Loss loss = Loss::squared;
  Index outputs = 1;                    // 1, or the number of classes for softmax
  const std::int32_t* label = nullptr;  // class of each row, from 0 (logistic, softmax)
  const double* target = nullptr;       // squared
  const std::int32_t* fold = nullptr;   // negative: the row takes no part; null: all rows are fold 0
  std::int32_t held_out = -1;           // rows of this fold are predicted and not trained on
  std::vector<double> class_weight;     // per class; empty: 1
  double penalty = 1.0;                 // c > 0
  double* held_out_values = nullptr;    // (rows, outputs): receives W x + b of the held-out rows

  bool trains(Index i) const { return fold == nullptr || (fold[i] >= 0 && fold[i] != held_out); }
  bool holds_out(Index i) const { return fold != nullptr && fold[i] >= 0 && fold[i] == held_out; }
  double weight(Index i) const { return class_weight.empty() ? 1.0 : class_weight[static_cast<std::size_t>(label[i])]; }
};

struct SolverOptions {
  double tolerance = 1e-6;          // on max|g| relative to max|g| at zero weights
  double squared_tolerance = 1e-9;  // the same for the squared loss, where it costs little
  int max_iterations = 100;         // Newton steps
  int max_products = 400;           // Hessian products in one step
  bool standardize = true;
};

/// A fitted linear map: value = intercept + sum_j weights_j (x_j - mean_j) / scale_j.
struct LinearFit {
  Index outputs = 0, features = 0;
  xt::xtensor<double, 2> weights;              // (outputs, features); none while nothing is fitted
  std::vector<double> intercept, mean, scale;  // (outputs), (features), (features)
  double loss = 0, gradient = 0, gradient_at_zero = 0;
  int iterations = 0, products = 0;
  Index rows = 0;  // trained on
  bool converged = false;

  /// Values of one row x (features) into out (outputs).
  template <class T>
  void evaluate(const T* x, double* out) const {
    for (Index k = 0; k < outputs; ++k) {
      double sum = intercept[static_cast<std::size_t>(k)];
      const std::span<const double> w = row_of(weights, k);
      for (Index j = 0; j < features; ++j) {
        const auto s = static_cast<std::size_t>(j);
        sum += w[s] * ((static_cast<double>(x[j]) - mean[s]) / scale[s]);
      }
      out[k] = sum;
    }
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
