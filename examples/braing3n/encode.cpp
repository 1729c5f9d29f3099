// Scans to features, latents or tokens.
//
//   braing3n encode --model TOKENIZER --data volumes.csv --out features.safetensors --latents latents.safetensors
//   braing3n encode --model mae.safetensors --contract contract.json --in scan.nii.gz --out features.csv
// Run again on a longer table, it keeps the rows of scans whose files have not changed.
#include <chrono>
#include <set>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/data/feature_contract.hpp"
#include "braing3n/data/volumes.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/ops/reduce.hpp"
#include "braing3n/table/embedding_file.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/context.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/scan_list.hpp"
#include "examples/support/tell_findings.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Options {
  std::string model, out, latents, tokens, features = "encoder";
  ScanArguments scans;
  ContractOptions contract;
  int readers = 1;
};

/// One output: where it goes, what is in it, and what was there before.
struct Output {
  std::filesystem::path path;
  EmbeddingFile now;
  std::map<std::string, Index> finished;  // id -> row of `before`
  EmbeddingFile before;

  /// Takes over a file of the same model and representation. Another file there is an error, unless it may be replaced.
  Output(const std::string& to, const std::string& tensor, std::vector<Index> shape, const Json& contract,
         Metadata metadata, bool replace)
      : path(to) {
    now.tensor = tensor;
    now.shape = std::move(shape);
    now.contract = contract.dump();
    now.metadata = std::move(metadata);
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored) || replace) return;
    const auto refuse = [&](const std::string& why) {
      throw Error(ErrorKind::file, "encode.exists",
                  concat("exists already and cannot be continued (", why, "); --force replaces it"), path.string());
    };
    if (file_ending(path) != ".safetensors" && !file_ending(path).empty()) refuse("only .safetensors files can");
    try {
      before = read_embeddings(path, tensor);
    } catch (const Error& e) {
      refuse(e.text());
    }
    if (before.contract != now.contract || before.metadata != now.metadata || before.shape != now.shape)
      refuse("it was made with another model, contract or kind of features");
    for (Index i = 0; i < before.rows(); ++i) finished[before.ids[static_cast<std::size_t>(i)]] = i;
  }

  bool has(const std::string& id, const std::string& hash) const {
    const auto found = finished.find(id);
    return found != finished.end() && !hash.empty() && before.sources[static_cast<std::size_t>(found->second)] == hash;
  }
  void keep(const std::string& id, const std::string& hash) { now.add(id, hash, before.row(finished.at(id))); }

  /// Rows of scans that are not asked for this time stay in the file.
  void keep_others(const std::set<std::string>& listed) {
    for (Index i = 0; i < before.rows(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (!listed.contains(before.ids[at])) now.add(before.ids[at], before.sources[at], before.row(i));
    }
  }

  void write() const { write_embeddings_as_named(path, now, {.overwrite = true}); }
};

template <class From>
Tensor<float, Cpu> as_float(const Tensor<From, Cpu>& x) {
  if constexpr (std::is_same_v<From, float>) return x;
  else return cast<float>(x);
}

template <Precision P>
int encode(const Program& program, const Options& o) {
  using T = typename P::Compute;
  const CommonOptions& common = program.common;
  if (o.out.empty() && o.latents.empty() && o.tokens.empty())
    fail(ErrorKind::argument, "encode.output", "expected --out, --latents or --tokens");
  if (!o.out.empty()) require_ending(o.out, {".safetensors", ".csv", ".tsv", ".npy", ""});
  for (const std::string& path : {o.latents, o.tokens})
    if (!path.empty()) require_ending(path, {".safetensors", ".npy", ""});
  for (const std::string& path : {o.out, o.latents, o.tokens})
    if (!path.empty() && is_stream(path))
      throw Error(ErrorKind::argument, "encode.output",
                  "is a stream or device, but results are saved several times; expected the name of a file", path);
  const std::vector<NamedScan> scans = o.scans.scans(common.quiet);
  OutputGuard guard;
  guard.input(model_path(o.model));
  guard.input(o.contract.file());
  guard_inputs(guard, o.scans, scans);
  for (const std::string& path : {o.out, o.latents, o.tokens, common.json_log}) guard.output(path);
  // Held from before the old rows are read until the new ones are there: two jobs that add to one file would each lose the other's rows.
  std::vector<FileLock> locks;
  for (const std::string& path : {o.out, o.latents, o.tokens})
    if (!path.empty()) locks.push_back(lock_file(path));
  JsonLog log(common.json_log);
  const auto ctx = make_cpu_context(common);
  const VolumeEncoder<Cpu, P> encoder(
      *ctx, o.model, o.contract.given(program.app) ? std::optional(o.contract.contract()) : std::nullopt);
  if (!common.quiet) std::cerr << encoder.kind << ": " << describe(encoder.contract) << '\n';
  const bool projected = o.features == "projected";
  if ((projected || !o.latents.empty()) && !encoder.projection)
    fail(ErrorKind::config, "model.projection", "a model of kind ", encoder.kind,
         " has no projection; projected features and latents need a tokenizer");

  const Extent3 grid = encoder.encoder.config.grid();
  const Index width = projected ? encoder.projection->out : encoder.encoder.config.width;
  const auto contract = [&](const std::string& representation, const char* pooling) {
    return feature_contract(encoder.contract, encoder.kind, encoder.hash, representation, pooling, P::name);
  };
  std::vector<Output> outputs;
  if (!o.out.empty())
    outputs.emplace_back(o.out, "features", std::vector<Index>{width}, contract(o.features, "mean"), Metadata{},
                         common.force);
  if (!o.tokens.empty())
    outputs.emplace_back(o.tokens, "tokens", std::vector<Index>{encoder.encoder.config.tokens(), width},
                         contract(o.features, "none"), Metadata{}, common.force);
  if (!o.latents.empty())
    outputs.emplace_back(
        o.latents, "latents", std::vector<Index>{grid[0], grid[1], grid[2], encoder.projection->out},
        contract("projected", "none"),
        Metadata{{"latent_mean", json_text(encoder.latents->mean)}, {"latent_std", json_text(encoder.latents->sd)}},
        common.force);

  // Finished scans keep their rows; the others go through the model, in the order of the table.
  std::vector<std::string> hashes;
  std::vector<std::filesystem::path> paths;
  std::vector<Index> wanted;
  std::set<std::string> listed;
  for (const NamedScan& s : scans) listed.insert(s.id);
  for (Output& output : outputs) output.keep_others(listed);
  for (const NamedScan& s : scans) {
    hashes.push_back(file_hash(s.path));
    if (o.scans.index >= 0 && !hashes.back().empty())
      hashes.back() += concat("@", o.scans.index);  // another volume is another scan
    paths.push_back(s.path);
    const bool done = std::all_of(outputs.begin(), outputs.end(),
                                  [&](const Output& output) { return output.has(s.id, hashes.back()); });
    if (!done) wanted.push_back(static_cast<Index>(paths.size()) - 1);
    else
      for (Output& output : outputs) output.keep(s.id, hashes.back());
  }
  const Index kept = static_cast<Index>(scans.size() - wanted.size());
  if (kept > 0 && !common.quiet) std::cerr << kept << " scans are finished already\n";

  ScanFailures failures;
  Index done = kept;
  auto saved = std::chrono::steady_clock::now();
  const auto write_all = [&] {
    if (done > 0)
      for (const Output& output : outputs) output.write();
    saved = std::chrono::steady_clock::now();
  };
  Progress progress("encode", static_cast<Index>(scans.size()), common.quiet, kept);
  const auto findings = std::make_shared<FindingLog>();
  const VolumeSource source =
      scan_source(paths, encoder.contract, {.strict = o.scans.strict, .volume = o.scans.index, .findings = findings});
  bool stopped = false;
  if (!wanted.empty()) {
    struct Stop {};
    try {
      for_each_volume(*ctx, source, wanted, failures,
                      [&](Index row, const Tensor<float, Cpu>& volume) {
                        const std::size_t at = static_cast<std::size_t>(row);
                        Tensor<T, Cpu> input;
                        if constexpr (std::is_same_v<T, float>) input = volume;
                        else input = cast<T>(volume);
                        const Tensor<T, Cpu> raw = encoder.tokens(input);
                        const Tensor<float, Cpu> tokens = as_float(raw), z = projected || !o.latents.empty()
                                                                                 ? as_float(encoder.project(raw))
                                                                                 : Tensor<float, Cpu>();
                        const Tensor<float, Cpu>& shown = projected ? z : tokens;
                        for (Output& output : outputs) {
                          const auto values = output.now.tensor == "features" ? mean_tokens_forward(shown)
                                              : output.now.tensor == "tokens" ? shown
                                                                              : z;
                          output.now.add(scans[at].id, hashes[at],
                                         {values.data(), static_cast<std::size_t>(values.size())});
                        }
                        ++done;
                        progress.advance(1, scans[at].id);
                        log.event("scan", {{"id", scans[at].id}, {"file", scans[at].path.string()}});
                        if (std::chrono::steady_clock::now() - saved > std::chrono::seconds(60)) write_all();
                        if (interrupted()) throw Stop{};
                      },
                      {.threads = o.readers, .depth = 2 * o.readers});
    } catch (const Stop&) {
      stopped = true;
    } catch (const Error& e) {
      if (kept == 0 || e.kind() == ErrorKind::environment) throw;
      failures.emplace(wanted.back(), e.what());  // every new scan failed; the finished ones stay
    }
  }
  progress.close();
  tell_findings(*findings, log, common.quiet);
  write_all();
  for (const auto& [row, reason] : failures) {
    std::cerr << "encode: " << scans[static_cast<std::size_t>(row)].id << ": " << reason << '\n';
    log.event("failed", {{"id", scans[static_cast<std::size_t>(row)].id}, {"error", reason}});
  }
  for (const Output& output : outputs)
    std::cout << output.path.string() << ": " << output.now.tensor << " of " << output.now.rows() << " scans, "
              << shape_text(output.now.shape) << " each\n";
  if (stopped) return exit_interrupted;
  return failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace

int encode_command(int argc, char** argv) {
  Options o;
  Program program("encode", "Turns scans into features for probes and latents for generative models.");
  program.app
      .add_option("--model", o.model, "a tokenizer, masked autoencoder or encoder: a file, or the folder of a training")
      ->required();
  o.scans.add_to(program.app);
  program.app.add_option("--out", o.out,
                         "features, one row per scan: the mean over tokens (.safetensors, .csv, .tsv, .npy)");
  program.app
      .add_option("--features", o.features, "which tokens: the encoder's, or projected to the latents' channels")
      ->check(CLI::IsMember({"encoder", "projected"}));
  program.app.add_option("--latents", o.latents, "latents on their grid (.safetensors, .npy)");
  program.app.add_option("--tokens", o.tokens, "every token of every scan (.safetensors, .npy)");
  program.app.add_option("--readers", o.readers, "threads that read and preprocess scans")->check(CLI::Range(1, 64));
  o.contract.add_to(program.app);
  program.without({"--seed"});
  return program.run(argc, argv, [&] {
    return program.common.precision == "bf16" ? encode<BF16>(program, o) : encode<F32>(program, o);
  });
}
