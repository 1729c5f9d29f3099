// Linear probes on a table of features: a panel of tasks with folds, intervals, confounds and a report; or a saved probe applied.
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/probe_settings.hpp"

using namespace braing3n;
using namespace braing3n::examples;

int probe_command(int argc, char** argv) {
  Program program("probe",
                  "Linear probes on features: scores with intervals, confounds, a report; or a saved probe applied to "
                  "new features.");
  ProbeSettings s;
  CLI::App& app = program.app;
  add_table_options(app, s);
  add_fit_options(app, s);
  app.footer(
      "Examples:\n"
      "  braing3n probe --features thickness.csv --labels subjects.csv --tasks age,sex --out results\n"
      "  braing3n probe --features a.safetensors b.safetensors --labels volumes.csv --tasks "
      "\"disease:HC|AD,idh1@modality=T1c,cdr=class\" --out "
      "results\n"
      "  braing3n probe --features train.csv --labels subjects.csv --tasks age --out results --save age.safetensors\n"
      "  braing3n probe --apply age.safetensors --features new.csv --labels new_subjects.csv --out predicted.csv\n"
      "Exit codes: 0 done; 1 done, but a task or row failed or a leak was found; 2 nothing could start; 3 no memory or "
      "disk left.");
  return program.run(argc, argv, [&] {
    if (program.common.precision != "f32")
      fail(ErrorKind::argument, "probe.precision", "--precision: probes read float32 features, got ",
           program.common.precision);
    if (!s.apply.empty()) return apply_probes(s, program.common);
    if (s.labels.empty()) {  // one CSV may hold both
      const std::string ending = s.features.size() == 1 ? file_ending(s.features[0]) : std::string();
      if (ending != ".csv" && ending != ".tsv")
        fail(ErrorKind::argument, "probe.labels",
             "--labels is required, unless one CSV holds features and labels, or --apply is given");
      s.labels = s.features[0];
    }
    return fit_probes(s, program.common);
  });
}
