// What a forecaster makes while it learns: validation pairs beside the forecast of their second visit.
#pragma once

#include <concepts>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "braing3n/data/visit_pairs.hpp"
#include "braing3n/train/dit_preview.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The latents (1, L, C) of a pair's second visit, from those of its first.
using LatentFollowUp = std::function<Tensor<float, Cpu>(const Tensor<float, Cpu>& baseline, const VisitPair& pair)>;

/// Three columns: the baseline, the follow-up and the forecast, for some of the pairs. The grey scale is that of the baseline.
template <std::same_as<Cpu> B>
Image preview_forecasts(Context<B>& ctx, const LatentData& data, std::span<const VisitPair> pairs,
                        const LatentFollowUp& follow_up, const LatentPicture& picture, Index rows) {
  const Index n = std::ssize(pairs), shown = std::min(rows, n);
  const Shape one = {data.file->tokens(), data.file->channels()};
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  for (Index r = 0; r < shown; ++r) {
    const VisitPair& pair = pairs[static_cast<std::size_t>(r * n / shown)];
    const Index visits[] = {pair.from, pair.to};
    const Tensor<float, Cpu> z = latent_batch(ctx, data, visits);
    const Tensor<float, Cpu> baseline = z.slice(0, 1), first = baseline.reshape(one);
    tiles.push_back(picture(first, nullptr));
    tiles.push_back(picture(z.slice(1, 2).reshape(one), &first));
    tiles.push_back(picture(follow_up(baseline, pair).reshape(one), &first));
    captions.push_back(concat("baseline, ", decimals(pair.age, 1), " years"));
    captions.push_back(concat("follow-up after ", decimals(pair.years, 1), " years"));
    captions.push_back("forecast");
  }
  return montage(tiles, 3, captions);
}

}  // namespace braing3n::inline BRAING3N_ABI
