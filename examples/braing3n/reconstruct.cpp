// Scans through a tokenizer and back, with scores of the reconstructions.
//
//   braing3n reconstruct --model TOKENIZER --in scan.nii.gz --out back.nii.gz --png back.png
//   braing3n reconstruct --model TOKENIZER --data volumes.csv --out FOLDER --pictures
//   braing3n reconstruct --model TOKENIZER --in scan.nii.gz --out back.nii.gz --max-memory 1500
// The result has the scan's own voxels and intensities; scores are taken on the model's grid.
#include "braing3n/data/loader.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/reconstruction_picture.hpp"
#include "braing3n/volume/nifti/write.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/reconstruct_options.hpp"
#include "examples/support/loaded_reconstruction.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/score_table.hpp"
#include "examples/support/tell_findings.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

int reconstruct_scans(const Program& program, const ReconstructOptions& o) {
  const CommonOptions& common = program.common;
  const WriteOptions write{.overwrite = common.force};
  const std::vector<NamedScan> scans = o.checked_scans(common);
  const FileLock lock = o.lock(common);
  JsonLog log(common.json_log);
  const ProgramMachine machine = make_machine(common);
  Context<Cpu>& ctx = *machine.host;
  const auto given = o.contract.given(program.app) ? std::optional(o.contract.contract()) : std::nullopt;
  const LoadedReconstruction loaded =
      load_reconstruction(machine, o.model, {given, largest_scan(scans), o.memory()}, common.quiet);
  log.event("memory_plan", loaded.plan);

  std::vector<NamedScore> scores;
  FindingLog findings;
  std::size_t failed = 0;
  bool stopped = false;
  const auto one = [&](Index row, const NamedScan& scan) {
    const Preprocessed p = read_preprocessed(ctx, scan.path, loaded.tokenizer->contract,
                                             {.strict = o.scans.strict, .volume = scan.volume});
    const ModelReconstruction r = loaded.run(p.data);
    const Volume back = restore(ctx, r.output, p.record, &p.data);
    const std::string description = concat(mark_of(back.provenance), " braing3n tokenizer ", loaded.tokenizer->hash);
    write_nifti(ctx, o.output(scan), back, {.description = description, .file = write});
    if (!o.picture(scan).empty()) write_png(o.picture(scan), reconstruction_picture(ctx, p, r.output), write);
    findings.add(row, scan.path.string(), p.findings);
    scores.push_back({scan.id, r.score});
    log.event("scan", {{"id", scan.id},
                       {"out", o.output(scan).string()},
                       {"whole_ssim", r.score.whole.ssim},
                       {"mask_ssim", r.score.mask.ssim},
                       {"encode_seconds", r.encode_seconds},
                       {"decode_seconds", r.decode_seconds}});
  };
  Progress progress("reconstruct", static_cast<Index>(scans.size()), common.quiet);
  for (std::size_t i = 0; i < scans.size() && !stopped; ++i) {
    try {
      one(static_cast<Index>(i), scans[i]);
    } catch (const Error& e) {
      if (o.single() || e.kind() == ErrorKind::environment) throw;
      std::cerr << "reconstruct: " << scans[i].id << ": " << e.what() << '\n';
      log.event("failed", {{"id", scans[i].id}, {"error", e.what()}});
      ++failed;
    }
    progress.advance(1, scans[i].id);
    stopped = interrupted();
  }
  progress.close();
  tell_findings(findings, log, common.quiet);
  if (loaded.planned > 0) report_memory(loaded.planned, log, common.quiet);
  if (scores.empty()) return exit_not_started;
  print_scores(scores);
  if (!o.single()) write_scores(o.table(), scores, write);
  return stopped ? exit_interrupted : failed > 0 ? exit_some_failed : exit_done;
}

}  // namespace

int reconstruct_command(int argc, char** argv) {
  ReconstructOptions o;
  Program program("reconstruct", "Reconstructs scans with a tokenizer, on their own voxels, with scores.");
  o.add_to(program.app);
  program.without({"--seed"});
  return program.run(argc, argv, [&] { return reconstruct_scans(program, o); });
}
