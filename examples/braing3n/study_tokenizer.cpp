// Is a tokenizer worth its latents? One command trains one on some people and measures it on others, next to simpler codes of the
// same size and to the same decoder on an encoder that never learned anything.
//
//   braing3n study tokenizer --data participants.tsv --pattern '{participant_id}_T1w.nii.gz' --held-out 6 --out DIR
//   braing3n study tokenizer --phantoms 250 --held-out 50 --out DIR
#include <iostream>
#include <optional>
#include <set>

#include "braing3n/data/split.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/report/chart.hpp"
#include "braing3n/report/table.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/pipeline.hpp"
#include "examples/support/progress.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Options {
  std::string data, pattern, split, mae = "small", tokenizer = "small";
  std::filesystem::path out;
  Index phantoms = 0, readers = 1000, held_out = 6, validation = 2, mae_steps = 0, tokenizer_steps = 0;
};

/// Features of people whom nothing was trained on, from their scans and from what the tokenizer gives back, and the same probes on both.
void read_round_trips(Pipeline& run, const Options& o, const CommonOptions& common) {
  const auto at = [&](const char* name) { return (o.out / name).string(); };
  const std::string scans = at("readers") + "/volumes.csv", back = at("round_trips") + "/volumes.csv";
  run("Make other people, for probes",
      {"phantom_cohort", "--out", at("readers"), "--subjects", std::to_string(o.readers), "--shape", "80,96,80",
       "--modalities", "T1", "--seed", std::to_string(common.seed + 1)});
  run("Features of their scans",
      {"encode", "--model", at("tokenizer"), "--data", scans, "--out", at("scans.safetensors"), "--force"});
  run("Their scans through the tokenizer and back",
      {"reconstruct", "--model", at("tokenizer"), "--data", scans, "--out", at("round_trips")});
  {
    CsvWriter table(back, {"volume_id", "subject_id", "path"}, {.overwrite = true});
    for (const ScanRow& s : read_manifest(std::filesystem::path(scans)).scans)
      table.row(s.volume_id, s.subject_id,
                std::filesystem::absolute(o.out / "round_trips" / (s.volume_id + "_RECONSTRUCTION.nii.gz")).string());
    table.finish();
  }
  run("Features of the round trips",
      {"encode", "--model", at("tokenizer"), "--data", back, "--out", at("round_trips.safetensors"), "--force"});
  run("The same probes on both", {"probe", "--features", at("scans.safetensors"), at("round_trips.safetensors"),
                                  "--labels", scans, "--tasks", "sex,disease:HC|AD,age", "--confounds", "none",
                                  "--permutations", "0", "--no-leakage-check", "--out", at("probes")});
}

int study(const Program& program, const Options& o) {
  const CommonOptions& common = program.common;
  if (o.data.empty() == (o.phantoms == 0))
    fail(ErrorKind::argument, "study.data", "expected --data TABLE or --phantoms N");
  const auto at = [&](const char* name) { return (o.out / name).string(); };
  OutputGuard guard;
  guard.input(o.data);
  guard.input(o.split);
  for (const std::string& config : {o.mae, o.tokenizer})
    if (config != "small" && config != "paper") guard.input(config);
  for (const char* file : {"split.csv", "output.txt"}) guard.output(o.out / file);
  require_kept(o.out, {"cohort", "mae", "tokenizer", "untrained", "evaluation", "readers", "round_trips", "probes"},
               {o.data, o.split, o.mae, o.tokenizer});
  const FileLock lock = lock_folder(o.out);
  if (!common.force && std::filesystem::exists(at("mae")))
    throw Error(ErrorKind::file, "study.exists", "holds a study already; --force replaces it", o.out.string());
  for (const char* old :
       {"cohort", "mae", "tokenizer", "untrained", "evaluation", "readers", "round_trips", "probes", "output.txt"})
    std::filesystem::remove_all(o.out / old);

  Pipeline run(program, o.out / "output.txt");
  std::vector<std::string> scans = {"--data", o.data};
  if (o.phantoms > 0) {
    run("Make people who do not exist", {"phantom_cohort", "--out", at("cohort"), "--subjects",
                                         std::to_string(o.phantoms), "--shape", "80,96,80", "--modalities", "T1"});
    scans[1] = at("cohort") + "/volumes.csv";
  } else if (!o.pattern.empty()) {
    scans.insert(scans.end(), {"--pattern", o.pattern});
  }
  ManifestOptions read;
  read.pattern = o.pattern;
  const Manifest cohort = read_manifest(std::filesystem::path(scans[1]), read);
  Split split;
  if (!o.split.empty()) {
    split = read_split(o.split);
  } else {
    std::set<std::string> people;
    for (const ScanRow& s : cohort.scans) people.insert(s.subject_id);
    const double n = static_cast<double>(people.size()), test = static_cast<double>(o.held_out) / n,
                 validation = static_cast<double>(o.validation) / n;
    if (!(test + validation < 1))
      fail(ErrorKind::argument, "study.few", people.size(), " people cannot give ", o.held_out, " to be held out and ",
           o.validation, " for validation");
    split = split_subjects(cohort, {{"train", 1 - test - validation}, {"validation", validation}, {"test", test}},
                           common.seed);
  }
  write_split(o.out / "split.csv", split, {.overwrite = true});
  scans.insert(scans.end(), {"--split", at("split.csv")});

  const auto step = [&](const std::string& title, std::vector<std::string> command, const std::string& config,
                        Index steps) {
    command.insert(command.end(), scans.begin(), scans.end());
    if (!config.empty()) command.insert(command.end(), {"--config", config});
    if (steps > 0) command.insert(command.end(), {"--steps", std::to_string(steps)});
    run(title, command);
  };
  step("Phase 1: learn what heads look like", {"mae_pretrain", "--out", at("mae")}, o.mae, o.mae_steps);
  step("Phase 2: learn to give them back", {"tokenizer_train", "--encoder", at("mae"), "--out", at("tokenizer")},
       o.tokenizer, o.tokenizer_steps);
  step("The control: phase 2 on an encoder that has learned nothing",
       {"tokenizer_train", "--untrained-encoder", "--encoder", at("mae"), "--out", at("untrained")}, o.tokenizer,
       o.tokenizer_steps);
  std::vector<std::string> measure = {"evaluate",      "reconstruction", "--model",
                                      at("tokenizer"), "--beside",       "untrained encoder=" + at("untrained"),
                                      "--out",         at("evaluation")};
  if (o.phantoms > 0) measure.insert(measure.end(), {"--truth", at("cohort") + "/truth.csv"});
  step("Measure both on the people held out", measure, "", 0);
  if (o.phantoms > 0) read_round_trips(run, o, common);
  std::cout << content(o.out / "evaluation" / "tables.txt") << '\n';
  if (o.phantoms > 0) {
    std::cout << "Linear probes on " << o.readers
              << " other people, from their scans and from what the tokenizer makes of these\n\n";
    const CsvTable panel(o.out / "probes" / "panel.csv");
    Table table({"features", "task", "people", "AUC", "balanced accuracy", "r", "R2"});
    for (std::size_t r = 0; r < panel.rows(); ++r) {
      const auto number = [&](const char* column) {
        const std::optional<double> v = panel.number(r, panel.column(column));
        return v ? decimals(*v, 3) : std::string();
      };
      table.row(panel.cell(r, panel.column("features")), panel.cell(r, panel.column("task")),
                panel.cell(r, panel.column("subjects")), number("auc"), number("balanced_accuracy"), number("pearson"),
                number("r2"));
    }
    table.print(std::cout);
    std::cout << '\n';
  }
  double total = 0;
  for (const StepTime& t : run.times()) {
    std::cout << clock_text(t.seconds) << "  " << t.title << '\n';
    total += t.seconds;
  }
  std::cout << clock_text(total) << "  together; pictures in " << at("evaluation/montage.png") << '\n';
  return exit_done;
}

}  // namespace

int study_tokenizer_command(int argc, char** argv) {
  Program program(
      "study tokenizer",
      "Trains a tokenizer on some people and measures it on others, next to simpler codes of the same size.");
  Options o;
  CLI::App& app = program.app;
  app.add_option("--data", o.data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern");
  app.add_option("--pattern", o.pattern, "paths for a table without them, for example {participant_id}_T1w.nii.gz");
  app.add_option("--phantoms", o.phantoms, "make so many synthetic people instead")->check(CLI::PositiveNumber);
  app.add_option("--readers", o.readers, "with --phantoms: further people on whom probes read scans and round trips")
      ->check(CLI::Range(50, 100000));
  app.add_option("--held-out", o.held_out, "people that are measured and nothing else")->check(CLI::PositiveNumber);
  app.add_option("--validation", o.validation, "people of the others on whom the training is watched")
      ->check(CLI::PositiveNumber);
  app.add_option("--split", o.split,
                 "table subject_id,split with the sets train, validation and test (default: drawn from the seed)");
  app.add_option("--mae-config", o.mae, "of mae_pretrain");
  app.add_option("--tokenizer-config", o.tokenizer, "of tokenizer_train");
  app.add_option("--mae-steps", o.mae_steps, "instead of those of the configuration");
  app.add_option("--tokenizer-steps", o.tokenizer_steps, "instead of those of the configuration");
  app.add_option("--out", o.out, "folder for everything that is made")->required();
  program.without({"--device", "--precision"});
  return program.run(argc, argv, [&] { return study(program, o); });
}
