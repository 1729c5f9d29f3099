// Which scans a program is given: one file, or a manifest.
#pragma once

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "braing3n/data/file_stamp.hpp"
#include "braing3n/data/loader.hpp"
#include "braing3n/data/manifest.hpp"
#include "braing3n/format/mapped_file.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

struct NamedScan {
  std::string id;
  std::filesystem::path path;
  Index volume = -1;  // of a file with several; -1: it must have one
};

inline std::vector<std::string> ids_of(const std::vector<NamedScan>& scans) {
  std::vector<std::string> ids;
  for (const NamedScan& s : scans) ids.push_back(s.id);
  return ids;
}

inline std::vector<ScanFile> files_of(const std::vector<NamedScan>& scans) {
  std::vector<ScanFile> files;
  for (const NamedScan& s : scans) files.push_back({s.path, s.volume});
  return files;
}

/// "sub-01_T1w" of "scans/sub-01_T1w.nii.gz"
inline std::string scan_name(const std::filesystem::path& path) {
  std::string name = path.filename().string();
  for (const std::string end : {".gz", ".nii", ".hdr", ".img"})
    if (braing3n::detail::ends_with_ignoring_case(name, end)) name.resize(name.size() - end.size());
  return name;
}

/// The scans of a table; what was found in it is printed unless `quiet`. Throws Error: format, file, argument (strict: findings).
inline std::vector<NamedScan> scans_of_table(const std::string& data, const ManifestOptions& options, bool strict,
                                             bool quiet) {
  const Manifest m = read_manifest(std::filesystem::path(data), options);
  if (!quiet)
    for (const Finding& f : m.findings) std::cerr << "  " << to_string(f.severity) << ": " << f.sentence << '\n';
  if (strict) m.findings.require_usable(true, data);
  std::vector<NamedScan> list;
  for (const ScanRow& s : m.scans) list.push_back({s.volume_id, s.path, s.volume_index});
  return list;
}

/// --index holds for every scan. Throws Error (argument) where the table names volumes too.
inline std::vector<NamedScan> with_index(std::vector<NamedScan> scans, Index index) {
  if (index < 0) return scans;
  for (NamedScan& s : scans) {
    if (s.volume >= 0)
      fail(ErrorKind::argument, "scans.index", "the table names volume ", s.volume, " of ", s.path.string(),
           " in its column volume_index; expected that column or --index, got both");
    s.volume = index;
  }
  return scans;
}

/// The files of all scans of a manifest, both of a pair.
inline std::vector<std::filesystem::path> scan_files(const Manifest& m) {
  std::vector<std::filesystem::path> files;
  for (const ScanRow& s : m.scans)
    if (!s.path.empty())
      for (const auto& file : braing3n::detail::files_of_scan(s.path)) files.push_back(file);
  return files;
}

/// No result may replace a scan, nor the other file of its pair.
inline void guard_scans(OutputGuard& guard, const std::vector<NamedScan>& scans) {
  for (const NamedScan& s : scans)
    for (const auto& file : braing3n::detail::files_of_scan(s.path)) guard.input(file);
}

inline constexpr const char* index_help =
    "which volume of files with several, from 0, for all; a table may name one for each scan in a column volume_index";

struct ScanArguments {
  std::string in, data;
  ManifestOptions manifest;
  bool strict = false;
  Index index = -1;  // which volume of files with several

  void add_to(CLI::App& app) {
    auto* one = app.add_option("--in", in, "one scan (.nii, .nii.gz, .hdr)");
    app.add_option("--data", data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern")
        ->excludes(one);
    app.add_option("--pattern", manifest.pattern,
                   "paths for a table without them, for example sub-{participant_id}_T1w.nii.gz");
    add_missing(app, manifest.missing);
    app.add_flag("--strict", strict,
                 "refuse scans whose values or places are not what the model's contract expects (warnings)");
    app.add_option("--index", index, index_help)->check(at_least(0));
  }

  /// Throws Error (argument) unless exactly one of --in and --data is given.
  std::vector<NamedScan> scans(bool quiet) const {
    if (in.empty() == data.empty()) fail(ErrorKind::argument, "scans.input", "expected --in SCAN or --data TABLE");
    if (!in.empty()) return with_index({{scan_name(in), in}}, index);
    return with_index(scans_of_table(data, manifest, strict, quiet), index);
  }
};

/// What the program reads of them.
inline void guard_inputs(OutputGuard& guard, const ScanArguments& arguments, const std::vector<NamedScan>& scans) {
  guard.input(arguments.data);
  guard_scans(guard, scans);
}

/// Voxels of the largest scan, by the headers; a header that cannot be read counts as none and is an error when the scan is read.
inline Index largest_scan(const std::vector<NamedScan>& scans) {
  Index most = 0;
  for (const NamedScan& scan : scans) {
    try {
      most = std::max(most, voxel_count(read_nifti_info(scan.path).header.shape()));
    } catch (const Error&) {
    }
  }
  return most;
}

/// Identifies the content of a scan, of both files of a pair: CRC-32 and size. Empty when it cannot be read.
inline std::string file_hash(const std::filesystem::path& path) {
  try {
    Crc32 crc;
    std::size_t bytes = 0;
    for (const auto& part : braing3n::detail::files_of_scan(path)) {
      const MappedFile file(part);
      crc.update(file.bytes());
      bytes += file.bytes().size();
    }
    return concat(crc.hex(), "-", bytes);
  } catch (const Error&) {
    return {};
  }
}

}  // namespace braing3n::examples
