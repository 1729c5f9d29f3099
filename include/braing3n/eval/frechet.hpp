// Frechet distance between two sets of features, each seen as a Gaussian (Heusel et al. 2017):
//
//   d^2 = |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^1/2)
// S1 S2 has the eigenvalues of F S2 F^T with F^T F = S1, and zeros. That product is symmetric, so its eigenvalues are real, and its size is
// the rank of S1, which may be far below the number of features. With n rows of d features and n not far above d the estimate is too large by
// an amount that depends on n, so distances compare at equal n only, and beside that of two disjoint halves of the real data. Features of
// another recipe (encoder, preprocessing, pooling) have no common scale and are refused.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct FeatureMoments {
  Index rows = 0, width = 0;
  std::vector<double> mean;        // (d)
  std::vector<double> covariance;  // (d, d), divided by n - 1
  std::string recipe;  // identifies how the features were made: for example the contract hash of a feature file
};

namespace detail {

template <class T, Backend B>
void require_moment_rows(const Tensor<T, B>& features) {
  if (features.rank() != 2 || features.dim(0) < 2 || features.dim(1) < 1)
    fail(ErrorKind::shape, "frechet.rows", "Frechet distance: features of shape ", features.shape(),
         ", expected (rows, features) with at least 2 rows");
}
[[noreturn]] inline void fail_not_finite(Index row, Index feature, double v) {
  fail(ErrorKind::numeric, "frechet.finite", "Frechet distance: feature ", feature, " of row ", row, " is ", v);
}

template <class T>
struct ElementOfRow {
  const T* x;
  Index columns;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index, Index i, Index j) const {
    return static_cast<double>(x[i * columns + j]);
  }
};
struct StoreMeanOfColumn {
  double* mean;
  double rows;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index, Index j, double total) const { mean[j] = total / rows; }
};
template <class T>
struct CentreRow {
  ElementOfRow<T> element;
  const double* mean;
  double* out;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i, Index j) const {
    out[i * element.columns + j] = element(0, i, j) - mean[j];
  }
};

}  // namespace detail

/// features (n, d), n >= 2. Throws Error: shape, numeric (a value that is not finite).
template <class T>
FeatureMoments feature_moments(const Tensor<T, Cpu>& features, std::string recipe) {
  detail::require_moment_rows(features);
  FeatureMoments m{features.dim(0),
                   features.dim(1),
                   std::vector<double>(static_cast<std::size_t>(features.dim(1)), 0.0),
                   {},
                   std::move(recipe)};
  Tensor<double, Cpu> centred(features.context(), features.shape());
  for (Index i = 0; i < features.size(); ++i) {
    const double v = static_cast<double>(features.data()[i]);
    if (!std::isfinite(v)) detail::fail_not_finite(i / m.width, i % m.width, v);
    m.mean[static_cast<std::size_t>(i % m.width)] += v;
  }
  for (double& v : m.mean) v /= static_cast<double>(m.rows);
  for (Index i = 0; i < features.size(); ++i)
    centred.data()[i] = static_cast<double>(features.data()[i]) - m.mean[static_cast<std::size_t>(i % m.width)];
  const auto gram = matmul_forward(centred, centred, {.transpose_a = true});
  m.covariance = gram.to_host();
  for (double& v : m.covariance) v /= static_cast<double>(m.rows - 1);
  return m;
}

/// The same on a GPU: sums and one product there, one read.
template <class T, Backend B>
FeatureMoments feature_moments(const Tensor<T, B>& features, std::string recipe) {
  detail::require_moment_rows(features);
  Context<B>& ctx = features.context();
  const Index n = features.dim(0), d = features.dim(1);
  Tensor<double, B> made(ctx, {1 + d, d}), centred(ctx, features.shape());
  const detail::ElementOfRow<T> element{features.data(), d};
  column_sums(ctx, 1, n, d, element, detail::StoreMeanOfColumn{made.data(), static_cast<double>(n)});
  map_rows(ctx, n, d, detail::CentreRow<T>{element, made.data(), centred.data()});
  GemmCall<double> call;
  call.m = call.n = d, call.k = n;
  call.a = call.b = centred.data();
  call.a_row = 1, call.a_col = call.b_row = d;
  call.c = made.data() + d, call.c_row = d;
  ProductKernel<B>::run(ctx, call);
  const std::vector<double> read = made.to_host();
  FeatureMoments m{n, d, {read.begin(), read.begin() + d}, {read.begin() + d, read.end()}, std::move(recipe)};
  if (!std::all_of(m.mean.begin(), m.mean.end(), [](double v) { return std::isfinite(v); })) {
    const std::vector<T> all = features.to_host();
    for (Index i = 0; i < n * d; ++i)
      if (const double v = static_cast<double>(all[static_cast<std::size_t>(i)]); !std::isfinite(v))
        detail::fail_not_finite(i / d, i % d, v);
  }
  for (double& v : m.covariance) v /= static_cast<double>(n - 1);
  return m;
}

/// F (r, n) with F^T F = a for a symmetric positive semi-definite matrix (n, n) of rank r, by Cholesky's factorisation with the largest
/// remaining diagonal next (Golub and Van Loan, section 4.2.8). What is left below n eps of the largest diagonal is rounding.
/// Written here because Eigen's LDLT factorises all n columns and does not return the rank. The host factors, whatever the context.
template <Backend B>
Tensor<double, B> semidefinite_factor(Context<B>& ctx, std::vector<double> a, Index n) {
  const auto at = [&](Index i, Index j) -> double& { return a[static_cast<std::size_t>(i * n + j)]; };
  double first = 0;
  for (Index i = 0; i < n; ++i) first = std::max(first, at(i, i));
  std::vector<double> rows;
  std::vector<double> diagonal;
  for (Index i = 0; i < n; ++i) diagonal.push_back(at(i, i));
  const double smallest = static_cast<double>(n) * 0x1p-52 * first;
  Index rank = 0;
  for (; rank < n; ++rank) {
    const Index pivot = std::max_element(diagonal.begin(), diagonal.end()) - diagonal.begin();
    if (!(diagonal[static_cast<std::size_t>(pivot)] > smallest)) break;
    rows.resize(static_cast<std::size_t>((rank + 1) * n), 0.0);
    double* const row = rows.data() + rank * n;
    for (Index j = 0; j < n; ++j) row[j] = at(pivot, j);
    for (Index k = 0; k < rank; ++k) {
      const double* const before = rows.data() + k * n;
      const double factor = before[pivot];
      for (Index j = 0; j < n; ++j) row[j] -= factor * before[j];
    }
    const double scale = 1.0 / std::sqrt(diagonal[static_cast<std::size_t>(pivot)]);
    for (Index j = 0; j < n; ++j) {
      row[j] *= scale;
      diagonal[static_cast<std::size_t>(j)] -= row[j] * row[j];
    }
    diagonal[static_cast<std::size_t>(pivot)] = 0;
  }
  return Tensor<double, B>::from_host(ctx, {rank, n}, rows);
}

/// d^2 of two sets. The products run in the context, the factor and the eigenvalues are the host's. Throws Error (argument): other recipes,
/// another number of features.
template <Backend B>
double frechet_distance(Context<B>& ctx, const FeatureMoments& a, const FeatureMoments& b) {
  if (a.recipe != b.recipe)
    fail(ErrorKind::argument, "frechet.recipe", "Frechet distance: features of recipe \"", a.recipe, "\" and of \"",
         b.recipe, "\" cannot be compared");
  if (a.width != b.width || a.width < 1)
    fail(ErrorKind::shape, "frechet.width", "Frechet distance: ", a.width, " and ", b.width, " features");
  const Index n = a.width;
  double distance = 0;
  for (std::size_t i = 0; i < a.mean.size(); ++i) {
    const std::size_t diagonal = i * a.mean.size() + i;
    distance += (a.mean[i] - b.mean[i]) * (a.mean[i] - b.mean[i]) + a.covariance[diagonal] + b.covariance[diagonal];
  }
  const auto factor = semidefinite_factor(ctx, a.covariance, n);
  const Index rank = factor.dim(0);
  if (rank == 0) return distance;
  const std::vector<double> inner =
      matmul_forward(matmul_forward(factor, Tensor<double, B>::from_host(ctx, {n, n}, b.covariance)), factor,
                     {.transpose_b = true})
          .to_host();
  std::vector<double> symmetric(static_cast<std::size_t>(rank * rank));
  for (Index i = 0; i < rank; ++i)
    for (Index j = 0; j < rank; ++j)
      symmetric[static_cast<std::size_t>(i * rank + j)] =
          0.5 * (inner[static_cast<std::size_t>(i * rank + j)] + inner[static_cast<std::size_t>(j * rank + i)]);
  for (const double value : symmetric_eigenvalues(symmetric, rank)) distance -= 2 * std::sqrt(std::max(0.0, value));
  return std::max(0.0, distance);
}

/// Two disjoint sets of equal size drawn from the groups 0 .. groups - 1 (subjects): the distance between them is the floor.
inline std::pair<std::vector<Index>, std::vector<Index>> disjoint_halves(Index groups, std::uint64_t seed) {
  if (groups < 2)
    fail(ErrorKind::argument, "frechet.halves", "two halves of ", groups, groups == 1 ? " group" : " groups");
  std::vector<std::pair<std::uint32_t, Index>> keyed;
  for (Index i = 0; i < groups; ++i)
    keyed.emplace_back(Philox(seed, Purpose::split, 1, static_cast<std::uint32_t>(i)).integer(0), i);
  std::sort(keyed.begin(), keyed.end());
  std::pair<std::vector<Index>, std::vector<Index>> halves;
  for (Index i = 0; i < groups / 2 * 2; ++i)
    (i % 2 == 0 ? halves.first : halves.second).push_back(keyed[static_cast<std::size_t>(i)].second);
  std::sort(halves.first.begin(), halves.first.end());
  std::sort(halves.second.begin(), halves.second.end());
  return halves;
}

}  // namespace braing3n::inline BRAING3N_ABI
