// How sure a cross-validated score is: mean and deviation over folds, bootstrap over subjects, permutation test.
//
// A score is the mean over folds of the score within the fold. The bootstrap draws subjects with replacement within each fold
// (scans of one person stay together) and gives percentile intervals; it takes the fitted probes as given, so it does not
// contain the variation between training sets, which the deviation over folds shows. The permutation test exchanges the labels
// of subjects with equally many scans within a fold, again with the predictions as given: the p-value says whether the
// predictions go with the labels more than chance would have it, (1 + #{permuted >= observed}) / (1 + permutations).
// Random numbers are counter-based (base/philox.hpp), so results are the same on any number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "braing3n/backend/cpu/context.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/probe/scores.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct UncertaintyOptions {
  int replicates = 1000;    // of the bootstrap; 0: no intervals
  int permutations = 1000;  // 0: no p-value
  double coverage = 0.95;
  std::uint64_t seed = 2025;
};

struct Score {
  std::string name;
  std::vector<double> folds;  // NaN: not defined in that fold
  double mean = not_a_number, sd = not_a_number;  // over the folds in which it is defined; sd with divisor n, as numpy
  double low = not_a_number, high = not_a_number;
};

struct ScoreTable {
  std::vector<Score> scores;  // in the order of score_names
  double p_value = not_a_number;  // of the primary score
  const Score& operator[](std::string_view name) const {
    for (const Score& s : scores)
      if (s.name == name) return s;
    fail(ErrorKind::argument, "scores.name", "scores: there is no score named ", name);
  }
};

/// Out-of-fold predictions of one task, one entry per sample.
struct Predictions {
  Index classes = 0;                   // 0: regression
  std::vector<double> values;          // (n, classes) probabilities, or (n) predictions
  std::vector<std::int32_t> label;     // classification
  std::vector<double> target;          // regression
  std::vector<std::int32_t> fold, subject;
};

namespace detail {

/// The samples of one fold, sorted by subject.
struct FoldSamples {
  std::vector<double> values, target;
  std::vector<std::int32_t> label;
  std::vector<std::int32_t> subject_begin;  // per subject of the fold, plus the end
  std::unique_ptr<ClassificationScorer> scorer;

  Index subjects() const { return static_cast<Index>(subject_begin.size()) - 1; }
  std::vector<double> evaluate(std::span<const std::int32_t> labels, std::span<const double> targets, std::span<const float> weight) const {
    if (scorer) {
      const auto s = scorer->evaluate(labels, weight);
      return {s.begin(), s.end()};
    }
    const auto s = regression_scores(values, targets, weight);
    return {s.begin(), s.end()};
  }
};

inline std::vector<FoldSamples> split_by_fold(const Predictions& p) {
  const std::int32_t folds = p.fold.empty() ? 0 : *std::max_element(p.fold.begin(), p.fold.end()) + 1;
  const auto width = static_cast<std::size_t>(std::max<Index>(p.classes, 1));
  std::vector<std::vector<std::size_t>> members(static_cast<std::size_t>(folds));
  for (std::size_t i = 0; i < p.fold.size(); ++i)
    if (p.fold[i] >= 0) members[static_cast<std::size_t>(p.fold[i])].push_back(i);
  std::vector<FoldSamples> out(members.size());
  for (std::size_t f = 0; f < members.size(); ++f) {
    std::stable_sort(members[f].begin(), members[f].end(), [&](std::size_t a, std::size_t b) { return p.subject[a] < p.subject[b]; });
    FoldSamples& s = out[f];
    for (std::size_t k = 0; k < members[f].size(); ++k) {
      const std::size_t i = members[f][k];
      if (k == 0 || p.subject[i] != p.subject[members[f][k - 1]]) s.subject_begin.push_back(static_cast<std::int32_t>(k));
      s.values.insert(s.values.end(), p.values.begin() + static_cast<std::ptrdiff_t>(i * width), p.values.begin() + static_cast<std::ptrdiff_t>((i + 1) * width));
      if (p.classes > 0) s.label.push_back(p.label[i]);
      else s.target.push_back(p.target[i]);
    }
    s.subject_begin.push_back(static_cast<std::int32_t>(members[f].size()));
    if (p.classes > 0) s.scorer = std::make_unique<ClassificationScorer>(s.values, p.classes);
  }
  return out;
}

/// Mean over the folds in which a score is defined.
inline std::vector<double> fold_mean(const std::vector<std::vector<double>>& per_fold) {
  std::vector<double> mean(per_fold.empty() ? 0 : per_fold[0].size(), not_a_number);
  for (std::size_t m = 0; m < mean.size(); ++m) {
    double sum = 0, count = 0;
    for (const auto& fold : per_fold)
      if (std::isfinite(fold[m])) {
        sum += fold[m];
        count += 1;
      }
    if (count > 0) mean[m] = sum / count;
  }
  return mean;
}

/// Labels of the subjects of a fold dealt out anew among subjects with equally many samples.
inline void permute_subjects(const FoldSamples& f, const Philox& rng, std::vector<std::int32_t>& label, std::vector<double>& target) {
  std::vector<std::size_t> order(static_cast<std::size_t>(f.subjects()));
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto size = [&](std::size_t s) { return f.subject_begin[s + 1] - f.subject_begin[s]; };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return size(a) < size(b); });
  std::vector<std::size_t> dealt = order;
  std::uint64_t draw = 0;
  for (std::size_t begin = 0; begin < order.size();) {
    std::size_t end = begin;
    while (end < order.size() && size(order[end]) == size(order[begin])) ++end;
    for (std::size_t i = end - begin; i-- > 1;)
      std::swap(dealt[begin + i], dealt[begin + static_cast<std::size_t>((std::uint64_t{rng.integer(draw++)} * (i + 1)) >> 32)]);
    begin = end;
  }
  label = f.label;
  target = f.target;
  for (std::size_t k = 0; k < order.size(); ++k)
    for (std::int32_t j = 0; j < size(order[k]); ++j) {
      const auto to = static_cast<std::size_t>(f.subject_begin[order[k]] + j), from = static_cast<std::size_t>(f.subject_begin[dealt[k]] + j);
      if (!label.empty()) label[to] = f.label[from];
      else target[to] = f.target[from];
    }
}

}  // namespace detail

/// Value below which the share q of the finite values lies, linear between neighbours.
inline double quantile(std::vector<double> values, double q) {
  std::erase_if(values, [](double v) { return !std::isfinite(v); });
  if (values.empty()) return not_a_number;
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at), above = std::min(below + 1, values.size() - 1);
  return values[below] + (at - static_cast<double>(below)) * (values[above] - values[below]);
}

inline ScoreTable score_predictions(Context<Cpu>& ctx, const Predictions& predictions, const UncertaintyOptions& options = {}) {
  const bool classification = predictions.classes > 0;
  const auto& names = score_names(classification);
  const std::vector<detail::FoldSamples> folds = detail::split_by_fold(predictions);
  if (folds.empty()) fail(ErrorKind::argument, "scores.empty", "scores: there are no held-out predictions");
  std::vector<std::vector<double>> per_fold;
  for (const auto& f : folds) {
    if (f.subjects() == 0) per_fold.emplace_back(names.size(), not_a_number);
    else per_fold.push_back(f.evaluate(f.label, f.target, std::vector<float>(static_cast<std::size_t>(f.subject_begin.back()), 1.0f)));
  }

  ScoreTable table;
  const std::vector<double> mean = detail::fold_mean(per_fold);
  for (std::size_t m = 0; m < names.size(); ++m) {
    Score score;
    score.name = names[m];
    double squares = 0, count = 0;
    for (const auto& fold : per_fold) {
      score.folds.push_back(fold[m]);
      if (!std::isfinite(fold[m])) continue;
      squares += (fold[m] - mean[m]) * (fold[m] - mean[m]);
      count += 1;
    }
    score.mean = mean[m];
    if (count > 0) score.sd = std::sqrt(squares / count);
    table.scores.push_back(std::move(score));
  }

  if (options.replicates > 0) {
    std::vector<std::vector<double>> draws(static_cast<std::size_t>(options.replicates));
    ctx.parallel(options.replicates, [&](Index b) {
      std::vector<std::vector<double>> scores;
      std::uint64_t draw = 0;
      const Philox rng(options.seed, Purpose::bootstrap, 0, static_cast<std::uint32_t>(b));
      for (const auto& f : folds) {
        if (f.subjects() == 0) continue;
        std::vector<float> count(static_cast<std::size_t>(f.subjects()), 0.0f), weight(static_cast<std::size_t>(f.subject_begin.back()));
        for (Index s = 0; s < f.subjects(); ++s)
          count[static_cast<std::size_t>((std::uint64_t{rng.integer(draw++)} * static_cast<std::uint64_t>(f.subjects())) >> 32)] += 1.0f;
        for (std::size_t s = 0; s < count.size(); ++s)
          for (std::int32_t i = f.subject_begin[s]; i < f.subject_begin[s + 1]; ++i) weight[static_cast<std::size_t>(i)] = count[s];
        scores.push_back(f.evaluate(f.label, f.target, weight));
      }
      draws[static_cast<std::size_t>(b)] = detail::fold_mean(scores);
    });
    for (std::size_t m = 0; m < names.size(); ++m) {
      std::vector<double> values;
      for (const auto& draw : draws) values.push_back(draw[m]);
      table.scores[m].low = quantile(values, 0.5 - options.coverage / 2);
      table.scores[m].high = quantile(values, 0.5 + options.coverage / 2);
    }
  }

  if (options.permutations > 0 && std::isfinite(mean[0])) {
    std::vector<double> permuted(static_cast<std::size_t>(options.permutations));
    ctx.parallel(options.permutations, [&](Index b) {
      std::vector<std::vector<double>> scores;
      std::vector<std::int32_t> label;
      std::vector<double> target;
      for (std::size_t f = 0; f < folds.size(); ++f) {
        if (folds[f].subjects() == 0) continue;
        detail::permute_subjects(folds[f], Philox(options.seed, Purpose::permutation, static_cast<std::uint32_t>(f), static_cast<std::uint32_t>(b)), label, target);
        scores.push_back(folds[f].evaluate(label, target, std::vector<float>(static_cast<std::size_t>(folds[f].subject_begin.back()), 1.0f)));
      }
      permuted[static_cast<std::size_t>(b)] = detail::fold_mean(scores)[0];
    });
    double as_good = 1;
    for (double p : permuted) as_good += p >= mean[0] - 1e-12;
    table.p_value = as_good / (1 + static_cast<double>(options.permutations));
  }
  return table;
}

}  // namespace braing3n::inline BRAING3N_ABI
