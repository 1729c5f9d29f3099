// The options of `inspect`.
#pragma once

#include <string>
#include <vector>

#include "braing3n/data/file_stamp.hpp"
#include "braing3n/data/manifest.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/report/config_report.hpp"
#include "braing3n/report/file_report.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/program.hpp"
#include "examples/support/scan_list.hpp"

namespace braing3n::examples {

struct InspectSettings {
  std::vector<std::string> files;
  std::string config, model;
  bool json = false, fast = false, strict = false, no_scans = false;
  ContractOptions contract;
  FileReportOptions report;
};

inline void add_inspect_options(CLI::App& app, InspectSettings& s) {
  app.add_flag("--json", s.json, "one JSON object per file");
  app.add_flag("--no-checksum", s.fast, "do not read whole files for their checksum");
  app.add_option("--config", s.config, "paper, or a JSON file with any of mae, decoder, dit: print parameter counts");
  app.add_option("FILE,--in", s.files,
                 "scans (.nii, .nii.gz, .hdr), manifests and tables (.csv, .tsv), safetensors, npy, npz");
  app.add_option("--model", s.model, "check scans against the contract of this model: a file, or the folder of a run");
  app.add_flag("--strict", s.strict, "warnings count as refusals (exit code 2)");
  app.add_option("--index", s.report.volume.index, "which volume of a scan file with several, from 0")
      ->check(at_least(0));
  app.add_option("--png", s.report.volume.png, "three planes of the scan as a picture (one scan)");
  app.add_option("--npy", s.report.volume.npy, "the scan's values as a NumPy array (one scan)");
  app.add_option("--pattern", s.report.manifest.pattern,
                 "paths for a manifest without them, for example sub-{participant_id}_T1w.nii.gz");
  app.add_flag("--no-scans", s.no_scans, "do not read the scans of a manifest (no search for copies)");
  s.contract.add_to(app);
}

/// The scans of a manifest are read too. A file that is no readable manifest has none; its report says why.
inline void guard_listed_scans(OutputGuard& guard, const std::string& path, ManifestOptions options) {
  const std::string ending = file_ending(path);
  if (ending != ".csv" && ending != ".tsv") return;
  options.check_files = options.need_paths = false;
  try {
    for (const auto& file : scan_files(read_manifest(std::filesystem::path(path), options))) guard.input(file);
  } catch (const Error&) {
  }
}

/// Checks what was given and fills in the options of the reports. Throws Error (argument).
inline void complete_inspect_settings(InspectSettings& s, const Program& program) {
  VolumeInspection& volume = s.report.volume;
  if (!s.model.empty()) s.contract.preset = s.model;
  if (!s.model.empty() || s.contract.given(program.app)) volume.contract = s.contract.contract();
  if (s.files.size() > 1 && !(volume.png.empty() && volume.npy.empty()))
    fail(ErrorKind::argument, "inspect.input", "--png and --npy take one scan");
  OutputGuard guard;
  for (const std::string& path : s.files) {
    for (const auto& file : braing3n::detail::files_of_scan(path)) guard.input(file);  // both halves of a pair
    if (!program.common.json_log.empty()) guard_listed_scans(guard, path, s.report.manifest);
  }
  guard.input(s.config);
  if (!s.model.empty()) guard.input(model_path(s.model));
  if (!volume.png.empty()) require_ending(volume.png, {".png"});
  if (!volume.npy.empty()) require_ending(volume.npy, {".npy"});
  for (const std::string& path : {volume.png, volume.npy, program.common.json_log}) guard.output(path);
  s.report.verify = !s.fast;
  s.report.reading.read_scans = !s.no_scans;
  s.report.subjects_note =
      "a table of subjects without paths to scans; "
      "--pattern \"sub-{participant_id}_T1w.nii.gz\" or the like makes it a manifest";
  volume.force = program.common.force;
}

}  // namespace braing3n::examples
