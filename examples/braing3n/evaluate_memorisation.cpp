// braing3n evaluate memorisation --model DIT --tokenizer TOKENIZER --latents latents.safetensors --data volumes.csv --split split.csv
//   --out FOLDER
#include "braing3n/study/memorisation.hpp"

#include "braing3n/study/memorisation_report.hpp"
#include "examples/braing3n/evaluate.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/run_study.hpp"
#include "examples/support/sampling_arguments.hpp"

namespace braing3n::examples {
namespace {

struct MemorisationArguments {
  study::MemorisationOptions options;
  SamplerArguments sampler;
  std::string out;
  CLI::Option* count = nullptr;
};

int run_memorisation(const Program& program, MemorisationArguments a) {
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  study::MemorisationOptions& o = a.options;
  const FileLock lock = open_results(out, common, {"memorisation.json", "tables.txt", "montage.png"},
                                     {{model_path(o.model), model_path(o.tokenizer), o.latents},
                                      cohort_files({.data = o.data, .split = o.split}),
                                      sample_files(o.samples)});
  if (!o.samples.empty() && a.count->count() > 0)
    fail(ErrorKind::argument, "memorisation.samples", "--samples and --n exclude each other");
  o.sampling = a.sampler.options(o.sampling.guidance);
  const study::MemorisationResult result = run_study(program, o, out);
  const Index lost = result.planted - result.planted_found;
  if (lost > 0) std::cerr << "evaluate: " << lost << " planted copies were not found\n";
  return lost > 0 ? exit_some_failed : exit_done;
}

}  // namespace

Evaluation evaluate_memorisation(CLI::App& app) {
  const auto a = std::make_shared<MemorisationArguments>();
  study::MemorisationOptions& o = a->options;
  app.add_option("--model", o.model, "a diffusion transformer: its file, or the folder of its run")->required();
  app.add_option("--tokenizer", o.tokenizer, "the tokenizer of its latents")->required();
  app.add_option("--latents", o.latents, "the latents that trained it (encode --latents)")->required();
  app.add_option("--data", o.data, "table with volume_id, subject_id and the conditions: volumes.csv")->required();
  app.add_option("--split", o.split, "table subject_id,split of the training")->required();
  app.add_option("--train", o.train, "the set that trained it");
  app.add_option("--samples", o.samples,
                 "a folder of generate: its samples are searched, made again from their sidecars");
  a->count = app.add_option("--n", o.n, "samples to make, under the conditions of training scans")
                 ->check(CLI::Range(1, 1000000));
  app.add_option("--cfg", o.sampling.guidance.scale, "guidance of these samples, 1: none");
  a->sampler.add_to(app);
  app.add_option("--plant", o.plant,
                 "number of training scans, slightly changed, planted among the samples to test the search")
      ->check(CLI::Range(0, 100000));
  app.add_option("--plant-noise", o.plant_noise,
                 "standard deviation of the noise on them, relative to that of the latents' channels")
      ->check(CLI::Range(0.0, 10.0));
  app.add_option("--seed", o.seed, "seed of the samples and of the planted scans");
  app.add_option("--pictures", o.pictures, "pairs in the picture")->check(CLI::Range(0, 100));
  app.add_option("--out", a->out, "folder for tables.txt, memorisation.json and montage.png")->required();
  return [a](const Program& program) { return run_memorisation(program, *a); };
}

}  // namespace braing3n::examples
