// Diversity: the mean distance between samples under the same conditions, for comparison with real scans under these conditions. A model
// that generates the same brain every time has a small distance.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/matmul.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct PairwiseDistance {
  Index pairs = 0;
  double mean = std::numeric_limits<double>::quiet_NaN();  // NaN without a pair
};

/// Mean Euclidean distance over all pairs of different rows of x (n, d). Pairs within a group (scans of one subject) do not count; without
/// groups all pairs do. In double, the same for any number of threads. Throws Error (shape).
template <class T>
PairwiseDistance mean_pairwise_distance(const Tensor<T, Cpu>& x, const std::vector<std::string>& groups = {}) {
  if (x.rank() != 2 || x.size() == 0 || (!groups.empty() && static_cast<Index>(groups.size()) != x.dim(0)))
    fail(ErrorKind::shape, "diversity.shape", "pairwise distance: rows of shape ", x.shape(), " in ", groups.size(),
         " groups, expected (n, d) and one group per row");
  const Index n = x.dim(0), d = x.dim(1);
  // About the mean row, so that the squares that are subtracted are not much larger than the distances.
  auto centred = cast<double>(x);
  std::vector<double> mean(static_cast<std::size_t>(d), 0.0), norm(static_cast<std::size_t>(n), 0.0);
  for (Index i = 0; i < centred.size(); ++i)
    mean[static_cast<std::size_t>(i % d)] += centred.data()[i] / static_cast<double>(n);
  for (Index i = 0; i < centred.size(); ++i) {
    double& v = centred.data()[i];
    v -= mean[static_cast<std::size_t>(i % d)];
    norm[static_cast<std::size_t>(i / d)] += v * v;
  }
  const auto products = matmul_forward(centred, centred, {.transpose_b = true});
  PairwiseDistance out;
  double sum = 0;
  for (Index i = 0; i < n; ++i)
    for (Index j = i + 1; j < n; ++j) {
      if (!groups.empty() && groups[static_cast<std::size_t>(i)] == groups[static_cast<std::size_t>(j)]) continue;
      sum += std::sqrt(std::max(
          0.0, norm[static_cast<std::size_t>(i)] + norm[static_cast<std::size_t>(j)] - 2 * products.data()[i * n + j]));
      ++out.pairs;
    }
  if (out.pairs > 0) out.mean = sum / static_cast<double>(out.pairs);
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
