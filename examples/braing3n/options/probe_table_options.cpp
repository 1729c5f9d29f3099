// The options of `probe`: tables, tasks and results.
#include "examples/braing3n/options/probe_settings.hpp"

namespace braing3n::examples {

namespace {

void add_tables(CLI::App& app, ProbeSettings& s) {
  app.add_option("--features,--in", s.features,
                 "one or more tables of features: .csv, .tsv, .npy, .npz, .safetensors; several are compared on "
                 "identical folds; A+B: the "
                 "columns of both, joined by identifiers")
      ->required()
      ->default_str("")
      ->group("Tables");
  app.add_option("--labels,--data", s.labels,
                 "table of labels (CSV or TSV); not needed where the one CSV of features holds them too")
      ->group("Tables");
  app.add_option("--feature-columns", s.feature_columns,
                 "columns of a CSV that are features, * for any text (default: all columns of numbers but labels)")
      ->delimiter(',')
      ->default_str("")
      ->group("Tables");
  add_missing(app, s.missing, "labels")->group("Tables");
  app.add_option("--id-column", s.id_column,
                 "column that names the rows, NAME in all tables or FEATURES=LABELS (default: volume_id, ID, "
                 "participant_id, ... in any spelling)")
      ->group("Tables");
  app.add_flag("--pair-by-order", s.by_order,
               "features that identifiers do not pair: row i of the features is row i of the labels")
      ->group("Tables");
  app.add_option("--subject-column", s.subject_column,
                 "column that names the subject (default: subject_id, participant_id, ...)")
      ->group("Tables");
}

void add_tasks_and_results(CLI::App& app, ProbeSettings& s) {
  PanelOptions& p = s.panel;
  app.add_option("--tasks", s.tasks, "what to predict: NAME[:A|B...][=class|reg][@column=value], separated by commas")
      ->group("Tasks");
  app.add_option("--tasks-file", s.tasks_file, "the same from a file: one task per line, # starts a comment")
      ->group("Tasks");
  app.add_option("--confounds", s.confounds,
                 "confounds to test for every task: names, \"auto\" (site, scanner, vendor, modality, ...) or \"none\"")
      ->group("Tasks");
  app.add_option("--out", s.out,
                 "folder for report.html, panel.csv, panel.json, predictions.csv; with --apply a CSV file")
      ->required()
      ->group("Results");
  app.add_option("--bootstrap", p.uncertainty.replicates, "replicates of the bootstrap over subjects, 0: no intervals")
      ->check(CLI::Range(0, 1000000))
      ->group("Results");
  app.add_option("--permutations", p.uncertainty.permutations, "permutations of the labels, 0: no p-values")
      ->check(CLI::Range(0, 1000000))
      ->group("Results");
  app.add_option("--coverage", p.uncertainty.coverage, "coverage of the intervals")
      ->check(CLI::Range(0.5, 0.9999))
      ->group("Results");
  app.add_flag("--no-leakage-check", s.no_leakage, "do not search for copied and nearly equal scans")->group("Results");
}

}  // namespace

void add_table_options(CLI::App& app, ProbeSettings& s) {
  add_tables(app, s);
  add_tasks_and_results(app, s);
}

}  // namespace braing3n::examples
