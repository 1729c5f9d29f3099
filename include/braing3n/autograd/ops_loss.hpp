// Recorded losses. Every loss is a number in double on the backend, whatever the precision of the prediction; targets get no gradient.
#pragma once

#include <cmath>
#include <utility>

#include "braing3n/autograd/compiled.hpp"
#include "braing3n/autograd/ops_basic.hpp"
#include "braing3n/ops/loss.hpp"
#include "braing3n/ops/masked_patch.hpp"
#include "braing3n/ops/weighted_loss.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Wraps a loss: backward(upstream) -> the gradient of the prediction.
template <class T, Backend B, class Backward>
Var<double, B> record_loss(Tensor<double, B> value, const Var<T, B>& prediction, Backward backward) {
  return record(
      std::move(value),
      [slot = prediction.slot(), backward = std::move(backward)](const Tensor<double, B>& dy) {
        accumulate(slot, backward(dy));
      },
      prediction);
}

}  // namespace detail

/// The number in a scalar. Waits for the backend.
template <Backend B>
double item(const Var<double, B>& scalar) {
  return item(scalar.value());
}

/// Mean squared error over all elements.
template <class T, Backend B>
Var<double, B> mse_loss(const Var<T, B>& prediction, const Tensor<T, B>& target) {
  return detail::record_loss(
      mse_forward(prediction.value(), target), prediction,
      [p = prediction.value(), target](const Tensor<double, B>& up) { return mse_backward(p, target, up); });
}

/// The mean over samples of weight times mean squared error. prediction, target (N, ...), weights (N).
template <class T, Backend B>
Var<double, B> weighted_mse_loss(const Var<T, B>& prediction, const Tensor<T, B>& target,
                                 const Tensor<float, B>& weights) {
  return detail::record_loss(weighted_mse_forward(prediction.value(), target, weights), prediction,
                             [p = prediction.value(), target, weights](const Tensor<double, B>& up) {
                               return weighted_mse_backward(p, target, weights, up);
                             });
}

/// Mean absolute error over all elements.
template <class T, Backend B>
Var<double, B> l1_loss(const Var<T, B>& prediction, const Tensor<T, B>& target) {
  return detail::record_loss(
      l1_forward(prediction.value(), target), prediction,
      [p = prediction.value(), target](const Tensor<double, B>& up) { return l1_backward(p, target, up); });
}

/// Cross entropy of logits (N, K) with class indices (N).
template <class T, Backend B>
Var<double, B> cross_entropy_loss(const Var<T, B>& logits, const Indices<B>& labels) {
  return detail::record_loss(
      cross_entropy_forward(logits.value(), labels), logits,
      [z = logits.value(), labels](const Tensor<double, B>& up) { return cross_entropy_backward(z, labels, up); });
}

/// The masked autoencoder's loss: mean over the removed patches of the per-patch mean squared error. prediction and target
/// (N, L, patch size). normalize: the target patches are first shifted and scaled to mean 0 and variance 1.
template <class T, Backend B>
Var<double, B> masked_patch_loss(const Var<T, B>& prediction, const Tensor<T, B>& target, const TokenMask<B>& mask,
                                 bool normalize) {
  const MaskedPatchLoss<T, B> r =
      masked_patch_forward(prediction.value(), target, mask.masked, normalize, prediction.wants_gradient());
  return detail::record_loss(r.loss, prediction,
                             [p = prediction.value(), r, m = mask.masked](const Tensor<double, B>& up) {
                               return masked_patch_backward(p, r, m, up);
                             });
}

// What braing3n::compiled holds of this file.
#define BRAING3N_LOSS_OPS(declare, T, B)                                                                    \
  declare Var<double, B> mse_loss(const Var<T, B>&, const Tensor<T, B>&);                                   \
  declare Var<double, B> weighted_mse_loss(const Var<T, B>&, const Tensor<T, B>&, const Tensor<float, B>&); \
  declare Var<double, B> l1_loss(const Var<T, B>&, const Tensor<T, B>&);                                    \
  declare Var<double, B> cross_entropy_loss(const Var<T, B>&, const Indices<B>&);                           \
  declare Var<double, B> masked_patch_loss(const Var<T, B>&, const Tensor<T, B>&, const TokenMask<B>&, bool)
BRAING3N_COMPILED_OPS(BRAING3N_LOSS_OPS)

}  // namespace braing3n::inline BRAING3N_ABI
