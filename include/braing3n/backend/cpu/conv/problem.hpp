// One description for a convolution and for its transpose, so that one engine computes both.
//
// Along one axis a convolution reads x[in_first + o * in_step + t] with weight tap k(t), for t in [0, taps). The transpose of a
// convolution with stride s falls apart into s such sums, one per residue p of the result's index i = s * o + p: only the taps
// k = (p + pad) mod s, + s, + 2 s, ... meet the grid, and they walk backwards. In three dimensions these are up to s^3 "phases",
// each a convolution with stride 1, fewer taps and a result written s apart.
//
// With channels last and taps along z one voxel apart, the taps of one (kx, ky) and all channels are one contiguous run of the
// input. Such a run is a "line" of the sum below: rows of neighbouring z overlap in memory and are never copied.
#pragma once

#include <algorithm>
#include <vector>

#include "braing3n/backend/cpu/providers/provider.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// Piece t of `count` cut into `pieces` nearly equal parts of even length (the last may be odd): [even_cut(t), even_cut(t + 1)).
inline Index even_cut(Index count, Index pieces, Index t) {
  return std::min(count, t * ((count + 1) / 2) / pieces * 2);
}

struct ConvAxis {
  Index count = 0;                    // results of this phase along the axis
  Index out_first = 0, out_step = 1;  // where they lie
  Index in_first = 0, in_step = 1;    // first input index of result o: in_first + o * in_step
  Index taps = 0;
  Index tap_first = 0, tap_step = 1;  // tap t is weight index tap_first + t * tap_step

  Index in_index(Index o, Index t) const { return in_first + o * in_step + t; }
  Index out_index(Index o) const { return out_first + o * out_step; }
  Index tap(Index t) const { return tap_first + t * tap_step; }
};

struct ConvPhase {
  ConvAxis axis[3];
  Index lines() const { return axis[0].taps * axis[1].taps; }
};

struct ConvProblem {
  Index batch = 0;
  Index reduced = 0;         // channels that are summed over
  Index columns = 0;         // channels of the result
  Index in[3] = {0, 0, 0};   // extents of what is read
  Index out[3] = {0, 0, 0};  // extents of the result
  Index kernel[3] = {0, 0, 0};
  Index w_reduced = 0, w_column = 0;  // distances in w between neighbouring reduced and result channels
  std::vector<ConvPhase> phases;

  Index tap_size() const { return reduced * columns; }
  /// The only phase reads w in order: it is a (taps, reduced) x columns matrix as it lies.
  bool weights_in_order() const {
    if (phases.size() != 1 || w_column != 1) return false;
    for (const ConvAxis& axis : phases.front().axis)
      if (axis.tap_step != 1) return false;
    return true;
  }
  /// Result number r of a phase, counted over samples, x, y, z.
  struct Cell {
    Index n, x, y, z;
  };
  static Cell cell(const ConvPhase& phase, Index r) {
    const Index nx = phase.axis[0].count, ny = phase.axis[1].count, nz = phase.axis[2].count;
    return {r / nz / ny / nx, r / nz / ny % nx, r / nz % ny, r % nz};
  }
  /// Offset in w of tap (x, y, z) of a phase.
  Index weight_offset(const ConvPhase& phase, Index tx, Index ty, Index tz) const {
    return ((phase.axis[0].tap(tx) * kernel[1] + phase.axis[1].tap(ty)) * kernel[2] + phase.axis[2].tap(tz)) *
           tap_size();
  }
};

/// y = conv(x, w): one phase.
inline ConvProblem forward_problem(const ConvGeometry& g) {
  ConvProblem p;
  p.batch = g.batch, p.reduced = g.channels_in, p.columns = g.channels_out;
  p.w_reduced = g.weight_swapped ? 1 : g.channels_out, p.w_column = g.weight_swapped ? g.channels_in : 1;
  ConvPhase phase;
  for (int a = 0; a < 3; ++a) {
    p.in[a] = g.in[a], p.out[a] = g.out[a], p.kernel[a] = g.kernel[a];
    phase.axis[a] = {.count = g.out[a], .in_first = -g.pad_before[a], .in_step = g.stride[a], .taps = g.kernel[a]};
  }
  p.phases.push_back(phase);
  return p;
}

/// The part of the transpose that makes the results i = s * o + p along one axis.
inline ConvAxis transposed_axis(const ConvGeometry& g, int a, Index p) {
  const Index s = g.stride[a], k0 = (p + g.pad_before[a]) % s;
  const Index taps = k0 < g.kernel[a] ? (g.kernel[a] - k0 + s - 1) / s : 0;
  return {.count = g.in[a] > p ? (g.in[a] - p + s - 1) / s : 0,
          .out_first = p,
          .out_step = s,
          .in_first = (p + g.pad_before[a] - k0) / s - (taps - 1),
          .in_step = 1,
          .taps = taps,
          .tap_first = k0 + s * (taps - 1),
          .tap_step = -s};
}

/// dx = conv^T(dy, w): stride^3 phases, neighbouring z first, so that they fill the same cache lines soon after each other.
inline ConvProblem transposed_problem(const ConvGeometry& g) {
  ConvProblem p;
  p.batch = g.batch, p.reduced = g.channels_out, p.columns = g.channels_in;
  p.w_reduced = g.weight_swapped ? g.channels_in : 1, p.w_column = g.weight_swapped ? 1 : g.channels_out;
  for (int a = 0; a < 3; ++a) p.in[a] = g.out[a], p.out[a] = g.in[a], p.kernel[a] = g.kernel[a];
  for (Index px = 0; px < g.stride[0]; ++px)
    for (Index py = 0; py < g.stride[1]; ++py)
      for (Index pz = 0; pz < g.stride[2]; ++pz) {
        ConvPhase phase{{transposed_axis(g, 0, px), transposed_axis(g, 1, py), transposed_axis(g, 2, pz)}};
        if (phase.axis[0].count > 0 && phase.axis[1].count > 0 && phase.axis[2].count > 0) p.phases.push_back(phase);
      }
  return p;
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
