// Convolutions over channels-last volumes, as torch.nn.Conv3d / ConvTranspose3d with weights in our axis order.
#pragma once

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/ops.hpp"
#include "braing3n/autograd/parameter.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// x (N, X, Y, Z, in) -> (N, X', Y', Z', out), cubic kernel, "same" padding for odd kernels by default.
template <Backend B, Precision P>
struct Conv3d {
  using Act = Var<typename P::Compute, B>;

  Index in = 0, out = 0;
  Conv3dOptions options;
  Parameter<B, P> weight, bias;
  std::string path;

  Conv3d() = default;
  Conv3d(Context<B>& context, Index inputs, Index outputs, Index kernel)
      : Conv3d(context, inputs, outputs, kernel, Conv3dOptions::same(kernel)) {}
  Conv3d(Context<B>& context, Index inputs, Index outputs, Index kernel, const Conv3dOptions& geometry);

  Act operator()(Pass<B>& pass, const Act& x) const;
  /// residual + conv(x)
  Act add_to(Pass<B>& pass, const Act& residual, const Act& x) const;

  static void visit(auto& self, auto&& v) {
    v("weight", self.weight);
    v("bias", self.bias);
  }
};

template <Backend B, Precision P>
Conv3d<B, P>::Conv3d(Context<B>& context, Index inputs, Index outputs, Index kernel, const Conv3dOptions& geometry)
    : in(inputs), out(outputs), options(geometry) {
  if (in < 1 || out < 1 || kernel < 1)
    fail(ErrorKind::config, "conv3d.size", "conv3d: expected positive sizes, got ", in, " -> ", out, " with kernel ",
         kernel);
  const Index fan_in = in * kernel * kernel * kernel;
  weight = Parameter<B, P>(
      context,
      {.shape = {kernel, kernel, kernel, in, out}, .init = fan_in_uniform(fan_in), .layout = FileLayout::conv});
  bias = Parameter<B, P>(context, {.shape = {out}, .init = fan_in_uniform(fan_in), .decay = false});
}

template <Backend B, Precision P>
auto Conv3d<B, P>::operator()(Pass<B>& pass, const Act& x) const -> Act {
  return pass.at(path, [&] { return conv3d(x, weight.var(pass), bias.var(pass), options); });
}

template <Backend B, Precision P>
auto Conv3d<B, P>::add_to(Pass<B>& pass, const Act& residual, const Act& x) const -> Act {
  return pass.at(path, [&] { return conv3d_add(residual, x, weight.var(pass), bias.var(pass), options); });
}

/// Nearest-neighbour upsampling by two followed by a 3^3 convolution, computed as eight 2^3 convolutions on the coarse grid.
template <Backend B, Precision P>
struct UpConv3d {
  using Act = Var<typename P::Compute, B>;

  Index in = 0, out = 0;
  Parameter<B, P> weight, bias;
  std::string path;

  UpConv3d() = default;
  UpConv3d(Context<B>& context, Index inputs, Index outputs);

  Act operator()(Pass<B>& pass, const Act& x) const;

  static void visit(auto& self, auto&& v) {
    v("weight", self.weight);
    v("bias", self.bias);
  }
};

template <Backend B, Precision P>
UpConv3d<B, P>::UpConv3d(Context<B>& context, Index inputs, Index outputs) : in(inputs), out(outputs) {
  weight = Parameter<B, P>(context,
                           {.shape = {3, 3, 3, in, out}, .init = fan_in_uniform(27 * in), .layout = FileLayout::conv});
  bias = Parameter<B, P>(context, {.shape = {out}, .init = fan_in_uniform(27 * in), .decay = false});
}

template <Backend B, Precision P>
auto UpConv3d<B, P>::operator()(Pass<B>& pass, const Act& x) const -> Act {
  return pass.at(path, [&] { return upsample_conv3d(x, weight.var(pass), bias.var(pass)); });
}

/// Transposed convolution with kernel = stride = 2.
template <Backend B, Precision P>
struct ConvTranspose3d {
  using Act = Var<typename P::Compute, B>;

  Index in = 0, out = 0;
  Parameter<B, P> weight, bias;
  std::string path;

  ConvTranspose3d() = default;
  ConvTranspose3d(Context<B>& context, Index inputs, Index outputs);

  Act operator()(Pass<B>& pass, const Act& x) const;

  static void visit(auto& self, auto&& v) {
    v("weight", self.weight);
    v("bias", self.bias);
  }
};

template <Backend B, Precision P>
ConvTranspose3d<B, P>::ConvTranspose3d(Context<B>& context, Index inputs, Index outputs) : in(inputs), out(outputs) {
  weight = Parameter<B, P>(
      context, {.shape = {2, 2, 2, in, out}, .init = fan_in_uniform(8 * out), .layout = FileLayout::conv_transpose});
  bias = Parameter<B, P>(context, {.shape = {out}, .init = fan_in_uniform(8 * out), .decay = false});
}

template <Backend B, Precision P>
auto ConvTranspose3d<B, P>::operator()(Pass<B>& pass, const Act& x) const -> Act {
  return pass.at(path, [&] { return conv_transpose3d(x, weight.var(pass), bias.var(pass)); });
}

BRAING3N_COMPILED_LAYER(Conv3d)
BRAING3N_COMPILED_LAYER(UpConv3d)
BRAING3N_COMPILED_LAYER(ConvTranspose3d)

}  // namespace braing3n::inline BRAING3N_ABI
