// Trains a conditional diffusion transformer on cached latents.
//
//   braing3n dit_train --latents latents.safetensors --data volumes.csv --tokenizer TOKENIZER --out DIT --config small
// The folder also gets time_bins.csv, the validation losses by t.
#include <optional>

#include "braing3n/device/models.hpp"
#include "braing3n/device/train_dit.hpp"
#include "braing3n/models/dit_memory.hpp"
#include "braing3n/train/latent_gaussian.hpp"
#include "braing3n/train/run_identity.hpp"
#include "braing3n/train/time_bins.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/latent_arguments.hpp"
#include "examples/support/run_training.hpp"
#include "examples/support/unseen_subjects.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

void tell(const std::string& text) { std::cerr << "dit_train: " << text << '\n'; }

/// Settings and conditions that depend on the data, with warnings about conditions that cannot be learnt.
void complete_run(DitRun& run, LatentData& data, const LatentArguments& arguments) {
  complete_config(run.dit, data, arguments, tell);
  take_conditions(data, run.dit.model.conditions);
  const std::vector<std::string> lacking = absent_values(run.dit.model.conditions, data.conditions, data.scans.train);
  if (!lacking.empty())
    tell(concat("warning: no training scan has ", braing3n::detail::some_of(lacking, 8), "; samples under ",
                lacking.size() == 1 ? "it" : "them", " are not learnt"));
  run.dit.training = run.dit.training.resolved(static_cast<Index>(data.scans.train.size()));
}

}  // namespace

int dit_train_command(int argc, char** argv) {
  LatentArguments arguments;
  Program program("dit_train", "Trains a conditional diffusion transformer on the latents of a tokenizer.");
  arguments.add_to(program.app);
  program.alias("--labels", "--data");
  return program.run(argc, argv, [&]() -> int {
    guard_latents(arguments, program.common);
    const ProgramMachine machine = make_machine(program.common);
    Context<Cpu>& ctx = *machine.host;
    DitRun run;
    run.dit = arguments.training.load<DitTrainingConfig>();
    LatentData data = open_latent_data(ctx, arguments.data, program.common.seed, tell);
    run.tokenizer = data.file->model_hash();
    complete_run(run, data, arguments);
    std::unique_ptr<AnyDecoder> decoder;
    if (!arguments.tokenizer.empty()) {
      decoder = open_decoder(Machine(machine), arguments.tokenizer);
      run.take_tokenizer(*decoder, *data.file, arguments.tokenizer);
    }
    Dit3d<Cpu, F32> model(ctx, run.dit.model);
    initialize(model, program.common.seed);
    if (run.dit.model.gaussian_rank > 0) measure_gaussian(ctx, data, model);
    const LatentPicture picture =
        decoder ? decoded_picture(ctx, data, decoder->contract, [&](const auto& z) { return decoder->decode(ctx, z); })
                : channel_picture(ctx, data);

    const std::string people = trained_subjects_text(
        program.name(), data.scans.split,
        arguments.tokenizer.empty() ? TrainedSubjects{} : trained_subjects(std::filesystem::path(arguments.tokenizer)));
    std::optional<TimeBinFile> bins;
    TimeBins last_bins{};
    TrainingParts parts;
    parts.data = &data.scans;
    parts.options = run.dit.training;
    parts.identity = {
        .kind = "dit3d", .config = json_text(run), .manifest_hash = data.scans.hash, .progress = {}, .extra = {}};
    parts.parameters = count_parameters(model).learned;
    const Index per_step = run.dit.training.batch * run.dit.training.accumulate;
    parts.opened = [&](Index samples) {
      bins.emplace(TrainingFolder{arguments.training.out}.path / "time_bins.csv", samples / per_step);
    };
    parts.save_model = [&](const std::filesystem::path& path, const std::string& provenance) {
      ModelInfo info;
      info.provenance = concat(provenance, "; latents ", data.file->checksum(), " of tokenizer ", run.tokenizer);
      info.extra["people"] = people;
      save_dit(path, model, data.statistics, run.tokenizer, data.file->preprocessing(), info, {.overwrite = true});
    };
    parts.step_bytes =
        training_pass_bytes<F32>(run.dit.model, run.dit.training.batch, run.dit.training.recompute_blocks);
    parts.at_the_end = [&] {
      if (last_bins[0] > 0) std::cout << describe(last_bins) << '\n';
    };
    DitTrainingJob job{&model, &data, run.dit, program.common.seed};
    job.on_bins = [&](Index samples, const TimeBins& b) { bins->add(samples / per_step, last_bins = b); };
    job.picture = picture, job.preview = arguments.preview, job.preview_rows = arguments.preview_rows;
    return run_training(program, arguments.training, machine, parts,
                        [&] { return open_training(Machine(machine), job, machine.precision); });
  });
}
