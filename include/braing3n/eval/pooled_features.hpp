// Pooled features of a volume: mean and standard deviation of every channel over the tokens.
//
// The mean alone loses what is in a few tokens only (a lesion of one token in hundreds); the standard deviation keeps some of it.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/core/tensor.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI {

class PooledFeatures {
 public:
  /// tokens (N, L, C): adds N rows. Sums are in double and in order. Throws Error (shape) for another number of channels than before.
  void add(const Tensor<float, Cpu>& tokens) {
    if (tokens.rank() != 3 || tokens.size() == 0 || (width_ != 0 && tokens.dim(2) != width_))
      fail(ErrorKind::shape, "pooled.shape", "pooled features: tokens ", tokens.shape(), ", expected (N, L, ",
           width_ != 0 ? concat(width_) : "C", ")");
    width_ = tokens.dim(2);
    const Index n = tokens.dim(0), length = tokens.dim(1);
    std::vector<double> sum, squares;
    std::vector<float> row;
    for (Index i = 0; i < n; ++i) {
      sum.assign(static_cast<std::size_t>(width_), 0.0);
      squares.assign(static_cast<std::size_t>(width_), 0.0);
      const float* rows = tokens.data() + i * length * width_;
      for (Index l = 0; l < length; ++l)
        for (std::size_t c = 0; c < sum.size(); ++c)
          sum[c] += static_cast<double>(rows[static_cast<std::size_t>(l * width_) + c]);
      for (double& s : sum) s /= static_cast<double>(length);
      for (Index l = 0; l < length; ++l)
        for (std::size_t c = 0; c < sum.size(); ++c) {
          const double d = static_cast<double>(rows[static_cast<std::size_t>(l * width_) + c]) - sum[c];
          squares[c] += d * d;
        }
      row.clear();
      for (const double s : sum) row.push_back(static_cast<float>(s));
      for (const double s : squares) row.push_back(static_cast<float>(std::sqrt(s / static_cast<double>(length))));
      append_row<float>(values_, row);
    }
  }

  Index rows() const { return row_count(values_); }
  Index width() const { return width_; }                     // channels of a token
  const RowStore<float>& values() const { return values_; }  // (rows, 2 width): means, then standard deviations
  FeatureView<float> view() const { return view_of(values_); }

  /// The means alone: (rows, width).
  RowStore<float> means() const {
    RowStore<float> m;
    set_size(m, rows(), width_);
    for (Index i = 0; i < rows(); ++i) std::copy_n(row_of(values_, i).data(), width_, row_of(m, i).data());
    return m;
  }

  /// (rows, 2 width), for distances.
  Tensor<float, Cpu> tensor(Context<Cpu>& ctx) const {
    return Tensor<float, Cpu>::from_host(ctx, {rows(), 2 * width_}, elements_of(values_));
  }

 private:
  Index width_ = 0;
  RowStore<float> values_;
};

}  // namespace braing3n::inline BRAING3N_ABI
