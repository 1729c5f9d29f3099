// The largest eigenvalues of a symmetric matrix and their vectors, by subspace iteration with a Rayleigh-Ritz step (Golub and Van
// Loan, section 8.2): products of large matrices instead of the n^3 rotations of symmetric_eigen.hpp.
#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct LeadingEigen {
  std::vector<double> values;   // (k) descending
  Tensor<double, Cpu> vectors;  // (k, n), one per row; the largest entry of each is positive
};

namespace detail {

/// Makes the rows of q (k, n) orthonormal, twice over so that rounding leaves them so. A row that depends on those before becomes 0.
inline void orthonormalize_rows(Tensor<double, Cpu>& q) {
  const Index k = q.dim(0), n = q.dim(1);
  for (Index i = 0; i < k; ++i) {
    double* row = q.data() + i * n;
    double before = 0;
    for (Index c = 0; c < n; ++c) before += row[c] * row[c];
    for (int again = 0; again < 2; ++again)
      for (Index j = 0; j < i; ++j) {
        const double* other = q.data() + j * n;
        double dot = 0;
        for (Index c = 0; c < n; ++c) dot += row[c] * other[c];
        for (Index c = 0; c < n; ++c) row[c] -= dot * other[c];
      }
    double norm = 0;
    for (Index c = 0; c < n; ++c) norm += row[c] * row[c];
    const double scale = norm > 1e-24 * before && norm > 0 ? 1.0 / std::sqrt(norm) : 0.0;
    for (Index c = 0; c < n; ++c) row[c] *= scale;
  }
}

}  // namespace detail

/// Until no value changes by more than the tolerance, a share of the largest one; a tolerance of 0 does all iterations and turns the
/// vectors into eigenvectors only at the end.
struct SubspaceOptions {
  double tolerance = 1e-10;
  int iterations = 300;
};

/// The k largest of a symmetric, positive semi-definite matrix a of n rows that is known by its products: apply(q) for q (rows, n) -> q a.
/// Errors: k out of range.
template <class Apply>
LeadingEigen leading_eigen(Context<Cpu>& ctx, Index n, Index k, Apply&& apply, const SubspaceOptions& options = {}) {
  if (k < 1 || k > n) fail(ErrorKind::argument, "leading_eigen.count", "leading eigenvectors: ", k, " of ", n);
  // The vectors beyond k make the k-th converge as fast as the gap to the last of them, not to its neighbour.
  const Index block = std::min(n, k + std::max<Index>(8, k / 4));
  Tensor<double, Cpu> q(ctx, {block, n});
  const Philox rng(1, Purpose::init, 0, 0);
  for (Index i = 0; i < q.size(); ++i) q.data()[i] = static_cast<double>(rng.normal(static_cast<std::uint32_t>(i)));
  detail::orthonormalize_rows(q);
  LeadingEigen out;
  std::vector<double> last;
  for (int iteration = 1;; ++iteration) {
    Tensor<double, Cpu> y = apply(std::as_const(q));
    const bool final = iteration >= options.iterations;
    if (options.tolerance > 0 || final) {
      const Tensor<double, Cpu> small = matmul_forward(y, q, {.transpose_b = true});
      std::vector<double> ritz(static_cast<std::size_t>(block * block));
      for (Index i = 0; i < block; ++i)
        for (Index j = 0; j < block; ++j)
          ritz[static_cast<std::size_t>(i * block + j)] =
              0.5 * (small.data()[i * block + j] + small.data()[j * block + i]);
      const SymmetricEigen e = symmetric_eigen(ritz, block);
      Tensor<double, Cpu> turn(ctx, {block, block});
      for (Index r = 0; r < block; ++r)
        for (Index c = 0; c < block; ++c)
          turn.data()[r * block + c] = e.vectors[static_cast<std::size_t>(c * block + block - 1 - r)];
      std::vector<double> values;
      for (Index r = 0; r < k; ++r) values.push_back(e.values[static_cast<std::size_t>(block - 1 - r)]);
      double change = 0;
      for (std::size_t r = 0; r < values.size() && !last.empty(); ++r)
        change = std::max(change, std::abs(values[r] - last[r]));
      const bool settled = !last.empty() && change <= options.tolerance * std::max(values.front(), 1e-300);
      last = values;
      if (settled || block == n || final) {
        const Tensor<double, Cpu> vectors = matmul_forward(turn, q);
        out.values = std::move(values);
        out.vectors = Tensor<double, Cpu>(ctx, {k, n});
        for (Index r = 0; r < k; ++r) {
          const double* from = vectors.data() + r * n;
          double largest = 0;
          for (Index c = 0; c < n; ++c)
            if (std::abs(from[c]) > std::abs(largest)) largest = from[c];
          for (Index c = 0; c < n; ++c) out.vectors.data()[r * n + c] = largest < 0 ? -from[c] : from[c];
        }
        return out;
      }
      y = matmul_forward(turn, y);
    }
    q = std::move(y);
    detail::orthonormalize_rows(q);
  }
}

/// a (n, n) symmetric, positive semi-definite; 1 <= k <= n. Errors: shape, k out of range.
inline LeadingEigen leading_eigen(Context<Cpu>& ctx, const Tensor<double, Cpu>& a, Index k) {
  if (a.rank() != 2 || a.dim(0) != a.dim(1))
    fail(ErrorKind::shape, "leading_eigen.shape", "leading eigenvectors: the matrix has shape ", a.shape());
  return leading_eigen(ctx, a.dim(0), k, [&](const Tensor<double, Cpu>& q) { return matmul_forward(q, a); });
}

}  // namespace braing3n::inline BRAING3N_ABI
