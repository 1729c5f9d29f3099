// Convolution by im2col and the context's matrix product: any element type, any provider, any geometry.
//
// The rows of the product are results, its columns the channels of the result, and k runs over taps and reduced channels in the
// order of the weights. im2col copies whole runs (all taps along z and all channels of one (kx, ky), see conv_problem.hpp).
//   many rows   blocks of rows in parallel, each a few single-threaded products on a buffer that stays in the L2 cache
//   few rows    one buffer for all rows, filled in parallel, and products that use all threads
// Both cuts come from the geometry alone.
#pragma once

#include <cstring>

#include "braing3n/backend/cpu/conv/problem.hpp"
#include "braing3n/backend/cpu/gemm/product.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

template <class T>
class Im2colConv {
 public:
  Im2colConv(Context<Cpu>& ctx, const ConvProblem& problem) : ctx_(ctx), p_(problem) {}

  /// y = problem(x, w) [+ bias] [+ residual]; a residual only for forward problems.
  void run(const T* x, const T* w, const T* bias, const T* residual, T* y) {
    for (const ConvPhase& phase : p_.phases) run(phase, x, w, bias, residual, y);
  }
  /// One phase of it.
  void run(const ConvPhase& phase, const T* x, const T* w, const T* bias, const T* residual, T* y) {
    const Cut cut = choose(phase, false);
    Tensor<T, Cpu> reordered;
    const T* weights = phase_weights(phase, w, reordered);
    const auto product = [&](Index row0, Index row1, T* buffer, bool parallel) {
      block_forward(phase, cut, x, weights, bias, residual, y, row0, row1, buffer, parallel);
    };
    if (cut.blocks_in_parallel) {
      ctx_.parallel_range(cut.rows, cut.block, [&](Index row0, Index row1) {
        Tensor<T, Cpu> buffer(ctx_, Shape{std::max<Index>(1, cut.block * cut.chunk_k)});
        product(row0, row1, buffer.data(), false);
      });
    } else {
      Tensor<T, Cpu> buffer(ctx_, Shape{std::max<Index>(1, cut.block * cut.chunk_k)});
      for (Index row0 = 0; row0 < cut.rows; row0 += cut.block)
        product(row0, std::min(cut.rows, row0 + cut.block), buffer.data(), true);
    }
  }

  /// The weights of a phase as (lines, tz, reduced) x columns: w where they lie like that, else a copy in `reordered`.
  const T* phase_weights(const ConvPhase& phase, const T* w, Tensor<T, Cpu>& reordered) const {
    if (p_.weights_in_order()) return w;
    const Index taps = phase.lines() * phase.axis[2].taps;
    reordered = Tensor<T, Cpu>(ctx_, Shape{std::max<Index>(1, taps * p_.tap_size())});
    T* const to = reordered.data();
    ctx_.parallel(taps, [&](Index t) {
      const Index taps_y = phase.axis[1].taps, taps_z = phase.axis[2].taps;
      const T* from = w + p_.weight_offset(phase, t / taps_z / taps_y, t / taps_z % taps_y, t % taps_z);
      for (Index c = 0; c < p_.reduced; ++c)
        for (Index j = 0; j < p_.columns; ++j)
          to[t * p_.tap_size() + c * p_.columns + j] = from[c * p_.w_reduced + j * p_.w_column];
    });
    return to;
  }

  /// dw += the gradient of forward_problem; x as in run, dy like y.
  void weight_gradient(const T* x, const T* dy, T* dw) {
    const ConvPhase& phase = p_.phases.front();
    const Cut cut = choose(phase, true);
    const Index size = phase.lines() * phase.axis[2].taps * p_.tap_size(),
                blocks = (cut.rows + cut.block - 1) / cut.block;
    const auto add = [&](Index row0, Index row1, T* buffer, T* to, bool parallel) {
      for (Index l0 = 0; l0 < phase.lines(); l0 += cut.chunk_lines) {
        const Index l1 = std::min(phase.lines(), l0 + cut.chunk_lines), k = (l1 - l0) * line_k(phase);
        im2col(phase, x, row0, row1, l0, l1, buffer, parallel);
        const T* const dy_rows = dy + row0 * p_.columns;
        GemmCall<T> call;
        call.k = row1 - row0, call.accumulate = true;
        if (p_.w_column == 1) {
          call.m = k, call.n = p_.columns;
          call.a = buffer, call.a_row = 1, call.a_col = k;
          call.b = dy_rows, call.b_row = p_.columns, call.b_col = 1;
          call.c = to + l0 * line_k(phase) * p_.columns, call.c_row = p_.columns;
          ProductKernel<Cpu>::run(ctx_, call);
          continue;
        }
        call.m = p_.columns, call.n = p_.reduced;  // swapped: every tap is (columns, reduced)
        call.a = dy_rows, call.a_row = 1, call.a_col = p_.columns;
        call.b_row = k, call.b_col = 1, call.c_row = p_.reduced;
        for (Index tap = 0; tap < k / p_.reduced; ++tap) {
          call.b = buffer + tap * p_.reduced;
          call.c = to + (l0 * phase.axis[2].taps + tap) * p_.tap_size();
          ProductKernel<Cpu>::run(ctx_, call);
        }
      }
    };
    if (!cut.blocks_in_parallel) {
      Tensor<T, Cpu> buffer(ctx_, Shape{cut.block * cut.chunk_k});
      for (Index row0 = 0; row0 < cut.rows; row0 += cut.block)
        add(row0, std::min(cut.rows, row0 + cut.block), buffer.data(), dw, true);
      return;
    }
    const Index groups = std::min<Index>(16, blocks);
    Tensor<T, Cpu> partial = Tensor<T, Cpu>::zeros(ctx_, Shape{groups, size});
    ctx_.parallel(groups, [&](Index group) {
      Tensor<T, Cpu> buffer(ctx_, Shape{cut.block * cut.chunk_k});
      for (Index b = group * blocks / groups; b < (group + 1) * blocks / groups; ++b)
        add(b * cut.block, std::min(cut.rows, (b + 1) * cut.block), buffer.data(), partial.data() + group * size,
            false);
    });
    ctx_.parallel_range(size, 16384, [&](Index begin, Index end) {
      for (Index group = 0; group < groups; ++group)
        for (Index i = begin; i < end; ++i) dw[i] += partial.data()[group * size + i];
    });
  }

 private:
  struct Cut {
    Index rows = 0, block = 0;           // results, and how many of them one buffer holds
    Index chunk_lines = 0, chunk_k = 0;  // (kx, ky) of one product
    bool blocks_in_parallel = false;
  };

  Index line_k(const ConvPhase& phase) const { return phase.axis[2].taps * p_.reduced; }

  Cut choose(const ConvPhase& phase, bool gradient) const {
    constexpr Index small_buffer = 512 << 10, large_buffer = 16 << 20, partial_bytes = 64 << 20;
    Cut c;
    c.rows = p_.batch * phase.axis[0].count * phase.axis[1].count * phase.axis[2].count;
    const Index lines = std::max<Index>(1, phase.lines()),
                bytes = std::max<Index>(1, line_k(phase)) * static_cast<Index>(sizeof(T));
    const Index size = lines * line_k(phase) * p_.columns * static_cast<Index>(sizeof(T));
    c.blocks_in_parallel = c.rows >= 4096 && (!gradient || size * 16 <= partial_bytes);
    // A product over fewer than some hundred k spends its time on loading and storing C; one with few rows on packing B.
    const Index wanted_k = std::max<Index>(1, (1024 + line_k(phase) - 1) / std::max<Index>(1, line_k(phase)));
    c.chunk_lines = std::is_same_v<T, accum_t<T>> ? std::min(lines, wanted_k) : lines;
    c.chunk_lines =
        (lines + (lines + c.chunk_lines - 1) / c.chunk_lines - 1) / ((lines + c.chunk_lines - 1) / c.chunk_lines);
    c.chunk_k = c.chunk_lines * std::max<Index>(1, line_k(phase));
    const Index buffer = c.blocks_in_parallel ? small_buffer : large_buffer;
    c.block =
        std::clamp<Index>(buffer / (bytes * c.chunk_lines), std::min<Index>(c.rows, 96), std::max<Index>(c.rows, 1));
    return c;
  }

  // Rows [row0, row1) of the buffer, (lines l0 .. l1, tz, reduced) each; zeros outside the volume.
  void im2col(const ConvPhase& phase, const T* x, Index row0, Index row1, Index l0, Index l1, T* buffer,
              bool parallel) const {
    const ConvAxis &ax = phase.axis[0], &ay = phase.axis[1], &az = phase.axis[2];
    const Index run = line_k(phase), row = (l1 - l0) * run, c = p_.reduced;
    const auto fill = [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) {
        const auto [n, ox, oy, oz] = ConvProblem::cell(phase, r);
        const Index iz = az.in_index(oz, 0);
        const Index z0 = std::clamp<Index>(-iz, 0, az.taps), z1 = std::clamp<Index>(p_.in[2] - iz, z0, az.taps);
        for (Index l = l0; l < l1; ++l) {
          T* to = buffer + (r - row0) * row + (l - l0) * run;
          const Index ix = ax.in_index(ox, l / ay.taps), iy = ay.in_index(oy, l % ay.taps);
          const bool inside = ix >= 0 && ix < p_.in[0] && iy >= 0 && iy < p_.in[1];
          const Index first = inside ? z0 : az.taps, last = inside ? z1 : az.taps;
          std::fill_n(to, first * c, T(0.0f));
          if (last > first) {
            const T* from = x + (((n * p_.in[0] + ix) * p_.in[1] + iy) * p_.in[2] + iz + first) * c;
            std::memcpy(static_cast<void*>(to + first * c), from,
                        static_cast<std::size_t>((last - first) * c) * sizeof(T));
          }
          std::fill_n(to + last * c, (az.taps - last) * c, T(0.0f));
        }
      }
    };
    if (parallel) ctx_.parallel_range(row1 - row0, 64, [&](Index begin, Index end) { fill(row0 + begin, row0 + end); });
    else fill(row0, row1);
  }

  void block_forward(const ConvPhase& phase, const Cut& cut, const T* x, const T* weights, const T* bias,
                     const T* residual, T* y, Index row0, Index row1, T* buffer, bool parallel) const {
    const ConvAxis &ax = phase.axis[0], &ay = phase.axis[1], &az = phase.axis[2];
    const bool dense = p_.phases.size() == 1 && ax.out_step == 1 && ay.out_step == 1 && az.out_step == 1;
    const Index lines = line_k(phase) > 0 ? phase.lines() : 0;
    Tensor<T, Cpu> sums;
    if (!dense) sums = Tensor<T, Cpu>(ctx_, Shape{(row1 - row0) * p_.columns});
    T* const c = dense ? y + row0 * p_.columns : sums.data();
    if (lines == 0)  // no tap meets this phase
      for (Index i = 0; i < (row1 - row0) * p_.columns; ++i) c[i] = bias != nullptr ? bias[i % p_.columns] : T(0.0f);
    for (Index l0 = 0; l0 < lines; l0 += cut.chunk_lines) {
      const Index l1 = std::min(lines, l0 + cut.chunk_lines);
      im2col(phase, x, row0, row1, l0, l1, buffer, parallel);
      GemmCall<T> call;
      call.m = row1 - row0, call.n = p_.columns, call.k = (l1 - l0) * line_k(phase);
      call.a = buffer, call.a_row = call.k;
      call.b = weights + l0 * line_k(phase) * p_.columns, call.b_row = p_.columns;
      call.c = c, call.c_row = p_.columns;
      call.accumulate = l0 > 0;
      if (l1 == lines) {
        call.bias = bias;
        if (residual != nullptr) call.residual = residual + row0 * p_.columns, call.residual_row = p_.columns;
      }
      ProductKernel<Cpu>::run(ctx_, call);
    }
    if (dense) return;
    for (Index r = row0; r < row1; ++r) {
      const auto [n, ox, oy, oz] = ConvProblem::cell(phase, r);
      const Index voxel =
          ((n * p_.out[0] + ax.out_index(ox)) * p_.out[1] + ay.out_index(oy)) * p_.out[2] + az.out_index(oz);
      const T* from = c + (r - row0) * p_.columns;
      std::copy(from, from + p_.columns, y + voxel * p_.columns);
    }
  }

  Context<Cpu>& ctx_;
  const ConvProblem& p_;
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
