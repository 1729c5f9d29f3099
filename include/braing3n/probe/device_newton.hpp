// The solver of newton.hpp on a GPU: the same Newton steps and conjugate gradients, with all vectors of all fits where the products are.
//
// Labels, targets, folds and weights of a batch of fits are uploaded once. A pass is two products and some launches, whatever the number of
// fits; the host reads once per pass what it decides by (losses, largest gradients, class covariances; curvatures, residuals, slopes), and
// once at the end what the fits are. All sums have an order fixed by shapes.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/probe/device_batch.hpp"
#include "braing3n/probe/device_preconditioner.hpp"
#include "braing3n/probe/newton_state.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T, Backend B>
class NewtonSolver {
 public:
  NewtonSolver(const Design<T, B>& design, const SolverOptions& options = {}) : design_(&design), options_(options) {}

  /// As on the CPU.
  std::vector<LinearFit> solve(std::span<const FitProblem> problems) {
    const Index most = std::clamp<Index>((Index{512} << 20) / (32 * design_->padded_rows()), 32, 512);
    return detail::solve_in_batches(problems, most,
                                    [&](std::span<const FitProblem> batch) { return solve_batch(batch); });
  }

 private:
  using Control = detail::NewtonControl;
  using Wants = Control::Wants;

  std::vector<LinearFit> solve_batch(std::span<const FitProblem> problems) {
    detail::DeviceBatch<T, B> batch(*design_, problems, options_.standardize);
    if (!preconditioner_) preconditioner_.emplace(*design_);
    std::vector<Control> fits(problems.size());
    for (std::size_t f = 0; f < fits.size(); ++f) fits[f].problem = &problems[f];
    for (Wants kind; (kind = detail::next_pass(fits)) != Wants::nothing;) {
      std::vector<std::int32_t> active;
      for (std::size_t f = 0; f < fits.size(); ++f)
        if (fits[f].wants == kind) active.push_back(static_cast<std::int32_t>(f));
      if (kind == Wants::product) product_pass(batch, fits, active);
      else gradient_pass(batch, fits, active);
    }
    std::vector<LinearFit> out;
    for (Control& s : fits) {
      s.fit.loss = s.loss;
      out.push_back(std::move(s.fit));
    }
    batch.read(problems, out);
    return out;
  }

  void gradient_pass(detail::DeviceBatch<T, B>& batch, std::vector<Control>& fits,
                     const std::vector<std::int32_t>& active) {
    std::vector<detail::ActiveColumn> columns = batch.columns_of(active);
    for (detail::ActiveColumn& c : columns) c.length = fits[static_cast<std::size_t>(c.problem)].length;
    const detail::GradientPass read = batch.gradient(active, columns);
    std::vector<std::int32_t> starting;
    std::vector<detail::ActiveColumn> accepted;
    for (std::size_t f = 0, c = 0; f < active.size(); ++f) {
      Control& s = fits[static_cast<std::size_t>(active[f])];
      const auto own = std::span(columns).subspan(c, static_cast<std::size_t>(s.problem->outputs));
      c += own.size();
      s.trial_loss = read.loss[f];
      if (!s.accept()) continue;
      accepted.insert(accepted.end(), own.begin(), own.end());
      if (!s.settle(read.largest[f], options_)) continue;
      batch.set_spectrum(active[f], read.covariance[f]);
      starting.push_back(active[f]);
    }
    batch.settle(accepted);
    turn(batch, starting, true);
  }

  void product_pass(detail::DeviceBatch<T, B>& batch, std::vector<Control>& fits,
                    const std::vector<std::int32_t>& active) {
    std::vector<detail::ActiveColumn> columns = batch.columns_of(active);
    for (detail::ActiveColumn& c : columns) c.starts = fits[static_cast<std::size_t>(c.problem)].inner == 0;
    const detail::ProductPass read = batch.product(active, columns);
    std::vector<std::int32_t> going;
    for (std::size_t f = 0; f < active.size(); ++f) {
      Control& s = fits[static_cast<std::size_t>(active[f])];
      if (s.goes_on(read.usable[f], read.residual[f], options_)) going.push_back(active[f]);
      else s.slope = read.slope[f];
    }
    turn(batch, going, false);
  }

  /// z = M^-1 r and the next direction of these fits.
  void turn(detail::DeviceBatch<T, B>& batch, const std::vector<std::int32_t>& active, bool first) {
    if (active.empty()) return;
    std::vector<detail::ActiveColumn> columns = batch.columns_of(active);
    for (detail::ActiveColumn& c : columns) c.starts = first;
    batch.turn(*preconditioner_, active, columns);
  }

  const Design<T, B>* design_;
  SolverOptions options_;
  std::optional<GramPreconditioner<T, B>> preconditioner_;
};

}  // namespace braing3n::inline BRAING3N_ABI
