// Phase 1: trains a masked autoencoder on scans, from scratch. Its encoder becomes the frozen half of a tokenizer.
//
//   braing3n mae_pretrain --data volumes.csv --out MAE --config small
//   braing3n mae_pretrain --data volumes.csv --out MAE --config small --resume auto
#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/device/train_mae.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/run_training.hpp"
#include "examples/support/unseen_subjects.hpp"

using namespace braing3n;
using namespace braing3n::examples;

int mae_pretrain_command(int argc, char** argv) {
  Program program("mae_pretrain", "Trains a masked autoencoder on scans (phase 1 of a tokenizer).");
  TrainingArguments arguments;
  ContractOptions contract;
  arguments.add_to(program.app);
  contract.add_to(program.app);
  return program.run(argc, argv, [&]() -> int {
    OutputGuard guard;
    guard.input(contract.file());
    guard_training(guard, arguments, program.common);
    auto config = arguments.load<MaeTrainingConfig>();
    if (contract.given(program.app)) {  // the model takes the volumes that the contract makes
      config.contract = contract.contract();
      config.model.encoder.image = config.contract.shape;
    }
    config.validate();
    const ProgramMachine machine = make_machine(program.common);
    Context<Cpu>& ctx = *machine.host;
    const TrainingData data = open_training_data(arguments.data_options(), config.contract, program.common.seed);
    config.training = config.training.resolved(static_cast<Index>(data.train.size()));
    if (!program.common.quiet) std::cerr << describe(config.contract) << '\n';

    Mae3d<Cpu, F32> model(ctx, config.model);
    initialize(model, program.common.seed);
    TrainingParts parts;
    parts.data = &data;
    parts.options = config.training;
    start_prediction(model, mean_patch(ctx, model, data, parts.failures));

    const std::string people = trained_subjects_text(program.name(), data.split, {});
    parts.identity = {
        .kind = "mae3d", .config = json_text(config), .manifest_hash = data.hash, .progress = {}, .extra = {}};
    parts.parameters = count_parameters(model).learned;
    parts.save_model = [&](const std::filesystem::path& path, const std::string& provenance) {
      ModelInfo info;
      info.kind = "mae3d";
      info.contract = json_text(config.contract);
      info.provenance = provenance;
      info.extra["people"] = people;
      save_model(path, model, info, {.overwrite = true});
    };
    parts.at_the_end = [&] {
      std::vector<Index> rows = data.validation;
      rows.insert(rows.end(), data.train.begin(), data.train.end());
      std::cout << check_collapse(ctx, model.encoder, data.source, some_rows(rows, 16), parts.failures).str() << '\n';
    };
    const MaeTrainingJob job{&model, &data, config, program.common.seed};
    return run_training(program, arguments, machine, parts,
                        [&] { return open_training(Machine(machine), job, machine.precision); });
  });
}
