// The preprocessing contract, imposed once more on a volume that a network made.
//
// An encoder has learnt from volumes whose background is one value exactly and whose intensities are z-scores over the brain. A decoder's
// background is only near that value, and its brain is smoother, with a standard deviation below 1. What is near the background and connected to the
// border of the grid becomes background; then the contract's own normalisation runs again. Tissue whose intensity equals the background's
// lies inside the brain and stays: nearness is judged by the mean distance over 3 x 3 x 3 voxels, where a surface that crosses the value
// leaves a trace on both its sides.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "braing3n/volume/preprocess.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ReimposeOptions {
  double nearness =
      0.1;  // mean distance from the background's value that still counts as background, in deviations of the contract
};

namespace detail {

/// Sums over windows of 3 along one axis, cut at the border. v (outer, n, inner).
inline void sum_of_three(Context<Cpu>& ctx, const float* v, float* to, Index outer, Index n, Index inner) {
  ctx.parallel_range(outer, 1, [&](Index begin, Index end) {
    for (Index o = begin; o < end; ++o)
      for (Index i = 0; i < n; ++i) {
        const float *here = v + (o * n + i) * inner, *before = i > 0 ? here - inner : nullptr,
                    *after = i + 1 < n ? here + inner : nullptr;
        float* sum = to + (o * n + i) * inner;
        for (Index k = 0; k < inner; ++k)
          sum[k] = here[k] + (before != nullptr ? before[k] : 0.0f) + (after != nullptr ? after[k] : 0.0f);
      }
  });
}

/// The value of the background: 0, or where the contract has shifted it, the median over the faces of the grid.
inline float background_value(const Tensor<float, Cpu>& v, const PreprocessingContract& contract) {
  if (contract.normalise == Normalisation::none || keeps_zero(contract)) return 0.0f;
  const Extent3 n = {v.dim(0), v.dim(1), v.dim(2)};
  std::vector<float> faces;
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j)
      for (Index k = 0; k < n[2]; ++k)
        if (i == 0 || j == 0 || k == 0 || i + 1 == n[0] || j + 1 == n[1] || k + 1 == n[2])
          faces.push_back(v.data()[(i * n[1] + j) * n[2] + k]);
  const auto middle = faces.begin() + std::ssize(faces) / 2;
  std::nth_element(faces.begin(), middle, faces.end());
  return *middle;
}

}  // namespace detail

/// volume (X, Y, Z) in the contract's intensities, changed in place. Returns the number of voxels of the brain; a volume without one
/// becomes 0 throughout. Throws Error (shape) for another rank.
inline Index reimpose_contract(Context<Cpu>& ctx, Tensor<float, Cpu>& volume, const PreprocessingContract& contract,
                               const ReimposeOptions& options = {}) {
  if (volume.rank() != 3 || volume.size() == 0)
    fail(ErrorKind::shape, "reimpose.shape", "reimpose: a volume of shape ", volume.shape(), ", expected (X, Y, Z)");
  const Extent3 n = {volume.dim(0), volume.dim(1), volume.dim(2)};
  float* v = volume.data();
  const float background = detail::background_value(volume, contract);
  double squares = 0;
  for (Index i = 0; i < volume.size(); ++i) {
    v[i] -= background;
    squares += static_cast<double>(v[i]) * static_cast<double>(v[i]);
  }
  if (!std::isfinite(squares))
    fail(ErrorKind::numeric, "reimpose.finite", "reimpose: the volume has a value that is not finite");
  const double sd =
      contract.normalise == Normalisation::none ? std::sqrt(squares / static_cast<double>(volume.size())) : 1.0;

  Tensor<float, Cpu> distance(ctx, volume.shape()), sums(ctx, volume.shape());
  for (Index i = 0; i < volume.size(); ++i) distance.data()[i] = std::abs(v[i]);
  detail::sum_of_three(ctx, distance.data(), sums.data(), n[0] * n[1], n[2], 1);
  detail::sum_of_three(ctx, sums.data(), distance.data(), n[0], n[1], n[2]);
  detail::sum_of_three(ctx, distance.data(), sums.data(), 1, n[0], n[1] * n[2]);

  // From the border inwards, through what is near.
  const float limit = static_cast<float>(27 * options.nearness * sd);
  std::vector<std::uint8_t> outside(static_cast<std::size_t>(volume.size()), 0);
  std::vector<Index> front;
  const auto reach = [&](Index i, Index j, Index k) {
    const Index at = (i * n[1] + j) * n[2] + k;
    if (outside[static_cast<std::size_t>(at)] != 0 || sums.data()[at] >= limit) return;
    outside[static_cast<std::size_t>(at)] = 1;
    front.push_back(at);
  };
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j)
      for (Index k = 0; k < n[2]; ++k)
        if (i == 0 || j == 0 || k == 0 || i + 1 == n[0] || j + 1 == n[1] || k + 1 == n[2]) reach(i, j, k);
  while (!front.empty()) {
    const Index at = front.back(), k = at % n[2], j = at / n[2] % n[1], i = at / (n[1] * n[2]);
    front.pop_back();
    if (i > 0) reach(i - 1, j, k);
    if (i + 1 < n[0]) reach(i + 1, j, k);
    if (j > 0) reach(i, j - 1, k);
    if (j + 1 < n[1]) reach(i, j + 1, k);
    if (k > 0) reach(i, j, k - 1);
    if (k + 1 < n[2]) reach(i, j, k + 1);
  }
  const bool raw =
      background != 0.0f || contract.normalise == Normalisation::none;  // v is raw intensity but for its scale
  Index inside = 0;
  for (Index i = 0; i < volume.size(); ++i) {
    if (outside[static_cast<std::size_t>(i)] != 0 || (raw && contract.clip_negative && v[i] < 0)) v[i] = 0.0f;
    inside += v[i] != 0.0f;
  }
  if (inside == 0) return 0;
  Findings ignored;
  (void)detail::normalise(ctx, v, volume.size(), contract, ignored);
  return inside;
}

}  // namespace braing3n::inline BRAING3N_ABI
