// Preprocessed scans, the input of models: as NIfTI files, or a whole cohort as one packed cache.
//   braing3n preprocess --contract small --out ready/ scan1.nii.gz scan2.nii.gz
//   braing3n preprocess --model tokenizer.safetensors --data volumes.csv --cache cohort.cache
#include "braing3n/format/file_lock.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/volume_report.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/preprocess_options.hpp"
#include "examples/support/context.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/tell_findings.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {
int write_each(Context<Cpu>& ctx, const PreprocessOptions& o, const PreprocessingContract& contract,
               const std::vector<NamedScan>& scans, const CommonOptions& common) {
  make_folder(o.out);
  std::size_t failed = 0;
  FindingLog findings;
  JsonLog log(common.json_log);
  const NiftiWriteOptions write{
      .description = concat("braing3n ", version(), " model input, ", enum_name(contract.normalise)),
      .file = {.overwrite = common.force}};
  const auto one = [&](Index row, const NamedScan& scan) {
    const std::filesystem::path out = o.output(scan.id, ".nii.gz");
    const FileLock lock = lock_file(out);  // jobs that share the folder write different files
    const Preprocessed p = read_preprocessed(ctx, scan.path, contract, {.strict = o.strict, .volume = scan.volume});
    findings.add(row, scan.path.string(), p.findings);
    const Volume result = as_volume(p.data, p.record);
    write_nifti(ctx, out, result, write);
    if (o.png) write_png(o.output(scan.id, ".png"), draw_planes(ctx, result), write.file);
    log.event("scan", {{"file", scan.path.string()},
                       {"out", out.string()},
                       {"mean", p.record.intensity.mean},
                       {"deviation", p.record.intensity.sd},
                       {"findings", findings_json(p.findings)}});
  };
  Progress progress("preprocess", static_cast<Index>(scans.size()), common.quiet);
  for (std::size_t i = 0; i < scans.size(); ++i) {
    stop_if_interrupted();
    try {
      one(static_cast<Index>(i), scans[i]);
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::environment || scans.size() == 1) throw;
      std::cerr << "preprocess: " << e.what() << '\n';
      log.event("failed", {{"file", scans[i].path.string()}, {"error", e.what()}});
      ++failed;
    }
    progress.advance(1, scans[i].id);
  }
  progress.close();
  tell_findings(findings, log, common.quiet);
  std::cout << scans.size() - failed << " of " << scans.size() << " scans written to " << o.out << '\n';
  return failed == scans.size() ? exit_not_started : failed > 0 ? exit_some_failed : exit_done;
}

int write_cache(const PreprocessOptions& o, const PreprocessingContract& contract, const std::vector<NamedScan>& scans,
                const CommonOptions& common) {
  require_ending(o.cache, {".cache", ".safetensors", ""});
  const FileLock lock = lock_file(o.cache);
  const PackedCacheOptions options = o.packed(scans, common);
  JsonLog log(common.json_log);
  const auto findings = std::make_shared<FindingLog>();
  Progress progress("packing", static_cast<Index>(scans.size()), common.quiet);
  const VolumeSource source = scan_source(files_of(scans), contract, {.strict = o.strict, .findings = findings});
  const PackedCacheReport report = write_packed_cache(o.cache, ids_of(scans), contract, source, options, [&](Index) {
    stop_if_interrupted();
    progress.advance();
  });
  progress.close();
  tell_findings(*findings, log, common.quiet);
  for (const std::string& failure : report.failures) std::cerr << "preprocess: " << failure << '\n';
  std::cout << scans.size() - report.failures.size() << " of " << scans.size() << " scans in " << o.cache << " ("
            << byte_text(static_cast<double>(std::filesystem::file_size(o.cache))) << ")\n";
  return report.failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace

int preprocess_command(int argc, char** argv) {
  PreprocessOptions o;
  Program program("preprocess", "Preprocesses scans by a contract, as models take them.");
  o.add_to(program.app);
  program.without({"--device", "--precision", "--seed"});
  return program.run(argc, argv, [&]() -> int {
    const PreprocessingContract contract = o.chosen_contract();
    if (o.print) return print_contract(contract);
    const std::vector<NamedScan> scans = o.scan_list(program.common);
    o.require_own_outputs(scans, program.common);
    if (!program.common.quiet) std::cerr << describe(contract) << '\n';
    const auto ctx = make_cpu_context(program.common);
    return o.cache.empty() ? write_each(*ctx, o, contract, scans, program.common)
                           : write_cache(o, contract, scans, program.common);
  });
}
