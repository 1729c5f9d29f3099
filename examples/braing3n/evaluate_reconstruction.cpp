// braing3n evaluate reconstruction --model TOKENIZER --data volumes.csv --split split.csv --out FOLDER
#include "braing3n/study/reconstruction.hpp"

#include "braing3n/study/reconstruction_report.hpp"
#include "examples/braing3n/evaluate.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/run_study.hpp"

namespace braing3n::examples {
namespace {

struct ReconstructionArguments {
  study::ReconstructionOptions options;
  std::vector<std::string> beside;
  std::string out;
};

/// Throws Error (argument) unless the text is NAME=TOKENIZER.
study::NamedModel named_model(const std::string& text) {
  const std::size_t at = text.find('=');
  if (at == std::string::npos || at == 0)
    fail(ErrorKind::argument, "evaluate.beside", "--beside ", text, ": expected NAME=TOKENIZER");
  return {text.substr(0, at), text.substr(at + 1)};
}

int run_reconstruction(const Program& program, ReconstructionArguments a) {
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  study::ReconstructionOptions& o = a.options;
  for (const std::string& text : a.beside) o.beside.push_back(named_model(text));
  std::vector<std::filesystem::path> inputs{model_path(o.tokenizer), o.truth};
  for (const study::NamedModel& b : o.beside) inputs.push_back(model_path(b.path));
  const FileLock lock = open_results(out, common, {"scores.csv", "summary.json", "tables.txt", "montage.png"},
                                     {inputs, cohort_files(o.cohort)});
  return report_left_out(run_study(program, o, out).left_out);
}

}  // namespace

Evaluation evaluate_reconstruction(CLI::App& app) {
  const auto a = std::make_shared<ReconstructionArguments>();
  study::ReconstructionOptions& o = a->options;
  app.add_option("--model", o.tokenizer, "a tokenizer: its file, or the folder of its run")->required();
  app.add_option("--beside", a->beside, "NAME=TOKENIZER: another tokenizer for the same scans");
  add_cohort_options(app, o.cohort);
  app.add_option("--test", o.test, "the set that is scored");
  app.add_option("--baselines", o.baseline_sets, "the sets on which components, mean and readout are fitted");
  app.add_option(
      "--truth", o.truth,
      "truth.csv of phantom_cohort (T1 only): errors of the volumes of brain, grey and white matter and ventricles");
  app.add_option("--pictures", o.pictures, "scans in the picture")->check(at_least(0));
  app.add_option("--out", a->out, "folder for tables.txt, scores.csv, summary.json and montage.png")->required();
  return [a](const Program& program) { return run_reconstruction(program, *a); };
}

}  // namespace braing3n::examples
