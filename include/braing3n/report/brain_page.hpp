// Pictures of brains: three planes and the surface from two sides, one row per volume, all at the same scale.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/report/planes.hpp"
#include "braing3n/report/surface_view.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct BrainRowOptions {
  PlaneOptions planes;
  std::vector<SurfaceSide> sides = {SurfaceSide::left, SurfaceSide::superior};
  Colour background = {0, 0, 0};   // behind the surfaces
  std::optional<float> threshold;  // without: surface_threshold()
};

/// Axial, coronal and sagittal plane of a volume, then its surface from each side, in one row and at one scale. A volume that has
/// no surface (every voxel the same) leaves these pictures empty. Throws Error (shape) for a volume without voxels.
inline Image brain_row(Context<Cpu>& ctx, const Volume& volume, const BrainRowOptions& options = {}) {
  const Image planes = draw_planes(ctx, volume, options.planes);
  const Index size = std::clamp<Index>(planes.height, 8, 8192), gap = 2;
  Image row(planes.width + (size + gap) * static_cast<Index>(options.sides.size()), std::max(size, planes.height),
            options.background);
  row.place(planes, 0, 0);
  const float threshold = options.threshold ? *options.threshold : surface_threshold(ctx, volume);
  if (!(threshold < statistics(ctx, volume.data(), volume.size()).max)) return row;
  const Surface surface(ctx, volume, threshold);
  SurfaceOptions view;
  view.width = view.height = size;
  view.mm_per_pixel = options.planes.mm_per_pixel;
  view.background = options.background;
  for (std::size_t i = 0; i < options.sides.size(); ++i) {
    view.side = options.sides[i];
    row.place(draw_surface(ctx, surface, view), planes.width + gap + static_cast<Index>(i) * (size + gap), 0);
  }
  return row;
}

/// A row for each volume under its caption (as many captions as volumes, or none).
inline Image brain_page(Context<Cpu>& ctx, const std::vector<Volume>& volumes, const std::vector<std::string>& captions,
                        const BrainRowOptions& options = {}) {
  std::vector<Image> rows;
  for (const Volume& v : volumes) rows.push_back(brain_row(ctx, v, options));
  return montage(rows, 1, captions);
}

}  // namespace braing3n::inline BRAING3N_ABI
