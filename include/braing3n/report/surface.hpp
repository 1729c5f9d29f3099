// The data behind a picture of a surface: the values of a volume, prepared for sampling along rays, and the extent of the body.
//
// The values get a border of one voxel, so that a body that touches the edge of its volume is closed there, and are smoothed by
// less than a voxel: the noise of a scan would make the normals random.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/volume/statistics.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The threshold of tissue in a skull-stripped T1: the share of the 99 % quantile of the non-zero voxels, counted from 0, or from the
/// smallest value where more than a tenth of the non-zero values are negative. Between fluid and cortex, so that sulci are open.
inline constexpr double surface_share = 0.45;

inline float surface_threshold(Context<Cpu>& ctx, const Volume& volume, double share = surface_share) {
  const VolumeStatistics s = statistics(ctx, volume.data(), volume.size());
  const float low = 10 * s.negative > s.nonzero ? s.min : 0.0f;
  const float high = nonzero_quantile(volume.data(), volume.size(), 0.99);
  return low + static_cast<float>(share) * (high - low);
}

/// The surface of what is brighter than a threshold.
class Surface {
 public:
  static constexpr Index block = 8;  // cells of the coarse grid, along each axis

  /// Without a threshold: surface_threshold(). `smoothing` is the standard deviation in mm; at most 0.7 voxels are taken.
  /// Throws Error (shape) for a volume without voxels, Error (argument) when the threshold is not a number or nothing is brighter,
  /// Error (format) for a singular affine. Voxels that are not finite count as background.
  Surface(Context<Cpu>& ctx, const Volume& volume, std::optional<float> wanted = {}, double smoothing = 0.7) {
    if (volume.size() == 0) fail(ErrorKind::shape, "surface.empty", "surface: expected a volume with voxels, got none");
    to_voxel_ = inverse(volume.affine);
    threshold_ = wanted ? *wanted : surface_threshold(ctx, volume);
    const VolumeStatistics s = statistics(ctx, volume.data(), volume.size());
    if (!(threshold_ < s.max))
      fail(ErrorKind::argument, "surface.threshold", "surface: expected a threshold below the largest value ", s.max,
           ", got ", threshold_);
    fill(ctx, volume, std::min(threshold_, std::min(s.min, 0.0f)));
    measure(volume);
    for (std::size_t axis = 0; axis < 3; ++axis) smooth(ctx, axis, smoothing / spacing(volume.affine)[axis]);
    fill_blocks(ctx);
    for (int r = 0; r < 3; ++r) to_voxel_(r, 3) += 1;  // the border
    const Vec3 steps = spacing(volume.affine);
    step_ = 0.5 * *std::min_element(steps.begin(), steps.end());
  }

  float threshold() const { return threshold_; }
  /// World mm -> index into the values with their border.
  const Affine& to_voxel() const { return to_voxel_; }
  const Extent3& shape() const { return n_; }
  /// Middle of the box around the body, and the radius of the sphere around that which holds the body, mm.
  const Vec3& centre() const { return centre_; }
  double radius() const { return radius_; }
  /// Half the smallest distance between voxels, mm.
  double step() const { return step_; }

  /// Trilinear; positions outside take the value of the nearest inside.
  float at(const std::array<float, 3>& p) const {
    std::array<Index, 3> i{};
    std::array<float, 3> f{};
    for (std::size_t d = 0; d < 3; ++d) {
      const float x = std::clamp(p[d], 0.0f, static_cast<float>(n_[d] - 1));
      i[d] = std::min(static_cast<Index>(x), n_[d] - 2);
      f[d] = x - static_cast<float>(i[d]);
    }
    const float* v = values_.data() + (i[0] * n_[1] + i[1]) * n_[2] + i[2];
    const Index dy = n_[2], dx = n_[1] * n_[2];
    const auto along = [&](const float* q) { return q[0] + f[2] * (q[1] - q[0]); };
    const float a = along(v), b = along(v + dy), c = along(v + dx), e = along(v + dx + dy);
    const float low = a + f[1] * (b - a), high = c + f[1] * (e - c);
    return low + f[0] * (high - low);
  }

  /// Whether no position of the block is brighter than the threshold.
  bool empty(const std::array<Index, 3>& b) const {
    return !(blocks_[static_cast<std::size_t>((b[0] * m_[1] + b[1]) * m_[2] + b[2])] > threshold_);
  }

 private:
  void fill(Context<Cpu>& ctx, const Volume& volume, float border) {
    const Extent3 n = volume.shape();
    for (std::size_t d = 0; d < 3; ++d) n_[d] = n[d] + 2;
    values_.assign(static_cast<std::size_t>(voxel_count(n_)), border);
    ctx.parallel(n[0], [&](Index i) {
      for (Index j = 0; j < n[1]; ++j) {
        const float* in = volume.data() + (i * n[1] + j) * n[2];
        float* out = values_.data() + ((i + 1) * n_[1] + j + 1) * n_[2] + 1;
        for (Index k = 0; k < n[2]; ++k) out[k] = std::isfinite(in[k]) ? in[k] : border;
      }
    });
  }

  /// Box and sphere around the body, from the first and last voxel of every line.
  void measure(const Volume& volume) {
    std::vector<Vec3> ends;
    for (Index i = 1; i + 1 < n_[0]; ++i)
      for (Index j = 1; j + 1 < n_[1]; ++j) {
        const float* row = values_.data() + (i * n_[1] + j) * n_[2];
        Index first = 0, last = n_[2] - 1;
        while (first < n_[2] && !(row[first] > threshold_)) ++first;
        if (first == n_[2]) continue;
        while (!(row[last] > threshold_)) --last;
        for (const Index k : {first, last})
          ends.push_back(volume.affine *
                         Vec3{static_cast<double>(i - 1), static_cast<double>(j - 1), static_cast<double>(k - 1)});
      }
    Vec3 low = ends.front(), high = low;
    for (const Vec3& p : ends)
      for (std::size_t d = 0; d < 3; ++d) low[d] = std::min(low[d], p[d]), high[d] = std::max(high[d], p[d]);
    double squared = 0;
    for (std::size_t d = 0; d < 3; ++d) centre_[d] = 0.5 * (low[d] + high[d]);
    for (const Vec3& p : ends) {
      double sum = 0;
      for (std::size_t d = 0; d < 3; ++d) sum += (p[d] - centre_[d]) * (p[d] - centre_[d]);
      squared = std::max(squared, sum);
    }
    const Vec3 voxel = spacing(volume.affine);
    radius_ = std::sqrt(squared) + 0.5 * *std::max_element(voxel.begin(), voxel.end());
  }

  /// (w, 1 - 2w, w) along an axis has the variance 2w.
  void smooth(Context<Cpu>& ctx, std::size_t axis, double sd) {
    const float w = static_cast<float>(std::clamp(0.5 * sd * sd, 0.0, 0.25));
    if (!(w > 0.01f)) return;
    const Index plane = n_[1] * n_[2], apart = axis == 0 ? plane : axis == 1 ? n_[2] : 1;
    std::vector<float> out(values_);
    ctx.parallel(n_[0] - 2, [&](Index i) {
      for (Index j = 1; j + 1 < n_[1]; ++j) {
        const Index first = (i + 1) * plane + j * n_[2];
        const float* v = values_.data() + first;
        float* o = out.data() + first;
        for (Index k = 1; k + 1 < n_[2]; ++k) o[k] = v[k] + w * ((v[k - apart] - v[k]) + (v[k + apart] - v[k]));
      }
    });
    values_.swap(out);
  }

  void fill_blocks(Context<Cpu>& ctx) {
    for (std::size_t d = 0; d < 3; ++d) m_[d] = (n_[d] - 2) / block + 1;  // cells are one fewer than values
    blocks_.assign(static_cast<std::size_t>(voxel_count(m_)), -std::numeric_limits<float>::infinity());
    ctx.parallel(m_[0], [&](Index a) {
      for (Index i = a * block; i < std::min(a * block + block + 1, n_[0]); ++i)
        for (Index b = 0; b < m_[1]; ++b)
          for (Index j = b * block; j < std::min(b * block + block + 1, n_[1]); ++j) {
            const float* row = values_.data() + (i * n_[1] + j) * n_[2];
            for (Index c = 0; c < m_[2]; ++c) {
              float& most = blocks_[static_cast<std::size_t>((a * m_[1] + b) * m_[2] + c)];
              for (Index k = c * block; k < std::min(c * block + block + 1, n_[2]); ++k) most = std::max(most, row[k]);
            }
          }
    });
  }

  Extent3 n_{}, m_{};  // of the values with their border, of the blocks
  std::vector<float> values_, blocks_;
  Affine to_voxel_;
  Vec3 centre_{};
  double radius_ = 0, step_ = 0;
  float threshold_ = 0;
};

}  // namespace braing3n::inline BRAING3N_ABI
