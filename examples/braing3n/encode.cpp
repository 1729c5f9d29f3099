// Scans to features, latents or tokens.
//
//   braing3n encode --model TOKENIZER --data volumes.csv --out features.safetensors --latents latents.safetensors
//   braing3n encode --model mae.safetensors --contract contract.json --in scan.nii.gz --out features.csv
// Run again on a longer table, it keeps the rows of scans whose files have not changed.
#include <iostream>
#include <memory>
#include <optional>

#include "braing3n/data/encode_cohort.hpp"
#include "braing3n/device/models.hpp"
#include "braing3n/format/file_lock.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/braing3n/options/encode_options.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/tell_findings.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

int encode(const Program& program, const EncodeSettings& o) {
  const CommonOptions& common = program.common;
  require_encode_files(o);
  const std::vector<NamedScan> scans = o.scans.scans(common.quiet);
  guard_encode_files(o, scans, common.json_log);
  // Locked from before the old rows are read until the new ones are written: two jobs that add to one file would lose rows of each other.
  std::vector<FileLock> locks;
  for (const std::string& path : {o.out, o.latents, o.tokens})
    if (!path.empty()) locks.push_back(lock_file(path));
  JsonLog log(common.json_log);
  const ProgramMachine machine = make_machine(common);
  const auto loaded = open_encoder(Machine(machine), o.model,
                                   o.contract.given(program.app) ? std::optional(o.contract.contract()) : std::nullopt,
                                   machine.precision);
  const AnyEncoder& encoder = *loaded;
  if (!common.quiet) std::cerr << encoder.kind << ": " << describe(encoder.contract) << '\n';
  const EncodeFiles files{o.out, o.tokens, o.latents, o.features == "projected", common.force};
  std::vector<EmbeddingOutput> outputs = with_force_advice([&] { return open_encode_files(encoder, files); });
  const EncodeOptions options{
      .strict = o.scans.strict, .readers = o.readers, .findings = std::make_shared<FindingLog>()};
  std::optional<Progress> progress;
  EncodeObserver observer;
  observer.started = [&](Index kept, Index all) {
    if (kept > 0 && !common.quiet) std::cerr << kept << " scans are finished already\n";
    progress.emplace("encode", all, common.quiet, kept);
  };
  observer.done = [&](const EncodeScan& scan) {
    progress->advance(1, scan.id);
    log.event("scan", {{"id", scan.id}, {"file", scan.path.string()}});
  };
  observer.finished = [&] {
    progress->close();
    tell_findings(*options.findings, log, common.quiet);
  };
  observer.stop = [] { return interrupted(); };
  const EncodeResult result =
      encode_cohort(*machine.host, encoder, encode_scans(scans), files.projected, outputs, options, observer);
  for (const auto& [row, reason] : result.failures) {
    const std::string& id = scans[static_cast<std::size_t>(row)].id;
    std::cerr << "encode: " << id << ": " << reason << '\n';
    log.event("failed", {{"id", id}, {"error", reason}});
  }
  for (const EmbeddingOutput& output : outputs)
    std::cout << output.path().string() << ": " << output.made().tensor << " of " << output.made().rows() << " scans, "
              << shape_text(output.made().shape) << " each\n";
  if (result.stopped) return exit_interrupted;
  return result.failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace

int encode_command(int argc, char** argv) {
  EncodeSettings o;
  Program program("encode", "Turns scans into features for probes and latents for generative models.");
  add_encode_options(program.app, o);
  program.without({"--seed"});
  return program.run(argc, argv, [&] { return encode(program, o); });
}
