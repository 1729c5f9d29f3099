// The loops behind resample.hpp: which source voxels make a result voxel, copying along axes, weighing along one axis.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/volume/orientation.hpp"
#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class Interpolation { linear, nearest };

/// One axis of the result: its index j lies at position scale * j + offset along source axis `from`, counted from the other
/// end when `flip`. scale > 0.
struct AxisMap {
  int from = 0;
  bool flip = false;
  double scale = 1.0, offset = 0.0;
};
using AxisMaps = std::array<AxisMap, 3>;

/// Rounds a map to whole voxels when it is less than a thousandth of a voxel away from that over `count` result voxels.
inline AxisMap snapped(AxisMap map, Index count) {
  const double whole = std::round(map.scale);
  if (whole < 1 || std::abs(map.scale - whole) * static_cast<double>(count) > 1e-3) return map;
  map.scale = whole;
  const double half = 0.5 * (whole - 1);  // a box of an even number of voxels is centred between two
  const double place = std::round(map.offset - half);
  if (std::abs(map.offset - half - place) < 1e-3) map.offset = place + half;
  return map;
}

namespace detail {

/// Which source voxels make result voxel j of one axis: weight[j * width + t] of voxel first[j] + t, t < count[j].
struct Taps {
  std::vector<Index> first;
  std::vector<Index> count;
  std::vector<float> weight;
  Index width = 1;
  bool copies = true;       // every result voxel is one source voxel or nothing
  Index low = 0, high = 0;  // source voxels in use: [low, high)

  Taps(Index source, Index result, const AxisMap& map, Interpolation how) {
    const bool box = how == Interpolation::linear && map.scale > 1.0;
    width = box ? static_cast<Index>(std::ceil(map.scale)) + 2 : 2;
    first.assign(static_cast<std::size_t>(result), 0);
    count.assign(static_cast<std::size_t>(result), 0);
    weight.assign(static_cast<std::size_t>(result * width), 0.0f);
    low = source;
    for (Index j = 0; j < result; ++j) {
      const double p = map.scale * static_cast<double>(j) + map.offset;
      if (box) set_box(j, p, map.scale, source);
      else set_point(j, p, source, how);
      const std::size_t s = static_cast<std::size_t>(j);
      if (count[s] == 0) continue;
      copies = copies && count[s] == 1 && weight[static_cast<std::size_t>(j * width)] == 1.0f;
      low = std::min(low, first[s]);
      high = std::max(high, first[s] + count[s]);
    }
    low = std::min(low, high);
  }

 private:
  void set_point(Index j, double p, Index source, Interpolation how) {
    const double last = static_cast<double>(source - 1);
    if (!(p >= -0.5 - 1e-9 && p <= last + 0.5 + 1e-9)) return;
    p = std::clamp(p, 0.0, last);
    const std::size_t s = static_cast<std::size_t>(j), w = static_cast<std::size_t>(j * width);
    if (how == Interpolation::nearest || std::abs(p - std::round(p)) < 1e-9) {
      first[s] = std::min(static_cast<Index>(std::floor(p + 0.5)), source - 1);
      count[s] = 1;
      weight[w] = 1.0f;
      return;
    }
    first[s] = static_cast<Index>(p);
    count[s] = 2;
    weight[w + 1] = static_cast<float>(p - std::floor(p));
    weight[w] = 1.0f - weight[w + 1];
  }

  void set_box(Index j, double p, double scale, Index source) {
    const double begin = p - 0.5 * scale + 0.5, end = p + 0.5 * scale + 0.5;  // voxel k covers [k, k + 1)
    const Index k0 =
        std::max<Index>(0, static_cast<Index>(std::floor(std::clamp(begin, -1.0, static_cast<double>(source)) + 1e-9)));
    const Index k1 = std::min<Index>(
        source, static_cast<Index>(std::ceil(std::clamp(end, 0.0, static_cast<double>(source) + 1) - 1e-9)));
    for (Index k = k0; k < k1; ++k) {
      const double overlap = std::min(end, static_cast<double>(k + 1)) - std::max(begin, static_cast<double>(k));
      weight[static_cast<std::size_t>(j * width + k - k0)] = static_cast<float>(std::max(0.0, overlap) / scale);
    }
    first[static_cast<std::size_t>(j)] = k0;
    count[static_cast<std::size_t>(j)] = std::max<Index>(0, k1 - k0);
  }
};

/// result[a][b][c] = source voxel with index table[0][a], table[1][b], table[2][c] along its axes from[0..2]; 0 where an
/// entry is negative.
inline void gather_axes(Context<Cpu>& ctx, const float* source, const Extent3& source_shape,
                        const std::array<int, 3>& from, const std::array<std::vector<Index>, 3>& table, float* result) {
  const Extent3 strides{source_shape[1] * source_shape[2], source_shape[2], 1};
  Extent3 n{}, stride{};
  std::array<std::vector<Index>, 3> offset;
  for (std::size_t a = 0; a < 3; ++a) {
    n[a] = static_cast<Index>(table[a].size());
    stride[a] = strides[static_cast<std::size_t>(from[a])];
    offset[a].resize(table[a].size());
    for (std::size_t j = 0; j < table[a].size(); ++j) offset[a][j] = table[a][j] < 0 ? -1 : table[a][j] * stride[a];
  }
  // The result axis along which the source lies next to each other. When it is not the last one, work in tiles so that both
  // sides use whole cache lines.
  const std::size_t near = stride[2] == 1 ? 2 : stride[1] == 1 ? 1 : 0;
  const std::size_t far = near == 1 ? 0 : 1;  // the remaining one of axes 0 and 1
  if (near == 2) {
    // Neighbours that stay neighbours are copied in one go.
    Index first = 0, last = n[2];
    while (first < n[2] && table[2][static_cast<std::size_t>(first)] < 0) ++first;
    while (last > first && table[2][static_cast<std::size_t>(last - 1)] < 0) --last;
    bool run = first < last;
    for (Index c = first + 1; run && c < last; ++c)
      run = table[2][static_cast<std::size_t>(c)] == table[2][static_cast<std::size_t>(c - 1)] + 1;
    ctx.parallel(n[0], [&](Index a) {
      const Index oa = offset[0][static_cast<std::size_t>(a)];
      for (Index b = 0; b < n[1]; ++b) {
        float* row = result + (a * n[1] + b) * n[2];
        const Index ob = offset[1][static_cast<std::size_t>(b)];
        if (oa < 0 || ob < 0) {
          std::memset(row, 0, static_cast<std::size_t>(n[2]) * sizeof(float));
          continue;
        }
        const float* line = source + oa + ob;
        if (run) {
          std::fill(row, row + first, 0.0f);
          std::memcpy(row + first, line + offset[2][static_cast<std::size_t>(first)],
                      static_cast<std::size_t>(last - first) * sizeof(float));
          std::fill(row + last, row + n[2], 0.0f);
          continue;
        }
        for (Index c = 0; c < n[2]; ++c) {
          const Index oc = offset[2][static_cast<std::size_t>(c)];
          row[c] = oc < 0 ? 0.0f : line[oc];
        }
      }
    });
    return;
  }
  constexpr Index tile = 16;
  const Extent3 result_stride{n[1] * n[2], n[2], 1};
  const Index near_tiles = (n[near] + tile - 1) / tile;
  ctx.parallel(n[far] * near_tiles, [&](Index chunk) {
    const Index f = chunk / near_tiles, begin = chunk % near_tiles * tile, end = std::min(n[near], begin + tile);
    const Index of = offset[far][static_cast<std::size_t>(f)];
    for (Index c0 = 0; c0 < n[2]; c0 += tile)
      for (Index m = begin; m < end; ++m) {
        const Index om = offset[near][static_cast<std::size_t>(m)];
        float* row = result + f * result_stride[far] + m * result_stride[near];
        for (Index c = c0; c < std::min(n[2], c0 + tile); ++c) {
          const Index oc = offset[2][static_cast<std::size_t>(c)];
          row[c] = of < 0 || om < 0 || oc < 0 ? 0.0f : source[of + om + oc];
        }
      }
  });
}

/// Weighted sums along one axis: (outer, n, inner) -> (outer, result, inner), inner next to each other.
inline std::vector<float> weigh_axis(Context<Cpu>& ctx, const std::vector<float>& source, Index outer, Index n,
                                     Index inner, const Taps& taps, Index shift) {
  const Index result = static_cast<Index>(taps.first.size());
  std::vector<float> out(static_cast<std::size_t>(outer * result * inner));
  if (out.empty()) return out;
  const auto line = [&](Index o, Index j) {
    float* to = out.data() + (o * result + j) * inner;
    const std::size_t s = static_cast<std::size_t>(j);
    const float* from = source.data() + (o * n + taps.first[s] - shift) * inner;
    const float* w = taps.weight.data() + j * taps.width;
    const Index count = taps.count[s];
    if (count == 0) return;  // stays 0
    for (Index i = 0; i < inner; ++i) to[i] = w[0] * from[i];
    for (Index t = 1; t < count; ++t) {
      const float weight = w[t];
      const float* row = from + t * inner;
      BRAING3N_IVDEP for (Index i = 0; i < inner; ++i) to[i] += weight * row[i];
    }
  };
  if (outer == 1) ctx.parallel(result, [&](Index j) { line(0, j); });
  else
    ctx.parallel_range(outer, std::max<Index>(1, 65536 / (result * inner)), [&](Index begin, Index end) {
      for (Index o = begin; o < end; ++o)
        for (Index j = 0; j < result; ++j) line(o, j);
    });
  return out;
}

/// Value at a fractional index, trilinear or nearest; 0 outside the outer edges.
inline float value_at(const float* v, const Extent3& n, const Vec3& p, Interpolation how) {
  Index base[3], step[3];
  float w[3];
  const Index stride[3] = {n[1] * n[2], n[2], 1};
  for (std::size_t a = 0; a < 3; ++a) {
    const double last = static_cast<double>(n[a] - 1);
    if (!(p[a] >= -0.5 - 1e-9 && p[a] <= last + 0.5 + 1e-9)) return 0.0f;
    const double q = std::clamp(p[a], 0.0, last);
    base[a] = std::min(static_cast<Index>(how == Interpolation::nearest ? q + 0.5 : q), n[a] - 1);
    w[a] = static_cast<float>(q - static_cast<double>(base[a]));
    step[a] = base[a] + 1 < n[a] ? stride[a] : 0;
  }
  const float* at = v + base[0] * stride[0] + base[1] * stride[1] + base[2];
  if (how == Interpolation::nearest) return *at;
  const auto mix = [](float a, float b, float t) { return a + (b - a) * t; };
  const auto face = [&](const float* q) {
    return mix(mix(q[0], q[step[2]], w[2]), mix(q[step[1]], q[step[1] + step[2]], w[2]), w[1]);
  };
  return mix(face(at), face(at + step[0]), w[0]);
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
