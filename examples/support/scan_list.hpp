// Which scans a program is given: one file, or a manifest.
#pragma once

#include <iostream>
#include <string>
#include <vector>

#include "braing3n/data/manifest.hpp"
#include "braing3n/io/mapped_file.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

struct NamedScan {
  std::string id;
  std::filesystem::path path;
};

/// "sub-01_T1w" of "scans/sub-01_T1w.nii.gz"
inline std::string scan_name(const std::filesystem::path& path) {
  std::string name = path.filename().string();
  for (const std::string end : {".gz", ".nii", ".hdr", ".img"})
    if (braing3n::detail::ends_with_ignoring_case(name, end)) name.resize(name.size() - end.size());
  return name;
}

struct ScanArguments {
  std::string in, data;
  ManifestOptions manifest;
  bool strict = false;

  void add_to(CLI::App& app) {
    auto* one = app.add_option("--in", in, "one scan (.nii, .nii.gz, .hdr)");
    app.add_option("--data", data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern")->excludes(one);
    app.add_option("--pattern", manifest.pattern, "paths for a table without them, for example sub-{participant_id}_T1w.nii.gz");
    app.add_option("--missing", manifest.missing, "values of the table that stand for missing ones: -999 or age=-1, separated by commas")->delimiter(',')->default_str("");
    app.add_flag("--strict", strict, "refuse scans that differ from the model's contract");
  }

  /// Throws Error (argument) unless exactly one of --in and --data is given.
  std::vector<NamedScan> scans(bool quiet) const {
    if (in.empty() == data.empty()) fail(ErrorKind::argument, "scans.input", "expected --in SCAN or --data TABLE");
    if (!in.empty()) return {{scan_name(in), in}};
    const Manifest m = read_manifest(std::filesystem::path(data), manifest);
    if (!quiet)
      for (const Finding& f : m.findings) std::cerr << "  " << to_string(f.severity) << ": " << f.sentence << '\n';
    if (strict) m.findings.require_usable(true, data);
    std::vector<NamedScan> list;
    for (const ScanRow& s : m.scans) list.push_back({s.volume_id, s.path});
    return list;
  }
};

/// Tells one file's content from another's: CRC-32 and size. Empty when it cannot be read.
inline std::string file_hash(const std::filesystem::path& path) {
  try {
    const MappedFile file(path);
    Crc32 crc;
    crc.update(file.bytes());
    return concat(crc.hex(), "-", file.bytes().size());
  } catch (const Error&) {
    return {};
  }
}

}  // namespace braing3n::examples
