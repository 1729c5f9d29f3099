// The bodies of linalg/leading_eigen.hpp.
//
// Spectra's thresholds are absolute: it takes a residual below eps sqrt(n) for zero, and no eigenvalue for smaller than eps^(2/3). It
// therefore sees (A / |A| + I) / 64: rounding errors are then below the first, the eigenvalues of interest above the second.
//
// The Krylov space of one starting vector holds one vector of a repeated eigenvalue until rounding brings the others in. A last, coarse run
// on the space orthogonal to what was found looks for larger eigenvalues and adds them.
#pragma once

#include "braing3n/linalg/eigen_body.hpp"

#if !__has_include(<Spectra/SymEigsSolver.h>)
#error "braing3n: linalg/leading_eigen.hpp needs Spectra 1.0 (Debian: libspectra-dev), or link braing3n::compiled"
#endif
#include <Spectra/SymEigsSolver.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/linalg/leading_eigen.hpp"
#include "braing3n/linalg/symmetric_eigen_body.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

inline constexpr double spectra_units = 64;

/// Eigenpairs in descending order, of A / scale + I / spectra_units.
template <class T>
struct LeadingPairs {
  std::vector<T> values;
  ColumnMatrix<T> vectors;  // (n, values)
};

inline void require_finite(double product) {
  if (!std::isfinite(product))
    fail(ErrorKind::numeric, "leading_eigen.finite",
         "leading eigenvectors: expected finite products with the matrix, got ", product);
}

/// P (A / scale + I / spectra_units) P - below (I - P) in Spectra's form; P projects on what is orthogonal to the columns of `found`.
template <class T>
struct DeflatedOperator {
  using Scalar = T;
  const SymmetricOperator<T>* apply;
  Index n;
  T scale;
  const ColumnMatrix<T>* found;
  T below;

  Index rows() const { return n; }
  Index cols() const { return n; }
  void perform_op(const T* x, T* y) const {
    const Eigen::Map<const ColumnVector<T>> in(x, n);
    Eigen::Map<ColumnVector<T>> out(y, n);
    const auto size = static_cast<std::size_t>(n);
    if (found->cols() == 0) {
      (*apply)({x, size}, {y, size});
      out = out / scale + in / spectra_units;
    } else {
      const ColumnVector<T> inside = *found * (found->transpose() * in), outside = in - inside;
      (*apply)({outside.data(), size}, {y, size});
      out /= scale;
      out -= *found * (found->transpose() * out).eval();
      out += outside / spectra_units - below * inside;
    }
    for (const T v : out) require_finite(v);
  }
};

template <class T>
std::vector<T> random_start(Index n, std::uint32_t run) {
  std::vector<T> x(static_cast<std::size_t>(n));
  const Philox rng(1, Purpose::init, 0, run);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<T>(rng.normal(static_cast<std::uint32_t>(i)));
  return x;
}

/// Every run needs a start of its own: what the start of the run before holds of a repeated eigenvalue was found by it.
template <class T>
LeadingPairs<T> lanczos(const DeflatedOperator<T>& op, Index k, Index basis, T tolerance, std::uint32_t run) {
  DeflatedOperator<T> own = op;
  Spectra::SymEigsSolver<DeflatedOperator<T>> solver(own, k, basis);
  const char* reason = "no convergence";
  try {
    solver.init(random_start<T>(op.n, run).data());
    solver.compute(Spectra::SortRule::LargestAlge, 1000, tolerance, Spectra::SortRule::LargestAlge);
    if (solver.info() == Spectra::CompInfo::Successful) {
      const ColumnVector<T> values = solver.eigenvalues();
      return {{values.data(), values.data() + values.size()}, solver.eigenvectors()};
    }
  } catch (const Error&) {
    throw;
  } catch (const std::runtime_error& e) {
    reason = e.what();
  }
  fail(ErrorKind::numeric, "leading_eigen.steps", "leading eigenvectors: ", k, " of ", op.n, " rows: ", reason);
}

/// Adds eigenpairs of the space orthogonal to those found, as long as there is one above the last of them.
template <class T>
void add_missing_copies(DeflatedOperator<T> op, LeadingPairs<T>& pairs) {
  const Index n = op.n, k = std::ssize(pairs.values), basis = std::min<Index>(n, 20);
  op.found = &pairs.vectors;
  op.below = 2 * (std::abs(pairs.values.front()) + std::abs(pairs.values.back()));
  // Every round replaces the last pair by one with a larger value.
  for (std::uint32_t round = 1; round <= static_cast<std::uint32_t>(n); ++round) {
    const T largest = std::max(std::abs(pairs.values.front()), std::abs(pairs.values.back()));
    const T limit = pairs.values.back() + 1e-9 * largest;
    if (!(lanczos(op, 1, basis, T(1e-3), 2 * round).values[0] > limit)) return;
    const LeadingPairs<T> missing = lanczos(op, 1, basis, T(1e-9), 2 * round + 1);
    const auto at = std::upper_bound(pairs.values.begin(), pairs.values.end(), missing.values[0], std::greater<>()) -
                    pairs.values.begin();
    pairs.values.insert(pairs.values.begin() + at, missing.values[0]);
    pairs.values.pop_back();
    for (Index j = k - 1; j > at; --j) pairs.vectors.col(j) = pairs.vectors.col(j - 1).eval();
    pairs.vectors.col(at) = missing.vectors.col(0);
  }
}

/// All eigenpairs of a small matrix, of which k are kept.
template <class T>
LeadingPairs<T> dense_pairs(const SymmetricOperator<T>& apply, Index n, Index k) {
  const auto size = static_cast<std::size_t>(n);
  std::vector<T> a(size * size), unit(size, T(0));
  for (std::size_t i = 0; i < size; ++i) {
    unit[i] = 1;
    apply(unit, std::span(a).subspan(i * size, size));
    unit[i] = 0;
  }
  const SymmetricEigen all = symmetric_eigen(a, n);
  LeadingPairs<T> pairs{{}, ColumnMatrix<T>(n, k)};
  for (Index r = 0; r < k; ++r) {
    pairs.values.push_back(all.values[static_cast<std::size_t>(n - 1 - r)]);
    require_finite(pairs.values.back());
    for (Index i = 0; i < n; ++i) pairs.vectors(i, r) = all.vectors[static_cast<std::size_t>(i * n + n - 1 - r)];
  }
  return pairs;
}

/// The length of A x for a unit vector x close to the leading ones: at least about half of the largest |eigenvalue|, unless A is 0.
template <class T>
T rough_norm(const SymmetricOperator<T>& apply, Index n) {
  std::vector<T> x = random_start<T>(n, 0), y(x.size());
  T size = 0;
  for (int step = 0; step < 6; ++step) {
    T largest = 0;
    for (const T v : x) largest = std::max(largest, std::abs(v));
    if (largest == 0) break;
    Eigen::Map<ColumnVector<T>> unit(x.data(), n);
    unit /= largest;  // first: squares of tiny and of huge numbers are none
    unit /= unit.norm();
    apply(x, y);
    T most = 0;
    for (const T v : y) {
      require_finite(v);
      most = std::max(most, std::abs(v));
    }
    size = most == 0 ? size : most * (Eigen::Map<const ColumnVector<T>>(y.data(), n) / most).norm();
    x.swap(y);
  }
  return size;
}

template <class T>
LeadingPairs<T> leading_pairs(const SymmetricOperator<T>& apply, Index n, Index k) {
  const Index basis = std::max<Index>(2 * k + 1, 20);
  if (2 * basis > n) return dense_pairs<T>(apply, n, k);
  const T size = rough_norm<T>(apply, n);
  if (size == 0) return {std::vector<T>(static_cast<std::size_t>(k), T(0)), ColumnMatrix<T>::Identity(n, k)};
  const T scale = spectra_units * size;
  const ColumnMatrix<T> none(n, 0);
  const DeflatedOperator<T> op{&apply, n, scale, &none, 0};
  LeadingPairs<T> pairs = lanczos(op, k, basis, T(1e-9), 1);
  add_missing_copies(op, pairs);
  for (T& v : pairs.values) v = (v - 1 / spectra_units) * scale;
  return pairs;
}

}  // namespace detail

template <class T>
LeadingEigen leading_eigen(Context<Cpu>& ctx, Index n, Index k, const SymmetricOperator<T>& apply) {
  static_assert(std::is_same_v<T, double>, "eigenvalues are computed in double");
  if (k < 1 || k > n)
    fail(ErrorKind::argument, "leading_eigen.count", "leading eigenvectors: expected 1 to ", n, ", got ", k);
  detail::LeadingPairs<T> pairs = detail::leading_pairs<T>(apply, n, k);
  LeadingEigen out{std::move(pairs.values), Tensor<double, Cpu>(ctx, {k, n})};
  for (Index r = 0; r < k; ++r) {
    Index place = 0;
    pairs.vectors.col(r).cwiseAbs().maxCoeff(&place);
    const double sign = pairs.vectors(place, r) < 0 ? -1.0 : 1.0;
    Eigen::Map<detail::ColumnVector<T>>(out.vectors.data() + r * n, n) = sign * pairs.vectors.col(r);
  }
  return out;
}

template <class T>
LeadingEigen leading_eigen(Context<Cpu>& ctx, const Tensor<T, Cpu>& a, Index k) {
  if (a.rank() != 2 || a.dim(0) != a.dim(1))
    fail(ErrorKind::shape, "leading_eigen.shape", "leading eigenvectors: expected a square matrix, got shape ",
         a.shape());
  const Index n = a.dim(0);
  return leading_eigen<T>(ctx, n, k, [&](std::span<const T> x, std::span<T> y) {
    ctx.parallel_range(n, 64, [&](Index begin, Index end) {
      const Eigen::Map<const detail::RowMatrix<T>> rows(a.data() + begin * n, end - begin, n);
      Eigen::Map<detail::ColumnVector<T>>(y.data() + begin, end - begin).noalias() =
          rows * Eigen::Map<const detail::ColumnVector<T>>(x.data(), n);
    });
  });
}

}  // namespace braing3n::inline BRAING3N_ABI
