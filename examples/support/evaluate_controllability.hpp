// `evaluate controllability`: are the samples of a diffusion transformer what was asked for?
//
// Readers are fitted on the people that trained the generator and applied to unseen scans, to their round trips through the tokenizer (the
// ceiling) and to samples, decoded and encoded again:
//   round-trip  one probe per modality on mean and deviation of the tokens, fitted on round trips: what a sample can be compared with
//   real        one probe for all modalities on the mean of the tokens, fitted on scans: the published way
//   latents     one probe per modality on the latents themselves, fitted on those of scans: the generator without the tokenizer's decoder
//   probe       probes of a file (probe --save)
#pragma once

#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/data/feature_contract.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/previews.hpp"
#include "examples/support/context.hpp"
#include "examples/support/controllability_report.hpp"
#include "examples/support/tell_findings.hpp"
#include "examples/support/unseen_people.hpp"

namespace braing3n::examples {

namespace detail {

/// Hashes of the readers in a report of this program.
inline std::set<std::string> readers_of_report(const std::filesystem::path& path) {
  const Json json = read_json(path);
  std::set<std::string> hashes;
  if (!json.is_object() || json.value("kind", std::string()) != "braing3n controllability")
    throw Error(ErrorKind::format, "evaluate.report", "this is not a controllability.json", path.string());
  for (const auto& [reader, contrasts] : json.at("readers").items())
    for (const auto& [contrast, scores] : contrasts.items()) hashes.insert(scores.value("hash", std::string()));
  return hashes;
}

/// Who was used to fit or to choose must not score. Throws Error (argument, format).
inline void require_fair_probe(const SavedProbe& probe, const std::string& path, const ControllabilityPlan& plan,
                               const Manifest& manifest) {
  if (probe.people.empty())
    throw Error(ErrorKind::argument, "probe.people",
                "the probes do not say on whom they were fitted, so nobody knows whether these people are unseen: fit "
                "them again (probe --save)",
                path);
  const std::set<std::string> people(probe.people.begin(), probe.people.end());
  std::vector<std::string> seen;
  for (const Index i : plan.test) {
    const std::string& subject = manifest.scans[static_cast<std::size_t>(i)].subject_id;
    if (people.contains(person_key(canonical_value("subject_id", subject))) &&
        std::find(seen.begin(), seen.end(), subject) == seen.end())
      seen.push_back(subject);
  }
  if (!seen.empty())
    throw Error(ErrorKind::argument, "probe.people",
                concat("the probes were fitted on ", seen.size(),
                       " of the people that should be unseen: ", braing3n::detail::some_of(seen)),
                path);
}

}  // namespace detail

inline int evaluate_controllability(const Program& program, const ControllabilityArguments& a) {
  using namespace detail;
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  if (a.n < 2 || a.n > 100000) fail(ErrorKind::argument, "evaluate.n", "--n ", a.n, ": expected 2 to 100000");
  const SamplingOptions sampling = a.sampler.options();
  if (a.cfg.empty()) fail(ErrorKind::argument, "guidance.scale", "--cfg has no scale");
  for (std::size_t k = 0; k < a.cfg.size(); ++k) {
    require_guidance(a.cfg[k]);
    if (std::find(a.cfg.begin(), a.cfg.begin() + static_cast<std::ptrdiff_t>(k), a.cfg[k]) !=
        a.cfg.begin() + static_cast<std::ptrdiff_t>(k))
      fail(ErrorKind::argument, "guidance.scale", "--cfg has ", a.cfg[k], " twice");
  }
  require_new(out / "controllability.json", common);
  const FileLock lock =
      open_results(out, common, {"controllability.json", "controllability.csv", "tables.txt", "montage.png"},
                   {model_path(a.model), model_path(a.tokenizer), a.cohort.data, a.cohort.split, a.probe});
  std::set<std::string> spent;
  for (const std::string& path : a.chosen_with) spent.merge(readers_of_report(path));

  const auto ctx = make_cpu_context(common);
  const SampleArms models(*ctx, a.model, a.tokenizer);
  const Manifest manifest = a.cohort.manifest();
  const std::vector<ConditionScale> own = parse_scales("--cfg-of", a.own_scales, models.conditions());
  const ControllabilityPlan plan(models.conditions(), manifest, read_split(a.cohort.split), a);
  require_unseen({{"model", a.model}, {"tokenizer", a.tokenizer}}, plan.test, manifest);
  std::optional<SavedProbe> saved;
  std::string saved_hash;
  if (!a.probe.empty()) {
    saved = read_saved_probe(a.probe);
    FeatureTable table;
    set_size(table.values, 0, models.tokenizer().model.config.encoder.width);
    table.path = a.tokenizer;
    table.set_contract(
        feature_contract(models.contract(), "tokenizer", models.tokenizer().hash, "encoder", "mean").dump());
    require_same_features(*saved, table);
    require_fair_probe(*saved, a.probe, plan, manifest);
    const MappedFile file(a.probe);
    saved_hash = sha256_hex({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
  }
  const std::vector<Index> fit_rows = reader_rows(plan, a);
  if (fit_rows.empty())
    fail(ErrorKind::argument, "evaluate.reader", "--reader-scans ", a.reader_scans, ": not even one person fits");

  const auto findings = std::make_shared<FindingLog>();
  const VolumeSource source = scan_source(manifest, models.contract(), {.findings = findings});
  ScanFailures failures;
  Progress reading("scans and round trips", static_cast<Index>(fit_rows.size() + plan.test.size()), common.quiet);
  const ScanFeatures train = models.scans(source, fit_rows, true, failures, {}, &reading),
                     test = models.scans(source, plan.test, true, failures, {}, &reading);
  reading.close();
  JsonLog log(common.json_log);
  tell_findings(*findings, log, common.quiet);
  for (const auto& [row, reason] : failures)
    std::cerr << "evaluate: left out " << manifest.scans[static_cast<std::size_t>(row)].volume_id << ": " << reason
              << '\n';

  // Readers first: if one of them may not score, nothing is sampled.
  const std::set<std::string> wanted(a.readers.begin(), a.readers.end());
  const bool both = wanted.contains("both");
  std::vector<ReaderKind> kinds;
  if (both || wanted.contains("round-trip"))
    kinds.push_back(
        {.name = "round-trip",
         .text = "a probe per modality on mean and deviation of the tokens, fitted on round trips of training scans",
         .round_trips = true});
  if (both || wanted.contains("real"))
    kinds.push_back({.name = "real",
                     .text = "one probe for all modalities on the mean of the tokens, fitted on training scans",
                     .means_only = true,
                     .grouped = false});
  if (wanted.contains("latents"))
    kinds.push_back({.name = "latents",
                     .text = "a probe per modality on mean and deviation of the latents, before any decoding, fitted "
                             "on those of training scans",
                     .latents = true});
  if (wanted.contains("tokens"))
    kinds.push_back({.name = "tokens",
                     .text = "a probe per modality on the latents of every token, which knows places, before any "
                             "decoding, fitted on those of training scans",
                     .latents = true,
                     .whole = true});
  ControllabilityScores scorer(*ctx, plan, train, test);
  std::vector<std::vector<ContrastScores>> scores;
  for (const ReaderKind& kind : kinds) scores.push_back(scorer.fit(kind));
  if (saved) {
    kinds.push_back({.name = "probe",
                     .text = concat("saved probes, ", a.probe),
                     .means_only = true,
                     .grouped = false,
                     .saved = true});
    scores.emplace_back(plan.contrasts.size());
    for (ContrastScores& s : scores.back()) s.hash = saved_hash;
  }
  for (std::size_t r = 0; r < kinds.size(); ++r)
    for (std::size_t k = 0; k < plan.contrasts.size(); ++k) {
      if (spent.contains(scores[r][k].hash))
        fail(ErrorKind::argument, "evaluate.spent", "reader ", kinds[r].name, ", ", plan.contrasts[k].name,
             ": it chose the guidance (--chosen-with) and may not score; ",
             kinds[r].saved ? "give other probes" : "fit readers on the other half of the people (--reader-half)");
      if (!scores[r][k].converged)
        std::cerr << "evaluate: reader " << kinds[r].name << ", " << plan.contrasts[k].name
                  << ": the fit did not converge\n";
    }
  for (std::size_t r = 0; r < kinds.size(); ++r) scorer.score_scans(kinds[r], saved ? &*saved : nullptr, scores[r]);

  // The arms, once per scale; those on which guidance has nothing to act once in all.
  const Index scales = std::ssize(a.cfg), columns = scales > 1 ? scales : std::min<Index>(4, a.n);
  Index total = 0, empty = 0;
  for (const PlannedArm& p : plan.arms) total += a.n * (p.guided ? scales : 1);
  Progress sampling_progress(concat("samples of ", plan.arms.size(), " arms"), total, common.quiet);
  std::vector<ArmSamples> fixed(plan.arms.size());
  std::vector<std::vector<Tensor<float, Cpu>>> shown(plan.arms.size());
  for (std::size_t s = 0; s < a.cfg.size(); ++s) {
    std::vector<ArmSamples> made(plan.arms.size());
    std::vector<const ArmSamples*> all;
    for (std::size_t k = 0; k < plan.arms.size(); ++k) {
      const PlannedArm& p = plan.arms[k];
      if (p.guided || s == 0) {
        const Arm arm{.name = p.name,
                      .conditions = [&p](Index i) { return p.rows[static_cast<std::size_t>(i)]; },
                      .n = std::ssize(p.rows),
                      .guidance = guidance_of(models.conditions(), p.rows.front(), a.cfg[s], own),
                      .first = p.first};
        ArmSamples samples = models.sample(
            arm, a.seed, sampling,
            [&](Index i, const Tensor<float, Cpu>& decoded, const Tensor<float, Cpu>&) {
              if (i < (p.guided && scales > 1 ? 1 : columns)) shown[k].push_back(decoded.clone());
            },
            &sampling_progress);
        empty += samples.empty;
        if (!wanted.contains("tokens")) {
          samples.latents = {};
        }
        (p.guided ? made[k] : fixed[k]) = std::move(samples);
      }
      all.push_back(p.guided ? &made[k] : &fixed[k]);
    }
    for (std::size_t r = 0; r < kinds.size(); ++r)
      scorer.score_samples(kinds[r], saved ? &*saved : nullptr, all, s == 0, scores[r]);
  }
  sampling_progress.close();

  // Tables.
  std::ostringstream text;
  text << a.n << " SYNTHETIC samples per class, " << a.sampler.steps << " steps (" << a.sampler.sampler << "), seed "
       << a.seed << "; readers fitted on " << train.rows.size() << " scans of the set " << in_quotes(a.train) << ", "
       << test.rows.size() << " unseen scans of the set " << in_quotes(a.test) << '\n';
  if (empty > 0) text << empty << " samples have no brain\n";
  for (const auto& [what, why] : plan.left_out) text << "left out: " << what << ": " << why << '\n';
  text << "\nReal, round trip: balanced accuracy on unseen scans and on their round trips, the ceiling of samples. "
          "Cond: on samples of "
          "which the class was asked. Null: how often\n"
          "samples without conditions (but the modality) are read as the class named; Prior: its share among the "
          "training people with one "
          "of the classes; everybody:\n"
          "how often round trips of all unseen people are read so, whatever they have: what Null should be where most "
          "people have neither "
          "class.\n";
  for (std::size_t r = 0; r < kinds.size(); ++r)
    for (std::size_t s = 0; s < a.cfg.size(); ++s) {
      text << "\nReader " << kinds[r].name << " (" << kinds[r].text << "), guidance " << a.cfg[s]
           << (a.own_scales.empty() ? "" : ", " + a.own_scales) << "\n\n";
      print_scores(text, plan.contrasts, scores[r], s, !kinds[r].latents);
    }
  std::cout << text.str();

  const WriteOptions write{.overwrite = common.force};
  ControllabilityCsv csv(out / "controllability.csv", write);
  Json json = {{"kind", "braing3n controllability"},
               {"version", version()},
               {"model", {{"file", a.model}, {"hash", models.dit().hash}}},
               {"tokenizer", {{"file", a.tokenizer}, {"hash", models.tokenizer().hash}}},
               {"n", a.n},
               {"steps", a.sampler.steps},
               {"sampler", a.sampler.sampler},
               {"seed", a.seed},
               {"cfg", a.cfg},
               {"cfg_of", a.own_scales},
               {"reader_scans", train.rows.size()},
               {"unseen_scans", test.rows.size()},
               {"reader_half", a.half},
               {"features", models.recipe()},
               {"samples_without_brain", empty},
               {"left_out", Json::array()},
               {"readers", Json::object()}};
  for (const auto& [what, why] : plan.left_out) json["left_out"].push_back({{"contrast", what}, {"reason", why}});
  for (std::size_t r = 0; r < kinds.size(); ++r) {
    const std::string& reader = kinds[r].name;
    json["readers"][reader] = Json::object();
    for (std::size_t k = 0; k < plan.contrasts.size(); ++k) {
      const Contrast& c = plan.contrasts[k];
      const ContrastScores& s = scores[r][k];
      if (kinds[r].saved && saved_task(*saved, c, plan) == nullptr) continue;
      Json entry = {
          {"hash", s.hash}, {"converged", s.converged}, {"modalities", Json::array()}, {"cond", Json::object()}};
      for (const std::int32_t g : c.groups)
        entry["modalities"].push_back(plan.group_names[static_cast<std::size_t>(g)]);
      if (c.classes.empty()) {
        entry["real"] = number_json(s.real_number);
        entry["round_trip"] = number_json(s.ceiling_number);
        entry["null"] = number_json(s.null_number);
        entry["prior"] = {{"mean", s.prior_number[0]}, {"sd", s.prior_number[1]}};
        csv.number(reader, c, "real", {}, s.real_number);
        csv.number(reader, c, "round_trip", {}, s.ceiling_number);
        csv.number(reader, c, "null", {}, s.null_number);
        csv.number(reader, c, "prior", {}, {.mean = s.prior_number[0], .deviation = s.prior_number[1]});
      } else {
        entry["classes"] = c.classes;
        entry["real"] = class_json(s.real, c.classes);
        entry["round_trip"] = class_json(s.ceiling, c.classes);
        csv.classes(reader, c, "real", {}, s.real);
        csv.classes(reader, c, "round_trip", {}, s.ceiling);
        for (std::size_t i = 0; i < c.classes.size(); ++i) {
          entry["prior"][c.classes[i]] = s.prior[i];
          entry["everybody"][c.classes[i]] = rate_json(s.everybody[i]);
          if (!s.null.empty()) entry["null"][c.classes[i]] = rate_json(s.null[i]);
        }
        csv.shares(reader, c, "null", s.null);
        csv.shares(reader, c, "everybody", s.everybody);
        csv.prior(reader, c, s.prior);
      }
      for (std::size_t g = 0; g < a.cfg.size(); ++g) {
        const std::string scale = number_text(a.cfg[g]);
        if (c.classes.empty()) {
          entry["cond"][scale] = number_json(s.asked_number[g]);
          csv.number(reader, c, "cond", a.cfg[g], s.asked_number[g]);
        } else {
          entry["cond"][scale] = class_json(s.asked[g], c.classes);
          csv.classes(reader, c, "cond", a.cfg[g], s.asked[g]);
        }
      }
      json["readers"][reader][c.name] = entry;
    }
  }
  csv.finish();
  write_text(out / "controllability.json", json.dump(2) + "\n", write);
  write_text(out / "tables.txt", text.str(), write);
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  for (std::size_t k = 0; k < shown.size(); ++k)
    for (std::size_t i = 0; i < shown[k].size(); ++i) {
      tiles.push_back(preview_rows(*ctx, models.contract(), shown[k][i], {shown[k][i]})[0]);
      captions.push_back(plan.arms[k].guided && scales > 1 ? concat(plan.arms[k].name, ", guidance ", a.cfg[i])
                                                           : plan.arms[k].name);
    }
  write_png(out / "montage.png", montage(tiles, columns, captions), write);
  return failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace braing3n::examples
