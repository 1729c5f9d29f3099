// Volumes in ml of brain, grey matter, white matter and ventricles, by linear regression on tissue maps.
//
// Thresholds alone (tissue_volumes) do not separate the fluid of a ventricle from that of a sulcus beside it; position does. Every voxel
// is taken as a mixture of two neighbouring classes, whose means are those between the thresholds of this volume: shares of fluid
// against grey matter, of white against grey matter and of fluid against white matter. Their sums over blocks of 16 mm, counted from the
// head's centre, are the features; the square roots of the sizes are fitted to them by ridge regression (in its dual form, subjects
// x subjects), one penalty for each region, chosen by five folds over the subjects of the fit.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>
#include <vector>

#include "braing3n/eval/tissue_volumes.hpp"
#include "braing3n/linalg/llt.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Blocks of 16 mm along each axis of the contract's grid.
inline Extent3 tissue_block_grid(const PreprocessingContract& contract) {
  Extent3 blocks{};
  for (std::size_t a = 0; a < 3; ++a)
    blocks[a] = std::max<Index>(
        1, static_cast<Index>(static_cast<double>(contract.shape[a]) / (16.0 / contract.spacing[a]) + 0.5));
  return blocks;
}

/// volume (X, Y, Z) on the contract's grid -> ml in each block, (3, X', Y', Z') in one row. Throws Error: shape, argument (nothing inside
/// the mask, every voxel the same).
inline std::vector<double> tissue_blocks(const Tensor<float, Cpu>& volume, VoxelMask mask,
                                         const PreprocessingContract& contract) {
  const Extent3 n = contract.shape;
  detail::require_tissue_mask("tissue blocks", volume, mask, n);
  const TissueThresholds thresholds = tissue_thresholds(volume, mask);
  std::array<double, 3> mean{}, count{}, centre{};
  detail::for_each_inside(volume, mask, n, [&](float value, const std::array<Index, 3>& p) {
    const double v = static_cast<double>(value);
    const std::size_t c = v < static_cast<double>(thresholds.fluid)  ? 0
                          : v < static_cast<double>(thresholds.grey) ? 1
                                                                     : 2;
    mean[c] += v, count[c] += 1;
    for (std::size_t a = 0; a < 3; ++a) centre[a] += static_cast<double>(p[a]);
  });
  const double inside = count[0] + count[1] + count[2];
  for (std::size_t c = 0; c < 3; ++c) mean[c] /= std::max(1.0, count[c]), centre[c] /= inside;
  const auto share = [](double v, double none, double all) { return std::clamp((v - none) / (all - none), 0.0, 1.0); };

  std::array<double, 3> block{};
  for (std::size_t a = 0; a < 3; ++a) block[a] = 16.0 / contract.spacing[a];
  const Extent3 blocks = tissue_block_grid(contract);
  const double ml = contract.spacing[0] * contract.spacing[1] * contract.spacing[2] / 1000.0;
  const auto size = static_cast<std::size_t>(blocks[0] * blocks[1] * blocks[2]);
  std::vector<double> out(3 * size, 0.0);
  detail::for_each_inside(volume, mask, n, [&](float value, const std::array<Index, 3>& p) {
    const double v = static_cast<double>(value);
    std::size_t at = 0;
    for (std::size_t a = 0; a < 3; ++a) {
      const double q =
          std::floor((static_cast<double>(p[a]) - centre[a]) / block[a] + 0.5 * static_cast<double>(blocks[a]));
      if (q < 0 || q >= static_cast<double>(blocks[a])) return;  // further out than any brain
      at = at * static_cast<std::size_t>(blocks[a]) + static_cast<std::size_t>(q);
    }
    out[at] += ml * share(v, mean[1], mean[0]);
    out[size + at] += ml * share(v, mean[1], mean[2]);
    out[2 * size + at] += ml * share(v, mean[2], mean[0]);
  });
  return out;
}

/// Fitted on volumes whose truth is known. It is valid for volumes of the same kind: fitted on scans, it is biased on reconstructions,
/// which are smoother.
class RegionRegressor {
 public:
  /// blocks: of tissue_blocks, of one contract throughout. Throws Error (shape).
  void add(std::vector<double> blocks, const TissueVolumes& truth) {
    if (!rows_.empty() && blocks.size() != rows_[0].size())
      fail(ErrorKind::shape, "regions.blocks", "region regressor: ", blocks.size(), " values, the volumes before had ",
           rows_[0].size());
    rows_.push_back(std::move(blocks));
    truth_.push_back(truth);
  }
  Index size() const { return static_cast<Index>(rows_.size()); }

  /// Throws Error (state) with fewer than 10 volumes.
  template <std::same_as<Cpu> B>
  void fit(Context<B>& ctx) {
    const Index n = size();
    if (n < 10)
      fail(ErrorKind::state, "regions.few", "region regressor: ", n, " volumes with known sizes, expected at least 10");
    mean_.assign(rows_[0].size(), 0.0);
    for (const std::vector<double>& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) mean_[i] += row[i] / static_cast<double>(n);
    for (std::vector<double>& row : rows_)
      for (std::size_t i = 0; i < row.size(); ++i) row[i] -= mean_[i];
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
    double trace = 0;
    for (Index i = 0; i < n; ++i) trace += kernel_[static_cast<std::size_t>(i * n + i)];
    if (!(trace > 0)) fail(ErrorKind::argument, "regions.equal", "region regressor: all volumes have the same tissue");

    std::vector<Index> all(rows_.size());
    std::iota(all.begin(), all.end(), Index{0});
    std::array<double, regions> best{}, penalty{};
    best.fill(std::numeric_limits<double>::infinity());
    held_out_.assign(rows_.size(), {});
    std::vector<TissueVolumes> read(rows_.size());
    for (int step = -12; step <= 2; ++step) {
      const double candidate = trace / static_cast<double>(n) * std::pow(10.0, 0.5 * step);
      std::array<double, regions> error{};
      for (Index fold = 0; fold < 5; ++fold) {
        std::vector<Index> learn, test;
        for (Index i = 0; i < n; ++i) (i % 5 == fold ? test : learn).push_back(i);
        const Weights w = solve(ctx, learn, candidate);
        for (const Index t : test)
          for (std::size_t r = 0; r < regions; ++r) {
            double root = w.intercept[r];
            for (std::size_t i = 0; i < learn.size(); ++i)
              root += w.coefficients[r * learn.size() + i] * kernel_[static_cast<std::size_t>(t * n + learn[i])];
            error[r] += std::pow(root - std::sqrt(truth_[static_cast<std::size_t>(t)][r]), 2);
            read[static_cast<std::size_t>(t)][r] = squared(root);
          }
      }
      for (std::size_t r = 0; r < regions; ++r) {
        if (error[r] >= best[r]) continue;
        best[r] = error[r], penalty[r] = candidate;
        for (std::size_t i = 0; i < read.size(); ++i) held_out_[i][r] = read[i][r];
      }
    }
    for (std::size_t r = 0; r < regions; ++r) {
      const Weights w = solve(ctx, all, penalty[r]);
      intercept_[r] = w.intercept[r];
      coefficients_[r].assign(mean_.size(), 0.0);
      for (std::size_t i = 0; i < rows_.size(); ++i)
        for (std::size_t k = 0; k < mean_.size(); ++k)
          coefficients_[r][k] += w.coefficients[r * rows_.size() + i] * rows_[i][k];
    }
  }

  /// Sizes in ml, in the order of tissue_names. Throws Error: state (not fitted), shape.
  TissueVolumes operator()(const std::vector<double>& blocks) const {
    if (coefficients_[0].empty()) fail(ErrorKind::state, "regions.fitted", "region regressor: fit() comes first");
    if (blocks.size() != mean_.size())
      fail(ErrorKind::shape, "regions.blocks", "region regressor: ", blocks.size(), " values, it was fitted on ",
           mean_.size());
    TissueVolumes out{};
    for (std::size_t r = 0; r < regions; ++r) {
      double root = intercept_[r];
      for (std::size_t k = 0; k < blocks.size(); ++k) root += coefficients_[r][k] * (blocks[k] - mean_[k]);
      out[r] = squared(root);
    }
    return out;
  }

  /// Out-of-fold predictions for the volumes, in the order of add(): they show the error on other volumes.
  const std::vector<TissueVolumes>& held_out() const { return held_out_; }
  const std::vector<TissueVolumes>& truth() const { return truth_; }

 private:
  static double squared(double root) { return std::max(0.0, root) * std::max(0.0, root); }

  static constexpr std::size_t regions = std::tuple_size_v<TissueVolumes>;
  struct Weights {
    std::array<double, regions> intercept{};
    std::vector<double> coefficients;  // (regions, subjects)
  };

  template <std::same_as<Cpu> B>
  Weights solve(Context<B>& ctx, const std::vector<Index>& subjects, double penalty) const {
    const Index m = static_cast<Index>(subjects.size()), n = size();
    Weights w;
    w.coefficients.resize(regions * subjects.size());
    std::vector<double> part(subjects.size() * subjects.size());
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j <= i; ++j)
        part[static_cast<std::size_t>(i * m + j)] = kernel_[static_cast<std::size_t>(
            subjects[static_cast<std::size_t>(i)] * n + subjects[static_cast<std::size_t>(j)])];
    for (std::size_t r = 0; r < regions; ++r) {
      for (const Index i : subjects)
        w.intercept[r] += std::sqrt(truth_[static_cast<std::size_t>(i)][r]) / static_cast<double>(m);
      for (Index i = 0; i < m; ++i)
        w.coefficients[r * subjects.size() + static_cast<std::size_t>(i)] =
            std::sqrt(truth_[static_cast<std::size_t>(subjects[static_cast<std::size_t>(i)])][r]) - w.intercept[r];
    }
    llt_solve<double>(llt<double>(ctx, part, m, {.shift = penalty}), w.coefficients);
    return w;
  }

  std::vector<std::vector<double>> rows_;
  std::vector<TissueVolumes> truth_, held_out_;
  std::vector<double> mean_, kernel_;
  TissueVolumes intercept_{};
  std::array<std::vector<double>, regions> coefficients_;  // (regions, blocks)
};

}  // namespace braing3n::inline BRAING3N_ABI
