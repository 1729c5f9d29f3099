// How good is it? Numbers next to what they must be compared with.
//
//   braing3n evaluate reconstruction --model TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate controllability --model DIT --tokenizer TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate fidelity --model DIT --tokenizer TOKENIZER --data volumes.csv --split split.csv --out FOLDER
//   braing3n evaluate memorisation --model DIT --tokenizer TOKENIZER --latents latents.safetensors --data volumes.csv --split split.csv --out FOLDER
#include "examples/braing3n/commands.hpp"
#include "examples/support/evaluate_controllability.hpp"
#include "examples/support/evaluate_fidelity.hpp"
#include "examples/support/evaluate_memorisation.hpp"
#include "examples/support/evaluate_reconstruction.hpp"

using namespace braing3n;
using namespace braing3n::examples;

int evaluate_command(int argc, char** argv) {
  Program program("evaluate", "Measures models on people they have never seen, next to simpler methods.");
  program.app.require_subcommand(1);
  program.app.fallthrough();  // the common options may stand anywhere
  ReconstructionArguments reconstruction;
  CLI::App* sub =
      program.app.add_subcommand("reconstruction", "a tokenizer next to down-sampling, principal components, the mean");
  reconstruction.add_to(*sub);
  ControllabilityArguments controllability;
  controllability.add_to(*program.app.add_subcommand(
      "controllability", "are samples what was asked for? read by probes, next to unseen scans and their round trips"));
  FidelityArguments fidelity;
  fidelity.add_to(*program.app.add_subcommand(
      "fidelity", "do samples spread as scans do, with parts as large and features as theirs?"));
  MemorisationArguments memorisation;
  memorisation.add_to(*program.app.add_subcommand(
      "memorisation", "are samples copies of training scans? and are planted copies found?"));
  program.without({"--precision", "--seed"});
  return program.run(argc, argv, [&] {
    if (program.app.got_subcommand("controllability")) return evaluate_controllability(program, controllability);
    if (program.app.got_subcommand("fidelity")) return evaluate_fidelity(program, fidelity);
    if (program.app.got_subcommand("memorisation")) return evaluate_memorisation(program, memorisation);
    return evaluate_reconstruction(program, reconstruction);
  });
}
