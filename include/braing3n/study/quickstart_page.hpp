// The page of the quickstart: the results of every step of a small pipeline on phantoms, with the commands.
//
// Read from the folder of the pipeline: cohort/cohort.json, cohort.png, reconstructions/, probes/panel.csv, samples/, sweep/, forecasting/forecasting.csv,
// follow_ups/montage.png, and the logs and pictures of the runs mae/, tokenizer/, dit/ and forecaster/.
#pragma once

#include <algorithm>
#include <filesystem>
#include <functional>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/eval/subject_bootstrap.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/report/curves.hpp"
#include "braing3n/report/html_page.hpp"
#include "braing3n/study/forecast_readings.hpp"
#include "braing3n/study/panel_rows.hpp"
#include "braing3n/study/steps.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct QuickstartOptions {
  std::filesystem::path folder;
  Index scans = 0, unseen = 0;  // of the cohort; kept out of every training
  std::uint64_t seed = 2025;
  bool smoke = false;                              // too short to learn anything
  std::function<std::string(double)> clock_text =  // seconds as the steps' times are shown
      [](double seconds) { return concat(decimals(seconds, 0), " s"); };
};

struct QuickstartResult {
  std::string page;           // HTML
  std::string distribution;   // of the phantoms; empty where their cohort is not in the folder
  double psnr = 0, ssim = 0;  // dB; means over the unseen subjects, whole volumes
  Named<StepTime> steps;

  static void visit(auto& self, auto&& v) {
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("psnr", self.psnr);
    v("ssim", self.ssim);
    v("steps", self.steps);
  }
};

/// The losses in the log of a run's folder.
inline Chart training_curves(const std::filesystem::path& folder, const std::string& title) {
  Curve training{"training", series_colour(5), {}}, validation{"validation", series_colour(1), {}};
  std::istringstream lines(read_text(folder / "log.jsonl"));
  for (std::string line; std::getline(lines, line);) {
    const Json json = parse_json(line, "log.jsonl");
    if (!json.contains("loss") || !json["loss"].is_number()) continue;
    (json["event"] == "step" ? training : validation)
        .points.push_back({json["step"].get<double>(), json["loss"].get<double>()});
  }
  return curve_chart(title, {training, validation});
}

/// Writes the page part by part.
class QuickstartPage {
 public:
  QuickstartPage(const QuickstartOptions& options, const std::string& distribution)
      : options_(&options),
        page_("braing3n quickstart",
              concat(options.scans, " synthetic heads", distribution.empty() ? "" : " (" + distribution + ")",
                     " of 40 x 48 x 40 voxels of 4 mm; ", options.unseen, " of them unseen; seed ", options.seed,
                     options.smoke ? "; a smoke run, too short to learn anything" : "")) {
    page_.note("Every head on this page is synthetic. Research use only: not a medical device.");
    picture("cohort.png", "The first heads of the synthetic cohort");
  }

  /// Takes the mean scores into the result.
  void add_reconstructions(QuickstartResult& result) {
    page_.heading("Reconstructions of unseen subjects");
    const CsvTable scores(options_->folder / "reconstructions" / "scores.csv");
    std::vector<std::vector<std::string>> rows;
    std::vector<double> sums(8, 0.0);
    const auto cell = [](double v, std::size_t score) { return decimals(v, score % 4 < 2 ? 2 : 3); };
    for (std::size_t r = 0; r < scores.rows(); ++r) {
      rows.push_back({std::string(scores.cell(r, 0))});
      for (std::size_t c = 0; c < sums.size(); ++c) {
        const double v = scores.number(r, c + 1).value_or(std::numeric_limits<double>::quiet_NaN());
        sums[c] += v / static_cast<double>(scores.rows());
        rows.back().push_back(cell(v, c));
      }
    }
    rows.push_back({"mean"});
    for (std::size_t c = 0; c < sums.size(); ++c) rows.back().push_back(cell(sums[c], c));
    for (std::size_t r = 0; r < std::min<std::size_t>(3, scores.rows()); ++r) {
      const std::string id(scores.cell(r, 0));
      picture("reconstructions/" + id + "_RECONSTRUCTION.png",
              id + ": input, reconstruction from 150 x 32 values, difference");
    }
    page_.table({"volume", "PSNR (max-min), dB", "PSNR (99.5%), dB", "SSIM", "MAE", "brain: PSNR (max-min), dB",
                 "PSNR (99.5%), dB", "SSIM", "MAE"},
                rows);
    page_.note("Scores are taken on the model's grid in z-scored intensities; docs/encode-my-scans.md defines them.");
    result.psnr = sums[0];
    result.ssim = sums[2];
  }

  void add_probes() {
    page_.heading("Probes on the features");
    const auto number = [](const std::optional<double>& v) { return v ? decimals(*v, 3) : std::string(); };
    std::vector<std::vector<std::string>> rows;
    for (const PanelRow& p : read_panel_rows(options_->folder / "probes" / "panel.csv"))
      rows.push_back(
          {p.task, p.subjects, number(p.auc), number(p.balanced_accuracy), number(p.pearson), number(p.mae)});
    page_.table({"task", "subjects", "AUC", "balanced accuracy", "r", "MAE"}, rows);
    page_.note(
        "Linear probes, cross-validated with all scans of a subject in one fold; probes/report.html has intervals, "
        "curves and "
        "checks.");
  }

  void add_samples() {
    page_.heading("Synthetic samples");
    picture("samples/montage.png", "Four samples: healthy women of 35");
    picture("sweep/montage.png", "Two of them at 30, 55 and 80 from the same noise; below, the differences to 30");
  }

  /// Skill over "nothing changes" of every forecaster, by quantity.
  void add_forecasts() {
    page_.heading("Forecasts of follow-ups");
    const CsvTable scores(options_->folder / "forecasting" / "forecasting.csv");
    const auto cell = [&](std::size_t row, const char* column) { return scores.cell(row, scores.column(column)); };
    const auto number = [&](std::size_t row, const char* column) {
      return scores.number(row, scores.column(column)).value_or(not_a_number);
    };
    // A row per forecaster and a column per quantity, in the file's order; a score that is not defined has no line.
    std::vector<std::string> header{"skill over \"nothing changes\""};
    std::vector<std::vector<std::string>> rows;
    const auto place = [](auto& list, const std::string& name, const auto& name_of) {
      const auto found = std::find_if(list.begin(), list.end(), [&](const auto& e) { return name_of(e) == name; });
      const auto at = static_cast<std::size_t>(found - list.begin());
      if (found == list.end()) list.push_back({name});
      return at;
    };
    for (std::size_t r = 0; r < scores.rows(); ++r) {
      if (cell(r, "band") != "all" || cell(r, "score") != "skill_locf") continue;
      const std::string quantity = quantity_words(std::string(cell(r, "quantity")), std::string(cell(r, "unit")));
      const std::size_t row = place(rows, std::string(cell(r, "forecaster")), [](const auto& e) { return e[0]; }),
                        column = place(header, quantity, [](const auto& e) { return e; });
      std::vector<std::string>& to = rows[row];
      to.resize(std::max(to.size(), column + 1));
      to[column] = estimate_text({number(r, "value"), number(r, "low"), number(r, "high")});
    }
    for (std::vector<std::string>& row : rows) row.resize(header.size());
    if (rows.empty()) page_.note("Too few unseen subjects for scores.");
    else page_.table(header, rows);
    page_.note(
        "From the first visit of unseen subjects to the second, six years later. Skill: 1 - squared error over that of "
        "the last value; in brackets 95 % intervals over subjects. The oracle knows all that the first visit could "
        "tell; the round trip is the second visit itself, read as the forecasts are. forecasting/tables.txt has more, "
        "docs/forecast.md defines it.");
    picture("follow_ups/montage.png",
            "Follow-ups of an unseen subject, differences to its scan, and what probes read in them");
  }

  void add_trainings() {
    page_.heading("Training");
    const std::filesystem::path& folder = options_->folder;
    page_.charts({training_curves(folder / "mae", "Phase 1: error of masked patches"),
                  training_curves(folder / "tokenizer", "Phase 2: mean absolute error"),
                  training_curves(folder / "dit", "Transformer: error of the velocity"),
                  training_curves(folder / "forecaster", "Forecaster: error of the rate")});
    picture("mae/preview.png",
            "Phase 1: a validation head, its visible patches, and the prediction of the masked patches");
  }

  void add_steps(const StepTimes& steps) {
    page_.heading("Commands");
    for (const auto& [title, step] : steps.all()) {
      page_.subheading(title + ", " + options_->clock_text(step.seconds));
      page_.command(step.command);
    }
    page_.paragraph("Total " + options_->clock_text(steps.seconds()) + ".");
  }

  std::string finish() { return page_.finish(concat("braing3n ", version(), " quickstart")); }

 private:
  void picture(const std::string& name, const std::string& caption) {
    page_.picture(read_text(options_->folder / name), caption);
  }

  const QuickstartOptions* options_;
  HtmlPage page_;
};

/// Collects the results of the steps. Throws Error (file, format) for a result that is not there.
inline QuickstartResult run(const QuickstartOptions& options, const StepTimes& steps, Observer& observer) {
  observer.check_interrupt();
  QuickstartResult r;
  r.steps = steps.all();
  r.distribution = phantom::distribution_name_beside(options.folder / "cohort" / "volumes.csv");
  QuickstartPage page(options, r.distribution);
  page.add_reconstructions(r);
  page.add_probes();
  page.add_samples();
  page.add_forecasts();
  page.add_trainings();
  page.add_steps(steps);
  r.page = page.finish();
  return r;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
