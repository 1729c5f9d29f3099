// Weight gradient of a convolution, computed in place: dw[tap][i][o] += sum over voxels v of x[v * stride - pad + tap][i] dy[v][o].
//
// For one tap this is a matrix product of x (channels in, voxels) with dy (voxels, channels out), summed line by line over z. A tile
// of dw stays in registers for a whole group of lines. Work is cut in two ways, both fixed by the geometry:
//   - into slices of dw (a panel of output channels, and one kx when that is still large), so that a slice stays in the cache,
//   - into groups of voxels, each with a dw of its own, added up in order at the end, when there are few slices.
// With swapped weights (ConvGeometry) the roles of the channels change: rows of a tile are output channels, columns input channels.
// A first layer with very few input channels would leave the tile almost empty: there x is copied once with z padded, and the
// taps along z, which are contiguous, join the channels. A last layer with very few output channels is solved with the roles of
// x and dy exchanged, which for stride 1 is the same sum with the taps reversed.
#pragma once

#include <cstring>

#include "braing3n/backend/cpu/context/context_type.hpp"
#include "braing3n/backend/cpu/conv/problem.hpp"
#include "braing3n/backend/cpu/gemm/micro.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// C[r][j] += sum over terms t, over k of terms[t].a[a_offset + k * a_step + r] * terms[t].b[b_offset + k * b_step + j]
template <class T>
struct OuterCall {
  Index rows = 0, cols = 0, k = 0;
  Index a_step = 0, b_step = 0, a_offset = 0, b_offset = 0;
  const TileTerm<T>* terms = nullptr;
  Index term_count = 0;
  T* c = nullptr;
  Index ldc = 0;
};

/// Outer: struct with In, rows, cols, row_limit(columns) and tile(const OuterCall<In>&).
template <class Outer>
class ConvWeightGradient {
  using T = typename Outer::In;

 public:
  ConvWeightGradient(Context<Cpu>& ctx, const ConvGeometry& geometry) : ctx_(ctx), g_(geometry) {}

  void run(const T* x, const T* dy, T* dw) {
    const bool plain = !g_.weight_swapped, stride1 = g_.stride[0] == 1 && g_.stride[1] == 1 && g_.stride[2] == 1;
    if (plain && stride1 && g_.channels_out * g_.kernel[2] <= Outer::rows && g_.channels_out < g_.channels_in)
      exchanged(x, dy, dw);
    else if (plain && g_.kernel[2] > 1 && g_.channels_in * g_.kernel[2] <= Outer::rows) joined(x, dy, dw);
    else solve(x, dy, dw);
  }

 private:
  // dw[k][i][o] = sum over u of dy[u + pad - k][o] x[u][i]: the gradient for input dy, upstream x, taps and padding reversed.
  void exchanged(const T* x, const T* dy, T* dw) {
    ConvGeometry g = g_;
    std::swap(g.channels_in, g.channels_out);
    for (int a = 0; a < 3; ++a) {
      std::swap(g.in[a], g.out[a]);
      g.pad_before[a] = g_.kernel[a] - 1 - g_.pad_before[a];
      g.pad_after[a] = g_.kernel[a] - 1 - g_.pad_after[a];
    }
    const Index taps = g.kernel[0] * g.kernel[1] * g.kernel[2], ci = g_.channels_in, co = g_.channels_out;
    Tensor<T, Cpu> reversed = Tensor<T, Cpu>::zeros(ctx_, Shape{taps * ci * co});
    ConvWeightGradient inner(ctx_, g);
    if (co * g.kernel[2] <= Outer::rows && g.kernel[2] > 1) inner.joined(dy, x, reversed.data());
    else inner.solve(dy, x, reversed.data());
    for (Index t = 0; t < taps; ++t)
      for (Index i = 0; i < ci; ++i)
        for (Index o = 0; o < co; ++o) dw[(t * ci + i) * co + o] += reversed.data()[((taps - 1 - t) * co + o) * ci + i];
  }

  void joined(const T* x, const T* dy, T* dw) {
    ConvGeometry g = g_;
    const Index c = g.channels_in, before = std::max<Index>(0, g.pad_before[2]);
    const Index last =
        (g.out[2] - 1) * g.stride[2] - g.pad_before[2] + g.kernel[2];  // one past the last voxel that is read
    const Index extent = before + std::max(last, g.in[2]), lines = g.batch * g.in[0] * g.in[1];
    Tensor<T, Cpu> padded(ctx_, Shape{lines * extent * c});
    T* const to = padded.data();
    ctx_.parallel_range(lines, std::max<Index>(1, 65536 / (extent * c)), [&](Index begin, Index end) {
      for (Index l = begin; l < end; ++l) {
        T* line = to + l * extent * c;
        std::fill_n(line, extent * c, T(0));
        std::memcpy(line + before * c, x + l * g.in[2] * c, static_cast<std::size_t>(g.in[2] * c) * sizeof(T));
      }
    });
    // A voxel of the joined grid is the run of taps that begins there: `stride` voxels of c channels apart, all inside.
    ConvWeightGradient inner(ctx_, g);
    inner.rows_ = g.kernel[2] * c;
    inner.line_ = extent * c;
    inner.a_first_ = (before - g.pad_before[2]) * c;
    inner.joined_ = true;
    inner.solve(to, dy, dw);
  }

  void solve(const T* x, const T* dy, T* dw) {
    const Index ci = g_.channels_in, co = g_.channels_out;
    if (!joined_) rows_ = g_.weight_swapped ? co : ci, line_ = g_.in[2] * ci;
    columns_ = g_.weight_swapped ? ci : co;
    x_ = x, dy_ = dy;
    constexpr Index slice_bytes = 512 << 10, partial_bytes = 64 << 20;
    const Index size = g_.kernel[0] * g_.kernel[1] * g_.kernel[2] * ci * co,
                bytes = size * static_cast<Index>(sizeof(T));
    const Index panels = (columns_ + Outer::cols - 1) / Outer::cols;
    Index panel_groups = bytes > slice_bytes ? panels : 1;
    const Index kx_groups = bytes / panel_groups > slice_bytes ? g_.kernel[0] : 1;
    const Index group_panels = (panels + panel_groups - 1) / panel_groups, group_kx = g_.kernel[0] / kx_groups;
    const Index slices = panel_groups * kx_groups;

    const Index lines = g_.batch * g_.out[0] * g_.out[1];
    const Index block = std::clamp<Index>((160 + g_.out[2] - 1) / g_.out[2], 1, lines),
                blocks = (lines + block - 1) / block;
    Index groups = std::clamp<Index>((24 + slices - 1) / slices, 1, blocks);
    groups = std::clamp<Index>(partial_bytes / bytes, 1, groups);
    // With a stride along z every tap visits some voxels of a line and leaves out others, which the processor does not fetch ahead.
    // Where the taps visit every voxel twice or more, short lines are first read from end to end, into a copy that stays near.
    constexpr Index copy_bytes = 128 << 10;
    const bool copied = !joined_ && g_.stride[2] > 1 && g_.kernel[2] >= 2 * g_.stride[2] &&
                        block * line_ * static_cast<Index>(sizeof(T)) <= copy_bytes;
    // One group adds to dw itself.
    Tensor<T, Cpu> partial = groups > 1 ? Tensor<T, Cpu>::zeros(ctx_, Shape{groups, size}) : Tensor<T, Cpu>();
    ctx_.parallel(groups * slices, [&](Index id) {
      const Index group = id / slices, slice = id % slices;
      const Index panel0 = slice / kx_groups * group_panels, kx0 = slice % kx_groups * group_kx;
      std::vector<TileTerm<T>> terms(static_cast<std::size_t>(block));
      Tensor<T, Cpu> copies;
      if (copied) copies = Tensor<T, Cpu>(ctx_, Shape{block * line_});
      for (Index b = group * blocks / groups; b < (group + 1) * blocks / groups; ++b)
        lines_gradient(terms, copies, b * block, std::min(lines, (b + 1) * block), kx0, kx0 + group_kx,
                       panel0 * Outer::cols, std::min(columns_, (panel0 + group_panels) * Outer::cols),
                       groups > 1 ? partial.data() + group * size : dw);
    });
    if (groups == 1) return;
    ctx_.parallel_range(size, 16384, [&](Index begin, Index end) {
      vectorized(ctx_.isa(), [&]() BRAING3N_LAMBDA_INLINE {
        for (Index group = 0; group < groups; ++group) {
          const T* from = partial.data() + group * size;
          BRAING3N_IVDEP
          for (Index i = begin; i < end; ++i) dw[i] += from[i];
        }
      });
    });
  }

  // Adds output lines [line0, line1) to the taps with kx in [kx0, kx1) and the columns [o0, o1) of dw.
  // copies: room for the input lines, or empty.
  void lines_gradient(std::vector<TileTerm<T>>& terms, Tensor<T, Cpu>& copies, Index line0, Index line1, Index kx0,
                      Index kx1, Index o0, Index o1, T* dw) const {
    const Index co = g_.channels_out, ci = g_.channels_in;
    const bool swapped = g_.weight_swapped;
    OuterCall<T> call;
    call.a_step = g_.stride[2] * ci, call.b_step = co, call.ldc = columns_, call.terms = terms.data();
    if (swapped) std::swap(call.a_step, call.b_step);
    for (Index kx = kx0; kx < kx1; ++kx)
      for (Index ky = 0; ky < g_.kernel[1]; ++ky) {
        call.term_count = 0;
        for (Index l = line0; l < line1; ++l) {
          const Index y = l % g_.out[1], x = l / g_.out[1] % g_.out[0], n = l / g_.out[1] / g_.out[0];
          const Index ix = x * g_.stride[0] - g_.pad_before[0] + kx, iy = y * g_.stride[1] - g_.pad_before[1] + ky;
          if (ix < 0 || ix >= g_.in[0] || iy < 0 || iy >= g_.in[1]) continue;
          const T* from = x_ + ((n * g_.in[0] + ix) * g_.in[1] + iy) * line_;
          if (!copies.empty()) {
            T* const to = copies.data() + (l - line0) * line_;
            std::memcpy(to, from, static_cast<std::size_t>(line_) * sizeof(T));
            from = to;
          }
          TileTerm<T>& term = terms[static_cast<std::size_t>(call.term_count++)];
          term = {from, dy_ + l * g_.out[2] * co};
          if (swapped) std::swap(term.a, term.b);
        }
        if (call.term_count == 0) continue;
        for (Index kz = 0; kz < (joined_ ? 1 : g_.kernel[2]); ++kz) {
          const auto [z0, z1] = valid(kz);
          if (z0 >= z1) continue;
          call.k = z1 - z0;
          T* const tap = dw + ((kx * g_.kernel[1] + ky) * g_.kernel[2] + kz) * ci * co;
          const Index x_offset = joined_ ? a_first_ : (z0 * g_.stride[2] - g_.pad_before[2] + kz) * ci;
          const Index a_offset = swapped ? z0 * co : x_offset, b_offset = swapped ? x_offset : z0 * co;
          for (Index o = o0; o < o1; o += Outer::cols) {
            call.cols = std::min(Outer::cols, o1 - o);
            const Index limit = Outer::row_limit(call.cols), tiles = (rows_ + limit - 1) / limit;
            for (Index t = 0; t < tiles; ++t) {
              const Index r0 = even_cut(rows_, tiles, t), r1 = even_cut(rows_, tiles, t + 1);
              call.rows = r1 - r0;
              call.a_offset = a_offset + r0, call.b_offset = b_offset + o;
              call.c = tap + r0 * columns_ + o;
              Outer::tile(call);
            }
          }
        }
      }
  }

  // The z of dy whose input lies inside the line.
  std::pair<Index, Index> valid(Index kz) const {
    if (joined_) return {0, g_.out[2]};
    const Index s = g_.stride[2], shift = g_.pad_before[2] - kz;  // 0 <= z * s - shift < in
    const Index z0 = shift > 0 ? (shift + s - 1) / s : 0;
    const Index end = g_.in[2] + shift;
    return {z0, std::min(g_.out[2], end > 0 ? (end + s - 1) / s : 0)};
  }

  Context<Cpu>& ctx_;
  ConvGeometry g_;
  const T *x_ = nullptr, *dy_ = nullptr;
  Index rows_ = 0;  // of one tap: channels in, or taps along z times channels in
  Index columns_ = 0;
  Index line_ = 0;     // elements of an input line
  Index a_first_ = 0;  // where the first run of a joined line begins
  bool joined_ = false;
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
