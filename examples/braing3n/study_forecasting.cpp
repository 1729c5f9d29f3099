// Forecasting from end to end on synthetic subjects with several visits: a cohort, a tokenizer, a field of rates, the published bridge, and the
// evaluation of both on unseen subjects beside simple rules and what can be known at all.
//
//   braing3n study forecasting --out DIR
//   braing3n study forecasting --out DIR --smoke                  checks only that everything works
//   braing3n study forecasting --out DIR --tokenizer TOKENIZER    with a tokenizer that is there
// Every step is one of the other commands and is printed.
#include <sstream>

#include "braing3n/format/file_lock.hpp"
#include "braing3n/train/presets.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/study_forecasting_options.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// Removes an earlier run and writes the configurations, or checks that there are models to evaluate again.
void prepare(const StudyForecastingOptions& o, const CommonOptions& common) {
  const std::filesystem::path& out = o.study.folder;
  const auto remove = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) std::filesystem::remove_all(out / name);
  };
  if (o.evaluate) {
    for (const char* needed : {"cohort/volumes.csv", "split.csv", "latents.safetensors", "field/model.safetensors",
                               "bridge/model.safetensors"})
      if (!std::filesystem::exists(out / needed))
        throw Error(ErrorKind::file, "study.models", concat(needed, " is not there: run the whole study first"),
                    out.string());
  } else {
    if (!common.force && std::filesystem::exists(out / "cohort"))
      throw Error(ErrorKind::file, "study.exists",
                  "holds a study already; --force replaces it, --evaluate goes on with it", out.string());
    remove({"cohort", "mae", "tokenizer", "latents.safetensors", "field", "bridge", "steps.json", "output.txt"});
    const PipelinePreset preset = phantom_study_preset(o.subjects);
    write_text(out / "mae.json", json_text(preset.mae, 2) + "\n", {.overwrite = true});
    write_text(out / "tokenizer.json", json_text(preset.tokenizer, 2) + "\n", {.overwrite = true});
  }
  remove({"forecasting"});
}

int study_forecasting(const Program& program, const StudyForecastingOptions& o) {
  o.guard(program.common);
  const std::filesystem::path& out = o.study.folder;
  const FileLock lock = lock_folder(out);
  prepare(o, program.common);
  const bool known = o.evaluate && std::filesystem::exists(out / "steps.json");
  Pipeline pipeline(program, out / "output.txt",
                    known ? study::training_times(study::read_step_times(out / "steps.json")) : study::StepTimes());
  const auto run = [&](const Step& step) {
    pipeline(step);
    write_text(out / "steps.json", study::result_json(pipeline.times().all()).dump(2) + "\n", {.overwrite = true});
  };
  if (!o.evaluate) {
    run(o.cohort_step());
    write_split(out / "split.csv",
                study::forecasting_study_split(read_manifest(std::filesystem::path(o.table())), o.study.seed),
                {.overwrite = true});
    for (const Step& step : o.training_steps()) run(step);
  }
  run(o.evaluation_step());
  QuietObserver observer;
  const study::ForecastingStudyResult result = study::run(o.study, pipeline.times(), observer);
  std::ostringstream text;
  study::print(text, result);
  text << '\n';
  print_times(text, pipeline.times(), "");
  std::cout << text.str();
  write_text(out / "summary.txt", text.str(), {.overwrite = true});
  write_text(out / "summary.json", study::result_json(result).dump(2) + "\n", {.overwrite = true});
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
