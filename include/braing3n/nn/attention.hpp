// Multi-head self-attention (Vaswani et al. 2017) with one linear for queries, keys and values.
#pragma once

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/nn/linear.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// x (N, L, width) -> (N, L, width). Rows of the qkv weight are [q; k; v], heads contiguous inside each (timm, DiT, MONAI).
/// Tap: "<path>.weights" (N, heads, L, L), computed only when asked for.
template <Backend B, Precision P>
struct Attention {
  using Act = Var<typename P::Compute, B>;

  Index width = 0, heads = 0;
  Linear<B, P> qkv, proj;
  std::string path;

  Attention() = default;
  Attention(Context<B>& context, Index channels, Index head_count, bool qkv_bias);

  Act operator()(Pass<B>& pass, const Act& x) const { return proj(pass, mix(pass, x)); }
  /// residual + attention(x)
  Act add_to(Pass<B>& pass, const Act& residual, const Act& x) const;

  static void visit(auto& self, auto&& v) {
    v("qkv", self.qkv);
    v("proj", self.proj);
  }

 private:
  Act mix(Pass<B>& pass, const Act& x) const;
};

template <Backend B, Precision P>
Attention<B, P>::Attention(Context<B>& context, Index channels, Index head_count, bool qkv_bias)
    : width(channels), heads(head_count), qkv(context, channels, 3 * channels, {.bias = qkv_bias}),
      proj(context, channels, channels) {
  if (heads < 1 || width % heads != 0)
    fail(ErrorKind::config, "attention.heads", "attention: expected a width that ", heads, " heads divide, got ",
         width);
}

template <Backend B, Precision P>
auto Attention<B, P>::add_to(Pass<B>& pass, const Act& residual, const Act& x) const -> Act {
  return proj.add_to(pass, residual, mix(pass, x));
}

template <Backend B, Precision P>
auto Attention<B, P>::mix(Pass<B>& pass, const Act& x) const -> Act {
  return pass.at(path, [&] {
    const Act packed = qkv(pass, x);
    if (pass.wants_tap(path + ".weights"))
      pass.tap(path + ".weights", attention_weights(packed.value().reshape(packed_heads(packed.shape(), heads))));
    return attention(packed, heads);
  });
}

BRAING3N_COMPILED_LAYER(Attention)

}  // namespace braing3n::inline BRAING3N_ABI
