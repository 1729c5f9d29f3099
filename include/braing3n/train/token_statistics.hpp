// Mean and covariance of an encoder's tokens over subjects, and the share of their variance that lies between subjects.
//
// A collapsed encoder gives every subject the same tokens: the decoder then predicts the mean image, and the loss does not show it. The
// share of the tokens' variance that lies between subjects at the same position does:
//   share = mean_{l,c} Var_n(t[n,l,c]) / mean_c Var_{n,l}(t[n,l,c])
// The patches of the scans themselves give the value to compare it with.
#pragma once

#include <cmath>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/moments.hpp"
#include "braing3n/core/tensor.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI {

class TokenStatistics {
 public:
  /// with_covariance: also the width x width matrix, which costs a product per scan.
  explicit TokenStatistics(bool with_covariance) : with_covariance_(with_covariance) {}

  /// tokens (N, L, C), N subjects. Sums are in double, in the order given.
  void add(const Tensor<float, Cpu>& tokens) {
    if (tokens.rank() != 3 || (count_ > 0 && (tokens.dim(1) != length_ || tokens.dim(2) != width_)))
      fail(ErrorKind::shape, "tokens.shape", "token statistics: tokens have shape ", tokens.shape(), ", expected (N, ",
           length_, ", ", width_, ")");
    length_ = tokens.dim(1), width_ = tokens.dim(2);
    const Index each = length_ * width_;
    at_.resize(static_cast<std::size_t>(each));
    for (Index n = 0; n < tokens.dim(0); ++n)
      for (Index i = 0; i < each; ++i)
        at_[static_cast<std::size_t>(i)].add(static_cast<double>(tokens.data()[n * each + i]));
    count_ += tokens.dim(0);
    if (!with_covariance_) return;
    const auto rows = cast<double>(tokens).reshape({tokens.dim(0) * length_, width_});
    const auto product = matmul_forward(rows, rows, {.transpose_a = true});
    gram_.resize(static_cast<std::size_t>(width_ * width_));
    for (std::size_t i = 0; i < gram_.size(); ++i) gram_[i] += product.data()[i];
  }

  Index subjects() const { return count_; }
  Index width() const { return width_; }

  /// (C)
  std::vector<double> mean() const {
    require_some();
    std::vector<double> m(static_cast<std::size_t>(width_), 0.0);
    for (std::size_t i = 0; i < at_.size(); ++i) m[i % m.size()] += at_[i].mean / static_cast<double>(length_);
    return m;
  }
  /// (C, C), population.
  std::vector<double> covariance() const {
    if (!with_covariance_)
      fail(ErrorKind::state, "tokens.covariance", "token statistics: the covariance was not collected");
    const std::vector<double> m = mean();
    std::vector<double> s = gram_;
    for (Index i = 0; i < width_; ++i)
      for (Index j = 0; j < width_; ++j)
        s[static_cast<std::size_t>(i * width_ + j)] =
            s[static_cast<std::size_t>(i * width_ + j)] / static_cast<double>(count_ * length_) -
            m[static_cast<std::size_t>(i)] * m[static_cast<std::size_t>(j)];
    return s;
  }
  /// The share of variance between subjects, 0 to 1.
  double share_between_subjects() const {
    require_some();
    std::vector<Moments> channels(static_cast<std::size_t>(width_));
    double between = 0, total = 0;
    for (std::size_t i = 0; i < at_.size(); ++i) {
      between += at_[i].squares;
      channels[i % channels.size()].add(at_[i]);
    }
    for (const Moments& m : channels) total += m.squares;
    return total > 0 ? between / total : 0.0;
  }

 private:
  void require_some() const {
    if (count_ == 0) fail(ErrorKind::state, "tokens.none", "token statistics: there are no tokens");
  }

  bool with_covariance_;
  Index count_ = 0, length_ = 0, width_ = 0;
  std::vector<Moments> at_;   // (L, C), over people
  std::vector<double> gram_;  // (C, C)
};

}  // namespace braing3n::inline BRAING3N_ABI
