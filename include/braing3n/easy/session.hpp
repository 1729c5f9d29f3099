// One object from which trained models are used.
//
//   Session s;
//   const Scan scan = s.read("scan.nii.gz");
//   const auto tokenizer = s.tokenizer("TOKENIZER");
//   tokenizer.features(scan), tokenizer.latents(scan), tokenizer.reconstruct(scan)
//   s.generator("DIT", tokenizer).sample({.conditions = "age=70,sex=F", .n = 4, .guidance = 2})
//   s.forecaster("FORECASTER", tokenizer).follow_ups(scan, {.age = 71, .conditions = "sex=F,disease=MCI", .years = {1, 5}})
//   s.probe("probe.safetensors").apply(tokenizer.features(scan))
// What a session makes shares its context and may outlive it. Everything here is a call of the public layers below, in fp32.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include "braing3n/easy/forecaster.hpp"
#include "braing3n/easy/generator.hpp"
#include "braing3n/easy/probe.hpp"
#include "braing3n/easy/scan.hpp"
#include "braing3n/easy/tokenizer.hpp"

namespace braing3n::inline BRAING3N_ABI {

class Session {
 public:
  /// Threads and kernels; without options all threads and the fastest kernels. Throws Error (environment).
  explicit Session(const CpuOptions& options = {}) : context_(std::make_shared<Context<Cpu>>(options)) {}

  /// A NIfTI scan. Throws Error: file, format (damaged, or a geometry that cannot be used), argument (several volumes, none chosen).
  Scan read(const std::filesystem::path& path, const NiftiReadOptions& options = {}) const {
    NiftiVolume nifti = read_nifti(*context_, path, options);
    nifti.info.findings.require_usable(false, path.string());
    Scan scan(std::move(nifti.volume), path.string(), std::move(nifti.info.findings));
    scan.index = options.volume;
    return scan;
  }

  /// A tokenizer's file or the folder of its run. contract: for weights that carry none.
  ScanTokenizer tokenizer(const std::filesystem::path& path,
                          const std::optional<PreprocessingContract>& contract = {}) const {
    return {context_, path, contract};
  }

  /// A diffusion transformer's file or the folder of its run, with the tokenizer whose latents it learnt.
  BrainGenerator generator(const std::filesystem::path& path, const ScanTokenizer& tokenizer) const {
    return {context_, path, tokenizer};
  }

  /// A field of rates' file or the folder of its run, with the tokenizer whose latents it learnt.
  ScanForecaster forecaster(const std::filesystem::path& path, const ScanTokenizer& tokenizer) const {
    return {context_, path, tokenizer};
  }

  /// A saved probe.
  ScanProbe probe(const std::filesystem::path& path) const { return ScanProbe(path); }

  Context<Cpu>& context() const { return *context_; }

 private:
  std::shared_ptr<Context<Cpu>> context_;
};

}  // namespace braing3n::inline BRAING3N_ABI
