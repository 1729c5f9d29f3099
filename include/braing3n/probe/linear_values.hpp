// The values of linear fits on rows of features: on the CPU row by row, on a GPU one product for all fits of one training set.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "braing3n/backend/gemm.hpp"
#include "braing3n/probe/fit_problem.hpp"
#include "braing3n/probe/placed_features.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

/// Throws Error (shape) for another number of features than that of the fits.
template <class T>
Index require_width(std::span<const LinearFit> fits, const FeatureView<T>& x) {
  Index outputs = 0;
  for (const LinearFit& fit : fits) {
    if (x.features != fit.features)
      fail(ErrorKind::shape, "probe.width", "probe: fitted on ", fit.features, " features, got ", x.features);
    outputs += fit.outputs;
  }
  return outputs;
}

/// (rows, outputs of all fits one behind the other). Throws Error (shape).
template <class T>
xt::xtensor<double, 2> linear_values(Context<Cpu>&, std::span<const LinearFit> fits, FeatureView<T> x) {
  xt::xtensor<double, 2> out;
  set_size(out, x.rows, require_width(fits, x));
  Index first = 0;
  for (const LinearFit& fit : fits) {
    for (Index i = 0; i < x.rows; ++i) fit.evaluate(x.row(i).data(), row_of(out, i).data() + first);
    first += fit.outputs;
  }
  return out;
}

template <class T>
struct StandardiseFeatures {
  const T* x;
  const double *mean, *scale;
  double* out;
  Index features;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i, Index j) const {
    out[i * features + j] = (static_cast<double>(x[i * features + j]) - mean[j]) / scale[j];
  }
};

/// The same for fits that have one training set, and so one mean and scale. Two uploads, one product, one read.
template <class T, Backend B>
xt::xtensor<double, 2> linear_values(Context<B>& ctx, std::span<const LinearFit> fits, FeatureView<T> x) {
  xt::xtensor<double, 2> out;
  const Index outputs = require_width(fits, x), d = x.features;
  set_size(out, x.rows, outputs);
  if (x.rows == 0 || outputs == 0) return out;
  std::vector<double> numbers = fits[0].mean;
  numbers.insert(numbers.end(), fits[0].scale.begin(), fits[0].scale.end());
  for (const LinearFit& fit : fits) numbers.insert(numbers.end(), fit.weights.begin(), fit.weights.end());
  for (const LinearFit& fit : fits) numbers.insert(numbers.end(), fit.intercept.begin(), fit.intercept.end());
  const auto placed = Tensor<double, B>::from_host(ctx, {std::ssize(numbers)}, numbers);
  const PlacedFeatures<T, B> features(ctx, x);
  const double* const mean = placed.data();
  Tensor<double, B> rows(ctx, {x.rows, d}), values(ctx, {x.rows, outputs});
  map_rows(ctx, x.rows, d, StandardiseFeatures<T>{features.copy.data(), mean, mean + d, rows.data(), d});
  GemmCall<double> call;
  call.m = x.rows, call.n = outputs, call.k = d;
  call.a = rows.data(), call.a_row = d;
  call.b = mean + 2 * d, call.b_row = 1, call.b_col = d;
  call.c = values.data(), call.c_row = outputs;
  call.bias = mean + (2 + outputs) * d;
  ProductKernel<B>::run(ctx, call);
  const std::vector<double> read = values.to_host();
  std::copy(read.begin(), read.end(), out.data());
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI::detail
