// The feed-forward part of a transformer block: fc2(activation(fc1(x))).
#pragma once

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/nn/linear.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <Backend B, Precision P>
struct Mlp {
  using Act = Var<typename P::Compute, B>;

  Linear<B, P> fc1, fc2;
  Activation activation = Activation::gelu;

  Mlp() = default;
  Mlp(Context<B>& context, Index width, Index hidden, Activation kind = Activation::gelu)
      : fc1(context, width, hidden), fc2(context, hidden, width), activation(kind) {}

  Act operator()(Pass<B>& pass, const Act& x) const { return fc2(pass, fc1(pass, x, activation)); }
  /// residual + mlp(x)
  Act add_to(Pass<B>& pass, const Act& residual, const Act& x) const;

  static void visit(auto& self, auto&& v) {
    v("fc1", self.fc1);
    v("fc2", self.fc2);
  }
};

template <Backend B, Precision P>
auto Mlp<B, P>::add_to(Pass<B>& pass, const Act& residual, const Act& x) const -> Act {
  return fc2.add_to(pass, residual, fc1(pass, x, activation));
}

BRAING3N_COMPILED_LAYER(Mlp)

}  // namespace braing3n::inline BRAING3N_ABI
