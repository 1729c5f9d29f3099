// Generation from end to end on synthetic subjects: a phantom cohort, a masked autoencoder, a tokenizer, a diffusion transformer, samples,
// and their evaluation by probes on round trips, on unseen subjects and by the phantoms' own truth.
//
//   braing3n study phantom --out DIR
//   braing3n study phantom --out DIR --smoke   checks only that everything works
//   braing3n study phantom --out DIR --evaluate --cfg 2      evaluates the models in the folder again
// Subjects are split once. The masked autoencoder, the tokenizer, the transformer and the probes are trained on the training subjects;
// figures come from the test subjects. Every step is one of the other commands and is printed.
#include "braing3n/format/file_lock.hpp"
#include "braing3n/train/presets.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/study_phantom_options.hpp"
#include "examples/support/study_folder.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

void write_configurations(const StudyPhantomOptions& o) {
  const PipelinePreset preset = phantom_study_preset(o.subjects);
  const auto write = [&](const char* name, const std::string& given, const auto& config) {
    write_text(o.study.folder / name, given.empty() ? json_text(config, 2) + "\n" : read_text(given),
               {.overwrite = true});
  };
  write("mae.json", o.mae, preset.mae);
  write("tokenizer.json", o.tokenizer, preset.tokenizer);
  write("dit.json", o.dit, preset.dit);
}

int study_phantom(const Program& program, const StudyPhantomOptions& o) {
  o.guard(program.common);
  const std::filesystem::path& out = o.study.folder;
  const FileLock lock = lock_folder(out);
  clear_study({out,
               {"cohort/volumes.csv", "split.csv", "latents.safetensors", "tokenizer/model.safetensors",
                "dit/model.safetensors"},
               {"cohort", "mae", "tokenizer", "latents.safetensors", "dit"},
               {"sweep", "controllability", "guidance", "fidelity", "memorisation"}},
              o.evaluate, program.common.force);
  StudySteps run(program, out, o.evaluate);
  if (!o.evaluate) {
    write_configurations(o);
    run(o.cohort_step());
    const Manifest cohort = read_manifest(std::filesystem::path(o.table()));
    write_split(out / "split.csv", study::phantom_study_split(cohort, o.study.smoke, o.study.seed),
                {.overwrite = true});
    for (const Step& step : o.training_steps()) run(step);
  }
  for (const Step& step : o.evaluation_steps()) run(step);
  run.summarise(o.study);
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
  return program.run(argc, argv, [&] {
    o.resolve(program.app, program.common.seed);
    return study_phantom(program, o);
  });
}
