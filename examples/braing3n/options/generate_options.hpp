// The options of `braing3n generate`, and what they mean for a model.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/data/generate_volumes.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/output_guard.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/sampling_arguments.hpp"

namespace braing3n::examples {

/// The guidance of `cfg` ("2", or "disease=1.5,age=2") between the times of `interval` ("LOW,HIGH"). Throws Error (argument).
inline Guidance parse_guidance(const std::string& cfg, const std::optional<std::string>& interval,
                               const std::vector<ConditionField>& fields) {
  Guidance g;
  if (cfg.find('=') == std::string::npos) {
    g.scale = parse_guidance_number("--cfg", cfg);
  } else {
    g.composed = parse_scales("--cfg", cfg, fields);
  }
  if (interval) {
    const std::size_t comma = interval->find(',');
    if (comma == std::string::npos)
      fail(ErrorKind::argument, "guidance.interval", "--cfg-interval ", in_quotes(*interval, 60),
           ": expected LOW,HIGH");
    g.low = parse_guidance_number("--cfg-interval", interval->substr(0, comma));
    g.high = parse_guidance_number("--cfg-interval", interval->substr(comma + 1));
  }
  g.validate(fields);
  return g;
}

struct GenerateOptions {
  std::string model, tokenizer, condition, sweep, cfg = "1", redo, out;
  SamplerArguments sampler;
  std::optional<std::string> interval;
  Index n = 1, batch = 0;
  std::uint32_t first = 0;
  bool no_pictures = false;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a diffusion transformer: its file, or the folder of its run");
    app.add_option("--tokenizer", tokenizer, "the tokenizer of its latents");
    app.add_option("--condition", condition, "name=value,...: conditions; the others are null");
    app.add_option("--sweep", sweep, "name=value,value,...: one condition varied, the same noise");
    app.add_option("--n", n, "samples (of each value of a sweep)")->check(CLI::Range(1, 1000000));
    app.add_option("--first", first, "number of the first sample");
    sampler.add_to(app);
    app.add_option("--cfg", cfg, "guidance: one scale for all conditions (1: none), or name=scale,... per condition");
    app.add_option("--cfg-interval", interval, "LOW,HIGH: guide only for t between the two, 1 being noise");
    app.add_option("--batch", batch, "samples made together, 0: chosen; results do not depend on it")
        ->check(at_least(0));
    app.add_option("--redo", redo, "a sidecar: make that volume again");
    app.add_flag("--no-pictures", no_pictures, "no montage.png");
    app.add_option("--out", out, "folder for volumes, sidecars and montage.png")->required();
  }

  bool pictures() const { return !no_pictures && redo.empty(); }

  /// The sidecar of --redo, with the weights where they are now; nothing without --redo. Throws Error.
  std::optional<SampleRecord> resolve(const CLI::App& app) {
    if (redo.empty()) {
      if (model.empty() || tokenizer.empty())
        fail(ErrorKind::argument, "generate.model", "expected --model and --tokenizer, or --redo");
      (void)sampler.options();
      return std::nullopt;
    }
    SampleRecord record = read_sample_record(redo);
    for (const char* fixed : {"--condition", "--sweep", "--n", "--first", "--steps", "--sampler", "--cfg",
                              "--cfg-interval", "--seed", "--precision"})
      if (app.get_option(fixed)->count() > 0)
        fail(ErrorKind::argument, "generate.redo", fixed, " cannot be given with --redo: the sidecar has it");
    if (!model.empty()) record.model.file = model_path(model).string();
    if (!tokenizer.empty()) record.tokenizer.file = model_path(tokenizer).string();
    require_weights(record.model, "model");
    require_weights(record.tokenizer, "tokenizer");
    model = record.model.file;
    tokenizer = record.tokenizer.file;
    return record;
  }

  /// What the samples of a new run share. `hashes`: of transformer and tokenizer.
  SampleRecord record(const CommonOptions& common, const std::vector<ConditionField>& fields,
                      const std::string& provider, const std::pair<std::string, std::string>& hashes) const {
    SampleRecord r;
    r.seed = common.seed;
    r.sampling = sampler.options();
    r.sampling.guidance = parse_guidance(cfg, interval, fields);
    r.precision = common.precision;
    r.provider = provider;
    r.model = {recorded_path(model), hashes.first};
    r.tokenizer = {recorded_path(tokenizer), hashes.second};
    return r;
  }

  /// Throws Error (argument): the plan's, and a scale of guidance for a condition that no sample has.
  SamplePlan plan(const std::vector<ConditionField>& fields, const Guidance& guidance) const {
    SamplePlan plan = plan_samples(fields, condition, sweep, n, first);
    for (const ConditionScale& c : guidance.composed) {
      const std::size_t f = find_condition(fields, c.condition);
      if (std::all_of(plan.samples.begin(), plan.samples.end(),
                      [&](const PlannedSample& s) { return s.row[f].missing(); }))
        fail(ErrorKind::argument, "guidance.condition", "--cfg has a scale for ", c.condition, ", which is not given");
    }
    return plan;
  }

  /// No result replaces an input or, without --force, an existing file.
  void guard(const std::vector<PlannedSample>& samples, const CommonOptions& common) const {
    const std::filesystem::path folder = out;
    OutputGuard guard;
    guard.input(model_path(model));
    guard.input(model_path(tokenizer));
    guard.input(redo);
    for (const PlannedSample& s : samples)
      for (const char* ending : {".nii.gz", ".json"}) guard.output(folder / (s.name + ending));
    if (pictures()) guard.output(folder / "montage.png");
    guard.output(common.json_log);
    make_folder(folder);
    for (const PlannedSample& s : samples)
      for (const char* ending : {".nii.gz", ".json"}) require_new(folder / (s.name + ending), common);
  }

 private:
  /// WeightsRecord::require() with the advice of this program when the weights are gone.
  static void require_weights(const WeightsRecord& weights, const char* what) {
    try {
      weights.require(what);
    } catch (const Error& e) {
      if (e.id() != "sidecar.gone") throw;
      throw Error(e.kind(), e.id(), concat(e.text(), "; --", what, " names its new path"), e.path());
    }
  }
};

/// Locks the volumes of the next batch in place of those of the last: jobs that share a folder must write different volumes.
inline std::vector<FileLock> lock_samples(const std::filesystem::path& folder, std::vector<FileLock> last,
                                          std::span<const PlannedSample> batch) {
  last.clear();
  for (const PlannedSample& s : batch) last.push_back(lock_file(folder / (s.name + ".nii.gz")));
  return last;
}

/// The voxels of a volume, (X, Y, Z).
inline Tensor<float, Cpu> voxels_of(Context<Cpu>& ctx, const Volume& volume) {
  const Extent3 n = volume.shape();
  return Tensor<float, Cpu>::from_host(ctx, {n[0], n[1], n[2]},
                                       {volume.data(), static_cast<std::size_t>(volume.size())});
}

}  // namespace braing3n::examples
