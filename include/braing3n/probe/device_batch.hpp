// A batch of fits on a GPU: their vectors, and the passes that the solver (device_newton.hpp) asks for.
#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/probe/device_preconditioner.hpp"
#include "braing3n/probe/device_problems.hpp"
#include "braing3n/probe/device_vectors.hpp"
#include "braing3n/probe/newton_state.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// What the host learns from a pass, per active fit.
struct GradientPass {
  std::vector<double> loss, largest;  // at the trial point; largest: max|g|
  std::vector<std::vector<double>> covariance;
};
struct ProductPass {
  std::vector<double> residual, slope;
  std::vector<char> usable;
};

inline double worse_of(double a, double b) { return b > a || b != b ? b : a; }

template <class T, Backend B>
class DeviceBatch {
 public:
  DeviceBatch(const Design<T, B>& design, std::span<const FitProblem> problems, bool standardize)
      : design_(&design), context_(&design.context()), problems_(*context_, problems, design.rows()),
        count_(std::ssize(problems)), columns_(problems_.columns()), width_(design.width()),
        moments_(*context_, {2, count_, width_}), vectors_(*context_, {7, columns_, width_}),
        products_(*context_, {2, columns_}), weights_(*context_, {columns_, width_}),
        values_(*context_, {design.padded_rows(), columns_}), back_(*context_, {design.chunks(), columns_, width_}),
        loss_(*context_, {design.rows(), count_}), curvature_(*context_, {design.rows(), columns_}),
        spectrum_(problems.size()), basis_(problems.size()) {
    measure(standardize);
    std::vector<std::int32_t> all;
    for (Index f = 0; f < count_; ++f) all.push_back(static_cast<std::int32_t>(f));
    const auto column = place(columns_of(all));
    map_rows(*context_, columns_, width_,
             StartVectors{column.data(), problems_.rows().problem, vector(0), vector(1), design.features(), width_});
  }

  std::vector<ActiveColumn> columns_of(const std::vector<std::int32_t>& active) const {
    std::vector<ActiveColumn> out;
    for (const std::int32_t f : active) {
      const PlacedProblem& p = problems_.placed()[static_cast<std::size_t>(f)];
      const auto first = static_cast<std::int32_t>(out.size());
      for (Index k = 0; k < p.outputs; ++k)
        out.push_back({static_cast<std::int32_t>(p.column + k), f, first, static_cast<std::int32_t>(p.outputs)});
    }
    return out;
  }

  /// Losses and gradients at w + length * step. The host reads once.
  GradientPass gradient(const std::vector<std::int32_t>& active, const std::vector<ActiveColumn>& columns) {
    const Index fits = std::ssize(active), width = std::ssize(columns), n = design_->rows();
    const auto placed = place(columns);
    const auto fit = place_fits(active, columns);
    const std::vector<RowSum> asked = row_sums_of(columns);
    const auto sums = Tensor<RowSum, B>::from_host(*context_, {std::ssize(asked)}, asked);
    const FitVectors v = vectors(placed);
    const ComposeWeights<double> compose{v, v.w, true, weights_.data()};
    row_sums(*context_, width, width_, compose, compose);
    design_->template values<double>(width, weights_.data(), values_.data());
    map_rows(*context_, n, fits,
             ResidualRows{problems_.rows(), fit.data(), values_.data(), loss_.data(), curvature_.data(),
                          problems_.held_out_values(), width, fits, columns_});
    const Index count = std::ssize(asked);
    Tensor<double, B> learned(*context_, {count + 2 * width});
    column_sums(*context_, 1, n, count,
                LossAndCovariance{problems_.rows(), sums.data(), loss_.data(), values_.data(), curvature_.data(), fits,
                                  width, columns_},
                StoreSum{learned.data()});
    design_->template back<double>(width, values_.data(), back_.data());
    row_sums(*context_, width, width_, TrialGradient{{v, back_.data(), design_->chunks(), width}},
             StoreAt{learned.data() + count});
    row_max(*context_, width, width_, SizeOfTrial{v}, StoreAt{learned.data() + count + width});
    return sort_out(active, columns, learned.to_host(), count);
  }

  /// Takes the steps that were accepted and sets up the next systems.
  void settle(const std::vector<ActiveColumn>& columns) {
    if (columns.empty()) return;
    const auto placed = place(columns);
    map_rows(*context_, std::ssize(columns), width_, SettleStep{vectors(placed)});
  }
  void set_spectrum(std::int32_t fit, const std::vector<double>& covariance) {
    const auto f = static_cast<std::size_t>(fit);
    const Index outputs = problems_.placed()[f].outputs;
    if (outputs == 1) spectrum_[f] = {covariance[0]};
    else decompose_classes<double>(covariance, outputs, basis_[f], spectrum_[f]);
  }

  /// One step of the conjugate gradients along p. The host reads once.
  ProductPass product(const std::vector<std::int32_t>& active, const std::vector<ActiveColumn>& columns) {
    const Index fits = std::ssize(active), width = std::ssize(columns), n = design_->rows();
    const auto placed = place(columns);
    const auto fit = place_fits(active, columns);
    const FitVectors v = vectors(placed);
    // Buffers of doubles hold T as well.
    T* const weights = reinterpret_cast<T*>(weights_.data());
    T* const values = reinterpret_cast<T*>(values_.data());
    T* const back = reinterpret_cast<T*>(back_.data());
    const ComposeWeights<T> compose{v, v.p, false, weights};
    row_sums(*context_, width, width_, compose, compose);
    design_->template values<T>(width, weights, values);
    map_rows(*context_, n, fits,
             CurvatureRows<T>{problems_.rows(), fit.data(), values, curvature_.data(), width, columns_});
    design_->template back<T>(width, values, back);
    Tensor<double, B> learned(*context_, {3 * width});
    double* const curved = learned.data();
    row_sums(*context_, width, width_, HessianProduct<T>{{v, back, design_->chunks(), width}}, StoreAt{curved});
    row_max(*context_, width, width_, AdvanceStep{v, curved}, StoreAt{curved + width});
    row_sums(*context_, width, width_, SlopeOfStep{v}, StoreAt{curved + 2 * width});
    const std::vector<double> read = learned.to_host();
    ProductPass out;
    for (std::size_t f = 0, c = 0; f < active.size(); ++f) {
      const Index outputs = columns[c].outputs;
      out.usable.push_back(usable_curvature(sum_of_outputs(read.data() + c, outputs)));
      double residual = 0;
      for (Index k = 0; k < outputs; ++k) residual = worse_of(residual, read[static_cast<std::size_t>(width + k) + c]);
      out.residual.push_back(residual);
      out.slope.push_back(sum_of_outputs(read.data() + 2 * width + static_cast<Index>(c), outputs));
      c += static_cast<std::size_t>(outputs);
    }
    return out;
  }

  /// The next directions, from the preconditioned residuals.
  void turn(GramPreconditioner<T, B>& preconditioner, const std::vector<std::int32_t>& active,
            const std::vector<ActiveColumn>& columns) {
    const auto placed = place(columns);
    const FitVectors v = vectors(placed);
    std::vector<MixedColumn> list;
    std::vector<double> basis;
    for (const std::int32_t a : active) {
      const auto f = static_cast<std::size_t>(a);
      const PlacedProblem& p = problems_.placed()[f];
      const auto first = static_cast<std::int32_t>(list.size());
      for (Index k = 0; k < p.outputs; ++k)
        list.push_back({static_cast<std::int32_t>(p.column + k), first, static_cast<std::int32_t>(p.outputs), 0,
                        std::ssize(basis), spectrum_[f][static_cast<std::size_t>(k)], p.penalty, false});
      basis.insert(basis.end(), basis_[f].begin(), basis_[f].end());
    }
    Tensor<double, B> z(*context_, {std::ssize(columns), width_});
    preconditioner.apply(std::move(list), basis, v.r, z.data(), v.next_rz);
    map_rows(*context_, std::ssize(columns), width_, TurnDirection{v, z.data()});
  }

  /// Weights, intercepts, means and scales of the fits, and predictions of held-out rows. The host reads three times at most.
  void read(std::span<const FitProblem> problems, std::vector<LinearFit>& fits) const {
    const Index d = design_->features();
    const std::vector<double> w = vectors_.slice(0, 1).to_host(), moments = moments_.to_host();
    for (std::size_t f = 0; f < fits.size(); ++f) {
      const PlacedProblem& p = problems_.placed()[f];
      LinearFit& fit = fits[f];
      fit.outputs = p.outputs;
      fit.features = d;
      fit.rows = static_cast<Index>(p.rows);
      const double *mean = moments.data() + static_cast<Index>(f) * width_, *deviation = mean + count_ * width_;
      for (Index j = 0; j < d; ++j) {
        const auto s = static_cast<std::size_t>(j);
        fit.mean.push_back(design_->mean()[s] + design_->deviation()[s] * mean[j]);
        fit.scale.push_back(design_->deviation()[s] * deviation[j]);
      }
      set_size(fit.weights, fit.outputs, d);
      for (Index k = 0; k < fit.outputs; ++k) {
        const double* const row = w.data() + (p.column + k) * width_;
        std::copy_n(row, d, row_of(fit.weights, k).data());
        fit.intercept.push_back(row[d]);
      }
    }
    problems_.read_held_out(problems);
  }

 private:
  double* vector(Index which) { return vectors_.data() + which * columns_ * width_; }
  FitVectors vectors(const Tensor<ActiveColumn, B>& active) {
    return {active.data(),
            problems_.rows().problem,
            moments_.data(),
            moments_.data() + count_ * width_,
            vector(0),
            vector(1),
            vector(2),
            vector(3),
            vector(4),
            vector(5),
            vector(6),
            products_.data(),
            products_.data() + columns_,
            design_->features(),
            width_};
  }
  Tensor<ActiveColumn, B> place(const std::vector<ActiveColumn>& columns) {
    return Tensor<ActiveColumn, B>::from_host(*context_, {std::ssize(columns)}, columns);
  }
  Tensor<ActiveFit, B> place_fits(const std::vector<std::int32_t>& active, const std::vector<ActiveColumn>& columns) {
    std::vector<ActiveFit> fits;
    for (std::size_t c = 0; c < columns.size(); c += static_cast<std::size_t>(columns[c].outputs))
      fits.push_back({columns[c].problem, columns[c].first});
    return Tensor<ActiveFit, B>::from_host(*context_, {std::ssize(active)}, fits);
  }

  /// Losses of all active fits, then their class covariances.
  static std::vector<RowSum> row_sums_of(const std::vector<ActiveColumn>& columns) {
    std::vector<RowSum> out;
    for (std::size_t c = 0; c < columns.size(); c += static_cast<std::size_t>(columns[c].outputs))
      out.push_back({static_cast<std::int32_t>(out.size()), columns[c].problem, columns[c].first, -1, -1});
    const std::size_t fits = out.size();
    for (std::size_t f = 0; f < fits; ++f) {
      const std::int32_t outputs = columns[static_cast<std::size_t>(out[f].first)].outputs;
      for (std::int32_t k = 0; k < outputs; ++k)
        for (std::int32_t l = 0; l < outputs; ++l) out.push_back({out[f].fit, out[f].problem, out[f].first, k, l});
    }
    return out;
  }

  GradientPass sort_out(const std::vector<std::int32_t>& active, const std::vector<ActiveColumn>& columns,
                        const std::vector<double>& read, Index sums) const {
    GradientPass out;
    const double *penalty = read.data() + sums, *largest = penalty + columns.size();
    auto covariance = read.begin() + std::ssize(active);
    for (std::size_t f = 0, c = 0; f < active.size(); ++f) {
      const Index outputs = columns[c].outputs;
      double loss = read[f], most = 0;
      for (Index k = 0; k < outputs; ++k, ++c) {
        loss += penalty[c];
        most = worse_of(most, largest[c]);
      }
      out.loss.push_back(loss);
      out.largest.push_back(most);
      out.covariance.emplace_back(covariance, covariance + outputs * outputs);
      covariance += outputs * outputs;
    }
    return out;
  }

  /// Mean and deviation of the training rows of each fit.
  void measure(bool standardize) {
    const Index step = design_->padded_rows() / design_->chunks(), size = step * width_;
    Tensor<double, B> mask(*context_, {design_->padded_rows(), count_}),
        sums(*context_, {design_->chunks(), count_, width_}), squares(*context_, {count_, width_});
    map_rows(*context_, design_->padded_rows(), count_,
             TrainingMask{problems_.rows(), mask.data(), design_->rows(), count_});
    design_->template back<double>(count_, mask.data(), sums.data());
    if (standardize) {
      Tensor<double, B> squared(*context_, {step, width_});
      for (Index s = 0; s < design_->chunks(); ++s) {
        map(*context_, size, SquareOf{design_->template data<double>() + s * size, squared.data()});
        GemmCall<double> call;
        call.m = count_, call.n = width_, call.k = step;
        call.a = mask.data() + s * step * count_, call.a_row = 1, call.a_col = count_;
        call.b = squared.data(), call.b_row = width_;
        call.c = squares.data(), call.c_row = width_;
        call.accumulate = s > 0;
        ProductKernel<B>::run(*context_, call);
      }
    }
    map_rows(*context_, count_, width_,
             FitMoments{problems_.rows().problem, sums.data(), squares.data(), moments_.data(),
                        moments_.data() + count_ * width_, design_->chunks(), count_, design_->features(), width_,
                        standardize});
  }

  const Design<T, B>* design_;
  Context<B>* context_;
  DeviceProblems<B> problems_;
  Index count_, columns_, width_;
  Tensor<double, B> moments_;   // (2, problems, width): means and deviations
  Tensor<double, B> vectors_;   // w, step, g, trial, r, p, hp
  Tensor<double, B> products_;  // r z before and after
  Tensor<double, B> weights_, values_, back_, loss_;
  Tensor<float, B> curvature_;
  std::vector<std::vector<double>> spectrum_, basis_;
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
