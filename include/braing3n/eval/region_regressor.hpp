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
#include <tuple>
#include <utility>
#include <vector>

#include "braing3n/eval/dual_ridge.hpp"
#include "braing3n/eval/tissue_volumes.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Blocks of 16 mm along each axis of the contract's grid.
inline Extent3 tissue_block_grid(const PreprocessingContract& contract) {
  Extent3 blocks{};
  for (std::size_t a = 0; a < 3; ++a)
    blocks[a] = std::max<Index>(
        1, static_cast<Index>(static_cast<double>(contract.shape[a]) / (16.0 / contract.spacing[a]) + 0.5));
  return blocks;
}

/// sharp: a voxel belongs to the block that holds its centre. soft: it is shared between the nearest blocks in proportion to its distance from
/// their middles, so that sums change smoothly where the brain's centre moves by less than a voxel; for changes between two scans.
enum class BlockEdges { sharp, soft };

namespace detail {

/// Adds `amounts` to the blocks around a place in blocks along each axis; out (3, blocks). What lies outside all blocks is left out.
inline void add_to_blocks(const std::array<double, 3>& place, const std::array<double, 3>& amounts,
                          const Extent3& blocks, BlockEdges edges, std::vector<double>& out) {
  const std::size_t size = out.size() / 3;
  const double shift = edges == BlockEdges::soft ? 0.5 : 0.0;
  const int corners = edges == BlockEdges::soft ? 8 : 1;
  for (int corner = 0; corner < corners; ++corner) {
    double weight = 1;
    std::size_t at = 0;
    for (std::size_t a = 0; a < 3 && weight > 0; ++a) {
      const double low = std::floor(place[a] - shift), above = place[a] - shift - low;
      const bool upper = (corner >> a & 1) != 0;
      const double q = upper ? low + 1 : low;
      if (edges == BlockEdges::soft) weight *= upper ? above : 1 - above;
      if (q < 0 || q >= static_cast<double>(blocks[a])) weight = 0;
      else at = at * static_cast<std::size_t>(blocks[a]) + static_cast<std::size_t>(q);
    }
    if (weight > 0)
      for (std::size_t c = 0; c < 3; ++c) out[c * size + at] += weight * amounts[c];
  }
}

}  // namespace detail

/// volume (X, Y, Z) on the contract's grid -> ml in each block, (3, X', Y', Z') in one row. Throws Error: shape, argument (nothing inside
/// the mask, every voxel the same).
inline std::vector<double> tissue_blocks(const Tensor<float, Cpu>& volume, VoxelMask mask,
                                         const PreprocessingContract& contract, BlockEdges edges = BlockEdges::sharp) {
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
    std::array<double, 3> place{};
    for (std::size_t a = 0; a < 3; ++a)
      place[a] = (static_cast<double>(p[a]) - centre[a]) / block[a] + 0.5 * static_cast<double>(blocks[a]);
    const std::array<double, 3> amounts = {ml * share(v, mean[1], mean[0]), ml * share(v, mean[1], mean[2]),
                                           ml * share(v, mean[2], mean[0])};
    detail::add_to_blocks(place, amounts, blocks, edges, out);
  });
  return out;
}

/// Fitted on volumes whose truth is known. It is valid for volumes of the same kind: fitted on scans, it is biased on reconstructions,
/// which are smoother.
class RegionRegressor {
 public:
  /// blocks: of tissue_blocks, of one contract throughout. Throws Error (shape).
  void add(std::vector<double> blocks, const TissueVolumes& truth) {
    require_blocks(blocks.size(), ridge_.size() > 0, "the volumes before had ");
    ridge_.add(std::move(blocks));
    truth_.push_back(truth);
  }
  Index size() const { return ridge_.size(); }

  /// Throws Error: state (fewer than 10 volumes), argument (volumes that are all the same).
  template <std::same_as<Cpu> B>
  void fit(Context<B>& ctx) {
    if (size() < 10)
      fail(ErrorKind::state, "regions.few", "region regressor: ", size(),
           " volumes with known sizes, expected at least 10");
    std::vector<std::vector<double>> roots(regions);
    std::vector<Index> fold;
    for (std::size_t i = 0; i < truth_.size(); ++i) {
      fold.push_back(static_cast<Index>(i % 5));
      for (std::size_t r = 0; r < regions; ++r) roots[r].push_back(std::sqrt(truth_[i][r]));
    }
    ridge_.fit(ctx, roots, fold);
    held_out_.assign(truth_.size(), {});
    for (std::size_t i = 0; i < truth_.size(); ++i)
      for (std::size_t r = 0; r < regions; ++r) held_out_[i][r] = squared(ridge_.held_out(r)[i]);
  }

  /// Sizes in ml, in the order of tissue_names. Throws Error: state (not fitted), shape.
  TissueVolumes operator()(const std::vector<double>& blocks) const {
    if (!ridge_.fitted()) fail(ErrorKind::state, "regions.fitted", "region regressor: fit() comes first");
    require_blocks(blocks.size(), true, "it was fitted on ");
    TissueVolumes out{};
    for (std::size_t r = 0; r < regions; ++r) out[r] = squared(ridge_(r, blocks));
    return out;
  }

  /// Out-of-fold predictions for the volumes, in the order of add(): they show the error on other volumes.
  const std::vector<TissueVolumes>& held_out() const { return held_out_; }
  const std::vector<TissueVolumes>& truth() const { return truth_; }

 private:
  static constexpr std::size_t regions = std::tuple_size_v<TissueVolumes>;
  static double squared(double root) { return std::max(0.0, root) * std::max(0.0, root); }

  void require_blocks(std::size_t count, bool known, const char* where) const {
    if (known && static_cast<Index>(count) != ridge_.features())
      fail(ErrorKind::shape, "regions.blocks", "region regressor: ", count, " values, ", where, ridge_.features());
  }

  DualRidge ridge_;  // of the square roots of the sizes
  std::vector<TissueVolumes> truth_, held_out_;
};

}  // namespace braing3n::inline BRAING3N_ABI
