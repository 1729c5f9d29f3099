// Trains a forecaster of follow-ups on the latents of subjects with several visits.
//
//   braing3n forecast_train --latents latents.safetensors --data volumes.csv --tokenizer TOKENIZER --out FORECASTER --config small
#include <optional>

#include "braing3n/models/dit_memory.hpp"
#include "braing3n/train/forecaster_kinds.hpp"
#include "braing3n/train/run_identity.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/latent_arguments.hpp"
#include "examples/support/run_training.hpp"
#include "examples/support/unseen_subjects.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

void tell(const std::string& text) { std::cerr << "forecast_train: " << text << '\n'; }

template <class Kind>
int train(const Program& program, LatentArguments& arguments, const std::optional<double>& readout) {
  const ProgramMachine machine{make_cpu_context(program.common), nullptr, {}};
  Context<Cpu>* const ctx = machine.host.get();
  const std::uint64_t seed = program.common.seed;
  ForecasterRun<typename Kind::Config> run{arguments.training.load<typename Kind::Config>(), {}};
  auto& config = run.forecaster;
  if constexpr (requires { config.readout_weight; }) config.readout_weight = readout.value_or(config.readout_weight);
  LatentData data = open_latent_data(*ctx, arguments.data, seed, tell);
  complete_config(config, data, arguments, tell);
  take_conditions(data, Kind::labels(config));
  const ForecastTrainingPairs pairs = forecast_training_pairs(data, config.pairs, config.stream.both_ways);
  for (const Finding& f : pairs.findings) tell(f.sentence);
  config.take_pairs(*ctx, data, pairs);
  run.tokenizer = data.file->model_hash();
  std::optional<LoadedDecoder<Cpu>> decoder;
  if (!arguments.tokenizer.empty()) {
    decoder = load_decoder(*ctx, arguments.tokenizer);
    run.tokenizer = checked_tokenizer(*decoder, *data.file, run.tokenizer, arguments.tokenizer);
  }
  LinearRateReport fit;
  typename Kind::Model model = Kind::start(*ctx, config, data, pairs, seed, fit);
  if (fit.no_change > 0 && !program.common.quiet)
    tell(concat("linear part: penalty ", significant(fit.penalty), ", validation error of rates ",
                significant(fit.error), ", without any change ", significant(fit.no_change)));
  const LatentPicture picture = decoder ? decoded_picture(*ctx, data, decoder->contract,
                                                          [&](const Tensor<float, Cpu>& z) { return (*decoder)(z); })
                                        : channel_picture(*ctx, data);
  const std::string people = trained_subjects_text(
      program.name(), data.scans.split,
      arguments.tokenizer.empty() ? TrainedSubjects{} : trained_subjects(std::filesystem::path(arguments.tokenizer)));
  const ForecasterOrigin origin{data.statistics, run.tokenizer, data.file->preprocessing(), json_text(pairs.ranges)};
  TrainingParts parts;
  using Run = BackendTraining<typename Kind::Model, typename Kind::Model, typename Kind::Task, Cpu>;
  parts.data = &data.scans;
  parts.options = config.training;
  parts.identity = {
      .kind = Kind::name, .config = json_text(run), .manifest_hash = pairs.hash, .progress = {}, .extra = {}};
  const LatentFollowUp follow_up = [&](const Tensor<float, Cpu>& baseline, const VisitPair& p) {
    return Kind::follow_up(*ctx, model, config, baseline, data.conditions[static_cast<std::size_t>(p.from)], p);
  };
  parts.parameters = count_parameters(model).learned;
  const auto make_task = [&](const typename Kind::Model&, Index start) {
    auto task = std::make_unique<typename Kind::Task>(*ctx, *ctx, model, data, pairs, config, seed, start);
    task->make_preview = [&] {
      return preview_forecasts(*ctx, data, pairs.validation, follow_up, picture, arguments.preview_rows);
    };
    return task;
  };
  parts.save_model = [&](const std::filesystem::path& path, const std::string& provenance) {
    ModelInfo info;
    info.provenance = concat(provenance, "; latents ", data.file->checksum(), " of tokenizer ", run.tokenizer);
    info.extra["people"] = people;
    Kind::save(path, model, config, origin, std::move(info));
  };
  parts.step_bytes =
      training_pass_bytes<F32>(Kind::network(config), config.training.batch, config.training.recompute_blocks);
  return run_training(program, arguments.training, machine, parts,
                      [&] { return std::make_unique<Run>(*ctx, model, config.training, seed, make_task); });
}

}  // namespace

int forecast_train_command(int argc, char** argv) {
  LatentArguments arguments;
  bool bridge = false;
  std::optional<double> readout;
  Program program("forecast_train", "Trains a forecaster of follow-ups on subjects with several visits.");
  arguments.add_to(program.app);
  program.app.add_flag("--bridge", bridge, "the published bridge instead; its paper is paper_longitudinal");
  program.app.add_option("--readout-weight", readout, "of a loss on the age that a frozen readout of latents sees")
      ->check(at_least(0))
      ->excludes("--bridge");
  program.alias("--labels", "--data");
  program.without({"--precision"});
  return program.run(argc, argv, [&]() -> int {
    guard_latents(arguments, program.common);
    return bridge ? train<BridgeKind>(program, arguments, {}) : train<RateFieldKind>(program, arguments, readout);
  });
}
