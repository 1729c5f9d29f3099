// Pictures of samples: one row of planes each, or one column per value of a condition with the differences to the first value.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/report/previews.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Each volume less the first of its group of `variants`, drawn in blue (below 0) and red on one scale. `full`: the difference of full colour.
inline std::vector<Image> difference_planes(Context<Cpu>& ctx, const PreprocessingContract& contract,
                                            const std::vector<Tensor<float, Cpu>>& volumes, std::size_t variants,
                                            double& full) {
  const Grid grid = contract_grid(contract);
  const Vec3 centre = middle_voxel(grid);
  std::vector<Volume> differences;
  float largest = 0;
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    Volume d(grid), size(grid);
    const Tensor<float, Cpu>&first = volumes[i / variants * variants], &here = volumes[i];
    for (Index v = 0; v < d.size(); ++v) {
      d.data()[v] = here.data()[v] - first.data()[v];
      size.data()[v] = std::abs(d.data()[v]);
    }
    largest = std::max(largest, nonzero_quantile(size.data(), size.size(), 0.999));
    differences.push_back(std::move(d));
  }
  PlaneOptions signs;
  signs.diverging = true;
  signs.centre = &centre;
  signs.high = largest > 0 ? largest : 1;
  signs.low = -signs.high;
  full = static_cast<double>(signs.high);
  std::vector<Image> planes;
  for (const Volume& d : differences) planes.push_back(draw_planes(ctx, d, signs));
  return planes;
}

}  // namespace detail

/// volumes (X, Y, Z) on the contract's grid, all in the grey scale of the first, with a caption each. With several variants, which are
/// consecutive, one column per variant, and under them the differences to the first variant.
inline Image sample_montage(Context<Cpu>& ctx, const PreprocessingContract& contract,
                            const std::vector<Tensor<float, Cpu>>& volumes, const std::vector<std::string>& captions,
                            std::size_t variants) {
  if (volumes.empty() || volumes.size() != captions.size() || volumes.size() % std::max<std::size_t>(variants, 1) != 0)
    fail(ErrorKind::argument, "montage.samples", "montage: expected captions for all of ", volumes.size(),
         " volumes in groups of ", variants, ", got ", captions.size());
  std::vector<Image> tiles = preview_rows(ctx, contract, volumes.front(), volumes);
  if (variants < 2) return montage(tiles, std::min<Index>(2, std::ssize(tiles)), captions);
  double full = 0;
  std::vector<Image> differences = detail::difference_planes(ctx, contract, volumes, variants, full);
  std::vector<Image> all;
  std::vector<std::string> texts;
  for (std::size_t row = 0; row < volumes.size(); row += variants) {
    for (std::size_t k = 0; k < variants; ++k)
      all.push_back(std::move(tiles[row + k])), texts.push_back(captions[row + k]);
    for (std::size_t k = 0; k < variants; ++k) {
      all.push_back(std::move(differences[row + k]));
      texts.push_back(concat("minus ", captions[row], ", full at ", number_text(std::round(100 * full) / 100)));
    }
  }
  return montage(all, static_cast<Index>(variants), texts);
}

}  // namespace braing3n::inline BRAING3N_ABI
