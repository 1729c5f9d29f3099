// The best d' values of a linear map of a token for a linear reconstruction of its patch, in closed form.
//
// Reduced-rank regression (Izenman 1975): with tokens t and patches p, covariances S = Cov(t) + ridge, C = Cov(t, p), S = L L^T,
//   U = the d' leading eigenvectors of (L^-1 C) (L^-1 C)^T,   z = U^T L^-1 (t - mean t),   p ~ mean p + (U^T L^-1 C)^T z.
// The z are uncorrelated with variance 1. It initialises the projection of a tokenizer, and it is a floor:
// the reconstruction without a decoder.
#pragma once

#include <cmath>
#include <concepts>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/linalg/leading_eigen.hpp"
#include "braing3n/linalg/llt.hpp"
#include "braing3n/nn/linear.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI {

class TokenReadout {
 public:
  /// tokens (1, L, C) and the patches (1, L, P) they come from, one scan after the other. Sums are in double, in the order given.
  void add(const Tensor<float, Cpu>& tokens, const Tensor<float, Cpu>& patches) {
    if (tokens.rank() != 3 || patches.rank() != 3 || tokens.dim(0) != 1 || patches.dim(0) != 1 ||
        tokens.dim(1) != patches.dim(1))
      fail(ErrorKind::shape, "readout.shape", "token readout: tokens ", tokens.shape(), " and patches ",
           patches.shape(), ", expected (1, L, C) and (1, L, P)");
    const Index length = tokens.dim(1);
    const Tensor<double, Cpu> t = cast<double>(tokens).reshape({length, tokens.dim(2)}),
                              p = cast<double>(patches).reshape({length, patches.dim(2)});
    accumulate(gram_, matmul_forward(t, t, {.transpose_a = true}));
    accumulate(cross_, matmul_forward(t, p, {.transpose_a = true}));
    add_rows(token_sum_, t);
    add_rows(patch_sum_, p);
    count_ += length;
  }

  /// ridge: of the mean variance of a token's channel. Throws Error (state) without tokens.
  template <std::same_as<Cpu> B>
  void solve(Context<B>& ctx, Index rank, double ridge = 1e-3) {
    if (count_ == 0) fail(ErrorKind::state, "readout.none", "token readout: there are no tokens");
    const Index width = gram_.dim(0), voxels = cross_.dim(1);
    const double count = static_cast<double>(count_);
    token_mean_ = scaled(token_sum_, 1.0 / count);
    patch_mean_ = scaled(patch_sum_, 1.0 / count);
    const Tensor<double, Cpu> t = row(ctx, token_mean_), p = row(ctx, patch_mean_);
    Tensor<double, Cpu> s = gram_.clone(), c = cross_.clone();
    subtract(s, matmul_forward(t, t, {.transpose_a = true}), count);
    subtract(c, matmul_forward(t, p, {.transpose_a = true}), count);
    double trace = 0;
    for (Index i = 0; i < width; ++i) trace += s.data()[i * width + i];
    const double shift = ridge * trace / static_cast<double>(width) + 1e-12 * count;
    const Llt<double> factor = llt<double>(ctx, values(s), width, {.shift = shift});
    Tensor<double, Cpu> m = transpose(c);  // (L^-1 C)^T, a patch voxel per row
    llt_solve_lower<double>(factor, values(m));
    rank_ = std::min(rank, std::min(width, voxels));
    const LeadingEigen eigen = leading_eigen(ctx, matmul_forward(m, m, {.transpose_a = true}), rank_);
    const double unit = std::sqrt(count);  // S above is a sum, not a mean
    projection_ = eigen.vectors.clone();
    llt_solve_upper<double>(factor, values(projection_));
    for (Index i = 0; i < projection_.size(); ++i) projection_.data()[i] *= unit;
    readout_ = matmul_forward(eigen.vectors, m, {.transpose_b = true});
    for (Index i = 0; i < readout_.size(); ++i) readout_.data()[i] /= unit;
  }

  /// tokens (1, L, C) -> patches (1, L, P) through `rank` values each.
  Tensor<float, Cpu> patches(const Tensor<float, Cpu>& tokens) const {
    const Index length = tokens.dim(1), width = tokens.dim(2), voxels = readout_.dim(1);
    Tensor<double, Cpu> t = cast<double>(tokens).reshape({length, width});
    for (Index i = 0; i < t.size(); ++i) t.data()[i] -= token_mean_[static_cast<std::size_t>(i % width)];
    Tensor<double, Cpu> p = matmul_forward(matmul_forward(t, projection_, {.transpose_b = true}), readout_);
    for (Index i = 0; i < p.size(); ++i) p.data()[i] += patch_mean_[static_cast<std::size_t>(i % voxels)];
    return cast<float>(p).reshape({1, length, voxels});
  }

  /// The projection becomes z above; with more outputs than the rank the rest keeps its values. Throws Error (shape).
  void start(Linear<Cpu, F32>& projection) const {
    const Index width = projection_.dim(1);
    if (projection.in != width)
      fail(ErrorKind::shape, "tokens.width", "projection: expected tokens of ", projection.in, " channels, got ",
           width);
    for (Index r = 0; r < std::min(rank_, projection.out); ++r) {
      double offset = 0;
      for (Index i = 0; i < width; ++i) {
        const double v = projection_.data()[r * width + i];
        projection.weight.value().data()[r * width + i] = static_cast<float>(v);
        offset -= v * token_mean_[static_cast<std::size_t>(i)];
      }
      if (projection.bias.exists()) projection.bias.value().data()[r] = static_cast<float>(offset);
    }
    projection.weight.refresh();
    if (projection.bias.exists()) projection.bias.refresh();
  }

 private:
  static std::span<double> values(Tensor<double, Cpu>& t) { return {t.data(), static_cast<std::size_t>(t.size())}; }
  static void accumulate(Tensor<double, Cpu>& to, const Tensor<double, Cpu>& from) {
    if (to.size() == 0) {
      to = from;
      return;
    }
    require_same_shape("token readout", to, from);
    for (Index i = 0; i < to.size(); ++i) to.data()[i] += from.data()[i];
  }
  static void subtract(Tensor<double, Cpu>& to, const Tensor<double, Cpu>& from, double scale) {
    for (Index i = 0; i < to.size(); ++i) to.data()[i] -= scale * from.data()[i];
  }
  static void add_rows(std::vector<double>& to, const Tensor<double, Cpu>& rows) {
    to.resize(static_cast<std::size_t>(rows.dim(1)), 0.0);
    for (Index i = 0; i < rows.size(); ++i) to[static_cast<std::size_t>(i % rows.dim(1))] += rows.data()[i];
  }
  static std::vector<double> scaled(std::vector<double> v, double scale) {
    for (double& x : v) x *= scale;
    return v;
  }
  static Tensor<double, Cpu> row(Context<Cpu>& ctx, const std::vector<double>& values) {
    return Tensor<double, Cpu>::from_host(ctx, {1, static_cast<Index>(values.size())}, values);
  }
  static Tensor<double, Cpu> transpose(const Tensor<double, Cpu>& a) {
    Tensor<double, Cpu> t(a.context(), {a.dim(1), a.dim(0)});
    for (Index i = 0; i < a.dim(0); ++i)
      for (Index j = 0; j < a.dim(1); ++j) t.data()[j * a.dim(0) + i] = a.data()[i * a.dim(1) + j];
    return t;
  }

  Index count_ = 0, rank_ = 0;                                           // tokens; values per token
  Tensor<double, Cpu> gram_, cross_;                                     // (C, C), (C, P)
  std::vector<double> token_sum_, patch_sum_, token_mean_, patch_mean_;  // (C), (P)
  Tensor<double, Cpu> projection_, readout_;                             // (rank, C), (rank, P)
};

}  // namespace braing3n::inline BRAING3N_ABI
