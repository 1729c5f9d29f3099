// The options of `braing3n preprocess`, the scans that they name, and where the results go.
#pragma once

#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "braing3n/data/loader.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/scan_list.hpp"

namespace braing3n::examples {

struct PreprocessOptions {
  std::vector<std::string> scans;
  std::string data, out, cache, model;
  ManifestOptions manifest;
  ContractOptions contract;
  Index index = -1;
  bool strict = false, png = false, f32 = false, print = false;

  void add_to(CLI::App& app) {
    contract.add_to(app);
    app.add_option("SCAN,--in", scans, "scans (.nii, .nii.gz, .hdr)");
    app.add_option("--data", data, "a manifest instead of single scans");
    app.add_option("--pattern", manifest.pattern,
                   "paths for a manifest without them, for example sub-{participant_id}_T1w.nii.gz");
    app.add_option("--model", model, "use the contract of this model: a file, or the folder of a run");
    app.add_option("--out", out, "folder for one NIfTI file per scan");
    app.add_option("--cache", cache, "one packed file for the whole cohort");
    app.add_option("--index", index, index_help)->check(at_least(0));
    app.add_flag("--strict", strict,
                 "refuse scans whose values or places are not what the contract expects (warnings)");
    app.add_flag("--png", png, "a picture beside each scan");
    app.add_flag("--f32", f32, "cache in float32 instead of float16");
    app.add_flag("--print-contract", print, "print the contract as JSON and stop");
  }

  std::filesystem::path output(const std::string& name, const char* ending) const {
    return std::filesystem::path(out) / (file_name_part(name) + ending);
  }

  /// The contract of --model, or that of --contract and its changes.
  PreprocessingContract chosen_contract() {
    if (!model.empty()) contract.preset = model;
    return contract.contract();
  }

  /// Throws Error (argument) unless there is one kind of input and one kind of output.
  std::vector<NamedScan> scan_list(const CommonOptions& common) const {
    if (scans.empty() == data.empty())
      fail(ErrorKind::argument, "preprocess.input", "expected scans or --data, not both");
    if (out.empty() == cache.empty())
      fail(ErrorKind::argument, "preprocess.output", "expected --out or --cache, not both");
    if (!data.empty()) return with_index(scans_of_table(data, manifest, strict, common.quiet), index);
    std::vector<NamedScan> list;
    for (const std::string& s : scans) list.push_back({scan_name(s), s});
    return with_index(std::move(list), index);
  }

  /// How --cache is written.
  PackedCacheOptions packed(const std::vector<NamedScan>& list, const CommonOptions& common) const {
    PackedCacheOptions options;
    for (const NamedScan& s : list) {
      options.scans.push_back(s.path);
      options.indices.push_back(s.volume);
    }
    options.dtype = f32 ? DType::f32 : DType::f16;
    options.skip_failed = true;
    options.source = data;
    options.file.overwrite = common.force;
    const int threads =
        common.threads > 0 ? common.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    options.prefetch = {threads, 2 * threads};
    return options;
  }

  /// Checked before anything is written: no two scans share an output, and no scan is replaced by its own result.
  void require_own_outputs(const std::vector<NamedScan>& list, const CommonOptions& common) const {
    OutputGuard guard;
    guard.input(contract.file());
    guard.input(data);
    guard_scans(guard, list);
    guard.output(cache);
    guard.output(common.json_log);
    if (!cache.empty()) return;
    std::map<std::string, std::filesystem::path> seen;
    for (const NamedScan& s : list) {
      const auto [place, fresh] = seen.emplace(file_name_part(s.id), s.path);
      if (!fresh)
        fail(ErrorKind::argument, "preprocess.names", place->second.string(), " and ", s.path.string(),
             " would both be written as ", output(s.id, ".nii.gz").string(),
             data.empty() ? "; use --data, where every scan has an id"
                          : "; their ids differ only in characters that no file name has");
      guard.output(output(s.id, ".nii.gz"));
      if (png) guard.output(output(s.id, ".png"));
    }
  }
};

inline int print_contract(const PreprocessingContract& contract) {
  std::cout << json_text(contract, 2) << '\n';
  return exit_done;
}

}  // namespace braing3n::examples
