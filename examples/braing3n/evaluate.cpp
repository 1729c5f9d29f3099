// How good is it? Numbers next to what they must be compared with.
//
//   braing3n evaluate reconstruction --model TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate controllability --model DIT --tokenizer TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate fidelity --model DIT --tokenizer TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate memorisation --model DIT --tokenizer TOKENIZER --latents latents.safetensors --data volumes.csv --split split.csv --out FOLDER
#include "examples/braing3n/evaluate.hpp"

#include "examples/braing3n/commands.hpp"
#include "examples/support/evaluate_controllability.hpp"
#include "examples/support/evaluate_memorisation.hpp"

namespace braing3n::examples {

int report_left_out(const std::vector<study::LeftOut>& scans) {
  for (const study::LeftOut& s : scans) std::cerr << "evaluate: left out " << s.volume_id << ": " << s.reason << '\n';
  return scans.empty() ? exit_done : exit_some_failed;
}

}  // namespace braing3n::examples

using namespace braing3n;
using namespace braing3n::examples;

int evaluate_command(int argc, char** argv) {
  Program program("evaluate", "Measures models on people they have never seen, next to simpler methods.");
  program.app.require_subcommand(1);
  program.app.fallthrough();  // the common options may stand anywhere
  const Evaluation reconstruction = evaluate_reconstruction(*program.app.add_subcommand(
      "reconstruction", "a tokenizer next to down-sampling, principal components, the mean"));
  ControllabilityArguments controllability;
  controllability.add_to(*program.app.add_subcommand(
      "controllability", "are samples what was asked for? read by probes, next to unseen scans and their round trips"));
  const Evaluation fidelity = evaluate_fidelity(*program.app.add_subcommand(
      "fidelity", "do samples spread as scans do, with parts as large and features as theirs?"));
  MemorisationArguments memorisation;
  memorisation.add_to(*program.app.add_subcommand(
      "memorisation", "are samples copies of training scans? and are planted copies found?"));
  program.without({"--precision", "--seed"});
  return program.run(argc, argv, [&] {
    if (program.app.got_subcommand("controllability")) return evaluate_controllability(program, controllability);
    if (program.app.got_subcommand("fidelity")) return fidelity(program);
    if (program.app.got_subcommand("memorisation")) return evaluate_memorisation(program, memorisation);
    return reconstruction(program);
  });
}
