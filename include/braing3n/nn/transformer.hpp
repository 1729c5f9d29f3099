// Transformer blocks: pre-norm (ViT) and adaLN-Zero (DiT).
#pragma once

#include <array>
#include <concepts>
#include <utility>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/nn/attention.hpp"
#include "braing3n/nn/mlp.hpp"
#include "braing3n/nn/norm.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct TransformerOptions {
  Index width = 0, heads = 0, mlp = 0;
  bool qkv_bias = true;
  double layer_norm_eps = 1e-6;
};

/// x <- x + attn(norm1(x));  x <- x + mlp(norm2(x))   (Dosovitskiy et al. 2021, equations 2 and 3)
template <Backend B, Precision P>
struct TransformerBlock {
  using Act = Var<typename P::Compute, B>;

  LayerNorm<B, P> norm1, norm2;
  Attention<B, P> attn;
  Mlp<B, P> mlp;

  TransformerBlock() = default;
  TransformerBlock(Context<B>& context, const TransformerOptions& o)
      : norm1(context, o.width, o.layer_norm_eps), norm2(context, o.width, o.layer_norm_eps),
        attn(context, o.width, o.heads, o.qkv_bias), mlp(context, o.width, o.mlp) {}

  /// x (N, L, width).
  Act operator()(Pass<B>& pass, Act x) const;

  static void visit(auto& self, auto&& v) {
    v("norm1", self.norm1);
    v("attn", self.attn);
    v("norm2", self.norm2);
    v("mlp", self.mlp);
  }
};

template <Backend B, Precision P>
auto TransformerBlock<B, P>::operator()(Pass<B>& pass, Act x) const -> Act {
  x = attn.add_to(pass, x, norm1(pass, x));
  return mlp.add_to(pass, x, norm2(pass, x));
}

/// The adaLN-Zero block (Peebles and Xie 2023, section 3.2): the condition supplies shift, scale and gate of both halves, and
/// the layer that makes them starts at zero, so the block starts as the identity. tanh GELU, layer norm without affine part.
template <Backend B, Precision P>
struct DitBlock {
  using Act = Var<typename P::Compute, B>;

  LayerNorm<B, P> norm1, norm2;
  Attention<B, P> attn;
  Mlp<B, P> mlp;
  Linear<B, P> modulation;

  DitBlock() = default;
  DitBlock(Context<B>& context, const TransformerOptions& o)
      : norm1(context, o.width, o.layer_norm_eps, false), norm2(context, o.width, o.layer_norm_eps, false),
        attn(context, o.width, o.heads, o.qkv_bias), mlp(context, o.width, o.mlp, Activation::gelu_tanh),
        modulation(context, o.width, 6 * o.width, {.weight_init = zeros()}) {}

  /// Shift, scale and gate of both halves, each (N, width).
  using Modulations = std::array<Act, 6>;

  /// silu_cond (N, width): SiLU of the condition, the same for all blocks.
  Modulations modulations(Pass<B>& pass, const Act& silu_cond) const { return chunk<6>(modulation(pass, silu_cond)); }

  /// x (N, L, width) under the conditions silu_cond (N, width).
  Act operator()(Pass<B>& pass, Act x, const Act& silu_cond) const;
  Act operator()(Pass<B>& pass, Act x, const Modulations& modulations) const;

  static void visit(auto& self, auto&& v) {
    v("attn", self.attn);
    v("mlp", self.mlp);
    v("adaLN_modulation.1", self.modulation);
  }
};

template <Backend B, Precision P>
auto DitBlock<B, P>::operator()(Pass<B>& pass, Act x, const Act& silu_cond) const -> Act {
  return (*this)(pass, std::move(x), modulations(pass, silu_cond));
}

template <Backend B, Precision P>
auto DitBlock<B, P>::operator()(Pass<B>& pass, Act x, const Modulations& modulations) const -> Act {
  const auto& [shift1, scale1, gate1, shift2, scale2, gate2] = modulations;
  if (!std::same_as<B, Cpu> && !pass.looks_inside()) {  // on the CPU these calls are the lines below
    Act first = norm_modulate(x, shift1, scale1, norm1.eps);
    const auto [sum, second] = gated_norm_modulate(x, attn(pass, first), {gate1, shift2, scale2}, norm2.eps);
    x = Act(), first = Act();  // without a recording their memory is free for what follows
    return gated_add(sum, gate2, mlp(pass, second));
  }
  x = gated_add(x, gate1, attn(pass, modulate(norm1(pass, x), shift1, scale1)));
  return gated_add(x, gate2, mlp(pass, modulate(norm2(pass, x), shift2, scale2)));
}

BRAING3N_COMPILED_LAYER(TransformerBlock)
BRAING3N_COMPILED_LAYER(DitBlock)

}  // namespace braing3n::inline BRAING3N_ABI
