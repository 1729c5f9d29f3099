// Generation from end to end on synthetic subjects: a phantom cohort, a masked autoencoder, a tokenizer, a diffusion transformer, samples,
// and their evaluation by probes on round trips, on unseen subjects and by the phantoms' own truth.
//
//   braing3n study phantom --out DIR
//   braing3n study phantom --out DIR --smoke   checks only that everything works
//   braing3n study phantom --out DIR --evaluate --cfg 2      evaluates the models in the folder again
// Subjects are split once. The masked autoencoder, the tokenizer, the transformer and the probes are trained on the training subjects;
// figures come from the test subjects. Every step is one of the other commands and is printed.
#include <sstream>

#include "braing3n/format/file_lock.hpp"
#include "braing3n/train/presets.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/study_phantom_options.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

/// Removes an earlier run and writes the configurations, or checks that there are models to evaluate again.
void prepare(const StudyPhantomOptions& o, const CommonOptions& common) {
  const std::filesystem::path& out = o.study.folder;
  const auto remove = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) std::filesystem::remove_all(out / name);
  };
  if (o.evaluate) {
    for (const char* needed : {"cohort/volumes.csv", "split.csv", "latents.safetensors", "tokenizer/model.safetensors",
                               "dit/model.safetensors"})
      if (!std::filesystem::exists(out / needed))
        throw Error(ErrorKind::file, "study.models", concat(needed, " is not there: run the whole study first"),
                    out.string());
  } else {
    if (!common.force && std::filesystem::exists(out / "cohort"))
      throw Error(ErrorKind::file, "study.exists",
                  "holds a study already; --force replaces it, --evaluate goes on with it", out.string());
    remove({"cohort", "mae", "tokenizer", "latents.safetensors", "dit", "steps.json", "output.txt"});
    const PipelinePreset preset = phantom_study_preset(o.subjects);
    const auto write = [&](const char* name, const std::string& given, const auto& config) {
      write_text(out / name, given.empty() ? json_text(config, 2) + "\n" : read_text(given), {.overwrite = true});
    };
    write("mae.json", o.mae, preset.mae);
    write("tokenizer.json", o.tokenizer, preset.tokenizer);
    write("dit.json", o.dit, preset.dit);
  }
  remove({"sweep", "controllability", "guidance", "fidelity", "memorisation"});
}

int study_phantom(const Program& program, const StudyPhantomOptions& o) {
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
    const Manifest cohort = read_manifest(std::filesystem::path(o.table()));
    write_split(out / "split.csv", study::phantom_study_split(cohort, o.study.smoke, o.study.seed),
                {.overwrite = true});
    for (const Step& step : o.training_steps()) run(step);
  }
  for (const Step& step : o.evaluation_steps()) run(step);

  QuietObserver observer;
  const study::PhantomStudyResult result = study::run(o.study, pipeline.times(), observer);
  std::ostringstream text;
  study::print(text, result);
  text << '\n';
  print_times(text, pipeline.times(), "");
  std::cout << text.str();
  write_text(out / "summary.txt", text.str(), {.overwrite = true});
  write_text(out / "summary.json", study::result_json(result).dump(2) + "\n", {.overwrite = true});
  std::cout << "tables in " << o.at("controllability") << ", " << o.at("guidance") << ", " << o.at("fidelity") << ", "
            << o.at("memorisation") << "; pictures there and in " << o.at("sweep/montage.png") << '\n';
  return exit_done;
}

}  // namespace

int study_phantom_command(int argc, char** argv) {
  Program program("study phantom",
                  "Runs generation from end to end on synthetic subjects and compares every figure with its target.");
  StudyPhantomOptions o;
  o.add_to(program.app);
  program.without({"--device", "--precision"});
  return program.run(argc, argv, [&] {
    o.resolve(program.app, program.common.seed);
    return study_phantom(program, o);
  });
}
