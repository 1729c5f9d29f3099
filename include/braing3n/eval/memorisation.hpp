// Has a generative model memorised its training scans? Distances from samples to their nearest training scan, beside those
// between the training scans themselves.
//
// Source: the audit of BrainG3N (arXiv 2606.19651): Euclidean distances of flattened latents; a sample nearer to a training scan than the
// 5th percentile of the real-to-real distances counts as a copy. Real scans of one subject are nearer to each other than those of different
// subjects, so the percentile is given with such pairs (the paper's threshold, the lower one) and without them (a copied subject is below it).
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

struct Neighbour {
  Index row = -1;  // of the pool; -1: every row was excluded
  double distance = std::numeric_limits<double>::infinity();
};

/// queries (m, d), pool (n, d) -> the nearest row of the pool for each query, ties to the lower row. excluded(query, row) rows do not count.
/// Products find the row, differences give the distance, so that a copy has the distance 0. Throws Error (shape).
template <class T, class Excluded>
std::vector<Neighbour> nearest_neighbours(const Tensor<T, Cpu>& queries, const Tensor<T, Cpu>& pool,
                                          Excluded&& excluded) {
  if (queries.rank() != 2 || pool.rank() != 2 || queries.dim(1) != pool.dim(1) || queries.size() == 0 ||
      pool.size() == 0)
    fail(ErrorKind::shape, "neighbours.shape", "neighbours: queries ", queries.shape(), " and pool ", pool.shape(),
         ", expected (m, d) and (n, d)");
  const Index m = queries.dim(0), n = pool.dim(0), d = pool.dim(1);
  const auto squared = [d](const double* v) {
    double sum = 0;
    for (Index k = 0; k < d; ++k) sum += v[k] * v[k];
    return sum;
  };
  constexpr Index block = 512;
  std::vector<Neighbour> nearest(static_cast<std::size_t>(m));
  std::vector<double> best(static_cast<std::size_t>(m), std::numeric_limits<double>::infinity());
  for (Index j0 = 0; j0 < n; j0 += block) {
    const auto some = cast<double>(pool.slice(j0, std::min(n, j0 + block)));
    std::vector<double> norms;
    for (Index j = 0; j < some.dim(0); ++j) norms.push_back(squared(some.data() + j * d));
    for (Index i0 = 0; i0 < m; i0 += block) {
      const auto asked = cast<double>(queries.slice(i0, std::min(m, i0 + block)));
      const auto products = matmul_forward(asked, some, {.transpose_b = true});
      for (Index i = 0; i < asked.dim(0); ++i) {
        const auto q = static_cast<std::size_t>(i0 + i);
        for (Index j = 0; j < some.dim(0); ++j) {
          const double distance = norms[static_cast<std::size_t>(j)] -
                                  2 * products.data()[i * some.dim(0) + j];  // less the query's own norm
          if (distance < best[q] && !excluded(i0 + i, j0 + j)) {
            best[q] = distance;
            nearest[q].row = j0 + j;
          }
        }
      }
    }
  }
  for (Index i = 0; i < m; ++i) {
    Neighbour& near = nearest[static_cast<std::size_t>(i)];
    if (near.row < 0) continue;
    double sum = 0;
    for (Index k = 0; k < d; ++k) {
      const double e =
          static_cast<double>(queries.data()[i * d + k]) - static_cast<double>(pool.data()[near.row * d + k]);
      sum += e * e;
    }
    near.distance = std::sqrt(sum);
  }
  return nearest;
}

/// Value at share q of the sorted values, between two of them linearly (as numpy.percentile). Throws Error (argument) for none.
inline double percentile(std::vector<double> values, double q) {
  if (values.empty() || !(q >= 0 && q <= 1))
    fail(ErrorKind::argument, "percentile", "percentile: ", values.size(), " values at ", q);
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (at - static_cast<double>(low)) * (values[high] - values[low]);
}

struct DistanceSummary {
  Index count = 0;
  double mean = 0, median = 0, fifth = 0, minimum = 0, maximum = 0;

  /// Of the distances that there are. All numbers are NaN when there are none.
  static DistanceSummary of(const std::vector<Neighbour>& neighbours) {
    std::vector<double> v;
    for (const Neighbour& n : neighbours)
      if (n.row >= 0) v.push_back(n.distance);
    DistanceSummary s;
    s.count = static_cast<Index>(v.size());
    if (v.empty()) {
      s.mean = s.median = s.fifth = s.minimum = s.maximum = std::numeric_limits<double>::quiet_NaN();
      return s;
    }
    for (const double d : v) s.mean += d / static_cast<double>(v.size());
    s.median = percentile(v, 0.5), s.fifth = percentile(v, 0.05), s.minimum = percentile(v, 0),
    s.maximum = percentile(v, 1);
    return s;
  }

  static void visit(auto& self, auto&& v) {
    v("count", self.count);
    v("mean", self.mean);
    v("median", self.median);
    v("fifth_percentile", self.fifth);
    v("minimum", self.minimum);
    v("maximum", self.maximum);
  }
};

struct MemorisationAudit {
  DistanceSummary real, real_other_subjects,
      samples;                     // nearest other training scan; nearest of another subject; nearest to each sample
  std::vector<Neighbour> nearest;  // per sample
  std::vector<Index> copies,
      copies_of_subjects;  // samples below the 5th percentile of `real`, and of `real_other_subjects`
  double ratio = 0;        // mean distance of samples over that of real scans: below 1 is suspicious
};

/// samples (m, d), training (n, d), one subject per training row. Throws Error (shape): counts that differ, fewer than two subjects.
template <class T>
MemorisationAudit audit_memorisation(const Tensor<T, Cpu>& samples, const Tensor<T, Cpu>& training,
                                     const std::vector<std::string>& subjects) {
  if (training.rank() != 2 || static_cast<Index>(subjects.size()) != training.dim(0))
    fail(ErrorKind::shape, "memorisation.subjects", "memorisation: ", subjects.size(),
         " subjects for training latents of shape ", training.shape());
  if (std::adjacent_find(subjects.begin(), subjects.end(), std::not_equal_to<>()) == subjects.end())
    fail(ErrorKind::shape, "memorisation.subjects",
         "memorisation: the training scans are of a single subject, expected at least two subjects");
  const auto subject = [&](Index i) -> const std::string& { return subjects[static_cast<std::size_t>(i)]; };
  MemorisationAudit a;
  a.real = DistanceSummary::of(nearest_neighbours(training, training, [](Index i, Index j) { return i == j; }));
  a.real_other_subjects = DistanceSummary::of(
      nearest_neighbours(training, training, [&](Index i, Index j) { return subject(i) == subject(j); }));
  a.nearest = nearest_neighbours(samples, training, [](Index, Index) { return false; });
  a.samples = DistanceSummary::of(a.nearest);
  for (std::size_t i = 0; i < a.nearest.size(); ++i) {
    if (a.nearest[i].distance < a.real.fifth) a.copies.push_back(static_cast<Index>(i));
    if (a.nearest[i].distance < a.real_other_subjects.fifth) a.copies_of_subjects.push_back(static_cast<Index>(i));
  }
  a.ratio = a.samples.mean / a.real.mean;
  return a;
}

}  // namespace braing3n::inline BRAING3N_ABI
