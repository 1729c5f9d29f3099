// Three planes of a scan as a picture: axial, coronal, sagittal.
//
// Radiological display: the patient's right is on the left of the axial and coronal pictures, the nose points to the left
// in the sagittal one. The planes are those of the world, so an oblique scan looks oblique, and pixels are square in mm
// whatever the voxels are.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "braing3n/report/image.hpp"
#include "braing3n/volume/resample.hpp"
#include "braing3n/volume/statistics.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct PlaneOptions {
  double mm_per_pixel = 1.0;
  // Intensities shown black and white; equal: from 0 (with many negatives: the smallest value) to the 99.5th percentile of the non-zero voxels.
  float low = 0, high = 0;
  bool diverging = false;        // blue - black - red around 0 from -high to high, for differences
  const Vec3* centre = nullptr;  // mm; where the planes meet. Without: centre of mass
  bool labels = true;
};

namespace detail {

/// The smallest box of world coordinates, in mm, that holds all voxels.
struct WorldBox {
  Vec3 low{}, high{};

  explicit WorldBox(const Volume& volume) {
    const Extent3 n = volume.shape();
    low.fill(std::numeric_limits<double>::infinity());
    high.fill(-std::numeric_limits<double>::infinity());
    for (int corner = 0; corner < 8; ++corner) {
      Vec3 index{};
      for (std::size_t d = 0; d < 3; ++d) index[d] = (corner >> d & 1) != 0 ? static_cast<double>(n[d]) - 0.5 : -0.5;
      const Vec3 p = volume.affine * index;
      for (std::size_t d = 0; d < 3; ++d) low[d] = std::min(low[d], p[d]), high[d] = std::max(high[d], p[d]);
    }
  }
};

/// Directions of a picture's columns and rows in the world, the axis it looks along, and the letters at its sides.
struct Plane {
  int across, across_sign, down, through;
  const char* left;
  const char* right;
};

struct GreyRange {
  float black, white;
};

inline GreyRange grey_range(Context<Cpu>& ctx, const Volume& volume, const PlaneOptions& options) {
  if (options.low < options.high) return {options.low, options.high};
  const float white = nonzero_quantile(volume.data(), volume.size(), 0.995);
  const VolumeStatistics s = statistics(ctx, volume.data(), volume.size());
  const float black = options.diverging             ? -white
                      : 10 * s.negative > s.nonzero ? s.min
                                                    : 0.0f;  // a few negatives are rounding errors
  return {black, black < white ? white : black + 1};
}

/// The pixels of a plane through `centre`, (height, width, 1).
inline Grid plane_grid(const Plane& p, const WorldBox& box, const Vec3& centre, double mm) {
  const std::size_t across = static_cast<std::size_t>(p.across), down = static_cast<std::size_t>(p.down),
                    through = static_cast<std::size_t>(p.through);
  const auto pixels = [&](std::size_t d) {
    return std::clamp<Index>(static_cast<Index>(std::ceil((box.high[d] - box.low[d]) / mm - 1e-6)), 1, 8192);
  };
  const Index w = pixels(across), h = pixels(down);
  Grid grid{{h, w, 1}, Affine{{{{0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}}}}};
  grid.affine(p.down, 0) = -mm;
  grid.affine(p.across, 1) = p.across_sign * mm;
  grid.affine(p.through, 2) = 1e-3;  // a thin section, not averaged over neighbouring slices
  grid.affine(p.down, 3) = 0.5 * (box.low[down] + box.high[down]) + 0.5 * mm * static_cast<double>(h - 1);
  grid.affine(p.across, 3) =
      0.5 * (box.low[across] + box.high[across]) - p.across_sign * 0.5 * mm * static_cast<double>(w - 1);
  grid.affine(p.through, 3) = centre[through];
  return grid;
}

/// The picture of a cut (height, width, 1).
inline Image shaded(const Volume& cut, GreyRange range, bool diverging) {
  Image tile(cut.shape()[1], cut.shape()[0]);
  for (Index i = 0; i < cut.size(); ++i) {
    const float v = cut.data()[i];
    const float t = std::isfinite(v) ? std::clamp((v - range.black) / (range.white - range.black), 0.0f, 1.0f) : 0.0f;
    std::uint8_t* out = tile.pixels.data() + 3 * i;
    if (diverging) {
      const float s = 2 * t - 1;
      out[0] = static_cast<std::uint8_t>(255 * std::max(0.0f, s));
      out[1] = static_cast<std::uint8_t>(160 * std::max(0.0f, std::abs(s) - 0.5f));
      out[2] = static_cast<std::uint8_t>(255 * std::max(0.0f, -s));
    } else {
      out[0] = out[1] = out[2] = static_cast<std::uint8_t>(std::lround(255 * t));
    }
  }
  return tile;
}

}  // namespace detail

/// Axial, coronal and sagittal picture in one row. Throws Error: shape (a volume without voxels), argument (pixels of no size).
inline Image draw_planes(Context<Cpu>& ctx, const Volume& volume, const PlaneOptions& options = {}) {
  if (volume.size() == 0)
    fail(ErrorKind::shape, "planes.empty", "planes: expected a volume with voxels, got ", describe(volume.shape()));
  const double mm = options.mm_per_pixel;
  if (!(mm > 0)) fail(ErrorKind::argument, "planes.size", "planes: expected more than 0 mm per pixel, got ", mm);
  const detail::WorldBox box(volume);
  Vec3 centre = options.centre != nullptr ? *options.centre : volume.affine * centre_of_mass(ctx, volume);
  for (std::size_t d = 0; d < 3; ++d)
    if (!std::isfinite(centre[d])) centre[d] = 0.5 * (box.low[d] + box.high[d]);
  const detail::GreyRange range = detail::grey_range(ctx, volume, options);

  constexpr detail::Plane planes[3] = {{0, -1, 1, 2, "R", "L"}, {0, -1, 2, 1, "R", "L"}, {1, -1, 2, 0, "A", "P"}};
  std::vector<Image> tiles;
  Index height = 0, width = 0, smallest = std::numeric_limits<Index>::max();
  for (const detail::Plane& p : planes) {
    tiles.push_back(
        detail::shaded(resample(ctx, volume, detail::plane_grid(p, box, centre, mm)), range, options.diverging));
    height = std::max(height, tiles.back().height);
    width += tiles.back().width + 2;
    smallest = std::min({smallest, tiles.back().width, tiles.back().height});
  }
  const Index size = smallest >= 150 ? 2 : 1;  // of the letters, the same on all planes
  for (std::size_t i = 0; options.labels && i < tiles.size(); ++i) {
    Image& tile = tiles[i];
    const detail::Plane& p = planes[i];
    draw_text(tile, 2, tile.height / 2, p.left, {255, 200, 0}, size);
    draw_text(tile, tile.width - 2 - text_width(p.right, size), tile.height / 2, p.right, {255, 200, 0}, size);
  }
  Image row(width - 2, height);
  Index x = 0;
  for (const Image& t : tiles) {
    row.place(t, x, (height - t.height) / 2);
    x += t.width + 2;
  }
  return row;
}

}  // namespace braing3n::inline BRAING3N_ABI
