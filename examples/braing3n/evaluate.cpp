// Evaluations of models, next to floors and ceilings. Each part is a study of the library (braing3n/study/).
//
//   braing3n evaluate reconstruction --model TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate controllability --model DIT --tokenizer TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate fidelity --model DIT --tokenizer TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate memorisation --model DIT --tokenizer TOKENIZER --latents latents.safetensors --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate forecasting --model FORECASTER --tokenizer TOKENIZER --latents latents.safetensors --data volumes.csv --split split.csv
//       --out FOLDER
#include "examples/braing3n/evaluate.hpp"

#include <map>

#include "examples/braing3n/commands.hpp"

namespace braing3n::examples {

int report_left_out(const std::vector<study::LeftOut>& scans) {
  for (const study::LeftOut& s : scans) std::cerr << "evaluate: left out " << s.volume_id << ": " << s.reason << '\n';
  return scans.empty() ? exit_done : exit_some_failed;
}

}  // namespace braing3n::examples

using namespace braing3n;
using namespace braing3n::examples;

int evaluate_command(int argc, char** argv) {
  Program program("evaluate", "Evaluates models on unseen subjects, next to simpler methods.");
  program.app.require_subcommand(1);
  program.app.fallthrough();  // the common options may stand anywhere
  std::map<CLI::App*, Evaluation> evaluations;
  const auto add = [&](const char* name, const char* summary, Evaluation (*options)(CLI::App&)) {
    CLI::App* sub = program.app.add_subcommand(name, summary);
    evaluations[sub] = options(*sub);
  };
  add("reconstruction", "a tokenizer next to down-sampling, principal components, the mean", evaluate_reconstruction);
  add("controllability", "do samples have the requested labels? by probes, next to unseen scans and their round trips",
      evaluate_controllability);
  add("fidelity", "are samples as diverse as scans, with the same region volumes and features?", evaluate_fidelity);
  add("memorisation", "are samples copies of training scans? and are planted copies found?", evaluate_memorisation);
  add("forecasting", "how well are follow-ups of unseen subjects forecast? next to simple rules and what can be known",
      evaluate_forecasting);
  program.alias("--readers", "--probe-kinds");
  program.alias("--reader-scans", "--probe-scans");
  program.alias("--reader-half", "--probe-half");
  program.without({"--precision", "--seed"});
  return program.run(argc, argv, [&] { return evaluations.at(program.app.get_subcommands().front())(program); });
}
