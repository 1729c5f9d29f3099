// Trains a conditional diffusion transformer on cached latents.
//
//   braing3n dit_train --latents latents.safetensors --data volumes.csv --tokenizer TOKENIZER --out DIT --config small
// The folder also gets time_bins.csv, the validation losses by t.
#include <optional>

#include "braing3n/models/dit_memory.hpp"
#include "braing3n/train/dit_preview.hpp"
#include "braing3n/train/latent_gaussian.hpp"
#include "braing3n/train/run_identity.hpp"
#include "braing3n/train/time_bins.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/latent_arguments.hpp"
#include "examples/support/unseen_subjects.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// Settings and conditions that depend on the data, with warnings about conditions that cannot be learnt.
void complete_run(DitRun& run, LatentData& data, const TrainingArguments& arguments) {
  // The named configurations have all conditions of the paper; a configuration file is taken as it is.
  const bool named = arguments.config == "small" || arguments.config == "paper";
  for (const std::string& condition :
       run.dit.complete(data, named ? AbsentConditions::remove : AbsentConditions::refuse))
    std::cerr << "dit_train: no scan has a " << condition << "; the model is made without this condition\n";
  take_conditions(data, run.dit.model.conditions);
  const std::vector<std::string> lacking = absent_values(run.dit.model.conditions, data.conditions, data.scans.train);
  if (!lacking.empty())
    std::cerr << "dit_train: warning: no training scan has " << braing3n::detail::some_of(lacking, 8)
              << "; samples under " << (lacking.size() == 1 ? "it" : "them") << " are not learnt\n";
  run.dit.training = run.dit.training.resolved(static_cast<Index>(data.scans.train.size()));
}

}  // namespace

int dit_train_command(int argc, char** argv) {
  LatentArguments arguments;
  Program program("dit_train", "Trains a conditional diffusion transformer on the latents of a tokenizer.");
  arguments.add_to(program.app);
  program.alias("--labels", "--data");
  program.without({"--precision"});
  return program.run(argc, argv, [&]() -> int {
    guard_latents(arguments, program.common);
    const auto ctx = make_cpu_context(program.common);
    DitRun run;
    run.dit = arguments.training.load<DitTrainingConfig>();
    LatentData data = open_latent_data(*ctx, arguments.data, program.common.seed,
                                       [](const std::string& text) { std::cerr << "dit_train: " << text << '\n'; });
    run.tokenizer = data.file->model_hash();
    complete_run(run, data, arguments.training);
    std::optional<LoadedDecoder<Cpu>> decoder;
    if (!arguments.tokenizer.empty()) {
      decoder = load_decoder(*ctx, arguments.tokenizer);
      run.take_tokenizer(*decoder, *data.file, arguments.tokenizer);
    }
    Dit3d<Cpu, F32> model(*ctx, run.dit.model);
    initialize(model, program.common.seed);
    if (run.dit.model.gaussian_rank > 0) measure_gaussian(*ctx, data, model);
    const LatentPicture picture = decoder ? decoded_picture(*ctx, data, decoder->contract,
                                                            [&](const Tensor<float, Cpu>& z) { return (*decoder)(z); })
                                          : channel_picture(*ctx, data);

    const std::string people = trained_subjects_text(
        program.name(), data.scans.split,
        arguments.tokenizer.empty() ? TrainedSubjects{} : trained_subjects(std::filesystem::path(arguments.tokenizer)));
    std::optional<TimeBinFile> bins;
    DitTask<Cpu, F32>* running = nullptr;
    TrainingParts<DitTask<Cpu, F32>> parts;
    parts.data = &data.scans;
    parts.options = run.dit.training;
    parts.identity = {
        .kind = "dit3d", .config = json_text(run), .manifest_hash = data.scans.hash, .progress = {}, .extra = {}};
    parts.make_task = [&](Index start) {
      auto task = std::make_unique<DitTask<Cpu, F32>>(*ctx, model, data, run.dit, program.common.seed, start);
      running = task.get();
      const Index per_step = run.dit.training.batch * run.dit.training.accumulate;
      bins.emplace(TrainingFolder{arguments.training.out}.path / "time_bins.csv", start / per_step);
      task->on_bins = [&, per_step](const TimeBins& b) { bins->add(running->position() / per_step, b); };
      task->make_preview = [&] {
        return preview_samples(*ctx, model, data, picture, arguments.preview, arguments.preview_rows);
      };
      return task;
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
      if (running->time_bins()[0] > 0) std::cout << describe(running->time_bins()) << '\n';
    };
    return run_training(program, arguments.training, *ctx, model, parts);
  });
}
