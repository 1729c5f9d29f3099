// Recorded losses. Every loss is a scalar in double, whatever the precision of the prediction; targets get no gradient.
#pragma once

#include <cmath>
#include <utility>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/ops_basic.hpp"
#include "braing3n/ops/loss.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Wraps a loss: backward(upstream) -> the gradient of the prediction.
template <class T, Backend B, class Backward>
Var<double, B> record_loss(double value, const Var<T, B>& prediction, Backward backward) {
  Tensor<double, B> y = Tensor<double, B>::from_host(prediction.value().context(), Shape{}, {&value, 1});
  return record(
      std::move(y),
      [slot = prediction.slot(), backward = std::move(backward)](const Tensor<double, B>& dy) {
        accumulate(slot, backward(dy.to_host()[0]));
      },
      prediction);
}

}  // namespace detail

/// The number in a scalar.
template <Backend B>
double item(const Var<double, B>& scalar) {
  if (scalar.value().size() != 1)
    fail(ErrorKind::shape, "item.size", "item: expected one element, got shape ", scalar.shape());
  return scalar.value().to_host()[0];
}

/// Mean squared error over all elements.
template <class T, Backend B>
Var<double, B> mse_loss(const Var<T, B>& prediction, const Tensor<T, B>& target) {
  return detail::record_loss(mse_forward(prediction.value(), target), prediction,
                             [p = prediction.value(), target](double up) { return mse_backward(p, target, up); });
}

/// Mean absolute error over all elements.
template <class T, Backend B>
Var<double, B> l1_loss(const Var<T, B>& prediction, const Tensor<T, B>& target) {
  return detail::record_loss(l1_forward(prediction.value(), target), prediction,
                             [p = prediction.value(), target](double up) { return l1_backward(p, target, up); });
}

/// Cross entropy of logits (N, K) with class indices (N).
template <class T, Backend B>
Var<double, B> cross_entropy_loss(const Var<T, B>& logits, const Tensor<std::int32_t, B>& labels) {
  return detail::record_loss(cross_entropy_forward(logits.value(), labels), logits,
                             [z = logits.value(), labels](double up) { return cross_entropy_backward(z, labels, up); });
}

/// The masked autoencoder's loss: mean over the removed patches of the per-patch mean squared error. prediction and target
/// (N, L, patch size). normalize: the target patches are first shifted and scaled to mean 0 and variance 1.
template <class T, Backend B>
Var<double, B> masked_patch_loss(const Var<T, B>& prediction, const Tensor<T, B>& target, const TokenMask<B>& mask,
                                 bool normalize) {
  const Tensor<T, B> wanted = normalize ? normalize_patches(target) : target;
  return detail::record_loss(masked_patch_mse_forward(prediction.value(), wanted, mask.masked), prediction,
                             [p = prediction.value(), wanted, m = mask.masked](double up) {
                               return masked_patch_mse_backward(p, wanted, m, up);
                             });
}

// What braing3n::compiled holds of this file.
#define BRAING3N_LOSS_OPS(declare, T, B)                                                       \
  declare Var<double, B> mse_loss(const Var<T, B>&, const Tensor<T, B>&);                      \
  declare Var<double, B> l1_loss(const Var<T, B>&, const Tensor<T, B>&);                       \
  declare Var<double, B> cross_entropy_loss(const Var<T, B>&, const Tensor<std::int32_t, B>&); \
  declare Var<double, B> masked_patch_loss(const Var<T, B>&, const Tensor<T, B>&, const TokenMask<B>&, bool)
BRAING3N_COMPILED_OPS(BRAING3N_LOSS_OPS)

}  // namespace braing3n::inline BRAING3N_ABI
