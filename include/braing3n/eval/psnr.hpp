// Errors of a reconstruction, voxel by voxel: mean absolute error, mean squared error, peak signal-to-noise ratio.
//
//   PSNR = 20 log10(range) - 10 log10(MSE)
// The choice of the range changes the PSNR by several dB and papers differ, so both usual ranges are named and reported:
//   extremes     largest minus smallest value of the reference
//   percentile   its 99.5th percentile minus its smallest value, not affected by a few bright voxels
// Both belong to the region that is scored and do not change when a constant is added to both volumes. Sums are in double, in
// a fixed order.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "braing3n/volume/statistics.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Which voxels count: all, or those whose entry in the mask is not 0 (as many entries as voxels).
using VoxelMask = std::span<const std::uint8_t>;

namespace detail {

inline void require_comparable(const char* what, std::span<const float> reference, std::span<const float> output,
                               VoxelMask mask) {
  if (reference.empty()) fail(ErrorKind::shape, "metric.empty", what, ": the reference has no voxels");
  if (reference.size() != output.size())
    fail(ErrorKind::shape, "metric.shape", what, ": the reference has ", reference.size(), " voxels, the other volume ",
         output.size());
  if (!mask.empty() && mask.size() != reference.size())
    fail(ErrorKind::shape, "metric.mask", what, ": the mask has ", mask.size(), " voxels, the volumes ",
         reference.size());
}

struct ErrorSums {
  double squares = 0, absolutes = 0;
  Index count = 0;
  ErrorSums& operator+=(const ErrorSums& o) {
    squares += o.squares, absolutes += o.absolutes, count += o.count;
    return *this;
  }
};

}  // namespace detail

struct VoxelErrors {
  double mse = 0, mae = 0;
  Index voxels = 0;
};

/// Throws Error (shape) for volumes that do not fit together and for a mask without a voxel.
inline VoxelErrors voxel_errors(Context<Cpu>& ctx, std::span<const float> reference, std::span<const float> output,
                                VoxelMask mask = {}) {
  detail::require_comparable("voxel errors", reference, output, mask);
  const auto sums =
      detail::sum_pieces<detail::ErrorSums>(ctx, static_cast<Index>(reference.size()), [&](Index begin, Index end) {
        detail::ErrorSums s;
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          if (!mask.empty() && mask[i] == 0) continue;
          const double d = static_cast<double>(output[i]) - static_cast<double>(reference[i]);
          s.squares += d * d;
          s.absolutes += std::abs(d);
          ++s.count;
        }
        return s;
      });
  if (sums.count == 0) fail(ErrorKind::shape, "metric.mask", "voxel errors: no voxel is inside the mask");
  const double n = static_cast<double>(sums.count);
  return {sums.squares / n, sums.absolutes / n, sums.count};
}

struct ReferenceRange {
  double extremes = 0, percentile = 0;
};

/// The ranges of the reference inside the mask. The percentile interpolates between neighbours as numpy.percentile does.
inline ReferenceRange reference_range(std::span<const float> reference, VoxelMask mask = {}, double percent = 99.5) {
  detail::require_comparable("reference range", reference, reference, mask);
  std::vector<float> v;
  v.reserve(reference.size());
  for (std::size_t i = 0; i < reference.size(); ++i)
    if (mask.empty() || mask[i] != 0) v.push_back(reference[i]);
  if (v.empty()) fail(ErrorKind::shape, "metric.mask", "reference range: no voxel is inside the mask");
  const auto [low, high] = std::minmax_element(v.begin(), v.end());
  const double smallest = static_cast<double>(*low), largest = static_cast<double>(*high);
  const double place = percent / 100.0 * static_cast<double>(v.size() - 1), whole = std::floor(place);
  const auto at = v.begin() + static_cast<std::ptrdiff_t>(whole);
  std::nth_element(v.begin(), at, v.end());
  const double here = static_cast<double>(*at);
  const double next = at + 1 == v.end() ? here : static_cast<double>(*std::min_element(at + 1, v.end()));
  return {largest - smallest, here + (place - whole) * (next - here) - smallest};
}

/// Decibels; infinite for equal volumes, NaN when the range is 0.
inline double psnr(double mse, double range) {
  if (!(range > 0)) return std::numeric_limits<double>::quiet_NaN();
  return mse > 0 ? 20.0 * std::log10(range) - 10.0 * std::log10(mse) : std::numeric_limits<double>::infinity();
}

}  // namespace braing3n::inline BRAING3N_ABI
