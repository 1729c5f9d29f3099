// The options of `braing3n reconstruct`, and where its results go.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/format/file_lock.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/scan_list.hpp"

namespace braing3n::examples {

struct ReconstructOptions {
  std::string model, out, png;
  bool pictures = false;
  Index max_memory = 0;  // MB
  ScanArguments scans;
  ContractOptions contract;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a tokenizer: its file, or the folder of its run")->required();
    scans.add_to(app);
    app.add_option("--out", out, "the reconstruction (.nii.gz); with --data a folder")->required();
    app.add_option("--png", png, "picture of input, reconstruction and difference, for --in");
    app.add_flag("--pictures", pictures, "a picture beside each reconstruction, for --data");
    contract.add_to(app);
    app.add_option("--max-memory", max_memory,
                   "MB that the whole program may take, 0: no limit; the decoder then works in slabs, slower, "
                   "with the same result")
        ->check(at_least(0));
  }

  /// One scan is given by --in, a cohort by --data.
  bool single() const { return !scans.in.empty(); }
  std::filesystem::path table() const { return std::filesystem::path(out) / "scores.csv"; }
  std::filesystem::path output(const NamedScan& s) const {
    const std::filesystem::path folder = out;
    return single() ? folder : folder / (file_name_part(s.id) + "_RECONSTRUCTION.nii.gz");
  }
  std::filesystem::path picture(const NamedScan& s) const {
    if (single()) return png;
    return pictures ? std::filesystem::path(out) / (file_name_part(s.id) + "_RECONSTRUCTION.png")
                    : std::filesystem::path();
  }
  std::optional<std::size_t> memory() const {
    return max_memory > 0 ? std::optional(static_cast<std::size_t>(max_memory) * 1'000'000) : std::nullopt;
  }

  /// The scans, after a check that no result replaces an input. Throws Error (argument).
  std::vector<NamedScan> checked_scans(const CommonOptions& common) const {
    if (single() && scans.data.empty()) require_ending(out, {".nii.gz", ".nii"});
    if (!png.empty()) require_ending(png, {".png"});
    if (!png.empty() && !single())
      fail(ErrorKind::argument, "reconstruct.png",
           "--png is for one scan; with --data, --pictures draws one beside each result");
    const std::vector<NamedScan> list = scans.scans(common.quiet);
    OutputGuard guard;
    guard.input(model_path(model));
    guard.input(contract.file());
    guard_inputs(guard, scans, list);
    for (const NamedScan& s : list) {
      guard.output(output(s));
      guard.output(picture(s));
    }
    if (!single()) guard.output(table());
    guard.output(common.json_log);
    return list;
  }

  /// Locks the result of one scan, or the table of a cohort. Throws Error (file): another process writes it, or it exists.
  FileLock lock(const CommonOptions& common) const {
    const std::filesystem::path result = single() ? std::filesystem::path(out) : table();
    FileLock held = lock_file(result);
    make_folder_of(png);
    require_new(result, common);
    return held;
  }
};

}  // namespace braing3n::examples
