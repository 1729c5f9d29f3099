// The page of a panel: what stands in it for one table of features and for several.
#include "braing3n/report/panel_page.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

using namespace braing3n;

namespace {

Score score(const std::string& name, double mean) {
  Score s{.name = name, .folds = {mean, mean}};
  s.mean = mean, s.sd = 0.01, s.low = mean - 0.1, s.high = mean + 0.1;
  return s;
}

TaskResult classification(const std::string& text) {
  TaskResult r;
  r.task.task.text = r.task.task.column = text;
  r.task.classification = true;
  r.task.classes = {"F", "M"};
  r.sample = {0, 1, 2, 3};
  r.subjects = 4;
  r.predictions.classes = 2;
  r.predictions.values = matrix_of<double>(2, {0.9, 0.1, 0.2, 0.8, 0.6, 0.4, 0.3, 0.7});
  r.predictions.label = {0, 1, 0, 1};
  for (const char* name : {"auc", "balanced_accuracy", "average_precision", "brier", "calibration_error"})
    r.scores.scores.push_back(score(name, 0.8));
  r.scores.p_value = 0.0004;
  return r;
}

TaskResult regression() {
  TaskResult r;
  r.task.task.text = r.task.task.column = "age";
  r.sample = {0, 1, 2};
  r.subjects = 3;
  r.predictions.values = matrix_of<double>(1, {30, 41, 52});
  r.predictions.target = {31, 40, 50};
  for (const char* name : {"r2", "mae", "pearson", "bias", "slope"}) r.scores.scores.push_back(score(name, 0.7));
  return r;
}

PanelRun run(const std::string& features) {
  PanelRun run;
  run.features = features;
  run.rows = 4, run.columns = 7;
  TaskResult failed = classification("disease"), site = classification("site");
  failed.error = "one class only";
  site.confound = true;
  run.tasks = {classification("sex"), regression(), failed, site};
  run.tasks[0].warnings = {"few rows"};
  ConfoundScore c;
  c.confound = "site", c.alone = 0.75, c.within = 0.5, c.suspicious = true;
  run.confounds = {{c}, {}, {}, {}};
  return run;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++n;
  return n;
}

}  // namespace

TEST_CASE("panel page: scores, failures, confounds, leaks, notes and charts") {
  PanelReport report;
  report.runs = {run("encoder.csv")};
  report.leaks = {{"copied_volume", "a and b are the same scan"}};
  report.warnings = {"3 rows have no labels"};
  const std::string page = panel_html(report);
  for (const char* text :
       {"encoder.csv (4 rows, 7 features)", "site alone reaches 0.750 of the probe&#39;s 0.800", "1 possible leak",
        "<h2>Classification</h2>", "0.800 ± 0.010", "0.700 to 0.900", "&lt; 0.001", "<h2>Regression</h2>",
        "<h2>Not done</h2>", "one class only", "<h2>Site, scanner and modality</h2>", "Copied scans (1)",
        "a and b are the same scan", "sex: few rows", "3 rows have no labels", "ROC of held-out predictions",
        "Calibration, not corrected", "Error against the truth", "Research use only"})
    CHECK_MESSAGE(page.find(text) != std::string::npos, text);
  CHECK(page.find("<th>features</th>") == std::string::npos);  // one table needs no name in every row
  CHECK(count(page, "<svg") == 2 * 3);                         // of all tasks but the one that was not done

  report.runs.push_back(run("other.csv"));
  const std::string both = panel_html(report);
  CHECK(count(both, "<th>features</th>") == 4);  // two tables of scores, the failures, the confounds
  CHECK(both.find("other.csv: sex: few rows") != std::string::npos);
  CHECK(both.find("sex, other.csv") != std::string::npos);
  CHECK(count(both, "<svg") == 4 * 3);
}

TEST_CASE("panel page: without confounds it says that nothing can be said") {
  PanelReport report;
  report.runs = {run("x.csv")};
  report.runs[0].tasks = {regression()};
  report.runs[0].confounds = {{}};
  const std::string page = panel_html(report);
  CHECK(page.find("nothing can be said about confounds") != std::string::npos);
  CHECK(page.find("Leaks and conflicts") == std::string::npos);
  CHECK(page.find("<h2>Classification</h2>") == std::string::npos);
}
