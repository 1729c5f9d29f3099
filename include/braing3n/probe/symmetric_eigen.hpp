// Eigenvalues and eigenvectors of a small symmetric matrix by Jacobi rotations (Golub and Van Loan, section 8.5).
#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct SymmetricEigen {
  std::vector<double> values;   // ascending
  std::vector<double> vectors;  // (n, n) row-major; column j belongs to values[j]
};

/// a: (n, n) row-major, symmetric.
inline SymmetricEigen symmetric_eigen(std::vector<double> a, Index n) {
  const auto at = [n](std::vector<double>& m, Index i, Index j) -> double& { return m[static_cast<std::size_t>(i * n + j)]; };
  std::vector<double> v(a.size(), 0.0);
  for (Index i = 0; i < n; ++i) at(v, i, i) = 1.0;
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0, diagonal = 0;
    for (Index i = 0; i < n; ++i)
      for (Index j = 0; j < n; ++j) (i == j ? diagonal : off) += at(a, i, j) * at(a, i, j);
    if (off <= 1e-30 * diagonal) break;
    for (Index p = 0; p < n; ++p)
      for (Index q = p + 1; q < n; ++q) {
        if (at(a, p, q) == 0.0) continue;
        // The rotation in the plane (p, q) that makes a(p, q) zero, by the smaller angle.
        const double theta = (at(a, q, q) - at(a, p, p)) / (2.0 * at(a, p, q));
        const double t = (theta >= 0 ? 1.0 : -1.0) / (std::abs(theta) + std::sqrt(theta * theta + 1.0)), c = 1.0 / std::sqrt(t * t + 1.0),
                     s = t * c;
        const auto rotate = [c, s](double& x, double& y) {
          const double old = x;
          x = c * old - s * y;
          y = s * old + c * y;
        };
        for (Index k = 0; k < n; ++k) rotate(at(a, k, p), at(a, k, q));
        for (Index k = 0; k < n; ++k) rotate(at(a, p, k), at(a, q, k));
        for (Index k = 0; k < n; ++k) rotate(at(v, k, p), at(v, k, q));
      }
  }
  std::vector<Index> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), Index{0});
  std::sort(order.begin(), order.end(), [&](Index i, Index j) { return at(a, i, i) < at(a, j, j); });
  SymmetricEigen out;
  out.vectors.resize(a.size());
  for (Index j = 0; j < n; ++j) {
    const Index from = order[static_cast<std::size_t>(j)];
    out.values.push_back(at(a, from, from));
    for (Index k = 0; k < n; ++k) out.vectors[static_cast<std::size_t>(k * n + j)] = at(v, k, from);
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
