// Millilitres of tissue in a T1-weighted volume, by thresholds: a simple measure of whether a reconstruction preserves sizes.
//
// Two thresholds split the brain into fluid, grey and white matter so that the variance between the classes is largest (Otsu 1979,
// with three classes). They are taken from the scan and used on its reconstruction too, so both are measured in the same way. Partial
// volume biases such counts, always in about the same way: VolumeCalibration fits truth = a + b count on scans whose truth is known.
#pragma once

#include <array>
#include <cmath>
#include <utility>

#include "braing3n/core/tensor.hpp"
#include "braing3n/eval/psnr.hpp"
#include "braing3n/volume/contract.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct TissueThresholds {
  float fluid = 0, grey = 0;  // fluid below the first, grey matter up to the second, white matter above
};

/// Of the voxels inside the mask. Throws Error (argument) for a region with fewer than three distinct values.
inline TissueThresholds tissue_thresholds(const Tensor<float, Cpu>& volume, VoxelMask mask) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (Index i = 0; i < volume.size(); ++i)
    if (mask[static_cast<std::size_t>(i)] != 0)
      low = std::min(low, volume.data()[i]), high = std::max(high, volume.data()[i]);
  if (!(low < high))
    fail(ErrorKind::argument, "tissue.constant", "tissue thresholds: every voxel of the region has the same value");
  constexpr std::size_t bins = 192;
  std::array<double, bins + 1> count{}, sum{};  // cumulative
  const double width = (static_cast<double>(high) - static_cast<double>(low)) / static_cast<double>(bins);
  for (Index i = 0; i < volume.size(); ++i)
    if (mask[static_cast<std::size_t>(i)] != 0) {
      const auto b = std::min(
          bins - 1,
          static_cast<std::size_t>((static_cast<double>(volume.data()[i]) - static_cast<double>(low)) / width));
      count[b + 1] += 1;
      sum[b + 1] += static_cast<double>(b) + 0.5;
    }
  for (std::size_t b = 1; b <= bins; ++b) count[b] += count[b - 1], sum[b] += sum[b - 1];
  const auto part = [&](std::size_t from, std::size_t to) {
    const double n = count[to] - count[from], s = sum[to] - sum[from];
    return n > 0 ? s * s / n : 0.0;
  };
  double best = -1;
  std::pair<std::size_t, std::size_t> at;
  for (std::size_t a = 1; a + 1 < bins; ++a)
    for (std::size_t b = a + 1; b < bins; ++b)
      if (const double between = part(0, a) + part(a, b) + part(b, bins); between > best) best = between, at = {a, b};
  return {static_cast<float>(static_cast<double>(low) + width * static_cast<double>(at.first)),
          static_cast<float>(static_cast<double>(low) + width * static_cast<double>(at.second))};
}

inline constexpr std::array<const char*, 4> tissue_names = {"brain", "grey matter", "white matter", "ventricles"};
using TissueVolumes = std::array<double, 4>;  // ml, in the order of tissue_names

namespace detail {

/// `what` begins the message. Throws Error (shape).
inline void require_tissue_mask(const char* what, const Tensor<float, Cpu>& volume, VoxelMask mask, const Extent3& n) {
  if (volume.size() != voxel_count(n) || mask.size() != static_cast<std::size_t>(volume.size()))
    fail(ErrorKind::shape, "tissue.shape", what, ": ", volume.shape(), " voxels and a mask of ", mask.size(),
         ", expected ", describe(n));
}

/// f(value, place) for every voxel inside the mask.
template <class F>
void for_each_inside(const Tensor<float, Cpu>& volume, VoxelMask mask, const Extent3& n, F&& f) {
  Index at = 0;
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j)
      for (Index k = 0; k < n[2]; ++k, ++at)
        if (mask[static_cast<std::size_t>(at)] != 0) f(volume.data()[at], std::array<Index, 3>{i, j, k});
}

}  // namespace detail

/// volume (X, Y, Z) on the contract's grid. Brain is grey and white matter; ventricles are fluid within 30 mm (left to right), 55 mm
/// (front to back) and 32 mm (up and down) of the mask's centre.
inline TissueVolumes tissue_volumes(const Tensor<float, Cpu>& volume, VoxelMask mask,
                                    const TissueThresholds& thresholds, const PreprocessingContract& contract) {
  const Extent3 n = contract.shape;
  detail::require_tissue_mask("tissue volumes", volume, mask, n);
  const Orientation orientation = parse_orientation(contract.orientation);
  std::array<double, 3> centre{}, reach{};
  double inside = 0;
  detail::for_each_inside(volume, mask, n, [&](float, const std::array<Index, 3>& p) {
    for (std::size_t a = 0; a < 3; ++a) centre[a] += static_cast<double>(p[a]);
    inside += 1;
  });
  if (inside == 0) fail(ErrorKind::argument, "tissue.mask", "tissue volumes: no voxel is inside the mask");
  for (std::size_t a = 0; a < 3; ++a) {
    centre[a] /= inside;
    reach[a] = std::array<double, 3>{30, 55, 32}[static_cast<std::size_t>(orientation.axis[a])] / contract.spacing[a];
  }
  TissueVolumes count{};
  detail::for_each_inside(volume, mask, n, [&](float v, const std::array<Index, 3>& p) {
    if (v >= thresholds.fluid) {
      count[0] += 1;
      count[v < thresholds.grey ? 1 : 2] += 1;
      return;
    }
    double distance = 0;
    for (std::size_t a = 0; a < 3; ++a) distance += std::pow((static_cast<double>(p[a]) - centre[a]) / reach[a], 2);
    if (distance <= 1) count[3] += 1;
  });
  const double ml = contract.spacing[0] * contract.spacing[1] * contract.spacing[2] / 1000.0;
  for (double& c : count) c *= ml;
  return count;
}

/// truth = a + b count by least squares, for each region.
class VolumeCalibration {
 public:
  void add(const TissueVolumes& counted, const TissueVolumes& truth) {
    ++n_;
    for (std::size_t r = 0; r < counted.size(); ++r) {
      x_[r] += counted[r], y_[r] += truth[r];
      xx_[r] += counted[r] * counted[r], xy_[r] += counted[r] * truth[r], yy_[r] += truth[r] * truth[r];
    }
  }
  /// The best estimate for one volume. Estimates vary less than the truth does. Throws Error (state) with fewer than 3 scans.
  TissueVolumes operator()(const TissueVolumes& counted) const {
    return apply(counted,
                 [&](std::size_t r, double n, double spread) { return (xy_[r] - x_[r] * y_[r] / n) / spread; });
  }
  /// For groups: the slope is the ratio of the standard deviations (reduced major axis), so that the scans of the fit have the mean and
  /// the standard deviation of the truth. Throws Error (state) with fewer than 3 scans.
  TissueVolumes keeping_spread(const TissueVolumes& counted) const {
    return apply(counted, [&](std::size_t r, double n, double spread) {
      const double slope = std::sqrt(std::max(0.0, yy_[r] - y_[r] * y_[r] / n) / spread);
      return xy_[r] - x_[r] * y_[r] / n < 0 ? -slope : slope;
    });
  }

 private:
  template <class Slope>
  TissueVolumes apply(const TissueVolumes& counted, Slope&& slope) const {
    if (n_ < 3) fail(ErrorKind::state, "calibration.few", "volume calibration: ", n_, " scans, expected at least 3");
    TissueVolumes out{};
    const double n = static_cast<double>(n_);
    for (std::size_t r = 0; r < counted.size(); ++r) {
      const double spread = xx_[r] - x_[r] * x_[r] / n;
      out[r] = y_[r] / n + (spread > 0 ? slope(r, n, spread) : 0.0) * (counted[r] - x_[r] / n);
    }
    return out;
  }

  Index n_ = 0;
  TissueVolumes x_{}, y_{}, xx_{}, xy_{}, yy_{};
};

}  // namespace braing3n::inline BRAING3N_ABI
