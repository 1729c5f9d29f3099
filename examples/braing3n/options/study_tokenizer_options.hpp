// The options of `braing3n study tokenizer`, and the commands that the study consists of.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "braing3n/format/output_guard.hpp"
#include "braing3n/study/tokenizer_study.hpp"
#include "examples/braing3n/options/distribution_option.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/pipeline.hpp"

namespace braing3n::examples {

struct StudyTokenizerOptions {
  std::string data, pattern, split, mae = "small", tokenizer = "small", distribution = default_distribution();
  std::filesystem::path out;
  Index phantoms = 0, probe_subjects = 1000, held_out = 6, validation = 2, mae_steps = 0, tokenizer_steps = 0;

  void add_to(CLI::App& app) {
    app.add_option("--data", data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern");
    app.add_option("--pattern", pattern, "paths for a table without them, for example {participant_id}_T1w.nii.gz");
    app.add_option("--phantoms", phantoms, "make this many synthetic subjects instead")->check(more_than_zero());
    add_distribution(app, distribution)->needs("--phantoms");
    app.add_option("--probe-subjects", probe_subjects,
                   "with --phantoms: further subjects for probes on scans and on round trips")
        ->check(CLI::Range(50, 100000));
    app.add_option("--held-out", held_out, "test subjects")->check(more_than_zero());
    app.add_option("--validation", validation, "validation subjects")->check(more_than_zero());
    app.add_option("--split", split,
                   "table subject_id,split with the sets train, validation and test (default: drawn from the seed)");
    app.add_option("--mae-config", mae, "of mae_pretrain");
    app.add_option("--tokenizer-config", tokenizer, "of tokenizer_train");
    app.add_option("--mae-steps", mae_steps, "instead of those of the configuration");
    app.add_option("--tokenizer-steps", tokenizer_steps, "instead of those of the configuration");
    app.add_option("--out", out, "folder for everything that is made")->required();
  }

  std::string at(const std::string& name) const { return (out / name).string(); }
  /// The table of the scans, given or made.
  std::string table() const { return phantoms > 0 ? at("cohort") + "/volumes.csv" : data; }

  /// No result replaces an input. Throws Error (argument).
  void guard(const CommonOptions& common) const {
    if (data.empty() == (phantoms == 0))
      fail(ErrorKind::argument, "study.data", "expected --data TABLE or --phantoms N");
    OutputGuard guard;
    if (!data.empty())
      for (const auto& file : cohort_files({.data = data, .pattern = pattern})) guard.input(file);
    guard.input(split);
    for (const std::string& config : {mae, tokenizer})
      if (config != "small" && config != "paper") guard.input(config);
    for (const char* file : {"split.csv", "output.txt"}) guard.output(out / file);
    guard.output(common.json_log);
    require_kept(out, {"cohort", "mae", "tokenizer", "untrained", "evaluation", "readers", "round_trips", "probes"},
                 {data, split, mae, tokenizer});
  }

  Step cohort_step() const {
    return {"Phantom cohort", with_words({"phantom_cohort", "--out", at("cohort"), "--subjects",
                                          std::to_string(phantoms), "--shape", "80,96,80", "--modalities", "T1"},
                                         {distribution_words(distribution)})};
  }

  /// Both phases, the untrained encoder as a control, and the evaluation.
  std::vector<Step> steps() const {
    using Words = std::vector<std::string>;
    const Words scans = with_words(
        {"--data", table()},
        {phantoms == 0 && !pattern.empty() ? Words{"--pattern", pattern} : Words{}, {"--split", at("split.csv")}});
    const auto training = [&](const std::string& title, Words command, const std::string& config, Index steps) {
      return Step{
          title,
          with_words(std::move(command),
                     {scans, {"--config", config}, steps > 0 ? Words{"--steps", std::to_string(steps)} : Words{}})};
    };
    return {
        training("Phase 1: masked autoencoder", {"mae_pretrain", "--out", at("mae")}, mae, mae_steps),
        training("Phase 2: projection and decoder", {"tokenizer_train", "--model", at("mae"), "--out", at("tokenizer")},
                 tokenizer, tokenizer_steps),
        training("Control: phase 2 on an untrained encoder",
                 {"tokenizer_train", "--untrained-encoder", "--model", at("mae"), "--out", at("untrained")}, tokenizer,
                 tokenizer_steps),
        {"Evaluation on unseen subjects",
         with_words({"evaluate", "reconstruction", "--model", at("tokenizer"), "--beside",
                     "untrained encoder=" + at("untrained"), "--out", at("evaluation")},
                    {phantoms > 0 ? Words{"--truth", at("cohort") + "/truth.csv"} : Words{}, scans})},
    };
  }

  /// Features of further unseen subjects, from their scans and from the reconstructions, and the same probes on both.
  /// The caller writes the table of the reconstructions after the third step.
  std::vector<Step> probe_steps(std::uint64_t seed) const {
    const std::string scans = at("readers") + "/volumes.csv";
    return {
        {"Further phantoms, for probes",
         with_words({"phantom_cohort", "--out", at("readers"), "--subjects", std::to_string(probe_subjects), "--shape",
                     "80,96,80", "--modalities", "T1", "--seed", std::to_string(seed + 1)},
                    {distribution_words(distribution)})},
        {"Features of their scans",
         {"encode", "--model", at("tokenizer"), "--data", scans, "--out", at("scans.safetensors"), "--force"}},
        {"Reconstructions of their scans",
         {"reconstruct", "--model", at("tokenizer"), "--data", scans, "--out", at("round_trips")}},
        {"Features of the reconstructions",
         {"encode", "--model", at("tokenizer"), "--data", at("round_trips") + "/volumes.csv", "--out",
          at("round_trips.safetensors"), "--force"}},
        {"The same probes on both",
         {"probe", "--features", at("scans.safetensors"), at("round_trips.safetensors"), "--labels", scans, "--tasks",
          "sex,disease:HC|AD,age", "--confounds", "none", "--permutations", "0", "--no-leakage-check", "--out",
          at("probes")}},
    };
  }
};

}  // namespace braing3n::examples
