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

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "braing3n/probe/device_newton.hpp"
#include "braing3n/probe/fit_rows.hpp"
#include "braing3n/probe/newton_state.hpp"
#include "braing3n/probe/preconditioner.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The form for a GPU is in device_newton.hpp.
template <class T>
class NewtonSolver<T, Cpu> {
 public:
  NewtonSolver(const Design<T, Cpu>& design, const SolverOptions& options = {}) : design_(&design), options_(options) {}

  /// Solves all problems; results in their order. Fits are taken in batches that bound the memory.
  /// Errors: a penalty that is not positive, a fit without training rows.
  std::vector<LinearFit> solve(std::span<const FitProblem> problems);

 private:
  using State = detail::NewtonState;
  using Wants = State::Wants;

  std::vector<LinearFit> solve_batch(std::span<const FitProblem> problems);
  void gradient_pass(const std::vector<State*>& active);
  void product_pass(const std::vector<State*>& active);
  void precondition(const std::vector<State*>& active);

  static Index outputs_of(const std::vector<State*>& active) {
    Index columns = 0;
    for (const State* s : active) columns += s->problem->outputs;
    return columns;
  }

  /// source + length * step (or source alone) of all active fits, as weights (columns, features) in the units of the design and
  /// the intercepts that go with them.
  template <class P>
  void compose(const std::vector<State*>& active, const std::vector<double> State::* source, bool stepped,
               std::vector<P>& weights, std::vector<P>& bias) const {
    const Index d = design_->features(), columns = outputs_of(active);
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

  /// Class-wise vectors into the eigenbasis of the class covariance, or back.
  void mix(const State& s, bool into, const std::vector<double>& from, std::vector<double>& to) const {
    const Index width = design_->features() + 1, k = s.problem->outputs;
    design_->context().provider().gemm_f64.run(design_->context(), {.m = k,
                                                                    .n = width,
                                                                    .k = k,
                                                                    .a = s.class_basis.data(),
                                                                    .a_row = into ? 1 : k,
                                                                    .a_col = into ? k : 1,
                                                                    .b = from.data(),
                                                                    .b_row = width,
                                                                    .c = to.data(),
                                                                    .c_row = width});
  }

  LinearFit finish(State& s) const {
    LinearFit fit = std::move(s.fit);
    const Index d = design_->features();
    fit.outputs = s.problem->outputs;
    fit.features = d;
    fit.loss = s.loss;
    fit.rows = static_cast<Index>(s.moments->rows);
    for (std::size_t j = 0; j < static_cast<std::size_t>(d); ++j) {
      fit.mean.push_back(design_->mean()[j] + design_->deviation()[j] * s.moments->mean[j]);
      fit.scale.push_back(design_->deviation()[j] * s.moments->deviation[j]);
    }
    set_size(fit.weights, fit.outputs, d);
    for (Index k = 0; k < fit.outputs; ++k) {
      const auto begin = s.w.begin() + k * (d + 1);
      std::copy_n(begin, d, row_of(fit.weights, k).data());
      fit.intercept.push_back(*(begin + d));
    }
    return fit;
  }

  const Design<T, Cpu>* design_;
  SolverOptions options_;
  std::optional<GramPreconditioner<T, Cpu>> preconditioner_;
};

// Members outside the class, so that braing3n::compiled can hold them (and all that they call) once.

template <class T>
std::vector<LinearFit> NewtonSolver<T, Cpu>::solve(std::span<const FitProblem> problems) {
  const Index most = std::clamp<Index>((Index{80} << 20) / (4 * design_->rows()), 32, 384);
  return detail::solve_in_batches(problems, most,
                                  [&](std::span<const FitProblem> batch) { return solve_batch(batch); });
}

template <class T>
std::vector<LinearFit> NewtonSolver<T, Cpu>::solve_batch(std::span<const FitProblem> problems) {
  if (!preconditioner_) preconditioner_.emplace(*design_);
  const std::vector<detail::TrainingMoments> moments =
      detail::training_moments(*design_, problems, options_.standardize);
  std::vector<State> states;
  states.reserve(problems.size());
  for (std::size_t f = 0; f < problems.size(); ++f) {
    if (!(problems[f].penalty > 0))
      fail(ErrorKind::argument, "probe.penalty", "probe: the penalty must be positive, got ", problems[f].penalty);
    if (moments[f].rows < 1) fail(ErrorKind::argument, "probe.rows", "probe: a fit has no training rows");
    states.emplace_back(problems[f], moments[f], design_->rows());
  }
  for (Wants kind; (kind = detail::next_pass(states)) != Wants::nothing;) {
    std::vector<State*> active;
    for (State& s : states)
      if (s.wants == kind) active.push_back(&s);
    if (kind == Wants::product) product_pass(active);
    else gradient_pass(active);
  }
  std::vector<LinearFit> out;
  for (State& s : states) out.push_back(finish(s));
  return out;
}

template <class T>
void NewtonSolver<T, Cpu>::gradient_pass(const std::vector<State*>& active) {
  const Index d = design_->features();
  std::vector<double> weights, bias;
  compose(active, &State::w, true, weights, bias);
  const Index columns = static_cast<Index>(bias.size());
  std::vector<std::vector<detail::LossSums>> sums(static_cast<std::size_t>(design_->chunks()));
  for (auto& chunk : sums)
    for (const State* s : active) chunk.emplace_back(static_cast<std::size_t>(s->problem->outputs));
  std::vector<double> back(weights.size());
  design_->template sweep<double>(columns, weights.data(), bias.data(), back.data(),
                                  [&](Index chunk, Index first, Index count, double* values) {
                                    Index column = 0;
                                    for (std::size_t f = 0; f < active.size(); ++f) {
                                      State& s = *active[f];
                                      for (Index r = 0; r < count; ++r)
                                        detail::residual_row(*s.problem, first + r, values + r * columns + column,
                                                             s.curvature, sums[static_cast<std::size_t>(chunk)][f]);
                                      column += s.problem->outputs;
                                    }
                                  });
  std::vector<State*> starting;
  Index column = 0;
  for (std::size_t f = 0; f < active.size(); ++f) {
    State& s = *active[f];
    detail::LossSums& total = sums[0][f];
    for (std::size_t c = 1; c < sums.size(); ++c) total.add(sums[c][f]);
    s.trial_loss = total.loss;
    for (Index k = 0; k < s.problem->outputs; ++k, ++column) {
      double* g = s.trial_g.data() + k * (d + 1);
      s.moments->to_fit_units(back.data() + column * d, total.residual[static_cast<std::size_t>(k)], g);
      for (Index j = 0; j < d; ++j) {
        const double w = s.w[static_cast<std::size_t>(k * (d + 1) + j)] +
                         s.length * s.step[static_cast<std::size_t>(k * (d + 1) + j)];
        g[j] += s.problem->penalty * w;
        s.trial_loss += 0.5 * s.problem->penalty * w * w;
      }
    }
    s.judge(total.covariance, options_);
    if (s.wants == Wants::product) starting.push_back(&s);
  }
  precondition(starting);
  for (State* s : starting) s->first_direction();
}

template <class T>
void NewtonSolver<T, Cpu>::product_pass(const std::vector<State*>& active) {
  const Index d = design_->features();
  std::vector<T> weights, bias;
  compose(active, &State::p, false, weights, bias);
  const Index columns = static_cast<Index>(bias.size());
  std::vector<std::vector<double>> sums(static_cast<std::size_t>(design_->chunks()),
                                        std::vector<double>(static_cast<std::size_t>(columns), 0.0));
  std::vector<double> back(weights.size());
  design_->template sweep<T>(
      columns, weights.data(), bias.data(), back.data(), [&](Index chunk, Index first, Index count, T* values) {
        double* sum = sums[static_cast<std::size_t>(chunk)].data();
        Index column = 0;
        for (const State* s : active) {
          for (Index r = 0; r < count; ++r)
            detail::curvature_row(*s->problem, first + r, values + r * columns + column, s->curvature, sum + column);
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
      s.moments->to_fit_units(back.data() + c * d, sums[0][static_cast<std::size_t>(c)], hp);
      for (Index j = 0; j < d; ++j) hp[j] += s.problem->penalty * s.p[static_cast<std::size_t>(k * (d + 1) + j)];
    }
    s.advance(options_);
  });
  std::vector<State*> going;
  for (State* s : active)
    if (s->wants == Wants::product) going.push_back(s);
  precondition(going);
  design_->context().parallel(static_cast<Index>(going.size()),
                              [&](Index f) { going[static_cast<std::size_t>(f)]->turn(); });
}

/// z = M^-1 r for all active fits.
template <class T>
void NewtonSolver<T, Cpu>::precondition(const std::vector<State*>& active) {
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

#ifdef BRAING3N_COMPILED
extern template class NewtonSolver<float, Cpu>;
extern template class NewtonSolver<double, Cpu>;
#endif

}  // namespace braing3n::inline BRAING3N_ABI
