// Phase 2: freezes the encoder of a masked autoencoder and trains projection and decoder to reconstruct scans.
//
//   braing3n tokenizer_train --model MAE --data volumes.csv --out TOKENIZER --bottleneck 32
#include "braing3n/device/train_tokenizer.hpp"
#include "braing3n/train/run_identity.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/run_training.hpp"
#include "examples/support/unseen_subjects.hpp"

using namespace braing3n;
using namespace braing3n::examples;

int tokenizer_train_command(int argc, char** argv) {
  Program program("tokenizer_train", "Trains projection and decoder over a frozen encoder (phase 2 of a tokenizer).");
  TrainingArguments arguments;
  ContractOptions contract;
  std::string encoder_path;
  std::optional<Index> bottleneck;
  bool untrained = false;
  program.app.add_option("--model", encoder_path, "the encoder: the folder of mae_pretrain, or a file (mae3d, vit3d)")
      ->required();
  program.alias("--encoder", "--model");
  program.app.add_option("--bottleneck", bottleneck, "channels of the latents: 32, 128, 512 or any other number")
      ->check(CLI::Range(1, 65536));
  program.app.add_flag("--untrained-encoder", untrained,
                       "random weights instead of the file's: the control for phase 1");
  arguments.add_to(program.app);
  contract.add_to(program.app);
  return program.run(argc, argv, [&]() -> int {
    OutputGuard guard;
    guard.input(model_path(encoder_path));
    guard.input(contract.file());
    guard_training(guard, arguments, program.common);
    TokenizerRun run;
    run.tokenizer = arguments.load<TokenizerTrainingConfig>();
    if (bottleneck) run.tokenizer.bottleneck = *bottleneck;
    const ProgramMachine machine = make_machine(program.common);
    Context<Cpu>& ctx = *machine.host;
    const ModelFile file(model_path(encoder_path));
    run.take_encoder(file, contract.given(program.app) ? std::optional(contract.contract()) : std::nullopt);
    run.untrained_encoder = untrained;

    Tokenizer<Cpu, F32> model(ctx, run.tokenizer.model(run.encoder));
    const TrainingData data = open_training_data(arguments.data_options(), run.contract, program.common.seed);
    run.tokenizer.training = run.tokenizer.training.resolved(static_cast<Index>(data.train.size()));
    if (!program.common.quiet) std::cerr << describe(run.contract) << '\n';
    initialize(model, program.common.seed);
    if (!untrained) load_weights(model.encoder, file);

    TrainingParts parts;
    parts.data = &data;
    parts.options = run.tokenizer.training;
    const TokenStatistics tokens = start_projection(ctx, model, data, parts.failures);
    const CollapseReport collapse =
        check_collapse(ctx, model.encoder, data.source, some_rows(data.train, 16), parts.failures);
    if (!program.common.quiet || collapse.collapsed()) std::cerr << collapse.str() << '\n';

    const std::string people =
        trained_subjects_text(program.name(), data.split,
                              untrained ? TrainedSubjects{} : trained_subjects(std::filesystem::path(encoder_path)));
    parts.identity = {
        .kind = "tokenizer", .config = json_text(run), .manifest_hash = data.hash, .progress = {}, .extra = {}};
    parts.parameters = count_parameters(model).learned;
    parts.frozen = count_parameters(model.encoder).learned;
    parts.save_model = [&](const std::filesystem::path& path, const std::string& provenance) {
      ModelInfo info;
      info.provenance = concat(provenance, "; encoder ", untrained ? std::string("untrained, as in ") : std::string(),
                               run.encoder_file, ": ", file.info().provenance);
      info.licence = file.info().licence;
      info.extra["people"] = people;
      save_tokenizer(path, model, run.contract, latents_of(model.projection, tokens), info, {.overwrite = true});
    };
    const TokenizerTrainingJob job{&model, &data, run.tokenizer, program.common.seed};
    return run_training(program, arguments, machine, parts,
                        [&] { return open_training(Machine(machine), job, machine.precision); });
  });
}
