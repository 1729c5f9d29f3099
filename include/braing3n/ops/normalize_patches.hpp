// The target of "norm_pix_loss" (arXiv 2111.06377): (t - mean) / sqrt(var + eps) per patch, var unbiased.
#pragma once

#include "braing3n/ops/reduce.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

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

inline constexpr double patch_eps = 1e-6;  // added to the variance

template <class T, Backend B>
void require_normalizable(const Tensor<T, B>& target) {
  require_elements("normalize_patches", target);
  require_rank("normalize_patches", "target", target, 3, "(N, L, P)");
  if (target.dim(2) < 2)
    fail(ErrorKind::shape, "loss.patch", "normalize_patches: a patch of ", target.shape(), " has ", target.dim(2),
         " element, its variance needs 2");
}

}  // namespace detail

/// target (N, L, P) -> the same with every patch shifted and scaled to mean 0 and unbiased variance 1. A target only: no backward.
template <class T, Backend B>
Tensor<T, B> normalize_patches(const Tensor<T, B>& target, double eps = detail::patch_eps) {
  detail::require_normalizable(target);
  const Index rows = target.dim(0) * target.dim(1), width = target.dim(2);
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

}  // namespace braing3n::inline BRAING3N_ABI
