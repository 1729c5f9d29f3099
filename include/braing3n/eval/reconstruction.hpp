// How well a reconstruction matches its reference, in the whole volume and inside a mask.
#pragma once

#include <vector>

#include "braing3n/core/tensor.hpp"
#include "braing3n/eval/ssim3d.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct RegionScore {
  double psnr_extremes = 0;    // dB, range: max - min of the reference in the region
  double psnr_percentile = 0;  // dB, range: 99.5th percentile - min
  double ssim = 0;
  double mae = 0;  // in the volumes' own unit
  Index voxels = 0;

  static void visit(auto& self, auto&& v) {
    v("psnr_extremes", self.psnr_extremes);
    v("psnr_percentile", self.psnr_percentile);
    v("ssim", self.ssim);
    v("mae", self.mae);
    v("voxels", self.voxels);
  }
};

struct ReconstructionScore {
  RegionScore whole, mask;

  static void visit(auto& self, auto&& v) {
    v("whole", self.whole);
    v("mask", self.mask);
  }
};

/// Voxels that are not exactly 0: the brain of a skull-stripped volume whose background is kept at 0.
inline std::vector<std::uint8_t> nonzero_mask(const Tensor<float, Cpu>& volume) {
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(volume.size()));
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = volume.data()[i] != 0.0f;
  return mask;
}

/// reference, output (X, Y, Z). SSIM uses the range of the whole reference in both regions. An empty mask counts as all voxels.
inline ReconstructionScore score_reconstruction(Context<Cpu>& ctx, const Tensor<float, Cpu>& reference,
                                                const Tensor<float, Cpu>& output, VoxelMask mask) {
  require_same_shape("reconstruction score", reference, output);
  if (reference.rank() != 3)
    fail(ErrorKind::shape, "score.rank", "reconstruction score: volumes have shape ", reference.shape(),
         ", expected (X, Y, Z)");
  const std::span<const float> a(reference.data(), static_cast<std::size_t>(reference.size())),
      b(output.data(), static_cast<std::size_t>(output.size()));
  const SsimScore ssim = ssim3d(ctx, a, b, {reference.dim(0), reference.dim(1), reference.dim(2)}, {}, mask);
  const auto region = [&](VoxelMask m, double similarity) {
    const VoxelErrors e = voxel_errors(ctx, a, b, m);
    const ReferenceRange range = reference_range(a, m);
    return RegionScore{psnr(e.mse, range.extremes), psnr(e.mse, range.percentile), similarity, e.mae, e.voxels};
  };
  return {region({}, ssim.whole), region(mask, ssim.masked)};
}

/// The mean over scans, field by field.
inline ReconstructionScore mean_score(const std::vector<ReconstructionScore>& scores) {
  if (scores.empty()) fail(ErrorKind::argument, "score.none", "mean score: there are no scores");
  ReconstructionScore mean;
  const double n = static_cast<double>(scores.size());
  for (const ReconstructionScore& s : scores)
    for (const auto& [to, from] : {std::pair{&mean.whole, &s.whole}, std::pair{&mean.mask, &s.mask}}) {
      to->psnr_extremes += from->psnr_extremes / n;
      to->psnr_percentile += from->psnr_percentile / n;
      to->ssim += from->ssim / n;
      to->mae += from->mae / n;
      to->voxels += from->voxels;
    }
  mean.whole.voxels /= static_cast<Index>(scores.size());
  mean.mask.voxels /= static_cast<Index>(scores.size());
  return mean;
}

}  // namespace braing3n::inline BRAING3N_ABI
