// Random masks over tokens: which stay visible, where each one goes back to, and which are to be predicted.
//
// Rule (He et al., arXiv 2111.06377): order = argsort of one random number per token, the first int(L (1 - ratio)) tokens of
// that order stay visible, in that order. Numbers are compared as they are and ties go by index, so a mask is the same on
// every machine. Masks are drawn on the host, outside the model.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/ops/indices.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Which tokens of a batch a loss counts.
template <Backend B>
struct TokenSelection {
  Tensor<float, B> weights;  // (N, L) 1 for the tokens that count, else 0
  Index count = 0;           // how many

  /// Throws Error: shape (another number of values), argument (a value that is neither 0 nor 1, or no 1 among them).
  static TokenSelection from_host(Context<B>& context, const Shape& shape, std::span<const float> values) {
    Index count = 0;
    for (const float v : values) {
      if (v != 0.0f && v != 1.0f)
        fail(ErrorKind::argument, "selection.value", "token selection: expected 0 or 1, got ", v);
      count += v == 1.0f;
    }
    if (count == 0)
      fail(ErrorKind::argument, "selection.empty", "token selection: expected at least one 1 among ", shape,
           ", got none");
    return {Tensor<float, B>::from_host(context, shape, values), count};
  }
  const Shape& shape() const { return weights.shape(); }
};

template <Backend B>
struct TokenMask {
  Indices<B> visible;        // (N, K) indices of the visible tokens
  Indices<B> restore;        // (N, L) inverse of the full order: restore[n, visible[n, k]] = k, >= K for the others
  TokenSelection<B> masked;  // (N, L) 1 where a token was removed, else 0

  Index batch() const { return restore.dim(0); }
  Index tokens() const { return restore.dim(1); }
  Index kept() const { return visible.dim(1); }
};

/// Number of tokens that stay visible: int(tokens (1 - ratio)) in double, as the reference implementations compute it.
/// Throws Error (argument) unless 0 < ratio < 1 and at least one token stays.
inline Index visible_tokens(Index tokens, double ratio) {
  if (!(ratio > 0.0 && ratio < 1.0))
    fail(ErrorKind::argument, "mask.ratio", "token mask: masking ratio ", ratio, ", expected a number in (0, 1)");
  const Index kept = static_cast<Index>(static_cast<double>(tokens) * (1.0 - ratio));
  if (kept < 1)
    fail(ErrorKind::argument, "mask.ratio", "token mask: masking ratio ", ratio, " leaves none of ", tokens,
         " tokens visible");
  return kept;
}

namespace detail {

struct OneMinus {
  const float* x;
  float* y;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { y[i] = 1.0f - x[i]; }
};

}  // namespace detail

/// The mask with the other patches selected in `masked`, for a loss over the visible ones.
template <Backend B>
TokenMask<B> visible_selected(const TokenMask<B>& mask) {
  const Tensor<float, B>& masked = mask.masked.weights;
  Tensor<float, B> visible(masked.context(), masked.shape());
  map(visible.context(), visible.size(), detail::OneMinus{masked.data(), visible.data()});
  return {mask.visible, mask.restore, {std::move(visible), mask.batch() * mask.kept()}};
}

namespace detail {

/// order: batch permutations of 0..tokens-1, one after the other.
template <Backend B>
TokenMask<B> mask_from_order(Context<B>& context, std::span<const std::int32_t> order, Index batch, Index tokens,
                             Index kept) {
  std::vector<std::int32_t> visible(static_cast<std::size_t>(batch * kept)),
      restore(static_cast<std::size_t>(batch * tokens));
  std::vector<float> masked(static_cast<std::size_t>(batch * tokens));
  for (Index n = 0; n < batch; ++n) {
    for (Index r = 0; r < tokens; ++r) {
      const std::int32_t token = order[static_cast<std::size_t>(n * tokens + r)];
      if (r < kept) visible[static_cast<std::size_t>(n * kept + r)] = token;
      restore[static_cast<std::size_t>(n * tokens + token)] = static_cast<std::int32_t>(r);
      masked[static_cast<std::size_t>(n * tokens + token)] = r < kept ? 0.0f : 1.0f;
    }
  }
  return {Indices<B>::from_host(context, Shape{batch, kept}, visible, tokens),
          Indices<B>::from_host(context, Shape{batch, tokens}, restore, tokens),
          {Tensor<float, B>::from_host(context, Shape{batch, tokens}, masked), batch * (tokens - kept)}};
}

inline void check_mask_size(Index batch, Index tokens, std::size_t values, Index expected) {
  if (batch < 1 || tokens < 1 || tokens > std::numeric_limits<std::int32_t>::max() ||
      static_cast<Index>(values) != expected)
    fail(ErrorKind::shape, "mask.size", "token mask: ", values, " values for ", batch, " samples of ", tokens,
         " tokens, expected ", expected);
}

}  // namespace detail

/// Mask from given numbers, batch x tokens, row-major: the smallest stay visible.
template <class U, Backend B>
TokenMask<B> token_mask_from_noise(Context<B>& context, std::span<const U> noise, Index batch, Index tokens,
                                   double ratio) {
  detail::check_mask_size(batch, tokens, noise.size(), batch * tokens);
  const Index kept = visible_tokens(tokens, ratio);
  std::vector<std::int32_t> order(noise.size());
  for (Index n = 0; n < batch; ++n) {
    const std::span<const U> u = noise.subspan(static_cast<std::size_t>(n * tokens), static_cast<std::size_t>(tokens));
    const auto first = order.begin() + n * tokens, last = first + tokens;
    std::iota(first, last, 0);
    std::sort(first, last, [u](std::int32_t a, std::int32_t b) {
      const U ua = u[static_cast<std::size_t>(a)], ub = u[static_cast<std::size_t>(b)];
      return ua < ub || (ua == ub && a < b);
    });
  }
  return detail::mask_from_order(context, std::span<const std::int32_t>(order), batch, tokens, kept);
}

/// Mask with given visible tokens, batch x kept, in this order; the removed ones follow in increasing order.
/// Throws Error (argument) when an index is out of range or appears twice in a sample.
template <Backend B>
TokenMask<B> token_mask_from_visible(Context<B>& context, std::span<const std::int32_t> visible, Index batch,
                                     Index tokens) {
  const Index kept = batch < 1 ? 0 : static_cast<Index>(visible.size()) / batch;
  detail::check_mask_size(batch, tokens, visible.size(), batch * kept);
  if (kept < 1 || kept > tokens)
    fail(ErrorKind::shape, "mask.size", "token mask: expected 1 to ", tokens, " visible tokens, got ", kept);
  std::vector<std::int32_t> order;
  order.reserve(static_cast<std::size_t>(batch * tokens));
  for (Index n = 0; n < batch; ++n) {
    std::vector<bool> seen(static_cast<std::size_t>(tokens), false);
    for (Index k = 0; k < kept; ++k) {
      const std::int32_t token = visible[static_cast<std::size_t>(n * kept + k)];
      if (token < 0 || token >= tokens || seen[static_cast<std::size_t>(token)])
        fail(ErrorKind::argument, "mask.visible", "token mask: visible token ", token, " of sample ", n,
             token < 0 || token >= tokens ? " is outside [0, " : " appears twice among [0, ", tokens, ")");
      seen[static_cast<std::size_t>(token)] = true;
      order.push_back(token);
    }
    for (Index token = 0; token < tokens; ++token)
      if (!seen[static_cast<std::size_t>(token)]) order.push_back(static_cast<std::int32_t>(token));
  }
  return detail::mask_from_order(context, std::span<const std::int32_t>(order), batch, tokens, kept);
}

/// The mask of every sample of a batch at a training step. `samples` are the samples' own indices in the data set: the mask
/// of a sample does not depend on its place in the batch.
template <Backend B>
TokenMask<B> draw_token_mask(Context<B>& context, std::uint64_t seed, std::uint32_t step,
                             std::span<const std::uint32_t> samples, Index tokens, double ratio) {
  std::vector<std::uint32_t> noise;
  noise.reserve(samples.size() * static_cast<std::size_t>(std::max<Index>(tokens, 0)));
  for (const std::uint32_t sample : samples) {
    const Philox rng(seed, Purpose::mask, step, sample);
    for (Index l = 0; l < tokens; ++l) noise.push_back(rng.integer(static_cast<std::uint64_t>(l)));
  }
  return token_mask_from_noise(context, std::span<const std::uint32_t>(noise), static_cast<Index>(samples.size()),
                               tokens, ratio);
}

}  // namespace braing3n::inline BRAING3N_ABI
