// The mean squared error of samples that count differently.
//
//   weighted_mse   1 / N sum_n w_n mean_i (p_ni - t_ni)^2
//
// The weights are not normalised: a sample of weight 0.1 counts a tenth of one of weight 1, whatever else is in its batch.
#pragma once

#include "braing3n/ops/loss.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T, Backend B>
void weighted_mse_check(const char* op, const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                        const Tensor<float, B>& weights) {
  loss_check(op, prediction, target);
  require_same_context(op, prediction, weights);
  if (prediction.rank() < 1) fail(ErrorKind::shape, "loss.samples", op, ": expected samples, got a single number");
  require_shape(op, "weights", weights, Shape{prediction.dim(0)});
}

}  // namespace detail

/// prediction, target (N, ...), weights (N) -> a number. Throws Error (shape).
template <class T, Backend B>
Tensor<double, B> weighted_mse_forward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                                       const Tensor<float, B>& weights) {
  detail::weighted_mse_check("weighted_mse", prediction, target, weights);
  const Index n = prediction.dim(0), width = prediction.size() / n;
  Context<B>& ctx = prediction.context();
  Tensor<double, B> sample(ctx, Shape{n}), loss(ctx, Shape{});
  row_sums(ctx, n, width, detail::PatchSquaredError<T>{{prediction.data(), target.data()}, width},
           detail::StoreMasked{weights.data(), sample.data()});
  sum_to(ctx, n, detail::ValueAt<double>{sample.data()},
         detail::StoreQuotient{loss.data(), static_cast<double>(prediction.size())});
  return loss;
}
template <class T, Backend B>
Tensor<T, B> weighted_mse_backward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                                   const Tensor<float, B>& weights, const Tensor<double, B>& upstream) {
  const char* op = "weighted_mse_backward";
  detail::weighted_mse_check(op, prediction, target, weights);
  require_shape(op, "upstream", upstream, Shape{});
  const Index n = prediction.dim(0), width = prediction.size() / n;
  Tensor<T, B> dp(prediction.context(), prediction.shape());
  map_rows(dp.context(), n, width,
           detail::PatchSquaredErrorGrad<T>{prediction.data(), target.data(), weights.data(), dp.data(), width,
                                            upstream.data(), static_cast<double>(prediction.size())});
  return dp;
}

}  // namespace braing3n::inline BRAING3N_ABI
