// Down-sampling a volume and interpolating it back: the floor for every learned code of the same size.
//
// Both methods act along one axis after the other. Voxel i of n lies at (i + 1/2) / n of the extent (half-pixel centres).
//   point   down: linear interpolation at the centres of the coarse voxels, no smoothing
//   area    down: mean over the part of the volume that a coarse voxel covers
//   up      linear interpolation between coarse centres, constant beyond the outermost
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/core/tensor.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Downsampling { point, area };

namespace detail {

/// (to, from) row-major: the weights of linear interpolation at half-pixel centres.
inline std::vector<double> linear_weights(Index from, Index to) {
  std::vector<double> w(static_cast<std::size_t>(to * from), 0.0);
  for (Index i = 0; i < to; ++i) {
    const double at =
        std::clamp((static_cast<double>(i) + 0.5) * static_cast<double>(from) / static_cast<double>(to) - 0.5, 0.0,
                   static_cast<double>(from - 1));
    const Index low = std::min(static_cast<Index>(at), from - 1), high = std::min(low + 1, from - 1);
    const double t = at - static_cast<double>(low);
    w[static_cast<std::size_t>(i * from + low)] += 1 - t;
    w[static_cast<std::size_t>(i * from + high)] += t;
  }
  return w;
}

/// (to, from) row-major: the share of each fine voxel in the mean over a coarse one.
inline std::vector<double> area_weights(Index from, Index to) {
  std::vector<double> w(static_cast<std::size_t>(to * from), 0.0);
  const double size = static_cast<double>(from) / static_cast<double>(to);
  for (Index i = 0; i < to; ++i)
    for (Index j = 0; j < from; ++j) {
      const double overlap = std::min(static_cast<double>(i + 1) * size, static_cast<double>(j + 1)) -
                             std::max(static_cast<double>(i) * size, static_cast<double>(j));
      if (overlap > 0) w[static_cast<std::size_t>(i * from + j)] = overlap / size;
    }
  return w;
}

/// y (before, to, after) = weights (to, from) along the middle axis of x (before, from, after).
inline std::vector<double> along_axis(const std::vector<double>& x, Index before, Index from, Index after,
                                      const std::vector<double>& weights, Index to) {
  std::vector<double> y(static_cast<std::size_t>(before * to * after), 0.0);
  for (Index b = 0; b < before; ++b)
    for (Index i = 0; i < to; ++i)
      for (Index j = 0; j < from; ++j) {
        const double w = weights[static_cast<std::size_t>(i * from + j)];
        if (w == 0) continue;
        double* out = y.data() + (b * to + i) * after;
        const double* in = x.data() + (b * from + j) * after;
        for (Index k = 0; k < after; ++k) out[k] += w * in[k];
      }
  return y;
}

}  // namespace detail

/// A coarse grid with at least `values` voxels and about the proportions of the fine one.
inline Extent3 coarse_grid(const Extent3& fine, Index values) {
  const double factor = std::cbrt(static_cast<double>(values) / static_cast<double>(voxel_count(fine)));
  Extent3 coarse{};
  for (std::size_t a = 0; a < 3; ++a)
    coarse[a] =
        std::clamp<Index>(static_cast<Index>(std::ceil(factor * static_cast<double>(fine[a]) - 1e-9)), 1, fine[a]);
  return coarse;
}

/// volume (X, Y, Z) or with leading and trailing axes of 1, through `coarse` and back to its own grid.
inline Tensor<float, Cpu> through_coarse_grid(const Tensor<float, Cpu>& volume, const Extent3& fine,
                                              const Extent3& coarse, Downsampling down) {
  if (volume.size() != voxel_count(fine))
    fail(ErrorKind::shape, "downsampling.shape", "downsampling: ", volume.shape(), " voxels, expected ",
         describe(fine));
  std::vector<double> v(volume.data(), volume.data() + volume.size());
  Extent3 n = fine;
  const auto apply = [&](const Extent3& to, bool area) {
    for (std::size_t a = 0; a < 3; ++a) {
      Index before = 1, after = 1;
      for (std::size_t b = 0; b < 3; ++b) (b < a ? before : after) *= b == a ? 1 : n[b];
      v = detail::along_axis(v, before, n[a], after,
                             area ? detail::area_weights(n[a], to[a]) : detail::linear_weights(n[a], to[a]), to[a]);
      n[a] = to[a];
    }
  };
  apply(coarse, down == Downsampling::area);
  apply(fine, false);
  Tensor<float, Cpu> out(volume.context(), volume.shape());
  for (std::size_t i = 0; i < v.size(); ++i) out.data()[i] = static_cast<float>(v[i]);
  return out;
}

/// How much more neighbouring voxels differ across the borders of patches than in the four pairs on either side of a border: 1 in a
/// volume without block artefacts, more where they are visible. Pairs further away are left out: the borders cross the brain, the
/// rest of the grid is empty. volume: X Y Z voxels. A constant volume gives 1.
inline double border_jump(const Tensor<float, Cpu>& volume, const Extent3& n, const Extent3& patch) {
  if (volume.size() != voxel_count(n))
    fail(ErrorKind::shape, "border.shape", "border jump: ", volume.shape(), " voxels, expected ", describe(n));
  double all_across = 0, all_beside = 0;  // sums over the axes of the mean jumps
  for (std::size_t a = 0; a < 3; ++a) {
    double across = 0, beside = 0;
    Index borders = 0, others = 0;
    const Index step = a == 0 ? n[1] * n[2] : a == 1 ? n[2] : 1;
    for (Index i = 0; i < n[0]; ++i)
      for (Index j = 0; j < n[1]; ++j)
        for (Index k = 0; k < n[2]; ++k) {
          const Index at = a == 0 ? i : a == 1 ? j : k;
          if (at + 1 >= n[a]) continue;
          // Pairs from the border before this one and to the border after it; the outermost borders have no patch behind them.
          const Index after = (at + 1) % patch[a], before = (patch[a] - after) % patch[a];
          const bool near = (after <= 4 && at + 1 - after > 0) || (before <= 4 && at + 1 + before < n[a]);
          if (!near) continue;
          const float* v = volume.data() + (i * n[1] + j) * n[2] + k;
          const double jump = std::abs(static_cast<double>(v[step]) - static_cast<double>(v[0]));
          if (after == 0) across += jump, ++borders;
          else beside += jump, ++others;
        }
    if (borders == 0 || others == 0) continue;  // one patch along this axis
    all_across += across / static_cast<double>(borders);
    all_beside += beside / static_cast<double>(others);
  }
  return all_beside > 0 ? all_across / all_beside : 1.0;
}

}  // namespace braing3n::inline BRAING3N_ABI
