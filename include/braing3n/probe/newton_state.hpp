// One fit on its way to the optimum: Newton steps with a line search outside, conjugate gradients inside.
//
// The state asks for one of two passes over the features (wants): a gradient at w + length * step, or the product of the Hessian
// with p. The solver (newton.hpp) gathers the wishes of all fits, makes the pass and hands the result back: judge() after a
// gradient, advance() after a product. Vectors hold outputs x (features + 1) numbers, the intercept last.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/linalg/symmetric_eigen.hpp"
#include "braing3n/probe/fit_moments.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

inline double max_abs(const std::vector<double>& v) {
  double worst = 0.0;
  for (double x : v) worst = std::max(worst, std::abs(x));
  return worst;
}
inline double inner_product(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// Eigenvectors (in columns) and eigenvalues of the mean class covariance (outputs, outputs); what is rounding is 0.
template <std::same_as<double> T>
void decompose_classes(const std::vector<T>& covariance, Index outputs, std::vector<double>& basis,
                       std::vector<double>& spectrum) {
  SymmetricEigen eigen = symmetric_eigen(covariance, outputs);
  basis = std::move(eigen.vectors);
  spectrum = std::move(eigen.values);
  for (double& e : spectrum)
    if (e < 1e-10 * spectrum.back()) e = 0.0;
}

/// Where a fit stands: what it asks for next and when it is done. Its vectors lie with who computes them.
struct NewtonControl {
  enum class Wants { gradient, product, nothing };
  const FitProblem* problem = nullptr;
  Wants wants = Wants::gradient;
  double loss = 0, trial_loss = 0, length = 0, residual_goal = 0, slope = 0;
  int inner = 0;
  bool started = false;
  LinearFit fit;

  /// After a gradient at the trial point: whether the step is taken. Otherwise the same step is tried shorter.
  bool accept() {
    if (!started) return true;
    const double allowed = loss + 1e-4 * length * slope + 1e-11 * std::abs(loss);
    if (!(trial_loss <= allowed) && length > 1e-8) {
      length *= 0.5;
      return false;
    }
    ++fit.iterations;
    return true;
  }

  /// At a point that was accepted, where max|g| is `gradient`: whether the fit goes on, with a Newton system to be solved to residual_goal.
  bool settle(double gradient, const SolverOptions& options) {
    if (!started) fit.gradient_at_zero = gradient;
    started = true;
    loss = trial_loss;
    fit.gradient = gradient;
    const double tolerance = problem->loss == Loss::squared ? options.squared_tolerance : options.tolerance;
    const double relative = fit.gradient_at_zero > 0 ? fit.gradient / fit.gradient_at_zero : 0.0;
    fit.converged = relative <= tolerance;
    if (fit.converged || fit.iterations >= options.max_iterations || !std::isfinite(loss)) {
      wants = Wants::nothing;
      return false;
    }
    // Solve the Newton system no better than the quadratic model is, nor better than the goal asks.
    const double forcing = problem->loss == Loss::squared ? 1e-4 : std::min(0.1, std::sqrt(relative));
    residual_goal = std::max(forcing * fit.gradient, 0.3 * tolerance * fit.gradient_at_zero);
    inner = 0;
    length = 0.0;
    wants = Wants::product;
    return true;
  }

  /// After a product. usable: the direction has positive curvature; residual: max|r| after the step along it. Whether the conjugate
  /// gradients go on; if not, the step is tried whole.
  bool goes_on(bool usable, double residual, const SolverOptions& options) {
    ++inner;
    ++fit.products;
    if (usable && residual > residual_goal && inner < options.max_products) return true;
    length = 1.0;
    wants = Wants::gradient;
    return false;
  }
};

/// The kind of pass that serves more columns, so that fits gather into wide products; `nothing` when all fits are done.
template <std::derived_from<NewtonControl> Fit>
NewtonControl::Wants next_pass(const std::vector<Fit>& fits) {
  using Wants = NewtonControl::Wants;
  Index want[2] = {0, 0};
  for (const NewtonControl& s : fits)
    if (s.wants != Wants::nothing) want[s.wants == Wants::product] += s.problem->outputs;
  if (want[0] + want[1] == 0) return Wants::nothing;
  return want[1] >= want[0] ? Wants::product : Wants::gradient;
}

/// solve_batch(problems one behind the other, with `most` outputs or fewer unless it is one problem) for all; results in their order.
template <class F>
std::vector<LinearFit> solve_in_batches(std::span<const FitProblem> problems, Index most, const F& solve_batch) {
  std::vector<LinearFit> out;
  for (std::size_t begin = 0; begin < problems.size();) {
    std::size_t end = begin;
    for (Index columns = 0; end < problems.size() && (end == begin || columns + problems[end].outputs <= most); ++end)
      columns += problems[end].outputs;
    for (LinearFit& fit : solve_batch(problems.subspan(begin, end - begin))) out.push_back(std::move(fit));
    begin = end;
  }
  return out;
}

struct NewtonState : NewtonControl {
  const TrainingMoments* moments = nullptr;
  std::vector<double> w, step, g, trial_g;  // weights, Newton step, gradients at w and at the trial point
  std::vector<double> r, z, p, hp;          // residual, preconditioned residual, direction, Hessian times direction
  std::vector<float> curvature;             // (rows) w p (1 - p), or (rows, outputs) p
  std::vector<double> class_basis;          // (outputs, outputs) eigenvectors of the mean class covariance, in columns
  std::vector<double> spectrum;             // its eigenvalues times the weight sum; one entry for one output
  double rz = 0;

  NewtonState(const FitProblem& asked, const TrainingMoments& training, Index rows) : moments(&training) {
    problem = &asked;
    const std::size_t size = static_cast<std::size_t>(asked.outputs) * (training.mean.size() + 1);
    for (auto* v : {&w, &step, &g, &trial_g, &r, &z, &p, &hp}) v->assign(size, 0.0);
    if (asked.loss == Loss::squared) w.back() = training.target_mean;
    else curvature.resize(static_cast<std::size_t>(rows * asked.outputs));
  }

  /// After a gradient: accepts or shortens the step, decides whether the fit is done, otherwise sets up the next Newton system.
  template <std::same_as<double> T>
  void judge(const std::vector<T>& covariance, const SolverOptions& options) {
    const bool moved = started;
    if (!accept()) return;
    if (moved)
      for (std::size_t i = 0; i < w.size(); ++i) w[i] += length * step[i];
    std::swap(g, trial_g);
    if (!settle(max_abs(g), options)) {
      for (auto* v : {&step, &g, &trial_g, &r, &z, &p, &hp}) *v = {};
      curvature = {};
      return;
    }
    if (problem->outputs == 1) spectrum = {covariance[0]};
    else decompose_classes<T>(covariance, problem->outputs, class_basis, spectrum);
    std::fill(step.begin(), step.end(), 0.0);
    for (std::size_t i = 0; i < g.size(); ++i) r[i] = -g[i];
  }

  /// After a product: one step of the conjugate gradients.
  void advance(const SolverOptions& options) {
    const double curved = inner_product(p, hp);
    const bool usable = curved > 0 && std::isfinite(curved);
    if (usable) {
      const double alpha = rz / curved;
      for (std::size_t i = 0; i < step.size(); ++i) {
        step[i] += alpha * p[i];
        r[i] -= alpha * hp[i];
      }
    }
    if (goes_on(usable, usable ? max_abs(r) : 0.0, options)) return;
    if (!usable && inner == 1) step = p;
    slope = inner_product(g, step);
  }

  /// The next direction, once z is the preconditioned residual.
  void turn() {
    const double next = inner_product(r, z), beta = next / rz;
    for (std::size_t i = 0; i < p.size(); ++i) p[i] = z[i] + beta * p[i];
    rz = next;
  }
  void first_direction() {
    p = z;
    rz = inner_product(r, z);
  }
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
