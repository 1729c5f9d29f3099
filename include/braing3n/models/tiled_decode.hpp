// A CNN decoder in less memory, with the same result: its tiling, and the memory estimate of that.
//
// The coarse layers run on the whole volume (they are small, and attention needs all of it); from some layer on, the fine ones run in
// slabs along the first axis. What a slab needs of the layers before follows from the layers' reach, so no value at a seam differs;
// group norms need sums over the whole volume, so before each of them one sweep over the slabs adds those up. That is the price: a
// layer behind n norms is computed n + 1 times. The result is that of the plain decoder but for the order in which the sums (in
// double) are added.
//
//   choose_tiling(decoder)          what the plain decoder takes
//   choose_tiling(decoder, room)    as few slabs, as late, as fit into so many bytes
//   decode(pass, decoder, z, tiling)
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/models/decoder_slabs.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Layers [0, first) on whole volumes, the others in `slabs` parts.
struct DecodeTiling {
  std::size_t first = 0;
  Index slabs = 1;
  std::size_t bytes = 0;   // of activations at one time, latents and result included
  std::size_t blocks = 0;  // of all blocks if none is given back before the end
  bool tight = false;      // blocks that are kept for later are given back where they would add to `bytes`
};

namespace detail {

/// Elements of the blocks that layer i takes beside its input on whole volumes; the last one is the result unless that is in place.
inline std::vector<Index> layer_blocks(const CnnDecoder3dConfig& c, const std::vector<LayerInput>& inputs,
                                       std::size_t i) {
  const Index in = inputs[i].channels * inputs[i].voxels(), out = inputs[i + 1].channels * inputs[i + 1].voxels();
  switch (c.layers[i].kind) {
    case DecoderLayerKind::
        residual:  // norm, convolution, shortcut, result; without a shortcut the result takes the norm's block
      return in == out ? std::vector<Index>{out, out} : std::vector<Index>{in, out, out, out};
    case DecoderLayerKind::attention:
      return std::vector<Index>(6, out);
    case DecoderLayerKind::norm:
      return {};
    default:
      return {out};
  }
}

/// Bytes for what layer i holds beside its input on whole volumes: blocks and packed weights.
template <Precision P>
std::size_t layer_bytes(const CnnDecoder3d<Cpu, P>& decoder, const std::vector<LayerInput>& inputs, std::size_t i) {
  Index values = 0,
        weights = std::visit([](const auto& layer) { return count_parameters(layer).learned; }, decoder.layers[i]);
  for (const Index block : layer_blocks(decoder.config, inputs, i)) values += block;
  if (decoder.config.layers[i].kind == DecoderLayerKind::upsample_conv)
    weights *= 5;  // the summed taps: 64 for 27, packed as well
  return static_cast<std::size_t>(values + weights) * sizeof(typename P::Compute);
}

}  // namespace detail

/// What decode() will hold, for one volume. Without `room`: the plain decoder. With it: the plain decoder if it fits, otherwise the
/// latest first layer and the fewest slabs that do. Throws Error (argument) when nothing fits, with the least that would.
template <Precision P>
DecodeTiling choose_tiling(const CnnDecoder3d<Cpu, P>& decoder, const std::optional<std::size_t>& room = {}) {
  const std::vector<detail::LayerInput> inputs = detail::layer_inputs(decoder.config);
  const std::size_t layers = decoder.layers.size(), element = sizeof(typename P::Compute);
  const auto bytes_before = [&](std::size_t i) {
    return static_cast<std::size_t>(inputs[i].channels * inputs[i].voxels()) * element;
  };
  std::size_t free_from = 0;                           // the first layer behind the last attention
  std::vector<std::size_t> whole = {bytes_before(0)};  // for layers [0, i)
  for (std::size_t i = 0; i < layers; ++i) {
    whole.push_back(std::max(whole.back(), bytes_before(i) + detail::layer_bytes(decoder, inputs, i)));
    if (decoder.config.layers[i].kind == DecoderLayerKind::attention) free_from = i + 1;
  }
  DecodeTiling least{layers, 1, whole.back(), 0, room.has_value()};
  std::map<Index, Index> most;  // blocks of one size that are in use together; the input of a layer is one
  for (std::size_t i = 0; i < layers; ++i) {
    std::map<Index, Index> here = {{inputs[i].channels * inputs[i].voxels(), 1}};
    for (const Index block : detail::layer_blocks(decoder.config, inputs, i)) ++here[block];
    for (const auto& [size, count] : here) most[size] = std::max(most[size], count);
  }
  for (const auto& [size, count] : most) least.blocks += static_cast<std::size_t>(size * count) * element;
  if (!room || least.bytes <= *room) return least;
  const std::size_t result = bytes_before(layers);
  for (std::size_t first = layers; first-- > free_from;) {
    const auto steps = detail::slab_steps(decoder, first);
    for (Index slabs = 2; slabs <= std::max<Index>(2, inputs[layers].grid[0] / 2); slabs *= 2) {
      const std::size_t working = static_cast<std::size_t>(detail::slab_elements(steps, slabs)) * element;
      const DecodeTiling tiling{first, slabs, std::max(whole[first], bytes_before(first) + result + working), 0, true};
      if (tiling.bytes <= *room) return tiling;
      if (tiling.bytes < least.bytes) least = tiling;
      if (working < bytes_before(first) / 8) break;  // thinner slabs would save next to nothing
    }
  }
  fail(ErrorKind::argument, "decode.memory", "decode: expected at least ", least.bytes / 1'000'000 + 1,
       " MB for the decoder, got ", *room / 1'000'000);
}

/// z (N, X, Y, Z, latent channels) or (N, L, latent channels) -> (N, X', Y', Z', out), without a tape. Samples go one by one when in
/// slabs.
template <Precision P, class T = typename P::Compute>
Tensor<T, Cpu> decode(Pass<Cpu>& pass, const CnnDecoder3d<Cpu, P>& decoder, Tensor<T, Cpu> z,
                      const DecodeTiling& tiling) {
  if (pass.tape() != nullptr)
    fail(ErrorKind::state, "decode.tape", "decode: nothing can be recorded; call the decoder itself");
  const std::vector<detail::LayerInput> inputs = detail::layer_inputs(decoder.config);
  const Extent3& grid = decoder.config.grid;
  if (z.rank() == 3 && z.dim(1) == inputs[0].voxels()) z = z.reshape({z.dim(0), grid[0], grid[1], grid[2], z.dim(2)});
  const Shape expected{z.rank() > 0 ? z.dim(0) : 0, grid[0], grid[1], grid[2], decoder.config.latent_channels};
  if (!(z.shape() == expected))
    fail(ErrorKind::shape, "cnn_decoder3d.input", "cnn decoder: input has shape ", z.shape(), ", expected ", expected);
  CachingHostMemory& memory = pass.context().memory();
  const std::size_t others = memory.stats().live - z.bytes();
  const auto make_room = [&](std::size_t bytes) {
    if (tiling.tight && memory.stats().reserved + bytes > others + tiling.bytes) memory.trim();
  };
  for (std::size_t i = 0; i < tiling.first; ++i) {
    make_room(detail::layer_bytes(decoder, inputs, i));
    z = std::visit(
        [&](const auto& l) -> Tensor<T, Cpu> {
          using Layer = std::remove_cvref_t<decltype(l)>;
          if constexpr (std::is_same_v<Layer, GroupNorm<Cpu, P>>)
            return l(pass, std::move(z), decoder.config.final_silu).take();
          else return l(pass, std::move(z)).take();
        },
        decoder.layers[i]);
  }
  if (tiling.first >= decoder.layers.size()) return z;

  const auto steps = detail::slab_steps(decoder, tiling.first);
  if (tiling.tight) memory.trim();
  const Extent3& image = inputs.back().grid;
  Tensor<T, Cpu> result(pass.context(), {z.dim(0), image[0], image[1], image[2], inputs.back().channels});
  for (Index n = 0; n < z.dim(0); ++n) {
    const Tensor<T, Cpu> source = z.slice(n, n + 1);
    Tensor<T, Cpu> to = result.slice(n, n + 1);
    std::vector<Tensor<double, Cpu>> sums(steps.size());
    for (std::size_t k = 0; k <= steps.size(); ++k) {
      const bool last = k == steps.size();
      if (!last && steps[k].norm == nullptr) continue;
      const Index rows = last ? to.dim(1) : steps[k].grid[0],
                  slabs = std::min(tiling.slabs, std::max<Index>(1, rows / 2));
      for (Index i = 0; i < slabs; ++i) {
        const detail::SlabRange wanted = detail::slab_of(rows, slabs, i);
        const Tensor<T, Cpu> part = detail::run_slab(pass, steps, k, source, sums, wanted, make_room);
        if (last) {
          memory.copy(detail::slab_rows(to, 0, wanted).data(), part.data(), part.bytes());
          continue;
        }
        const GroupNorm<Cpu, P>& norm = *steps[k].norm;
        const auto more = group_norm_sums(part, norm.weight.var(pass).value(), norm.bias.var(pass).value(),
                                          {norm.groups, norm.eps, false});
        if (i == 0) sums[k] = more;
        else
          for (Index e = 0; e < more.size(); ++e) sums[k].data()[e] += more.data()[e];
      }
    }
  }
  return result;
}

}  // namespace braing3n::inline BRAING3N_ABI
