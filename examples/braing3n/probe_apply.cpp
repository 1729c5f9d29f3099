// `probe --apply`: a saved probe applied to new features.
#include <iostream>

#include "braing3n/base/text.hpp"
#include "braing3n/data/manifest_cells.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/probe/apply_table.hpp"
#include "examples/braing3n/options/probe_settings.hpp"

namespace braing3n::examples {

namespace {

void tell_what_is_known(const SavedProbe& probe, const ProbeInput& in) {
  for (const std::string& w : in.warnings) std::cerr << "probe: " << w << '\n';
  // Predictions for subjects on whom the probe was fitted are better than those for others, and their gaps are smaller.
  if (!in.trained_on.empty())
    std::cerr << "probe: warning: the probes were fitted on " << in.trained_on.size()
              << " of these subjects, whose gaps are too small: "
              << braing3n::detail::some_of({in.trained_on.begin(), in.trained_on.end()}) << '\n';
  for (const SavedTask& t : probe.tasks)
    if (!t.range.known())
      std::cerr << "probe: " << t.name
                << ": the file has no record of the data of the fit; rows far outside of it are not detected (range: "
                   "unknown)\n";
}

}  // namespace

int apply_probes(const ProbeSettings& s, const CommonOptions& common) {
  if (s.features.size() != 1)
    fail(ErrorKind::argument, "probe.features", "--apply reads one feature file, got ", s.features.size());
  require_ending(s.out, {".csv", ".tsv", ""});
  guard_probe_files(s, common, {s.out});
  const FileLock lock = lock_file(s.out);
  const SavedProbe probe = read_saved_probe(s.apply);
  const PanelTables tables = tables_of(s);
  const ProbeInput in = with_advice([&] { return read_probe_input(probe, tables); });
  tell_what_is_known(probe, in);
  const ApplyOptions options{.calibrated = !s.uncalibrated, .unreadable = [](const std::string& sentence) {
                               std::cerr << "probe: " << sentence << '\n';
                             }};
  const AppliedProbe applied = write_probe_predictions(s.out, probe, in, options, {.overwrite = common.force});
  const Index rows = in.table.rows();
  for (std::size_t k = 0; k < applied.outside.size(); ++k)
    if (applied.outside[k] > 0)
      std::cerr << "probe: warning: " << probe.tasks[k].name << ": " << applied.outside[k] << " of " << rows
                << " rows are far outside the data of the fit, the first: " << applied.first_outside[k] << '\n';
  if (!common.quiet)
    std::cerr << "probe: " << rows - applied.unreadable << " rows, " << probe.tasks.size() << " tasks -> " << s.out
              << '\n';
  return applied.unreadable == 0 ? exit_done : applied.unreadable == rows ? exit_not_started : exit_some_failed;
}

}  // namespace braing3n::examples
