// Blocked Cholesky factorisation of a symmetric positive definite matrix, with the products on the context's provider.
//
// A = L L^T, L lower triangular. The diagonal blocks are kept inverted, so that factoring and solving are matrix products
// but for blocks of 96 x 96.
#pragma once

#include <cmath>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"

namespace braing3n::inline BRAING3N_ABI {

class Cholesky {
 public:
  static constexpr Index block = 96;

  /// Factors scale * A + shift * I; of A (n, n) row-major only the lower triangle is read.
  /// Errors: the matrix is not positive definite.
  Cholesky(Context<Cpu>& ctx, Index n, const double* a, double scale, double shift)
      : ctx_(&ctx), n_(n), factor_(ctx, {n, n}),
        inverse_(Tensor<double, Cpu>::zeros(ctx, {(n + block - 1) / block, block, block})) {
    double* l = factor_.data();
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < i; ++j) l[i * n + j] = scale * a[i * n + j];
      l[i * n + i] = scale * a[i * n + i] + shift;
    }
    Tensor<double, Cpu> panel(ctx, {n, block}), negative(ctx, {n, block});
    for (Index k = 0; k < n; k += block) {
      const Index width = std::min(block, n - k), below = n - k - width;
      factor_diagonal(k, width);
      if (below == 0) break;
      double* under = l + (k + width) * n + k;
      product(below, width, width, under, n, 1, diagonal_inverse(k), 1, block, panel.data(), block,
              false);  // L21 = A21 inv(L11)^T
      for (Index i = 0; i < below; ++i)
        for (Index j = 0; j < width; ++j) {
          under[i * n + j] = panel.data()[i * block + j];
          negative.data()[i * block + j] = -panel.data()[i * block + j];
        }
      // A22 -= L21 L21^T, lower triangle only, in column strips.
      const Index strip = 4 * block;
      for (Index j = 0; j < below; j += strip)
        product(below - j, std::min(strip, below - j), width, negative.data() + j * block, block, 1,
                panel.data() + j * block, 1, block, l + (k + width + j) * n + k + width + j, n, true);
    }
  }

  Index size() const { return n_; }
  std::size_t bytes() const { return factor_.bytes() + inverse_.bytes(); }

  /// Solves A x = b for every row of x (count, n), in place.
  void solve(double* x, Index count) const {
    solve_lower(x, count);
    solve_upper(x, count);
  }
  /// Solves L x = b for every row of x (count, n), in place.
  void solve_lower(double* x, Index count) const {
    const double* l = factor_.data();
    Tensor<double, Cpu> part(*ctx_, {count, block});
    for (Index k = 0; k < n_; k += block) {
      const Index width = std::min(block, n_ - k);
      if (k > 0)
        subtract(x, count, k, width,
                 [&](double* out) { product(count, width, k, x, n_, 1, l + k * n_, 1, n_, out, block, false); });
      product(count, width, width, x + k, n_, 1, diagonal_inverse(k), 1, block, part.data(), block, false);
      put(part.data(), x + k, count, width);
    }
  }
  /// Solves L^T x = b for every row of x (count, n), in place.
  void solve_upper(double* x, Index count) const {
    const double* l = factor_.data();
    Tensor<double, Cpu> part(*ctx_, {count, block});
    for (Index k = (n_ - 1) / block * block; k >= 0; k -= block) {
      const Index width = std::min(block, n_ - k), after = k + width;
      if (after < n_)
        subtract(x, count, k, width, [&](double* out) {
          product(count, width, n_ - after, x + after, n_, 1, l + after * n_ + k, n_, 1, out, block, false);
        });
      product(count, width, width, x + k, n_, 1, diagonal_inverse(k), block, 1, part.data(), block, false);
      put(part.data(), x + k, count, width);
    }
  }

 private:
  const double* diagonal_inverse(Index k) const { return inverse_.data() + k / block * block * block; }

  void product(Index m, Index n, Index k, const double* a, Index a_row, Index a_col, const double* b, Index b_row,
               Index b_col, double* c, Index c_row, bool accumulate) const {
    ctx_->provider().gemm_f64.run(*ctx_, {.m = m,
                                          .n = n,
                                          .k = k,
                                          .a = a,
                                          .a_row = a_row,
                                          .a_col = a_col,
                                          .b = b,
                                          .b_row = b_row,
                                          .b_col = b_col,
                                          .c = c,
                                          .c_row = c_row,
                                          .accumulate = accumulate});
  }
  void put(const double* part, double* x, Index count, Index width) const {
    for (Index r = 0; r < count; ++r)
      for (Index j = 0; j < width; ++j) x[r * n_ + j] = part[r * block + j];
  }
  template <class F>
  void subtract(double* x, Index count, Index k, Index width, F&& compute) const {
    Tensor<double, Cpu> part(*ctx_, {count, block});
    compute(part.data());
    for (Index r = 0; r < count; ++r)
      for (Index j = 0; j < width; ++j) x[r * n_ + k + j] -= part.data()[r * block + j];
  }

  // Factors the block at (k, k) and inverts the factor.
  void factor_diagonal(Index k, Index width) {
    double* l = factor_.data() + k * n_ + k;
    double* inv = inverse_.data() + k / block * block * block;
    for (Index j = 0; j < width; ++j) {
      double pivot = l[j * n_ + j];
      for (Index p = 0; p < j; ++p) pivot -= l[j * n_ + p] * l[j * n_ + p];
      if (!(pivot > 0.0))
        fail(ErrorKind::numeric, "cholesky.indefinite", "cholesky: row ", k + j, " of ", n_, " has the pivot ", pivot,
             ": the matrix is not positive definite");
      const double root = std::sqrt(pivot);
      l[j * n_ + j] = root;
      for (Index i = j + 1; i < width; ++i) {
        double sum = l[i * n_ + j];
        for (Index p = 0; p < j; ++p) sum -= l[i * n_ + p] * l[j * n_ + p];
        l[i * n_ + j] = sum / root;
      }
    }
    for (Index j = 0; j < width; ++j) {
      inv[j * block + j] = 1.0 / l[j * n_ + j];
      for (Index i = j + 1; i < width; ++i) {
        double sum = 0.0;
        for (Index p = j; p < i; ++p) sum -= l[i * n_ + p] * inv[p * block + j];
        inv[i * block + j] = sum / l[i * n_ + i];
      }
    }
  }

  Context<Cpu>* ctx_;
  Index n_;
  Tensor<double, Cpu> factor_, inverse_;
};

}  // namespace braing3n::inline BRAING3N_ABI
