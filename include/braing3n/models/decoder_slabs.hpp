// The layers of a CNN decoder in slabs along the first axis: which rows of its input every layer needs, and what it computes from
// them. models/tiled_decode.hpp says what for.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "braing3n/models/cnn_decoder3d.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

struct SlabRange {
  Index begin = 0, end = 0;
  Index size() const { return end - begin; }
};

/// One op of the layers that run in slabs; exactly one of the pointers is set.
template <Precision P>
struct SlabStep {
  const Conv3d<Cpu, P>* conv = nullptr;
  const GroupNorm<Cpu, P>* norm = nullptr;
  const UpConv3d<Cpu, P>* up = nullptr;
  const ConvTranspose3d<Cpu, P>* transposed = nullptr;
  bool silu = false;                         // after the norm
  bool keep = false;                         // what comes in is the start of a residual block
  bool add = false;                          // what was kept is added to the convolution
  const Conv3d<Cpu, P>* shortcut = nullptr;  // ... after this one
  Index in = 0, out = 0;                     // channels
  Extent3 grid{};                            // of what comes in

  bool doubles() const { return up != nullptr || transposed != nullptr; }
  /// The rows of the input on which rows [r.begin, r.end) of the output depend.
  SlabRange needs(const SlabRange& r) const {
    const Index n = grid[0];
    if (up != nullptr) return {r.begin > 0 ? (r.begin - 1) / 2 : 0, std::min(n, r.end / 2 + 1)};
    if (transposed != nullptr) return {r.begin / 2, (r.end + 1) / 2};
    if (conv == nullptr) return r;
    return {std::max<Index>(0, r.begin - conv->options.pad_before[0]), std::min(n, r.end + conv->options.pad_after[0])};
  }
};

/// Channels and grid in front of every layer and behind the last.
struct LayerInput {
  Index channels;
  Extent3 grid;
  Index voxels() const { return voxel_count_of(grid); }
  static Index voxel_count_of(const Extent3& g) { return g[0] * g[1] * g[2]; }
};

inline std::vector<LayerInput> layer_inputs(const CnnDecoder3dConfig& c) {
  std::vector<LayerInput> inputs = {{c.latent_channels, c.grid}};
  for (const DecoderLayer& l : c.layers) {
    LayerInput next{l.out, inputs.back().grid};
    if (l.kind == DecoderLayerKind::upsample_conv || l.kind == DecoderLayerKind::transposed_conv)
      for (Index& n : next.grid) n *= 2;
    inputs.push_back(next);
  }
  return inputs;
}

/// The steps of layers [first, end). Attention has none: first must lie behind the last one.
template <Precision P>
std::vector<SlabStep<P>> slab_steps(const CnnDecoder3d<Cpu, P>& decoder, std::size_t first) {
  const std::vector<LayerInput> inputs = layer_inputs(decoder.config);
  std::vector<SlabStep<P>> steps;
  for (std::size_t i = first; i < decoder.layers.size(); ++i) {
    const LayerInput& in = inputs[i];
    const Index out = inputs[i + 1].channels;
    std::visit(
        [&](const auto& l) {
          using Layer = std::remove_cvref_t<decltype(l)>;
          if constexpr (std::is_same_v<Layer, Conv3d<Cpu, P>>) {
            steps.push_back({.conv = &l, .in = in.channels, .out = out, .grid = in.grid});
          } else if constexpr (std::is_same_v<Layer, GroupNorm<Cpu, P>>) {
            steps.push_back({.norm = &l, .silu = decoder.config.final_silu, .in = out, .out = out, .grid = in.grid});
          } else if constexpr (std::is_same_v<Layer, UpConv3d<Cpu, P>>) {
            steps.push_back({.up = &l, .in = in.channels, .out = out, .grid = in.grid});
          } else if constexpr (std::is_same_v<Layer, ConvTranspose3d<Cpu, P>>) {
            steps.push_back({.transposed = &l, .in = in.channels, .out = out, .grid = in.grid});
          } else if constexpr (std::is_same_v<Layer, ResidualConvBlock<Cpu, P>>) {
            steps.push_back(
                {.norm = &l.norm1, .silu = true, .keep = true, .in = in.channels, .out = in.channels, .grid = in.grid});
            steps.push_back({.conv = &l.conv1, .in = in.channels, .out = out, .grid = in.grid});
            steps.push_back({.norm = &l.norm2, .silu = true, .in = out, .out = out, .grid = in.grid});
            const auto* shortcut = l.shortcut ? &*l.shortcut : nullptr;
            steps.push_back(
                {.conv = &l.conv2, .add = true, .shortcut = shortcut, .in = out, .out = out, .grid = in.grid});
          } else {
            fail(ErrorKind::argument, "decode.attention",
                 "decode: attention looks at the whole volume and cannot run in slabs");
          }
        },
        decoder.layers[i]);
  }
  return steps;
}

/// The rows that every step takes in (and, last, what the final one gives) for rows `wanted` behind the first `count` steps.
template <Precision P>
std::vector<SlabRange> slab_ranges(const std::vector<SlabStep<P>>& steps, std::size_t count, const SlabRange& wanted) {
  std::vector<SlabRange> at(count + 1);
  at[count] = wanted;
  for (std::size_t i = count; i-- > 0;) at[i] = steps[i].needs(at[i + 1]);
  return at;
}

/// Rows [r.begin, r.end) of axis 1 of one sample x (1, X, Y, Z, C) that starts at row `first`; shares the storage.
template <class T>
Tensor<T, Cpu> slab_rows(const Tensor<T, Cpu>& x, Index first, const SlabRange& r) {
  const Shape& s = x.shape();
  return x.reshape({s[1], s[2], s[3], s[4]})
      .slice(r.begin - first, r.end - first)
      .reshape({1, r.size(), s[2], s[3], s[4]});
}

/// Steps [0, count) for rows `wanted` of their result, from source (1, X, Y, Z, C). sums: of the norms among them; make_room(bytes) is
/// called before memory is taken.
template <Precision P, class T, class MakeRoom>
Tensor<T, Cpu> run_slab(Pass<Cpu>& pass, const std::vector<SlabStep<P>>& steps, std::size_t count,
                        const Tensor<T, Cpu>& source, const std::vector<Tensor<double, Cpu>>& sums,
                        const SlabRange& wanted, const MakeRoom& make_room) {
  const std::vector<SlabRange> at = slab_ranges(steps, count, wanted);
  Tensor<T, Cpu> x = slab_rows(source, 0, at[0]), kept;
  SlabRange kept_rows;
  for (std::size_t i = 0; i < count; ++i) {
    const SlabStep<P>& s = steps[i];
    const SlabRange &in = at[i], &out = at[i + 1];
    if (s.keep) kept = x, kept_rows = in;
    const Index rows = s.doubles() ? 8 * in.size() : out.size();
    make_room(static_cast<std::size_t>(rows * s.grid[1] * s.grid[2] * s.out * (s.shortcut != nullptr ? 2 : 1)) *
              sizeof(T));
    if (s.norm != nullptr) {
      const GroupNormOptions options{s.norm->groups, s.norm->eps, s.silu};
      const double elements = static_cast<double>(LayerInput::voxel_count_of(s.grid) * (s.in / s.norm->groups));
      x = group_norm_apply(std::move(x), sums[i], elements, s.norm->weight.var(pass).value(),
                           s.norm->bias.var(pass).value(), options);
    } else if (s.conv != nullptr) {
      Conv3dOptions options = s.conv->options;  // padding only where the volume ends
      options.pad_before[0] -= out.begin - in.begin;
      options.pad_after[0] -= in.end - out.end;
      Tensor<T, Cpu> residual;
      if (s.add) {
        residual = slab_rows(kept, kept_rows.begin, out);
        kept = {};
        if (s.shortcut != nullptr) residual = (*s.shortcut)(pass, Var<T, Cpu>(residual)).value();
      }
      x = conv3d_forward(x, s.conv->weight.var(pass).value(), s.conv->bias.var(pass).value(), options, residual);
    } else {
      x = s.up != nullptr ? upsample_conv3d_forward(x, s.up->weight.var(pass).value(), s.up->bias.var(pass).value())
                          : conv_transpose3d_forward(x, s.transposed->weight.var(pass).value(),
                                                     s.transposed->bias.var(pass).value());
      x = slab_rows(x, 2 * in.begin, out);
    }
  }
  return x;
}

/// Slab i of n rows cut into `slabs`, even where that is possible: a doubled grid is then cut where the coarse one is.
inline SlabRange slab_of(Index n, Index slabs, Index i) {
  const Index step = n % 2 == 0 ? 2 : 1, units = n / step;
  return {units * i / slabs * step, units * (i + 1) / slabs * step};
}

/// Elements that run_slab holds at most, source and result not counted.
template <Precision P>
Index slab_elements(const std::vector<SlabStep<P>>& steps, Index slabs) {
  Index most = 0;
  const Extent3 last = steps.back().grid;
  for (Index i = 0; i < slabs; ++i) {
    const std::vector<SlabRange> at =
        slab_ranges(steps, steps.size(), slab_of(steps.back().doubles() ? 2 * last[0] : last[0], slabs, i));
    Index kept = 0;
    bool own = false;  // the source's rows are a view of it
    for (std::size_t k = 0; k < steps.size(); ++k) {
      const SlabStep<P>& s = steps[k];
      const Index plane = s.grid[1] * s.grid[2], in = own ? at[k].size() * plane * s.in : 0;
      const Index out = s.doubles() ? 8 * at[k].size() * plane * s.out : at[k + 1].size() * plane * s.out;
      if (s.keep) kept = in;
      const bool in_place = s.norm != nullptr && own && !s.keep;
      const Index shared = s.keep ? 0 : kept, extra = s.shortcut != nullptr ? out : 0;
      most = std::max(most, shared + in + (in_place ? 0 : out) + extra);
      if (s.add) kept = 0;
      own = true;
    }
  }
  return most;
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
