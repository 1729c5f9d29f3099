// Follow-ups of a patient's scan at requested horizons, or of all scans of a table.
//
//   braing3n forecast --model FORECASTER --tokenizer T --in scan.nii.gz --age 71 --sex F --disease MCI --years 1,2,5,10 --out DIR
//   braing3n forecast --model FORECASTER --tokenizer T --data volumes.csv --years 1,5 --readings readings.json --out DIR
//   braing3n forecast --redo DIR/SYNTHETIC_scan_5y.json --out AGAIN                                       the same bytes
// The results have the scan's own voxels and intensities. What the tokenizer cannot hold is taken from the scan.
#include "braing3n/format/file_lock.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/forecast_run.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

int forecast(const Program& program, const ForecastOptions& o, const std::optional<ForecastRecord>& again) {
  const CommonOptions& common = program.common;
  ForecastRun run(common, o, again);
  std::optional<Manifest> table;
  const std::vector<Baseline> all = o.baselines(table, common.quiet);
  if (Findings told; o.single()) (void)run.plan(all[0], table, told);  // before anything is made
  o.guard(common, all);
  // Runs that share a folder would lose each other's table; --redo writes none.
  const FileLock lock = lock_file(
      again ? std::filesystem::path(o.out) / (forecast_name(all[0].name, o.years[0]) + ".nii.gz") : o.table());
  run.begin(std::ssize(all));
  Index failed = 0;
  bool stopped = false;
  for (std::size_t i = 0; i < all.size() && !stopped; ++i) {
    try {
      run.add(static_cast<Index>(i), all[i], table);
    } catch (const Error& e) {
      if (o.single() || e.kind() == ErrorKind::environment) throw;
      run.failed(all[i], e.what());
      ++failed;
    } catch (const Interrupted&) {
      if (o.single()) throw;
    }
    stopped = interrupted();
  }
  run.finish();
  std::cout << run.made() << " SYNTHETIC follow-ups in " << o.out;
  if (again) std::cout << (run.same() ? ": the same bytes as before" : ": not the same bytes as before");
  if (failed > 0) std::cout << "; " << failed << " of " << all.size() << " scans failed";
  std::cout << '\n';
  return stopped ? exit_interrupted : failed > 0 || !run.same() ? exit_some_failed : exit_done;
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
