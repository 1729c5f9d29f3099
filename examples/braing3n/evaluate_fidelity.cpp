// braing3n evaluate fidelity --model DIT --tokenizer TOKENIZER --data volumes.csv --split split.csv --out FOLDER
#include "braing3n/study/fidelity.hpp"

#include "braing3n/study/fidelity_report.hpp"
#include "examples/braing3n/evaluate.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/run_study.hpp"
#include "examples/support/sampling_arguments.hpp"

namespace braing3n::examples {
namespace {

struct FidelityArguments {
  study::FidelityOptions options;
  SamplerArguments sampler;
  std::string out;
};

int run_fidelity(const Program& program, FidelityArguments a) {
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  study::FidelityOptions& o = a.options;
  study::require_valid(o);
  const FileLock lock =
      open_results(out, common, {"fidelity.json", "tables.txt", "features.safetensors", "montage.png"},
                   {{model_path(o.model), model_path(o.tokenizer), o.truth, o.reference}, cohort_files(o.cohort)});
  o.sampling = a.sampler.options(o.sampling.guidance);
  return report_left_out(run_study(program, o, out).left_out);
}

}  // namespace

Evaluation evaluate_fidelity(CLI::App& app) {
  const auto a = std::make_shared<FidelityArguments>();
  study::FidelityOptions& o = a->options;
  app.add_option("--model", o.model, "a diffusion transformer: its file, or the folder of its run")->required();
  app.add_option("--tokenizer", o.tokenizer, "the tokenizer of its latents")->required();
  add_cohort_options(app, o.cohort);
  app.add_option("--train", o.train, "the set that trained the model");
  app.add_option("--test", o.test, "the set of unseen subjects");
  app.add_option("--truth", o.truth, "truth.csv of phantom_cohort: region volumes beside it");
  app.add_option("--n", o.samples, "samples of each arm")->check(CLI::Range(2, 100000));
  app.add_option("--cfg", o.sampling.guidance.scale, "guidance, 1: none");
  app.add_option("--cfg-of", o.own_scales, "NAME=SCALE,...: conditions that are guided with a scale of their own");
  a->sampler.add_to(app);
  app.add_option("--conditions", o.conditions, "conditions whose values become arms (default: all that have classes)")
      ->delimiter(',');
  app.add_option("--within", o.within,
                 "name=value,...: further conditions of every arm (default: modality=T1 where the model knows it)");
  app.add_option("--calibration", o.calibration,
                 "round trips of training scans on which the regression of region volumes is fitted")
      ->check(CLI::Range(10, 100000));
  app.add_option("--frechet", o.frechet, "unseen scans for Frechet distances, at most; 0: no Frechet distances")
      ->check(at_least(0));
  app.add_option("--reference", o.reference, "features.safetensors of another run: Frechet distance to its scans too");
  app.add_option("--seed", o.seed, "seed of the samples and of the halves");
  app.add_option("--pictures", o.pictures, "arms in the picture")->check(CLI::Range(0, 100));
  app.add_option("--out", a->out, "folder for tables.txt, fidelity.json, features.safetensors and montage.png")
      ->required();
  return [a](const Program& program) { return run_fidelity(program, *a); };
}

}  // namespace braing3n::examples
