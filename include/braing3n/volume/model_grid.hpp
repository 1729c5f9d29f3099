// Where a scan lands on a model's grid.
//
// The scan's own axes are kept: they are put in the contract's order and sense (exact), and the spacing is changed along
// them. A scan that lies oblique in the scanner stays as it is, since the patient does; sheared axes are straightened. Equal
// or whole-number ratios of spacing move whole voxels only, so a scan that already has the model's spacing is copied, never
// interpolated (the middle may then be off by up to half a voxel).
#pragma once

#include <cmath>

#include "braing3n/volume/contract.hpp"
#include "braing3n/volume/resample.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A grid with the contract's axes and spacing around the origin: for a preprocessed volume without the
/// scan it came from.
inline Grid contract_grid(const PreprocessingContract& c) {
  const Orientation o = parse_orientation(c.orientation);
  Grid g{c.shape, Affine{{{{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}}}}};
  for (std::size_t a = 0; a < 3; ++a) {
    const double step = o.sign[a] * c.spacing[a];
    g.affine(o.axis[a], static_cast<int>(a)) = step;
    g.affine(o.axis[a], 3) = -0.5 * step * static_cast<double>(c.shape[a] - 1);
  }
  return g;
}

struct ModelGrid {
  Grid grid;             // the model's voxels in the patient's world
  bool parallel = true;  // axis by axis through `maps`; otherwise through the two affines
  AxisMaps maps;
};

/// `centre`: the point of the scan (in its voxel indices) that goes to the middle of the grid.
inline ModelGrid model_grid(const Grid& scan, const PreprocessingContract& contract, const Vec3& centre) {
  const AxisOrder order = axis_order(orientation_of(scan.affine), parse_orientation(contract.orientation));
  const Affine canonical = reordered(scan.affine, scan.shape, order);
  const Vec3 mm = spacing(scan.affine);
  ModelGrid m;
  m.grid.shape = contract.shape;
  m.parallel = shear(scan.affine) <= 1e-3;

  Vec3 middle{};  // of the scan, in canonical voxel indices
  for (std::size_t a = 0; a < 3; ++a) {
    const std::size_t b = static_cast<std::size_t>(order.from[a]);
    const double last = static_cast<double>(scan.shape[b] - 1);
    middle[a] = order.flip[a] ? last - centre[b] : centre[b];
    // A computed centre carries rounding that depends on the order of the axes; no scan is placed to a 64th of a voxel.
    middle[a] = std::round(middle[a] * 64.0) / 64.0;
  }
  if (m.parallel) {
    Affine step;
    for (std::size_t a = 0; a < 3; ++a) {
      const std::size_t b = static_cast<std::size_t>(order.from[a]);
      const Index n = contract.shape[a];
      double ratio = contract.spacing[a] / mm[b];
      const double whole = std::round(ratio);
      const bool on_voxels = whole >= 1 && std::abs(ratio - whole) * static_cast<double>(n) < 0.01;
      if (on_voxels) ratio = whole;
      double offset = middle[a] - 0.5 * ratio * static_cast<double>(n - 1);
      if (on_voxels) {  // the edges of a model voxel fall on edges of scan voxels
        const double half = 0.5 * (ratio - 1);
        offset = std::floor(offset - half + 0.5) + half;
      }
      m.maps[a] = {order.from[a], order.flip[a], ratio, offset};
      step(static_cast<int>(a), static_cast<int>(a)) = ratio;
      step(static_cast<int>(a), 3) = offset;
    }
    m.grid.affine = canonical * step;
    return m;
  }
  const Affine rotation = nearest_rotation(canonical);
  m.grid.affine = rotation * scaling({contract.spacing[0], contract.spacing[1], contract.spacing[2]});
  const Vec3 from = canonical * middle;
  const Vec3 to = m.grid.affine * Vec3{0.5 * static_cast<double>(contract.shape[0] - 1),
                                       0.5 * static_cast<double>(contract.shape[1] - 1),
                                       0.5 * static_cast<double>(contract.shape[2] - 1)};
  for (int r = 0; r < 3; ++r) m.grid.affine(r, 3) = from[static_cast<std::size_t>(r)] - to[static_cast<std::size_t>(r)];
  return m;
}

/// How many non-zero voxels of the scan have their centre outside the model's grid.
inline Index nonzero_outside(Context<Cpu>& ctx, const Volume& scan, const ModelGrid& model) {
  const Extent3 n = scan.shape();
  std::vector<Index> outside(static_cast<std::size_t>(n[0]), 0);
  Extent3 low{0, 0, 0}, high = n;
  if (model.parallel)
    for (std::size_t a = 0; a < 3; ++a) {
      const AxisMap& map = model.maps[a];
      const std::size_t b = static_cast<std::size_t>(map.from);
      const double limit = static_cast<double>(n[b]);
      const double begin = map.offset - 0.5 * map.scale,
                   end = begin + map.scale * static_cast<double>(model.grid.shape[a]);
      const Index first = static_cast<Index>(std::ceil(std::clamp(begin - 1e-6, -1.0, limit)));
      const Index last = static_cast<Index>(std::floor(std::clamp(end + 1e-6, -1.0, limit)));
      low[b] = std::clamp<Index>(map.flip ? n[b] - 1 - last : first, 0, n[b]);
      high[b] = std::clamp<Index>((map.flip ? n[b] - 1 - first : last) + 1, low[b], n[b]);
    }
  const Affine to_model = inverse(model.grid.affine) * scan.affine;
  ctx.parallel(n[0], [&](Index i) {
    const float* row = scan.data() + i * n[1] * n[2];
    Index count = 0;
    for (Index j = 0; j < n[1]; ++j, row += n[2]) {
      if (model.parallel) {
        const bool in = i >= low[0] && i < high[0] && j >= low[1] && j < high[1];
        Index k_low = in ? low[2] : n[2], k_high = in ? high[2] : n[2];
        for (Index k = 0; k < k_low; ++k) count += row[k] != 0.0f;
        for (Index k = k_high; k < n[2]; ++k) count += row[k] != 0.0f;
      } else {
        for (Index k = 0; k < n[2]; ++k) {
          if (row[k] == 0.0f) continue;
          const Vec3 p = to_model * Vec3{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
          bool in = true;
          for (std::size_t a = 0; a < 3; ++a)
            in = in && p[a] >= -0.5 && p[a] <= static_cast<double>(model.grid.shape[a]) - 0.5;
          count += !in;
        }
      }
    }
    outside[static_cast<std::size_t>(i)] = count;
  });
  Index total = 0;
  for (const Index c : outside) total += c;
  return total;
}

}  // namespace braing3n::inline BRAING3N_ABI
