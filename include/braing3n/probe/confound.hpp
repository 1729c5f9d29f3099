// What a score may owe to the site, the scanner or the modality.
//
// Three questions, per task and confound:
//   alone   how well does the confound predict the label without any image? (share of each class, or mean target, per site in
//           the training folds, scored on the held-out fold like a probe)
//   within  how good are the probe's held-out predictions inside single sites?
//   probe   how well do the features know the confound itself? (a task of the panel like any other)
// A probe is suspicious when the confound alone explains most of its score and little of it remains within sites.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/probe/panel.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Column names that usually hold something the label should not be confused with.
inline const std::vector<std::string>& usual_confounds() {
  static const std::vector<std::string> names{"site",   "scanner",      "scanner_id",     "ScannerSerialNumber",
                                              "vendor", "manufacturer", "field_strength", "modality",
                                              "cohort"};
  return names;
}

struct SiteScore {
  std::string value;
  Index rows = 0;
  double score = not_a_number;
};

struct ConfoundScore {
  std::string confound;
  double alone = not_a_number;   // primary score of the confound without features
  double within = not_a_number;  // mean primary score inside its values
  std::vector<SiteScore> sites;
  bool suspicious = false;
};

/// confound: code per row of the panel (-1: unknown), names: of the codes. Values with fewer than `least_rows` rows are not scored.
inline ConfoundScore score_confound(const TaskResult& task, const std::string& name,
                                    const std::vector<std::int32_t>& confound, const std::vector<std::string>& names,
                                    Index least_rows = 20) {
  ConfoundScore out;
  out.confound = name;
  const Predictions& p = task.predictions;
  const auto width = static_cast<std::size_t>(std::max<Index>(p.classes, 1));
  const std::size_t n = task.sample.size(), values = names.size();
  const std::int32_t folds = n == 0 ? 0 : *std::max_element(p.fold.begin(), p.fold.end()) + 1;
  const auto code = [&](std::size_t k) {
    return static_cast<std::size_t>(confound[static_cast<std::size_t>(task.sample[k])] + 1);
  };  // 0: unknown
  const auto primary = [&](const xt::xtensor<double, 2>& prediction, const std::vector<std::size_t>& members) {
    const std::vector<float> ones(members.size(), 1.0f);
    std::vector<double> v, t;
    std::vector<std::int32_t> y;
    for (std::size_t k : members) {
      const std::span<const double> row = row_of(prediction, static_cast<Index>(k));
      v.insert(v.end(), row.begin(), row.end());
      if (p.classes > 0) y.push_back(p.label[k]);
      else t.push_back(p.target[k]);
    }
    return p.classes > 0 ? ClassificationScorer(v, p.classes).evaluate(y, ones)[0] : regression_scores(v, t, ones)[0];
  };

  xt::xtensor<double, 2> alone = zero_matrix<double>(static_cast<Index>(n), static_cast<Index>(width));
  std::vector<double> fold_scores;
  for (std::int32_t f = 0; f < folds; ++f) {
    std::vector<std::vector<double>> sum(values + 1, std::vector<double>(width, 0.0));
    std::vector<double> total(width, 0.0), count(values + 1, 0.0);
    double all = 0;
    std::vector<std::size_t> held;
    for (std::size_t k = 0; k < n; ++k) {
      if (p.fold[k] == f) {
        held.push_back(k);
        continue;
      }
      const std::size_t j = p.classes > 0 ? static_cast<std::size_t>(p.label[k]) : 0;
      const double value = p.classes > 0 ? 1.0 : p.target[k];
      sum[code(k)][j] += value;
      total[j] += value;
      count[code(k)] += 1;
      all += 1;
    }
    for (std::size_t k : held)  // one row's worth of the overall mean keeps empty and tiny sites sane
      for (std::size_t j = 0; j < width; ++j) alone(k, j) = (sum[code(k)][j] + total[j] / all) / (count[code(k)] + 1.0);
    if (!held.empty()) fold_scores.push_back(primary(alone, held));
  }
  double defined = 0, sum = 0;
  for (double s : fold_scores)
    if (std::isfinite(s)) {
      sum += s;
      defined += 1;
    }
  if (defined > 0) out.alone = sum / defined;

  // Classification: mean over sites, weighted by size. Regression: squared errors of all sites against the spread within sites,
  // since R2 of a site where everybody is of one age says nothing.
  double rows = 0, weighted = 0, residual = 0, spread = 0;
  for (std::size_t v = 0; v < values; ++v) {
    std::vector<std::size_t> members;
    for (std::size_t k = 0; k < n; ++k)
      if (code(k) == v + 1) members.push_back(k);
    SiteScore site{names[v], static_cast<Index>(members.size()), not_a_number};
    if (site.rows >= least_rows) site.score = primary(p.values, members);
    if (p.classes == 0 && site.rows >= least_rows) {
      for (std::size_t k : members) residual += (p.values(k, 0) - p.target[k]) * (p.values(k, 0) - p.target[k]);
      spread += moments(members, [&](std::size_t k) { return p.target[k]; }).squares;
    }
    if (std::isfinite(site.score)) {
      rows += static_cast<double>(site.rows);
      weighted += static_cast<double>(site.rows) * site.score;
    }
    if (site.rows > 0) out.sites.push_back(site);
  }
  if (p.classes > 0 && rows > 0) out.within = weighted / rows;
  if (p.classes == 0 && spread > 0) out.within = 1.0 - residual / spread;
  const double chance = p.classes > 0 ? 0.5 : 0.0,
               gain = task.scores.scores.empty() ? 0.0 : task.scores.scores[0].mean - chance;
  out.suspicious =
      gain > 0.1 && out.alone - chance > 0.5 * gain && (!std::isfinite(out.within) || out.within - chance < 0.5 * gain);
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
