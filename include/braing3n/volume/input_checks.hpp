// What is unusual about a scan, in plain words: on its own, and against a model's contract.
//
// None of these checks changes a value. The thresholds are those of adult brains: a skull-stripped brain fills 0.9 to 2.2
// litres; a head with its scalp, or a background that is not zero, fills more.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "braing3n/base/text.hpp"
#include "braing3n/volume/findings.hpp"
#include "braing3n/volume/model_grid.hpp"
#include "braing3n/volume/statistics.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {
/// The different values of a volume of whole numbers, if there are at most `limit`; otherwise limit + 1.
inline Index distinct_values(const float* v, Index n, Index limit) {
  std::vector<float> seen;
  float last = std::numeric_limits<float>::quiet_NaN();
  for (Index k = 0; k < n; ++k) {
    const float value = v[k < n - n / 2 ? n / 2 + k : k - (n - n / 2)];  // from the middle on: there is the patient
    if (value == last) continue;
    last = value;
    if (std::find(seen.begin(), seen.end(), last) != seen.end()) continue;
    seen.push_back(last);
    if (static_cast<Index>(seen.size()) > limit) return limit + 1;
  }
  return static_cast<Index>(seen.size());
}
}  // namespace detail

/// Checks that need no contract. `s` are the statistics of the scan's values.
inline Findings check_volume(const Volume& scan, const VolumeStatistics& s) {
  Findings f;
  const Extent3 n = scan.shape();
  if (singular(scan.affine)) {
    f.add(Severity::error, "volume.singular",
          "the affine is singular: its voxel axes do not span space, so left and right are unknown");
    return f;
  }
  if (s.non_finite == s.voxels) f.add(Severity::error, "volume.non_finite", "every voxel is NaN or infinite");
  else if (s.non_finite > 0)
    f.add(Severity::warning, "volume.non_finite", s.non_finite, " of ", s.voxels,
          " voxels are NaN or infinite; they count as 0");
  if (s.non_finite < s.voxels && s.nonzero == 0)
    f.add(Severity::error, "volume.zero", "every voxel is 0: there is nothing to see");
  else if (s.non_finite < s.voxels && s.min == s.max)
    f.add(Severity::warning, "volume.constant", "every voxel has the same value ", s.min, ": there is nothing to see");
  else if (s.whole_numbers && s.nonzero > 0) {
    const Index distinct = detail::distinct_values(scan.data(), scan.size(), 10);
    if (distinct <= 10 && s.voxels > 1000)
      f.add(Severity::warning, "volume.labels", "only ", distinct,
            " different whole values: this looks like a mask or a label map, not a scan");
  }
  const Index fewest = std::min({n[0], n[1], n[2]});
  if (fewest == 1)
    f.add(Severity::warning, "volume.single_slice", "a single slice (", describe(n), " voxels), not a volume");
  else if (fewest < 16)
    f.add(Severity::warning, "volume.few_slices", "only ", fewest, " slices along one axis (", describe(n), " voxels)");
  if (const double skew = shear(scan.affine); skew > 1e-3)
    f.add(Severity::warning, "volume.sheared", "the voxel axes are sheared by ",
          significant(std::asin(std::min(1.0, skew)) * 57.29577951308232, 3),
          " degrees; they are straightened by interpolation");
  if (const double tilt = tilt_degrees(scan.affine); tilt > 5)
    f.add(Severity::warning, "volume.oblique", "the scan lies ", significant(tilt, 3),
          " degrees away from the anatomical axes; it is not rotated, so register it if the model expects registered "
          "scans");
  return f;
}

/// Checks against a contract. `outside`: non-zero voxels that the model's grid cuts off.
inline Findings check_against(const Volume& scan, const VolumeStatistics& s, const PreprocessingContract& contract,
                              const ModelGrid& model, Index outside) {
  Findings f;
  const Extent3 n = scan.shape();
  const Orientation here = orientation_of(scan.affine);
  const Vec3 mm = spacing(scan.affine);
  if (to_string(here) != contract.orientation)
    f.add(Severity::note, "volume.orientation", "orientation ", to_string(here), ", the model wants ",
          contract.orientation, "; axes are reordered, no value changes");
  Vec3 along{};
  bool other_spacing = !model.parallel, coarse = false;
  for (std::size_t a = 0; a < 3; ++a) {
    const AxisMap& map = model.maps[a];
    along[a] = mm[static_cast<std::size_t>(axis_order(here, parse_orientation(contract.orientation)).from[a])];
    if (!model.parallel) continue;
    other_spacing = other_spacing || map.scale != 1.0;
    coarse = coarse || map.scale < 0.49;
  }
  if (other_spacing)
    f.add(Severity::note, "volume.spacing", "spacing ", describe(along), " mm, the model wants ",
          describe(Vec3(contract.spacing)), "; values are interpolated");
  if (coarse)
    f.add(Severity::warning, "volume.thick_slices", "slices of ",
          significant(*std::max_element(along.begin(), along.end())), " mm (", describe(n),
          " voxels): more than half of the model's slices would be made up");
  if (s.nonzero > 0 && static_cast<double>(outside) > 0.005 * static_cast<double>(s.nonzero))
    f.add(Severity::warning, "volume.field_of_view",
          percent(static_cast<double>(outside) / static_cast<double>(s.nonzero)),
          " of the non-zero voxels lie outside the model's field of view of ", describe(contract.extent()),
          " mm and are cut off");

  const double litres = static_cast<double>(s.nonzero) * std::abs(scan.affine.determinant()) * 1e-6;
  const float corner = *scan.data();
  const Index x = n[0] - 1, y = n[1] - 1, z = n[2] - 1;
  bool flat_corners = corner != 0.0f;
  for (const std::array<Index, 3>& c :
       {std::array<Index, 3>{x, 0, 0}, {0, y, 0}, {0, 0, z}, {x, y, 0}, {x, 0, z}, {0, y, z}, {x, y, z}})
    flat_corners = flat_corners && scan.data()[(c[0] * n[1] + c[1]) * n[2] + c[2]] == corner;
  if (s.nonzero > 0 && s.min != s.max) {
    if (flat_corners)
      f.add(Severity::warning, "volume.background", "the background has the value ", corner,
            ", the model expects 0 (was the scan normalised before?)");
    else if (contract.skull_stripped && litres > 2.5)
      f.add(Severity::warning, "volume.skull", "not skull-stripped: ", significant(litres, 2),
            " litres of non-zero voxels, a brain has 0.9 to 2.2; the model expects scans without skull and scalp");
    else if (litres < 0.5)
      f.add(Severity::warning, "volume.small", "only ", significant(litres, 2),
            " litres of non-zero voxels, a brain has 0.9 to 2.2");
  }
  if (s.negative > 0) {
    const double share = static_cast<double>(s.negative) / static_cast<double>(std::max<Index>(1, s.nonzero));
    f.add(share > 0.01 && !contract.clip_negative ? Severity::warning : Severity::note, "volume.negative",
          percent(share), " of the non-zero voxels are negative",
          contract.clip_negative ? "; they become 0" : " and are kept");
  }
  if (s.min != s.max && s.min >= 0 && s.max <= 1.0f && !s.whole_numbers)
    f.add(contract.normalise == Normalisation::none ? Severity::warning : Severity::note, "volume.unit_range",
          "values lie between 0 and 1 (scaled before)",
          contract.normalise == Normalisation::none ? "; the model does not normalise" : "; the z-score undoes that");
  if (std::abs(s.max) >= 32767.0f || std::abs(s.min) >= 32767.0f)
    f.add(Severity::note, "volume.wide_range", "values reach ", std::max(std::abs(s.max), std::abs(s.min)),
          ", the limit of 16-bit files or more",
          contract.normalise == Normalisation::none ? "; the model does not normalise"
                                                    : "; the z-score undoes the scale");
  return f;
}

}  // namespace braing3n::inline BRAING3N_ABI
