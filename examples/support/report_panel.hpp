// The report of a panel: the table of scores, confounds, leaks, and a row of charts for every task.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/probe/panel_files.hpp"
#include "braing3n/report/html_page.hpp"

namespace braing3n::examples {

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

inline Chart roc_chart(const TaskResult& r) {
  Chart chart("ROC of held-out predictions", "false positive rate", "true positive rate", {0, 1}, {0, 1});
  chart.line({{0, 0}, {1, 1}}, "#8a96a3", true, 1.0);
  const Predictions& p = r.predictions;
  const Index first = p.classes == 2 ? 1 : 0;
  for (Index k = first; k < std::min<Index>(p.classes, 6); ++k) {
    std::vector<std::int32_t> own;
    for (std::int32_t y : p.label) own.push_back(y == k);
    const std::vector<double> score = class_probability(p, k);
    const char* colour = series_colour(static_cast<std::size_t>(k - first));
    chart.line(thinned(roc_curve(score, own), 240), colour);
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
  scatter.dots(thinned(points, most), series_colour(0), 1.9, 0.45);
  scatter.line({{low, low}, {high, high}}, "#8a96a3", true, 1.2);
  scatter.legend(concat("R² ", decimals(r.scores["r2"].mean, 3), "   MAE ", decimals(r.scores["mae"].mean, 2)),
                 series_colour(0));
  scatter.legend("dashed: prediction = truth", "#8a96a3");
  double worst = 0;
  for (const auto& g : gaps) worst = std::max(worst, std::abs(g[1]));
  Chart gap("Error against the truth", concat("true ", name), "predicted - true", {low - margin, high + margin},
            {-1.05 * worst, 1.05 * worst});
  gap.dots(thinned(gaps, most), series_colour(1), 1.9, 0.45);
  gap.line({{low, 0}, {high, 0}}, "#8a96a3", true, 1.2);
  gap.legend(concat("bias ", decimals(r.scores["bias"].mean, 2), "   slope ", decimals(r.scores["slope"].mean, 2)),
             series_colour(1));
  return {scatter, gap};
}

inline std::string panel_html(const PanelReport& report) {
  const PanelOptions& o = report.options;
  const std::string sources = joined(report.runs, "; ", [](const PanelRun& run) {
    return concat(run.features, " (", run.rows, " rows, ", run.columns, " features)");
  });
  HtmlPage page(
      "Linear probes",
      concat(sources, ". ", o.folds.folds, " folds with whole subjects, seed ", o.folds.seed,
             o.standardize ? ", standardised inside the fold" : "",
             o.select ? ", penalty chosen by inner folds" : concat(", C = ", o.C, ", alpha = ", o.alpha), "."));
  std::vector<std::string> urgent;
  for (const PanelRun& run : report.runs)
    for (std::size_t t = 0; t < run.tasks.size(); ++t)
      for (const ConfoundScore& c : run.confounds[t])
        if (c.suspicious)
          urgent.push_back(concat(run.tasks[t].task.task.text, ": ", c.confound, " alone reaches ", decimals(c.alone),
                                  " of the probe's ", decimals(run.tasks[t].scores.scores[0].mean), "; within ",
                                  c.confound, " the probe reaches ", decimals(c.within),
                                  ". The score may be that of the ", c.confound, "."));
  for (const std::string& text : urgent) page.alert(text);
  if (!report.leaks.empty())
    page.alert(
        concat(report.leaks.size(),
               report.leaks.size() == 1 ? " possible leak or label conflict" : " possible leaks or label conflicts",
               " found, listed below."));

  const bool several = report.runs.size() > 1;
  const std::string coverage = concat(o.uncertainty.coverage * 100, " % interval");
  for (bool classification : {true, false}) {
    std::vector<std::string> header{"task"};
    if (several) header.emplace_back("features");
    for (const char* h : {"volumes", "subjects"}) header.emplace_back(h);
    for (const char* h :
         classification ? std::vector<const char*>{"AUC", "", "balanced accuracy", "average precision", "Brier", "p"}
                        : std::vector<const char*>{"R²", "", "MAE", "", "r", "bias", "p"})
      header.emplace_back(h[0] == '\0' ? coverage : h);
    header.emplace_back("converged");
    std::vector<std::vector<std::string>> rows;
    const std::size_t tasks = report.runs.empty() ? 0 : report.runs[0].tasks.size();
    for (std::size_t t = 0; t < tasks; ++t)
      for (const PanelRun& run : report.runs) {
        const TaskResult& r = run.tasks[t];
        if (!r.ok() || r.confound || r.task.classification != classification) continue;
        std::vector<std::string> row{r.task.task.text};
        if (several) row.push_back(run.features);
        row.insert(row.end(), {concat(r.sample.size()), concat(r.subjects)});
        const ScoreTable& s = r.scores;
        if (classification)
          row.insert(row.end(), {with_sd(s["auc"]), interval_text(s["auc"]), decimals(s["balanced_accuracy"].mean),
                                 decimals(s["average_precision"].mean), decimals(s["brier"].mean)});
        else
          row.insert(row.end(), {with_sd(s["r2"]), interval_text(s["r2"]), with_sd(s["mae"], 2),
                                 interval_text(s["mae"], 2), decimals(s["pearson"].mean), decimals(s["bias"].mean, 2)});
        row.push_back(p_text(s.p_value));
        row.emplace_back(r.converged() ? "yes" : "!no");
        rows.push_back(std::move(row));
      }
    if (rows.empty()) continue;
    page.heading(classification ? "Classification" : "Regression");
    page.table(header, rows);
  }
  page.note(
      "Mean ± standard deviation over folds; intervals from a bootstrap over subjects within folds; p from exchanging "
      "labels between "
      "subjects.");

  std::vector<std::vector<std::string>> failed, known, confounded;
  for (const PanelRun& run : report.runs)
    for (std::size_t t = 0; t < run.tasks.size(); ++t) {
      const TaskResult& r = run.tasks[t];
      if (!r.ok()) failed.push_back({r.task.task.text, several ? run.features : "", r.error});
      else if (r.confound)
        known.push_back({r.task.task.text, several ? run.features : "",
                         concat(r.task.classification ? r.task.classes.size() : 0), with_sd(r.scores.scores[0]),
                         interval_text(r.scores.scores[0])});
      for (const ConfoundScore& c : run.confounds[t])
        if (r.ok() && !r.confound)
          confounded.push_back({r.task.task.text, c.confound, decimals(r.scores.scores[0].mean), decimals(c.alone),
                                decimals(c.within), c.suspicious ? "!yes" : "no"});
    }
  const auto without_features = [several](std::vector<std::string> header,
                                          std::vector<std::vector<std::string>>& rows) {
    if (several) return header;
    header.erase(header.begin() + 1);
    for (auto& row : rows) row.erase(row.begin() + 1);
    return header;
  };
  if (!failed.empty()) {
    page.heading("Not done");
    const auto header = without_features({"task", "features", "why"}, failed);
    page.table(header, failed);
  }
  page.heading("Site, scanner and modality");
  if (known.empty() && confounded.empty()) {
    page.paragraph(
        "The label table has no site, scanner or modality column with two values or more, so nothing can be said about "
        "confounds.");
  } else {
    if (!known.empty()) {
      page.paragraph(
          "How well the same features tell the confound itself (AUC). A high value is a warning: whatever differs "
          "between sites can pass "
          "for biology.");
      const auto header = without_features({"confound", "features", "values", "AUC", coverage}, known);
      page.table(header, known);
    }
    if (!confounded.empty()) {
      page.paragraph(
          "Score (AUC or R²) of the probe, of the confound alone without any image, and of the probe inside single "
          "values of the "
          "confound.");
      page.table({"task", "confound", "probe", "confound alone", "within", "suspicious"}, confounded);
    }
  }
  if (!report.leaks.empty()) {
    page.heading("Leaks and conflicts");
    const std::vector<std::array<const char*, 3>> kinds{
        {"same_subject", "People in two folds", "Their scans are on both sides of a split; the task was not done."},
        {"copied_volume", "Copied scans",
         "One scan under two names: on both sides of a split it is recognised, not predicted. Copies within one person "
         "stay in one fold, "
         "but count twice."},
        {"near_duplicate", "Nearly equal scans of different people",
         "Probably one person in two cohorts, or one scan prepared twice."},
        {"label_conflict", "People with two labels", "A person whose state changed, or a mistake in the table."}};
    for (const auto& [kind, title, meaning] : kinds) {
      std::vector<std::string> items;
      for (const Leak& leak : report.leaks)
        if (leak.kind == kind) items.push_back(leak.sentence);
      if (items.empty()) continue;
      page.subheading(concat(title, " (", items.size(), ')'));
      page.note(meaning);
      page.list(items, 8);
    }
  }
  std::vector<std::string> notes = report.warnings;
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks)
      for (const std::string& w : r.warnings)
        notes.push_back(concat(several ? run.features + ": " : "", r.task.task.text, ": ", w));
  if (!notes.empty()) {
    page.heading("Notes");
    page.list(notes);
  }

  page.heading("Charts");
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks) {
      if (!r.ok()) continue;
      page.subheading(several ? concat(r.task.task.text, ", ", run.features) : r.task.task.text);
      if (r.task.classification) page.charts({roc_chart(r), calibration_chart(r)});
      else page.charts(regression_charts(r));
    }
  return page.finish(
      concat("braing3n ", version(), ". Research use only: not a medical device, not for diagnosis or treatment."));
}

}  // namespace braing3n::examples
