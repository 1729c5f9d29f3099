// braing3n evaluate controllability --model DIT --tokenizer TOKENIZER --data volumes.csv --split split.csv --out FOLDER
#include "braing3n/study/controllability.hpp"

#include "braing3n/study/controllability_report.hpp"
#include "examples/braing3n/evaluate.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/run_study.hpp"
#include "examples/support/sampling_arguments.hpp"

namespace braing3n::examples {
namespace {

struct ControllabilityArguments {
  study::ControllabilityOptions options;
  SamplerArguments sampler{.steps = 25};
  std::string out;
};

int run_controllability(const Program& program, ControllabilityArguments a) {
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  study::ControllabilityOptions& o = a.options;
  o.sampling = a.sampler.options();
  study::require_valid(o);
  const FileLock lock =
      open_results(out, common, {"controllability.json", "controllability.csv", "tables.txt", "montage.png"},
                   {{model_path(o.model), model_path(o.tokenizer), o.probe},
                    {o.chosen_with.begin(), o.chosen_with.end()},
                    cohort_files(o.cohort)});
  return report_left_out(run_study(program, o, out).left_out);
}

}  // namespace

Evaluation evaluate_controllability(CLI::App& app) {
  const auto a = std::make_shared<ControllabilityArguments>();
  study::ControllabilityOptions& o = a->options;
  app.add_option("--model", o.model, "a diffusion transformer: its file, or the folder of its run")->required();
  app.add_option("--tokenizer", o.tokenizer, "the tokenizer of its latents")->required();
  add_cohort_options(app, o.cohort);
  app.add_option("--train", o.train, "the set on which probes are fitted: subjects that trained the generator");
  app.add_option("--test", o.test, "the set of unseen subjects");
  app.add_option(
         "--contrasts", o.contrasts,
         "A-B (two values of disease), tumour, or a condition's name; NAME@MODALITY restricts it to one modality")
      ->delimiter(',');
  app.add_option("--n", o.n, "samples per class (idh1: and modality)");
  app.add_option("--cfg", o.guidance, "guidance scales, each with a table")->delimiter(',');
  app.add_option("--cfg-of", o.own_scales,
                 "NAME=SCALE,...: conditions that are guided with a scale of their own in every table");
  a->sampler.add_to(app);
  app.add_option("--probe-kinds", o.probe_kinds, "round-trip, real, latents, tokens; both: the first two")
      ->delimiter(',')
      ->check(CLI::IsMember({"round-trip", "real", "latents", "tokens", "both"}));
  app.add_option("--probe-scans", o.probe_scans,
                 "scans on which probes are fitted, at most (all scans of a subject or none)");
  app.add_option("--probe-half", o.half,
                 "subjects on whom probes are fitted: one half may choose the guidance, the other score")
      ->check(CLI::IsMember({"all", "first", "second"}));
  app.add_option("--probe", o.probe, "saved probes (probe --save, on features of this tokenizer) that are scored too");
  app.add_option("--chosen-with", o.chosen_with,
                 "controllability.json of an earlier study that chose the guidance: its probes may not score");
  app.add_option("--seed", o.seed, "seed of the samples");
  app.add_option("--out", a->out, "folder for tables.txt, controllability.csv, controllability.json and montage.png")
      ->required();
  return [a](const Program& program) { return run_controllability(program, *a); };
}

}  // namespace braing3n::examples
