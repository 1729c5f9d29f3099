// Scores of predictions, with weights (a bootstrap replicate is a weighting of the same samples).
//
// Classification (n samples, K >= 2 classes, probabilities (n, K)):
//   auc                one class against the rest by Mann-Whitney, ties count one half; macro mean over classes (two classes: the
//                      second one)
//   average_precision  sum of precision times recall step over distinct thresholds; macro mean like auc
//   accuracy, balanced_accuracy (mean recall), brier (mean squared distance to the one-hot label; two classes: of the second one)
//   calibration_error  |share of correct - confidence| over ten equal bins of confidence, weighted by their size
// Regression: r2 (constant target: 1 if exact, else 0), mae, pearson, slope (of the prediction on the truth: 1 means no
// shrinking towards the mean), bias (mean of prediction - truth).
// A score that the samples do not define (a class is absent, a constant prediction has no correlation) is NaN.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// Names in the order in which the scorers return them; the first is the primary one.
inline const std::vector<std::string>& score_names(bool classification) {
  static const std::vector<std::string> classes{"auc",   "accuracy",         "balanced_accuracy", "average_precision",
                                                "brier", "calibration_error"};
  static const std::vector<std::string> values{"r2", "mae", "pearson", "slope", "bias"};
  return classification ? classes : values;
}

/// Area under the ROC curve and average precision of samples in descending order of score. next_tie[i] is the end of the run
/// of equal scores that starts at i. positive(i), weight(i) of the i-th sample in that order.
struct RankScores {
  double auc = not_a_number, average_precision = not_a_number;
};
template <class Positive, class Weight>
RankScores rank_scores(std::span<const std::int32_t> run_ends, Positive&& positive, Weight&& weight) {
  double above = 0, below = 0, area = 0, precision = 0;  // weights of positives and negatives seen
  std::size_t i = 0;
  for (const std::int32_t end : run_ends) {
    double p = 0, q = 0;
    for (; i < static_cast<std::size_t>(end); ++i) (positive(i) ? p : q) += weight(i);
    area += q * (above + 0.5 * p);
    above += p;
    below += q;
    if (p > 0) precision += p * above / (above + below);
  }
  RankScores out;
  if (above > 0 && below > 0) out.auc = area / (above * below);
  if (above > 0) out.average_precision = precision / above;
  return out;
}

/// Classification scores of one set of samples under changing labels and weights: sorts once.
class ClassificationScorer {
 public:
  /// probability (n, classes) row-major; kept by reference.
  ClassificationScorer(std::span<const double> probability, Index classes)
      : probability_(probability), classes_(classes), n_(static_cast<Index>(probability.size()) / classes) {
    if (classes < 2)
      fail(ErrorKind::argument, "scores.classes", "scores: a classification needs at least 2 classes, got ", classes);
    for (Index k = first_ranked(); k < classes; ++k) {
      std::vector<std::int32_t> order(static_cast<std::size_t>(n_)), ends;
      std::iota(order.begin(), order.end(), 0);
      const auto score = [&](std::int32_t i) { return probability_[static_cast<std::size_t>(i * classes + k)]; };
      std::sort(order.begin(), order.end(),
                [&](std::int32_t a, std::int32_t b) { return score(a) != score(b) ? score(a) > score(b) : a < b; });
      for (std::size_t i = 1; i <= order.size(); ++i)
        if (i == order.size() || score(order[i]) != score(order[i - 1])) ends.push_back(static_cast<std::int32_t>(i));
      order_.push_back(std::move(order));
      run_ends_.push_back(std::move(ends));
    }
    for (Index i = 0; i < n_; ++i) {
      const auto row = probability.subspan(static_cast<std::size_t>(i * classes), static_cast<std::size_t>(classes));
      // In the binary case the second class is chosen above one half, as scikit-learn's decision does.
      const auto best = std::max_element(row.begin(), row.end()) - row.begin();
      choice_.push_back(static_cast<std::int32_t>(best));
      confidence_bin_.push_back(std::min(9, static_cast<int>(row[static_cast<std::size_t>(best)] * 10.0)));
      double squares = 0;
      for (double p : row) squares += p * p;
      squares_.push_back(squares);
    }
  }

  Index size() const { return n_; }
  Index classes() const { return classes_; }
  /// What does not change with labels and weights (replicates.hpp). Rankings: of the second of two classes, or of every class.
  Index rankings() const { return static_cast<Index>(order_.size()); }
  std::int32_t ranked_class(Index r) const { return static_cast<std::int32_t>(r + first_ranked()); }
  const std::vector<std::int32_t>& order(Index r) const { return order_[static_cast<std::size_t>(r)]; }  // descending
  const std::vector<std::int32_t>& run_ends(Index r) const {
    return run_ends_[static_cast<std::size_t>(r)];
  }  // of equal scores
  double probability(std::size_t i, std::int32_t k) const {
    return probability_[i * static_cast<std::size_t>(classes_) + static_cast<std::size_t>(k)];
  }
  std::int32_t choice(std::size_t i) const { return choice_[i]; }
  int confidence_bin(std::size_t i) const { return confidence_bin_[i]; }
  double squares(std::size_t i) const { return squares_[i]; }

  /// Scores in the order of score_names(true). label (n), weight (n).
  std::array<double, 6> evaluate(std::span<const std::int32_t> label, std::span<const float> weight) const {
    const auto classes = static_cast<std::size_t>(classes_);
    std::vector<double> total(classes, 0.0), right(classes, 0.0);
    std::array<double, 10> bin_weight{}, bin_right{}, bin_confidence{};
    double brier = 0, all = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n_); ++i) {
      const double w = static_cast<double>(weight[i]);
      if (w == 0) continue;
      const auto y = static_cast<std::size_t>(label[i]), c = static_cast<std::size_t>(choice_[i]);
      const auto b = static_cast<std::size_t>(confidence_bin_[i]);
      const double hit = y == c ? w : 0.0;
      all += w;
      total[y] += w;
      right[y] += hit;
      bin_weight[b] += w;
      bin_right[b] += hit;
      bin_confidence[b] += w * probability_[i * classes + c];
      brier += w * (squares_[i] + 1.0 - 2.0 * probability_[i * classes + y]);
    }
    double auc = 0, precision = 0, recall = 0, calibration = 0;
    for (std::size_t r = 0; r < order_.size(); ++r) {
      const std::int32_t* order = order_[r].data();
      const auto own = static_cast<std::int32_t>(r) + static_cast<std::int32_t>(first_ranked());
      const RankScores scores = rank_scores(
          run_ends_[r], [&](std::size_t i) { return label[static_cast<std::size_t>(order[i])] == own; },
          [&](std::size_t i) { return static_cast<double>(weight[static_cast<std::size_t>(order[i])]); });
      auc += scores.auc;
      precision += scores.average_precision;
    }
    for (std::size_t k = 0; k < classes; ++k) recall += total[k] > 0 ? right[k] / total[k] : not_a_number;
    for (std::size_t b = 0; b < 10; ++b) calibration += std::abs(bin_right[b] - bin_confidence[b]);
    const double ranked = static_cast<double>(order_.size());
    return {auc / ranked,
            std::accumulate(right.begin(), right.end(), 0.0) / all,
            recall / static_cast<double>(classes),
            precision / ranked,
            brier / all / (classes_ == 2 ? 2.0 : 1.0),
            calibration / all};
  }

 private:
  Index first_ranked() const { return classes_ == 2 ? 1 : 0; }

  std::span<const double> probability_;
  Index classes_, n_;
  std::vector<std::vector<std::int32_t>> order_, run_ends_;
  std::vector<std::int32_t> choice_;
  std::vector<int> confidence_bin_;
  std::vector<double> squares_;
};

/// Regression scores in the order of score_names(false).
inline std::array<double, 5> regression_scores(std::span<const double> prediction, std::span<const double> truth,
                                               std::span<const float> weight) {
  double all = 0, mean_p = 0, mean_t = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double w = static_cast<double>(weight[i]);
    all += w;
    mean_p += w * prediction[i];
    mean_t += w * truth[i];
  }
  mean_p /= all;
  mean_t /= all;
  double pp = 0, tt = 0, pt = 0, residual = 0, absolute = 0;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    const double w = static_cast<double>(weight[i]), p = prediction[i] - mean_p, t = truth[i] - mean_t,
                 e = prediction[i] - truth[i];
    pp += w * p * p;
    tt += w * t * t;
    pt += w * p * t;
    residual += w * e * e;
    absolute += w * std::abs(e);
  }
  const double r2 = tt > 0 ? 1.0 - residual / tt : residual == 0 ? 1.0 : 0.0;
  return {r2, absolute / all, pp > 0 && tt > 0 ? pt / std::sqrt(pp * tt) : not_a_number,
          tt > 0 ? pt / tt : not_a_number, mean_p - mean_t};
}

/// AUC of a score for two classes; NaN when one is absent. Errors: lengths that differ.
inline double roc_auc(std::span<const double> score, std::span<const std::int32_t> positive) {
  if (score.size() != positive.size())
    fail(ErrorKind::shape, "scores.length", "auc: ", score.size(), " scores, ", positive.size(), " labels");
  std::vector<double> probability;
  for (double s : score) probability.insert(probability.end(), {-s, s});
  const std::vector<float> ones(score.size(), 1.0f);
  return ClassificationScorer(probability, 2).evaluate(positive, ones)[0];
}

/// Points of a ROC curve (false positive rate, true positive rate), from (0, 0) to (1, 1).
inline std::vector<std::array<double, 2>> roc_curve(std::span<const double> score,
                                                    std::span<const std::int32_t> positive) {
  std::vector<std::size_t> order(score.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score[a] > score[b]; });
  double positives = 0;
  for (std::int32_t p : positive) positives += p != 0;
  const double negatives = static_cast<double>(score.size()) - positives;
  std::vector<std::array<double, 2>> curve{{0, 0}};
  double p = 0, q = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    (positive[order[i]] != 0 ? p : q) += 1;
    if (i + 1 == order.size() || score[order[i + 1]] != score[order[i]])
      curve.push_back({q / std::max(negatives, 1.0), p / std::max(positives, 1.0)});
  }
  return curve;
}

}  // namespace braing3n::inline BRAING3N_ABI
