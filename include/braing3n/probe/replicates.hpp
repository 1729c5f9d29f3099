// Scores of many replicates at once: what makes 1000 bootstrap samples and 1000 permutations of a panel cheap.
//
// A bootstrap replicate is a weighting of the same samples, so sixteen of them walk the sorted samples together, one vector lane
// each. A permutation needs the primary score alone: with the ranks of all samples at hand an AUC is a sum of ranks,
//   AUC_k = (sum of ranks of class k - P (P + 1) / 2) / (P N),
// one addition per sample whatever the number of classes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu/loops/simd.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/probe/scores.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

inline constexpr Index replicate_lanes = 16;

/// The integers of a stream one after the other, four per round of the generator.
class IntegerStream {
 public:
  explicit IntegerStream(const Philox& rng) : rng_(rng) {}
  /// Uniform in [0, below).
  std::size_t next(std::size_t below) {
    if ((index_ & 3) == 0) block_ = rng_.block(static_cast<std::uint32_t>(index_ >> 2));
    return static_cast<std::size_t>((std::uint64_t{block_[index_++ & 3]} * below) >> 32);
  }

 private:
  Philox rng_;
  decltype(std::declval<const Philox&>().block(0u)) block_{};
  std::uint64_t index_ = 0;
};

/// Sums over samples, one per replicate.
struct ReplicateSums {
  double v[replicate_lanes] = {};
};

/// AUC and average precision of ranking r under the weights (n, replicate_lanes) of all replicates, as rank_scores().
inline void rank_replicates(Isa isa, const ClassificationScorer& s, Index r, std::span<const std::int32_t> label,
                            const float* weight, ReplicateSums& auc, ReplicateSums& average) {
  const std::int32_t own = s.ranked_class(r), *order = s.order(r).data();
  const std::vector<std::int32_t>& ends = s.run_ends(r);
  ReplicateSums above, below, area, precision;  // weights of positives and negatives seen
  vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
    std::int32_t i = 0;
    for (const std::int32_t end : ends) {
      if (end - i == 1) {
        const std::int32_t at = order[i++];
        const float* w = weight + static_cast<Index>(at) * replicate_lanes;
        if (label[static_cast<std::size_t>(at)] != own) {
          for (Index l = 0; l < replicate_lanes; ++l) {
            area.v[l] += static_cast<double>(w[l]) * above.v[l];
            below.v[l] += static_cast<double>(w[l]);
          }
        } else {
          for (Index l = 0; l < replicate_lanes; ++l) {
            const double p = static_cast<double>(w[l]), seen = above.v[l] + p;
            above.v[l] = seen;
            precision.v[l] += p * seen / std::max(seen + below.v[l], 1e-300);
          }
        }
        continue;
      }
      ReplicateSums p, q;
      for (; i < end; ++i) {
        const float* w = weight + static_cast<Index>(order[i]) * replicate_lanes;
        ReplicateSums& to = label[static_cast<std::size_t>(order[i])] == own ? p : q;
        for (Index l = 0; l < replicate_lanes; ++l) to.v[l] += static_cast<double>(w[l]);
      }
      for (Index l = 0; l < replicate_lanes; ++l) {
        area.v[l] += q.v[l] * (above.v[l] + 0.5 * p.v[l]);
        above.v[l] += p.v[l];
        below.v[l] += q.v[l];
        precision.v[l] += p.v[l] * above.v[l] / std::max(above.v[l] + below.v[l], 1e-300);
      }
    }
  });
  for (Index l = 0; l < replicate_lanes; ++l) {
    auc.v[l] += above.v[l] > 0 && below.v[l] > 0 ? area.v[l] / (above.v[l] * below.v[l]) : not_a_number;
    average.v[l] += above.v[l] > 0 ? precision.v[l] / above.v[l] : not_a_number;
  }
}

/// ClassificationScorer::evaluate for replicate_lanes weightings: weight (n, replicate_lanes).
inline std::array<std::array<double, 6>, replicate_lanes> evaluate_replicates(Isa isa, const ClassificationScorer& s,
                                                                              std::span<const std::int32_t> label,
                                                                              const float* weight) {
  const auto classes = static_cast<std::size_t>(s.classes());
  std::vector<ReplicateSums> total(classes), right(classes), bin_right(10), bin_confidence(10);
  ReplicateSums brier, all, auc, average;
  vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
    for (std::size_t i = 0; i < label.size(); ++i) {
      const float* w = weight + i * static_cast<std::size_t>(replicate_lanes);
      const std::int32_t y = label[i], c = s.choice(i);
      const auto bin = static_cast<std::size_t>(s.confidence_bin(i));
      const double hit = y == c ? 1.0 : 0.0, confidence = s.probability(i, c),
                   distance = s.squares(i) + 1.0 - 2.0 * s.probability(i, y);
      ReplicateSums &of_class = total[static_cast<std::size_t>(y)], &hits = right[static_cast<std::size_t>(y)];
      for (Index l = 0; l < replicate_lanes; ++l) {
        const double v = static_cast<double>(w[l]);
        all.v[l] += v;
        of_class.v[l] += v;
        hits.v[l] += hit * v;
        bin_right[bin].v[l] += hit * v;
        bin_confidence[bin].v[l] += confidence * v;
        brier.v[l] += distance * v;
      }
    }
  });
  for (Index r = 0; r < s.rankings(); ++r) rank_replicates(isa, s, r, label, weight, auc, average);
  std::array<std::array<double, 6>, replicate_lanes> out;
  const double ranked = static_cast<double>(s.rankings());
  for (Index l = 0; l < replicate_lanes; ++l) {
    double hits = 0, recall = 0, calibration = 0;
    for (std::size_t k = 0; k < classes; ++k) {
      hits += right[k].v[l];
      recall += total[k].v[l] > 0 ? right[k].v[l] / total[k].v[l] : not_a_number;
    }
    for (std::size_t b = 0; b < 10; ++b) calibration += std::abs(bin_right[b].v[l] - bin_confidence[b].v[l]);
    out[static_cast<std::size_t>(l)] = {auc.v[l] / ranked,
                                        hits / all.v[l],
                                        recall / static_cast<double>(classes),
                                        average.v[l] / ranked,
                                        brier.v[l] / all.v[l] / (classes == 2 ? 2.0 : 1.0),
                                        calibration / all.v[l]};
  }
  return out;
}

/// AUC of changing labels with equal weights.
class RankSums {
 public:
  explicit RankSums(const ClassificationScorer& s)
      : first_(s.ranked_class(0)), rankings_(s.rankings()), rank_(static_cast<std::size_t>(s.size() * s.rankings())) {
    for (Index r = 0; r < rankings_; ++r) {
      std::int32_t begin = 0;
      for (const std::int32_t end : s.run_ends(r)) {  // descending order; equal scores share the mean of their ranks
        const double rank = static_cast<double>(s.size()) - 0.5 * static_cast<double>(begin + end - 1);
        for (; begin < end; ++begin)
          rank_[static_cast<std::size_t>(s.order(r)[static_cast<std::size_t>(begin)] * rankings_ + r)] = rank;
      }
    }
  }

  /// Macro mean over the ranked classes; NaN when one is absent, or has no others beside it.
  double auc(std::span<const std::int32_t> label) const {
    std::vector<double> sum(static_cast<std::size_t>(rankings_), 0.0), count(sum.size(), 0.0);
    for (std::size_t i = 0; i < label.size(); ++i) {
      const std::int32_t r = label[i] - first_;
      if (r < 0) continue;
      sum[static_cast<std::size_t>(r)] += rank_[i * static_cast<std::size_t>(rankings_) + static_cast<std::size_t>(r)];
      count[static_cast<std::size_t>(r)] += 1;
    }
    double mean = 0;
    for (std::size_t r = 0; r < sum.size(); ++r) {
      const double p = count[r], n = static_cast<double>(label.size()) - p;
      mean += p > 0 && n > 0 ? (sum[r] - 0.5 * p * (p + 1)) / (p * n) : not_a_number;
    }
    return mean / static_cast<double>(rankings_);
  }

 private:
  std::int32_t first_;
  Index rankings_;
  std::vector<double> rank_;  // (n, rankings)
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
