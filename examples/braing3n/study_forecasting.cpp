// Forecasting from end to end on synthetic subjects with several visits: a cohort, a tokenizer, a field of rates, the published bridge, and the
// evaluation of both on unseen subjects beside simple rules and what can be known at all.
//
//   braing3n study forecasting --out DIR
//   braing3n study forecasting --out DIR --smoke                  checks only that everything works
//   braing3n study forecasting --out DIR --tokenizer TOKENIZER    with a tokenizer that is there
// Every step is one of the other commands and is printed.
#include "braing3n/format/file_lock.hpp"
#include "braing3n/train/presets.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/study_forecasting_options.hpp"
#include "examples/support/study_folder.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

int study_forecasting(const Program& program, const StudyForecastingOptions& o) {
  o.guard(program.common);
  const std::filesystem::path& out = o.study.folder;
  const FileLock lock = lock_folder(out);
  std::vector<std::string> models{"cohort/volumes.csv", "split.csv", "latents.safetensors", "field/model.safetensors",
                                  "bridge/model.safetensors"};
  if (o.tokenizer.empty()) models.push_back("tokenizer/model.safetensors");
  clear_study({out, models, {"cohort", "mae", "tokenizer", "latents.safetensors", "field", "bridge"}, {"forecasting"}},
              o.evaluate, program.common.force);
  StudySteps run(program, out, o.evaluate);
  if (!o.evaluate) {
    const PipelinePreset preset = phantom_study_preset(o.subjects);
    write_text(out / "mae.json", json_text(preset.mae, 2) + "\n", {.overwrite = true});
    write_text(out / "tokenizer.json", json_text(preset.tokenizer, 2) + "\n", {.overwrite = true});
    run(o.cohort_step());
    write_split(out / "split.csv",
                study::forecasting_study_split(read_manifest(std::filesystem::path(o.table())), o.study.seed),
                {.overwrite = true});
    for (const Step& step : o.training_steps()) run(step);
  }
  run(o.evaluation_step());
  run.summarise(o.study);
  std::cout << "tables and pictures in " << o.at("forecasting") << '\n';
  return exit_done;
}

}  // namespace

int study_forecasting_command(int argc, char** argv) {
  Program program("study forecasting",
                  "Runs forecasting from end to end on synthetic subjects and compares every figure with its target.");
  StudyForecastingOptions o;
  o.add_to(program.app);
  program.without({"--device", "--precision"});
  return program.run(argc, argv, [&] {
    o.resolve(program.app, program.common.seed);
    return study_forecasting(program, o);
  });
}
