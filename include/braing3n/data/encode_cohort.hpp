// Scans to features, tokens and latents in files, continued where an earlier run stopped.
//
// A file keeps the rows of scans whose files have not changed, and those of scans that are not asked for this time. It is written every
// minute and at the end. Features carry who trained the encoder (hashed), so that a probe can tell which of its subjects the encoder knows.
#pragma once

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/data/feature_contract.hpp"
#include "braing3n/data/volumes.hpp"
#include "braing3n/ops/reduce.hpp"
#include "braing3n/table/embedding_file.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct EncodeScan {
  std::string id;
  std::filesystem::path path;
  std::string content{};  // tells this content from another's; empty: unknown, the scan is encoded again
  Index volume = -1;      // of a file with several; -1: it must have one
};

/// Which files are made. An empty path: none of that kind.
struct EncodeFiles {
  std::filesystem::path features{}, tokens{}, latents{};
  bool projected = false;  // features and tokens on the latents' channels instead of the encoder's
  bool replace =
      false;  // begin anew, whatever is there; false: a file of the same model is continued, another is an error
};

/// One file: where it goes, what is in it, and what was there before.
class EmbeddingOutput {
 public:
  /// Takes over a file of the same model and representation. Throws Error (file): a folder is there, or another file that may not be
  /// replaced.
  EmbeddingOutput(std::filesystem::path to, EmbeddingFile made, bool replace)
      : path_(std::move(to)), now_(std::move(made)) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path_, ignored))
      throw Error(ErrorKind::file, "encode.folder", "is a folder, expected the name of a file", path_.string());
    if (!std::filesystem::exists(path_, ignored) || replace) return;
    if (file_ending(path_) != ".safetensors" && !file_ending(path_).empty()) refuse("only .safetensors files can");
    try {
      before_ = read_embeddings(path_, now_.tensor);
    } catch (const Error& e) {
      refuse(e.text());
    }
    before_.metadata.erase(EmbeddingFile::people_key);  // files written before there was one
    Metadata wanted = now_.metadata;
    wanted.erase(EmbeddingFile::people_key);
    if (before_.contract != now_.contract || before_.metadata != wanted || before_.shape != now_.shape)
      refuse("it was made with another model, contract or kind of features");
    for (Index i = 0; i < before_.rows(); ++i) finished_[before_.ids[static_cast<std::size_t>(i)]] = i;
  }

  const std::filesystem::path& path() const { return path_; }
  const EmbeddingFile& made() const { return now_; }
  bool has(const EncodeScan& scan) const {
    const auto found = finished_.find(scan.id);
    return found != finished_.end() && !scan.content.empty() &&
           before_.sources[static_cast<std::size_t>(found->second)] == scan.content;
  }
  void keep(const EncodeScan& scan) { now_.add(scan.id, scan.content, before_.row(finished_.at(scan.id))); }
  /// Rows of scans that are not asked for this time stay in the file.
  void keep_others(const std::set<std::string>& listed) {
    for (Index i = 0; i < before_.rows(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (!listed.contains(before_.ids[at])) now_.add(before_.ids[at], before_.sources[at], before_.row(i));
    }
  }
  void add(const EncodeScan& scan, const Tensor<float, Cpu>& values) {
    now_.add(scan.id, scan.content, {values.data(), static_cast<std::size_t>(values.size())});
  }
  void write() const { write_embeddings_as_named(path_, now_, {.overwrite = true}); }

 private:
  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(ErrorKind::file, "encode.exists", concat("exists already and cannot be continued (", why, ')'),
                path_.string());
  }

  std::filesystem::path path_;
  EmbeddingFile now_, before_;
  std::map<std::string, Index> finished_;  // id -> row of before_
};

/// Told what happens. `stop` is asked after every scan; true ends the run after saving.
struct EncodeObserver {
  std::function<void(Index kept, Index scans)> started = [](auto...) {};
  std::function<void(const EncodeScan&)> done = [](const auto&) {};
  std::function<bool()> stop = [] { return false; };
  std::function<void()> finished = [] {};  // no scan is left; the files are not yet written
};

struct EncodeOptions {
  bool strict = false;  // refuse scans whose values or places are not what the contract expects
  int readers = 1;      // threads that read and preprocess scans
  std::shared_ptr<FindingLog> findings{};
};

struct EncodeResult {
  ScanFailures failures;  // by place in the list of scans
  bool stopped = false;
};

namespace detail {

/// One scan through the model into all files.
inline void encode_scan(Context<Cpu>& ctx, const AnyEncoder& encoder, const Tensor<float, Cpu>& volume,
                        const EncodeScan& scan, bool projected, std::vector<EmbeddingOutput>& outputs) {
  const bool project = projected || std::any_of(outputs.begin(), outputs.end(),
                                                [](const EmbeddingOutput& o) { return o.made().tensor == "latents"; });
  const AnyEncoder::Tokens t = encoder.encode(ctx, volume, project);
  const Tensor<float, Cpu>& shown = projected ? t.projected : t.encoder;
  for (EmbeddingOutput& output : outputs)
    output.add(scan, output.made().tensor == "features" ? mean_tokens_forward(shown)
                     : output.made().tensor == "tokens" ? shown
                                                        : t.projected);
}

}  // namespace detail

/// The files that will be made, with what they held before. Throws Error: config (projected features or latents of a model without a
/// projection), file (a file of another model).
inline std::vector<EmbeddingOutput> open_encode_files(const AnyEncoder& encoder, const EncodeFiles& files) {
  const Index channels = encoder.projected_channels();
  if ((files.projected || !files.latents.empty()) && channels == 0)
    fail(ErrorKind::config, "model.projection", "a model of kind ", encoder.kind,
         " has no projection; projected features and latents need a tokenizer");
  const Extent3 grid = encoder.encoder_config().grid();
  const Index width = files.projected ? channels : encoder.encoder_config().width;
  const std::string shown = files.projected ? "projected" : "encoder";
  std::vector<EmbeddingOutput> outputs;
  const auto open = [&](const std::filesystem::path& path, const char* tensor, std::vector<Index> shape,
                        const std::string& representation, const char* pooling, Metadata metadata) {
    if (path.empty()) return;
    EmbeddingFile made;
    made.tensor = tensor;
    made.shape = std::move(shape);
    made.contract = feature_contract(encoder.contract, encoder.kind, encoder.hash, representation, pooling,
                                     encoder.precision_name())
                        .dump();
    made.metadata = std::move(metadata);
    if (!encoder.people.empty()) made.metadata[EmbeddingFile::people_key] = encoder.people;
    outputs.emplace_back(path, std::move(made), files.replace);
  };
  open(files.features, "features", {width}, shown, "mean", {});
  open(files.tokens, "tokens", {encoder.encoder_config().tokens(), width}, shown, "none", {});
  if (!files.latents.empty())
    open(files.latents, "latents", {grid[0], grid[1], grid[2], channels}, "projected", "none",
         {{"latent_mean", json_text(encoder.latents->mean)}, {"latent_std", json_text(encoder.latents->sd)}});
  return outputs;
}

/// Finished scans keep their rows; the others go through the model, in their order. Throws Error when no scan can be read and none was
/// finished before, and for lack of memory or disk.
inline EncodeResult encode_cohort(Context<Cpu>& ctx, const AnyEncoder& encoder, const std::vector<EncodeScan>& scans,
                                  bool projected, std::vector<EmbeddingOutput>& outputs,
                                  const EncodeOptions& options = {}, const EncodeObserver& observer = {}) {
  std::vector<ScanFile> files;
  std::vector<Index> wanted;
  std::set<std::string> listed;
  for (const EncodeScan& s : scans) listed.insert(s.id);
  for (EmbeddingOutput& output : outputs) output.keep_others(listed);
  for (const EncodeScan& s : scans) {
    files.push_back({s.path, s.volume});
    const bool done =
        std::all_of(outputs.begin(), outputs.end(), [&](const EmbeddingOutput& output) { return output.has(s); });
    if (!done) wanted.push_back(std::ssize(files) - 1);
    else
      for (EmbeddingOutput& output : outputs) output.keep(s);
  }
  const Index kept = std::ssize(scans) - std::ssize(wanted);
  observer.started(kept, std::ssize(scans));
  EncodeResult result;
  Index done = kept;
  auto saved = std::chrono::steady_clock::now();
  const auto write_all = [&] {
    if (done > 0)
      for (const EmbeddingOutput& output : outputs) output.write();
    saved = std::chrono::steady_clock::now();
  };
  const VolumeSource source =
      scan_source(files, encoder.contract, {.strict = options.strict, .findings = options.findings});
  struct Stop {};
  try {
    if (!wanted.empty())
      for_each_volume(ctx, source, wanted, result.failures,
                      [&](Index row, const Tensor<float, Cpu>& volume) {
                        const EncodeScan& scan = scans[static_cast<std::size_t>(row)];
                        detail::encode_scan(ctx, encoder, volume, scan, projected, outputs);
                        ++done;
                        observer.done(scan);
                        if (std::chrono::steady_clock::now() - saved > std::chrono::seconds(60)) write_all();
                        if (observer.stop()) throw Stop{};
                      },
                      {.threads = options.readers, .depth = 2 * options.readers});
  } catch (const Stop&) {
    result.stopped = true;
  } catch (const Error& e) {
    if (kept == 0 || e.kind() == ErrorKind::environment) throw;
    result.failures.emplace(wanted.back(), e.what());  // every new scan failed; the finished ones stay
  }
  observer.finished();
  write_all();
  return result;
}

}  // namespace braing3n::inline BRAING3N_ABI
