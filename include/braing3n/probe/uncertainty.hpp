// How sure a cross-validated score is: mean and deviation over folds, bootstrap over subjects, permutation test.
//
// A score is the mean over folds of the score within the fold. The bootstrap draws subjects with replacement within each fold
// (scans of one person stay together) and gives percentile intervals; it takes the fitted probes as given, so it does not
// contain the variation between training sets, which the deviation over folds shows. The permutation test exchanges labels
// within a fold by the rules of label_exchange.hpp, again with the predictions as given: the p-value says whether the predictions
// go with the labels more than chance would have it, (1 + #{permuted >= observed}) / (1 + permutations).
// Random numbers are counter-based (base/philox.hpp), so results are the same on any number of threads.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <memory>
#include <numeric>
#include <ranges>
#include <span>
#include <string>
#include <vector>

#include "braing3n/backend/cpu/context/context.hpp"
#include "braing3n/base/moments.hpp"
#include "braing3n/probe/label_exchange.hpp"
#include "braing3n/probe/replicates.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct UncertaintyOptions {
  int replicates = 1000;    // of the bootstrap; 0: no intervals
  int permutations = 1000;  // 0: no p-value
  double coverage = 0.95;
  std::uint64_t seed = 2025;
};

/// With fewer ways to exchange labels no p-value could be 0.05 or less.
inline constexpr int least_label_sets = 20;

struct Score {
  std::string name;
  std::vector<double> folds;                      // NaN: not defined in that fold
  double mean = not_a_number, sd = not_a_number;  // over the folds in which it is defined; sd with divisor n, as numpy
  double low = not_a_number, high = not_a_number;
};

struct ScoreTable {
  std::vector<Score> scores;      // in the order of score_names
  double p_value = not_a_number;  // of the primary score; NaN: not asked for, or too few ways to exchange labels
  LabelExchange exchange = LabelExchange::subjects;
  std::string warning;  // why there is no p-value
  const Score& operator[](std::string_view name) const {
    for (const Score& s : scores)
      if (s.name == name) return s;
    fail(ErrorKind::argument, "scores.name", "scores: there is no score named ", name);
  }
};

/// Out-of-fold predictions of one task, one entry per sample.
struct Predictions {
  Index classes = 0;                // 0: regression
  xt::xtensor<double, 2> values;    // (n, classes) probabilities, or (n, 1) predictions
  std::vector<std::int32_t> label;  // classification
  std::vector<double> target;       // regression
  std::vector<std::int32_t> fold, subject;
};

namespace detail {

/// The samples of one fold, sorted by subject.
struct FoldSamples {
  std::vector<double> values, target;
  std::vector<std::int32_t> label;
  std::vector<float> ones;                  // the weights of the samples themselves
  std::vector<std::int32_t> subject_begin;  // per subject of the fold, plus the end
  std::unique_ptr<ClassificationScorer> scorer;

  Index subjects() const { return static_cast<Index>(subject_begin.size()) - 1; }
  std::vector<double> evaluate(std::span<const std::int32_t> labels, std::span<const double> targets,
                               std::span<const float> weight) const {
    if (scorer) {
      const auto s = scorer->evaluate(labels, weight);
      return {s.begin(), s.end()};
    }
    const auto s = regression_scores(values, targets, weight);
    return {s.begin(), s.end()};
  }
};

template <std::same_as<Predictions> P = Predictions>
std::vector<FoldSamples> split_by_fold(const P& p) {
  const std::int32_t folds = p.fold.empty() ? 0 : *std::max_element(p.fold.begin(), p.fold.end()) + 1;
  std::vector<std::vector<std::size_t>> members(static_cast<std::size_t>(folds));
  for (std::size_t i = 0; i < p.fold.size(); ++i)
    if (p.fold[i] >= 0) members[static_cast<std::size_t>(p.fold[i])].push_back(i);
  std::vector<FoldSamples> out(members.size());
  for (std::size_t f = 0; f < members.size(); ++f) {
    std::stable_sort(members[f].begin(), members[f].end(),
                     [&](std::size_t a, std::size_t b) { return p.subject[a] < p.subject[b]; });
    FoldSamples& s = out[f];
    for (std::size_t k = 0; k < members[f].size(); ++k) {
      const std::size_t i = members[f][k];
      if (k == 0 || p.subject[i] != p.subject[members[f][k - 1]])
        s.subject_begin.push_back(static_cast<std::int32_t>(k));
      const std::span<const double> row = row_of(p.values, static_cast<Index>(i));
      s.values.insert(s.values.end(), row.begin(), row.end());
      if (p.classes > 0) s.label.push_back(p.label[i]);
      else s.target.push_back(p.target[i]);
    }
    s.subject_begin.push_back(static_cast<std::int32_t>(members[f].size()));
    s.ones.assign(members[f].size(), 1.0f);
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

/// One label per subject, in all folds?
inline LabelExchange exchange_rule(const std::vector<FoldSamples>& folds) {
  for (const FoldSamples& f : folds)
    if (!(f.scorer ? constant_within_subjects<std::int32_t>(f.label, f.subject_begin)
                   : constant_within_subjects<double>(f.target, f.subject_begin)))
      return LabelExchange::blocks;
  return LabelExchange::subjects;
}

/// Natural logarithm of the number of different sets of labels that permutations can give.
template <std::same_as<FoldSamples> Samples = FoldSamples>
double log_label_sets(const std::vector<Samples>& folds, LabelExchange rule) {
  double ways = 0;
  for (const Samples& f : folds) {
    if (f.subjects() == 0) continue;
    const LabelDealer dealer(f.subject_begin, rule);
    ways += f.scorer ? dealer.log_ways(f.label) : dealer.log_ways(f.target);
  }
  return ways;
}

/// Scores of bootstrap replicates (replicates, scores): means over the folds in which they are defined.
template <std::same_as<Cpu> B>
std::vector<std::vector<double>> bootstrap(Context<B>& ctx, const std::vector<FoldSamples>& folds,
                                           const UncertaintyOptions& options) {
  std::vector<std::vector<double>> draws(static_cast<std::size_t>(options.replicates));
  ctx.parallel((options.replicates + replicate_lanes - 1) / replicate_lanes, [&](Index group) {
    const Index first = group * replicate_lanes, count = std::min(replicate_lanes, options.replicates - first);
    std::vector<IntegerStream> stream;
    for (Index l = 0; l < count; ++l)
      stream.emplace_back(Philox(options.seed, Purpose::bootstrap, 0, static_cast<std::uint32_t>(first + l)));
    std::vector<std::vector<std::vector<double>>> scores(static_cast<std::size_t>(count));  // replicate, fold, score
    for (const FoldSamples& f : folds) {
      if (f.subjects() == 0) continue;
      const auto subjects = static_cast<std::size_t>(f.subjects()),
                 samples = static_cast<std::size_t>(f.subject_begin.back()),
                 lanes = static_cast<std::size_t>(replicate_lanes);
      std::vector<float> weight(samples * lanes, 0.0f), times(subjects), own(samples);
      for (std::size_t l = 0; l < static_cast<std::size_t>(count); ++l) {
        std::fill(times.begin(), times.end(), 0.0f);
        for (std::size_t s = 0; s < subjects; ++s) times[stream[l].next(subjects)] += 1.0f;
        for (std::size_t s = 0; s < subjects; ++s)
          for (std::int32_t i = f.subject_begin[s]; i < f.subject_begin[s + 1]; ++i)
            (f.scorer ? weight[static_cast<std::size_t>(i) * lanes + l] : own[static_cast<std::size_t>(i)]) = times[s];
        if (!f.scorer) scores[l].push_back(f.evaluate({}, f.target, own));
      }
      if (!f.scorer) continue;
      const auto made = evaluate_replicates(ctx.isa(), *f.scorer, f.label, weight.data());
      for (std::size_t l = 0; l < static_cast<std::size_t>(count); ++l)
        scores[l].emplace_back(made[l].begin(), made[l].end());
    }
    for (Index l = 0; l < count; ++l)
      draws[static_cast<std::size_t>(first + l)] = fold_mean(scores[static_cast<std::size_t>(l)]);
  });
  return draws;
}

/// The primary score of permuted labels.
template <std::same_as<Cpu> B>
std::vector<double> permuted_scores(Context<B>& ctx, const std::vector<FoldSamples>& folds, LabelExchange rule,
                                    const UncertaintyOptions& options) {
  std::vector<LabelDealer> dealer;
  std::vector<std::unique_ptr<RankSums>> ranks;
  for (const FoldSamples& f : folds) {
    dealer.emplace_back(f.subject_begin, rule);
    ranks.push_back(f.scorer && f.subjects() > 0 ? std::make_unique<RankSums>(*f.scorer) : nullptr);
  }
  std::vector<double> out(static_cast<std::size_t>(options.permutations));
  ctx.parallel(options.permutations, [&](Index b) {
    double sum = 0, defined = 0;
    std::vector<std::int32_t> label;
    std::vector<double> target;
    for (std::size_t f = 0; f < folds.size(); ++f) {
      if (folds[f].subjects() == 0) continue;
      const Philox rng(options.seed, Purpose::permutation, static_cast<std::uint32_t>(f),
                       static_cast<std::uint32_t>(b));
      double score = 0;
      if (ranks[f]) {
        dealer[f].deal(rng, folds[f].label, label);
        score = ranks[f]->auc(label);
      } else {
        dealer[f].deal(rng, folds[f].target, target);
        score = regression_scores(folds[f].values, target, folds[f].ones)[0];
      }
      if (!std::isfinite(score)) continue;
      sum += score;
      defined += 1;
    }
    out[static_cast<std::size_t>(b)] = defined > 0 ? sum / defined : not_a_number;
  });
  return out;
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

template <std::same_as<Cpu> B>
ScoreTable score_predictions(Context<B>& ctx, const Predictions& predictions, const UncertaintyOptions& options = {}) {
  const bool classification = predictions.classes > 0;
  const auto& names = score_names(classification);
  const std::vector<detail::FoldSamples> folds = detail::split_by_fold(predictions);
  if (folds.empty()) fail(ErrorKind::argument, "scores.empty", "scores: there are no held-out predictions");
  std::vector<std::vector<double>> per_fold;
  for (const auto& f : folds) {
    if (f.subjects() == 0) per_fold.emplace_back(names.size(), not_a_number);
    else per_fold.push_back(f.evaluate(f.label, f.target, f.ones));
  }

  ScoreTable table;
  const std::vector<double> mean = detail::fold_mean(per_fold);
  for (std::size_t m = 0; m < names.size(); ++m) {
    Score score;
    score.name = names[m];
    for (const auto& fold : per_fold) score.folds.push_back(fold[m]);
    score.mean = mean[m];
    if (const Moments finite = moments(score.folds | std::views::filter([](double v) { return std::isfinite(v); }));
        finite.count > 0)
      score.sd = finite.standard_deviation();
    table.scores.push_back(std::move(score));
  }

  if (options.replicates > 0) {
    const std::vector<std::vector<double>> draws = detail::bootstrap(ctx, folds, options);
    for (std::size_t m = 0; m < names.size(); ++m) {
      std::vector<double> values;
      for (const auto& draw : draws) values.push_back(draw[m]);
      table.scores[m].low = quantile(values, 0.5 - options.coverage / 2);
      table.scores[m].high = quantile(values, 0.5 + options.coverage / 2);
    }
  }

  if (options.permutations > 0 && std::isfinite(mean[0])) {
    table.exchange = detail::exchange_rule(folds);
    const double ways = std::exp(detail::log_label_sets(folds, table.exchange));
    if (ways < least_label_sets - 0.5) {
      table.warning = concat("no p-value: the labels can be exchanged in ", std::llround(ways), " ways, at least ",
                             least_label_sets, " are needed for p = 0.05");
      return table;
    }
    double as_good = 1;  // the labels as they are; an undefined score counts against the probe
    for (double p : detail::permuted_scores(ctx, folds, table.exchange, options)) as_good += !(p < mean[0] - 1e-12);
    table.p_value = as_good / (1 + static_cast<double>(options.permutations));
  }
  return table;
}

/// The same for predictions of another backend: the host's threads compute it, so the results are the CPU's.
template <Backend B>
  requires(!std::same_as<B, Cpu>)
ScoreTable score_predictions(Context<B>&, const Predictions& predictions, const UncertaintyOptions& options = {}) {
  Context<Cpu> host({.threads = options.replicates > 0 || options.permutations > 0 ? 0 : 1});
  return score_predictions(host, predictions, options);
}

}  // namespace braing3n::inline BRAING3N_ABI
