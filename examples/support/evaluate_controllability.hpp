// `evaluate controllability`: are the samples of a diffusion transformer what was asked for?
//
// Readers are fitted on the people that trained the generator and applied to unseen scans, to their round trips through the tokenizer (the
// ceiling) and to samples, decoded and encoded again:
//   round-trip  one probe per modality on mean and deviation of the tokens, fitted on round trips: what a sample can be compared with
//   real        one probe for all modalities on the mean of the tokens, fitted on scans: the published way
//   latents     one probe per modality on the latents themselves, fitted on those of scans: the generator without the tokenizer's decoder
//   probe       probes of a file (probe --save)
#pragma once

#include <array>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/eval/controllability.hpp"
#include "braing3n/io/csv.hpp"
#include "braing3n/io/png.hpp"
#include "braing3n/probe/saved_probe.hpp"
#include "braing3n/train/previews.hpp"
#include "examples/support/context.hpp"
#include "examples/support/feature_contract.hpp"
#include "examples/support/report_svg.hpp"
#include "examples/support/sample_arms.hpp"
#include "examples/support/table.hpp"

namespace braing3n::examples {

struct ControllabilityArguments {
  std::string model, tokenizer, data, pattern, split, train = "train", test = "test", half = "all", probe, sampler = "euler", out;
  std::vector<std::string> contrasts{"HC-AD", "MCI-AD", "HC-MCI", "HC-PD", "sex", "modality", "tumour", "idh1", "age"}, readers{"round-trip", "real", "latents"}, chosen_with;
  std::vector<double> cfg{1, 1.5, 2, 3};
  Index n = 64, steps = 25, reader_scans = 1600;
  std::uint64_t seed = 2025;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a diffusion transformer: its file, or the folder of its training")->required();
    app.add_option("--tokenizer", tokenizer, "the tokenizer whose latents it learnt")->required();
    app.add_option("--data", data, "table of scans: volumes.csv, or a BIDS participants.tsv with --pattern")->required();
    app.add_option("--pattern", pattern, "paths for a table without them, for example {participant_id}_T1w.nii.gz");
    app.add_option("--split", split, "table subject_id,split: that of the training")->required();
    app.add_option("--train", train, "the set on which readers are fitted: people that trained the generator");
    app.add_option("--test", test, "the set of unseen people");
    app.add_option("--contrasts", contrasts, "A-B (two values of disease), tumour, or a condition's name; NAME@MODALITY asks in that one only")->delimiter(',');
    app.add_option("--n", n, "samples per class (idh1: and modality)");
    app.add_option("--cfg", cfg, "guidance scales, each with a table")->delimiter(',');
    app.add_option("--steps", steps, "steps from noise to data");
    app.add_option("--sampler", sampler, "euler, or heun with two evaluations a step")->check(CLI::IsMember({"euler", "heun"}));
    app.add_option("--readers", readers, "round-trip, real, latents; both: the first two")->delimiter(',')->check(CLI::IsMember({"round-trip", "real", "latents", "both"}));
    app.add_option("--reader-scans", reader_scans, "scans on which readers are fitted, at most (whole people)");
    app.add_option("--reader-half", half, "people on whom readers are fitted: one half may choose the guidance, the other score")->check(CLI::IsMember({"all", "first", "second"}));
    app.add_option("--probe", probe, "saved probes (probe --save, on features of this tokenizer) that read besides");
    app.add_option("--chosen-with", chosen_with, "controllability.json of an earlier run that chose the guidance: its readers may not score");
    app.add_option("--seed", seed, "seed of the samples");
    app.add_option("--out", out, "folder for tables.txt, controllability.csv, controllability.json and montage.png")->required();
  }
};

namespace detail {

/// Tumour classes of the disease condition.
inline bool is_tumour(const std::string& disease) { return disease == "GBM" || disease == "glioma"; }

/// Features of some volumes in the form one reader wants.
struct ReaderFeatures {
  std::vector<float> values;
  Index rows = 0, width = 0;
  FeatureView<float> view() const { return {values.data(), rows, width}; }

  ReaderFeatures(const PooledFeatures& p, bool means_only) : values(means_only ? p.means() : p.values()), rows(p.rows()), width(means_only ? p.width() : 2 * p.width()) {}
};

/// Samples to make, the modalities taking turns.
struct PlannedArm {
  std::string name;
  std::vector<ConditionRow> rows;    // (n)
  std::vector<std::int32_t> group;   // (n): the modality of each
  std::uint32_t first = 0;           // number of the first sample
  bool guided = false;               // something is asked that guidance can act on
};

/// One thing that samples can be asked for, with the labels of every scan and the arms that ask.
struct Contrast {
  std::string name, field;
  std::size_t condition = 0;         // of a number: its place among the model's conditions
  std::vector<std::string> classes;  // empty: a number
  bool balanced = false, of_groups = false;  // of_groups: the classes are the modalities
  std::set<std::int32_t> groups;     // modalities in which it is asked
  std::vector<std::int32_t> label;   // per scan
  std::vector<double> number;
  std::vector<std::pair<std::size_t, std::int32_t>> arms;  // and the class that each asks for
};

struct ContrastScores {
  std::string hash;  // of the reader
  bool converged = true;
  ClassScore real, ceiling;
  std::vector<Rate> everybody, null;
  std::vector<double> prior;
  std::vector<ClassScore> asked;  // per guidance scale
  NumberScore real_number, ceiling_number, null_number;
  std::array<double, 2> prior_number{};
  std::vector<NumberScore> asked_number;
};

struct ReaderKind {
  std::string name, text;
  bool round_trips = false, means_only = false, grouped = true, latents = false, saved = false;
};

inline std::string interval_of(const std::array<double, 2>& i) { return std::isfinite(i[0]) ? concat(decimals(i[0], 2), " to ", decimals(i[1], 2)) : "-"; }

/// Everything that does not change from reader to reader.
class ControllabilityPlan {
 public:
  std::vector<Contrast> contrasts;
  std::vector<PlannedArm> arms;
  std::vector<std::size_t> null_arms;                        // one per modality
  std::vector<std::pair<std::string, std::string>> left_out;  // what, and why
  std::vector<std::string> group_names;
  std::vector<std::int32_t> group, person;                   // per scan; group -1: a modality that the model does not know
  std::vector<Index> train, test;                            // scans

  /// Throws Error (argument): a contrast that does not exist, none that can be asked; (format): no people in a set, no modality column.
  ControllabilityPlan(const std::vector<ConditionField>& fields, const Manifest& manifest, const Split& split, const ControllabilityArguments& a)
      : fields_(fields), manifest_(manifest), n_(a.n) {
    train = rows_of(manifest, split, a.train);
    test = rows_of(manifest, split, a.test);
    if (a.train == a.test) fail(ErrorKind::argument, "evaluate.sets", "the set ", in_quotes(a.test), " is scored: no reader may be fitted on it");
    std::map<std::string, std::int32_t> codes;
    for (const ScanRow& s : manifest.scans) person.push_back(codes.emplace(s.subject_id, static_cast<std::int32_t>(codes.size())).first->second);
    find_groups();
    for (std::int32_t g = 0; g < std::ssize(group_names); ++g)
      if (exists(g)) null_arms.push_back(arm(group_names[static_cast<std::size_t>(g)].empty() ? "no conditions" : concat("modality=", group_names[static_cast<std::size_t>(g)]), {base()}, {g}));
    for (const std::string& name : a.contrasts) add(name);
    if (contrasts.empty()) {
      std::string why;
      for (const auto& [what, reason] : left_out) why += concat(why.empty() ? "" : "; ", what, ": ", reason);
      fail(ErrorKind::argument, "evaluate.contrasts", "nothing can be asked: ", why);
    }
    std::uint32_t next = 0;
    for (PlannedArm& p : arms) {
      p.first = next;
      next += static_cast<std::uint32_t>(p.rows.size());
    }
  }

  /// Weights of the training scans for a prior in the mix of modalities in which the contrast is asked.
  std::vector<double> prior_weights(const Contrast& c) const {
    std::vector<bool> labelled(manifest_.scans.size(), false);
    for (const Index i : train) labelled[static_cast<std::size_t>(i)] = c.classes.empty() ? !std::isnan(c.number[static_cast<std::size_t>(i)]) : c.label[static_cast<std::size_t>(i)] >= 0;
    return mix_weights(group, labelled, c.groups);
  }

 private:
  std::optional<std::size_t> field(std::string_view name) const {
    for (std::size_t f = 0; f < fields_.size(); ++f)
      if (fields_[f].name == name) return f;
    return std::nullopt;
  }

  void find_groups() {
    const auto f = field("modality");
    if (!f || fields_[*f].kind != ConditionKind::categorical) {
      group_names = {""};
      group.assign(manifest_.scans.size(), 0);
      return;
    }
    modality_ = *f;
    if (!manifest_.find_field("modality")) throw Error(ErrorKind::format, "evaluate.modality", "the model has the condition modality, the table has no such column", manifest_.path.string());
    group_names = fields_[*f].values;
    for (Index i = 0; i < manifest_.size(); ++i) group.push_back(value_of(group_names, manifest_.text(i, "modality")));
  }
  static std::int32_t value_of(const std::vector<std::string>& values, const std::optional<std::string>& text) {
    const auto found = text ? std::find(values.begin(), values.end(), *text) : values.end();
    return found == values.end() ? -1 : static_cast<std::int32_t>(found - values.begin());
  }
  bool some(const std::vector<Index>& rows, auto&& is) const { return std::any_of(rows.begin(), rows.end(), is); }
  bool exists(std::int32_t g) const {
    const auto is = [&](Index i) { return group[static_cast<std::size_t>(i)] == g; };
    return some(train, is) && some(test, is);
  }

  /// Nothing is known but what the model will not go without; the modality is filled in by the arm.
  ConditionRow base() const {
    ConditionRow row(fields_.size());
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (!fields_[f].required || (modality_ && f == *modality_)) continue;
      if (fields_[f].kind == ConditionKind::categorical) row[f].label = 0;
      else row[f].number = 0.5 * (fields_[f].minimum + fields_[f].maximum);
    }
    return row;
  }

  std::size_t arm(const std::string& name, const std::vector<ConditionRow>& alternatives, const std::vector<std::int32_t>& groups) {
    std::string full = name;
    if (groups.size() < group_names.size() && !name.starts_with("modality="))
      for (const std::int32_t g : groups) full += concat(g == groups[0] ? " in " : ", ", group_names[static_cast<std::size_t>(g)]);
    for (std::size_t k = 0; k < arms.size(); ++k)
      if (arms[k].name == full) return k;
    PlannedArm p;
    p.name = full;
    const auto turns = std::ssize(alternatives) == n_ ? Index{1} : std::ssize(alternatives);  // every alternative in every modality
    for (Index i = 0; i < n_; ++i) {
      p.group.push_back(groups[static_cast<std::size_t>(i / turns % std::ssize(groups))]);
      p.rows.push_back(alternatives[static_cast<std::size_t>(i % std::ssize(alternatives))]);
      if (modality_) p.rows.back()[*modality_].label = p.group.back();
      for (std::size_t f = 0; f < fields_.size(); ++f) p.guided = p.guided || (!fields_[f].required && !p.rows.back()[f].missing() && !(modality_ && f == *modality_));
    }
    arms.push_back(std::move(p));
    return arms.size() - 1;
  }
  std::size_t value_arm(std::size_t f, const std::vector<std::int32_t>& values, const std::set<std::int32_t>& groups) {
    std::vector<ConditionRow> rows;
    std::string name = fields_[f].name + "=";
    for (const std::int32_t v : values) {
      rows.push_back(base());
      rows.back()[f] = {.label = v};
      name += concat(rows.size() > 1 ? "|" : "", fields_[f].values[static_cast<std::size_t>(v)]);
    }
    return arm(name, rows, {groups.begin(), groups.end()});
  }

  [[noreturn]] void unknown(const std::string& name) const {
    std::string known = "tumour";
    for (const ConditionField& f : fields_) known += ", " + f.name;
    if (const auto f = field("disease")) {
      known += ", and A-B with A and B among ";
      for (std::size_t v = 0; v < fields_[*f].values.size(); ++v) known += concat(v > 0 ? ", " : "", fields_[*f].values[v]);
    }
    fail(ErrorKind::argument, "evaluate.contrast", "there is no contrast ", in_quotes(name, 60), "; known: ", known, "; @MODALITY after it for one modality");
  }

  void add(const std::string& text) {
    const std::size_t at = text.find('@');
    const std::string name = text.substr(0, at);
    std::set<std::int32_t> groups;
    for (std::int32_t g = 0; g < std::ssize(group_names); ++g)
      if (exists(g) && (at == std::string::npos || group_names[static_cast<std::size_t>(g)] == text.substr(at + 1))) groups.insert(g);
    if (at != std::string::npos && std::find(group_names.begin(), group_names.end(), text.substr(at + 1)) == group_names.end()) unknown(text);
    for (const Contrast& c : contrasts)
      if (c.name == text) fail(ErrorKind::argument, "evaluate.contrast", "--contrasts has ", text, " twice");
    if (groups.empty()) return left_out.emplace_back(text, "no scans of that modality in both sets"), void();

    Contrast c;
    c.name = text;
    c.groups = groups;
    const auto disease = field("disease");
    const std::size_t dash = name.find('-');
    if (name == "tumour" || (!field(name) && dash != std::string::npos)) {
      const std::vector<std::string> pair = name == "tumour" ? std::vector<std::string>{"absent", "present"} : std::vector<std::string>{name.substr(0, dash), name.substr(dash + 1)};
      if (name != "tumour") {  // a name that nobody knows is a mistake; one that this model lacks is left out
        const LabelSchema schema = LabelSchema::standard();
        for (const std::string& v : pair)
          if (!is_known(*schema.find("disease"), v) && (!disease || value_of(fields_[*disease].values, v) < 0)) unknown(text);
      }
      if (!disease || !manifest_.find_field("disease")) return left_out.emplace_back(text, "the model or the table has no disease"), void();
      c.field = "disease";
      c.classes = pair;
      std::array<std::vector<std::int32_t>, 2> values;
      for (std::int32_t v = 0; v < fields_[*disease].classes(); ++v) {
        const std::string& d = fields_[*disease].values[static_cast<std::size_t>(v)];
        if (name != "tumour") {
          for (std::size_t k = 0; k < 2; ++k)
            if (d == pair[k]) values[k].push_back(v);
        } else if (is_tumour(d)) {
          values[1].push_back(v);
        } else if (values[0].empty() || d == "HC") {
          values[0] = {v};  // people without a tumour: healthy ones where the model knows them
        }
      }
      for (std::size_t k = 0; k < 2; ++k)
        if (values[k].empty()) return left_out.emplace_back(text, concat("the model does not know ", name == "tumour" ? "a disease with tumour " : "", pair[k])), void();
      for (Index i = 0; i < manifest_.size(); ++i) {
        const auto d = manifest_.text(i, "disease");
        c.label.push_back(name == "tumour" ? (d ? static_cast<std::int32_t>(is_tumour(*d)) : -1) : value_of(pair, d));
      }
      if (!enough(c)) return;
      for (std::int32_t k = 0; k < 2; ++k) c.arms.emplace_back(value_arm(*disease, values[static_cast<std::size_t>(k)], c.groups), k);
      contrasts.push_back(std::move(c));
      return;
    }
    const auto f = field(name);
    if (!f) {
      static const std::set<std::string> usual = {"sex", "modality", "idh1", "age", "site"};
      if (!usual.contains(name)) unknown(text);
      left_out.emplace_back(text, "the model has no such condition");
      return;
    }
    c.field = name;
    if (!manifest_.find_field(name)) return left_out.emplace_back(text, "the table has no such column"), void();
    if (fields_[*f].kind == ConditionKind::continuous) return add_number(std::move(c), *f);
    if (modality_ && *f == *modality_) return add_modality(std::move(c));
    c.classes = fields_[*f].values;
    for (Index i = 0; i < manifest_.size(); ++i) c.label.push_back(value_of(c.classes, manifest_.text(i, name)));
    // Classes that nobody in the sets has cannot be read; the others keep their order.
    std::vector<std::int32_t> kept, place(c.classes.size(), -1);
    for (std::int32_t v = 0; v < std::ssize(c.classes); ++v) {
      const auto is = [&](Index i) { return c.label[static_cast<std::size_t>(i)] == v && c.groups.contains(group[static_cast<std::size_t>(i)]); };
      if (some(train, is) && some(test, is)) place[static_cast<std::size_t>(v)] = static_cast<std::int32_t>(kept.size()), kept.push_back(v);
      else left_out.emplace_back(concat(text, ": ", c.classes[static_cast<std::size_t>(v)]), "not in both sets");
    }
    for (std::int32_t& l : c.label) l = l < 0 ? -1 : place[static_cast<std::size_t>(l)];
    std::vector<std::string> names;
    for (const std::int32_t v : kept) names.push_back(c.classes[static_cast<std::size_t>(v)]);
    c.classes = names;
    if (kept.size() < 2) return left_out.emplace_back(text, "fewer than two classes"), void();
    if (name != "idh1") {
      if (!enough(c)) return;
      for (std::size_t k = 0; k < kept.size(); ++k) c.arms.emplace_back(value_arm(*f, {kept[k]}, c.groups), static_cast<std::int32_t>(k));
      contrasts.push_back(std::move(c));
      return;
    }
    // Modalities differ in what they show of it: each has arms of its own, and a table line, besides all together; rare classes need a
    // reader that counts every class the same, shown beside the plain one.
    Contrast all = c;
    all.groups.clear();
    for (const std::int32_t g : c.groups) {
      Contrast one = c;
      one.groups = {g};
      one.name = group_names[static_cast<std::size_t>(g)].empty() ? name : concat(name, '@', group_names[static_cast<std::size_t>(g)]);
      if (!enough(one)) continue;
      for (std::size_t k = 0; k < kept.size(); ++k) one.arms.emplace_back(value_arm(*f, {kept[k]}, one.groups), static_cast<std::int32_t>(k));
      all.groups.insert(g);
      all.arms.insert(all.arms.end(), one.arms.begin(), one.arms.end());
      add_both(one);
    }
    if (all.groups.size() > 1) add_both(all);
  }

  void add_both(const Contrast& c) {
    contrasts.push_back(c);
    contrasts.push_back(c);
    contrasts.back().balanced = true;
    contrasts.back().name += ", balanced";
  }

  void add_number(Contrast c, std::size_t f) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (Index i = 0; i < manifest_.size(); ++i) c.number.push_back(manifest_.number(i, c.field).value_or(not_a_number));
    for (const Index i : train)
      if (const double v = c.number[static_cast<std::size_t>(i)]; v >= fields_[f].minimum && v <= fields_[f].maximum) low = std::min(low, v), high = std::max(high, v);
    const auto known = [&](Index i) { return !std::isnan(c.number[static_cast<std::size_t>(i)]) && c.groups.contains(group[static_cast<std::size_t>(i)]); };
    if (!(low < high) || !some(test, known)) return left_out.emplace_back(c.name, "no two values among the training people, or none among the others"), void();
    std::vector<ConditionRow> rows;
    for (Index i = 0; i < n_; ++i) {
      rows.push_back(base());
      rows.back()[f] = {.number = low + (high - low) * static_cast<double>(i) / static_cast<double>(n_ - 1)};
    }
    c.condition = f;
    c.arms.emplace_back(arm(concat(c.field, ' ', decimals(low, 0), " to ", decimals(high, 0)), rows, {c.groups.begin(), c.groups.end()}), 0);
    contrasts.push_back(std::move(c));
  }

  void add_modality(Contrast c) {
    if (c.groups.size() < 2) return left_out.emplace_back(c.name, "fewer than two modalities in both sets"), void();
    c.of_groups = true;
    std::vector<std::int32_t> place(group_names.size(), -1);
    for (const std::int32_t g : c.groups) {
      place[static_cast<std::size_t>(g)] = static_cast<std::int32_t>(c.classes.size());
      c.classes.push_back(group_names[static_cast<std::size_t>(g)]);
      for (const std::size_t k : null_arms)
        if (arms[k].group[0] == g) c.arms.emplace_back(k, place[static_cast<std::size_t>(g)]);
    }
    for (const std::int32_t g : group) c.label.push_back(g < 0 ? -1 : place[static_cast<std::size_t>(g)]);
    contrasts.push_back(std::move(c));
  }

  /// Leaves out modalities without enough people of each class for a reader; says so when none is left.
  bool enough(Contrast& c) {
    const auto classes = static_cast<std::int32_t>(c.classes.size());
    const ReaderOptions fewest;
    std::string why = "too few people";
    for (const std::int32_t g : std::set<std::int32_t>(c.groups))
      for (std::int32_t k = 0; k < classes; ++k) {
        const auto is = [&](Index i) { return c.label[static_cast<std::size_t>(i)] == k && group[static_cast<std::size_t>(i)] == g; };
        const auto learns = std::count_if(train.begin(), train.end(), is), unseen = std::count_if(test.begin(), test.end(), is);
        if (learns >= fewest.fewest && unseen > 0) continue;
        c.groups.erase(g);
        why = concat(learns, " scans of ", c.classes[static_cast<std::size_t>(k)], group_names[static_cast<std::size_t>(g)].empty() ? "" : concat(" in ", group_names[static_cast<std::size_t>(g)]),
                     " to fit a reader on and ", unseen, " to test it, expected ", fewest.fewest, " and 1");
        left_out.emplace_back(c.name, why);
        break;
      }
    return !c.groups.empty();
  }

  const std::vector<ConditionField>& fields_;
  const Manifest& manifest_;
  Index n_;
  std::optional<std::size_t> modality_;
};

/// Whole people, drawn by the seed, until there are scans enough.
inline std::vector<Index> reader_rows(const ControllabilityPlan& plan, const ControllabilityArguments& a) {
  std::map<std::pair<std::uint32_t, std::int32_t>, std::vector<Index>> people;
  for (const Index i : plan.train) {
    const std::int32_t p = plan.person[static_cast<std::size_t>(i)];
    people[{Philox(2025, Purpose::split, 2, static_cast<std::uint32_t>(p)).integer(0), p}].push_back(i);
  }
  std::vector<Index> rows;
  Index turn = 0;
  for (const auto& [key, scans] : people) {
    const bool first = turn++ % 2 == 0;
    if ((a.half == "first" && !first) || (a.half == "second" && first)) continue;
    if (static_cast<Index>(rows.size() + scans.size()) > a.reader_scans) break;
    rows.insert(rows.end(), scans.begin(), scans.end());
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

/// The task of saved probes that reads a contrast, if there is one.
inline const SavedTask* saved_task(const SavedProbe& probe, const Contrast& c, const ControllabilityPlan& plan) {
  for (const SavedTask& t : probe.tasks) {
    if (t.column != c.field || t.classification == c.classes.empty() || c.balanced || c.classes == std::vector<std::string>{"absent", "present"}) continue;
    if (t.classification && std::set<std::string>(t.classes.begin(), t.classes.end()) != std::set<std::string>(c.classes.begin(), c.classes.end())) continue;
    bool fits = true;
    for (const auto& [column, value] : parse_task(t.name).where)
      fits = fits && column == "modality" && c.groups.size() == 1 && plan.group_names[static_cast<std::size_t>(*c.groups.begin())] == value;
    if (fits) return &t;
  }
  return nullptr;
}

}  // namespace detail

namespace detail {

/// Features of the training people, of the others and of the samples, and the scores of one reader after the other.
class ControllabilityScores {
 public:
  ControllabilityScores(Context<Cpu>& ctx, const ControllabilityPlan& plan, const ScanFeatures& train, const ScanFeatures& test)
      : ctx_(ctx), plan_(plan), train_(train), test_(test) {}

  /// Fits the reader of every contrast.
  std::vector<ContrastScores> fit(const ReaderKind& kind) {
    std::vector<ContrastScores> all;
    for (const Contrast& c : plan_.contrasts) {
      const ReaderFeatures x = kind.round_trips ? round_trips(kind, train_) : scans(kind, train_);
      ReaderRows rows{x.view(), {}, {}};
      std::vector<std::int32_t> label;
      std::vector<double> number;
      for (const Index i : train_.rows) {
        const auto at = static_cast<std::size_t>(i);
        rows.group.push_back(group(kind, c, plan_.group[at]));
        rows.person.push_back(plan_.person[at]);
        if (c.classes.empty()) number.push_back(c.number[at]);
        else label.push_back(c.label[at]);
      }
      ReaderOptions options;
      if (c.balanced) options.class_weight = ClassWeight::balanced;
      try {
        readers_.insert_or_assign({kind.name, c.name}, c.classes.empty() ? GroupedReader(ctx_, rows, std::span<const double>(number), options)
                                                                         : GroupedReader(ctx_, rows, std::span<const std::int32_t>(label), std::ssize(c.classes), options));
      } catch (const Error& e) {
        throw Error(e.kind(), e.id(), concat("reader ", kind.name, ", ", c.name, ": ", e.text(), " among the ", train_.rows.size(), " scans that readers are fitted on (--reader-scans)"));
      }
      all.emplace_back();
      all.back().hash = readers_.at({kind.name, c.name}).hash();
      all.back().converged = readers_.at({kind.name, c.name}).converged();
    }
    return all;
  }

  void score_scans(const ReaderKind& kind, const SavedProbe* saved, std::vector<ContrastScores>& all) const {
    const ReaderFeatures unseen = scans(kind, test_), trips = round_trips(kind, test_);
    std::vector<std::int32_t> groups;
    for (const Index i : test_.rows) groups.push_back(plan_.group[static_cast<std::size_t>(i)]);
    for (std::size_t k = 0; k < all.size(); ++k) {
      const Contrast& c = plan_.contrasts[k];
      ContrastScores& s = all[k];
      const auto weights = plan_.prior_weights(c);
      if (c.classes.empty()) {
        std::vector<double> truth;
        for (const Index i : test_.rows) truth.push_back(c.number[static_cast<std::size_t>(i)]);
        s.real_number = score_numbers(truth, numbers(kind, saved, c, unseen.view(), groups));
        s.ceiling_number = score_numbers(truth, numbers(kind, saved, c, trips.view(), groups));
        s.prior_number = prior_numbers(c.number, weights);
        continue;
      }
      std::vector<std::int32_t> truth;
      for (const Index i : test_.rows) truth.push_back(c.label[static_cast<std::size_t>(i)]);
      const auto read = classes(kind, saved, c, trips.view(), groups);
      s.real = score_classes(truth, classes(kind, saved, c, unseen.view(), groups), std::ssize(c.classes));
      s.ceiling = score_classes(truth, read, std::ssize(c.classes));
      s.everybody = class_shares(read, std::ssize(c.classes));
      s.prior = prior_shares(c.label, weights, std::ssize(c.classes));
    }
  }

  /// samples: of each arm under one guidance scale. Adds the scores of what was asked; those of the null arms when `null` is set.
  void score_samples(const ReaderKind& kind, const SavedProbe* saved, const std::vector<const ArmSamples*>& samples, bool null, std::vector<ContrastScores>& all) const {
    for (std::size_t k = 0; k < all.size(); ++k) {
      const Contrast& c = plan_.contrasts[k];
      std::vector<std::int32_t> asked, read;
      std::vector<double> wanted, came;
      const auto collect = [&](std::size_t arm, std::int32_t label) {
        const ReaderFeatures x = samples_of(kind, *samples[arm]);
        const PlannedArm& p = plan_.arms[arm];
        if (c.classes.empty()) {
          const auto values = numbers(kind, saved, c, x.view(), p.group);
          came.insert(came.end(), values.begin(), values.end());
          for (const ConditionRow& row : p.rows) wanted.push_back(row[c.condition].number);
        } else {
          const auto values = classes(kind, saved, c, x.view(), p.group);
          read.insert(read.end(), values.begin(), values.end());
          asked.insert(asked.end(), values.size(), label);
        }
      };
      for (const auto& [arm, label] : c.arms) collect(arm, label);
      if (c.classes.empty()) all[k].asked_number.push_back(score_numbers(wanted, came));
      else all[k].asked.push_back(score_classes(asked, read, std::ssize(c.classes)));
      if (!null || c.of_groups) continue;
      asked.clear(), read.clear(), wanted.clear(), came.clear();
      for (const std::size_t arm : plan_.null_arms) collect(arm, 0);
      if (c.classes.empty()) all[k].null_number = score_numbers({}, came);
      else all[k].null = class_shares(read, std::ssize(c.classes));
    }
  }

 private:
  static ReaderFeatures scans(const ReaderKind& kind, const ScanFeatures& s) { return {kind.latents ? s.scans.projected : s.scans.encoder, kind.means_only}; }
  static ReaderFeatures round_trips(const ReaderKind& kind, const ScanFeatures& s) { return {kind.latents ? s.scans.projected : s.round_trips.encoder, kind.means_only}; }
  static ReaderFeatures samples_of(const ReaderKind& kind, const ArmSamples& s) { return {kind.latents ? s.generated : s.features.encoder, kind.means_only}; }

  /// -1: the contrast is not asked in that modality.
  static std::int32_t group(const ReaderKind& kind, const Contrast& c, std::int32_t g) { return !c.groups.contains(g) ? -1 : kind.grouped && !c.of_groups ? g : 0; }
  static std::vector<std::int32_t> groups_of(const ReaderKind& kind, const Contrast& c, const std::vector<std::int32_t>& g) {
    std::vector<std::int32_t> all;
    for (const std::int32_t one : g) all.push_back(group(kind, c, one));
    return all;
  }

  std::vector<std::int32_t> classes(const ReaderKind& kind, const SavedProbe* saved, const Contrast& c, FeatureView<float> x, const std::vector<std::int32_t>& g) const {
    const auto groups = groups_of(kind, c, g);
    if (!kind.saved) return readers_.at({kind.name, c.name}).classes(x, groups);
    const SavedTask* task = saved_task(*saved, c, plan_);
    std::vector<std::int32_t> read(groups.size(), -1);
    for (std::size_t i = 0; task != nullptr && i < read.size(); ++i) {
      if (groups[i] < 0) continue;
      const auto p = apply_probe(*task, x.data + static_cast<Index>(i) * x.features);
      const std::string& name = task->classes[static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin())];
      read[i] = static_cast<std::int32_t>(std::find(c.classes.begin(), c.classes.end(), name) - c.classes.begin());
    }
    return read;
  }
  std::vector<double> numbers(const ReaderKind& kind, const SavedProbe* saved, const Contrast& c, FeatureView<float> x, const std::vector<std::int32_t>& g) const {
    const auto groups = groups_of(kind, c, g);
    if (!kind.saved) return readers_.at({kind.name, c.name}).numbers(x, groups);
    const SavedTask* task = saved_task(*saved, c, plan_);
    std::vector<double> read(groups.size(), not_a_number);
    for (std::size_t i = 0; task != nullptr && i < read.size(); ++i)
      if (groups[i] >= 0) read[i] = apply_probe(*task, x.data + static_cast<Index>(i) * x.features)[0];
    return read;
  }

  Context<Cpu>& ctx_;
  const ControllabilityPlan& plan_;
  const ScanFeatures &train_, &test_;
  std::map<std::pair<std::string, std::string>, GroupedReader> readers_;
};

inline Json rate_json(const Rate& r) { return {{"share", r.share()}, {"low", r.interval()[0]}, {"high", r.interval()[1]}, {"n", r.n}}; }
inline Json class_json(const ClassScore& s, const std::vector<std::string>& names) {
  Json json = {{"balanced_accuracy", s.balanced_accuracy()}, {"low", s.interval()[0]}, {"high", s.interval()[1]}, {"recall", Json::object()}};
  for (std::size_t k = 0; k < names.size(); ++k) json["recall"][names[k]] = rate_json(s.recall[k]);
  return json;
}
inline Json number_json(const NumberScore& s) {
  return {{"n", s.n}, {"r", s.r}, {"slope", s.slope}, {"bias", s.bias}, {"mae", s.mae}, {"mean", s.mean}, {"sd", s.deviation}};
}

/// The rows of controllability.csv: reader, contrast, of (scans, samples, ...), guidance, measure, class, n, value, interval.
class ControllabilityCsv {
 public:
  ControllabilityCsv(const std::filesystem::path& path, const WriteOptions& write)
      : csv_(path, {"reader", "contrast", "of", "cfg", "measure", "class", "n", "value", "low", "high"}, write) {}

  void classes(const std::string& reader, const Contrast& c, const std::string& of, const std::optional<double>& cfg, const ClassScore& s) {
    Index n = 0;
    for (const Rate& r : s.recall) n += r.n;
    put(reader, c.name, of, cfg, "balanced_accuracy", "", n, s.balanced_accuracy(), s.interval());
    for (std::size_t k = 0; k < c.classes.size(); ++k) put(reader, c.name, of, cfg, "recall", c.classes[k], s.recall[k].n, s.recall[k].share(), s.recall[k].interval());
  }
  void shares(const std::string& reader, const Contrast& c, const std::string& of, const std::vector<Rate>& rates) {
    for (std::size_t k = 0; k < rates.size(); ++k) put(reader, c.name, of, {}, "share", c.classes[k], rates[k].n, rates[k].share(), rates[k].interval());
  }
  void prior(const std::string& reader, const Contrast& c, const std::vector<double>& shares) {
    for (std::size_t k = 0; k < shares.size(); ++k) put(reader, c.name, "prior", {}, "share", c.classes[k], 0, shares[k], {not_a_number, not_a_number});
  }
  void number(const std::string& reader, const Contrast& c, const std::string& of, const std::optional<double>& cfg, const NumberScore& s) {
    for (const auto& [measure, value] : {std::pair{"r", s.r}, std::pair{"slope", s.slope}, std::pair{"bias", s.bias}, std::pair{"mae", s.mae}, std::pair{"mean", s.mean}, std::pair{"sd", s.deviation}})
      if (std::isfinite(value)) put(reader, c.name, of, cfg, measure, "", s.n, value, {not_a_number, not_a_number});
  }
  void finish() { csv_.finish(); }

 private:
  void put(const std::string& reader, const std::string& contrast, const std::string& of, const std::optional<double>& cfg, const std::string& measure, const std::string& name, Index n,
           double value, const std::array<double, 2>& interval) {
    const auto known = [](double v) { return std::isfinite(v) ? std::optional<double>(v) : std::nullopt; };
    csv_.row(reader, contrast, of, cfg, measure, name, n > 0 ? std::optional<Index>(n) : std::nullopt, known(value), known(interval[0]), known(interval[1]));
  }
  CsvWriter csv_;
};

/// "M 0.48 (0.40 to 0.56)" of the second of two classes; all shares of more.
inline std::string share_text(const std::vector<Rate>& rates, const std::vector<std::string>& names) {
  if (rates.size() == 2) return rates[1].n > 0 ? concat(names[1], ' ', decimals(rates[1].share(), 2), " (", interval_of(rates[1].interval()), ")") : "-";
  std::string all;
  for (std::size_t k = 0; k < rates.size(); ++k) all += concat(k > 0 ? ", " : "", names[k], ' ', decimals(rates[k].share(), 2));
  return all.empty() ? "-" : all;
}
inline std::string prior_text(const std::vector<double>& shares, const std::vector<std::string>& names) {
  if (shares.size() == 2) return concat(names[1], ' ', decimals(shares[1], 2));
  std::string all;
  for (std::size_t k = 0; k < shares.size(); ++k) all += concat(k > 0 ? ", " : "", names[k], ' ', decimals(shares[k], 2));
  return all;
}

inline void print_scores(std::ostream& out, const std::vector<Contrast>& contrasts, const std::vector<ContrastScores>& scores, std::size_t scale, bool decoded) {
  Table classes({"", "Real", decoded ? "round trip" : "", "Cond", "95 %", "of ceiling", "each class", "Null", "Prior", "everybody"});
  Table numbers({"", "r: real", decoded ? "round trip" : "", "Cond", "slope: real", decoded ? "round trip" : "", "Cond", "bias: real", decoded ? "round trip" : "", "Cond", "MAE", "Null", "Prior"});
  for (std::size_t k = 0; k < contrasts.size(); ++k) {
    const Contrast& c = contrasts[k];
    const ContrastScores& s = scores[k];
    if (c.classes.empty()) {
      const NumberScore &real = s.real_number, &trip = s.ceiling_number, &asked = s.asked_number[scale];
      if (real.n == 0) continue;
      const auto trips = [&](double v, int digits) { return decoded ? decimals(v, digits) : std::string(); };
      numbers.row(c.name, decimals(real.r), trips(trip.r, 3), decimals(asked.r), decimals(real.slope, 2), trips(trip.slope, 2), decimals(asked.slope, 2), decimals(real.bias, 1), trips(trip.bias, 1),
                  decimals(asked.bias, 1), decimals(asked.mae, 1), concat(decimals(s.null_number.mean, 1), " +- ", decimals(s.null_number.deviation, 1)),
                  concat(decimals(s.prior_number[0], 1), " +- ", decimals(s.prior_number[1], 1)));
      continue;
    }
    const double ceiling = s.ceiling.balanced_accuracy(), asked = s.asked[scale].balanced_accuracy();
    if (!std::isfinite(asked)) continue;
    std::string each;
    for (std::size_t i = 0; i < c.classes.size(); ++i) each += concat(i > 0 ? ", " : "", c.classes[i], ' ', decimals(s.asked[scale].recall[i].share(), 2));
    classes.row(c.name, decimals(s.real.balanced_accuracy()), decoded ? decimals(ceiling) : "", decimals(asked), interval_of(s.asked[scale].interval()), decimals(asked / ceiling, 2), each,
                c.of_groups ? "-" : share_text(s.null, c.classes), prior_text(s.prior, c.classes), c.of_groups ? "-" : share_text(s.everybody, c.classes));
  }
  if (!classes.empty()) classes.print(out);
  if (!classes.empty() && !numbers.empty()) out << '\n';
  if (!numbers.empty()) numbers.print(out);
}

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
inline void require_fair_probe(const SavedProbe& probe, const std::string& path, const ControllabilityPlan& plan, const Manifest& manifest) {
  if (probe.people.empty())
    throw Error(ErrorKind::argument, "probe.people", "the probes do not say on whom they were fitted, so nobody knows whether these people are unseen: fit them again (probe --save)", path);
  const std::set<std::string> people(probe.people.begin(), probe.people.end());
  std::vector<std::string> seen;
  for (const Index i : plan.test) {
    const std::string& subject = manifest.scans[static_cast<std::size_t>(i)].subject_id;
    if (people.contains(person_key(canonical_value("subject_id", subject))) && std::find(seen.begin(), seen.end(), subject) == seen.end()) seen.push_back(subject);
  }
  if (!seen.empty())
    throw Error(ErrorKind::argument, "probe.people", concat("the probes were fitted on ", seen.size(), " of the people that should be unseen: ", braing3n::detail::some_of(seen)), path);
}

}  // namespace detail

inline int evaluate_controllability(const Program& program, const ControllabilityArguments& a) {
  using namespace detail;
  const CommonOptions& common = program.common;
  const std::filesystem::path out = a.out;
  if (a.n < 2 || a.n > 100000) fail(ErrorKind::argument, "evaluate.n", "--n ", a.n, ": expected 2 to 100000");
  if (a.steps < 1 || a.steps > 100000) fail(ErrorKind::argument, "sample.steps", "--steps ", a.steps, ": expected 1 to 100000");
  if (a.cfg.empty()) fail(ErrorKind::argument, "guidance.scale", "--cfg has no scale");
  for (std::size_t k = 0; k < a.cfg.size(); ++k) {
    require_guidance(a.cfg[k]);
    if (std::find(a.cfg.begin(), a.cfg.begin() + static_cast<std::ptrdiff_t>(k), a.cfg[k]) != a.cfg.begin() + static_cast<std::ptrdiff_t>(k))
      fail(ErrorKind::argument, "guidance.scale", "--cfg has ", a.cfg[k], " twice");
  }
  if (!common.force && std::filesystem::exists(out / "controllability.json"))
    throw Error(ErrorKind::file, "file.exists", "exists already; --force replaces it", (out / "controllability.json").string());
  std::set<std::string> spent;
  for (const std::string& path : a.chosen_with) spent.merge(readers_of_report(path));

  const auto ctx = make_cpu_context(common);
  const SampleArms models(*ctx, a.model, a.tokenizer);
  ManifestOptions read;
  read.pattern = a.pattern;
  const Manifest manifest = read_manifest(std::filesystem::path(a.data), read);
  const ControllabilityPlan plan(models.conditions(), manifest, read_split(a.split), a);
  std::optional<SavedProbe> saved;
  std::string saved_hash;
  if (!a.probe.empty()) {
    saved = read_saved_probe(a.probe);
    FeatureTable table;
    table.columns = models.tokenizer().model.config.encoder.width;
    table.path = a.tokenizer;
    table.set_contract(feature_contract(models.contract(), "tokenizer", models.tokenizer().hash, "encoder", "mean").dump());
    require_same_features(*saved, table);
    require_fair_probe(*saved, a.probe, plan, manifest);
    const MappedFile file(a.probe);
    saved_hash = sha256_hex({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()});
  }
  const std::vector<Index> fit_rows = reader_rows(plan, a);
  if (fit_rows.empty()) fail(ErrorKind::argument, "evaluate.reader", "--reader-scans ", a.reader_scans, ": not even one person fits");

  std::vector<std::filesystem::path> paths;
  for (const ScanRow& s : manifest.scans) paths.push_back(s.path);
  const VolumeSource source = scan_source(std::move(paths), models.contract(), false);
  ScanFailures failures;
  Progress reading("scans and round trips", static_cast<Index>(fit_rows.size() + plan.test.size()), common.quiet);
  const ScanFeatures train = models.scans(source, fit_rows, true, failures, {}, &reading), test = models.scans(source, plan.test, true, failures, {}, &reading);
  reading.close();
  for (const auto& [row, reason] : failures) std::cerr << "evaluate: left out " << manifest.scans[static_cast<std::size_t>(row)].volume_id << ": " << reason << '\n';

  // Readers first: if one of them may not score, nothing is sampled.
  const std::set<std::string> wanted(a.readers.begin(), a.readers.end());
  const bool both = wanted.contains("both");
  std::vector<ReaderKind> kinds;
  if (both || wanted.contains("round-trip"))
    kinds.push_back({.name = "round-trip", .text = "a probe per modality on mean and deviation of the tokens, fitted on round trips of training scans", .round_trips = true});
  if (both || wanted.contains("real")) kinds.push_back({.name = "real", .text = "one probe for all modalities on the mean of the tokens, fitted on training scans", .means_only = true, .grouped = false});
  if (wanted.contains("latents")) kinds.push_back({.name = "latents", .text = "a probe per modality on mean and deviation of the latents, before any decoding, fitted on those of training scans", .latents = true});
  ControllabilityScores scorer(*ctx, plan, train, test);
  std::vector<std::vector<ContrastScores>> scores;
  for (const ReaderKind& kind : kinds) scores.push_back(scorer.fit(kind));
  if (saved) {
    kinds.push_back({.name = "probe", .text = concat("saved probes, ", a.probe), .means_only = true, .grouped = false, .saved = true});
    scores.emplace_back(plan.contrasts.size());
    for (ContrastScores& s : scores.back()) s.hash = saved_hash;
  }
  for (std::size_t r = 0; r < kinds.size(); ++r)
    for (std::size_t k = 0; k < plan.contrasts.size(); ++k) {
      if (spent.contains(scores[r][k].hash))
        fail(ErrorKind::argument, "evaluate.spent", "reader ", kinds[r].name, ", ", plan.contrasts[k].name, ": it chose the guidance (--chosen-with) and may not score; ",
             kinds[r].saved ? "give other probes" : "fit readers on the other half of the people (--reader-half)");
      if (!scores[r][k].converged) std::cerr << "evaluate: reader " << kinds[r].name << ", " << plan.contrasts[k].name << ": the fit did not converge\n";
    }
  for (std::size_t r = 0; r < kinds.size(); ++r) scorer.score_scans(kinds[r], saved ? &*saved : nullptr, scores[r]);

  // The arms, once per scale; those on which guidance has nothing to act once in all.
  SamplingOptions sampling;
  sampling.sampler = a.sampler == "heun" ? Sampler::heun : Sampler::euler;
  sampling.steps = static_cast<int>(a.steps);
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
        const Arm arm{.name = p.name, .conditions = [&p](Index i) { return p.rows[static_cast<std::size_t>(i)]; }, .n = std::ssize(p.rows), .guidance = {.scale = a.cfg[s]}, .first = p.first};
        ArmSamples samples = models.sample(arm, a.seed, sampling, [&](Index i, const Tensor<float, Cpu>& decoded, const Tensor<float, Cpu>&) {
          if (i < (p.guided && scales > 1 ? 1 : columns)) shown[k].push_back(decoded.clone());
        }, &sampling_progress);
        empty += samples.empty;
        samples.latents.clear();
        samples.latents.shrink_to_fit();
        (p.guided ? made[k] : fixed[k]) = std::move(samples);
      }
      all.push_back(p.guided ? &made[k] : &fixed[k]);
    }
    for (std::size_t r = 0; r < kinds.size(); ++r) scorer.score_samples(kinds[r], saved ? &*saved : nullptr, all, s == 0, scores[r]);
  }
  sampling_progress.close();

  // Tables.
  std::ostringstream text;
  text << a.n << " SYNTHETIC samples per class, " << a.steps << " steps (" << a.sampler << "), seed " << a.seed << "; readers fitted on " << train.rows.size() << " scans of the set "
       << in_quotes(a.train) << ", " << test.rows.size() << " unseen scans of the set " << in_quotes(a.test) << '\n';
  if (empty > 0) text << empty << " samples have no brain\n";
  for (const auto& [what, why] : plan.left_out) text << "left out: " << what << ": " << why << '\n';
  text << "\nReal, round trip: balanced accuracy on unseen scans and on their round trips, the ceiling of samples. Cond: on samples of which the class was asked. Null: how often\n"
          "samples without conditions (but the modality) are read as the class named; Prior: its share among the training people with one of the classes; everybody:\n"
          "how often round trips of all unseen people are read so, whatever they have: what Null should be where most people have neither class.\n";
  for (std::size_t r = 0; r < kinds.size(); ++r)
    for (std::size_t s = 0; s < a.cfg.size(); ++s) {
      text << "\nReader " << kinds[r].name << " (" << kinds[r].text << "), guidance " << a.cfg[s] << "\n\n";
      print_scores(text, plan.contrasts, scores[r], s, !kinds[r].latents);
    }
  std::cout << text.str();

  std::filesystem::create_directories(out);
  const WriteOptions write{.overwrite = common.force};
  ControllabilityCsv csv(out / "controllability.csv", write);
  Json json = {{"kind", "braing3n controllability"}, {"version", version()}, {"model", {{"file", a.model}, {"hash", models.dit().hash}}},
               {"tokenizer", {{"file", a.tokenizer}, {"hash", models.tokenizer().hash}}}, {"n", a.n}, {"steps", a.steps}, {"sampler", a.sampler}, {"seed", a.seed}, {"cfg", a.cfg},
               {"reader_scans", train.rows.size()}, {"unseen_scans", test.rows.size()}, {"reader_half", a.half}, {"features", models.recipe()}, {"samples_without_brain", empty},
               {"left_out", Json::array()}, {"readers", Json::object()}};
  for (const auto& [what, why] : plan.left_out) json["left_out"].push_back({{"contrast", what}, {"reason", why}});
  for (std::size_t r = 0; r < kinds.size(); ++r) {
    const std::string& reader = kinds[r].name;
    json["readers"][reader] = Json::object();
    for (std::size_t k = 0; k < plan.contrasts.size(); ++k) {
      const Contrast& c = plan.contrasts[k];
      const ContrastScores& s = scores[r][k];
      if (kinds[r].saved && saved_task(*saved, c, plan) == nullptr) continue;
      Json entry = {{"hash", s.hash}, {"converged", s.converged}, {"modalities", Json::array()}, {"cond", Json::object()}};
      for (const std::int32_t g : c.groups) entry["modalities"].push_back(plan.group_names[static_cast<std::size_t>(g)]);
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
        const std::string scale = braing3n::detail::number_text(a.cfg[g]);
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
  for (const auto& [name, content] : {std::pair{"controllability.json", json.dump(2) + "\n"}, std::pair{"tables.txt", text.str()}}) {
    AtomicFile file(out / name, write);
    file.write(content);
    file.commit();
  }
  std::vector<Image> tiles;
  std::vector<std::string> captions;
  for (std::size_t k = 0; k < shown.size(); ++k)
    for (std::size_t i = 0; i < shown[k].size(); ++i) {
      tiles.push_back(preview_rows(*ctx, models.contract(), shown[k][i], {shown[k][i]})[0]);
      captions.push_back(plan.arms[k].guided && scales > 1 ? concat(plan.arms[k].name, ", guidance ", a.cfg[i]) : plan.arms[k].name);
    }
  write_png(out / "montage.png", montage(tiles, columns, captions), write);
  return failures.empty() ? exit_done : exit_some_failed;
}

}  // namespace braing3n::examples
