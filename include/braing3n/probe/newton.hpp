// Many L2-penalised linear fits at once by Newton's method with conjugate gradients.
//
// Every fit minimises   sum_i w_i loss(y_i, W x_i + b) + (c / 2) |W|^2   over its own training rows, with x standardised by
// the statistics of those rows. Losses: squared, logistic (one output), softmax (one output per class). Intercepts carry no
// penalty. The optimum is unique; scikit-learn's LogisticRegression(C = 1 / c) and Ridge(alpha = c) minimise the same sums.
//
// All fits advance together: one pass over the features (design.hpp) serves the gradients, or the Hessian products, of all
// fits that want one. Gradients and losses, and with them the stopping test max|g| <= tolerance * max|g(0)|, are fp64
// throughout; Hessian products may be fp32, since Newton's method corrects what they leave. The conjugate gradients are
// preconditioned by one Gram matrix for all fits (preconditioner.hpp); a softmax Hessian is approximated by
// (mean class covariance) x (Gram matrix), which the eigenvectors of the small factor take apart.
#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "braing3n/probe/preconditioner.hpp"
#include "braing3n/probe/symmetric_eigen.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Loss { squared, logistic, softmax };

/// One problem. Arrays have one entry per row of the design and outlive the solver.
struct FitProblem {
  Loss loss = Loss::squared;
  Index outputs = 1;                     // 1, or the number of classes for softmax
  const std::int32_t* label = nullptr;   // class of each row, from 0 (logistic, softmax)
  const double* target = nullptr;        // squared
  const std::int32_t* fold = nullptr;    // negative: the row takes no part; null: all rows are fold 0
  std::int32_t held_out = -1;            // rows of this fold are predicted and not trained on
  std::vector<double> class_weight;      // per class; empty: 1
  double penalty = 1.0;                  // c > 0
  double* held_out_values = nullptr;     // (rows, outputs): receives W x + b of the held-out rows
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
  std::vector<double> mean, scale;         // (features)
  std::vector<double> weights, intercept;  // (outputs, features), (outputs)
  double loss = 0, gradient = 0, gradient_at_zero = 0;
  int iterations = 0, products = 0;
  Index rows = 0;  // trained on
  bool converged = false;

  /// Values of one row x (features) into out (outputs).
  template <class T>
  void evaluate(const T* x, double* out) const {
    for (Index k = 0; k < outputs; ++k) {
      double sum = intercept[static_cast<std::size_t>(k)];
      const double* w = weights.data() + k * features;
      for (Index j = 0; j < features; ++j) {
        const auto s = static_cast<std::size_t>(j);
        sum += w[j] * ((static_cast<double>(x[j]) - mean[s]) / scale[s]);
      }
      out[k] = sum;
    }
  }
};

namespace detail {

/// Mean and deviation of the training rows of one fit, in the units of the design.
struct TrainingMoments {
  std::vector<double> mean, deviation;
  double rows = 0, target_mean = 0;
};

/// State of one fit between passes. Vectors hold outputs x (features + 1), the intercept last.
struct NewtonState {
  enum class Wants { gradient, product, nothing };
  const FitProblem* problem = nullptr;
  const TrainingMoments* moments = nullptr;
  Wants wants = Wants::gradient;
  std::vector<double> w, step, g, trial_g, r, z, p, hp;
  std::vector<float> curvature;              // (rows) w p (1 - p), or (rows, outputs) p
  std::vector<double> class_basis;           // (outputs, outputs) eigenvectors of the mean class covariance, in columns
  std::vector<double> spectrum;              // its eigenvalues times the weight sum; one entry for one output
  double loss = 0, trial_loss = 0, rz = 0, length = 0, residual_goal = 0, slope = 0;
  int inner = 0;
  bool started = false;
  LinearFit fit;
};

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

}  // namespace detail

template <class T, Backend B>
class NewtonSolver;

template <class T>
class NewtonSolver<T, Cpu> {
 public:
  NewtonSolver(const Design<T, Cpu>& design, const SolverOptions& options = {}) : design_(&design), options_(options) {}

  /// Solves all problems; results in their order. Fits are taken in batches that bound the memory.
  std::vector<LinearFit> solve(std::span<const FitProblem> problems);

 private:
  using State = detail::NewtonState;
  using Wants = State::Wants;

  std::vector<LinearFit> solve_batch(std::span<const FitProblem> problems) {
    if (!preconditioner_) preconditioner_.emplace(*design_);
    const std::vector<detail::TrainingMoments> moments = training_moments(problems);
    std::vector<State> states(problems.size());
    const auto width = static_cast<std::size_t>(design_->features() + 1);
    for (std::size_t f = 0; f < problems.size(); ++f) {
      const FitProblem& problem = problems[f];
      if (!(problem.penalty > 0)) fail(ErrorKind::argument, "probe.penalty", "probe: the penalty must be positive, got ", problem.penalty);
      if (moments[f].rows < 1) fail(ErrorKind::argument, "probe.rows", "probe: a fit has no training rows");
      State& s = states[f];
      s.problem = &problem;
      s.moments = &moments[f];
      const std::size_t size = static_cast<std::size_t>(problem.outputs) * width;
      for (auto* v : {&s.w, &s.step, &s.g, &s.trial_g, &s.r, &s.z, &s.p, &s.hp}) v->assign(size, 0.0);
      if (problem.loss == Loss::squared) s.w.back() = moments[f].target_mean;
      else s.curvature.resize(static_cast<std::size_t>(design_->rows() * problem.outputs));
    }
    for (;;) {
      // The kind of pass that serves more columns goes first, so that fits gather into wide products.
      Index want[2] = {0, 0};
      for (const State& s : states)
        if (s.wants != Wants::nothing) want[s.wants == Wants::product] += s.problem->outputs;
      if (want[0] + want[1] == 0) break;
      std::vector<State*> active;
      const Wants kind = want[1] >= want[0] ? Wants::product : Wants::gradient;
      for (State& s : states)
        if (s.wants == kind) active.push_back(&s);
      if (kind == Wants::product) product_pass(active);
      else gradient_pass(active);
    }
    std::vector<LinearFit> out;
    for (State& s : states) out.push_back(finish(s));
    return out;
  }

  static bool trains(const FitProblem& p, Index i) { return p.fold == nullptr || (p.fold[i] >= 0 && p.fold[i] != p.held_out); }
  static bool held_out(const FitProblem& p, Index i) { return p.fold != nullptr && p.fold[i] >= 0 && p.fold[i] == p.held_out; }
  static double weight(const FitProblem& p, Index i) {
    return p.class_weight.empty() ? 1.0 : p.class_weight[static_cast<std::size_t>(p.label[i])];
  }

  std::vector<detail::TrainingMoments> training_moments(std::span<const FitProblem> problems) const {
    const Index d = design_->features(), columns = static_cast<Index>(problems.size());
    std::vector<double> sums(static_cast<std::size_t>(columns * d)), squares(sums.size());
    const auto mask = [&](Index, Index first, Index count, double* values) {
      for (Index r = 0; r < count; ++r)
        for (Index f = 0; f < columns; ++f) values[r * columns + f] = trains(problems[static_cast<std::size_t>(f)], first + r) ? 1.0 : 0.0;
    };
    design_->template sweep<double>(columns, nullptr, nullptr, sums.data(), mask);
    if (options_.standardize) design_->template sweep<double>(columns, nullptr, nullptr, squares.data(), mask, true);
    std::vector<detail::TrainingMoments> out(problems.size());
    for (std::size_t f = 0; f < problems.size(); ++f) {
      detail::TrainingMoments& m = out[f];
      double targets = 0;
      for (Index i = 0; i < design_->rows(); ++i)
        if (trains(problems[f], i)) {
          m.rows += 1;
          if (problems[f].loss == Loss::squared) targets += problems[f].target[i];
        }
      m.target_mean = targets / m.rows;
      m.mean.resize(static_cast<std::size_t>(d));
      m.deviation.assign(static_cast<std::size_t>(d), 1.0);
      for (Index j = 0; j < d; ++j) {
        const std::size_t at = f * static_cast<std::size_t>(d) + static_cast<std::size_t>(j);
        const double mean = sums[at] / m.rows, variance = squares[at] / m.rows - mean * mean;
        m.mean[static_cast<std::size_t>(j)] = mean;
        // A feature that is constant on these rows has nothing but rounding here.
        if (options_.standardize && variance > 1e-12 * (1.0 + mean * mean)) m.deviation[static_cast<std::size_t>(j)] = std::sqrt(variance);
      }
    }
    return out;
  }

  /// Weights of all active fits in the units of the design, and the intercepts that go with them.
  template <class P>
  void compose(const std::vector<State*>& active, const std::vector<double> State::*source, bool stepped, std::vector<P>& weights,
               std::vector<P>& bias) const {
    const Index d = design_->features();
    Index columns = 0;
    for (const State* s : active) columns += s->problem->outputs;
    weights.resize(static_cast<std::size_t>(columns * d));
    bias.resize(static_cast<std::size_t>(columns));
    Index column = 0;
    for (const State* s : active)
      for (Index k = 0; k < s->problem->outputs; ++k, ++column) {
        const double* v = (s->*source).data() + k * (d + 1);
        const double* step = s->step.data() + k * (d + 1);
        const double t = stepped ? s->length : 0.0;
        double offset = v[d] + t * step[d];
        for (Index j = 0; j < d; ++j) {
          const double scaled = (v[j] + t * step[j]) / s->moments->deviation[static_cast<std::size_t>(j)];
          offset -= scaled * s->moments->mean[static_cast<std::size_t>(j)];
          weights[static_cast<std::size_t>(column * d + j)] = static_cast<P>(scaled);
        }
        bias[static_cast<std::size_t>(column)] = static_cast<P>(offset);
      }
  }

  /// What a gradient needs beyond the product with the features: sums over rows, per chunk, so that their order is fixed.
  struct Sums {
    double loss = 0;
    std::vector<double> residual, covariance;
  };

  void gradient_pass(const std::vector<State*>& active) {
    const Index d = design_->features();
    std::vector<double> weights, bias;
    compose(active, &State::w, true, weights, bias);
    const Index columns = static_cast<Index>(bias.size());
    std::vector<std::vector<Sums>> sums(static_cast<std::size_t>(design_->chunks()), std::vector<Sums>(active.size()));
    for (auto& chunk : sums)
      for (std::size_t f = 0; f < active.size(); ++f) {
        const auto k = static_cast<std::size_t>(active[f]->problem->outputs);
        chunk[f].residual.assign(k, 0.0);
        chunk[f].covariance.assign(k * k, 0.0);
      }
    std::vector<double> back(weights.size());
    design_->template sweep<double>(columns, weights.data(), bias.data(), back.data(), [&](Index chunk, Index first, Index count, double* values) {
      Index column = 0;
      for (std::size_t f = 0; f < active.size(); ++f) {
        for (Index r = 0; r < count; ++r) residual_row(*active[f], first + r, values + r * columns + column, sums[static_cast<std::size_t>(chunk)][f]);
        column += active[f]->problem->outputs;
      }
    });
    Index column = 0;
    for (std::size_t f = 0; f < active.size(); ++f) {
      State& s = *active[f];
      const Index outputs = s.problem->outputs;
      Sums total = std::move(sums[0][f]);
      for (std::size_t c = 1; c < sums.size(); ++c) {
        total.loss += sums[c][f].loss;
        for (std::size_t k = 0; k < total.residual.size(); ++k) total.residual[k] += sums[c][f].residual[k];
        for (std::size_t k = 0; k < total.covariance.size(); ++k) total.covariance[k] += sums[c][f].covariance[k];
      }
      s.trial_loss = total.loss;
      for (Index k = 0; k < outputs; ++k, ++column) {
        double* g = s.trial_g.data() + k * (d + 1);
        to_fit_units(s, back.data() + column * d, total.residual[static_cast<std::size_t>(k)], g);
        for (Index j = 0; j < d; ++j) {
          const double w = s.w[static_cast<std::size_t>(k * (d + 1) + j)] + s.length * s.step[static_cast<std::size_t>(k * (d + 1) + j)];
          g[j] += s.problem->penalty * w;
          s.trial_loss += 0.5 * s.problem->penalty * w * w;
        }
      }
      judge(s, total.covariance);
    }
    std::vector<State*> starting;
    for (State* s : active)
      if (s->wants == Wants::product) starting.push_back(s);
    precondition(starting);
    for (State* s : starting) {
      s->p = s->z;
      s->rz = detail::inner_product(s->r, s->z);
    }
  }

  /// (X^T v - mean sum(v)) / deviation and sum(v).
  static void to_fit_units(const State& s, const double* back, double sum, double* out) {
    const std::size_t d = s.moments->mean.size();
    for (std::size_t j = 0; j < d; ++j) out[j] = (back[j] - s.moments->mean[j] * sum) / s.moments->deviation[j];
    out[d] = sum;
  }

  /// Turns the values of one row into residuals; adds loss, residual sum and class covariance.
  void residual_row(State& s, Index i, double* value, Sums& sums) const {
    const FitProblem& p = *s.problem;
    const Index outputs = p.outputs;
    if (!trains(p, i)) {
      if (p.held_out_values != nullptr && held_out(p, i)) std::copy_n(value, outputs, p.held_out_values + i * outputs);
      std::fill_n(value, outputs, 0.0);
      if (!s.curvature.empty()) std::fill_n(s.curvature.data() + i * outputs, outputs, 0.0f);
      return;
    }
    if (p.loss == Loss::squared) {
      value[0] -= p.target[i];
      sums.loss += 0.5 * value[0] * value[0];
      sums.residual[0] += value[0];
      sums.covariance[0] += 1.0;
      return;
    }
    const double w = weight(p, i);
    if (p.loss == Loss::logistic) {
      const double m = value[0], y = p.label[i], e = std::exp(-std::abs(m)), positive = m >= 0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
      sums.loss += w * (std::log1p(e) + std::max(m, 0.0) - y * m);
      value[0] = w * (positive - y);
      const double curvature = w * e / ((1.0 + e) * (1.0 + e));
      sums.residual[0] += value[0];
      sums.covariance[0] += curvature;
      s.curvature[static_cast<std::size_t>(i)] = static_cast<float>(curvature);
      return;
    }
    double top = value[0], total = 0.0;
    for (Index k = 1; k < outputs; ++k) top = std::max(top, value[k]);
    const double own = value[p.label[i]];
    for (Index k = 0; k < outputs; ++k) total += value[k] = std::exp(value[k] - top);
    sums.loss += w * (std::log(total) + top - own);
    float* probability = s.curvature.data() + i * outputs;
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

  /// Accepts or shortens the step, decides whether the fit is done, and otherwise sets up the next Newton system.
  void judge(State& s, const std::vector<double>& covariance) const {
    LinearFit& fit = s.fit;
    const bool first = !s.started;
    if (!first) {
      const double allowed = s.loss + 1e-4 * s.length * s.slope + 1e-11 * std::abs(s.loss);
      if (!(s.trial_loss <= allowed) && s.length > 1e-8) {
        s.length *= 0.5;
        return;  // the same step, shorter
      }
      for (std::size_t i = 0; i < s.w.size(); ++i) s.w[i] += s.length * s.step[i];
      ++fit.iterations;
    }
    s.started = true;
    s.loss = s.trial_loss;
    std::swap(s.g, s.trial_g);
    fit.gradient = detail::max_abs(s.g);
    if (first) fit.gradient_at_zero = fit.gradient;
    const double tolerance = s.problem->loss == Loss::squared ? options_.squared_tolerance : options_.tolerance;
    const double relative = fit.gradient_at_zero > 0 ? fit.gradient / fit.gradient_at_zero : 0.0;
    fit.converged = relative <= tolerance;
    if (fit.converged || fit.iterations >= options_.max_iterations || !std::isfinite(s.loss)) {
      s.wants = Wants::nothing;
      s.curvature = {};
      return;
    }
    decompose(s, covariance);
    // Solve the Newton system no better than the quadratic model is, nor better than the goal asks.
    const double forcing = s.problem->loss == Loss::squared ? 1e-4 : std::min(0.1, std::sqrt(relative));
    s.residual_goal = std::max(forcing * fit.gradient, 0.3 * tolerance * fit.gradient_at_zero);
    std::fill(s.step.begin(), s.step.end(), 0.0);
    for (std::size_t i = 0; i < s.g.size(); ++i) s.r[i] = -s.g[i];
    s.inner = 0;
    s.length = 0.0;
    s.wants = Wants::product;
  }

  static void decompose(State& s, const std::vector<double>& covariance) {
    const Index k = s.problem->outputs;
    if (k == 1) {
      s.spectrum = {covariance[0]};
      return;
    }
    SymmetricEigen eigen = symmetric_eigen(covariance, k);
    s.class_basis = std::move(eigen.vectors);
    s.spectrum = std::move(eigen.values);
    for (double& e : s.spectrum)
      if (e < 1e-10 * s.spectrum.back()) e = 0.0;
  }

  /// z = M^-1 r for all active fits.
  void precondition(const std::vector<State*>& active) {
    const Index d = design_->features();
    std::vector<typename GramPreconditioner<T, Cpu>::Row> rows;
    for (State* s : active) {
      const Index outputs = s->problem->outputs;
      if (outputs == 1) s->z = s->r;
      else mix(*s, true, s->r, s->z);
      for (Index k = 0; k < outputs; ++k) {
        double* z = s->z.data() + k * (d + 1);
        const double curvature = s->spectrum[static_cast<std::size_t>(k)];
        rows.push_back({z, curvature, s->problem->penalty});
        z[d] = curvature > 0 ? z[d] / curvature : 0.0;
      }
    }
    preconditioner_->apply(rows);
    for (State* s : active)
      if (s->problem->outputs > 1) {
        const std::vector<double> mixed = s->z;
        mix(*s, false, mixed, s->z);
      }
  }

  /// Class-wise vectors into the eigenbasis of the class covariance, or back.
  void mix(const State& s, bool into, const std::vector<double>& from, std::vector<double>& to) const {
    const Index width = design_->features() + 1, k = s.problem->outputs;
    design_->context().provider().gemm_f64.run(design_->context(), {.m = k, .n = width, .k = k, .a = s.class_basis.data(), .a_row = into ? 1 : k,
                                                                    .a_col = into ? k : 1, .b = from.data(), .b_row = width, .c = to.data(), .c_row = width});
  }

  void product_pass(const std::vector<State*>& active) {
    const Index d = design_->features();
    std::vector<T> weights, bias;
    compose(active, &State::p, false, weights, bias);
    const Index columns = static_cast<Index>(bias.size());
    std::vector<std::vector<double>> sums(static_cast<std::size_t>(design_->chunks()), std::vector<double>(static_cast<std::size_t>(columns), 0.0));
    std::vector<double> back(weights.size());
    design_->template sweep<T>(columns, weights.data(), bias.data(), back.data(), [&](Index chunk, Index first, Index count, T* values) {
      double* sum = sums[static_cast<std::size_t>(chunk)].data();
      Index column = 0;
      for (const State* s : active) {
        for (Index r = 0; r < count; ++r) curvature_row(*s, first + r, values + r * columns + column, sum + column);
        column += s->problem->outputs;
      }
    });
    for (std::size_t c = 1; c < sums.size(); ++c)
      for (std::size_t j = 0; j < sums[c].size(); ++j) sums[0][j] += sums[c][j];
    std::vector<Index> first_column;
    Index column = 0;
    for (const State* s : active) {
      first_column.push_back(column);
      column += s->problem->outputs;
    }
    design_->context().parallel(static_cast<Index>(active.size()), [&](Index f) {
      State& s = *active[static_cast<std::size_t>(f)];
      for (Index k = 0; k < s.problem->outputs; ++k) {
        const Index c = first_column[static_cast<std::size_t>(f)] + k;
        double* hp = s.hp.data() + k * (d + 1);
        to_fit_units(s, back.data() + c * d, sums[0][static_cast<std::size_t>(c)], hp);
        for (Index j = 0; j < d; ++j) hp[j] += s.problem->penalty * s.p[static_cast<std::size_t>(k * (d + 1) + j)];
      }
      advance(s);
    });
    std::vector<State*> going;
    for (State* s : active)
      if (s->wants == Wants::product) going.push_back(s);
    precondition(going);
    design_->context().parallel(static_cast<Index>(going.size()), [&](Index f) {
      State& s = *going[static_cast<std::size_t>(f)];
      const double rz = detail::inner_product(s.r, s.z), beta = rz / s.rz;
      for (std::size_t i = 0; i < s.p.size(); ++i) s.p[i] = s.z[i] + beta * s.p[i];
      s.rz = rz;
    });
  }

  /// Multiplies the directional values of one row with the curvature of the loss.
  static void curvature_row(const State& s, Index i, T* value, double* sum) {
    const FitProblem& p = *s.problem;
    if (p.loss == Loss::squared) {
      if (!trains(p, i)) value[0] = T(0);
      sum[0] += static_cast<double>(value[0]);
    } else if (p.loss == Loss::logistic) {
      value[0] *= static_cast<T>(s.curvature[static_cast<std::size_t>(i)]);
      sum[0] += static_cast<double>(value[0]);
    } else {
      const float* probability = s.curvature.data() + i * p.outputs;
      const T w = p.class_weight.empty() || !trains(p, i) ? T(1) : static_cast<T>(weight(p, i));
      T mean = 0;
      for (Index k = 0; k < p.outputs; ++k) mean += static_cast<T>(probability[k]) * value[k];
      for (Index k = 0; k < p.outputs; ++k) {
        value[k] = w * static_cast<T>(probability[k]) * (value[k] - mean);
        sum[k] += static_cast<double>(value[k]);
      }
    }
  }

  /// One conjugate-gradient step.
  void advance(State& s) const {
    ++s.inner;
    ++s.fit.products;
    const double curvature = detail::inner_product(s.p, s.hp);
    const bool usable = curvature > 0 && std::isfinite(curvature);
    if (usable) {
      const double alpha = s.rz / curvature;
      for (std::size_t i = 0; i < s.step.size(); ++i) {
        s.step[i] += alpha * s.p[i];
        s.r[i] -= alpha * s.hp[i];
      }
    }
    if (usable && detail::max_abs(s.r) > s.residual_goal && s.inner < options_.max_products) return;
    if (!usable && s.inner == 1) s.step = s.p;
    s.length = 1.0;
    s.slope = detail::inner_product(s.g, s.step);
    s.wants = Wants::gradient;
  }

  LinearFit finish(State& s) const {
    LinearFit fit = std::move(s.fit);
    const Index d = design_->features();
    fit.outputs = s.problem->outputs;
    fit.features = d;
    fit.loss = s.loss;
    fit.rows = static_cast<Index>(s.moments->rows);
    for (Index j = 0; j < d; ++j) {
      const auto at = static_cast<std::size_t>(j);
      fit.mean.push_back(design_->mean()[at] + design_->deviation()[at] * s.moments->mean[at]);
      fit.scale.push_back(design_->deviation()[at] * s.moments->deviation[at]);
    }
    for (Index k = 0; k < fit.outputs; ++k) {
      const auto begin = s.w.begin() + k * (d + 1);
      fit.weights.insert(fit.weights.end(), begin, begin + d);
      fit.intercept.push_back(*(begin + d));
    }
    return fit;
  }

  const Design<T, Cpu>* design_;
  SolverOptions options_;
  std::optional<GramPreconditioner<T, Cpu>> preconditioner_;
};

// Outside the class, so that braing3n::compiled can hold it (and all that it calls) once.
template <class T>
std::vector<LinearFit> NewtonSolver<T, Cpu>::solve(std::span<const FitProblem> problems) {
  std::vector<LinearFit> out;
  const Index most = std::clamp<Index>((Index{80} << 20) / (4 * design_->rows()), 32, 384);
  for (std::size_t begin = 0; begin < problems.size();) {
    std::size_t end = begin;
    for (Index columns = 0; end < problems.size() && (end == begin || columns + problems[end].outputs <= most); ++end)
      columns += problems[end].outputs;
    for (LinearFit& fit : solve_batch(problems.subspan(begin, end - begin))) out.push_back(std::move(fit));
    begin = end;
  }
  return out;
}

#ifdef BRAING3N_COMPILED
extern template class NewtonSolver<float, Cpu>;
extern template class NewtonSolver<double, Cpu>;
#endif

}  // namespace braing3n::inline BRAING3N_ABI
