// Follow-ups of a patient's scan at requested horizons.
//
//   braing3n forecast --model FORECASTER --tokenizer T --in scan.nii.gz --age 71 --sex F --disease MCI --years 1,2,5,10 --out DIR
//   braing3n forecast --redo DIR/SYNTHETIC_scan_5y.json --out AGAIN                                       the same bytes
// The results have the scan's own voxels and intensities. What the tokenizer cannot hold is taken from the scan.
#include "braing3n/data/loader.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/report/forecast_tissue.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/sample_pictures.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/forecast_options.hpp"
#include "examples/support/context.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/tell_findings.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

int forecast(const Program& program, const ForecastOptions& o, const std::optional<ForecastRecord>& again) {
  const CommonOptions& common = program.common;
  CommonOptions machine = common;
  if (again && machine.provider.empty()) machine.provider = again->provider;
  const auto ctx = make_cpu_context(machine);
  const auto field = load_rate_field<F32>(*ctx, o.model);
  const auto tokenizer = load_tokenizer<F32>(*ctx, o.tokenizer);
  const Dit3dConfig& network = field.model.config.network;
  require_tokenizer(network, field.origin, tokenizer.model.config, tokenizer.hash, o.tokenizer);
  const ForecastPlan plan = o.plan_of(network.conditions, again);
  Findings told;
  if (!field.origin.ranges.empty())
    told = require_forecastable(config_from_text<ForecastRanges>(field.origin.ranges, o.model), plan.age, plan.years,
                                {.backwards = o.backwards});
  o.guard(common);
  JsonLog log(common.json_log);
  const WriteOptions write{.overwrite = common.force};
  const std::filesystem::path folder = o.out;
  const FileLock lock = lock_file(folder / (o.name(o.years.front()) + ".nii.gz"));

  const NiftiVolume scan = read_nifti(*ctx, o.in, {.volume = o.index});
  const Preprocessed p = preprocess_read(*ctx, scan, o.in, tokenizer.contract, {.strict = o.strict});
  FindingLog findings;
  findings.add(0, o.in, p.findings);
  findings.add(0, o.in, told);
  tell_findings(findings, log, common.quiet);
  Progress progress("forecast", std::ssize(o.years) + 1, common.quiet);
  const ScanForecasts f = forecast_scan(*ctx, tokenizer, field, scan.volume, p, plan,
                                        o.decoded ? ForecastDetail::decoded : ForecastDetail::scan, [&] {
                                          stop_if_interrupted();
                                          progress.advance();
                                        });
  progress.close();
  ForecastRecord record = o.record(plan, network.conditions, again);
  record.provider = ctx->provider().name;
  record.model = {recorded_path(o.model), field.hash};
  record.tokenizer = {recorded_path(o.tokenizer), tokenizer.hash};
  int code = exit_done;
  std::vector<Tensor<float, Cpu>> shown{f.baseline};
  std::vector<std::string> captions{concat("baseline, ", number_text(plan.age), " years")};
  for (const ScanForecast& h : f.horizons) {
    record.years = h.years;
    record.file = o.name(h.years) + ".nii.gz";
    const ForecastRecord written = write_sample(*ctx, folder, h.volume, record, write);
    if (again && written.crc32 != again->crc32) code = exit_some_failed;
    log.event("forecast", {{"file", written.file}, {"years", h.years}});
    shown.push_back(h.decoded);
    captions.push_back(concat("in ", number_text(h.years), " years"));
  }
  if (o.pictures())
    write_png(folder / "montage.png", sample_montage(*ctx, tokenizer.contract, shown, captions, shown.size()), write);
  if (!again) {
    const ForecastTissue tissue = forecast_tissue(f, tokenizer.contract);
    write_tissue(o.table(), tissue, write);
    tissue_table(tissue).print(std::cout);
  }
  std::cout << f.horizons.size() << " SYNTHETIC follow-ups in " << folder.string();
  if (again) std::cout << (code == exit_done ? ": the same bytes as before" : ": not the same bytes as before");
  std::cout << '\n';
  return code;
}

}  // namespace

int forecast_command(int argc, char** argv) {
  ForecastOptions o;
  Program program("forecast", "Forecasts a scan's follow-ups at requested horizons. Results are marked SYNTHETIC.");
  o.add_to(program.app);
  program.without({"--seed", "--precision"});
  return program.run(argc, argv, [&] {
    const std::optional<ForecastRecord> record = o.resolve(program.app);
    return forecast(program, o, record);
  });
}
