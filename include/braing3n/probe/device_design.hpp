// The feature matrix of the probes on a GPU: some rows of a table, centred, scaled and kept there for all passes.
//
// Unlike the CPU's (design.hpp), which standardises blocks of rows anew in each pass, this one keeps the rows in fp64 for gradients and
// in T for Hessian products. Each row has a 1 behind its features and zeros up to a width that products like, so one product gives values
// with their intercepts, and one gives gradients with the sums of the residuals. Rows are cut into at most 16 chunks, the last one filled
// up with rows of zeros; products over rows are made for each chunk and added in order.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/backend/gemm.hpp"
#include "braing3n/probe/placed_features.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// The selected rows of a table on a backend.
template <class T>
struct SelectedRows {
  const T* x;
  const Index* row;  // null: all
  Index features;

  BRAING3N_HD BRAING3N_INLINE double operator()(Index, Index i, Index j) const {
    return static_cast<double>(x[(row == nullptr ? i : row[i]) * features + j]);
  }
};
struct StoreColumnMean {
  double* mean;
  double rows;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index, Index j, double total) const { mean[j] = total / rows; }
};
template <class T>
struct SquaredDeviation {
  SelectedRows<T> rows;
  const double* mean;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index b, Index i, Index j) const {
    const double off = rows(b, i, j) - mean[j];
    return off * off;
  }
};
/// The deviation of a column, from the sum of squares; a constant column gets its value as mean and the deviation 1.
template <class T>
struct StoreDeviation {
  SelectedRows<T> row;
  double* mean;
  double* deviation;
  double rows, epsilon;
  bool scale;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index, Index j, double total) const {
    const double variance = total / rows, rounding = rows * mean[j] * epsilon;
    deviation[j] = 1.0;
    if (variance <= rounding * rounding) mean[j] = row(0, 0, j);
    else if (scale) deviation[j] = std::sqrt(variance);
  }
};
/// Row i of the design in fp64 and in T.
template <class T>
struct FillDesign {
  SelectedRows<T> from;
  const double* mean;
  const double* deviation;
  double* wide;
  T* narrow;
  Index rows, width;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i, Index j) const {
    double v = 0.0;
    if (i < rows)
      v = j < from.features ? (from(0, i, j) - mean[j]) * (1.0 / deviation[j]) : j == from.features ? 1.0 : 0.0;
    wide[i * width + j] = v;
    if (narrow != nullptr) narrow[i * width + j] = static_cast<T>(v);
  }
};

}  // namespace detail

template <class T, Backend B>
class Design {
 public:
  using NonFinite = NonFiniteFeature;
  using backend = B;
  static constexpr Index most_chunks = 16, chunk_step = 64, width_step = 8;

  Design(Context<B>& context, FeatureView<T> features, std::vector<Index> rows = {}, bool scale = true)
      : Design(context, PlacedFeatures<T, B>(context, features), std::move(rows), scale) {}
  /// As on the CPU, for features that are there already. The host reads once: means and deviations.
  Design(Context<B>& context, const PlacedFeatures<T, B>& features, std::vector<Index> rows = {}, bool scale = true)
      : context_(&context), rows_(rows.empty() ? features.host.rows : static_cast<Index>(rows.size())),
        features_(features.host.features), width_((features_ + width_step) / width_step * width_step) {
    detail::require_features(features.host, rows_);
    const Index each = (rows_ + most_chunks - 1) / most_chunks;
    chunk_rows_ = (each + chunk_step - 1) / chunk_step * chunk_step;
    chunks_ = (rows_ + chunk_rows_ - 1) / chunk_rows_;
    Tensor<Index, B> selected;
    if (!rows.empty()) selected = Tensor<Index, B>::from_host(context, {rows_}, rows);
    const detail::SelectedRows<T> from{features.copy.data(), selected.data(), features_};
    Tensor<double, B> statistics(context, {2, features_});
    double *const mean = statistics.data(), *const deviation = mean + features_;
    const double n = static_cast<double>(rows_);
    column_sums(context, 1, rows_, features_, from, detail::StoreColumnMean{mean, n});
    column_sums(context, 1, rows_, features_, detail::SquaredDeviation<T>{from, mean},
                detail::StoreDeviation<T>{from, mean, deviation, n, std::numeric_limits<double>::epsilon(), scale});
    wide_ = Tensor<double, B>(context, {padded_rows(), width_});
    if constexpr (!std::is_same_v<T, double>) narrow_ = Tensor<T, B>(context, {padded_rows(), width_});
    map_rows(context, padded_rows(), width_,
             detail::FillDesign<T>{from, mean, deviation, wide_.data(), narrow_.data(), rows_, width_});
    const std::vector<double> read = statistics.to_host();
    mean_.assign(read.begin(), read.begin() + features_);
    deviation_.assign(read.begin() + features_, read.end());
    require_finite(features.host, rows);
  }

  Context<B>& context() const { return *context_; }
  Index rows() const { return rows_; }
  Index features() const { return features_; }
  /// Features, the 1 and zeros: values per row.
  Index width() const { return width_; }
  Index padded_rows() const { return chunks_ * chunk_rows_; }
  Index chunks() const { return chunks_; }
  const std::vector<double>& mean() const { return mean_; }
  const std::vector<double>& deviation() const { return deviation_; }

  /// (padded_rows, width) in P, which is double or T.
  template <class P>
  const P* data() const {
    if constexpr (std::is_same_v<P, double>) return wide_.data();
    else return narrow_.data();
  }

  /// out (padded_rows, columns) = X weights^T for weights (columns, width): one product.
  template <class P>
  void values(Index columns, const P* weights, P* out) const {
    GemmCall<P> call;
    call.m = padded_rows(), call.n = columns, call.k = width_;
    call.a = data<P>(), call.a_row = width_;
    call.b = weights, call.b_row = 1, call.b_col = width_;
    call.c = out, call.c_row = columns;
    ProductKernel<B>::run(*context_, call);
  }

  /// out (chunks, columns, width) = of_rows^T X for each chunk of rows, to be added in order: one batched product. of_rows (padded_rows,
  /// columns) has numbers in the rows behind the last, too.
  template <class P>
  void back(Index columns, const P* of_rows, P* out) const {
    GemmCall<P> call;
    call.m = columns, call.n = width_, call.k = chunk_rows_;
    call.a_row = 1, call.a_col = columns;
    call.b_row = width_;
    call.c_row = width_;
    ProductKernel<B>::run_batch(*context_, call, chunks_, of_rows, chunk_rows_ * columns, data<P>(),
                                chunk_rows_ * width_, out, columns * width_);
  }

 private:
  // A mean that is not finite comes of a feature that is not, or of sums beyond the range of double.
  void require_finite(const FeatureView<T>& x, const std::vector<Index>& rows) const {
    if (std::all_of(mean_.begin(), mean_.end(), [](double m) { return std::isfinite(m); })) return;
    for (Index i = 0; i < rows_; ++i) {
      const Index row = rows.empty() ? i : rows[static_cast<std::size_t>(i)];
      for (Index j = 0; j < features_; ++j)
        if (const T v = x.row(row)[static_cast<std::size_t>(j)]; !std::isfinite(v))
          throw NonFinite(row, j, static_cast<double>(v));
    }
  }

  Context<B>* context_;
  Index rows_ = 0, features_ = 0, width_ = 0, chunk_rows_ = 0, chunks_ = 0;
  std::vector<double> mean_, deviation_;
  Tensor<double, B> wide_;
  Tensor<T, B> narrow_;
};

}  // namespace braing3n::inline BRAING3N_ABI
