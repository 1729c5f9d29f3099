// The report of a panel: the table of scores, confounds, leaks, and a row of charts for every task.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "braing3n/report/panel_charts.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

inline void add_panel_alerts(HtmlPage& page, const PanelReport& report) {
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
}

inline std::string coverage_text(const PanelReport& report) {
  return concat(report.options.uncertainty.coverage * 100, " % interval");
}

inline std::vector<std::string> score_header(bool classification, bool several, const std::string& coverage) {
  std::vector<std::string> header{"task"};
  if (several) header.emplace_back("features");
  for (const char* h : {"volumes", "subjects"}) header.emplace_back(h);
  for (const char* h : classification
                           ? std::vector<const char*>{"AUC", "", "balanced accuracy", "average precision", "Brier", "p"}
                           : std::vector<const char*>{"R²", "", "MAE", "", "r", "bias", "p"})
    header.emplace_back(h[0] == '\0' ? coverage : h);
  header.emplace_back("converged");
  return header;
}

inline std::vector<std::string> score_row(const PanelRun& run, const TaskResult& r, bool several) {
  const bool classification = r.task.classification;
  std::vector<std::string> row{r.task.task.text};
  if (several) row.push_back(run.features);
  row.insert(row.end(), {concat(r.sample.size()), concat(r.subjects)});
  const ScoreTable& s = r.scores;
  if (classification)
    row.insert(row.end(), {with_sd(s["auc"]), interval_text(s["auc"]), decimals(s["balanced_accuracy"].mean),
                           decimals(s["average_precision"].mean), decimals(s["brier"].mean)});
  else
    row.insert(row.end(), {with_sd(s["r2"]), interval_text(s["r2"]), with_sd(s["mae"], 2), interval_text(s["mae"], 2),
                           decimals(s["pearson"].mean), decimals(s["bias"].mean, 2)});
  row.push_back(p_text(s.p_value));
  row.emplace_back(r.converged() ? "yes" : "!no");
  return row;
}

inline void add_panel_scores(HtmlPage& page, const PanelReport& report, bool several) {
  for (const bool classification : {true, false}) {
    std::vector<std::vector<std::string>> rows;
    const std::size_t tasks = report.runs.empty() ? 0 : report.runs[0].tasks.size();
    for (std::size_t t = 0; t < tasks; ++t)
      for (const PanelRun& run : report.runs) {
        const TaskResult& r = run.tasks[t];
        if (r.ok() && !r.confound && r.task.classification == classification)
          rows.push_back(score_row(run, r, several));
      }
    if (rows.empty()) continue;
    page.heading(classification ? "Classification" : "Regression");
    page.table(score_header(classification, several, coverage_text(report)), rows);
  }
  page.note(
      "Mean ± standard deviation over folds; intervals from a bootstrap over subjects within folds; p from exchanging "
      "labels between "
      "subjects.");
}

inline void add_panel_confounds(HtmlPage& page, const PanelReport& report, bool several) {
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
      const auto header = without_features({"confound", "features", "values", "AUC", coverage_text(report)}, known);
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
}

inline void add_panel_leaks(HtmlPage& page, const PanelReport& report) {
  if (report.leaks.empty()) return;
  page.heading("Leaks and conflicts");
  const std::vector<std::array<const char*, 3>> kinds{
      {"same_subject", "Subjects in two folds", "Their scans are on both sides of a split; the task was not done."},
      {"copied_volume", "Copied scans",
       "One scan under two names: on both sides of a split the prediction is a recognition. Copies within one subject "
       "stay in one fold, "
       "but count twice."},
      {"near_duplicate", "Nearly equal scans of different subjects",
       "Probably one subject in two cohorts, or one scan preprocessed twice."},
      {"label_conflict", "Subjects with two labels", "A subject whose state changed, or an error in the table."}};
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

inline void add_panel_notes(HtmlPage& page, const PanelReport& report, bool several) {
  std::vector<std::string> notes = report.warnings;
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks)
      for (const std::string& w : r.warnings)
        notes.push_back(concat(several ? run.features + ": " : "", r.task.task.text, ": ", w));
  if (!notes.empty()) {
    page.heading("Notes");
    page.list(notes);
  }
}

inline void add_panel_charts(HtmlPage& page, const PanelReport& report, bool several) {
  page.heading("Charts");
  for (const PanelRun& run : report.runs)
    for (const TaskResult& r : run.tasks) {
      if (!r.ok()) continue;
      page.subheading(several ? concat(r.task.task.text, ", ", run.features) : r.task.task.text);
      if (r.task.classification) page.charts({roc_chart(r), calibration_chart(r)});
      else page.charts(regression_charts(r));
    }
}

}  // namespace detail

/// A self-contained page.
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
  const bool several = report.runs.size() > 1;
  detail::add_panel_alerts(page, report);
  detail::add_panel_scores(page, report, several);
  detail::add_panel_confounds(page, report, several);
  detail::add_panel_leaks(page, report);
  detail::add_panel_notes(page, report, several);
  detail::add_panel_charts(page, report, several);
  return page.finish(
      concat("braing3n ", version(), ". Research use only: not a medical device, not for diagnosis or treatment."));
}

}  // namespace braing3n::inline BRAING3N_ABI
