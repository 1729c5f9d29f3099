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
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "braing3n/eval/nearest_neighbours.hpp"

namespace braing3n::inline BRAING3N_ABI {

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
/// Distances are computed where the tensors are.
template <class T, Backend B>
MemorisationAudit audit_memorisation(const Tensor<T, B>& samples, const Tensor<T, B>& training,
                                     const std::vector<std::string>& subjects) {
  if (training.rank() != 2 || static_cast<Index>(subjects.size()) != training.dim(0))
    fail(ErrorKind::shape, "memorisation.subjects", "memorisation: ", subjects.size(),
         " subjects for training latents of shape ", training.shape());
  if (std::adjacent_find(subjects.begin(), subjects.end(), std::not_equal_to<>()) == subjects.end())
    fail(ErrorKind::shape, "memorisation.subjects",
         "memorisation: the training scans are of a single subject, expected at least two subjects");
  NeighbourGroups same_row, same_subject;
  std::map<std::string, std::int32_t> code;
  for (const std::string& subject : subjects)
    same_subject.pool.push_back(code.emplace(subject, static_cast<std::int32_t>(code.size())).first->second);
  same_subject.query = same_subject.pool;
  same_row.pool.resize(subjects.size());
  std::iota(same_row.pool.begin(), same_row.pool.end(), 0);
  same_row.query = same_row.pool;
  MemorisationAudit a;
  a.real = DistanceSummary::of(nearest_of_other_groups(training, training, same_row));
  a.real_other_subjects = DistanceSummary::of(nearest_of_other_groups(training, training, same_subject));
  a.nearest = nearest_of_other_groups(samples, training);
  a.samples = DistanceSummary::of(a.nearest);
  for (std::size_t i = 0; i < a.nearest.size(); ++i) {
    if (a.nearest[i].distance < a.real.fifth) a.copies.push_back(static_cast<Index>(i));
    if (a.nearest[i].distance < a.real_other_subjects.fifth) a.copies_of_subjects.push_back(static_cast<Index>(i));
  }
  a.ratio = a.samples.mean / a.real.mean;
  return a;
}

}  // namespace braing3n::inline BRAING3N_ABI
