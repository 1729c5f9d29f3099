// Which voxels of a scan are exactly 0: its background, one bit each.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

class BackgroundMask {
 public:
  BackgroundMask() = default;
  BackgroundMask(Context<Cpu>& ctx, const Volume& scan)
      : shape_(scan.shape()), words_(static_cast<std::size_t>((scan.size() + 63) / 64), 0) {
    const Index n = scan.size();
    const float* v = scan.data();
    ctx.parallel_range(static_cast<Index>(words_.size()), 4096, [&](Index begin, Index end) {
      for (Index w = begin; w < end; ++w) {
        std::array<std::uint8_t, 64> zero{};
        const Index count = n - 64 * w < 64 ? n - 64 * w : 64;
        for (Index k = 0; k < count; ++k) zero[static_cast<std::size_t>(k)] = v[64 * w + k] == 0.0f ? 1 : 0;
        std::uint64_t word = 0;
        for (unsigned byte = 0; byte < 8; ++byte) {  // eight bytes of 0 or 1 become eight bits
          std::uint64_t eight;
          std::memcpy(&eight, zero.data() + 8 * byte, 8);
          word |= (eight * 0x0102040810204080u >> 56) << (8 * byte);
        }
        words_[static_cast<std::size_t>(w)] = word;
      }
    });
  }

  bool empty() const { return words_.empty(); }
  const Extent3& shape() const { return shape_; }
  /// `voxel` as in Volume::data().
  bool operator[](Index voxel) const { return (words_[static_cast<std::size_t>(voxel / 64)] >> (voxel % 64) & 1) != 0; }

  /// Makes 0 what was 0 in the scan, whose voxels were those of `own`. On another grid the nearest voxel of the scan decides; places
  /// outside the scan stay as they are. An empty mask changes nothing.
  void impose(Context<Cpu>& ctx, Volume& volume, const Grid& own) const {
    if (empty()) return;
    if (volume.grid() == own) {
      ctx.parallel_range(static_cast<Index>(words_.size()), 4096, [&](Index begin, Index end) {
        for (Index w = begin; w < end; ++w)
          if (words_[static_cast<std::size_t>(w)] != 0)
            for (Index i = 64 * w; i < 64 * w + 64 && i < volume.size(); ++i)
              if ((*this)[i]) volume.data()[i] = 0.0f;
      });
      return;
    }
    const Affine map = inverse(own.affine) * volume.affine;
    const Extent3 n = volume.shape();
    ctx.parallel(n[0], [&](Index i) {
      float* out = volume.data() + i * n[1] * n[2];
      for (Index j = 0; j < n[1]; ++j)
        for (Index k = 0; k < n[2]; ++k, ++out) {
          const Vec3 p = map * Vec3{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
          Index at = 0;
          bool inside = true;
          for (std::size_t a = 0; a < 3; ++a) {
            const double nearest = std::floor(p[a] + 0.5);
            inside = inside && nearest >= 0 && nearest < static_cast<double>(shape_[a]);
            at = at * shape_[a] + (inside ? static_cast<Index>(nearest) : 0);
          }
          if (inside && (*this)[at]) *out = 0.0f;
        }
    });
  }

 private:
  Extent3 shape_{0, 0, 0};
  std::vector<std::uint64_t> words_;
};

}  // namespace braing3n::inline BRAING3N_ABI
