// The masked autoencoder's loss and its gradient in one call (arXiv 2111.06377), the target normalised on the way when that is wanted.
#pragma once

#include <concepts>

#include "braing3n/backend/fused.hpp"
#include "braing3n/ops/loss.hpp"
#include "braing3n/ops/normalize_patches.hpp"

namespace braing3n::inline BRAING3N_ABI {

template <class T, Backend B>
struct MaskedPatchLoss {
  Tensor<double, B> loss;
  Tensor<T, B> target;    // as the prediction is compared with it, where the call runs in parts
  Tensor<T, B> gradient;  // of the prediction for the upstream gradient 1, where it is one call and wanted
};

/// prediction, target (N, L, P), selection (N, L): the patches that count (TokenMask::masked). normalize: as normalize_patches().
template <class T, Backend B>
MaskedPatchLoss<T, B> masked_patch_forward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                                           const TokenSelection<B>& selection, bool normalize, bool wants_gradient) {
  MaskedPatchLoss<T, B> r;
  if constexpr (std::same_as<B, Cpu>) {
    r.target = normalize ? normalize_patches(target) : target;
    r.loss = masked_patch_mse_forward(prediction, r.target, selection);
  } else {
    MaskedPatchCall<T> c;
    c.count = detail::masked_patch_check("masked_patch", prediction, target, selection);
    c.rows = selection.weights.size(), c.cols = prediction.dim(2);
    c.normalize = normalize, c.eps = detail::patch_eps;
    if (normalize) detail::require_normalizable(target);
    c.prediction = prediction.data(), c.target = target.data(), c.weights = selection.weights.data();
    r.loss = Tensor<double, B>(prediction.context(), Shape{});
    c.loss = r.loss.data();
    if (wants_gradient) {
      r.gradient = Tensor<T, B>(prediction.context(), prediction.shape());
      c.gradient = r.gradient.data();
    }
    MaskedPatchKernel<B>::run(prediction.context(), c);
  }
  return r;
}

/// The gradient of the prediction. `r` is what the forward returned; its gradient's memory is taken for the result.
template <class T, Backend B>
Tensor<T, B> masked_patch_backward(const Tensor<T, B>& prediction, const MaskedPatchLoss<T, B>& r,
                                   const TokenSelection<B>& selection, const Tensor<double, B>& upstream) {
  if constexpr (std::same_as<B, Cpu>) {
    return masked_patch_mse_backward(prediction, r.target, selection, upstream);
  } else {
    require_shape("masked_patch_backward", "upstream", upstream, Shape{});
    require_same_shape("masked_patch_backward", prediction, r.gradient);
    Tensor<T, B> gradient = r.gradient;
    MaskedPatchKernel<B>::scale(gradient.context(), gradient.size(), upstream.data(), gradient.data());
    return gradient;
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
