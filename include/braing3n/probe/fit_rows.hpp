// The losses of linear fits, one row at a time: values to residuals (first derivative), directions to curvature (second).
//
// squared   (v - y)^2 / 2                         residual v - y              curvature 1
// logistic  log(1 + e^v) - y v                    residual p - y              curvature p (1 - p), p = sigmoid(v)
// softmax   log(sum_k e^(v_k)) - v_y              residual p - onehot(y)      curvature diag(p) - p p^T
// Rows are weighted by class; rows outside the training set contribute nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "braing3n/probe/fit_problem.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// What a gradient needs beyond the product with the features: sums over rows, kept per chunk so that their order is fixed.
struct LossSums {
  double loss = 0;
  std::vector<double> residual, covariance;  // (outputs), (outputs, outputs): of the classes, weighted

  explicit LossSums(std::size_t outputs) : residual(outputs, 0.0), covariance(outputs * outputs, 0.0) {}
  void add(const LossSums& other) {
    loss += other.loss;
    for (std::size_t k = 0; k < residual.size(); ++k) residual[k] += other.residual[k];
    for (std::size_t k = 0; k < covariance.size(); ++k) covariance[k] += other.covariance[k];
  }
};

inline void softmax_row(const FitProblem& p, Index i, double* value, float* probability, LossSums& sums) {
  const Index outputs = p.outputs;
  const double w = p.weight(i), own = value[p.label[i]];
  double top = value[0], total = 0.0;
  for (Index k = 1; k < outputs; ++k) top = std::max(top, value[k]);
  for (Index k = 0; k < outputs; ++k) total += value[k] = std::exp(value[k] - top);
  sums.loss += w * (std::log(total) + top - own);
  for (Index k = 0; k < outputs; ++k) {
    value[k] /= total;
    probability[k] = static_cast<float>(value[k]);
  }
  for (Index k = 0; k < outputs; ++k) {
    const double wp = w * value[k];
    double* row = sums.covariance.data() + k * outputs;
    for (Index l = 0; l < outputs; ++l) row[l] -= wp * value[l];
    row[k] += wp;
  }
  for (Index k = 0; k < outputs; ++k) {
    value[k] = w * (value[k] - (k == p.label[i] ? 1.0 : 0.0));
    sums.residual[static_cast<std::size_t>(k)] += value[k];
  }
}

/// value (outputs) becomes the residual of row i; adds loss, residual sum and class covariance. curvature: of all rows, (rows) for
/// the logistic loss and (rows, outputs) probabilities for softmax. Values of held-out rows go to the problem.
inline void residual_row(const FitProblem& p, Index i, double* value, std::vector<float>& curvature, LossSums& sums) {
  const Index outputs = p.outputs;
  if (!p.trains(i)) {
    if (p.held_out_values != nullptr && p.holds_out(i)) std::copy_n(value, outputs, p.held_out_values + i * outputs);
    std::fill_n(value, outputs, 0.0);
    if (!curvature.empty()) std::fill_n(curvature.data() + i * outputs, outputs, 0.0f);
  } else if (p.loss == Loss::squared) {
    value[0] -= p.target[i];
    sums.loss += 0.5 * value[0] * value[0];
    sums.residual[0] += value[0];
    sums.covariance[0] += 1.0;
  } else if (p.loss == Loss::logistic) {
    const double w = p.weight(i), m = value[0], y = p.label[i], e = std::exp(-std::abs(m)),
                 positive = m >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
    sums.loss += w * (std::log1p(e) + std::max(m, 0.0) - y * m);
    value[0] = w * (positive - y);
    const double second = w * e / ((1.0 + e) * (1.0 + e));
    sums.residual[0] += value[0];
    sums.covariance[0] += second;
    curvature[static_cast<std::size_t>(i)] = static_cast<float>(second);
  } else {
    softmax_row(p, i, value, curvature.data() + i * outputs, sums);
  }
}

/// Multiplies the directional values of row i with the curvature of the loss; adds them to sum (outputs).
template <class T>
void curvature_row(const FitProblem& p, Index i, T* value, const std::vector<float>& curvature, double* sum) {
  if (p.loss == Loss::squared) {
    if (!p.trains(i)) value[0] = T(0);
    sum[0] += static_cast<double>(value[0]);
  } else if (p.loss == Loss::logistic) {
    value[0] *= static_cast<T>(curvature[static_cast<std::size_t>(i)]);
    sum[0] += static_cast<double>(value[0]);
  } else {  // probabilities of rows outside the training set are zero
    const float* probability = curvature.data() + i * p.outputs;
    const T w = p.class_weight.empty() || !p.trains(i) ? T(1) : static_cast<T>(p.weight(i));
    T mean = 0;
    for (Index k = 0; k < p.outputs; ++k) mean += static_cast<T>(probability[k]) * value[k];
    for (Index k = 0; k < p.outputs; ++k) {
      value[k] = w * static_cast<T>(probability[k]) * (value[k] - mean);
      sum[k] += static_cast<double>(value[k]);
    }
  }
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
