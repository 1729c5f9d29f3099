// Do samples have the requested labels? Scores of the predictions of probes (grouped_probe.hpp).
//
//   classes  recall of each class with Wilson's interval (Wilson 1927); balanced accuracy, the mean of the recalls, with the interval that
//            joins theirs: limits at distance sqrt(sum (p_i - l_i)^2) / K (Zou and Donner 2008)
//   numbers  r, slope (of the prediction on the requested value), bias, MAE; mean and standard deviation of the predictions
// Samples without conditions are compared with the training subjects: the share of each class among them, in the same mix of groups.
#pragma once

#include <array>
#include <cmath>
#include <set>
#include <span>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/probe/scores.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// hits of n, with Wilson's score interval at 95 %.
struct Rate {
  Index hits = 0, n = 0;

  double share() const { return n > 0 ? static_cast<double>(hits) / static_cast<double>(n) : not_a_number; }
  std::array<double, 2> interval() const {
    if (n == 0) return {not_a_number, not_a_number};
    constexpr double z = 1.959963984540054;
    const double count = static_cast<double>(n), p = share(), scale = 1 / (1 + z * z / count),
                 centre = scale * (p + z * z / (2 * count)),
                 half = scale * z * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count));
    return {hits == 0 ? 0.0 : centre - half, hits == n ? 1.0 : centre + half};
  }
};

struct ClassScore {
  std::vector<Rate> recall;  // per class

  /// NaN when a class has no rows.
  double balanced_accuracy() const {
    double sum = 0;
    for (const Rate& r : recall) sum += r.share() / static_cast<double>(recall.size());
    return sum;
  }
  std::array<double, 2> interval() const {
    const double mean = balanced_accuracy(), classes = static_cast<double>(recall.size());
    double down = 0, up = 0;
    for (const Rate& r : recall) {
      const auto [low, high] = r.interval();
      down += (r.share() - low) * (r.share() - low);
      up += (high - r.share()) * (high - r.share());
    }
    return {mean - std::sqrt(down) / classes, mean + std::sqrt(up) / classes};
  }
};

/// asked (requested), read (predicted), (n): classes from 0; -1 on either side leaves the row out. Throws Error (shape): lengths that differ.
inline ClassScore score_classes(std::span<const std::int32_t> asked, std::span<const std::int32_t> read,
                                Index classes) {
  if (asked.size() != read.size())
    fail(ErrorKind::shape, "controllability.length", "class score: ", asked.size(), " classes requested, ", read.size(),
         " predicted");
  ClassScore s{std::vector<Rate>(static_cast<std::size_t>(classes))};
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (asked[i] < 0 || read[i] < 0) continue;
    Rate& r = s.recall.at(static_cast<std::size_t>(asked[i]));
    r.n += 1;
    r.hits += asked[i] == read[i];
  }
  return s;
}

/// How often each class is predicted, whatever was requested.
inline std::vector<Rate> class_shares(std::span<const std::int32_t> read, Index classes) {
  std::vector<Rate> shares(static_cast<std::size_t>(classes));
  for (const std::int32_t k : read)
    if (k >= 0)
      for (std::size_t c = 0; c < shares.size(); ++c) {
        shares[c].n += 1;
        shares[c].hits += static_cast<std::size_t>(k) == c;
      }
  return shares;
}

struct NumberScore {
  Index n = 0;
  double r = not_a_number, slope = not_a_number, bias = not_a_number,
         mae = not_a_number;                      // against the requested values
  double mean = not_a_number, sd = not_a_number;  // of the predictions

  static void visit(auto& self, auto&& v) {
    v("n", self.n);
    v("r", self.r);
    v("slope", self.slope);
    v("bias", self.bias);
    v("mae", self.mae);
    v("mean", self.mean);
    v("sd", self.sd);
  }
};

/// read (n): predictions; asked (n): requested values, or empty. Rows whose prediction is NaN are left out. Throws Error (shape): lengths that differ.
inline NumberScore score_numbers(std::span<const double> asked, std::span<const double> read) {
  if (!asked.empty() && asked.size() != read.size())
    fail(ErrorKind::shape, "controllability.length", "number score: ", asked.size(), " numbers requested, ",
         read.size(), " predicted");
  std::vector<double> t, p;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (std::isnan(read[i]) || (!asked.empty() && std::isnan(asked[i]))) continue;
    p.push_back(read[i]);
    if (!asked.empty()) t.push_back(asked[i]);
  }
  NumberScore s;
  s.n = static_cast<Index>(p.size());
  if (s.n == 0) return s;
  const Moments m = moments(p);
  s.mean = m.mean, s.sd = m.sample_standard_deviation();
  if (t.empty()) return s;
  const auto scores = regression_scores(p, t, std::vector<float>(p.size(), 1.0f));
  s.mae = scores[1], s.r = scores[2], s.slope = scores[3], s.bias = scores[4];
  return s;
}

/// Weights of labelled rows under which every group counts the same: 1 / rows of its group, 0 for rows of other groups (group < 0 or not in
/// `groups`) and without a label. group, labelled (n).
inline std::vector<double> mix_weights(std::span<const std::int32_t> group, const std::vector<bool>& labelled,
                                       const std::set<std::int32_t>& groups) {
  std::vector<double> count, weight(group.size(), 0.0);
  const auto counts = [&](std::size_t i) { return group[i] >= 0 && labelled[i] && groups.contains(group[i]); };
  for (std::size_t i = 0; i < group.size(); ++i)
    if (counts(i)) {
      if (static_cast<std::size_t>(group[i]) >= count.size()) count.resize(static_cast<std::size_t>(group[i]) + 1, 0.0);
      count[static_cast<std::size_t>(group[i])] += 1;
    }
  for (std::size_t i = 0; i < group.size(); ++i)
    if (counts(i)) weight[i] = 1 / count[static_cast<std::size_t>(group[i])];
  return weight;
}

/// Shares of the classes among weighted rows; label < 0 does not count. NaN when nothing does.
inline std::vector<double> prior_shares(std::span<const std::int32_t> label, const std::vector<double>& weight,
                                        Index classes) {
  std::vector<double> share(static_cast<std::size_t>(classes), 0.0);
  double all = 0;
  for (std::size_t i = 0; i < label.size(); ++i)
    if (label[i] >= 0) {
      share.at(static_cast<std::size_t>(label[i])) += weight[i];
      all += weight[i];
    }
  for (double& s : share) s = all > 0 ? s / all : not_a_number;
  return share;
}

/// Mean and standard deviation of weighted numbers; NaN does not count.
inline std::array<double, 2> prior_numbers(std::span<const double> number, const std::vector<double>& weight) {
  Moments m;
  for (std::size_t i = 0; i < number.size(); ++i)
    if (!std::isnan(number[i])) m.add(number[i], weight[i]);
  if (!(m.count > 0)) return {not_a_number, not_a_number};
  return {m.mean, m.standard_deviation()};
}

}  // namespace braing3n::inline BRAING3N_ABI
