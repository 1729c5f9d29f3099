// Recorded layers: linear, attention, norms, convolutions.
#pragma once

#include <utility>

#include "braing3n/autograd/ops_basic.hpp"
#include "braing3n/ops/attention.hpp"
#include "braing3n/ops/conv3d.hpp"
#include "braing3n/ops/conv_transpose3d.hpp"
#include "braing3n/ops/group_norm.hpp"
#include "braing3n/ops/layer_norm.hpp"
#include "braing3n/ops/linear.hpp"
#include "braing3n/ops/upsample.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// activation(x W^T + b); x (..., in), weight (out, in), bias (out) or an empty value.
template <class T, Backend B>
Var<T, B> linear(const Var<T, B>& x, const Var<T, B>& weight, const Var<T, B>& bias, Activation activation = Activation::none) {
  LinearOptions<T, B> options;
  options.activation = activation;
  options.keep_preactivation = activation != Activation::none && any_wants_gradient(x, weight, bias);
  LinearResult<T, B> r = linear_forward(x.value(), weight.value(), bias.value(), options);
  return record(
      std::move(r.y),
      [sx = x.slot(), sw = weight.slot(), sb = bias.slot(), vx = x.value(), vw = weight.value(), pre = r.preactivation, activation,
       bias_shape = bias.value().shape()](Tensor<T, B> dy) {
        if (activation != Activation::none) dy = activation_backward(pre, dy, activation);
        if (sx) accumulate(sx, linear_backward_input(dy, vw));
        if (sw) linear_backward_weight(vx, dy, gradient_sum(sw, dy.context(), vw.shape()));
        if (sb) linear_backward_bias(dy, gradient_sum(sb, dy.context(), bias_shape));
      },
      x, weight, bias);
}

}  // namespace braing3n::inline BRAING3N_ABI
