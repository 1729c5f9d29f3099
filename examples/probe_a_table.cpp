// A linear probe on a table:  probe_a_table FEATURES LABELS TASK PROBE
//   FEATURES: .csv, .npy, .npz or .safetensors; LABELS: CSV; TASK: a column of the labels; PROBE: the probe as a file, or "none"
#include <iostream>

#include <braing3n/probe.hpp>

using namespace braing3n;

int main(int argc, char** argv) try {
  if (argc != 5) {
    std::cerr << "usage: probe_a_table FEATURES LABELS TASK PROBE\n";
    return 2;
  }
  // [panel]
  Context<Cpu> context;
  const CsvTable labels(argv[2]);
  const FeatureTable table = read_features(argv[1], {.not_features = {argv[3]}});
  const Pairing rows = pair_rows(labels, {&table, 1});  // by identifiers
  for (const std::string& warning : rows.warnings) std::cerr << warning << '\n';
  std::vector<std::string> subjects = rows.ids;  // all scans of a subject are in one fold
  if (const auto column = find_subject_column(labels))
    for (std::size_t i = 0; i < subjects.size(); ++i)
      subjects[i] = labels.cell(static_cast<std::size_t>(rows.label_row[i]), *column);
  const auto subject = encode_sorted(std::span<const std::string>(subjects));

  const ResolvedTask task = resolve_task(parse_task(argv[3]), labels, rows.label_row);
  const Panel panel({task}, subject.codes, PanelOptions{});
  const std::vector<TaskResult> results = panel.run(context, table.view(), rows.feature_row[0]);
  if (!results[0].ok()) fail(ErrorKind::argument, "example.task", results[0].error);
  const Score& score = results[0].scores.scores[0];  // over folds that no probe was fitted on
  std::cout << argv[3] << ": " << score.name << ' ' << score.mean << " [" << score.low << ", " << score.high << "]\n";
  // [panel]

  const auto fits = panel.fit_all(context, table.view(), rows.feature_row[0], results);
  if (std::string(argv[4]) != "none")  // Session::probe() and `probe --apply` read it
    write_saved_probe(argv[4], make_saved_probe(table, results, fits, rows.feature_row[0]), {.overwrite = true});
  return 0;
} catch (const std::exception& e) {
  std::cerr << e.what() << '\n';
  return 1;
}
