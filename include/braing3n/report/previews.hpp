// Pictures of volumes on a model's grid.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "braing3n/core/tensor.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/volume/model_grid.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The middle of a voxel: between two, planes would show the mean of both.
inline Vec3 middle_voxel(const Grid& grid) {
  return grid.affine * Vec3{static_cast<double>(grid.shape[0] / 2), static_cast<double>(grid.shape[1] / 2),
                            static_cast<double>(grid.shape[2] / 2)};
}

/// Planes through the middle of each volume (1, X, Y, Z, 1) or (X, Y, Z), all in the grey scale of the reference.
inline std::vector<Image> preview_rows(Context<Cpu>& ctx, const PreprocessingContract& contract,
                                       const Tensor<float, Cpu>& reference,
                                       const std::vector<Tensor<float, Cpu>>& volumes) {
  PlaneOptions options;
  options.low = *std::min_element(reference.data(), reference.data() + reference.size());
  options.high = nonzero_quantile(reference.data(), reference.size(), 0.995);
  const Grid grid = contract_grid(contract);
  const Vec3 centre = middle_voxel(grid);
  options.centre = &centre;
  std::vector<Image> rows;
  for (const Tensor<float, Cpu>& t : volumes) {
    if (t.size() != voxel_count(grid.shape))
      fail(ErrorKind::shape, "preview.shape", "preview: ", t.shape(), " does not fit the contract's ",
           describe(grid.shape));
    Volume v(grid);
    std::memcpy(v.data(), t.data(), t.bytes());
    rows.push_back(draw_planes(ctx, v, options));
  }
  return rows;
}

}  // namespace braing3n::inline BRAING3N_ABI
