// Random changes of training volumes. What happens to a sample depends on the seed and on the sample's place in the training
// stream alone.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/volume/contract.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Random changes of a training volume, drawn again for every step. All off by default.
struct AugmentOptions {
  bool flip = false;     // left and right exchanged, in half of the cases
  Index shift = 0;       // whole voxels, up to this many along each axis, either way
  double intensity = 0;  // scale 1 + a and offset b with a, b uniform in [-intensity, intensity], background left alone

  bool any() const { return flip || shift > 0 || intensity > 0; }

  static void visit(auto& self, auto&& v) {
    v("flip", self.flip);
    v("shift", self.shift);
    v("intensity", self.intensity);
  }
};

namespace detail {

/// A volume mirrored along `axis` (< 0: not) and moved by whole voxels; what comes in from outside is `fill`.
inline void mirror_and_shift(const float* from, float* to, const Extent3& n, int axis, const Extent3& shift,
                             float fill) {
  const auto source = [&](std::size_t a, Index i) {  // -1: outside
    const Index at = i - shift[a];
    if (at < 0 || at >= n[a]) return Index{-1};
    return static_cast<int>(a) == axis ? n[a] - 1 - at : at;
  };
  const Index begin = std::clamp<Index>(shift[2], 0, n[2]), end = std::clamp<Index>(n[2] + shift[2], begin, n[2]);
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j, to += n[2]) {
      const Index si = source(0, i), sj = source(1, j);
      if (si < 0 || sj < 0) {
        std::fill_n(to, n[2], fill);
        continue;
      }
      const float* line = from + (si * n[1] + sj) * n[2];
      std::fill_n(to, begin, fill);
      if (axis == 2) std::reverse_copy(line + (n[2] - end + shift[2]), line + (n[2] - begin + shift[2]), to + begin);
      else std::copy(line + begin - shift[2], line + end - shift[2], to + begin);
      std::fill_n(to + end, n[2] - end, fill);
    }
}

}  // namespace detail

/// volumes (N, X, Y, Z, 1) of the contract's orientation, changed in place; samples: N places in the stream.
inline void augment(Context<Cpu>& ctx, Tensor<float, Cpu>& volumes, const std::vector<std::uint32_t>& samples,
                    const AugmentOptions& options, const PreprocessingContract& contract, std::uint64_t seed) {
  if (!options.any()) return;
  if (volumes.rank() != 5 || volumes.dim(0) != static_cast<Index>(samples.size()) || volumes.dim(4) != 1)
    fail(ErrorKind::shape, "augment.shape", "augment: volumes ", volumes.shape(), " for ", samples.size(),
         " samples, expected (N, X, Y, Z, 1)");
  const Orientation orientation = parse_orientation(contract.orientation);
  int left_right = 0;
  while (orientation.axis[static_cast<std::size_t>(left_right)] != 0) ++left_right;
  const Extent3 n = {volumes.dim(1), volumes.dim(2), volumes.dim(3)};
  const Index voxels = voxel_count(n);
  const bool zero_background = keeps_zero(contract);
  ctx.parallel(volumes.dim(0), [&](Index s) {
    const Philox rng(seed, Purpose::augment, 0, samples[static_cast<std::size_t>(s)]);
    float* v = volumes.data() + s * voxels;
    const bool flip = options.flip && (rng.integer(0) & 1u) != 0;
    Extent3 shift{};
    for (std::size_t a = 0; a < 3; ++a)
      shift[a] =
          static_cast<Index>(rng.integer(1 + a) % static_cast<std::uint32_t>(2 * options.shift + 1)) - options.shift;
    if (flip || shift != Extent3{}) {
      std::vector<float> moved(static_cast<std::size_t>(voxels));
      detail::mirror_and_shift(v, moved.data(), n, flip ? left_right : -1, shift, zero_background ? 0.0f : v[0]);
      std::memcpy(v, moved.data(), moved.size() * sizeof(float));
    }
    if (options.intensity > 0) {
      const float width = static_cast<float>(options.intensity), scale = 1.0f + width * (2.0f * rng.uniform(4) - 1.0f),
                  offset = width * (2.0f * rng.uniform(5) - 1.0f);
      for (Index i = 0; i < voxels; ++i)
        if (!zero_background || v[i] != 0.0f) v[i] = v[i] * scale + offset;
    }
  });
}

}  // namespace braing3n::inline BRAING3N_ABI
