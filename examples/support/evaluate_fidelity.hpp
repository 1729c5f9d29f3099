// `evaluate fidelity`: do samples spread as real scans do, are their parts as large, and are their features distributed as those of scans?
//
//   diversity  mean distance of the latents of samples under the same conditions, beside that of real scans under these conditions
//   regions    millilitres of brain, grey and white matter and ventricles in T1-weighted samples, beside the truth of phantoms
//   Frechet    samples under the conditions of half of the unseen people against the other half: scans and their round trips, at equal n
#pragma once

#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/eval/diversity.hpp"
#include "braing3n/eval/frechet.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/eval/region_reader.hpp"
#include "braing3n/report/chart.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/previews.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/table/feature_file.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/context.hpp"
#include "examples/support/region_truth.hpp"
#include "examples/support/sample_arms.hpp"
#include "examples/support/sampling_arguments.hpp"
#include "examples/support/tell_findings.hpp"
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
    app.add_option("--conditions", conditions, "conditions whose values become arms (default: all that have classes)")
        ->delimiter(',');
    app.add_option("--within", within,
                   "name=value,...: what else every arm asks for (default: modality=T1 where the model knows it)");
    app.add_option("--calibration", calibration,
                   "round trips of training scans from which the reading of region volumes is learnt")
        ->check(CLI::Range(10, 100000));
    app.add_option("--frechet", frechet, "unseen scans for Frechet distances, at most; 0: none of these")
        ->check(CLI::NonNegativeNumber);
    app.add_option("--reference", reference, "features.safetensors of another run: Frechet distance to its scans too");
    app.add_option("--seed", seed, "seed of the samples and of the halves");
    app.add_option("--pictures", pictures, "arms in the picture")->check(CLI::Range(0, 100));
    app.add_option("--out", out, "folder for tables.txt, fidelity.json, features.safetensors and montage.png")
        ->required();
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
        const std::string value = text ? *text : number ? number_text(*number) : std::string();
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
      for (std::size_t f = 0; f < row.size(); ++f)
        same = same && (row[f].label < 0 || row[f].label == (*this)[i][f].label);
      if (same) out.push_back(i);
    }
    return out;
  }

 private:
  std::vector<ConditionRow> rows_;
};

/// Rows of a flat table (n, width).
inline Tensor<float, Cpu> rows_tensor(Context<Cpu>& ctx, const std::vector<float>& values, Index width,
                                      const std::vector<Index>& rows) {
  Tensor<float, Cpu> t(ctx, {static_cast<Index>(rows.size()), width});
  for (std::size_t i = 0; i < rows.size(); ++i)
    std::memcpy(t.data() + static_cast<Index>(i) * width, values.data() + rows[i] * width,
                static_cast<std::size_t>(width) * sizeof(float));
  return t;
}

inline double share_of(double x, double y) { return y > 0 ? x / y : std::numeric_limits<double>::quiet_NaN(); }

/// One run: people and arms are found first, then scans are read and samples made, then each table is written.
class FidelityEvaluation {
 public:
  /// Throws what reading models, tables and truth throws, and Error (argument) where nothing can be compared.
  FidelityEvaluation(Context<Cpu>& ctx, const FidelityArguments& a, bool quiet)
      : ctx_(&ctx), a_(a), arms_(ctx, a.model, a.tokenizer), fields_(arms_.conditions()),
        sampling_(a.sampler.options()), manifest_(prepared(a)),
        source_(scan_source(manifest_, arms_.contract(), {.findings = findings_})), labels_(fields_, manifest_),
        recipe_(arms_.recipe()) {
    const Split split = read_split(a.cohort.split);
    test_ = rows_of(manifest_, split, a.test);
    train_ = rows_of(manifest_, split, a.train);
    require_unseen({{"model", a.model}, {"tokenizer", a.tokenizer}}, test_, manifest_);
    if (!a.truth.empty()) truth_.emplace(a.truth);
    load_reference();
    plan_arms();
    if (a.frechet > 0) plan_halves();
    for (const FidelityArm& arm : list_) wanted_.insert(arm.train.begin(), arm.train.end());
    if (truth_)
      for (const Index i : train_)
        if (is_t1(labels_[i])) train_t1_.push_back(i);
    train_t1_ = some_rows(train_t1_, a.calibration);
    progress_.emplace("fidelity",
                      std::ssize(test_) + std::ssize(wanted_) + std::ssize(train_t1_) + std::ssize(list_) * a.n +
                          std::ssize(halves_[0]) + std::ssize(halves_[1]),
                      quiet);
  }

  /// Of the scans read so far.
  FindingLog& findings() { return *findings_; }

  /// Everything into the folder. Returns an exit status.
  int run(const std::filesystem::path& out, const WriteOptions& write) {
    read_scans();
    for (FidelityArm& arm : list_) sample(arm);
    std::ostringstream text;
    text << "Guidance " << decimals(a_.cfg, 2) << (a_.own_scales.empty() ? "" : " (" + a_.own_scales + ")") << ", "
         << a_.sampler.steps << " steps (" << a_.sampler.sampler << "), " << a_.n << " samples of each arm, seed "
         << a_.seed;
    if (empty_ > 0) text << "; in " << empty_ << " samples there is no brain";
    for (const std::string& name : left_out_) text << "\nleft out, no training scan has it: " << name;
    Json report = {{"kind", "braing3n fidelity"},
                   {"model", arms_.dit().hash},
                   {"tokenizer", arms_.tokenizer().hash},
                   {"cfg", a_.cfg},
                   {"cfg_of", a_.own_scales},
                   {"steps", a_.sampler.steps},
                   {"sampler", a_.sampler.sampler},
                   {"seed", a_.seed},
                   {"empty", empty_}};
    report["arms"] = diversity(text);
    report["regions"] = truth_ ? regions(text) : Json::array();
    report["frechet"] = a_.frechet > 0 ? frechet(text, out / "features.safetensors", write) : Json();
    progress_->close();
    std::cout << text.str();
    for (const auto& [row, reason] : failures_)
      std::cerr << "evaluate: left out " << id_of(row) << ": " << reason << '\n';
    write_text(out / "fidelity.json", report.dump(2) + "\n", write);
    write_text(out / "tables.txt", text.str(), write);
    if (!tiles_.empty()) write_png(out / "montage.png", montage(tiles_, 2, captions_), {.overwrite = true});
    return failures_.empty() ? exit_done : exit_some_failed;
  }

 private:
  Manifest prepared(const FidelityArguments& a) {
    sampling_.guidance.scale = a.cfg;
    sampling_.guidance.validate(fields_);
    own_ = parse_scales("--cfg-of", a.own_scales, fields_);
    return a.cohort.manifest();
  }
  const std::string& id_of(Index scan) const { return manifest_.scans[static_cast<std::size_t>(scan)].volume_id; }
  const std::string& person_of(Index scan) const { return manifest_.scans[static_cast<std::size_t>(scan)].subject_id; }

  void load_reference() {
    if (a_.reference.empty()) return;
    reference_ = read_feature_file(a_.reference);
    if (!reference_->contract.empty())
      if (const Json said = parse_json(reference_->contract, a_.reference); said.is_object())
        reference_recipe_ = said.value("recipe", reference_recipe_);
    if (reference_recipe_ != recipe_)
      throw Error(ErrorKind::argument, "frechet.recipe",
                  concat("features of recipe ", reference_recipe_, " and of ", recipe_, " cannot be compared"),
                  a_.reference);
    if (a_.frechet == 0)
      fail(ErrorKind::argument, "fidelity.reference",
           "--reference is for Frechet distances, of which --frechet 0 makes none");
  }

  const ConditionField* modality() const {
    for (const ConditionField& f : fields_)
      if (f.name == "modality") return &f;
    return nullptr;
  }
  /// Region volumes are read in T1-weighted scans; a model without modalities is taken for one of these.
  bool is_t1(const ConditionRow& row) const {
    const ConditionField* m = modality();
    return m == nullptr || condition_text(*m, row[static_cast<std::size_t>(m - fields_.data())]) == "T1";
  }

  void plan_arms() {
    const ConditionField* m = modality();
    const bool knows_t1 = m != nullptr && std::find(m->values.begin(), m->values.end(), "T1") != m->values.end();
    const ConditionRow within = parse_conditions(fields_, a_.within.empty() && knows_t1 ? "modality=T1" : a_.within);
    require_conditions(fields_, within);
    for (const std::string& name : a_.conditions)
      if (fields_[find_condition(fields_, name)].kind != ConditionKind::categorical)
        fail(ErrorKind::argument, "fidelity.condition", "--conditions: ", name, " has no classes");
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (fields_[f].kind != ConditionKind::categorical ||
          (!a_.conditions.empty() &&
           std::find(a_.conditions.begin(), a_.conditions.end(), fields_[f].name) == a_.conditions.end()))
        continue;
      for (std::size_t v = 0; v < fields_[f].values.size(); ++v) {
        FidelityArm arm;
        arm.row = within;
        arm.row[f] = {.label = static_cast<std::int32_t>(v)};
        arm.name = describe_conditions(fields_, arm.row);
        arm.t1 = is_t1(arm.row);
        arm.unseen = labels_.matching(test_, arm.row);
        arm.train = some_rows(labels_.matching(train_, arm.row), a_.n);
        if (arm.train.empty()) left_out_.push_back(arm.name);
        else list_.push_back(std::move(arm));
      }
    }
    if (truth_)  // a scan without a row is found now and not after all the samples
      for (const std::vector<Index>* scans : {&train_, &test_})
        for (const Index i : *scans)
          if (is_t1(labels_[i])) (void)(*truth_)(id_of(i));
    if (list_.empty())
      fail(ErrorKind::argument, "fidelity.arms", "no arm: no training scan has a class of ",
           a_.conditions.empty() ? "any condition" : a_.conditions[0]);
  }

  /// Two halves of the unseen people, equally many scans of each.
  void plan_halves() {
    std::vector<std::string> people;
    for (const Index i : test_) people.push_back(person_of(i));
    std::sort(people.begin(), people.end());
    people.erase(std::unique(people.begin(), people.end()), people.end());
    const auto [first, second] = disjoint_halves(std::ssize(people), a_.seed);
    for (const Index i : test_) {
      const auto person = std::lower_bound(people.begin(), people.end(), person_of(i)) - people.begin();
      bool complete = true;
      for (std::size_t f = 0; f < fields_.size(); ++f)
        complete = complete && !(fields_[f].required && labels_[i][f].missing());
      if (!complete) continue;
      if (std::binary_search(first.begin(), first.end(), person)) halves_[0].push_back(i);
      else if (std::binary_search(second.begin(), second.end(), person)) halves_[1].push_back(i);
    }
    const Index each = std::min({std::ssize(halves_[0]), std::ssize(halves_[1]), a_.frechet / 2});
    if (each < 2)
      fail(ErrorKind::argument, "fidelity.few", "Frechet distances: ", halves_[0].size(), " and ", halves_[1].size(),
           " unseen scans in two halves of the people, expected 2 in each");
    for (auto& half : halves_) half = some_rows(half, each);
  }

  std::optional<std::vector<double>> blocks(const Tensor<float, Cpu>& imposed) const {
    const std::vector<std::uint8_t> mask = nonzero_mask(imposed);
    if (std::find(mask.begin(), mask.end(), std::uint8_t{1}) == mask.end()) return std::nullopt;
    return tissue_blocks(imposed, mask, arms_.contract());
  }
  /// What is read of people that a reader has not seen spreads less than they do; groups are compared with the spread restored.
  TissueVolumes regions_of(const std::vector<double>& b) const { return spread_.keeping_spread(reader_(b)); }

  /// The unseen with their round trips, and of the training those of the arms and of the calibration.
  void read_scans() {
    const auto collect = [&](std::map<Index, std::vector<double>>& to) -> VolumeVisitor {
      if (!truth_) return {};
      return [&](Index row, const Tensor<float, Cpu>&, const Tensor<float, Cpu>& imposed) {
        if (!is_t1(labels_[row])) return;
        if (auto found = blocks(imposed)) to.emplace(row, std::move(*found));
      };
    };
    unseen_ = arms_.scans(source_, test_, true, failures_, collect(unseen_blocks_), &*progress_);
    learnt_ = arms_.scans(source_, {wanted_.begin(), wanted_.end()}, false, failures_, {}, &*progress_);
    if (!truth_) return;
    std::map<Index, std::vector<double>> train_blocks;
    (void)arms_.scans(source_, train_t1_, true, failures_, collect(train_blocks), &*progress_);
    if (train_blocks.size() < 10)
      fail(ErrorKind::argument, "fidelity.calibration", "region volumes: ", train_blocks.size(),
           " T1-weighted training scans, expected at least 10");
    for (const auto& [row, b] : train_blocks) reader_.add(b, (*truth_)(id_of(row)));
    reader_.fit(*ctx_);
    for (std::size_t i = 0; i < reader_.truth().size(); ++i) spread_.add(reader_.held_out()[i], reader_.truth()[i]);
  }

  PairwiseDistance distance_of(const ScanFeatures& from, const std::vector<Index>& scans) const {
    std::vector<Index> rows;
    std::vector<std::string> groups;
    for (const Index i : scans)
      if (const auto found = std::find(from.rows.begin(), from.rows.end(), i); found != from.rows.end()) {
        rows.push_back(found - from.rows.begin());
        groups.push_back(person_of(i));
      }
    return rows.empty() ? PairwiseDistance{}
                        : mean_pairwise_distance(rows_tensor(*ctx_, from.latents, arms_.latent_size(), rows), groups);
  }

  void sample(FidelityArm& arm) {
    Tensor<float, Cpu> shown;
    const ArmSamples made = arms_.sample(
        {arm.name, [&](Index) { return arm.row; }, a_.n, guidance_of(fields_, arm.row, a_.cfg, own_), next_}, a_.seed,
        sampling_,
        [&](Index i, const Tensor<float, Cpu>& decoded, const Tensor<float, Cpu>& imposed) {
          if (i == 0) shown = decoded;
          if (!truth_ || !arm.t1) return;
          if (const auto found = blocks(imposed)) arm.regions.push_back(regions_of(*found));
        },
        &*progress_);
    next_ += static_cast<std::uint32_t>(a_.n);
    arm.empty = made.empty;
    empty_ += made.empty;
    arm.made = mean_pairwise_distance(Tensor<float, Cpu>::from_host(*ctx_, {a_.n, arms_.latent_size()}, made.latents));
    arm.of_unseen = distance_of(unseen_, arm.unseen);
    arm.of_train = distance_of(learnt_, arm.train);
    const auto real =
        std::find_if(arm.unseen.begin(), arm.unseen.end(), [&](Index i) { return !failures_.contains(i); });
    if (static_cast<Index>(tiles_.size()) >= 2 * a_.pictures || real == arm.unseen.end()) return;
    const Tensor<float, Cpu> scan = source_(*ctx_, *real);
    for (Image& image : preview_rows(*ctx_, arms_.contract(), scan, {shown, scan})) tiles_.push_back(std::move(image));
    captions_.push_back(concat("SYNTHETIC ", arm.name));
    captions_.push_back(id_of(*real));
  }

  Json diversity(std::ostream& text) const {
    text << "\n\nMean distance of latents (" << arms_.latent_size()
         << " numbers) within an arm, between different people\n\n";
    Table table({"arm", "samples", "unseen scans", "", "of unseen", "training scans", "", "of training"});
    Json json = Json::array();
    for (const FidelityArm& arm : list_) {
      const double of_unseen = share_of(arm.made.mean, arm.of_unseen.mean),
                   of_train = share_of(arm.made.mean, arm.of_train.mean);
      table.row(arm.name, decimals(arm.made.mean, 2), arm.unseen.size(), decimals(arm.of_unseen.mean, 2),
                decimals(of_unseen, 2), arm.train.size(), decimals(arm.of_train.mean, 2), decimals(of_train, 2));
      json.push_back({{"arm", arm.name},
                      {"conditions", conditions_json(fields_, arm.row)},
                      {"samples", a_.n},
                      {"empty", arm.empty},
                      {"distance", arm.made.mean},
                      {"unseen_scans", arm.unseen.size()},
                      {"unseen_distance", arm.of_unseen.mean},
                      {"ratio", of_unseen},
                      {"training_scans", arm.train.size()},
                      {"training_distance", arm.of_train.mean},
                      {"ratio_training", of_train}});
    }
    table.print(text);
    return json;
  }

  Json regions(std::ostream& text) const {
    text << "\nRegion volumes of T1-weighted arms in ml, mean +- deviation: the truth of everybody with these labels, "
            "unseen scans through "
            "the\ntokenizer, samples; read from maps of tissue by what "
         << reader_.size() << " round trips of training scans taught\n\n";
    Table table({"arm", "region", "people", "truth", "unseen", "round trips", "mean off by", "sd off by", "samples",
                 "mean off by", "sd off by"});
    Json json = Json::array();
    for (const FidelityArm& arm : list_) {
      if (!arm.t1) continue;
      std::vector<Index> everybody = labels_.matching(train_, arm.row);
      everybody.insert(everybody.end(), arm.unseen.begin(), arm.unseen.end());
      for (std::size_t r = 0; r < tissue_names.size(); ++r) {
        std::vector<double> law, back, made;
        for (const Index i : everybody) law.push_back((*truth_)(id_of(i))[r]);
        for (const Index i : arm.unseen)
          if (const auto found = unseen_blocks_.find(i); found != unseen_blocks_.end())
            back.push_back(regions_of(found->second)[r]);
        for (const TissueVolumes& v : arm.regions) made.push_back(v[r]);
        const Spread is = Spread::of(law), through = Spread::of(back), sampled = Spread::of(made);
        const auto error = [&](const Spread& s) { return 100 * (s.mean - is.mean) / is.mean; };
        const auto percent = [](double v) {
          return std::isfinite(v) ? concat(v >= 0 ? "+" : "", decimals(v, 1), " %") : std::string("-");
        };
        const double sd_ratio = share_of(sampled.deviation, is.deviation),
                     through_ratio = share_of(through.deviation, is.deviation);
        table.row(r == 0 ? arm.name : "", tissue_names[r], is.n, is.str(), through.n, through.str(),
                  percent(error(through)), percent(100 * through_ratio - 100), sampled.str(), percent(error(sampled)),
                  percent(100 * sd_ratio - 100));
        json.push_back({{"arm", arm.name},
                        {"region", tissue_names[r]},
                        {"truth", is.json()},
                        {"round_trips", through.json()},
                        {"samples", sampled.json()},
                        {"mean_error", error(sampled) / 100},
                        {"sd_ratio", sd_ratio},
                        {"round_trip_mean_error", error(through) / 100},
                        {"round_trip_sd_ratio", through_ratio}});
      }
    }
    table.print(text);
    return json;
  }

  Json frechet(std::ostream& text, const std::filesystem::path& features_file, const WriteOptions& write) {
    const Index width = 2 * unseen_.scans.encoder.width();
    // Half h: scans, round trips, and samples under the conditions of the scans of this half.
    std::array<FeatureMoments, 2> real, back, made;
    FeatureTable features;
    features.columns = width;
    for (std::size_t h = 0; h < 2; ++h) {
      std::vector<Index> rows, scans;
      for (const Index i : halves_[h])
        if (const auto found = std::find(unseen_.rows.begin(), unseen_.rows.end(), i); found != unseen_.rows.end()) {
          rows.push_back(found - unseen_.rows.begin());
          scans.push_back(i);
          features.ids.push_back(id_of(i));
        }
      const Tensor<float, Cpu> of_scans = rows_tensor(*ctx_, unseen_.scans.encoder.values(), width, rows);
      features.values.insert(features.values.end(), of_scans.data(), of_scans.data() + of_scans.size());
      real[h] = feature_moments(of_scans, recipe_);
      back[h] = feature_moments(rows_tensor(*ctx_, unseen_.round_trips.encoder.values(), width, rows), recipe_);
      const ArmSamples samples = arms_.sample(
          {concat("conditions of half ", h + 1), [&](Index i) { return labels_[scans[static_cast<std::size_t>(i)]]; },
           std::ssize(scans), sampling_.guidance, next_},
          a_.seed, sampling_, {}, &*progress_);
      next_ += static_cast<std::uint32_t>(scans.size());
      made[h] = feature_moments(samples.features.encoder.tensor(*ctx_), recipe_);
    }
    const auto between = [&](const std::array<FeatureMoments, 2>& x, const std::array<FeatureMoments, 2>& y) {
      return 0.5 * (frechet_distance(*ctx_, x[0], y[1]) + frechet_distance(*ctx_, x[1], y[0]));
    };
    const double gen_real = between(made, real), gen_back = between(made, back), back_real = between(back, real),
                 real_halves = frechet_distance(*ctx_, real[0], real[1]),
                 back_halves = frechet_distance(*ctx_, back[0], back[1]);
    text << "\nFrechet distances of features (mean and deviation of the encoder's tokens, " << width << " numbers), "
         << made[0].rows << " against " << made[1].rows << " of other people\nrecipe " << recipe_ << "\n\n";
    if (made[0].rows <= width)
      text << "fewer scans than features: every distance here is too large, and they compare with one another only\n\n";
    Table table({"", "distance", "of two halves"});
    table.row("samples, scans", decimals(gen_real, 3), decimals(share_of(gen_real, real_halves), 2));
    table.row("samples, round trips", decimals(gen_back, 3), decimals(share_of(gen_back, back_halves), 2));
    table.row("round trips, scans", decimals(back_real, 3), decimals(share_of(back_real, real_halves), 2));
    table.row("two halves of the scans", decimals(real_halves, 3), "1");
    table.row("two halves of the round trips", decimals(back_halves, 3), "1");
    Json json = {{"recipe", recipe_},
                 {"features", width},
                 {"n", {made[0].rows, made[1].rows}},
                 {"gen_real", gen_real},
                 {"gen_recons", gen_back},
                 {"recons_real", back_real},
                 {"real_halves", real_halves},
                 {"recons_halves", back_halves},
                 {"gen_recons_ratio", share_of(gen_back, back_halves)}};
    if (reference_) {
      std::vector<Index> rows;
      for (Index i = 0; i < reference_->rows; ++i) rows.push_back(i);
      const auto other =
          feature_moments(rows_tensor(*ctx_, reference_->values, reference_->columns, some_rows(rows, made[0].rows)),
                          reference_recipe_);
      const double d = 0.5 * (frechet_distance(*ctx_, made[0], other) + frechet_distance(*ctx_, made[1], other));
      table.row(concat("samples, reference (", other.rows, " rows)"), decimals(d, 3),
                decimals(share_of(d, real_halves), 2));
      json["gen_reference"] = d;
    }
    table.print(text);
    features.rows = std::ssize(features.ids);
    features.set_contract(Json{{"recipe", recipe_}}.dump());
    write_feature_file(features_file, features, write);
    return json;
  }

  Context<Cpu>* ctx_;
  const FidelityArguments& a_;
  SampleArms arms_;
  const std::vector<ConditionField>& fields_;
  SamplingOptions sampling_;
  std::vector<ConditionScale> own_;
  Manifest manifest_;
  std::shared_ptr<FindingLog> findings_ = std::make_shared<FindingLog>();
  VolumeSource source_;
  ScanConditions labels_;
  std::string recipe_, reference_recipe_ = "unknown";
  std::vector<Index> test_, train_, train_t1_;
  std::set<Index> wanted_;  // training scans of the arms
  std::optional<RegionTruth> truth_;
  std::optional<FeatureTable> reference_;
  std::vector<FidelityArm> list_;
  std::vector<std::string> left_out_;
  std::array<std::vector<Index>, 2> halves_;
  std::optional<Progress> progress_;
  ScanFailures failures_;
  ScanFeatures unseen_, learnt_;
  std::map<Index, std::vector<double>> unseen_blocks_;  // round trips of T1-weighted scans
  RegionReader reader_;
  VolumeCalibration spread_;
  std::uint32_t next_ = 0;  // number of the next sample
  Index empty_ = 0;
  std::vector<Image> tiles_;
  std::vector<std::string> captions_;
};

}  // namespace detail

inline int evaluate_fidelity(const Program& program, const FidelityArguments& a) {
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  require_new(out / "fidelity.json", common);
  const FileLock lock =
      open_results(out, common, {"fidelity.json", "tables.txt", "features.safetensors", "montage.png"},
                   {model_path(a.model), model_path(a.tokenizer), a.cohort.data, a.cohort.split, a.truth, a.reference});
  require_other_set(a.train, a.test, "is what the model learnt, nothing in it is unseen");
  const auto ctx = make_cpu_context(common);
  JsonLog log(common.json_log);
  detail::FidelityEvaluation evaluation(*ctx, a, common.quiet);
  const int code = evaluation.run(out, {.overwrite = common.force});
  tell_findings(evaluation.findings(), log, common.quiet);
  return code;
}

}  // namespace braing3n::examples
