// The options of `encode`.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "braing3n/data/encode_cohort.hpp"
#include "braing3n/format/output_guard.hpp"
#include "examples/support/contract_options.hpp"
#include "examples/support/scan_list.hpp"

namespace braing3n::examples {

struct EncodeSettings {
  std::string model, out, latents, tokens, features = "encoder";
  ScanArguments scans;
  ContractOptions contract;
  int readers = 1;
};

inline void add_encode_options(CLI::App& app, EncodeSettings& o) {
  app.add_option("--model", o.model, "a tokenizer, masked autoencoder or encoder: a file, or the folder of a run")
      ->required();
  o.scans.add_to(app);
  app.add_option("--out", o.out, "features, one row per scan: the mean over tokens (.safetensors, .csv, .tsv, .npy)");
  app.add_option("--features", o.features, "which tokens: the encoder's, or projected to the latents' channels")
      ->check(CLI::IsMember({"encoder", "projected"}));
  app.add_option("--latents", o.latents, "latents on their grid (.safetensors, .npy)");
  app.add_option("--tokens", o.tokens, "every token of every scan (.safetensors, .npy)");
  app.add_option("--readers", o.readers, "threads that read and preprocess scans")->check(CLI::Range(1, 64));
  o.contract.add_to(app);
}

/// Throws Error (argument): no result, an ending that cannot be written, a stream.
inline void require_encode_files(const EncodeSettings& o) {
  if (o.out.empty() && o.latents.empty() && o.tokens.empty())
    fail(ErrorKind::argument, "encode.output", "expected --out, --latents or --tokens");
  if (!o.out.empty()) require_ending(o.out, {".safetensors", ".csv", ".tsv", ".npy", ""});
  for (const std::string& path : {o.latents, o.tokens})
    if (!path.empty()) require_ending(path, {".safetensors", ".npy", ""});
  for (const std::string& path : {o.out, o.latents, o.tokens})
    if (!path.empty() && is_stream(path))
      throw Error(ErrorKind::argument, "encode.output",
                  "is a stream or device, but results are saved several times; expected the name of a file", path);
}

/// What is read, against every result. Throws Error (argument).
inline void guard_encode_files(const EncodeSettings& o, const std::vector<NamedScan>& scans, const std::string& log) {
  OutputGuard guard;
  guard.input(model_path(o.model));
  guard.input(o.contract.file());
  guard_inputs(guard, o.scans, scans);
  for (const std::string& path : {o.out, o.latents, o.tokens, log}) guard.output(path);
}

inline std::vector<EncodeScan> encode_scans(const std::vector<NamedScan>& scans) {
  std::vector<EncodeScan> out;
  std::map<std::filesystem::path, std::string> hashes;  // a file of several volumes has several rows
  for (const NamedScan& s : scans) {
    const auto [hash, fresh] = hashes.try_emplace(s.path);
    if (fresh) hash->second = file_hash(s.path);
    std::string content = hash->second;
    if (s.volume >= 0 && !content.empty()) content += concat("@", s.volume);  // another volume is another scan
    out.push_back({s.id, s.path, std::move(content), s.volume});
  }
  return out;
}

/// Calls f; an error about an existing file also names the option that helps.
template <class F>
auto with_force_advice(F&& f) {
  try {
    return f();
  } catch (const Error& e) {
    if (e.id() != "encode.exists") throw;
    throw Error(e.kind(), e.id(), e.text() + "; --force replaces it", e.path());
  }
}

}  // namespace braing3n::examples
