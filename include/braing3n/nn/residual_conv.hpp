// Residual convolution block and voxel attention of latent-diffusion autoencoders (Rombach et al. 2022, appendix), in 3D.
#pragma once

#include <optional>
#include <utility>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/nn/conv.hpp"
#include "braing3n/nn/norm.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// y = shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x)))))); the shortcut is a 1^3 convolution when the widths differ.
template <Backend B, Precision P>
struct ResidualConvBlock {
  using Act = Var<typename P::Compute, B>;

  GroupNorm<B, P> norm1, norm2;
  Conv3d<B, P> conv1, conv2;
  std::optional<Conv3d<B, P>> shortcut;

  ResidualConvBlock() = default;
  ResidualConvBlock(Context<B>& context, Index in, Index out, Index groups, double eps);

  /// x (N, X, Y, Z, in).
  Act operator()(Pass<B>& pass, Act x) const;

  static void visit(auto& self, auto&& v) {
    v("norm1", self.norm1);
    v("conv1", self.conv1);
    v("norm2", self.norm2);
    v("conv2", self.conv2);
    v("shortcut", self.shortcut);
  }
};

template <Backend B, Precision P>
ResidualConvBlock<B, P>::ResidualConvBlock(Context<B>& context, Index in, Index out, Index groups, double eps)
    : norm1(context, in, groups, eps), norm2(context, out, groups, eps), conv1(context, in, out, 3),
      conv2(context, out, out, 3) {
  if (in != out) shortcut.emplace(context, in, out, 1);
}

template <Backend B, Precision P>
auto ResidualConvBlock<B, P>::operator()(Pass<B>& pass, Act x) const -> Act {
  Act h = conv1(pass, norm1(pass, x, true));
  h = norm2(pass, std::move(h), true);
  return conv2.add_to(pass, shortcut ? (*shortcut)(pass, x) : x, h);
}

/// x + out(attention(q(n), k(n), v(n))), n = norm(x): one head over all voxels of a coarse grid.
template <Backend B, Precision P>
struct VoxelAttention {
  using Act = Var<typename P::Compute, B>;

  GroupNorm<B, P> norm;
  Conv3d<B, P> q, k, v, out;
  std::string path;

  VoxelAttention() = default;
  VoxelAttention(Context<B>& context, Index channels, Index groups, double eps)
      : norm(context, channels, groups, eps), q(context, channels, channels, 1), k(context, channels, channels, 1),
        v(context, channels, channels, 1), out(context, channels, channels, 1) {}

  /// x (N, X, Y, Z, C).
  Act operator()(Pass<B>& pass, Act x) const;

  static void visit(auto& self, auto&& visitor) {
    visitor("norm", self.norm);
    visitor("q", self.q);
    visitor("k", self.k);
    visitor("v", self.v);
    visitor("out", self.out);
  }
};

template <Backend B, Precision P>
auto VoxelAttention<B, P>::operator()(Pass<B>& pass, Act x) const -> Act {
  const Act n = norm(pass, x);
  const Shape grid = x.shape();
  const Shape heads = {grid[0], grid.product(1, 4), 1, grid[4]};
  const Act mixed = pass.at(path, [&] {
    return attention(reshape(q(pass, n), heads), reshape(k(pass, n), heads), reshape(v(pass, n), heads));
  });
  return out.add_to(pass, x, reshape(mixed, grid));
}

BRAING3N_COMPILED_LAYER(ResidualConvBlock)
BRAING3N_COMPILED_LAYER(VoxelAttention)

}  // namespace braing3n::inline BRAING3N_ABI
