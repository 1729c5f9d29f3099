// Sums over the voxels of a volume. Cut into pieces of fixed size and added in a fixed order, in double, so the result does
// not depend on the number of threads. The sums are loops: NaN keeps reductions of xtensor from
// vectorising.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct VolumeStatistics {
  Index voxels = 0, nonzero = 0, negative = 0, non_finite = 0;  // NaN and infinities count as neither zero nor negative
  float min = 0, max = 0;                                       // of the finite voxels; 0 when there are none
  bool whole_numbers = true;                                    // all finite voxels are
};

namespace detail {
constexpr Index statistics_grain = 1 << 16;

/// Calls f(begin, end) -> P for every piece of [0, n) and adds the results up in order.
template <class P, class F>
P sum_pieces(Context<Cpu>& ctx, Index n, F&& f) {
  std::vector<P> parts(static_cast<std::size_t>((n + statistics_grain - 1) / statistics_grain));
  ctx.parallel_range(n, statistics_grain, [&](Index begin, Index end) {
    parts[static_cast<std::size_t>(begin / statistics_grain)] = f(begin, end);
  });
  P total{};
  for (const P& p : parts) total += p;
  return total;
}
}  // namespace detail

inline VolumeStatistics statistics(Context<Cpu>& ctx, const float* v, Index n) {
  struct Part {
    Index nonzero = 0, negative = 0, non_finite = 0, fractional = 0;
    float min = std::numeric_limits<float>::infinity(), max = -std::numeric_limits<float>::infinity();
    Part& operator+=(const Part& o) {
      nonzero += o.nonzero, negative += o.negative, non_finite += o.non_finite, fractional += o.fractional;
      min = std::min(min, o.min), max = std::max(max, o.max);
      return *this;
    }
  };
  const Part p = detail::sum_pieces<Part>(ctx, n, [&](Index begin, Index end) {
    Part part;
    vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      // Counts stay in 32-bit words like the values: comparisons of floats and of integers mixed as bool do not vectorise either.
      std::int32_t nonzero = 0, negative = 0, non_finite = 0, fractional = 0;
      // The least and the largest are taken on bit patterns mapped to integers of the same order: float comparisons with
      // NaN in between do not vectorise.
      std::int32_t low = std::numeric_limits<std::int32_t>::max(), high = std::numeric_limits<std::int32_t>::min();
      for (Index i = begin; i < end; ++i) {
        const float x = v[i];
        const std::int32_t bits = __builtin_bit_cast(std::int32_t, x);
        const std::int32_t magnitude = bits & 0x7fffffff;
        const std::int32_t sign = bits >> 31;  // 0 or -1
        const std::int32_t finite = (magnitude - 0x7f800000) >> 31, some = (-magnitude) >> 31;
        const std::int32_t order = (magnitude ^ sign) - sign;
        nonzero -= finite & some;
        negative -= finite & some & sign;
        non_finite += finite + 1;
        // Above 2^23 every float is a whole number; below, adding and taking away 1.5 * 2^23 rounds to one.
        const float rounded = (x + 12582912.0f) - 12582912.0f;
        const std::int32_t moved = __builtin_bit_cast(std::int32_t, rounded) ^ bits;  // a zero may change its sign only
        fractional += static_cast<std::int32_t>((moved & 0x7fffffff) != 0) & ((magnitude - 0x4b000000) >> 31);
        low = std::min(low, (order & finite) | (std::numeric_limits<std::int32_t>::max() & ~finite));
        high = std::max(high, (order & finite) | (std::numeric_limits<std::int32_t>::min() & ~finite));
      }
      part.nonzero = nonzero, part.negative = negative, part.non_finite = non_finite, part.fractional = fractional;
      const auto back = [](std::int32_t order) {
        return __builtin_bit_cast(
            float, order < 0 ? static_cast<std::int32_t>(-order | static_cast<std::int32_t>(0x80000000u)) : order);
      };
      if (low != std::numeric_limits<std::int32_t>::max()) {
        part.min = back(low);
        part.max = back(high);
      }
    });
    return part;
  });
  VolumeStatistics s{n, p.nonzero, p.negative, p.non_finite, 0, 0, p.fractional == 0};
  if (p.min <= p.max) s.min = p.min, s.max = p.max;
  return s;
}

/// Mean and population standard deviation of the voxels, or of the non-zero ones. Two passes, so that a large mean does
/// not swallow the spread. All voxels must be finite.
struct MeanAndSd {
  Index count = 0;
  double mean = 0, sd = 0;
};

inline MeanAndSd mean_and_sd(Context<Cpu>& ctx, const float* v, Index n, bool nonzero_only) {
  struct Part {
    double sum = 0;
    Index count = 0;
    Part& operator+=(const Part& o) {
      sum += o.sum, count += o.count;
      return *this;
    }
  };
  constexpr Index lanes = 16;
  const auto pass = [&](double centre, bool squared) {
    return detail::sum_pieces<Part>(ctx, n, [&](Index begin, Index end) {
      Part part;
      vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
        double sum[lanes] = {};
        std::int32_t count[lanes] = {};
        const auto add = [&](Index i, Index lane) BRAING3N_LAMBDA_INLINE {
          const float x = v[i];
          const bool in = !nonzero_only | (x != 0.0f);
          const double d = static_cast<double>(x) - centre;
          const double term = squared ? d * d : d;
          sum[lane] += in ? term : 0.0;
          count[lane] += in;
        };
        Index i = begin;
        for (; i + lanes <= end; i += lanes)
          for (Index l = 0; l < lanes; ++l) add(i + l, l);
        for (; i < end; ++i) add(i, 0);
        for (Index l = 0; l < lanes; ++l) part.sum += sum[l], part.count += count[l];
      });
      return part;
    });
  };
  const Part first = pass(0.0, false);
  MeanAndSd m{first.count, 0, 0};
  if (m.count == 0) return m;
  m.mean = first.sum / static_cast<double>(m.count);
  m.sd = std::sqrt(pass(m.mean, true).sum / static_cast<double>(m.count));
  return m;
}

/// The q-th quantile (0 to 1) of the finite non-zero values, from a histogram of 4096 bins.
inline float nonzero_quantile(const float* v, Index n, double q) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (Index i = 0; i < n; ++i)
    if (v[i] != 0 && std::isfinite(v[i])) low = std::min(low, v[i]), high = std::max(high, v[i]);
  if (!(low < high)) return std::isfinite(low) ? low : 0.0f;
  std::vector<Index> bins(4096, 0);
  const double scale = 4096.0 / (static_cast<double>(high) - static_cast<double>(low));
  Index count = 0;
  for (Index i = 0; i < n; ++i)
    if (v[i] != 0 && std::isfinite(v[i])) {
      ++bins[static_cast<std::size_t>(
          std::min(4095.0, (static_cast<double>(v[i]) - static_cast<double>(low)) * scale))];
      ++count;
    }
  Index below = 0;
  for (std::size_t b = 0; b < bins.size(); ++b) {
    below += bins[b];
    if (static_cast<double>(below) >= q * static_cast<double>(count))
      return static_cast<float>(static_cast<double>(low) + (static_cast<double>(b) + 1) / scale);
  }
  return high;
}

/// Centre of mass in voxel indices; the weights are the positive values. The middle of the grid when there are none.
inline Vec3 centre_of_mass(Context<Cpu>& ctx, const Volume& volume) {
  const Extent3 n = volume.shape();
  struct Part {
    double mass = 0, i = 0, j = 0, k = 0;
  };
  std::vector<Part> parts(static_cast<std::size_t>(n[0]));
  ctx.parallel(n[0], [&](Index i) {
    Part p;
    const float* row = volume.data() + i * n[1] * n[2];
    for (Index j = 0; j < n[1]; ++j, row += n[2]) {
      double mass = 0, k_sum = 0;
      for (Index k = 0; k < n[2]; ++k) {
        const double w = row[k] > 0 ? static_cast<double>(row[k]) : 0.0;
        mass += w;
        k_sum += w * static_cast<double>(k);
      }
      p.mass += mass;
      p.j += mass * static_cast<double>(j);
      p.k += k_sum;
    }
    p.i = p.mass * static_cast<double>(i);
    parts[static_cast<std::size_t>(i)] = p;
  });
  Part t;
  for (const Part& p : parts) t.mass += p.mass, t.i += p.i, t.j += p.j, t.k += p.k;
  if (!(t.mass > 0))
    return {0.5 * static_cast<double>(n[0] - 1), 0.5 * static_cast<double>(n[1] - 1),
            0.5 * static_cast<double>(n[2] - 1)};
  return {t.i / t.mass, t.j / t.mass, t.k / t.mass};
}

/// mean_and_sd() of the finite voxels that are not zero, whatever the others are. values (X, Y, Z).
inline MeanAndSd finite_mean_and_sd(Context<Cpu>& ctx, const xt::xtensor<float, 3>& values) {
  xt::xtensor<float, 3> finite = values;
  std::replace_if(finite.begin(), finite.end(), [](float v) { return !std::isfinite(v); }, 0.0f);
  return mean_and_sd(ctx, finite.data(), static_cast<Index>(finite.size()), true);
}

}  // namespace braing3n::inline BRAING3N_ABI
