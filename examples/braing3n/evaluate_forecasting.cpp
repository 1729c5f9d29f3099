// braing3n evaluate forecasting --model FORECASTER --tokenizer TOKENIZER --latents latents.safetensors --data volumes.csv --split split.csv --out FOLDER
#include <memory>

#include "braing3n/study/forecasting.hpp"
#include "braing3n/study/forecasting_report.hpp"
#include "examples/braing3n/evaluate.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/run_study.hpp"

namespace braing3n::examples {
namespace {

struct ForecastingArguments {
  study::ForecastingOptions options;
  std::string out;
};

int run_forecasting(const Program& program, const ForecastingArguments& a) {
  const study::ForecastingOptions& o = a.options;
  std::vector<std::filesystem::path> models{model_path(o.model), model_path(o.tokenizer), o.truth, o.latents};
  if (!o.bridge.empty()) models.push_back(model_path(o.bridge));
  const FileLock lock = open_results(
      a.out, program.common, {"forecasting.json", "forecasting.csv", "tables.txt", "readings.json", "montage.png"},
      {models, {o.cohort.data, o.cohort.split}});
  run_study(program, o, a.out);
  return exit_done;
}

}  // namespace

Evaluation evaluate_forecasting(CLI::App& app) {
  const auto a = std::make_shared<ForecastingArguments>();
  study::ForecastingOptions& o = a->options;
  app.add_option("--model", o.model, "a field of rates: its file, or the folder of its run")->required();
  app.add_option("--bridge", o.bridge, "the published bridge beside it (forecast_train --bridge)");
  app.add_option("--tokenizer", o.tokenizer, "the tokenizer of their latents")->required();
  app.add_option("--latents", o.latents, "latents of all visits (encode --latents)")->required();
  add_cohort_options(app, o.cohort);
  app.remove_option(app.get_option("--pattern"));  // no scan is read
  app.add_option("--train", o.train, "the set that trained the models; rules and probes are fitted on it");
  app.add_option("--validation", o.validation, "the set on which intervals are scaled");
  app.add_option("--test", o.test, "the set of unseen subjects");
  app.add_option("--truth", o.truth, "truth.csv of phantom_cohort: volumes beside age, and what can be known at all");
  app.add_option("--over", o.over, "diagnosis whose growth is compared with that of --under");
  app.add_option("--under", o.under, "the other diagnosis");
  app.add_option("--coverage", o.coverage, "share of second visits that the intervals should hold")
      ->check(CLI::Range(0.5, 0.99));
  app.add_option("--probe-scans", o.probe_scans, "round trips of training scans on which probes are fitted, at most")
      ->check(CLI::Range(10, 100000));
  app.add_option("--bridge-steps", o.bridge_steps, "steps of a bridge")->check(CLI::Range(1, 1000));
  app.add_option("--oracle-draws", o.oracle_draws, "phantoms on which what can be known is fitted")
      ->check(CLI::Range(10'000, 10'000'000));
  app.add_option("--seed", o.seed, "seed of noise");
  app.add_option("--pictures", o.pictures, "subjects in the picture")->check(CLI::Range(0, 100));
  app.add_option("--out", a->out,
                 "folder for tables.txt, forecasting.csv, forecasting.json, readings.json and montage.png")
      ->required();
  return [a](const Program& program) { return run_forecasting(program, *a); };
}

}  // namespace braing3n::examples
