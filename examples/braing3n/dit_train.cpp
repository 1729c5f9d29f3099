// Trains a conditional diffusion transformer on cached latents.
//
//   braing3n dit_train --latents latents.safetensors --labels volumes.csv --tokenizer TOKENIZER --out DIT --config small
// In the folder, beside what every training leaves there: time_bins.csv, the validation losses by t.
#include <cstdio>
#include <optional>

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/models/dit_memory.hpp"
#include "braing3n/train/dit_preview.hpp"
#include "braing3n/train/latent_gaussian.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/latent_arguments.hpp"
#include "examples/support/unseen_people.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// What a state belongs to.
struct RunConfig {
  DitTrainingConfig dit;
  std::string tokenizer;  // hash of the tokenizer that made the latents

  static void visit(auto& self, auto&& v) {
    v("dit", self.dit);
    v("tokenizer", self.tokenizer);
  }
};

/// Losses by t over the steps; a resumed run keeps the lines up to its own step.
class TimeBinFile {
 public:
  TimeBinFile(std::filesystem::path path, Index first_step) : path_(std::move(path)) {
    std::error_code ignored;
    if (first_step == 0 || !std::filesystem::exists(path_, ignored)) return;
    const CsvTable table(path_);
    for (std::size_t r = 0; r < table.rows(); ++r) {
      const std::optional<Index> step = table.integer(r, 0);
      if (!step || *step > first_step) continue;
      std::vector<std::string>& cells = rows_.emplace_back();
      for (std::size_t c = 0; c < table.columns(); ++c) cells.emplace_back(table.cell(r, c));
    }
  }
  void add(Index step, const TimeBins& bins) {
    std::vector<std::string> header = {"step"};
    std::vector<std::string>& cells = rows_.emplace_back(1, std::to_string(step));
    for (std::size_t b = 0; b < bins.size(); ++b) {
      header.push_back(concat("t_", static_cast<double>(b) / 10.0));
      cells.push_back(Json(bins[b]).dump());
    }
    CsvWriter file(path_, header, {.overwrite = true, .durable = false});
    for (const auto& row : rows_) file.cells(row);
    file.finish();
  }

 private:
  std::filesystem::path path_;
  std::vector<std::vector<std::string>> rows_;
};

std::string table_of(const TimeBins& bins) {
  std::string line = "validation loss by t, noise at 1:";
  for (std::size_t b = 0; b < bins.size(); ++b) {
    char number[32];
    std::snprintf(number, sizeof number, "%s %.3f", b > 0 ? "," : "", bins[b]);
    line += number;
  }
  return line;
}

}  // namespace

int dit_train_command(int argc, char** argv) {
  LatentArguments arguments;
  std::string tokenizer_path;
  Index preview_rows = 3;
  SamplingOptions preview{.steps = 20, .guidance = {.scale = 1.5}};
  Program program("dit_train", "Trains a conditional diffusion transformer on the latents of a tokenizer.");
  arguments.add_to(program.app);
  program.app.add_option("--tokenizer", tokenizer_path,
                         "the tokenizer of the latents: previews then show volumes, and its hash is checked");
  program.app.add_option("--preview-steps", preview.steps, "steps of the samples in the pictures")
      ->check(CLI::Range(1, 1000));
  program.app.add_option("--preview-rows", preview_rows, "samples in the pictures")->check(CLI::Range(1, 32));
  program.without({"--precision"});
  return program.run(argc, argv, [&]() -> int {
    const std::string name = program.name();
    OutputGuard guard;
    for (const auto& input : {arguments.data.latents, arguments.data.labels, arguments.data.split}) guard.input(input);
    if (!tokenizer_path.empty()) guard.input(model_path(tokenizer_path));
    guard_training(guard, arguments.training, program.common);
    const auto ctx = make_cpu_context(program.common);
    RunConfig run;
    run.dit = arguments.training.load<DitTrainingConfig>();
    LatentData data = open_latent_data(*ctx, arguments.data, program.common.seed,
                                       [&](const std::string& text) { std::cerr << name << ": " << text << '\n'; });
    run.tokenizer = data.file->model_hash();
    // The configurations with a name have all conditions of the paper; who writes a file means the conditions in it.
    const bool named = arguments.training.config == "small" || arguments.training.config == "paper";
    const std::vector<std::string> removed =
        run.dit.complete(data, named ? AbsentConditions::remove : AbsentConditions::refuse);
    for (const std::string& condition : removed)
      std::cerr << name << ": no scan has a " << condition << "; the model is made without this condition\n";
    take_conditions(data, run.dit.model.conditions);
    if (const std::vector<std::string> lacking =
            absent_values(run.dit.model.conditions, data.conditions, data.scans.train);
        !lacking.empty())
      std::cerr << name << ": warning: no training scan has " << braing3n::detail::some_of(lacking, 8)
                << "; samples under " << (lacking.size() == 1 ? "it" : "them") << " are not learnt\n";
    run.dit.training = run.dit.training.resolved(static_cast<Index>(data.scans.train.size()));

    std::optional<LoadedDecoder<Cpu>> decoder;
    if (!tokenizer_path.empty()) {
      decoder = load_decoder(*ctx, tokenizer_path);
      if (decoder->config.bottleneck != data.file->channels() || decoder->config.encoder.grid() != data.file->grid() ||
          (!run.tokenizer.empty() && run.tokenizer != decoder->hash))
        throw Error(ErrorKind::config, "dit3d.tokenizer",
                    concat("the latents were made by tokenizer ", run.tokenizer, ", this one is ", decoder->hash),
                    tokenizer_path);
      run.tokenizer = decoder->hash;
    }
    Dit3d<Cpu, F32> model(*ctx, run.dit.model);
    initialize(model, program.common.seed);
    if (run.dit.model.gaussian_rank > 0) measure_gaussian(*ctx, data, model);
    const LatentPicture picture = decoder ? decoded_picture(*ctx, data, decoder->contract,
                                                            [&](const Tensor<float, Cpu>& z) { return (*decoder)(z); })
                                          : channel_picture(*ctx, data);

    const std::string people = people_of_training(
        name, data.scans.split,
        tokenizer_path.empty() ? TrainedPeople{} : trained_people(std::filesystem::path(tokenizer_path)));
    std::optional<TimeBinFile> bins;
    DitTask* running = nullptr;
    TrainingParts<DitTask> parts;
    parts.identity = {
        .kind = "dit3d", .config = json_text(run), .manifest_hash = data.scans.hash, .progress = {}, .extra = {}};
    parts.make_task = [&](Index start) {
      auto task = std::make_unique<DitTask>(*ctx, model, data, run.dit, program.common.seed, start);
      running = task.get();
      const Index per_step = run.dit.training.batch * run.dit.training.accumulate;
      bins.emplace(TrainingFolder{arguments.training.out}.path / "time_bins.csv", start / per_step);
      task->on_bins = [&, per_step](const TimeBins& b) { bins->add(running->position() / per_step, b); };
      task->make_preview = [&] { return preview_samples(*ctx, model, data, picture, preview, preview_rows); };
      return task;
    };
    parts.save_model = [&](const std::filesystem::path& path, const std::string& provenance) {
      ModelInfo info;
      info.provenance = concat(provenance, "; latents ", data.file->checksum(), " of tokenizer ", run.tokenizer);
      info.extra["people"] = people;
      save_dit(path, model, data.statistics, run.tokenizer, data.file->preprocessing(), info, {.overwrite = true});
    };
    parts.step_bytes =
        plan_training_pass<F32>(run.dit.model, run.dit.training.batch, run.dit.training.recompute_blocks);
    parts.at_the_end = [&] {
      if (running->time_bins()[0] > 0) std::cout << table_of(running->time_bins()) << '\n';
    };
    ScanFailures failures;
    return run_training(program, arguments.training, *ctx, model, data.scans, run.dit.training, parts, failures);
  });
}
