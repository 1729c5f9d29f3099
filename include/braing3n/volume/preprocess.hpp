// From a scan to what a model sees, and back.
//
// In this order: NaN and infinities become 0; negatives are clipped if the contract says so; the scan is put on the model's
// grid (model_grid.hpp); intensities are normalised over the voxels of that grid. What is needed to go back is
// kept in a PreprocessingRecord.
#pragma once

#include <utility>

#include "braing3n/core/tensor.hpp"
#include "braing3n/volume/background.hpp"
#include "braing3n/volume/input_checks.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// raw intensity = value * sd + mean.
struct IntensityScale {
  double mean = 0, sd = 1;
  bool zero_is_background = false;  // exactly 0 stands for 0, whatever the scale
};

struct PreprocessingRecord {
  Grid input;  // the scan's own grid
  Grid model;  // the model's voxels in the same world
  IntensityScale intensity;
  BackgroundMask background;                 // the scan's voxels that were exactly 0 (NaN and clipped ones too)
  Provenance provenance = Provenance::scan;  // of the input
};

struct Preprocessed {
  Tensor<float, Cpu> data;  // (X, Y, Z) of the contract
  PreprocessingRecord record;
  Findings findings;
};

namespace detail {

/// Writes (x - mean) / sd; zeros stay 0 when asked.
inline void apply_scale(Context<Cpu>& ctx, float* v, Index n, double mean, double sd, bool keep_zero) {
  const float m = static_cast<float>(mean), r = static_cast<float>(1.0 / sd);
  ctx.parallel_range(n, statistics_grain, [&](Index begin, Index end) {
    vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      BRAING3N_IVDEP for (Index i = begin; i < end; ++i) {
        const float x = v[i];
        const float z = (x - m) * r;
        v[i] = (keep_zero & (x == 0.0f)) ? 0.0f : z;
      }
    });
  });
}

inline IntensityScale normalise(Context<Cpu>& ctx, float* v, Index n, const PreprocessingContract& contract,
                                Findings& findings) {
  if (contract.normalise == Normalisation::none) return {};
  const bool nonzero = contract.normalise == Normalisation::zscore_nonzero;
  const bool keep_zero = keeps_zero(contract);
  MeanAndSd m = mean_and_sd(ctx, v, n, nonzero);
  if (m.count == 0)
    findings.add(Severity::error, "volume.outside", "no non-zero voxel lies inside the model's field of view");
  // Spread below the resolution of a float at the mean is rounding, not contrast.
  const bool flat = !(m.sd > 1e-6 * std::abs(m.mean)) || m.sd < 1e-30;
  if (flat) m.sd = 1;
  apply_scale(ctx, v, n, m.mean, m.sd, keep_zero);
  if (flat) std::fill(v, v + n, 0.0f);
  return {m.mean, m.sd, keep_zero};
}

}  // namespace detail

/// Throws Error (format) when the scan cannot be used at all, or, under `strict`, when anything differs from the contract;
/// Error (config) for an invalid contract. The scan is passed by value: move it in when it is not needed any more.
inline Preprocessed preprocess(Context<Cpu>& ctx, Volume scan, const PreprocessingContract& contract,
                               bool strict = false) {
  require_valid(contract);
  if (scan.size() == 0)
    fail(ErrorKind::shape, "preprocess.empty", "preprocess: expected a volume with voxels, got ",
         describe(scan.shape()));
  const VolumeStatistics s = statistics(ctx, scan.data(), scan.size());
  Preprocessed p;
  p.findings = check_volume(scan, s);
  p.findings.require_usable(false);
  const bool clip = contract.clip_negative && s.negative > 0;
  if (s.non_finite > 0 || clip)
    ctx.parallel_range(scan.size(), detail::statistics_grain, [&](Index begin, Index end) {
      float* v = scan.data();
      for (Index i = begin; i < end; ++i)
        if (!std::isfinite(v[i]) || (clip && v[i] < 0)) v[i] = 0.0f;
    });

  const Extent3 n = scan.shape();
  const Vec3 centre = contract.centring == Centring::mass
                          ? centre_of_mass(ctx, scan)
                          : Vec3{0.5 * static_cast<double>(n[0] - 1), 0.5 * static_cast<double>(n[1] - 1),
                                 0.5 * static_cast<double>(n[2] - 1)};
  const ModelGrid model = model_grid(scan.grid(), contract, centre);
  p.findings.append(check_against(scan, s, contract, model, nonzero_outside(ctx, scan, model)));
  p.findings.require_usable(strict);

  const Extent3 shape = contract.shape;
  p.record.input = scan.grid();
  p.record.model = model.grid;
  p.record.background = BackgroundMask(ctx, scan);
  p.record.provenance = scan.provenance;
  p.data = Tensor<float, Cpu>(ctx, {shape[0], shape[1], shape[2]});
  if (model.parallel) {
    resample_axes(ctx, scan.data(), n, model.maps, shape, Interpolation::linear, p.data.data());
  } else {
    const Volume straight = resample(ctx, scan, model.grid);
    std::memcpy(p.data.data(), straight.data(), p.data.bytes());
  }
  p.record.intensity = detail::normalise(ctx, p.data.data(), p.data.size(), contract, p.findings);
  p.findings.require_usable(strict);
  return p;
}

/// The model's voxels as a volume in the patient's world, still in the model's intensities.
inline Volume as_volume(const Tensor<float, Cpu>& data, const PreprocessingRecord& record) {
  if (data.size() != voxel_count(record.model.shape))
    fail(ErrorKind::shape, "restore.shape", "restore: expected data of ", describe(record.model.shape),
         ", the model's grid, got ", data.shape());
  Volume v(record.model, record.provenance);
  std::memcpy(v.data(), data.data(), data.bytes());
  return v;
}

/// What a decoder made of a sample's latents, (X, Y, Z) or (1, X, Y, Z, 1), as a volume around the origin, marked as synthetic. Throws
/// Error (shape) when it does not fit the contract.
inline Volume sample_volume(const Tensor<float, Cpu>& voxels, const PreprocessingContract& contract) {
  Volume v(contract_grid(contract), Provenance::synthetic);
  if (voxels.size() != v.size())
    fail(ErrorKind::shape, "sample.shape", "sample: expected ", describe(v.shape()), " voxels, the contract's, got ",
         voxels.shape());
  std::memcpy(v.data(), voxels.data(), voxels.bytes());
  return v;
}

/// The way back: a model's volume (X, Y, Z) in the scan's own intensities and on the scan's own voxels (or on `grid`). Voxels
/// outside the model's field of view are 0, and so is every voxel that was exactly 0 in the scan: at the edge of the brain, voxels of
/// the model reach over several of the scan. (On another grid: every voxel whose nearest voxel of the scan was 0.) With the model's
/// input as `mask`, voxels that were background there become background here: a network's output is never exactly 0. The result is a
/// reconstruction, or synthetic if the scan was.
inline Volume restore(Context<Cpu>& ctx, const Tensor<float, Cpu>& data, const PreprocessingRecord& record,
                      const Tensor<float, Cpu>* mask = nullptr, Interpolation how = Interpolation::linear,
                      const Grid* grid = nullptr) {
  Volume v = as_volume(data, record);
  if (mask != nullptr && !(mask->shape() == data.shape()))
    fail(ErrorKind::shape, "restore.mask", "restore: expected a mask of the shape of the data, ", data.shape(),
         ", got ", mask->shape());
  const IntensityScale& scale = record.intensity;
  const float m = static_cast<float>(scale.mean), d = static_cast<float>(scale.sd);
  const float* background = !scale.zero_is_background ? nullptr : mask != nullptr ? mask->data() : data.data();
  ctx.parallel_range(v.size(), detail::statistics_grain, [&](Index begin, Index end) {
    float* x = v.data();
    for (Index i = begin; i < end; ++i) x[i] = background != nullptr && background[i] == 0.0f ? 0.0f : x[i] * d + m;
  });
  Volume result = resample(ctx, v, grid != nullptr ? *grid : record.input, how);
  record.background.impose(ctx, result, record.input);
  if (result.provenance == Provenance::scan) result.provenance = Provenance::reconstruction;
  return result;
}

}  // namespace braing3n::inline BRAING3N_ABI
