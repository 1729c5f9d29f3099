// Layer norm over the channels of tokens; group norm over the voxels and channels of volumes.
#pragma once

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/ops.hpp"
#include "braing3n/autograd/parameter.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// x (..., channels), normalised over the last axis (Ba et al. 2016). Without an affine part it has no parameters.
template <Backend B, Precision P>
struct LayerNorm {
  using Act = Var<typename P::Compute, B>;

  Index channels = 0;
  double eps = 1e-6;
  Parameter<B, P> weight, bias;
  std::string path;

  LayerNorm() = default;
  LayerNorm(Context<B>& context, Index width, double epsilon, bool affine = true);

  Act operator()(Pass<B>& pass, const Act& x) const;

  static void visit(auto& self, auto&& v) {
    v("weight", self.weight);
    v("bias", self.bias);
  }
};

template <Backend B, Precision P>
LayerNorm<B, P>::LayerNorm(Context<B>& context, Index width, double epsilon, bool affine)
    : channels(width), eps(epsilon) {
  if (!affine) return;
  weight = Parameter<B, P>(context, {.shape = {channels}, .init = ones(), .decay = false});
  bias = Parameter<B, P>(context, {.shape = {channels}, .init = zeros(), .decay = false});
}

template <Backend B, Precision P>
auto LayerNorm<B, P>::operator()(Pass<B>& pass, const Act& x) const -> Act {
  return pass.at(path, [&] {
    const bool affine = weight.exists();
    return layer_norm(x, affine ? weight.var(pass) : Act(), affine ? bias.var(pass) : Act(), eps);
  });
}

/// x (N, X, Y, Z, channels), normalised per sample and group of channels (Wu and He 2018), optionally followed by SiLU.
template <Backend B, Precision P>
struct GroupNorm {
  using Act = Var<typename P::Compute, B>;

  Index channels = 0, groups = 1;
  double eps = 1e-6;
  Parameter<B, P> weight, bias;
  std::string path;

  GroupNorm() = default;
  GroupNorm(Context<B>& context, Index width, Index group_count, double epsilon);

  /// The argument is taken by value: a tensor that is not shared is normalised in place.
  Act operator()(Pass<B>& pass, Act x, bool silu = false) const;

  static void visit(auto& self, auto&& v) {
    v("weight", self.weight);
    v("bias", self.bias);
  }
};

template <Backend B, Precision P>
GroupNorm<B, P>::GroupNorm(Context<B>& context, Index width, Index group_count, double epsilon)
    : channels(width), groups(group_count), eps(epsilon) {
  if (groups < 1 || channels % groups != 0)
    fail(ErrorKind::config, "group_norm.groups", "group norm: expected channels that ", groups, " groups divide, got ",
         channels);
  weight = Parameter<B, P>(context, {.shape = {channels}, .init = ones(), .decay = false});
  bias = Parameter<B, P>(context, {.shape = {channels}, .init = zeros(), .decay = false});
}

template <Backend B, Precision P>
auto GroupNorm<B, P>::operator()(Pass<B>& pass, Act x, bool silu) const -> Act {
  return pass.at(path, [&] { return group_norm(std::move(x), weight.var(pass), bias.var(pass), {groups, eps, silu}); });
}

BRAING3N_COMPILED_LAYER(LayerNorm)
BRAING3N_COMPILED_LAYER(GroupNorm)

}  // namespace braing3n::inline BRAING3N_ABI
