// `evaluate fidelity`: do samples spread as real scans do, are their parts as large, and are their features distributed as those of scans?
//
//   diversity  mean distance of the latents of samples under the same conditions, beside that of real scans under these conditions
//   regions    millilitres of brain, grey and white matter and ventricles in T1-weighted samples, beside the truth of phantoms
//   Frechet    samples under the conditions of half of the unseen people against the other half: scans and their round trips, at equal n
#pragma once

#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/split.hpp"
#include "braing3n/eval/diversity.hpp"
#include "braing3n/eval/frechet.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/eval/region_reader.hpp"
#include "braing3n/io/png.hpp"
#include "braing3n/probe/feature_file.hpp"
#include "braing3n/train/previews.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/context.hpp"
#include "examples/support/region_truth.hpp"
#include "examples/support/report_svg.hpp"
#include "examples/support/sample_arms.hpp"
#include "examples/support/sampling_arguments.hpp"
#include "examples/support/table.hpp"
#include "examples/support/unseen_people.hpp"

namespace braing3n::examples {

struct FidelityArguments {
  std::string model, tokenizer, train = "train", test = "test", truth, within, reference, own_scales, out;
  CohortArguments cohort;
  SamplerArguments sampler;
  std::vector<std::string> conditions;
  Index n = 64, calibration = 200, frechet = 400, pictures = 12;
  double cfg = 1.5;
  std::uint64_t seed = 2025;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a diffusion transformer: its file, or the folder of its training")->required();
    app.add_option("--tokenizer", tokenizer, "the tokenizer whose latents it learnt")->required();
    cohort.add_to(app);
    app.add_option("--train", train, "the set that the model learnt");
    app.add_option("--test", test, "the set of unseen people");
    app.add_option("--truth", truth, "truth.csv of phantom_cohort: region volumes beside it");
    app.add_option("--n", n, "samples of each arm")->check(CLI::Range(2, 100000));
    app.add_option("--cfg", cfg, "guidance, 1: none");
    app.add_option("--cfg-of", own_scales, "NAME=SCALE,...: conditions that are guided with a scale of their own");
    sampler.add_to(app);
    app.add_option("--conditions", conditions, "conditions whose values become arms (default: all that have classes)")->delimiter(',');
    app.add_option("--within", within, "name=value,...: what else every arm asks for (default: modality=T1 where the model knows it)");
    app.add_option("--calibration", calibration, "round trips of training scans from which the reading of region volumes is learnt")
        ->check(CLI::Range(10, 100000));
    app.add_option("--frechet", frechet, "unseen scans for Frechet distances, at most; 0: none of these")->check(CLI::NonNegativeNumber);
    app.add_option("--reference", reference, "features.safetensors of another run: Frechet distance to its scans too");
    app.add_option("--seed", seed, "seed of the samples and of the halves");
    app.add_option("--pictures", pictures, "arms in the picture")->check(CLI::Range(0, 100));
    app.add_option("--out", out, "folder for tables.txt, fidelity.json, features.safetensors and montage.png")->required();
  }
};

namespace detail {

/// Mean and deviation over people or samples.
struct Spread {
  Index n = 0;
  double mean = std::numeric_limits<double>::quiet_NaN(), deviation = mean;

  static Spread of(const std::vector<double>& values) {
    Spread s;
    s.n = std::ssize(values);
    if (values.empty()) return s;
    s.mean = 0;
    for (const double v : values) s.mean += v / static_cast<double>(s.n);
    double squares = 0;
    for (const double v : values) squares += (v - s.mean) * (v - s.mean);
    if (s.n > 1) s.deviation = std::sqrt(squares / static_cast<double>(s.n - 1));
    return s;
  }
  std::string str() const { return n == 0 ? "-" : concat(decimals(mean, 1), " +- ", decimals(deviation, 1)); }
  Json json() const { return {{"n", n}, {"mean", mean}, {"sd", deviation}}; }
};

/// Samples under one row of conditions, and the scans that have these labels.
struct FidelityArm {
  std::string name;
  ConditionRow row;
  bool t1 = false;
  std::vector<Index> unseen, train;  // scans
  PairwiseDistance made, of_unseen, of_train;
  std::vector<TissueVolumes> regions;
  Index empty = 0;
};

/// The labels of scans as the model's conditions. A value that the model does not know is left open.
class ScanConditions {
 public:
  ScanConditions(const std::vector<ConditionField>& fields, const Manifest& manifest) {
    for (Index i = 0; i < manifest.size(); ++i) {
      ConditionRow row(fields.size());
      for (std::size_t f = 0; f < fields.size(); ++f) {
        const auto text = manifest.text(i, fields[f].name);
        const auto number = manifest.number(i, fields[f].name);
        if (fields[f].kind == ConditionKind::continuous) {
          if (number && *number >= fields[f].minimum && *number <= fields[f].maximum) row[f].number = *number;
          continue;
        }
        const std::string value = text ? *text : number ? braing3n::detail::number_text(*number) : std::string();
        const auto found = std::find(fields[f].values.begin(), fields[f].values.end(), value);
        if (found != fields[f].values.end()) row[f].label = static_cast<std::int32_t>(found - fields[f].values.begin());
      }
      rows_.push_back(std::move(row));
    }
  }
  const ConditionRow& operator[](Index scan) const { return rows_[static_cast<std::size_t>(scan)]; }

  /// Those of the scans that have every class that `row` asks for.
  std::vector<Index> matching(const std::vector<Index>& scans, const ConditionRow& row) const {
    std::vector<Index> out;
    for (const Index i : scans) {
      bool same = true;
      for (std::size_t f = 0; f < row.size(); ++f) same = same && (row[f].label < 0 || row[f].label == (*this)[i][f].label);
      if (same) out.push_back(i);
    }
    return out;
  }

 private:
  std::vector<ConditionRow> rows_;
};

/// Rows of a flat table (n, width).
inline Tensor<float, Cpu> rows_tensor(Context<Cpu>& ctx, const std::vector<float>& values, Index width, const std::vector<Index>& rows) {
  Tensor<float, Cpu> t(ctx, {static_cast<Index>(rows.size()), width});
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(t.data() + static_cast<Index>(i) * width, values.data() + rows[i] * width, static_cast<std::size_t>(width) * sizeof(float));
  return t;
}

}  // namespace detail

inline int evaluate_fidelity(const Program& program, const FidelityArguments& a) {
  using detail::FidelityArm;
  using detail::Spread;
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  const WriteOptions write{.overwrite = common.force};
  require_new(out / "fidelity.json", common);
  require_other_set(a.train, a.test, "is what the model learnt, nothing in it is unseen");
  const auto ctx = make_cpu_context(common);
  const SampleArms arms(*ctx, a.model, a.tokenizer);
  const std::vector<ConditionField>& fields = arms.conditions();
  const PreprocessingContract& contract = arms.contract();
  SamplingOptions sampling = a.sampler.options();
  sampling.guidance.scale = a.cfg;
  sampling.guidance.validate(fields);
  const std::vector<ConditionScale> own = parse_scales("--cfg-of", a.own_scales, fields);
  const Manifest manifest = a.cohort.manifest();
  const Split split = read_split(a.cohort.split);
  const std::vector<Index> test = rows_of(manifest, split, a.test), train = rows_of(manifest, split, a.train);
  require_unseen(a.model, test, manifest);
  const VolumeSource source = scan_source(manifest, contract);
  const detail::ScanConditions labels(fields, manifest);
  std::optional<RegionTruth> truth;
  if (!a.truth.empty()) truth.emplace(a.truth);
  const std::string recipe = arms.recipe();
  std::optional<FeatureTable> reference;
  std::string reference_recipe = "unknown";
  if (!a.reference.empty()) {
    reference = read_feature_file(a.reference);
    if (!reference->contract.empty())
      if (const Json said = parse_json(reference->contract, a.reference); said.is_object())
        reference_recipe = said.value("recipe", reference_recipe);
    if (reference_recipe != recipe)
      throw Error(ErrorKind::argument, "frechet.recipe",
                  concat("features of recipe ", reference_recipe, " and of ", recipe, " cannot be compared"), a.reference);
    if (a.frechet == 0)
      fail(ErrorKind::argument, "fidelity.reference", "--reference is for Frechet distances, of which --frechet 0 makes none");
  }

  // The arms.
  const auto modality = std::find_if(fields.begin(), fields.end(), [](const ConditionField& f) { return f.name == "modality"; });
  const bool knows_t1 =
      modality != fields.end() && std::find(modality->values.begin(), modality->values.end(), "T1") != modality->values.end();
  const ConditionRow within = parse_conditions(fields, a.within.empty() && knows_t1 ? "modality=T1" : a.within);
  require_conditions(fields, within);
  for (const std::string& name : a.conditions)
    if (fields[find_condition(fields, name)].kind != ConditionKind::categorical)
      fail(ErrorKind::argument, "fidelity.condition", "--conditions: ", name, " has no classes");
  std::vector<FidelityArm> list;
  std::vector<std::string> left_out;
  const auto is_t1 = [&](const ConditionRow& row) {
    return modality == fields.end() || condition_text(*modality, row[static_cast<std::size_t>(modality - fields.begin())]) == "T1";
  };
  for (std::size_t f = 0; f < fields.size(); ++f) {
    if (fields[f].kind != ConditionKind::categorical ||
        (!a.conditions.empty() && std::find(a.conditions.begin(), a.conditions.end(), fields[f].name) == a.conditions.end()))
      continue;
    for (std::size_t v = 0; v < fields[f].values.size(); ++v) {
      FidelityArm arm;
      arm.row = within;
      arm.row[f] = {.label = static_cast<std::int32_t>(v)};
      arm.name = describe_conditions(fields, arm.row);
      arm.t1 = is_t1(arm.row);
      arm.unseen = labels.matching(test, arm.row);
      arm.train = some_rows(labels.matching(train, arm.row), a.n);
      if (arm.train.empty()) left_out.push_back(arm.name);
      else list.push_back(std::move(arm));
    }
  }
  if (truth)  // a scan without a row is found now and not after all the samples
    for (const std::vector<Index>* scans : {&train, &test})
      for (const Index i : *scans)
        if (is_t1(labels[i])) (void)(*truth)(manifest.scans[static_cast<std::size_t>(i)].volume_id);
  if (list.empty())
    fail(ErrorKind::argument, "fidelity.arms", "no arm: no training scan has a class of ",
         a.conditions.empty() ? "any condition" : a.conditions[0]);

  // Scans: the unseen with their round trips, and of the training those of the arms and of the calibration.
  ScanFailures failures;
  std::map<Index, std::vector<double>> unseen_blocks, train_blocks;  // round trips of T1-weighted scans
  const auto blocks = [&](const Tensor<float, Cpu>& imposed) -> std::optional<std::vector<double>> {
    const std::vector<std::uint8_t> mask = nonzero_mask(imposed);
    if (std::find(mask.begin(), mask.end(), std::uint8_t{1}) == mask.end()) return std::nullopt;
    return tissue_blocks(imposed, mask, contract);
  };
  const auto collect = [&](std::map<Index, std::vector<double>>& to) -> VolumeVisitor {
    if (!truth) return {};
    return [&](Index row, const Tensor<float, Cpu>&, const Tensor<float, Cpu>& imposed) {
      if (!is_t1(labels[row])) return;
      if (auto found = blocks(imposed)) to.emplace(row, std::move(*found));
    };
  };
  std::set<Index> wanted;
  for (const FidelityArm& arm : list) wanted.insert(arm.train.begin(), arm.train.end());
  std::vector<Index> train_t1;
  if (truth)
    for (const Index i : train)
      if (is_t1(labels[i])) train_t1.push_back(i);
  train_t1 = some_rows(train_t1, a.calibration);

  // Frechet: two halves of the unseen people, equally many scans of each.
  std::vector<std::string> people;
  for (const Index i : test) people.push_back(manifest.scans[static_cast<std::size_t>(i)].subject_id);
  std::sort(people.begin(), people.end());
  people.erase(std::unique(people.begin(), people.end()), people.end());
  std::array<std::vector<Index>, 2> halves;
  if (a.frechet > 0) {
    const auto [first, second] = disjoint_halves(std::ssize(people), a.seed);
    for (const Index i : test) {
      const auto person =
          std::lower_bound(people.begin(), people.end(), manifest.scans[static_cast<std::size_t>(i)].subject_id) - people.begin();
      bool complete = true;
      for (std::size_t f = 0; f < fields.size(); ++f) complete = complete && !(fields[f].required && labels[i][f].missing());
      if (!complete) continue;
      if (std::binary_search(first.begin(), first.end(), person)) halves[0].push_back(i);
      else if (std::binary_search(second.begin(), second.end(), person)) halves[1].push_back(i);
    }
    const Index each = std::min({std::ssize(halves[0]), std::ssize(halves[1]), a.frechet / 2});
    if (each < 2)
      fail(ErrorKind::argument, "fidelity.few", "Frechet distances: ", halves[0].size(), " and ", halves[1].size(),
           " unseen scans in two halves of the people, expected 2 in each");
    for (auto& half : halves) half = some_rows(half, each);
  }

  Progress progress(
      "fidelity",
      std::ssize(test) + std::ssize(wanted) + std::ssize(train_t1) + std::ssize(list) * a.n + std::ssize(halves[0]) + std::ssize(halves[1]),
      common.quiet);
  const ScanFeatures unseen = arms.scans(source, test, true, failures, collect(unseen_blocks), &progress);
  const ScanFeatures learnt = arms.scans(source, {wanted.begin(), wanted.end()}, false, failures, {}, &progress);
  // What is read of people that a reader has not seen spreads less than they do; groups are compared with the spread restored.
  RegionReader reader;
  VolumeCalibration spread;
  const auto regions_of = [&](const std::vector<double>& b) { return spread.keeping_spread(reader(b)); };
  if (truth) {
    (void)arms.scans(source, train_t1, true, failures, collect(train_blocks), &progress);
    if (train_blocks.size() < 10)
      fail(ErrorKind::argument, "fidelity.calibration", "region volumes: ", train_blocks.size(),
           " T1-weighted training scans, expected at least 10");
    for (const auto& [row, b] : train_blocks) reader.add(b, (*truth)(manifest.scans[static_cast<std::size_t>(row)].volume_id));
    reader.fit(*ctx);
    for (std::size_t i = 0; i < reader.truth().size(); ++i) spread.add(reader.held_out()[i], reader.truth()[i]);
  }

  // Samples.
  const Index size = arms.latent_size();
  const auto distance_of = [&](const ScanFeatures& from, const std::vector<Index>& scans) {
    std::vector<Index> rows;
    std::vector<std::string> groups;
    for (const Index i : scans)
      if (const auto found = std::find(from.rows.begin(), from.rows.end(), i); found != from.rows.end()) {
        rows.push_back(found - from.rows.begin());
        groups.push_back(manifest.scans[static_cast<std::size_t>(i)].subject_id);
      }
    return rows.empty() ? PairwiseDistance{} : mean_pairwise_distance(detail::rows_tensor(*ctx, from.latents, size, rows), groups);
  };
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  std::uint32_t next = 0;
  Index empty = 0;
  for (FidelityArm& arm : list) {
    Tensor<float, Cpu> shown;
    const ArmSamples made = arms.sample(
        {arm.name, [&](Index) { return arm.row; }, a.n, guidance_of(fields, arm.row, a.cfg, own), next}, a.seed, sampling,
        [&](Index i, const Tensor<float, Cpu>& decoded, const Tensor<float, Cpu>& imposed) {
          if (i == 0) shown = decoded;
          if (!truth || !arm.t1) return;
          if (const auto found = blocks(imposed)) arm.regions.push_back(regions_of(*found));
        },
        &progress);
    next += static_cast<std::uint32_t>(a.n);
    arm.empty = made.empty;
    empty += made.empty;
    arm.made = mean_pairwise_distance(Tensor<float, Cpu>::from_host(*ctx, {a.n, size}, made.latents));
    arm.of_unseen = distance_of(unseen, arm.unseen);
    arm.of_train = distance_of(learnt, arm.train);
    const auto real = std::find_if(arm.unseen.begin(), arm.unseen.end(), [&](Index i) { return !failures.contains(i); });
    if (static_cast<Index>(tiles.size()) < 2 * a.pictures && real != arm.unseen.end()) {
      const Tensor<float, Cpu> scan = source(*ctx, *real);
      for (Image& image : preview_rows(*ctx, contract, scan, {shown, scan})) tiles.push_back(std::move(image));
      captions.push_back(concat("SYNTHETIC ", arm.name));
      captions.push_back(manifest.scans[static_cast<std::size_t>(*real)].volume_id);
    }
  }

  std::ostringstream text;
  text << "Guidance " << decimals(a.cfg, 2) << (a.own_scales.empty() ? "" : " (" + a.own_scales + ")") << ", " << a.sampler.steps << " steps (" << a.sampler.sampler << "), " << a.n << " samples of each arm, seed " << a.seed;
  if (empty > 0) text << "; in " << empty << " samples there is no brain";
  for (const std::string& name : left_out) text << "\nleft out, no training scan has it: " << name;
  text << "\n\nMean distance of latents (" << size << " numbers) within an arm, between different people\n\n";
  Table diversity({"arm", "samples", "unseen scans", "", "of unseen", "training scans", "", "of training"});
  Json arms_json = Json::array();
  const auto ratio = [](double x, double y) { return y > 0 ? x / y : std::numeric_limits<double>::quiet_NaN(); };
  for (const FidelityArm& arm : list) {
    const double of_unseen = ratio(arm.made.mean, arm.of_unseen.mean), of_train = ratio(arm.made.mean, arm.of_train.mean);
    diversity.row(arm.name, decimals(arm.made.mean, 2), arm.unseen.size(), decimals(arm.of_unseen.mean, 2), decimals(of_unseen, 2),
                  arm.train.size(), decimals(arm.of_train.mean, 2), decimals(of_train, 2));
    arms_json.push_back({{"arm", arm.name},
                         {"conditions", conditions_json(fields, arm.row)},
                         {"samples", a.n},
                         {"empty", arm.empty},
                         {"distance", arm.made.mean},
                         {"unseen_scans", arm.unseen.size()},
                         {"unseen_distance", arm.of_unseen.mean},
                         {"ratio", of_unseen},
                         {"training_scans", arm.train.size()},
                         {"training_distance", arm.of_train.mean},
                         {"ratio_training", of_train}});
  }
  diversity.print(text);

  Json regions_json = Json::array();
  if (truth) {
    text << "\nRegion volumes of T1-weighted arms in ml, mean +- deviation: the truth of everybody with these labels, unseen scans through "
            "the\ntokenizer, samples; read from maps of tissue by what "
         << reader.size() << " round trips of training scans taught\n\n";
    Table table(
        {"arm", "region", "people", "truth", "unseen", "round trips", "mean off by", "sd off by", "samples", "mean off by", "sd off by"});
    for (const FidelityArm& arm : list) {
      if (!arm.t1) continue;
      std::vector<Index> everybody = labels.matching(train, arm.row);
      everybody.insert(everybody.end(), arm.unseen.begin(), arm.unseen.end());
      for (std::size_t r = 0; r < tissue_names.size(); ++r) {
        std::vector<double> law, back, made;
        for (const Index i : everybody) law.push_back((*truth)(manifest.scans[static_cast<std::size_t>(i)].volume_id)[r]);
        for (const Index i : arm.unseen)
          if (const auto found = unseen_blocks.find(i); found != unseen_blocks.end()) back.push_back(regions_of(found->second)[r]);
        for (const TissueVolumes& v : arm.regions) made.push_back(v[r]);
        const Spread is = Spread::of(law), through = Spread::of(back), sampled = Spread::of(made);
        const auto error = [&](const Spread& s) { return 100 * (s.mean - is.mean) / is.mean; };
        const auto percent = [](double v) { return std::isfinite(v) ? concat(v >= 0 ? "+" : "", decimals(v, 1), " %") : std::string("-"); };
        table.row(r == 0 ? arm.name : "", tissue_names[r], is.n, is.str(), through.n, through.str(), percent(error(through)),
                  percent(100 * ratio(through.deviation, is.deviation) - 100), sampled.str(), percent(error(sampled)),
                  percent(100 * ratio(sampled.deviation, is.deviation) - 100));
        regions_json.push_back({{"arm", arm.name},
                                {"region", tissue_names[r]},
                                {"truth", is.json()},
                                {"round_trips", through.json()},
                                {"samples", sampled.json()},
                                {"mean_error", error(sampled) / 100},
                                {"sd_ratio", ratio(sampled.deviation, is.deviation)},
                                {"round_trip_mean_error", error(through) / 100},
                                {"round_trip_sd_ratio", ratio(through.deviation, is.deviation)}});
      }
    }
    table.print(text);
  }

  Json frechet_json;
  std::filesystem::create_directories(out);
  if (a.frechet > 0) {
    const Index width = 2 * unseen.scans.encoder.width();
    // Half h: scans, round trips, and samples under the conditions of the scans of this half.
    std::array<FeatureMoments, 2> real, back, made;
    std::vector<std::string> ids;
    std::vector<float> values;
    for (std::size_t h = 0; h < 2; ++h) {
      std::vector<Index> rows, scans;
      for (const Index i : halves[h])
        if (const auto found = std::find(unseen.rows.begin(), unseen.rows.end(), i); found != unseen.rows.end()) {
          rows.push_back(found - unseen.rows.begin());
          scans.push_back(i);
          ids.push_back(manifest.scans[static_cast<std::size_t>(i)].volume_id);
        }
      const Tensor<float, Cpu> of_scans = detail::rows_tensor(*ctx, unseen.scans.encoder.values(), width, rows);
      values.insert(values.end(), of_scans.data(), of_scans.data() + of_scans.size());
      real[h] = feature_moments(of_scans, recipe);
      back[h] = feature_moments(detail::rows_tensor(*ctx, unseen.round_trips.encoder.values(), width, rows), recipe);
      const ArmSamples samples =
          arms.sample({concat("conditions of half ", h + 1), [&](Index i) { return labels[scans[static_cast<std::size_t>(i)]]; },
                       std::ssize(scans), sampling.guidance, next},
                      a.seed, sampling, {}, &progress);
      next += static_cast<std::uint32_t>(scans.size());
      made[h] = feature_moments(samples.features.encoder.tensor(*ctx), recipe);
    }
    const auto between = [&](const std::array<FeatureMoments, 2>& x, const std::array<FeatureMoments, 2>& y) {
      return 0.5 * (frechet_distance(*ctx, x[0], y[1]) + frechet_distance(*ctx, x[1], y[0]));
    };
    const double gen_real = between(made, real), gen_back = between(made, back), back_real = between(back, real),
                 real_halves = frechet_distance(*ctx, real[0], real[1]), back_halves = frechet_distance(*ctx, back[0], back[1]);
    text << "\nFrechet distances of features (mean and deviation of the encoder's tokens, " << width << " numbers), " << made[0].rows
         << " against " << made[1].rows << " of other people\nrecipe " << recipe << "\n\n";
    if (made[0].rows <= width)
      text << "fewer scans than features: every distance here is too large, and they compare with one another only\n\n";
    Table table({"", "distance", "of two halves"});
    table.row("samples, scans", decimals(gen_real, 3), decimals(ratio(gen_real, real_halves), 2));
    table.row("samples, round trips", decimals(gen_back, 3), decimals(ratio(gen_back, back_halves), 2));
    table.row("round trips, scans", decimals(back_real, 3), decimals(ratio(back_real, real_halves), 2));
    table.row("two halves of the scans", decimals(real_halves, 3), "1");
    table.row("two halves of the round trips", decimals(back_halves, 3), "1");
    frechet_json = {{"recipe", recipe},
                    {"features", width},
                    {"n", {made[0].rows, made[1].rows}},
                    {"gen_real", gen_real},
                    {"gen_recons", gen_back},
                    {"recons_real", back_real},
                    {"real_halves", real_halves},
                    {"recons_halves", back_halves},
                    {"gen_recons_ratio", ratio(gen_back, back_halves)}};
    if (reference) {
      std::vector<Index> rows;
      for (Index i = 0; i < reference->rows; ++i) rows.push_back(i);
      const auto other = feature_moments(detail::rows_tensor(*ctx, reference->values, reference->columns, some_rows(rows, made[0].rows)),
                                         reference_recipe);
      const double d = 0.5 * (frechet_distance(*ctx, made[0], other) + frechet_distance(*ctx, made[1], other));
      table.row(concat("samples, reference (", other.rows, " rows)"), decimals(d, 3), decimals(ratio(d, real_halves), 2));
      frechet_json["gen_reference"] = d;
    }
    table.print(text);
    FeatureTable features;
    features.rows = std::ssize(ids);
    features.columns = width;
    features.values = std::move(values);
    features.ids = std::move(ids);
    features.set_contract(Json{{"recipe", recipe}}.dump());
    write_feature_file(out / "features.safetensors", features, write);
  }
  progress.close();
  std::cout << text.str();
  for (const auto& [row, reason] : failures)
    std::cerr << "evaluate: left out " << manifest.scans[static_cast<std::size_t>(row)].volume_id << ": " << reason << '\n';

  const Json report = {{"kind", "braing3n fidelity"},
                       {"model", arms.dit().hash},
                       {"tokenizer", arms.tokenizer().hash},
                       {"cfg", a.cfg},
                       {"cfg_of", a.own_scales},
                       {"steps", a.sampler.steps},
                       {"sampler", a.sampler.sampler},
                       {"seed", a.seed},
                       {"arms", arms_json},
                       {"regions", regions_json},
                       {"frechet", frechet_json},
                       {"empty", empty}};
  write_text(out / "fidelity.json", report.dump(2) + "\n", write);
  write_text(out / "tables.txt", text.str(), write);
  if (!tiles.empty()) write_png(out / "montage.png", montage(tiles, 2, captions), {.overwrite = true});
  return failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace braing3n::examples
