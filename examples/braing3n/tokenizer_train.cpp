// Phase 2: freezes the encoder of a masked autoencoder and trains projection and decoder to give scans back.
//
//   braing3n tokenizer_train --encoder MAE --data volumes.csv --out TOKENIZER --bottleneck 32
#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/train/mae_training.hpp"
#include "braing3n/train/tokenizer_training.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/training_program.hpp"
#include "examples/support/unseen_people.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// What a state belongs to: the settings and the very encoder.
struct RunConfig {
  TokenizerTrainingConfig tokenizer;
  Vit3dConfig encoder;
  PreprocessingContract contract;
  std::string encoder_file;  // its checksum
  bool untrained_encoder = false;

  static void visit(auto& self, auto&& v) {
    v("tokenizer", self.tokenizer);
    v("encoder", self.encoder);
    v("contract", self.contract);
    v("encoder_file", self.encoder_file);
    v("untrained_encoder", self.untrained_encoder);
  }
};

}  // namespace

int tokenizer_train_command(int argc, char** argv) {
  Program program("tokenizer_train", "Trains projection and decoder over a frozen encoder (phase 2 of a tokenizer).");
  TrainingArguments arguments;
  ContractOptions contract;
  std::string encoder_path;
  std::optional<Index> bottleneck;
  bool untrained = false;
  program.app.add_option("--encoder", encoder_path, "the folder of mae_pretrain, or a model file (mae3d, vit3d)")
      ->required();
  program.app.add_option("--bottleneck", bottleneck, "channels of the latents: 32, 128, 512 or any other number")
      ->check(CLI::Range(1, 65536));
  program.app.add_flag("--untrained-encoder", untrained,
                       "random weights instead of the file's: a control that shows what phase 1 is worth");
  arguments.add_to(program.app);
  contract.add_to(program.app);
  program.without({"--precision"});
  return program.run(argc, argv, [&]() -> int {
    OutputGuard guard;
    guard.input(model_path(encoder_path));
    guard_training(guard, arguments, program.common);
    RunConfig run;
    run.tokenizer = arguments.load<TokenizerTrainingConfig>();
    if (bottleneck) run.tokenizer.bottleneck = *bottleneck;
    const auto ctx = make_cpu_context(program.common);
    const ModelFile file(model_path(encoder_path));
    if (file.info().kind != "mae3d" && file.info().kind != "vit3d")
      throw Error(ErrorKind::config, "model.kind",
                  concat("a model of kind ", in_quotes(file.info().kind), ", expected \"mae3d\" or \"vit3d\""),
                  file.path());
    run.encoder = file.info().kind == "mae3d" ? file.config<Mae3dConfig>().encoder : file.config<Vit3dConfig>();
    run.contract = model_contract(file, run.encoder,
                                  contract.given(program.app) ? std::optional(contract.contract()) : std::nullopt);
    run.encoder_file = model_hash(file);
    run.untrained_encoder = untrained;

    Tokenizer<Cpu, F32> model(*ctx, run.tokenizer.model(run.encoder));
    const TrainingData data = open_training_data(arguments.data_options(), run.contract, program.common.seed);
    run.tokenizer.training = run.tokenizer.training.resolved(static_cast<Index>(data.train.size()));
    if (!program.common.quiet) std::cerr << describe(run.contract) << '\n';
    initialize(model, program.common.seed);
    if (!untrained) load_weights(model.encoder, file);

    ScanFailures failures;
    const TokenStatistics tokens = start_projection(*ctx, model, data, failures);
    const CollapseReport collapse =
        check_collapse(*ctx, model.encoder, data.source, some_rows(data.train, 16), failures);
    if (!program.common.quiet || collapse.collapsed()) std::cerr << collapse.str() << '\n';

    const std::string people = people_of_training(
        program.name(), data.split, untrained ? TrainedPeople{} : trained_people(std::filesystem::path(encoder_path)));
    TrainingParts<TokenizerTask> parts;
    parts.identity = {
        .kind = "tokenizer", .config = json_text(run), .manifest_hash = data.hash, .progress = {}, .extra = {}};
    parts.make_task = [&](Index start) {
      return std::make_unique<TokenizerTask>(*ctx, model, data, run.tokenizer, program.common.seed, start);
    };
    parts.save_model = [&](const std::filesystem::path& path, const std::string& provenance) {
      ModelInfo info;
      info.provenance = concat(provenance, "; encoder ", untrained ? std::string("untrained, as in ") : std::string(),
                               run.encoder_file, ": ", file.info().provenance);
      info.licence = file.info().licence;
      info.extra["people"] = people;
      save_tokenizer(path, model, run.contract, latents_of(model.projection, tokens), info, {.overwrite = true});
    };
    return run_training(program, arguments, *ctx, model, data, run.tokenizer.training, parts, failures);
  });
}
