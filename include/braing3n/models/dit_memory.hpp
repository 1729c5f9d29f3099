// What a diffusion transformer takes of its context's memory beside its parameters, known before it runs.
//
// With w the width, m the hidden width of the MLP and one block of memory per result: a transformer block that is recorded keeps its input,
// norm, modulated norm, queries, keys and values in one (3 w), what attention mixes, its projection and the sum; the second half norm,
// modulated norm, the MLP before and behind the activation (m each) and its result. The backward pass holds w + m more while it runs through
// the last MLP. Without a recording a block holds 7 w around attention, and keys and values once more in
// the order that the kernel reads (2 w), or 4 w + m around the MLP.
#pragma once

#include <algorithm>
#include <cstddef>

#include "braing3n/backend/cpu/context/memory.hpp"
#include "braing3n/models/dit3d.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Bytes of the block that holds `per_token` values for every token of `rows` samples.
template <Precision P>
auto token_blocks(const Dit3dConfig& c, Index rows) {
  return [tokens = rows * volume_of(c.grid)](Index per_token, std::size_t element = sizeof(typename P::Compute)) {
    return CachingHostMemory::rounded(static_cast<std::size_t>(tokens * per_token) * element);
  };
}

}  // namespace detail

/// Bytes that one evaluation without a recording holds at one time, of `rows` samples together (a guided one has two rows), with the
/// sampler's own.
template <Precision P>
std::size_t evaluation_bytes(const Dit3dConfig& c, Index rows) {
  const auto block = detail::token_blocks<P>(c, rows);
  const std::size_t attention = 4 * block(c.width) + block(3 * c.width) + 2 * block(c.width, sizeof(float)),
                    mlp = 4 * block(c.width) + block(c.mlp);
  return std::max(attention, mlp) + 4 * block(c.channels) + block(c.outputs * c.channels) +
         (c.context_channels > 0 ? block(c.context_channels) : 0);
}

/// Bytes of the conditions that a sampler prepares at a time (dit3d_prepared.hpp), for so many evaluations of `rows` samples together; held
/// beside those of an evaluation.
template <Precision P>
std::size_t prepared_condition_bytes(const Dit3dConfig& c, Index rows, Index evaluations) {
  const Index step = condition_bytes(c, rows, sizeof(typename P::Compute));
  return static_cast<std::size_t>(
      step * std::min(prepared_steps(c, rows, sizeof(typename P::Compute)), std::max<Index>(evaluations, 1)));
}

/// Bytes that a training step holds at one time for a batch: latents and noise, what is recorded, and the backward pass. Parameters,
/// their gradients, moments and averages are not among them.
template <Precision P>
std::size_t training_pass_bytes(const Dit3dConfig& c, Index batch, bool recompute_blocks) {
  const auto block = detail::token_blocks<P>(c, batch);
  const std::size_t layer = 9 * block(c.width) + block(3 * c.width) + 2 * block(c.mlp) + block(c.heads) + 4 * block(1);
  const auto depth = static_cast<std::size_t>(c.depth);
  const std::size_t recorded = recompute_blocks ? depth * block(c.width) + layer : depth * layer;
  return recorded + block(c.mlp) + 4 * block(c.width) + 3 * block(c.channels) + 3 * block(c.outputs * c.channels) +
         (c.context_channels > 0 ? block(c.context_channels) : 0);
}

}  // namespace braing3n::inline BRAING3N_ABI
