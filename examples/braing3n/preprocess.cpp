// What a model sees of a scan: puts scans through a preprocessing contract and writes the result, one by one as NIfTI or a
// whole cohort as a packed cache.
//
//   braing3n preprocess --contract small --out ready/ scan1.nii.gz scan2.nii.gz
//   braing3n preprocess --model tokenizer.safetensors --data volumes.csv --cache cohort.cache
#include <iostream>
#include <map>
#include <memory>

#include "braing3n/data/loader.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/inspect_volume.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/scan_list.hpp"
#include "examples/support/tell_findings.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Options {
  std::vector<std::string> scans;
  std::string data, out, cache, model;
  ManifestOptions manifest;
  ContractOptions contract;
  Index index = -1;
  bool strict = false, png = false, f32 = false, print = false;
};

std::filesystem::path output_of(const Options& o, const std::string& name, const char* ending) {
  return std::filesystem::path(o.out) / (file_name_part(name) + ending);
}

/// Before anything is written: no two scans may share an output, and no scan may be replaced by its own result.
void require_own_outputs(const Options& o, const std::vector<std::pair<std::string, std::filesystem::path>>& scans,
                         const CommonOptions& common) {
  OutputGuard guard;
  guard.input(o.contract.file());
  guard.input(o.data);
  for (const auto& [name, path] : scans)
    for (const auto& file : braing3n::detail::files_of_scan(path)) guard.input(file);
  guard.output(o.cache);
  guard.output(common.json_log);
  if (!o.cache.empty()) return;
  std::map<std::string, std::filesystem::path> seen;
  for (const auto& [name, path] : scans) {
    const auto [place, fresh] = seen.emplace(file_name_part(name), path);
    if (!fresh)
      fail(ErrorKind::argument, "preprocess.names", place->second.string(), " and ", path.string(),
           " would both be written as ", output_of(o, name, ".nii.gz").string(),
           o.data.empty() ? "; use --data, where every scan has an id"
                          : "; their ids differ only in characters that no file name has");
    guard.output(output_of(o, name, ".nii.gz"));
    if (o.png) guard.output(output_of(o, name, ".png"));
  }
}

int write_each(Context<Cpu>& ctx, const Options& o, const PreprocessingContract& contract,
               const std::vector<std::pair<std::string, std::filesystem::path>>& scans, const CommonOptions& common) {
  make_folder(o.out);
  std::size_t failed = 0;
  FindingLog findings;
  JsonLog log(common.json_log);
  Progress progress("preprocess", static_cast<Index>(scans.size()), common.quiet);
  for (std::size_t i = 0; i < scans.size(); ++i) {
    const auto& [name, path] = scans[i];
    stop_if_interrupted();
    try {
      NiftiReadOptions read;
      read.volume = o.index;
      NiftiVolume scan = read_nifti(ctx, path, read);
      scan.info.findings.require_usable(o.strict, path.string());
      Preprocessed p = [&] {
        try {
          return preprocess(ctx, std::move(scan.volume), contract, o.strict);
        } catch (const Error& e) {
          throw e.at(path.string());
        }
      }();
      Findings all = scan.info.findings;
      all.append(p.findings);
      findings.add(static_cast<Index>(i), path.string(), all);
      NiftiWriteOptions write;
      write.description = concat("braing3n ", version(), " model input, ", enum_name(contract.normalise));
      write.file.overwrite = common.force;
      const std::filesystem::path out = output_of(o, name, ".nii.gz");
      const Volume result = as_volume(p.data, p.record);
      write_nifti(ctx, out, result, write);
      if (o.png) write_png(output_of(o, name, ".png"), draw_planes(ctx, result), write.file);
      log.event("scan", {{"file", path.string()},
                         {"out", out.string()},
                         {"mean", p.record.intensity.mean},
                         {"deviation", p.record.intensity.sd},
                         {"findings", findings_json(all)}});
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::environment || scans.size() == 1) throw;
      std::cerr << "preprocess: " << e.what() << '\n';
      log.event("failed", {{"file", path.string()}, {"error", e.what()}});
      ++failed;
    }
    progress.advance(1, name);
  }
  progress.close();
  tell_findings(findings, log, common.quiet);
  std::cout << scans.size() - failed << " of " << scans.size() << " scans written to " << o.out << '\n';
  return failed == scans.size() ? exit_not_started : failed > 0 ? exit_some_failed : exit_done;
}

int write_cache(const Options& o, const PreprocessingContract& contract,
                const std::vector<std::pair<std::string, std::filesystem::path>>& scans, const CommonOptions& common) {
  require_ending(o.cache, {".cache", ".safetensors", ""});
  const FileLock lock = lock_file(o.cache);
  std::vector<std::string> ids;
  std::vector<std::filesystem::path> paths;
  for (const auto& [name, path] : scans) ids.push_back(name), paths.push_back(path);
  PackedCacheOptions options;
  options.dtype = o.f32 ? DType::f32 : DType::f16;
  options.skip_failed = true;
  options.source = o.data;
  options.scans = paths;
  options.file.overwrite = common.force;
  const int threads =
      common.threads > 0 ? common.threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  options.prefetch = {threads, 2 * threads};
  JsonLog log(common.json_log);
  const auto findings = std::make_shared<FindingLog>();
  Progress progress("packing", static_cast<Index>(ids.size()), common.quiet);
  const PackedCacheReport report = write_packed_cache(
      o.cache, ids, contract,
      scan_source(paths, contract, {.strict = o.strict, .volume = o.index, .findings = findings}), options, [&](Index) {
        stop_if_interrupted();
        progress.advance();
      });
  progress.close();
  tell_findings(*findings, log, common.quiet);
  for (const std::string& failure : report.failures) std::cerr << "preprocess: " << failure << '\n';
  std::cout << ids.size() - report.failures.size() << " of " << ids.size() << " scans in " << o.cache << " ("
            << byte_text(static_cast<double>(std::filesystem::file_size(o.cache))) << ")\n";
  return report.failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace

int preprocess_command(int argc, char** argv) {
  Options o;
  Program program("preprocess", "Puts scans through a preprocessing contract: what a model sees of them.");
  o.contract.add_to(program.app);
  program.app.add_option("SCAN,--in", o.scans, "scans (.nii, .nii.gz, .hdr)");
  program.app.add_option("--data", o.data, "a manifest instead of single scans");
  program.app.add_option("--pattern", o.manifest.pattern,
                         "paths for a manifest without them, for example sub-{participant_id}_T1w.nii.gz");
  program.app.add_option("--model", o.model, "use the contract of this model: a file, or the folder of a training");
  program.app.add_option("--out", o.out, "folder for one NIfTI file per scan");
  program.app.add_option("--cache", o.cache, "one packed file for the whole cohort");
  program.app.add_option("--index", o.index, "which volume of files with several, from 0")
      ->check(CLI::NonNegativeNumber);
  program.app.add_flag("--strict", o.strict,
                       "refuse scans whose values or places are not what the contract expects (warnings)");
  program.app.add_flag("--png", o.png, "a picture beside each scan");
  program.app.add_flag("--f32", o.f32, "cache in float32 instead of float16");
  program.app.add_flag("--print-contract", o.print, "print the contract as JSON and stop");
  program.without({"--device", "--precision", "--seed"});
  return program.run(argc, argv, [&]() -> int {
    if (!o.model.empty()) o.contract.preset = o.model;
    const PreprocessingContract contract = o.contract.contract();
    if (o.print) {
      std::cout << json_text(contract, 2) << '\n';
      return exit_done;
    }
    if (o.scans.empty() == o.data.empty())
      fail(ErrorKind::argument, "preprocess.input", "expected scans or --data, not both");
    if (o.out.empty() == o.cache.empty())
      fail(ErrorKind::argument, "preprocess.output", "expected --out or --cache, not both");
    std::vector<std::pair<std::string, std::filesystem::path>> scans;
    if (!o.data.empty()) {
      const Manifest m = read_manifest(std::filesystem::path(o.data), o.manifest);
      for (const Finding& f : m.findings)
        if (!program.common.quiet) std::cerr << "  " << to_string(f.severity) << ": " << f.sentence << '\n';
      if (o.strict) m.findings.require_usable(true, o.data);
      for (const ScanRow& s : m.scans) scans.emplace_back(s.volume_id, s.path);
    } else {
      for (const std::string& s : o.scans) scans.emplace_back(scan_name(s), s);
    }
    require_own_outputs(o, scans, program.common);
    if (!program.common.quiet) std::cerr << describe(contract) << '\n';
    const auto ctx = make_cpu_context(program.common);
    return o.cache.empty() ? write_each(*ctx, o, contract, scans, program.common)
                           : write_cache(o, contract, scans, program.common);
  });
}
