// The study of a tokenizer against simpler codes and an untrained encoder: its split and its result.
//
// The steps (both phases, the control on an untrained encoder, the evaluation, with phantoms the probes) are run by the caller, who
// decides how; their reports lie in one folder: evaluation/tables.txt, probes/panel.csv; with phantoms cohort/cohort.json.
#pragma once

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include "braing3n/data/manifest.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/format/csv_writer.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/study/panel_rows.hpp"
#include "braing3n/study/steps.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

struct TokenizerStudyOptions {
  std::filesystem::path folder;  // of the reports
  Index probe_subjects = 0;      // further subjects on whom probes are scored; 0: no probes
};

struct TokenizerStudyResult {
  std::string tables;        // of the evaluation, as text
  std::string distribution;  // of the phantoms; empty without them
  Index probe_subjects = 0;
  std::vector<PanelRow> probes;
  Named<StepTime> steps;

  static void visit(auto& self, auto&& v) {
    v("tables", self.tables);
    if (!self.distribution.empty()) v("phantom_distribution", self.distribution);
    v("probe_subjects", self.probe_subjects);
    v("probes", self.probes);
    v("steps", self.steps);
  }
};

/// `held_out` subjects are test subjects, `validation` others validation subjects, the rest trains. Throws Error (argument) when no
/// subject would be left for training.
inline Split tokenizer_study_split(const Manifest& cohort, Index held_out, Index validation, std::uint64_t seed) {
  const auto subjects = cohort.subjects().size();
  const double n = static_cast<double>(subjects), test = static_cast<double>(held_out) / n,
               validating = static_cast<double>(validation) / n;
  if (!(test + validating < 1))
    fail(ErrorKind::argument, "study.few", held_out, " held out and ", validation,
         " for validation: expected more than ", held_out + validation, " subjects, got ", subjects);
  return split_subjects(cohort, {{"train", 1 - test - validating}, {"validation", validating}, {"test", test}}, seed);
}

/// Writes a table of the reconstructions of a cohort's scans, ID_RECONSTRUCTION.nii.gz in the table's folder. Throws Error (file, format).
inline void write_reconstruction_table(const std::filesystem::path& scans, const std::filesystem::path& table_path) {
  CsvWriter table(table_path, {"volume_id", "subject_id", "path"}, {.overwrite = true});
  const std::filesystem::path folder = table_path.parent_path();
  for (const ScanRow& s : read_manifest(scans).scans)
    table.row(s.volume_id, s.subject_id,
              std::filesystem::absolute(folder / (s.volume_id + "_RECONSTRUCTION.nii.gz")).string());
  table.finish();
}

/// Collects the reports in the folder. Throws Error (file, format) for a report that is not there.
inline TokenizerStudyResult run(const TokenizerStudyOptions& options, const StepTimes& steps, Observer& observer) {
  TokenizerStudyResult r;
  observer.check_interrupt();
  r.tables = read_text(options.folder / "evaluation" / "tables.txt");
  r.distribution = phantom::distribution_name_beside(options.folder / "cohort" / "volumes.csv");
  r.probe_subjects = options.probe_subjects;
  if (options.probe_subjects > 0) r.probes = read_panel_rows(options.folder / "probes" / "panel.csv");
  r.steps = steps.all();
  return r;
}

/// The result as text.
inline void print(std::ostream& out, const TokenizerStudyResult& r) {
  if (!r.distribution.empty()) out << "Phantoms of the distribution " << r.distribution << "\n\n";
  out << r.tables << '\n';
  if (r.probe_subjects == 0) return;
  out << "Linear probes on " << r.probe_subjects
      << " other subjects, on features of their scans and of reconstructions of these\n\n";
  Table table({"features", "task", "subjects", "AUC", "balanced accuracy", "r", "R2"});
  const auto number = [](const std::optional<double>& v) { return v ? decimals(*v, 3) : std::string(); };
  for (const PanelRow& p : r.probes)
    table.row(p.features, p.task, p.subjects, number(p.auc), number(p.balanced_accuracy), number(p.pearson),
              number(p.r2));
  table.print(out);
  out << '\n';
}

}  // namespace braing3n::inline BRAING3N_ABI::study
