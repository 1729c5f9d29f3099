// The leading eigenvectors of a matrix that is known by a few expensive products, by subspace iteration with a Rayleigh-Ritz step at
// the end (Golub and Van Loan, section 8.2; Halko, Martinsson and Tropp 2011).
//
// linalg/leading_eigen.hpp converges in fewer products with single vectors, and needs hundreds of them. Here a product takes a block of
// vectors, so that four of them, each a pass over a file of latents, give the directions of a covariance.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/linalg/leading_eigen.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Makes the rows of q (k, n) orthonormal, twice over so that rounding leaves them so. A row that depends on those before becomes 0.
inline void orthonormalise_rows(Tensor<double, Cpu>& q) {
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

/// a (m, k) b^T for b (n, k), or a b for b (k, n).
inline Tensor<double, Cpu> block_product(const Tensor<double, Cpu>& a, const Tensor<double, Cpu>& b, bool transpose_b) {
  const Index m = a.dim(0), k = a.dim(1), n = transpose_b ? b.dim(0) : b.dim(1);
  Tensor<double, Cpu> c(a.context(), {m, n});
  a.context().provider().gemm_f64.run(a.context(), {.m = m,
                                                    .n = n,
                                                    .k = k,
                                                    .a = a.data(),
                                                    .a_row = k,
                                                    .b = b.data(),
                                                    .b_row = transpose_b ? Index{1} : n,
                                                    .b_col = transpose_b ? k : Index{1},
                                                    .c = c.data(),
                                                    .c_row = n});
  return c;
}

}  // namespace detail

/// Approximately the k largest eigenvalues of a symmetric, positive semi-definite matrix a of n rows, and their vectors:
/// apply(q) for q (rows, n) gives q a, and is called `products` times. Every call reduces what the directions hold of smaller eigenvalues
/// by the ratio to the k-th. Errors: argument (k out of range, no products).
template <class Apply>
LeadingEigen subspace_iteration(Context<Cpu>& ctx, Index n, Index k, int products, Apply&& apply) {
  if (k < 1 || k > n)
    fail(ErrorKind::argument, "subspace.count", "subspace iteration: expected 1 to ", n, " vectors, got ", k);
  if (products < 1)
    fail(ErrorKind::argument, "subspace.products", "subspace iteration: expected at least 1 product, got ", products);
  // The vectors beyond k make the k-th converge as fast as the gap to the last of them, not to its neighbour.
  const Index block = std::min(n, k + std::max<Index>(8, k / 4));
  Tensor<double, Cpu> q(ctx, {block, n});
  const Philox rng(1, Purpose::init, 0, 0);
  for (Index i = 0; i < q.size(); ++i) q.data()[i] = static_cast<double>(rng.normal(static_cast<std::uint32_t>(i)));
  detail::orthonormalise_rows(q);
  for (int product = 1; product < products; ++product) {
    q = apply(std::as_const(q));
    detail::orthonormalise_rows(q);
  }
  const Tensor<double, Cpu> small = detail::block_product(apply(std::as_const(q)), q, true);
  std::vector<double> ritz(static_cast<std::size_t>(block * block));
  for (Index i = 0; i < block; ++i)
    for (Index j = 0; j < block; ++j)
      ritz[static_cast<std::size_t>(i * block + j)] = 0.5 * (small.data()[i * block + j] + small.data()[j * block + i]);
  const SymmetricEigen e = symmetric_eigen(ritz, block);
  Tensor<double, Cpu> turn(ctx, {block, block});
  for (Index r = 0; r < block; ++r)
    for (Index c = 0; c < block; ++c)
      turn.data()[r * block + c] = e.vectors[static_cast<std::size_t>(c * block + block - 1 - r)];
  const Tensor<double, Cpu> vectors = detail::block_product(turn, q, false);
  LeadingEigen out;
  for (Index r = 0; r < k; ++r) out.values.push_back(e.values[static_cast<std::size_t>(block - 1 - r)]);
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

}  // namespace braing3n::inline BRAING3N_ABI
