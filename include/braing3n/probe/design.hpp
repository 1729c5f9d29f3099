// The feature matrix as the probes see it: some rows of a table, centred and scaled on the fly, read in blocks.
//
// A fit never copies the table. Each pass loads blocks of rows into a small buffer, standardised with the statistics of the
// whole selection (what a single fold needs beyond that is a small correction on the weights, see newton.hpp), multiplies
// them with the weights of every fit at once, lets the caller turn products into residuals, and multiplies back:
//   values (rows, columns) = X W^T + bias;   body(values);   back (columns, features) = values^T X.
// Blocks and partial sums are cut by shape alone and added in a fixed order, so a pass does not depend on the threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/probe/device_design.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The form for a GPU is in device_design.hpp.
template <class T>
class Design<T, Cpu> {
 public:
  using NonFinite = NonFiniteFeature;
  using backend = Cpu;
  static constexpr Index block_rows = 256;
  static constexpr Index most_chunks = 16;

  /// rows: the selected rows, in the order wanted; empty selects all. scale = false centres only.
  /// Errors: no rows; a NaN or an infinity, named by its row and column.
  Design(Context<Cpu>& context, FeatureView<T> features, std::vector<Index> rows = {}, bool scale = true)
      : context_(&context), features_(features), selected_(std::move(rows)),
        rows_(selected_.empty() ? features.rows : static_cast<Index>(selected_.size())) {
    detail::require_features(features_, rows_);
    const Index blocks = (rows_ + block_rows - 1) / block_rows;
    chunk_rows_ = (blocks + most_chunks - 1) / most_chunks * block_rows;
    measure(scale);
  }

  Context<Cpu>& context() const { return *context_; }
  Index rows() const { return rows_; }
  Index features() const { return features_.features; }
  Index row(Index i) const { return selected_.empty() ? i : selected_[static_cast<std::size_t>(i)]; }
  /// Mean and standard deviation (1 for a constant column) of the selection, per feature.
  const std::vector<double>& mean() const { return mean_; }
  const std::vector<double>& deviation() const { return deviation_; }
  Index chunks() const { return (rows_ + chunk_rows_ - 1) / chunk_rows_; }

  /// Standardised rows [first, first + count) into block (count, features).
  template <class P>
  void load(Index first, Index count, P* block) const {
    const Index d = features();
    const double *mean = mean_.data(), *inverse = inverse_.data();
    for (Index r = 0; r < count; ++r) {
      const T* from = features_.row(row(first + r)).data();
      P* to = block + r * d;
      vectorized(context_->isa(), [&]() BRAING3N_LAMBDA_INLINE {
        BRAING3N_IVDEP
        for (Index j = 0; j < d; ++j) to[j] = static_cast<P>((static_cast<double>(from[j]) - mean[j]) * inverse[j]);
      });
    }
  }

  /// One pass; one at a time. weights (columns, features) or null (values start at bias); bias (columns) or null (0);
  /// body(chunk, first, count, values) sees rows [first, first + count) with values (count, columns) and may change them;
  /// back (columns, features), when not null, receives values^T X, or values^T X^2 (element-wise square) with `squares`.
  template <class P, class Body>
  void sweep(Index columns, const P* weights, const P* bias, double* back, Body&& body, bool squares = false) const {
    const Index d = features(), size = columns * d;
    P* partial = back == nullptr ? nullptr : partial_sums<P>(chunks() * size);
    const auto& gemm = context_->provider().template gemm<P>();
    context_->parallel(chunks(), [&](Index chunk) {
      Tensor<P, Cpu> block(*context_, {block_rows, d}), values(*context_, {block_rows, columns});
      const Index begin = chunk * chunk_rows_, end = std::min(rows_, begin + chunk_rows_);
      for (Index first = begin; first < end; first += block_rows) {
        const Index count = std::min(block_rows, end - first);
        load(first, count, block.data());
        if (weights != nullptr) {
          gemm.run(*context_, {.m = count,
                               .n = columns,
                               .k = d,
                               .a = block.data(),
                               .a_row = d,
                               .b = weights,
                               .b_row = 1,
                               .b_col = d,
                               .c = values.data(),
                               .c_row = columns,
                               .bias = bias});
        } else {
          for (Index i = 0; i < count * columns; ++i) values.data()[i] = bias == nullptr ? P(0) : bias[i % columns];
        }
        body(chunk, first, count, values.data());
        if (back == nullptr) continue;
        if (squares)
          for (Index i = 0; i < count * d; ++i) block.data()[i] *= block.data()[i];
        gemm.run(*context_, {.m = columns,
                             .n = d,
                             .k = count,
                             .a = values.data(),
                             .a_row = 1,
                             .a_col = columns,
                             .b = block.data(),
                             .b_row = d,
                             .c = partial + chunk * size,
                             .c_row = d,
                             .accumulate = first != begin});
      }
    });
    if (back == nullptr) return;
    context_->parallel_range(size, 1 << 14, [&](Index begin, Index end) {
      for (Index i = begin; i < end; ++i) back[i] = static_cast<double>(partial[i]);
      for (Index c = 1; c < chunks(); ++c)
        for (Index i = begin; i < end; ++i) back[i] += static_cast<double>(partial[c * size + i]);
    });
  }

 private:
  // Kept between passes: the first pass of a fit is the widest.
  template <class P>
  P* partial_sums(Index count) const {
    const Index words = (count * static_cast<Index>(sizeof(P)) + 7) / 8;
    if (partial_.size() < words) {
      partial_ = {};
      partial_ = Tensor<double, Cpu>(*context_, {words});
    }
    return reinterpret_cast<P*>(partial_.data());
  }

  // Mean first, then the squared deviations from it: one pass over squares would lose the deviation of features with a large mean.
  void measure(bool scale) {
    const Index d = features();
    const auto width = static_cast<std::size_t>(d);
    mean_.assign(width, 0.0);
    deviation_.assign(width, 1.0);
    inverse_.assign(width, 1.0);
    struct Bad {
      Index row = -1, column = -1;
    };
    std::vector<Bad> bad(static_cast<std::size_t>(chunks()));
    const auto column_sums = [&](auto&& add) {
      std::vector<std::vector<double>> partial(static_cast<std::size_t>(chunks()));
      context_->parallel(chunks(), [&](Index chunk) {
        auto& sum = partial[static_cast<std::size_t>(chunk)];
        sum.assign(width, 0.0);
        for (Index i = chunk * chunk_rows_; i < std::min(rows_, (chunk + 1) * chunk_rows_); ++i)
          add(chunk, i, features_.row(row(i)).data(), sum.data());
      });
      std::vector<double> total(width, 0.0);
      for (const auto& sum : partial)
        for (std::size_t j = 0; j < width; ++j) total[j] += sum[j];
      return total;
    };
    // A finite sum of a row's elements times zero is zero exactly when all of them are finite.
    mean_ = column_sums([&](Index chunk, Index i, const T* x, double* sum) {
      double probe = 0.0;
      vectorized(context_->isa(), [&]() BRAING3N_LAMBDA_INLINE {
        for (Index j = 0; j < d; ++j) sum[j] += static_cast<double>(x[j]);
      });
      for (Index j = 0; j < d; ++j) probe += static_cast<double>(x[j]) * 0.0;
      Bad& found = bad[static_cast<std::size_t>(chunk)];
      if (probe == 0.0 || found.row >= 0) return;
      for (Index j = 0; j < d && found.row < 0; ++j)
        if (!std::isfinite(x[j])) found = {row(i), j};
    });
    for (const Bad& b : bad)
      if (b.row >= 0) throw NonFinite(b.row, b.column, static_cast<double>(features_.data[b.row * d + b.column]));
    for (double& m : mean_) m /= static_cast<double>(rows_);
    std::vector<double> variance = column_sums([&](Index, Index, const T* x, double* sum) {
      const double* mean = mean_.data();
      vectorized(context_->isa(), [&]() BRAING3N_LAMBDA_INLINE {
        for (Index j = 0; j < d; ++j)
          sum[j] += (static_cast<double>(x[j]) - mean[j]) * (static_cast<double>(x[j]) - mean[j]);
      });
    });
    const double n = static_cast<double>(rows_), eps = std::numeric_limits<double>::epsilon();
    for (std::size_t j = 0; j < width; ++j) {
      variance[j] /= n;
      // What rounding leaves of a constant column is not a deviation.
      if (variance[j] <= std::pow(n * mean_[j] * eps, 2))
        mean_[j] = static_cast<double>(features_.data[row(0) * d + static_cast<Index>(j)]);
      else if (scale) deviation_[j] = std::sqrt(variance[j]);
      inverse_[j] = 1.0 / deviation_[j];
    }
  }

  Context<Cpu>* context_;
  FeatureView<T> features_;
  std::vector<Index> selected_;
  Index rows_ = 0, chunk_rows_ = 0;
  std::vector<double> mean_, deviation_, inverse_;
  mutable Tensor<double, Cpu> partial_;
};

}  // namespace braing3n::inline BRAING3N_ABI
