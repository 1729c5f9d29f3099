// How good is it? Numbers next to what they must be compared with.
//
//   evaluate reconstruction --model TOKENIZER --data volumes.csv --split split.csv --out FOLDER
#include "examples/support/evaluate_reconstruction.hpp"

using namespace braing3n;
using namespace braing3n::examples;

int main(int argc, char** argv) {
  Program program("evaluate", "Measures models on people they have never seen, next to simpler methods.");
  program.app.require_subcommand(1);
  program.app.fallthrough();  // the common options may stand anywhere
  ReconstructionArguments reconstruction;
  CLI::App* sub = program.app.add_subcommand("reconstruction", "a tokenizer next to down-sampling, principal components, the mean");
  reconstruction.add_to(*sub);
  program.without({"--precision", "--seed"});
  return program.run(argc, argv, [&] { return evaluate_reconstruction(program, reconstruction); });
}
