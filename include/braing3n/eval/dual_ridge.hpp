// Ridge regressions of several targets on one set of features, solved through the rows: for many more features than rows.
//
// With centred features X (n, d) and the kernel K = X X^T, a penalty p gives coefficients a = (K + p)^-1 (y - mean y) of the rows and weights
// X^T a of the features. Every target has the penalty, of a grid of fifteen over seven decades, with the least squared error on held-out folds.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/linalg/llt.hpp"

namespace braing3n::inline BRAING3N_ABI {

class DualRidge {
 public:
  /// Throws Error (shape) for another number of features than before.
  void add(std::vector<double> features) {
    if (!rows_.empty() && features.size() != rows_[0].size())
      fail(ErrorKind::shape, "dual_ridge.features", "dual ridge: ", features.size(), " values, the rows before had ",
           rows_[0].size());
    rows_.push_back(std::move(features));
  }
  Index size() const { return static_cast<Index>(rows_.size()); }
  Index features() const { return rows_.empty() ? 0 : static_cast<Index>(rows_[0].size()); }

  /// Once, after all rows. targets[q] (n); fold (n), from 0: rows that are held out together. Throws Error: shape (lengths), argument (fewer than two folds, rows
  /// that are all the same).
  template <std::same_as<Cpu> B>
  void fit(Context<B>& ctx, const std::vector<std::vector<double>>& targets, const std::vector<Index>& fold) {
    check(targets, fold);
    centre();
    fill_kernel(ctx);
    const Index n = size();
    double trace = 0;
    for (Index i = 0; i < n; ++i) trace += kernel_[static_cast<std::size_t>(i * n + i)];
    // Rounding of the mean may leave rows that are all the same a little off it.
    const bool equal = std::all_of(rows_.begin(), rows_.end(), [&](const auto& row) { return row == rows_[0]; });
    if (equal || !(trace > 0))
      fail(ErrorKind::argument, "dual_ridge.equal", "dual ridge: all rows have the same features");
    const std::vector<double> penalty = choose(ctx, targets, fold, trace / static_cast<double>(n));
    std::vector<Index> all(rows_.size());
    std::iota(all.begin(), all.end(), Index{0});
    intercept_.clear(), weights_.clear();
    for (std::size_t q = 0; q < targets.size(); ++q) {
      const Solution s = solve(ctx, {targets[q]}, all, penalty[q]);
      intercept_.push_back(s.intercept[0]);
      std::vector<double>& w = weights_.emplace_back(mean_.size(), 0.0);
      for (std::size_t i = 0; i < rows_.size(); ++i)
        for (std::size_t k = 0; k < w.size(); ++k) w[k] += s.coefficients[i] * rows_[i][k];
    }
  }
  bool fitted() const { return !weights_.empty(); }

  /// Target q of a row (d). Throws Error: state (not fitted), shape.
  double operator()(std::size_t q, std::span<const double> features) const {
    if (!fitted()) fail(ErrorKind::state, "dual_ridge.fitted", "dual ridge: fit() comes first");
    if (features.size() != mean_.size())
      fail(ErrorKind::shape, "dual_ridge.features", "dual ridge: ", features.size(), " values, it was fitted on ",
           mean_.size());
    double value = intercept_.at(q);
    for (std::size_t k = 0; k < features.size(); ++k) value += weights_[q][k] * (features[k] - mean_[k]);
    return value;
  }

  /// What a prediction consists of: intercept(q) + weights(q) (x - mean()). After fit().
  double intercept(std::size_t q) const { return intercept_.at(q); }
  const std::vector<double>& weights(std::size_t q) const { return weights_.at(q); }  // (d)
  const std::vector<double>& mean() const { return mean_; }                           // (d)

  /// Predictions of target q for every row by fits without its fold.
  const std::vector<double>& held_out(std::size_t q) const { return held_out_.at(q); }

 private:
  struct Solution {
    std::vector<double> intercept;     // (targets)
    std::vector<double> coefficients;  // (targets, rows)
  };

  void check(const std::vector<std::vector<double>>& targets, const std::vector<Index>& fold) const {
    for (const std::vector<double>& y : targets)
      if (y.size() != rows_.size())
        fail(ErrorKind::shape, "dual_ridge.targets", "dual ridge: ", y.size(), " targets for ", rows_.size(), " rows");
    if (fold.size() != rows_.size())
      fail(ErrorKind::shape, "dual_ridge.folds", "dual ridge: ", fold.size(), " folds for ", rows_.size(), " rows");
    Index first = fold.empty() ? 0 : fold[0];
    for (const Index f : fold)
      if (f != first) return;
    fail(ErrorKind::argument, "dual_ridge.folds", "dual ridge: expected rows in at least two folds, got ",
         fold.empty() ? 0 : 1);
  }

  void centre() {
    mean_.assign(rows_[0].size(), 0.0);
    for (const std::vector<double>& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) mean_[i] += row[i] / static_cast<double>(size());
    for (std::vector<double>& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) row[i] -= mean_[i];
  }

  void fill_kernel(Context<Cpu>& ctx) {
    const Index n = size();
    kernel_.resize(static_cast<std::size_t>(n * n));
    ctx.parallel_range(n, 8, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i)
        for (Index j = 0; j <= i; ++j) {
          const std::vector<double>&a = rows_[static_cast<std::size_t>(i)], &b = rows_[static_cast<std::size_t>(j)];
          double sum = 0;
          for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
          kernel_[static_cast<std::size_t>(i * n + j)] = kernel_[static_cast<std::size_t>(j * n + i)] = sum;
        }
    });
  }

  /// The best penalty of every target; fills held_out_.
  template <std::same_as<Cpu> B>
  std::vector<double> choose(Context<B>& ctx, const std::vector<std::vector<double>>& targets,
                             const std::vector<Index>& fold, double scale) {
    const Index n = size(), folds = *std::max_element(fold.begin(), fold.end()) + 1;
    std::vector<double> best(targets.size(), std::numeric_limits<double>::infinity()), penalty(targets.size(), 0.0);
    held_out_.assign(targets.size(), std::vector<double>(rows_.size()));
    std::vector<std::vector<double>> read = held_out_;
    for (int step = -12; step <= 2; ++step) {
      const double candidate = scale * std::pow(10.0, 0.5 * step);
      std::vector<double> error(targets.size(), 0.0);
      for (Index f = 0; f < folds; ++f) {
        std::vector<Index> learn, test;
        for (Index i = 0; i < n; ++i) (fold[static_cast<std::size_t>(i)] == f ? test : learn).push_back(i);
        const Solution s = solve(ctx, targets, learn, candidate);
        for (const Index t : test)
          for (std::size_t q = 0; q < targets.size(); ++q) {
            double value = s.intercept[q];
            for (std::size_t i = 0; i < learn.size(); ++i)
              value += s.coefficients[q * learn.size() + i] * kernel_[static_cast<std::size_t>(t * n + learn[i])];
            error[q] += std::pow(value - targets[q][static_cast<std::size_t>(t)], 2);
            read[q][static_cast<std::size_t>(t)] = value;
          }
      }
      for (std::size_t q = 0; q < targets.size(); ++q)
        if (error[q] < best[q]) best[q] = error[q], penalty[q] = candidate, held_out_[q] = read[q];
    }
    return penalty;
  }

  template <std::same_as<Cpu> B>
  Solution solve(Context<B>& ctx, const std::vector<std::vector<double>>& targets, const std::vector<Index>& rows,
                 double penalty) const {
    const Index m = static_cast<Index>(rows.size()), n = size();
    Solution s{std::vector<double>(targets.size(), 0.0), std::vector<double>(targets.size() * rows.size())};
    std::vector<double> part(rows.size() * rows.size());
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j <= i; ++j)
        part[static_cast<std::size_t>(i * m + j)] = kernel_[static_cast<std::size_t>(
            rows[static_cast<std::size_t>(i)] * n + rows[static_cast<std::size_t>(j)])];
    for (std::size_t q = 0; q < targets.size(); ++q) {
      for (const Index i : rows) s.intercept[q] += targets[q][static_cast<std::size_t>(i)] / static_cast<double>(m);
      for (std::size_t i = 0; i < rows.size(); ++i)
        s.coefficients[q * rows.size() + i] = targets[q][static_cast<std::size_t>(rows[i])] - s.intercept[q];
    }
    llt_solve<double>(llt<double>(ctx, part, m, {.shift = penalty}), s.coefficients);
    return s;
  }

  std::vector<std::vector<double>> rows_;
  std::vector<double> mean_, kernel_, intercept_;
  std::vector<std::vector<double>> weights_, held_out_;  // (targets, features), (targets, rows)
};

}  // namespace braing3n::inline BRAING3N_ABI
