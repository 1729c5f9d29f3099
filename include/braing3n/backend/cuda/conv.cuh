// Convolutions on a GPU as matrix products: neighbourhoods of a chunk of voxels are gathered into rows, then multiplied by the weights.
//
// The transpose of a convolution with stride s is done in s^3 phases, one per residue of the voxel's place: a phase meets only every
// s-th tap of an axis, so nothing is multiplied by the zeros between the coarse voxels.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/conv.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include <algorithm>

#include "braing3n/backend/conv.hpp"
#include "braing3n/backend/cuda/map.cuh"
#include "braing3n/backend/cuda/product.cuh"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

/// What result voxel p of an axis reads with its j-th tap: source voxel p scale + offset + j direction, where there is one.
struct GatherAxis {
  Index results = 0, sources = 0;
  Index scale = 1, offset = 0, direction = 1;
  Index taps = 0, first_tap = 0, tap_step = 1;  // the j-th tap is first_tap + j tap_step of the kernel
};

struct GatherPass {
  GatherAxis axis[3];
  Index batch = 0, channels = 0;  // of the source
  BRAING3N_HD Index taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
  BRAING3N_HD Index voxels() const { return axis[0].results * axis[1].results * axis[2].results; }
  Index rows() const { return batch * voxels(); }
  /// A single tap that reads the voxel itself: the source is its own gathered form.
  bool in_place() const {
    for (const GatherAxis& a : axis)
      if (a.taps != 1 || a.scale != 1 || a.offset != 0 || a.results != a.sources) return false;
    return true;
  }
};

/// Row r is tap r % taps of result voxel first + r / taps; columns are channels.
template <class T>
struct GatherNeighbours {
  GatherPass pass;
  const T* source;
  T* to;
  Index first;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    Index tap = r % pass.taps(), voxel = first + r / pass.taps(), place = 0, step = 1;
    bool inside = true;
    for (int a = 2; a >= 0; --a) {
      const GatherAxis& x = pass.axis[a];
      const Index at = voxel % x.results * x.scale + x.offset + tap % x.taps * x.direction;
      inside = inside && at >= 0 && at < x.sources;
      place += at * step;
      step *= x.sources, voxel /= x.results, tap /= x.taps;
    }
    to[r * pass.channels + c] = inside ? source[(voxel * step + place) * pass.channels + c] : T{};
  }
};

/// Weights (taps of the pass, channels of the source, channels of the result), from all taps of the kernel.
template <class T>
struct PackTaps {
  GatherPass pass;
  const T* w;
  T* to;
  Index kernel[3], columns;
  bool transposed;  // w holds (tap, channels of the result, channels of the source)
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    const Index row = r % pass.channels, size = pass.channels * columns;
    Index j = r / pass.channels, tap = 0, step = 1;
    for (int a = 2; a >= 0; --a) {
      const GatherAxis& x = pass.axis[a];
      tap += (x.first_tap + j % x.taps * x.tap_step) * step;
      step *= kernel[a], j /= x.taps;
    }
    to[r * columns + c] = w[tap * size + (transposed ? c * pass.channels + row : row * columns + c)];
  }
};

/// The rows of a phase to their places in the whole result, plus the bias.
template <class T>
struct ScatterPhase {
  GatherPass pass;
  const T* from;
  const T* bias;
  T* to;
  Index first, columns, stride[3], residue[3], extent[3];
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    Index voxel = first + r, place = 0, step = 1;
    for (int a = 2; a >= 0; --a) {
      place += (voxel % pass.axis[a].results * stride[a] + residue[a]) * step;
      step *= extent[a], voxel /= pass.axis[a].results;
    }
    using A = accum_t<T>;
    A v = static_cast<A>(from[r * columns + c]);
    if (bias != nullptr) v += static_cast<A>(bias[c]);
    to[(voxel * step + place) * columns + c] = static_cast<T>(v);
  }
};

inline GatherPass forward_pass(const ConvGeometry& g) {
  GatherPass pass;
  pass.batch = g.batch, pass.channels = g.channels_in;
  for (int a = 0; a < 3; ++a)
    pass.axis[a] = {.results = g.out[a],
                    .sources = g.in[a],
                    .scale = g.stride[a],
                    .offset = -g.pad_before[a],
                    .direction = 1,
                    .taps = g.kernel[a]};
  return pass;
}

/// Input voxels v = residue + stride u of the transposed convolution: tap t reads output voxel (v + pad - t) / stride.
inline GatherPass transposed_pass(const ConvGeometry& g, const Index (&residue)[3]) {
  GatherPass pass;
  pass.batch = g.batch, pass.channels = g.channels_out;
  for (int a = 0; a < 3; ++a) {
    const Index s = g.stride[a], shifted = residue[a] + g.pad_before[a], first = shifted % s;
    pass.axis[a] = {.results = (g.in[a] - residue[a] + s - 1) / s,
                    .sources = g.out[a],
                    .scale = 1,
                    .offset = (shifted - first) / s,
                    .direction = -1,
                    .taps = g.kernel[a] > first ? (g.kernel[a] - first + s - 1) / s : 0,
                    .first_tap = first,
                    .tap_step = s};
  }
  return pass;
}

}  // namespace detail

template <>
struct ConvolutionKernel<Cuda> {
  /// y = conv(x, w) [+ bias] [+ residual]
  template <class T>
  static void forward(Context<Cuda>& ctx, const ConvGeometry& g, const T* x, const T* w, const T* bias,
                      const T* residual, T* y) {
    const detail::GatherPass pass = detail::forward_pass(g);
    const Tensor<T, Cuda> packed =
        g.weight_swapped ? packed_taps(ctx, g, pass, g.channels_out, true, w) : Tensor<T, Cuda>();
    const T* const weights = packed.empty() ? w : packed.data();
    const Index columns = g.channels_out;
    for_chunks<T>(ctx, pass, x, [&](const T* rows, Index first, Index count) {
      GemmCall<T> call = product(pass, count, columns, rows, weights, y + first * columns);
      call.bias = bias;
      if (residual != nullptr) call.residual = residual + first * columns, call.residual_row = columns;
      ProductKernel<Cuda>::run(ctx, call);
    });
  }

  /// dx = conv^T(dy, w) [+ bias]
  template <class T>
  static void backward_input(Context<Cuda>& ctx, const ConvGeometry& g, const T* w, const T* bias, const T* dy, T* dx) {
    Index residue[3];
    for (residue[0] = 0; residue[0] < g.stride[0]; ++residue[0])
      for (residue[1] = 0; residue[1] < g.stride[1]; ++residue[1])
        for (residue[2] = 0; residue[2] < g.stride[2]; ++residue[2]) phase(ctx, g, residue, w, bias, dy, dx);
  }

  /// dw += the sum over voxels of x times dy.
  template <class T>
  static void backward_weight(Context<Cuda>& ctx, const ConvGeometry& g, const T* x, const T* dy, accum_t<T>* dw) {
    const detail::GatherPass pass = detail::forward_pass(g);
    const Index in = g.channels_in, out = g.channels_out, taps = pass.taps();
    for_chunks<T>(ctx, pass, x, [&](const T* rows, Index first, Index count) {
      GemmCall<T> call;
      call.k = count, call.accumulate = true;
      if (!g.weight_swapped) {
        call.m = taps * in, call.n = out, call.c_row = out;
        call.a = rows, call.a_row = 1, call.a_col = taps * in;
        call.b = dy + first * out, call.b_row = out;
        call.sums = dw;
        return ProductKernel<Cuda>::run(ctx, call);
      }
      call.m = out, call.n = in, call.c_row = in;
      call.a = dy + first * out, call.a_row = 1, call.a_col = out;
      call.b_row = taps * in;
      for (Index tap = 0; tap < taps; ++tap) {
        call.b = rows + tap * in;
        call.sums = dw + tap * in * out;
        ProductKernel<Cuda>::run(ctx, call);
      }
    });
  }

 private:
  /// C (rows, columns) = gathered (rows, taps channels) weights (taps channels, columns)
  template <class T>
  static GemmCall<T> product(const detail::GatherPass& pass, Index rows, Index columns, const T* gathered,
                             const T* weights, T* to) {
    GemmCall<T> call;
    call.m = rows, call.n = columns, call.k = pass.taps() * pass.channels;
    call.a = gathered, call.a_row = call.k;
    call.b = weights, call.b_row = columns;
    call.c = to, call.c_row = columns;
    return call;
  }

  template <class T>
  static Tensor<T, Cuda> packed_taps(Context<Cuda>& ctx, const ConvGeometry& g, const detail::GatherPass& pass,
                                     Index columns, bool transposed, const T* w) {
    Tensor<T, Cuda> packed(ctx, Shape{pass.taps() * pass.channels, columns});
    map_rows(ctx, packed.dim(0), columns,
             detail::PackTaps<T>{pass, w, packed.data(), {g.kernel[0], g.kernel[1], g.kernel[2]}, columns, transposed});
    return packed;
  }

  /// f(gathered rows, first result voxel, how many), chunk after chunk.
  template <class T, class F>
  static void for_chunks(Context<Cuda>& ctx, const detail::GatherPass& pass, const T* source, const F& f) {
    if (pass.in_place()) return f(source, Index{0}, pass.rows());
    const Index width = pass.taps() * pass.channels, all = pass.rows();
    const Index most = std::max<Index>(1, ctx.options().workspace / (width * static_cast<Index>(sizeof(T))));
    Tensor<T, Cuda> gathered(ctx, Shape{std::min(all, most), width});
    for (Index first = 0; first < all; first += most) {
      const Index count = std::min(most, all - first);
      map_rows(ctx, count * pass.taps(), pass.channels,
               detail::GatherNeighbours<T>{pass, source, gathered.data(), first});
      f(gathered.data(), first, count);
    }
  }

  template <class T>
  static void phase(Context<Cuda>& ctx, const ConvGeometry& g, const Index (&residue)[3], const T* w, const T* bias,
                    const T* dy, T* dx) {
    const detail::GatherPass pass = detail::transposed_pass(g, residue);
    if (pass.rows() == 0) return;
    const Index columns = g.channels_in;
    if (pass.taps() == 0)
      return scatter(ctx, g, pass, residue, Tensor<T, Cuda>::zeros(ctx, {pass.rows(), columns}), 0, bias, dx);
    const Tensor<T, Cuda> weights = packed_taps(ctx, g, pass, columns, !g.weight_swapped, w);
    const bool whole = g.stride[0] * g.stride[1] * g.stride[2] == 1;
    for_chunks<T>(ctx, pass, dy, [&](const T* rows, Index first, Index count) {
      if (whole) {
        GemmCall<T> call = product(pass, count, columns, rows, weights.data(), dx + first * columns);
        call.bias = bias;
        return ProductKernel<Cuda>::run(ctx, call);
      }
      Tensor<T, Cuda> result(ctx, Shape{count, columns});
      ProductKernel<Cuda>::run(ctx, product(pass, count, columns, rows, weights.data(), result.data()));
      scatter(ctx, g, pass, residue, result, first, bias, dx);
    });
  }

  template <class T>
  static void scatter(Context<Cuda>& ctx, const ConvGeometry& g, const detail::GatherPass& pass,
                      const Index (&residue)[3], const Tensor<T, Cuda>& rows, Index first, const T* bias, T* dx) {
    map_rows(ctx, rows.dim(0), rows.dim(1),
             detail::ScatterPhase<T>{pass,
                                     rows.data(),
                                     bias,
                                     dx,
                                     first,
                                     rows.dim(1),
                                     {g.stride[0], g.stride[1], g.stride[2]},
                                     {residue[0], residue[1], residue[2]},
                                     {g.in[0], g.in[1], g.in[2]}});
  }
};

}  // namespace braing3n::inline BRAING3N_ABI
