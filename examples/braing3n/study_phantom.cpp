// Generation from end to end on people who do not exist, and every figure it is judged by: a phantom cohort, a masked autoencoder, a
// tokenizer, a diffusion transformer, samples, and what unseen people, readers of round trips and the phantoms' own truth say about them.
//
//   braing3n study phantom --out DIR
//   braing3n study phantom --out DIR --smoke   shows only that everything works
//   braing3n study phantom --out DIR --evaluate --cfg 2      the models that are there, measured again
// People are split once. The masked autoencoder, the tokenizer, the transformer and the readers learn from the train people; what is
// reported comes from the test people. Every step is one of the other commands, run with the command that is printed.
#include <algorithm>
#include <cmath>
#include <functional>
#include <iostream>
#include <limits>
#include <map>
#include <sstream>

#include "braing3n/base/text.hpp"
#include "braing3n/data/condition_labels.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/format/file_lock.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/report/chart.hpp"
#include "braing3n/report/table.hpp"
#include "examples/braing3n/commands.hpp"
#include "examples/support/pipeline.hpp"
#include "examples/support/progress.hpp"

using namespace braing3n;
using namespace braing3n::examples;

namespace {

struct Options {
  std::filesystem::path out;
  bool smoke = false, evaluate = false;
  Index subjects = 1800, mae_steps = 2600, tokenizer_steps = 1000, dit_steps = 5500, n = 64, steps = 25;
  std::string cfg = "1.4", cfg_of = "age=2.5,disease=3.5,sex=2,idh1=4", mae, tokenizer, dit;
};

// 32 x 40 x 32 voxels of 5 mm in patches of 8: 80 tokens, of which the tokenizer keeps 32 numbers each.
const char* mae_config =
    R"({"model": {"encoder": {"image": [32, 40, 32], "patch": [8, 8, 8], "width": 192, "depth": 6, "heads": 6, "mlp": 768},
           "decoder_width": 144, "decoder_depth": 2, "decoder_heads": 6, "decoder_mlp": 576, "masking_ratio": 0.7},
 "contract": {"shape": [32, 40, 32], "spacing": [5, 5, 5], "centring": "mass"},
 "training": {"batch": 64, "lr": 0.001, "adamw": {"beta2": 0.95, "weight_decay": 0.05}, "validate_every": 250, "augment": {"flip": true}},
 "visible_weight": 0}
)";
const char* tokenizer_config =
    R"({"bottleneck": 32, "decoder": {"plan": "d1", "mid": 128, "widths": [64, 32, 16], "groups": 8},
 "training": {"batch": 8, "lr": 0.001, "ema": {"decay": 0.995, "warmup": true}, "validate_every": 250, "augment": {"flip": true}}}
)";
const char* dit_config = R"({"model": {"width": 192, "depth": 6, "heads": 6, "mlp": 768,
           "conditions": [{"name": "disease"}, {"name": "sex", "values": ["F", "M"]},
                          {"name": "modality", "values": ["T1", "T2", "FLAIR", "T1c"], "drop": 0, "required": true}, {"name": "site"},
                          {"name": "age", "kind": "continuous", "minimum": 0, "maximum": 120},
                          {"name": "idh1", "values": ["wildtype", "mutant"]}]},
 "drop": {"all": 0.1, "all_but_one": 0.15}, "balance": {"conditions": ["idh1"], "strength": 0.6},
 "training": {"batch": 32, "lr": 0.001, "clip": 1.0, "ema": {"decay": 0.9999, "warmup": true}, "validate_every": 200}}
)";

/// The number at the end of a path of keys, NaN where there is none.
double number_at(const Json& json, std::initializer_list<std::string> path) {
  const Json* at = &json;
  for (const std::string& key : path) {
    if (!at->is_object() || !at->contains(key)) return std::numeric_limits<double>::quiet_NaN();
    at = &(*at)[key];
  }
  return at->is_number() ? at->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

/// Every figure beside its target.
class Verdicts {
 public:
  Verdicts() : table_({"figure", "target", "here", "ceiling", "read as published", ""}) {}

  /// met(value) is asked of a value that is there; without a target the value is only shown.
  void add(const std::string& what, const std::string& target, double value, const std::function<bool(double)>& met,
           double ceiling = std::numeric_limits<double>::quiet_NaN(),
           double published = std::numeric_limits<double>::quiet_NaN(), int places = 2) {
    const bool there = std::isfinite(value), judged = there && !target.empty(), good = judged && met(value);
    const auto text = [&](double v) { return std::isfinite(v) ? decimals(v, places) : std::string(); };
    table_.row(what, target, there ? text(value) : "not measured", text(ceiling), text(published),
               !judged ? ""
               : good  ? "pass"
                       : "MISS");
    json_.push_back({{"figure", what},
                     {"target", target},
                     {"value", value},
                     {"ceiling", ceiling},
                     {"published_reader", published},
                     {"pass", good}});
    passed_ += good;
    measured_ += judged;
  }
  void print(std::ostream& out) const {
    table_.print(out);
    out << passed_ << " of " << measured_ << " figures reach their target\n";
  }
  const Json& json() const { return json_; }

 private:
  Table table_;
  Json json_ = Json::array();
  Index passed_ = 0, measured_ = 0;
};

Verdicts judge(const Options& o, double seconds) {
  const Json control = read_json(o.out / "controllability" / "controllability.json"),
             fidelity = read_json(o.out / "fidelity" / "fidelity.json"),
             audit = read_json(o.out / "memorisation" / "memorisation.json");
  // As the reports spell the scale.
  std::string scale = o.cfg;
  if (control.contains("cfg") && control["cfg"].is_array() && !control["cfg"].empty())
    scale = number_text(control["cfg"][0].get<double>());
  const auto read = [&](const std::string& reader, const std::string& contrast,
                        std::initializer_list<std::string> rest) {
    const Json* at = &control;
    for (const std::string& key : {std::string("readers"), reader, contrast}) {
      if (!at->is_object() || !at->contains(key)) return std::numeric_limits<double>::quiet_NaN();
      at = &(*at)[key];
    }
    return number_at(*at, rest);
  };
  const auto at_least = [](double least) { return [least](double v) { return v >= least; }; };
  Verdicts all;
  all.add("minutes, all steps", "<= 40", seconds / 60, [](double v) { return v <= 40; }, std::nan(""), std::nan(""), 1);
  const auto age = [&](const std::string& what, const std::string& target, const char* key,
                       const std::function<bool(double)>& met, int places) {
    all.add(what, target, read("round-trip", "age", {"cond", scale, key}), met,
            read("round-trip", "age", {"round_trip", key}), read("real", "age", {"cond", scale, key}), places);
  };
  age("age: r", ">= 0.93", "r", at_least(0.93), 3);
  age("age: bias, years", "-3 to 3", "bias", [](double v) { return std::abs(v) <= 3; }, 1);
  age("age: slope", "0.85 to 1.15", "slope", [](double v) { return v >= 0.85 && v <= 1.15; }, 2);
  // Where classes are not as common as each other the reader counts them the same.
  const auto asked = [&](const char* reader, const std::string& contrast) {
    return read(reader, contrast, {"cond", scale, "balanced_accuracy"});
  };
  const auto ceiling = [&](const char* reader, const std::string& contrast) {
    return read(reader, contrast, {"round_trip", "balanced_accuracy"});
  };
  const auto classes = [&](const std::string& what, const std::string& contrast, double least) {
    all.add(what, concat(">= ", decimals(least, 2)), asked("round-trip", contrast), at_least(least),
            ceiling("round-trip", contrast), asked("real", contrast));
  };
  classes("sex", "sex", 0.93);
  classes("HC or AD", "HC-AD, balanced", 0.95);
  classes("modality", "modality", 0.95);
  classes("tumour present or absent", "tumour, balanced", 0.90);
  const std::string idh1 = "idh1@T1c, balanced";
  // A share of nothing is nothing: a reader that guesses on unseen people has no ceiling.
  const bool reads = ceiling("round-trip", idh1) >= 0.6;
  all.add("IDH1 on T1c, share of its ceiling", ">= 0.80",
          reads ? asked("round-trip", idh1) / ceiling("round-trip", idh1) : std::nan(""), at_least(0.80));
  for (const char* modality : {"T1c", "FLAIR"}) {
    const std::string contrast = concat("idh1@", modality, ", balanced");
    all.add(concat("IDH1 on ", modality), "", asked("round-trip", contrast), {}, ceiling("round-trip", contrast),
            asked("real", contrast));
  }
  for (const auto& [contrast, first] :
       {std::pair{"sex", "F"}, std::pair{"HC-AD", "HC"}, std::pair{"HC-MCI", "HC"}, std::pair{"HC-PD", "HC"},
        std::pair{"MCI-AD", "MCI"}, std::pair{"tumour", "present"}})
    all.add(
        concat("null samples read as ", first, " (", contrast, "), less the prior"), "-0.10 to 0.10",
        read("round-trip", contrast, {"null", first, "share"}) - read("round-trip", contrast, {"prior", first}),
        [](double v) { return std::abs(v) <= 0.10; },
        read("round-trip", contrast, {"everybody", first, "share"}) - read("round-trip", contrast, {"prior", first}),
        read("real", contrast, {"null", first, "share"}) - read("real", contrast, {"prior", first}));
  const double prior_mean = read("round-trip", "age", {"prior", "mean"}),
               prior_sd = read("round-trip", "age", {"prior", "sd"});
  all.add(
      "null ages: mean, less the data's, years", "-5 to 5", read("round-trip", "age", {"null", "mean"}) - prior_mean,
      [](double v) { return std::abs(v) <= 5; }, read("round-trip", "age", {"round_trip", "mean"}) - prior_mean,
      read("real", "age", {"null", "mean"}) - prior_mean, 1);
  all.add("null ages: deviation, of the data's", ">= 0.80", read("round-trip", "age", {"null", "sd"}) / prior_sd,
          at_least(0.80), read("round-trip", "age", {"round_trip", "sd"}) / prior_sd,
          read("real", "age", {"null", "sd"}) / prior_sd);

  // Arms in which enough unseen people are there to compare with.
  double least = std::numeric_limits<double>::quiet_NaN(), largest = least;
  for (const Json& arm : fidelity["arms"]) {
    const double ratio = number_at(arm, {"ratio"});
    if (number_at(arm, {"unseen_scans"}) < (o.smoke ? 2 : 10) || !std::isfinite(ratio)) continue;
    least = std::fmin(least, ratio), largest = std::fmax(largest, ratio);
  }
  all.add("distance within an arm, of unseen scans': least arm", ">= 0.8", least, at_least(0.8));
  all.add("distance within an arm, of unseen scans': largest arm", "<= 1.2", largest,
          [](double v) { return v <= 1.2; });
  Index right = 0, regions = 0;
  for (const Json& r : fidelity["regions"]) {
    const double mean = 100 * number_at(r, {"mean_error"}), sd = 100 * number_at(r, {"sd_ratio"}) - 100;
    if (r["arm"] == Json("modality=T1")) {
      const std::string region = r["region"].get<std::string>();
      all.add(
          concat(region, " of T1 samples: mean off by, %"), "-10 to 10", mean,
          [](double v) { return std::abs(v) <= 10; }, 100 * number_at(r, {"round_trip_mean_error"}), std::nan(""), 1);
      all.add(
          concat(region, " of T1 samples: deviation off by, %"), "-25 to 25", sd,
          [](double v) { return std::abs(v) <= 25; }, 100 * number_at(r, {"round_trip_sd_ratio"}) - 100, std::nan(""),
          1);
    } else if (std::isfinite(mean) && std::isfinite(sd) && number_at(r, {"truth", "n"}) >= 10) {
      ++regions;
      right += std::abs(mean) <= 10 && std::abs(sd) <= 25;
    }
  }
  all.add(concat("regions of the other arms within both, of ", regions), "1",
          regions > 0 ? static_cast<double>(right) / static_cast<double>(regions) : std::nan(""), at_least(1.0));
  all.add("Frechet distance to round trips, of their two halves'", "<= 1.5",
          number_at(fidelity, {"frechet", "gen_recons_ratio"}), [](double v) { return v <= 1.5; });
  const double planted = number_at(audit, {"planted"});
  all.add(
      "copies of training scans among the samples", "0", number_at(audit, {"copies"}), [](double v) { return v == 0; },
      std::nan(""), std::nan(""), 0);
  all.add(
      concat("planted copies found, of ", planted), "all", number_at(audit, {"planted_found"}),
      [planted](double v) { return v == planted; }, std::nan(""), std::nan(""), 0);
  return all;
}

int study(const Program& program, Options o) {
  const CommonOptions& common = program.common;
  const auto at = [&](const std::string& name) { return (o.out / name).string(); };
  const auto remove = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) std::filesystem::remove_all(o.out / name);
  };
  OutputGuard guard;
  for (const std::string& config : {o.mae, o.tokenizer, o.dit}) guard.input(config);
  for (const char* file :
       {"mae.json", "tokenizer.json", "dit.json", "steps.json", "output.txt", "summary.txt", "summary.json"})
    if (!o.evaluate) guard.output(o.out / file);
  require_kept(
      o.out, {"cohort", "mae", "tokenizer", "dit", "sweep", "controllability", "guidance", "fidelity", "memorisation"},
      {o.mae, o.tokenizer, o.dit});
  const FileLock lock = lock_folder(o.out);
  if (o.evaluate) {
    for (const char* needed : {"cohort/volumes.csv", "split.csv", "latents.safetensors", "tokenizer/model.safetensors",
                               "dit/model.safetensors"})
      if (!std::filesystem::exists(o.out / needed))
        throw Error(ErrorKind::file, "study.models", concat(needed, " is not there: run the whole study first"),
                    o.out.string());
  } else {
    if (!common.force && std::filesystem::exists(o.out / "cohort"))
      throw Error(ErrorKind::file, "study.exists",
                  "holds a study already; --force replaces it, --evaluate goes on with it", o.out.string());
    remove({"cohort", "mae", "tokenizer", "latents.safetensors", "dit", "steps.json", "output.txt"});
    for (const auto& [name, given, text] :
         {std::tuple{"mae.json", &o.mae, mae_config}, std::tuple{"tokenizer.json", &o.tokenizer, tokenizer_config},
          std::tuple{"dit.json", &o.dit, dit_config}})
      write_text(o.out / name, given->empty() ? text : content(*given), {.overwrite = true});
    if (o.dit.empty()) {  // as many directions as the scans can show
      Json config = read_json(o.out / "dit.json");
      config["model"]["gaussian_rank"] = std::min<Index>(512, o.subjects / 2);
      write_text(o.out / "dit.json", config.dump(1) + "\n", {.overwrite = true});
    }
  }
  remove({"sweep", "controllability", "guidance", "fidelity", "memorisation"});

  // Steps of an earlier run count, unless they are done again.
  Json times =
      o.evaluate && std::filesystem::exists(o.out / "steps.json") ? read_json(o.out / "steps.json") : Json::object();
  Pipeline pipeline(program, o.out / "output.txt");
  const auto run = [&](const std::string& title, const std::vector<std::string>& command) {
    pipeline(title, command);
    times[title] = {{"seconds", pipeline.times().back().seconds}, {"command", pipeline.times().back().command}};
    write_text(o.out / "steps.json", times.dump(2) + "\n", {.overwrite = true});
  };
  const std::string table = at("cohort/volumes.csv");
  if (!o.evaluate) {
    run("Make people who do not exist",
        {"phantom_cohort", "--out", at("cohort"), "--subjects", std::to_string(o.subjects), "--shape", "40,48,40",
         "--modalities", "T1,T2,FLAIR,T1c"});
    const Manifest cohort = read_manifest(std::filesystem::path(table));
    const double test = o.smoke ? 0.3 : 0.14, validation = o.smoke ? 0.1 : 0.04;
    write_split(o.out / "split.csv",
                split_subjects(cohort, {{"train", 1 - test - validation}, {"validation", validation}, {"test", test}},
                               common.seed, "disease"),
                {.overwrite = true});
  }
  const std::vector<std::string> scans = {"--data", table, "--split", at("split.csv")},
                                 models = {"--model", at("dit"), "--tokenizer", at("tokenizer")};
  const auto joined = [](std::vector<std::string> command, std::initializer_list<std::vector<std::string>> more) {
    for (const auto& words : more) command.insert(command.end(), words.begin(), words.end());
    return command;
  };
  if (!o.evaluate) {
    const std::vector<std::string> small =
        o.smoke ? std::vector<std::string>{"--batch", "4", "--validate-every", "6"} : std::vector<std::string>{};
    run("Phase 1: learn what heads look like",
        joined({"mae_pretrain", "--out", at("mae"), "--config", at("mae.json"), "--steps", std::to_string(o.mae_steps)},
               {scans, small}));
    run("Phase 2: learn to give them back",
        joined({"tokenizer_train", "--encoder", at("mae"), "--out", at("tokenizer"), "--config", at("tokenizer.json"),
                "--steps", std::to_string(o.tokenizer_steps)},
               {scans, small}));
    run("Encode everyone",
        {"encode", "--model", at("tokenizer"), "--data", table, "--latents", at("latents.safetensors")});
    run("Phase 3: learn the latents under their conditions",
        joined({"dit_train", "--latents", at("latents.safetensors"), "--labels", table, "--split", at("split.csv"),
                "--tokenizer", at("tokenizer"), "--out", at("dit"), "--config", at("dit.json"), "--steps",
                std::to_string(o.dit_steps), "--preview-steps", o.smoke ? "2" : "20"},
               {small}));
  }
  const std::string steps = std::to_string(o.steps), n = std::to_string(o.n);
  const std::vector<std::string> sampling = {"--sampler", "heun", "--shift", "3",
                                             "--steps",   steps,  "--seed",  std::to_string(common.seed)};
  run("Four people at three ages",
      joined({"generate", "--condition", "modality=T1,disease=HC", "--sweep", "age=30,50,70", "--n",
              o.smoke ? "1" : "4", "--cfg", o.cfg, "--out", at("sweep")},
             {models, sampling}));
  run("Are samples what was asked for?",
      joined({"evaluate", "controllability", "--contrasts", "HC-AD,MCI-AD,HC-MCI,HC-PD,sex,modality,tumour,idh1,age",
              "--n", n, "--cfg", o.cfg, "--cfg-of", o.cfg_of, "--readers", "both", "--reader-scans", "6000", "--out",
              at("controllability")},
             {models, scans, sampling}));
  run("The same with other guidance, on half as many",
      joined({"evaluate", "controllability", "--contrasts", "HC-AD,sex,tumour,idh1@T1c,age", "--n",
              std::to_string(std::max<Index>(2, o.n / 2)), "--cfg", o.smoke ? "2" : "1,2,3", "--readers", "both",
              "--out", at("guidance")},
             {models, scans, sampling}));
  run("Do they spread as people do?",
      joined({"evaluate", "fidelity", "--truth", at("cohort/truth.csv"), "--conditions", "disease,sex,modality", "--n",
              n, "--cfg", o.cfg, "--cfg-of", o.cfg_of, "--out", at("fidelity")},
             {models, scans, sampling}));
  run("Are they copies?",
      joined({"evaluate", "memorisation", "--latents", at("latents.safetensors"), "--n", o.smoke ? "8" : "256", "--cfg",
              o.cfg, "--plant", o.smoke ? "2" : "20", "--out", at("memorisation")},
             {models, scans, sampling}));

  double total = 0;
  for (const auto& [title, step] : times.items()) total += number_at(step, {"seconds"});

  std::ostringstream text;
  text << "Guidance " << o.cfg << (o.cfg_of.empty() ? "" : " (" + o.cfg_of + ")") << ", " << o.n
       << " samples per class, " << o.steps
       << " steps of Heun; readers fitted on round trips of train people, their ceiling: round trips of\n"
       << "unseen people; the published reader is fitted on scans"
       << (o.smoke ? ". A smoke run, far too short to learn anything" : "") << "\n\n";
  const Verdicts verdicts = judge(o, total);
  verdicts.print(text);
  text << '\n';
  for (const auto& [title, step] : times.items())
    text << clock_text(number_at(step, {"seconds"})) << "  " << title << '\n';
  text << clock_text(total) << "  together\n";
  std::cout << text.str();
  write_text(o.out / "summary.txt", text.str(), {.overwrite = true});
  write_text(o.out / "summary.json",
             Json{{"kind", "braing3n phantom study"},
                  {"version", version()},
                  {"smoke", o.smoke},
                  {"seed", common.seed},
                  {"cfg", o.cfg},
                  {"cfg_of", o.cfg_of},
                  {"n", o.n},
                  {"sampling_steps", o.steps},
                  {"figures", verdicts.json()},
                  {"steps", times}}
                     .dump(2) +
                 "\n",
             {.overwrite = true});
  std::cout << "tables in " << at("controllability") << ", " << at("guidance") << ", " << at("fidelity") << ", "
            << at("memorisation") << "; pictures there and in " << at("sweep/montage.png") << '\n';
  return exit_done;
}

}  // namespace

int study_phantom_command(int argc, char** argv) {
  Program program("study phantom",
                  "Runs generation from end to end on synthetic people and puts every figure beside its target.");
  Options o;
  CLI::App& app = program.app;
  app.add_option("--out", o.out, "folder for everything that is made")->required();
  app.add_flag("--smoke", o.smoke, "a short run that only shows that everything works");
  app.add_flag("--evaluate", o.evaluate, "measure the models that are there again");
  CLI::Option* subjects =
      app.add_option("--subjects", o.subjects, "people, with four scans each")->check(CLI::Range(24, 100000));
  CLI::Option* mae = app.add_option("--mae-steps", o.mae_steps, "of 64 scans")->check(CLI::PositiveNumber);
  CLI::Option* tokenizer =
      app.add_option("--tokenizer-steps", o.tokenizer_steps, "of 8 scans")->check(CLI::PositiveNumber);
  CLI::Option* dit = app.add_option("--dit-steps", o.dit_steps, "of 32 latents")->check(CLI::PositiveNumber);
  app.add_option("--mae-config", o.mae, "a JSON file instead of the study's own (mae.json in the folder)");
  app.add_option("--tokenizer-config", o.tokenizer, "the same of tokenizer_train");
  app.add_option("--dit-config", o.dit, "the same of dit_train");
  app.add_option("--cfg", o.cfg, "guidance of the samples that are judged, chosen beforehand");
  app.add_option("--cfg-of", o.cfg_of, "NAME=SCALE,...: conditions with a scale of their own, chosen beforehand");
  CLI::Option* n = app.add_option("--n", o.n, "samples per class")->check(CLI::Range(2, 100000));
  CLI::Option* steps = app.add_option("--sampling-steps", o.steps, "from noise to data")->check(CLI::Range(1, 100000));
  program.without({"--device", "--precision"});
  return program.run(argc, argv, [&] {
    const auto smaller = [&](const CLI::Option* option, Index& value, Index by) {
      if (o.smoke && option->count() == 0) value = by;
    };
    smaller(subjects, o.subjects, 40);
    smaller(mae, o.mae_steps, 12);
    smaller(tokenizer, o.tokenizer_steps, 12);
    smaller(dit, o.dit_steps, 12);
    smaller(n, o.n, 4);
    smaller(steps, o.steps, 3);
    return study(program, o);
  });
}
