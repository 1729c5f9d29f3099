// What a diffusion transformer makes while it learns: validation scans beside samples under their conditions.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "braing3n/report/previews.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/train/dit_training.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Standardised latents (L, C) of one sample -> its picture, in the grey scale of a reference (nullptr: its own).
using LatentPicture = std::function<Image(const Tensor<float, Cpu>& latents, const Tensor<float, Cpu>* reference)>;

/// Through a decoder: latents (1, X', Y', Z', C) -> voxels.
inline LatentPicture decoded_picture(Context<Cpu>& ctx, const LatentData& data, const PreprocessingContract& contract,
                                     std::function<Tensor<float, Cpu>(const Tensor<float, Cpu>&)> decode) {
  return [&ctx, &data, contract, decode = std::move(decode)](const Tensor<float, Cpu>& latents,
                                                             const Tensor<float, Cpu>* reference) {
    const Extent3 g = data.file->grid();
    const auto voxels = [&](const Tensor<float, Cpu>& z) {
      return decode(data.statistics.restore(z).reshape({1, g[0], g[1], g[2], data.file->channels()}));
    };
    const Tensor<float, Cpu> volume = voxels(latents);
    return preview_rows(ctx, contract, reference != nullptr ? voxels(*reference) : volume, {volume})[0];
  };
}

/// Without one: the first channel on its own coarse grid.
inline LatentPicture channel_picture(Context<Cpu>& ctx, const LatentData& data) {
  return [&ctx, &data](const Tensor<float, Cpu>& latents, const Tensor<float, Cpu>*) {
    const Extent3 g = data.file->grid();
    Grid grid{g, Affine{{{{-16, 0, 0, 0}, {0, -16, 0, 0}, {0, 0, 16, 0}}}}};
    Volume v(grid);
    for (Index i = 0; i < v.size(); ++i) v.data()[i] = latents.data()[i * data.file->channels()];
    PlaneOptions options{.mm_per_pixel = 2.0, .low = -3, .high = 3};
    const Vec3 centre =
        grid.affine * Vec3{static_cast<double>(g[0] / 2), static_cast<double>(g[1] / 2), static_cast<double>(g[2] / 2)};
    options.centre = &centre;
    return draw_planes(ctx, v, options);
  };
}

/// Two columns: validation scans, and samples under the same conditions. The noise of a row never changes. Pictures are drawn on `host`.
template <Backend B, Precision P>
Image preview_samples(Context<B>& ctx, Context<Cpu>& host, const Dit3d<B, P>& model, const LatentData& data,
                      const LatentPicture& picture, const SamplingOptions& options, Index rows) {
  const std::vector<Index> scans = some_rows(data.scans.validation, rows);
  std::vector<std::uint32_t> ids;
  std::vector<ConditionRow> conditions;
  for (std::size_t i = 0; i < scans.size(); ++i) {
    ids.push_back(static_cast<std::uint32_t>(i));
    conditions.push_back(data.conditions[static_cast<std::size_t>(scans[i])]);
  }
  const Tensor<float, Cpu> real = latent_batch(host, data, scans),
                           made = to_host<float>(host, sample_latents(ctx, model, std::span<const std::uint32_t>(ids),
                                                                      conditions, 0, options));
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  for (std::size_t i = 0; i < scans.size(); ++i) {
    const auto at = static_cast<Index>(i);
    const Tensor<float, Cpu> scan = real.slice(at, at + 1).reshape({data.file->tokens(), data.file->channels()});
    const Tensor<float, Cpu> sample = made.slice(at, at + 1).reshape({data.file->tokens(), data.file->channels()});
    tiles.push_back(picture(scan, nullptr));
    tiles.push_back(picture(sample, &scan));
    captions.push_back("scan: " + describe_conditions(model.config.conditions, conditions[i]));
    captions.push_back("sample under the same conditions");
  }
  return montage(tiles, 2, captions);
}

}  // namespace braing3n::inline BRAING3N_ABI
