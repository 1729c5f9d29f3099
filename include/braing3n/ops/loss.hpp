// Losses. The forward returns the value, a number on the backend (ops/scalar.hpp); the backward returns the gradient of the prediction
// for the upstream gradient `upstream` of that value. Targets get no gradient.
//
//   mse, l1              mean of (p - t)^2, |p - t| over all elements
//   masked_patch_mse     sum_l m_l mean_c (p_lc - t_lc)^2 / sum_l m_l, the masked autoencoder's loss (arXiv 2111.06377)
//   cross_entropy        mean over rows of log sum_k exp(z_k) - z_label
#pragma once

#include "braing3n/ops/scalar.hpp"
#include "braing3n/ops/token_mask.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
BRAING3N_HD BRAING3N_INLINE accum_t<T> difference(const T* p, const T* t, Index i) {
  return static_cast<accum_t<T>>(p[i]) - static_cast<accum_t<T>>(t[i]);
}

template <class T>
struct SquaredError {
  const T* p;
  const T* t;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index i) const {
    const double d = static_cast<double>(difference(p, t, i));
    return d * d;
  }
};
template <class T>
struct AbsoluteError {
  const T* p;
  const T* t;
  BRAING3N_HD BRAING3N_INLINE accum_t<T> operator()(Index i) const {
    const accum_t<T> d = difference(p, t, i);
    return d < 0 ? -d : d;
  }
};
template <class T>
struct SquaredErrorGrad {
  const T* p;
  const T* t;
  T* dp;
  const double* upstream;
  double count;
  accum_t<T> scale{};
  BRAING3N_HD BRAING3N_INLINE SquaredErrorGrad prepared() const {
    return {p, t, dp, upstream, count, static_cast<accum_t<T>>(2.0 * *upstream / count)};
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { dp[i] = convert<T>(scale * difference(p, t, i)); }
};
template <class T>
struct AbsoluteErrorGrad {
  const T* p;
  const T* t;
  T* dp;
  const double* upstream;
  double count;
  accum_t<T> scale{};
  BRAING3N_HD BRAING3N_INLINE AbsoluteErrorGrad prepared() const {
    return {p, t, dp, upstream, count, static_cast<accum_t<T>>(*upstream / count)};
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const accum_t<T> d = difference(p, t, i), zero{0};
    dp[i] = convert<T>(d > zero ? scale : (d < zero ? -scale : zero * d));
  }
};

template <class T>
struct PatchSquaredError {
  SquaredError<T> error;
  Index width;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index r, Index c) const { return error(r * width + c); }
};
/// out[r] = mask[r] * v
struct StoreMasked {
  const float* mask;
  double* out;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, double v) const {
    out[r] = mask[r] == 0.0f ? 0.0 : static_cast<double>(mask[r]) * v;
  }
};
template <class T>
struct PatchSquaredErrorGrad {
  const T* p;
  const T* t;
  const float* mask;
  T* dp;
  Index width;
  const double* upstream;
  double count;
  double scale{};
  BRAING3N_HD BRAING3N_INLINE PatchSquaredErrorGrad prepared() const {
    return {p, t, mask, dp, width, upstream, count, 2.0 * *upstream / count};
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    const accum_t<T> weight = static_cast<accum_t<T>>(scale * static_cast<double>(mask[r]));
    const Index i = r * width + c;
    dp[i] = convert<T>(weight == 0 ? accum_t<T>{0} : weight * difference(p, t, i));
  }
};

/// One row of logits: its loss, or its gradient.
template <class T>
struct CrossEntropyRow {
  const T* logits;
  const std::int32_t* label;
  double* loss;
  T* dlogits;
  Index classes;
  const double* upstream;
  double count;
  double scale{};
  BRAING3N_HD BRAING3N_INLINE CrossEntropyRow prepared() const {
    return {logits, label, loss, dlogits, classes, upstream, count, upstream == nullptr ? 0.0 : *upstream / count};
  }
  BRAING3N_HD BRAING3N_INLINE double logit(Index r, Index k) const {
    return static_cast<double>(static_cast<accum_t<T>>(logits[r * classes + k]));
  }
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r) const {
    double top = logit(r, 0), total = 0;
    for (Index k = 1; k < classes; ++k) top = logit(r, k) > top ? logit(r, k) : top;
    for (Index k = 0; k < classes; ++k) total += exp(logit(r, k) - top);
    if (loss != nullptr) loss[r] = log(total) + (top - logit(r, label[r]));
    if (dlogits == nullptr) return;
    for (Index k = 0; k < classes; ++k) {
      const double p = exp(logit(r, k) - top) / total;
      dlogits[r * classes + k] = convert<T>(static_cast<accum_t<T>>(scale * (p - (k == label[r] ? 1.0 : 0.0))));
    }
  }
};

/// The mean of f over the elements of x.
template <class T, Backend B, class F>
Tensor<double, B> mean_of(const Tensor<T, B>& x, const F& f) {
  Tensor<double, B> mean(x.context(), Shape{});
  sum_to(x.context(), x.size(), f, StoreQuotient{mean.data(), static_cast<double>(x.size())});
  return mean;
}

template <class T, Backend B>
void loss_check(const char* op, const Tensor<T, B>& prediction, const Tensor<T, B>& target) {
  require_elements(op, prediction);
  require_same_shape(op, prediction, target);
  require_same_context(op, prediction, target);
}

/// The elements that the loss is the mean of.
template <class T, Backend B>
double masked_patch_check(const char* op, const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                          const TokenSelection<B>& selection) {
  loss_check(op, prediction, target);
  require_rank(op, "prediction", prediction, 3, "(N, L, P)");
  require_same_context(op, prediction, selection.weights);
  require_shape(op, "selection", selection.weights, Shape{prediction.dim(0), prediction.dim(1)});
  if (selection.count < 1)
    fail(ErrorKind::argument, "loss.selection", op, ": expected at least one patch in the selection ",
         selection.shape(), ", got none");
  return static_cast<double>(selection.count) * static_cast<double>(prediction.dim(2));
}

template <class T, Backend B>
void cross_entropy_check(const char* op, const Tensor<T, B>& logits, const Indices<B>& labels) {
  require_elements(op, logits);
  require_rank(op, "logits", logits, 2, "(N, K)");
  require_same_context(op, logits, labels.values());
  require_shape(op, "labels", labels.values(), Shape{logits.dim(0)});
  require_indices(op, labels, logits.dim(1));
}

}  // namespace detail

/// Mean squared error over all elements.
template <class T, Backend B>
Tensor<double, B> mse_forward(const Tensor<T, B>& prediction, const Tensor<T, B>& target) {
  detail::loss_check("mse", prediction, target);
  return detail::mean_of(prediction, detail::SquaredError<T>{prediction.data(), target.data()});
}
template <class T, Backend B>
Tensor<T, B> mse_backward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                          const Tensor<double, B>& upstream) {
  detail::loss_check("mse_backward", prediction, target);
  require_shape("mse_backward", "upstream", upstream, Shape{});
  Tensor<T, B> dp(prediction.context(), prediction.shape());
  map(dp.context(), dp.size(),
      detail::SquaredErrorGrad<T>{prediction.data(), target.data(), dp.data(), upstream.data(),
                                  static_cast<double>(dp.size())});
  return dp;
}

/// Mean absolute error over all elements. The derivative at equality is 0.
template <class T, Backend B>
Tensor<double, B> l1_forward(const Tensor<T, B>& prediction, const Tensor<T, B>& target) {
  detail::loss_check("l1", prediction, target);
  return detail::mean_of(prediction, detail::AbsoluteError<T>{prediction.data(), target.data()});
}
template <class T, Backend B>
Tensor<T, B> l1_backward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                         const Tensor<double, B>& upstream) {
  detail::loss_check("l1_backward", prediction, target);
  require_shape("l1_backward", "upstream", upstream, Shape{});
  Tensor<T, B> dp(prediction.context(), prediction.shape());
  map(dp.context(), dp.size(),
      detail::AbsoluteErrorGrad<T>{prediction.data(), target.data(), dp.data(), upstream.data(),
                                   static_cast<double>(dp.size())});
  return dp;
}

/// prediction, target (N, L, P), selection (N, L): the patches that count (TokenMask::masked).
template <class T, Backend B>
Tensor<double, B> masked_patch_mse_forward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                                           const TokenSelection<B>& selection) {
  const double count = detail::masked_patch_check("masked_patch_mse", prediction, target, selection);
  const Index width = prediction.dim(2);
  Context<B>& ctx = prediction.context();
  Tensor<double, B> patch(ctx, selection.shape()), loss(ctx, Shape{});
  row_sums(ctx, patch.size(), width, detail::PatchSquaredError<T>{{prediction.data(), target.data()}, width},
           detail::StoreMasked{selection.weights.data(), patch.data()});
  sum_to(ctx, patch.size(), detail::ValueAt<double>{patch.data()}, detail::StoreQuotient{loss.data(), count});
  return loss;
}
template <class T, Backend B>
Tensor<T, B> masked_patch_mse_backward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                                       const TokenSelection<B>& selection, const Tensor<double, B>& upstream) {
  const char* op = "masked_patch_mse_backward";
  const double count = detail::masked_patch_check(op, prediction, target, selection);
  require_shape(op, "upstream", upstream, Shape{});
  const Index width = prediction.dim(2);
  Tensor<T, B> dp(prediction.context(), prediction.shape());
  map_rows(dp.context(), selection.weights.size(), width,
           detail::PatchSquaredErrorGrad<T>{prediction.data(), target.data(), selection.weights.data(), dp.data(),
                                            width, upstream.data(), count});
  return dp;
}

/// logits (N, K), labels (N) in [0, K).
template <class T, Backend B>
Tensor<double, B> cross_entropy_forward(const Tensor<T, B>& logits, const Indices<B>& labels) {
  detail::cross_entropy_check("cross_entropy", logits, labels);
  const Index n = logits.dim(0);
  Context<B>& ctx = logits.context();
  Tensor<double, B> row(ctx, Shape{n}), loss(ctx, Shape{});
  map(ctx, n,
      detail::CrossEntropyRow<T>{logits.data(), labels.data(), row.data(), nullptr, logits.dim(1), nullptr, 1.0});
  sum_to(ctx, n, detail::ValueAt<double>{row.data()}, detail::StoreQuotient{loss.data(), static_cast<double>(n)});
  return loss;
}
template <class T, Backend B>
Tensor<T, B> cross_entropy_backward(const Tensor<T, B>& logits, const Indices<B>& labels,
                                    const Tensor<double, B>& upstream) {
  detail::cross_entropy_check("cross_entropy_backward", logits, labels);
  require_shape("cross_entropy_backward", "upstream", upstream, Shape{});
  const Index n = logits.dim(0);
  Tensor<T, B> dlogits(logits.context(), logits.shape());
  map(logits.context(), n,
      detail::CrossEntropyRow<T>{logits.data(), labels.data(), nullptr, dlogits.data(), logits.dim(1), upstream.data(),
                                 static_cast<double>(n)});
  return dlogits;
}

}  // namespace braing3n::inline BRAING3N_ABI
