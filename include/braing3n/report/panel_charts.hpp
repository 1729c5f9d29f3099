// Charts of one task of a panel: ROC and calibration of a classification, predictions and errors of a regression.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/probe/panel_files.hpp"
#include "braing3n/report/html_page.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline std::string with_sd(const Score& s, int places = 3) {
  return decimals(s.mean, places) + " ± " + decimals(s.sd, places);
}
inline std::string interval_text(const Score& s, int places = 3) {
  return std::isfinite(s.low) ? decimals(s.low, places) + " to " + decimals(s.high, places) : "-";
}
inline std::string p_text(double p) {
  if (!std::isfinite(p)) return "-";
  return p < 0.001 ? "< 0.001" : decimals(p, 3);
}

namespace detail {

/// Every n-th element, at most `most` of them.
template <class T>
std::vector<T> thinned(const std::vector<T>& items, std::size_t most) {
  if (items.size() <= most) return items;
  std::vector<T> out;
  for (std::size_t i = 0; i < most; ++i) out.push_back(items[i * (items.size() - 1) / (most - 1)]);
  return out;
}

inline std::vector<double> class_probability(const Predictions& p, Index k) {
  std::vector<double> out;
  for (std::size_t i = 0; i < p.label.size(); ++i) out.push_back(p.values(i, k));
  return out;
}

}  // namespace detail

inline Chart roc_chart(const TaskResult& r) {
  Chart chart("ROC of held-out predictions", "false positive rate", "true positive rate", {0, 1}, {0, 1});
  chart.line({{0, 0}, {1, 1}}, "#8a96a3", true, 1.0);
  const Predictions& p = r.predictions;
  const Index first = p.classes == 2 ? 1 : 0;
  for (Index k = first; k < std::min<Index>(p.classes, 6); ++k) {
    std::vector<std::int32_t> own;
    for (std::int32_t y : p.label) own.push_back(y == k);
    const std::vector<double> score = detail::class_probability(p, k);
    const char* colour = series_colour(static_cast<std::size_t>(k - first));
    chart.line(detail::thinned(roc_curve(score, own), 240), colour);
    chart.legend(concat(r.task.classes[static_cast<std::size_t>(k)], ": AUC ", decimals(roc_auc(score, own), 3)),
                 colour);
  }
  return chart;
}

inline Chart calibration_chart(const TaskResult& r) {
  const Predictions& p = r.predictions;
  const bool binary = p.classes == 2;
  Chart chart("Calibration, not corrected",
              binary ? concat("predicted probability of ", r.task.classes[1]) : "confidence in the chosen class",
              binary ? "observed share" : "share that is right", {0, 1}, {0, 1});
  chart.line({{0, 0}, {1, 1}}, "#8a96a3", true, 1.0);
  std::array<double, 10> weight{}, confidence{}, right{};
  for (std::size_t i = 0; i < p.label.size(); ++i) {
    const std::span<const double> row = row_of(p.values, static_cast<Index>(i));
    const auto k = binary ? std::size_t{1} : static_cast<std::size_t>(std::ranges::max_element(row) - row.begin());
    const auto bin = static_cast<std::size_t>(std::min(9.0, row[k] * 10.0));
    weight[bin] += 1;
    confidence[bin] += row[k];
    right[bin] += static_cast<std::size_t>(p.label[i]) == k;
  }
  std::vector<Chart::Point> line;
  for (std::size_t b = 0; b < 10; ++b)
    if (weight[b] > 0) line.push_back({confidence[b] / weight[b], right[b] / weight[b]});
  chart.line(line, series_colour(0), false, 1.2);
  for (std::size_t b = 0, k = 0; b < 10; ++b)
    if (weight[b] > 0)
      chart.dot(line[k++], series_colour(0), 2.0 + 5.0 * std::sqrt(weight[b] / static_cast<double>(p.label.size())));
  chart.legend(concat("error ", decimals(r.scores["calibration_error"].mean, 3)), series_colour(0));
  return chart;
}

inline std::vector<Chart> regression_charts(const TaskResult& r) {
  const Predictions& p = r.predictions;
  const auto [low_t, high_t] = std::minmax_element(p.target.begin(), p.target.end());
  const auto [low_p, high_p] = std::ranges::minmax_element(elements_of(p.values));
  const double low = std::min(*low_t, *low_p), high = std::max(*high_t, *high_p), margin = 0.04 * (high - low) + 1e-9;
  const std::string& name = r.task.task.column;
  Chart scatter("Held-out predictions", concat("true ", name), concat("predicted ", name),
                {low - margin, high + margin}, {low - margin, high + margin});
  std::vector<Chart::Point> points, gaps;
  for (std::size_t i = 0; i < p.target.size(); ++i) {
    points.push_back({p.target[i], p.values(i, 0)});
    gaps.push_back({p.target[i], p.values(i, 0) - p.target[i]});
  }
  const std::size_t most = 1500;
  scatter.dots(detail::thinned(points, most), series_colour(0), 1.9, 0.45);
  scatter.line({{low, low}, {high, high}}, "#8a96a3", true, 1.2);
  scatter.legend(concat("R² ", decimals(r.scores["r2"].mean, 3), "   MAE ", decimals(r.scores["mae"].mean, 2)),
                 series_colour(0));
  scatter.legend("dashed: prediction = truth", "#8a96a3");
  double worst = 0;
  for (const auto& g : gaps) worst = std::max(worst, std::abs(g[1]));
  Chart gap("Error against the truth", concat("true ", name), "predicted - true", {low - margin, high + margin},
            {-1.05 * worst, 1.05 * worst});
  gap.dots(detail::thinned(gaps, most), series_colour(1), 1.9, 0.45);
  gap.line({{low, 0}, {high, 0}}, "#8a96a3", true, 1.2);
  gap.legend(concat("bias ", decimals(r.scores["bias"].mean, 2), "   slope ", decimals(r.scores["slope"].mean, 2)),
             series_colour(1));
  return {scatter, gap};
}

}  // namespace braing3n::inline BRAING3N_ABI
