// Pairs of visits, several of which may begin at one scan: the scan is decoded once and forecast to all its horizons in one integration.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/data/visit_pairs.hpp"
#include "braing3n/study/forecast_reading.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// By baseline, and by years.
inline void sort_by_baseline(std::vector<VisitPair>& pairs) {
  std::stable_sort(pairs.begin(), pairs.end(), [](const VisitPair& a, const VisitPair& b) {
    return a.from != b.from ? a.from < b.from : std::abs(a.years) < std::abs(b.years);
  });
}

/// Consecutive pairs; those of one baseline stand together, by years.
class BaselinePart {
 public:
  explicit BaselinePart(std::span<const VisitPair> all) : pairs(all) {
    std::vector<std::size_t> horizons;  // of every baseline
    for (const VisitPair& p : pairs) {
      if (first.empty() || first.back().from != p.from) first.push_back(p), horizons.push_back(0);
      const std::size_t subject = first.size() - 1, horizon = horizons[subject]++;
      place_.emplace_back(subject, horizon);
      if (stops.size() <= horizon) stops.resize(horizon + 1);
      // A baseline whose pairs have ended stays where it is.
      if (stops[horizon].size() < subject) stops[horizon].resize(subject, 0.0);
      stops[horizon].push_back(p.years);
    }
    for (std::size_t h = 0; h < stops.size(); ++h) {
      stops[h].resize(first.size(), 0.0);
      for (std::size_t s = 0; h > 0 && s < first.size(); ++s)
        if (h >= horizons[s]) stops[h][s] = stops[h - 1][s];
    }
  }

  std::span<const VisitPair> pairs;
  std::vector<VisitPair> first;            // one pair per baseline
  std::vector<std::vector<double>> stops;  // per horizon, the years of every baseline

  /// Rows of the baselines.
  std::vector<Index> rows() const {
    std::vector<Index> out;
    for (const VisitPair& p : first) out.push_back(p.from);
    return out;
  }
  /// What was made of the baselines at every stop (baselines, L, C) -> that of every pair (pairs, L, C).
  Tensor<float, Cpu> rows_of(const std::vector<Tensor<float, Cpu>>& reached) const {
    const Tensor<float, Cpu>& any = reached.front();
    const Index each = any.size() / any.dim(0);
    Tensor<float, Cpu> out(any.context(), {std::ssize(pairs), any.dim(1), any.dim(2)});
    for (std::size_t i = 0; i < place_.size(); ++i) {
      const auto [subject, horizon] = place_[i];
      std::copy_n(reached[horizon].data() + static_cast<Index>(subject) * each, each,
                  out.data() + static_cast<Index>(i) * each);
    }
    return out;
  }
  /// The decoded baselines -> the baseline of every pair.
  ForecastDecoder::Decoded spread(const ForecastDecoder::Decoded& baselines) const {
    ForecastDecoder::Decoded out;
    for (const auto& [subject, horizon] : place_) {
      out.voxels.push_back(baselines.voxels[subject]);
      append_row<float>(out.blocks, row_of(baselines.blocks, static_cast<Index>(subject)));
    }
    return out;
  }

 private:
  std::vector<std::pair<std::size_t, std::size_t>> place_;  // baseline and horizon of every pair
};

}  // namespace braing3n::inline BRAING3N_ABI::study
