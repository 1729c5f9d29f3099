// Losses. The forward returns the value in double; the backward returns the gradient of the prediction for the upstream
// gradient `upstream` of that value. Targets get no gradient.
//
//   mse, l1              mean of (p - t)^2, |p - t| over all elements
//   masked_patch_mse     sum_l m_l mean_c (p_lc - t_lc)^2 / sum_l m_l, the masked autoencoder's loss (arXiv 2111.06377)
//   cross_entropy        mean over rows of log sum_k exp(z_k) - z_label
//   normalize_patches    (t - mean) / sqrt(var + eps) per patch, var unbiased: the target of "norm_pix_loss"
#pragma once

#include "braing3n/ops/gather.hpp"

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
  accum_t<T> scale;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const { dp[i] = convert<T>(scale * difference(p, t, i)); }
};
template <class T>
struct AbsoluteErrorGrad {
  const T* p;
  const T* t;
  T* dp;
  accum_t<T> scale;
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
  double scale;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    const accum_t<T> weight = static_cast<accum_t<T>>(scale * static_cast<double>(mask[r]));
    const Index i = r * width + c;
    dp[i] = convert<T>(weight == 0 ? accum_t<T>{0} : weight * difference(p, t, i));
  }
};

template <class T>
struct RowValue {
  const T* x;
  Index width;
  BRAING3N_HD BRAING3N_INLINE accum_t<T> operator()(Index r, Index c) const {
    return static_cast<accum_t<T>>(x[r * width + c]);
  }
};
template <class T>
struct RowDeviation {
  const T* x;
  const double* mean;
  Index width;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index r, Index c) const {
    const double d = static_cast<double>(static_cast<accum_t<T>>(x[r * width + c])) - mean[r];
    return d * d;
  }
};
struct StoreScaledRow {
  double* out;
  double scale;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, double v) const { out[r] = scale * v; }
};
template <class T>
struct NormalizeRow {
  const T* x;
  const double* mean;
  const double* variance;
  T* y;
  Index width;
  double eps;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index c) const {
    const double factor = 1.0 / sqrt(variance[r] + eps);
    const Index i = r * width + c;
    y[i] = convert<T>(static_cast<accum_t<T>>((static_cast<double>(static_cast<accum_t<T>>(x[i])) - mean[r]) * factor));
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
  double scale;
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

template <class T, Backend B>
void loss_check(const char* op, const Tensor<T, B>& prediction, const Tensor<T, B>& target) {
  require_elements(op, prediction);
  require_same_shape(op, prediction, target);
  require_same_context(op, prediction, target);
}

template <class T, Backend B>
double masked_patch_check(const char* op, const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                          const Tensor<float, B>& mask) {
  loss_check(op, prediction, target);
  require_rank(op, "prediction", prediction, 3, "(N, L, P)");
  require_same_context(op, prediction, mask);
  require_shape(op, "mask", mask, Shape{prediction.dim(0), prediction.dim(1)});
  const double total = sum(mask.context(), mask.size(), ValueAt<float>{mask.data()});
  if (!(total > 0)) fail(ErrorKind::argument, "loss.mask", op, ": the mask ", mask.shape(), " selects no patch");
  return total;
}

template <class T, Backend B>
void cross_entropy_check(const char* op, const Tensor<T, B>& logits, const Tensor<std::int32_t, B>& labels) {
  require_elements(op, logits);
  require_rank(op, "logits", logits, 2, "(N, K)");
  require_same_context(op, logits, labels);
  require_shape(op, "labels", labels, Shape{logits.dim(0)});
  require_indices(op, labels, logits.dim(1));
}

}  // namespace detail

/// Mean squared error over all elements.
template <class T, Backend B>
double mse_forward(const Tensor<T, B>& prediction, const Tensor<T, B>& target) {
  detail::loss_check("mse", prediction, target);
  const Index n = prediction.size();
  return sum(prediction.context(), n, detail::SquaredError<T>{prediction.data(), target.data()}) /
         static_cast<double>(n);
}
template <class T, Backend B>
Tensor<T, B> mse_backward(const Tensor<T, B>& prediction, const Tensor<T, B>& target, double upstream) {
  detail::loss_check("mse_backward", prediction, target);
  Tensor<T, B> dp(prediction.context(), prediction.shape());
  const auto scale = static_cast<accum_t<T>>(2.0 * upstream / static_cast<double>(dp.size()));
  map(dp.context(), dp.size(), detail::SquaredErrorGrad<T>{prediction.data(), target.data(), dp.data(), scale});
  return dp;
}

/// Mean absolute error over all elements. The derivative at equality is 0.
template <class T, Backend B>
double l1_forward(const Tensor<T, B>& prediction, const Tensor<T, B>& target) {
  detail::loss_check("l1", prediction, target);
  const Index n = prediction.size();
  return sum(prediction.context(), n, detail::AbsoluteError<T>{prediction.data(), target.data()}) /
         static_cast<double>(n);
}
template <class T, Backend B>
Tensor<T, B> l1_backward(const Tensor<T, B>& prediction, const Tensor<T, B>& target, double upstream) {
  detail::loss_check("l1_backward", prediction, target);
  Tensor<T, B> dp(prediction.context(), prediction.shape());
  const auto scale = static_cast<accum_t<T>>(upstream / static_cast<double>(dp.size()));
  map(dp.context(), dp.size(), detail::AbsoluteErrorGrad<T>{prediction.data(), target.data(), dp.data(), scale});
  return dp;
}

/// prediction, target (N, L, P), mask (N, L) with 1 for the patches that count (TokenMask::masked).
template <class T, Backend B>
double masked_patch_mse_forward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                                const Tensor<float, B>& mask) {
  const double total = detail::masked_patch_check("masked_patch_mse", prediction, target, mask);
  const Index width = prediction.dim(2);
  Tensor<double, B> patch(prediction.context(), mask.shape());
  row_sums(prediction.context(), mask.size(), width,
           detail::PatchSquaredError<T>{{prediction.data(), target.data()}, width},
           detail::StoreMasked{mask.data(), patch.data()});
  return sum(patch.context(), patch.size(), detail::ValueAt<double>{patch.data()}) /
         (total * static_cast<double>(width));
}
template <class T, Backend B>
Tensor<T, B> masked_patch_mse_backward(const Tensor<T, B>& prediction, const Tensor<T, B>& target,
                                       const Tensor<float, B>& mask, double upstream) {
  const double total = detail::masked_patch_check("masked_patch_mse_backward", prediction, target, mask);
  const Index width = prediction.dim(2);
  Tensor<T, B> dp(prediction.context(), prediction.shape());
  map_rows(dp.context(), mask.size(), width,
           detail::PatchSquaredErrorGrad<T>{prediction.data(), target.data(), mask.data(), dp.data(), width,
                                            2.0 * upstream / (total * static_cast<double>(width))});
  return dp;
}

/// target (N, L, P) -> the same with every patch shifted and scaled to mean 0 and unbiased variance 1. A target only: no backward.
template <class T, Backend B>
Tensor<T, B> normalize_patches(const Tensor<T, B>& target, double eps = 1e-6) {
  require_elements("normalize_patches", target);
  require_rank("normalize_patches", "target", target, 3, "(N, L, P)");
  const Index rows = target.dim(0) * target.dim(1), width = target.dim(2);
  if (width < 2)
    fail(ErrorKind::shape, "loss.patch", "normalize_patches: a patch of ", target.shape(), " has ", width,
         " element, its variance needs 2");
  Tensor<double, B> mean(target.context(), Shape{rows}), variance(target.context(), Shape{rows});
  Tensor<T, B> y(target.context(), target.shape());
  row_sums(target.context(), rows, width, detail::RowValue<T>{target.data(), width},
           detail::StoreScaledRow{mean.data(), 1.0 / static_cast<double>(width)});
  row_sums(target.context(), rows, width, detail::RowDeviation<T>{target.data(), mean.data(), width},
           detail::StoreScaledRow{variance.data(), 1.0 / static_cast<double>(width - 1)});
  map_rows(target.context(), rows, width,
           detail::NormalizeRow<T>{target.data(), mean.data(), variance.data(), y.data(), width, eps});
  return y;
}

/// logits (N, K), labels (N) in [0, K).
template <class T, Backend B>
double cross_entropy_forward(const Tensor<T, B>& logits, const Tensor<std::int32_t, B>& labels) {
  detail::cross_entropy_check("cross_entropy", logits, labels);
  const Index n = logits.dim(0);
  Tensor<double, B> loss(logits.context(), Shape{n});
  map(logits.context(), n,
      detail::CrossEntropyRow<T>{logits.data(), labels.data(), loss.data(), nullptr, logits.dim(1), 0.0});
  return sum(loss.context(), n, detail::ValueAt<double>{loss.data()}) / static_cast<double>(n);
}
template <class T, Backend B>
Tensor<T, B> cross_entropy_backward(const Tensor<T, B>& logits, const Tensor<std::int32_t, B>& labels,
                                    double upstream) {
  detail::cross_entropy_check("cross_entropy_backward", logits, labels);
  const Index n = logits.dim(0);
  Tensor<T, B> dlogits(logits.context(), logits.shape());
  map(logits.context(), n,
      detail::CrossEntropyRow<T>{logits.data(), labels.data(), nullptr, dlogits.data(), logits.dim(1),
                                 upstream / static_cast<double>(n)});
  return dlogits;
}

}  // namespace braing3n::inline BRAING3N_ABI
