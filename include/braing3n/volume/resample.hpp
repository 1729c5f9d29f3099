// Values of a volume on another grid.
//
// Every result voxel is a point (or, when shrinking, a box) in the source. Three kinds, by axis and by need:
//   copy      whole voxels at whole distances: reorienting, cropping and padding, bit for bit
//   linear    trilinear between voxel centres; along an axis that shrinks, the mean over the box that the result voxel
//             covers (area-averaged), so that nothing aliases
//   nearest   the voxel that contains the point, for label maps
// A source covers its voxels to their outer edges, half a voxel beyond the outer centres; outside it is 0. Grids that
// differ by less than a thousandth of a voxel over their whole extent count as equal.
// Grids whose axes are parallel up to order and sign are resampled axis by axis; others (rotated, sheared) voxel by voxel.
// Results do not depend on the number of threads: every result voxel is computed by one chunk in a fixed order.
#pragma once

#include "braing3n/volume/resample_kernels.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Resampling along the voxel axes. source (X, Y, Z) -> result with extents `shape`.
inline void resample_axes(Context<Cpu>& ctx, const float* source, const Extent3& source_shape, const AxisMaps& maps,
                          const Extent3& shape, Interpolation how, float* result) {
  std::vector<detail::Taps> taps;
  std::array<int, 3> from{};
  std::array<std::vector<Index>, 3> table;
  std::array<bool, 3> weighed{};
  bool any = false;
  for (std::size_t a = 0; a < 3; ++a) {
    const AxisMap& map = maps[a];
    if (!(map.scale > 0) || !std::isfinite(map.scale) || !std::isfinite(map.offset))
      fail(ErrorKind::argument, "resample.map",
           "resample: expected a positive finite scale and a finite offset of axis ", a, ", got ", map.scale, " and ",
           map.offset);
    const Index n = source_shape[static_cast<std::size_t>(map.from)];
    taps.emplace_back(n, shape[a], map, how);
    from[a] = map.from;
    weighed[a] = !taps[a].copies;
    any = any || weighed[a];
    const auto place = [&](Index k) { return map.flip ? n - 1 - k : k; };
    if (weighed[a]) {
      for (Index k = taps[a].low; k < taps[a].high; ++k) table[a].push_back(place(k));
    } else {
      for (std::size_t j = 0; j < taps[a].first.size(); ++j)
        table[a].push_back(taps[a].count[j] == 0 ? -1 : place(taps[a].first[j]));
    }
  }
  if (!any) {
    detail::gather_axes(ctx, source, source_shape, from, table, result);
    return;
  }
  Extent3 n{};
  for (std::size_t a = 0; a < 3; ++a) n[a] = static_cast<Index>(table[a].size());
  std::vector<float> buffer(static_cast<std::size_t>(voxel_count(n)));
  detail::gather_axes(ctx, source, source_shape, from, table, buffer.data());
  for (std::size_t a = 0; a < 3; ++a) {
    if (!weighed[a]) continue;
    const Index outer = a == 0 ? 1 : a == 1 ? n[0] : n[0] * n[1];
    const Index inner = a == 0 ? n[1] * n[2] : a == 1 ? n[2] : 1;
    buffer = detail::weigh_axis(ctx, buffer, outer, n[a], inner, taps[a], taps[a].low);
    n[a] = shape[a];
  }
  std::memcpy(result, buffer.data(), buffer.size() * sizeof(float));
}

/// The axis maps from a result grid to a source grid, or nothing when their axes are not parallel.
inline bool axis_maps(const Grid& source, const Grid& result, AxisMaps& maps) {
  const Affine m = inverse(source.affine) * result.affine;
  std::array<bool, 3> used{};
  for (int a = 0; a < 3; ++a) {
    int from = 0;
    for (int b = 1; b < 3; ++b)
      if (std::abs(m(b, a)) > std::abs(m(from, a))) from = b;
    for (int b = 0; b < 3; ++b)
      if (b != from && std::abs(m(b, a)) * static_cast<double>(result.shape[static_cast<std::size_t>(a)]) > 1e-3)
        return false;
    if (used[static_cast<std::size_t>(from)]) return false;
    used[static_cast<std::size_t>(from)] = true;
    const bool flip = m(from, a) < 0;
    const double last = static_cast<double>(source.shape[static_cast<std::size_t>(from)] - 1);
    maps[static_cast<std::size_t>(a)] =
        snapped({from, flip, std::abs(m(from, a)), flip ? last - m(from, 3) : m(from, 3)},
                result.shape[static_cast<std::size_t>(a)]);
  }
  return true;
}

/// `volume` on `grid`. Throws Error (format) when either affine is singular, Error (shape) for an empty grid.
inline Volume resample(Context<Cpu>& ctx, const Volume& volume, const Grid& grid,
                       Interpolation how = Interpolation::linear) {
  if (volume.size() == 0 || voxel_count(grid.shape) <= 0)
    fail(ErrorKind::shape, "resample.empty", "resample: expected volumes with voxels, got ", describe(volume.shape()),
         " to ", describe(grid.shape));
  if (singular(grid.affine))
    fail(ErrorKind::format, "affine.singular", "resample: the axes of the new grid do not span space");
  Volume result(grid, volume.provenance);
  AxisMaps maps;
  if (axis_maps(volume.grid(), grid, maps)) {
    resample_axes(ctx, volume.data(), volume.shape(), maps, grid.shape, how, result.data());
    return result;
  }
  // Rotated or sheared against each other. Where a step of the result covers more than one source voxel, shrink the source
  // along that axis first.
  const Affine step = inverse(volume.affine) * grid.affine;
  const Volume* source = &volume;
  Volume shrunk;
  if (how == Interpolation::linear) {
    Grid coarse = volume.grid();
    bool shrinks = false;
    for (int a = 0; a < 3; ++a) {
      const double cover = std::sqrt(step(a, 0) * step(a, 0) + step(a, 1) * step(a, 1) + step(a, 2) * step(a, 2));
      if (cover < 1.05) continue;
      shrinks = true;
      Index& n = coarse.shape[static_cast<std::size_t>(a)];
      const Index fewer = std::max<Index>(1, static_cast<Index>(std::ceil(static_cast<double>(n) / cover)));
      const double offset = 0.5 * static_cast<double>(n - 1) - 0.5 * cover * static_cast<double>(fewer - 1);
      for (int r = 0; r < 3; ++r) {
        coarse.affine(r, 3) += coarse.affine(r, a) * offset;
        coarse.affine(r, a) *= cover;
      }
      n = fewer;
    }
    if (shrinks) {
      shrunk = resample(ctx, volume, coarse, how);
      source = &shrunk;
    }
  }
  const Affine map = inverse(source->affine) * grid.affine;
  const Extent3 n = source->shape();
  ctx.parallel(grid.shape[0], [&](Index i) {
    float* out = result.data() + i * grid.shape[1] * grid.shape[2];
    for (Index j = 0; j < grid.shape[1]; ++j)
      for (Index k = 0; k < grid.shape[2]; ++k)
        *out++ = detail::value_at(
            source->data(), n, map * Vec3{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)}, how);
  });
  return result;
}

/// The same scan with its axes in another order and sense; exact, no value changes.
inline Volume reorient(Context<Cpu>& ctx, const Volume& volume, const Orientation& target) {
  const Extent3 shape = volume.shape();
  const AxisOrder order = axis_order(orientation_of(volume.affine), target);
  Grid grid;
  AxisMaps maps;
  for (std::size_t a = 0; a < 3; ++a) {
    grid.shape[a] = shape[static_cast<std::size_t>(order.from[a])];
    maps[a] = {order.from[a], order.flip[a], 1.0, 0.0};
  }
  grid.affine = reordered(volume.affine, shape, order);
  Volume result(grid, volume.provenance);
  resample_axes(ctx, volume.data(), shape, maps, grid.shape, Interpolation::nearest, result.data());
  return result;
}

/// Cuts off or adds whole voxels: result voxel (0, 0, 0) is source voxel `begin`, which may be negative. New voxels are 0.
inline Volume crop_or_pad(Context<Cpu>& ctx, const Volume& volume, const Extent3& begin, const Extent3& shape) {
  Grid grid{shape, volume.affine * translation({static_cast<double>(begin[0]), static_cast<double>(begin[1]),
                                                static_cast<double>(begin[2])})};
  AxisMaps maps;
  for (std::size_t a = 0; a < 3; ++a) maps[a] = {static_cast<int>(a), false, 1.0, static_cast<double>(begin[a])};
  if (voxel_count(shape) <= 0)
    fail(ErrorKind::shape, "crop.empty", "crop: expected a shape with voxels, got ", describe(shape));
  Volume result(grid, volume.provenance);
  resample_axes(ctx, volume.data(), volume.shape(), maps, shape, Interpolation::nearest, result.data());
  return result;
}

}  // namespace braing3n::inline BRAING3N_ABI
