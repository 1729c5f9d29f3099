// A trained diffusion transformer with its tokenizer: synthetic volumes, marked as such.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/checkpoint/saved_dit.hpp"
#include "braing3n/data/generate_volumes.hpp"
#include "braing3n/easy/synthetic.hpp"
#include "braing3n/easy/tokenizer.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct SampleRequest {
  std::string conditions{};   // "age=70,sex=F"; conditions without a value are null
  Index n = 1;                // samples
  double guidance = 1;        // one scale for all conditions; 1: none
  int steps = 50;             // from noise to data
  std::uint64_t seed = 2025;  // sample i of a seed is the same however many are made
  std::uint32_t first = 0;    // number of the first sample
  Sampler sampler = Sampler::euler;
  double shift = 1;  // of the steps: above 1 they are shorter near the noise
};

/// A sample of a model, in the model's intensities on a grid around the origin. Its file is SYNTHETIC_0000.nii.gz, by the sample's number.
using SyntheticVolume = SyntheticResult<SampleRecord>;

/// Made by Session::generator(). Copies share the weights.
class BrainGenerator {
 public:
  /// path: a transformer's file or the folder of its run. Throws Error: file, format, config (not the tokenizer whose latents the
  /// transformer learnt).
  BrainGenerator(std::shared_ptr<Context<Cpu>> context, const std::filesystem::path& path,
                 const ScanTokenizer& tokenizer)
      : context_(std::move(context)), path_(model_path(path)), tokenizer_path_(tokenizer.path()),
        dit_(std::make_shared<const LoadedDit<Cpu, F32>>(load_dit<F32>(*context_, path_))),
        decoder_(std::make_shared<const LoadedDecoder<Cpu>>(load_decoder(*context_, tokenizer_path_))) {
    require_tokenizer(*dit_, *decoder_, tokenizer_path_.string());
  }

  /// Throws Error: argument (unknown conditions, values out of range, a required one that is missing, no samples), numeric.
  std::vector<SyntheticVolume> sample(const SampleRequest& request) const {
    const std::vector<ConditionField>& fields = conditions();
    if (request.n < 1 || request.n > 1000000)
      fail(ErrorKind::argument, "generator.count", "sampling: expected 1 to 1000000 samples, got ", request.n);
    if (request.steps < 1 || request.steps > 100000)
      fail(ErrorKind::argument, "generator.steps", "sampling: expected 1 to 100000 steps, got ", request.steps);
    const SamplePlan plan = plan_samples(fields, request.conditions, "", request.n, request.first);
    const GenerationOptions options{common_record(request), sampling_batch(dit_->model.config, request.n)};
    std::vector<SyntheticVolume> all;
    GenerationHooks hooks;
    hooks.on_volume = [&](const PlannedSample&, Volume volume, SampleRecord record) {
      all.emplace_back(context_, std::move(volume), std::move(record));
    };
    generate_volumes(*context_, *dit_, *decoder_, std::span<const PlannedSample>(plan.samples), options, hooks);
    return all;
  }

  /// The conditions that SampleRequest::conditions may name.
  const std::vector<ConditionField>& conditions() const { return dit_->model.config.conditions; }
  /// Everything that was loaded, for use with the layers below.
  const LoadedDit<Cpu, F32>& loaded() const { return *dit_; }

 private:
  SampleRecord common_record(const SampleRequest& request) const {
    SampleRecord r;
    r.seed = request.seed;
    r.sampling = {.sampler = request.sampler,
                  .steps = request.steps,
                  .shift = request.shift,
                  .guidance = {.scale = request.guidance}};
    r.provider = context_->provider().name;
    r.model = {recorded_path(path_), dit_->hash};
    r.tokenizer = {recorded_path(tokenizer_path_), decoder_->hash};
    return r;
  }

  std::shared_ptr<Context<Cpu>> context_;  // outlives the tensors
  std::filesystem::path path_, tokenizer_path_;
  std::shared_ptr<const LoadedDit<Cpu, F32>> dit_;
  std::shared_ptr<const LoadedDecoder<Cpu>> decoder_;
};

}  // namespace braing3n::inline BRAING3N_ABI
