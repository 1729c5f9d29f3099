// Does a saved probe read what it was fitted on? The ranges of its training rows, and what lies far outside of them.
//
// A linear probe answers everywhere. Features in another unit, of another scanner or of a failed segmentation give an age of -400
// as readily as one of 70, so every prediction says whether it stands on known ground:
//   features    a feature is further from the training range than that range is wide
//   prediction  a regression gives a value further from the range of the training targets than a quarter of its width
// Features that did not vary in training have no weight and are not looked at.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct TrainingRange {
  std::vector<double> low, high;  // per feature; empty: unknown (files written before there were ranges)
  double target_low = std::numeric_limits<double>::quiet_NaN(), target_high = target_low;  // regression

  bool known() const { return !low.empty(); }

  /// One training row.
  void add(std::span<const float> features) {
    if (low.empty()) {
      low.assign(features.size(), std::numeric_limits<double>::infinity());
      high.assign(features.size(), -std::numeric_limits<double>::infinity());
    }
    for (std::size_t j = 0; j < features.size(); ++j) {
      const auto v = static_cast<double>(features[j]);
      low[j] = std::min(low[j], v);
      high[j] = std::max(high[j], v);
    }
  }
  void add_target(double target) {
    target_low = std::isnan(target_low) ? target : std::min(target_low, target);
    target_high = std::isnan(target_high) ? target : std::max(target_high, target);
  }
};

enum class RangeVerdict { unknown, inside, features, prediction, both };

inline const char* to_string(RangeVerdict v) {
  switch (v) {
    case RangeVerdict::unknown:
      return "unknown";
    case RangeVerdict::inside:
      return "inside";
    case RangeVerdict::features:
      return "features";
    case RangeVerdict::prediction:
      return "prediction";
    case RangeVerdict::both:
      break;
  }
  return "both";
}

/// The feature furthest outside, measured in widths of its range, where one is further than a width. features: one row, offsets added.
template <class T>
std::optional<Index> feature_outside(const TrainingRange& range, const T* features) {
  std::optional<Index> worst;
  double furthest = 1;
  for (std::size_t j = 0; j < range.low.size(); ++j) {
    const auto v = static_cast<double>(features[j]);
    const double width = range.high[j] - range.low[j], off = std::max(range.low[j] - v, v - range.high[j]);
    if (!(width > 0) || !(off / width > furthest)) continue;
    furthest = off / width;
    worst = static_cast<Index>(j);
  }
  return worst;
}

inline bool prediction_outside(const TrainingRange& range, double prediction) {
  const double margin = 0.25 * (range.target_high - range.target_low);
  return prediction < range.target_low - margin || prediction > range.target_high + margin;
}

/// prediction: of a regression; nothing for classifications.
template <class T>
RangeVerdict judge_range(const TrainingRange& range, const T* features, std::optional<double> prediction) {
  if (!range.known()) return RangeVerdict::unknown;
  const bool far = feature_outside(range, features).has_value(),
             wild = prediction && prediction_outside(range, *prediction);
  return far && wild ? RangeVerdict::both
         : far       ? RangeVerdict::features
         : wild      ? RangeVerdict::prediction
                     : RangeVerdict::inside;
}

}  // namespace braing3n::inline BRAING3N_ABI
