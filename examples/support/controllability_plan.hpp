// What `evaluate controllability` asks for: contrasts, the arms of samples that ask, and the people on both sides.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/data/condition_labels.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/eval/controllability.hpp"
#include "braing3n/eval/grouped_reader.hpp"
#include "braing3n/report/chart.hpp"
#include "examples/support/cohort_arguments.hpp"
#include "examples/support/sampling_arguments.hpp"

namespace braing3n::examples {

struct ControllabilityArguments {
  std::string model, tokenizer, train = "train", test = "test", half = "all", probe, own_scales, out;
  CohortArguments cohort;
  SamplerArguments sampler{.steps = 25};
  std::vector<std::string> contrasts{"HC-AD", "MCI-AD", "HC-MCI", "HC-PD", "sex", "modality", "tumour", "idh1", "age"},
      readers{"round-trip", "real", "latents"}, chosen_with;
  std::vector<double> cfg{1, 1.5, 2, 3};
  Index n = 64, reader_scans = 1600;
  std::uint64_t seed = 2025;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a diffusion transformer: its file, or the folder of its training")->required();
    app.add_option("--tokenizer", tokenizer, "the tokenizer whose latents it learnt")->required();
    cohort.add_to(app);
    app.add_option("--train", train, "the set on which readers are fitted: people that trained the generator");
    app.add_option("--test", test, "the set of unseen people");
    app.add_option("--contrasts", contrasts,
                   "A-B (two values of disease), tumour, or a condition's name; NAME@MODALITY asks in that one only")
        ->delimiter(',');
    app.add_option("--n", n, "samples per class (idh1: and modality)");
    app.add_option("--cfg", cfg, "guidance scales, each with a table")->delimiter(',');
    app.add_option("--cfg-of", own_scales,
                   "NAME=SCALE,...: conditions that are guided with a scale of their own in every table");
    sampler.add_to(app);
    app.add_option("--readers", readers, "round-trip, real, latents, tokens; both: the first two")
        ->delimiter(',')
        ->check(CLI::IsMember({"round-trip", "real", "latents", "tokens", "both"}));
    app.add_option("--reader-scans", reader_scans, "scans on which readers are fitted, at most (whole people)");
    app.add_option("--reader-half", half,
                   "people on whom readers are fitted: one half may choose the guidance, the other score")
        ->check(CLI::IsMember({"all", "first", "second"}));
    app.add_option("--probe", probe, "saved probes (probe --save, on features of this tokenizer) that read besides");
    app.add_option("--chosen-with", chosen_with,
                   "controllability.json of an earlier run that chose the guidance: its readers may not score");
    app.add_option("--seed", seed, "seed of the samples");
    app.add_option("--out", out, "folder for tables.txt, controllability.csv, controllability.json and montage.png")
        ->required();
  }
};

namespace detail {

/// Tumour classes of the disease condition.
inline bool is_tumour(const std::string& disease) { return disease == "GBM" || disease == "glioma"; }

/// Samples to make, the modalities taking turns.
struct PlannedArm {
  std::string name;
  std::vector<ConditionRow> rows;   // (n)
  std::vector<std::int32_t> group;  // (n): the modality of each
  std::uint32_t first = 0;          // number of the first sample
  bool guided = false;              // something is asked that guidance can act on
};

/// One thing that samples can be asked for, with the labels of every scan and the arms that ask.
struct Contrast {
  std::string name, field;
  std::size_t condition = 0;                 // of a number: its place among the model's conditions
  std::vector<std::string> classes;          // empty: a number
  bool balanced = false, of_groups = false;  // of_groups: the classes are the modalities
  std::set<std::int32_t> groups;             // modalities in which it is asked
  std::vector<std::int32_t> label;           // per scan
  std::vector<double> number;
  std::vector<std::pair<std::size_t, std::int32_t>> arms;  // and the class that each asks for
};

/// Everything that does not change from reader to reader.
class ControllabilityPlan {
 public:
  std::vector<Contrast> contrasts;
  std::vector<PlannedArm> arms;
  std::vector<std::size_t> null_arms;                         // one per modality
  std::vector<std::pair<std::string, std::string>> left_out;  // what, and why
  std::vector<std::string> group_names;
  std::vector<std::int32_t> group, person;  // per scan; group -1: a modality that the model does not know
  std::vector<Index> train, test;           // scans

  /// Throws Error (argument): a contrast that does not exist, none that can be asked; (format): no people in a set, no modality column.
  ControllabilityPlan(const std::vector<ConditionField>& fields, const Manifest& manifest, const Split& split,
                      const ControllabilityArguments& a)
      : fields_(fields), manifest_(manifest), n_(a.n) {
    train = rows_of(manifest, split, a.train);
    test = rows_of(manifest, split, a.test);
    require_other_set(a.train, a.test, "is scored: no reader may be fitted on it");
    std::map<std::string, std::int32_t> codes;
    for (const std::string& s : manifest.subjects()) codes.emplace(s, static_cast<std::int32_t>(codes.size()));
    for (const ScanRow& s : manifest.scans) person.push_back(codes.at(s.subject_id));
    find_groups();
    for (std::int32_t g = 0; g < std::ssize(group_names); ++g)
      if (exists(g))
        null_arms.push_back(arm(group_names[static_cast<std::size_t>(g)].empty()
                                    ? "no conditions"
                                    : concat("modality=", group_names[static_cast<std::size_t>(g)]),
                                {base()}, {g}));
    for (const std::string& name : a.contrasts) add(name);
    if (contrasts.empty()) {
      fail(ErrorKind::argument, "evaluate.contrasts", "nothing can be asked: ",
           joined(left_out, "; ", [](const auto& item) { return concat(item.first, ": ", item.second); }));
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
    for (const Index i : train)
      labelled[static_cast<std::size_t>(i)] = c.classes.empty() ? !std::isnan(c.number[static_cast<std::size_t>(i)])
                                                                : c.label[static_cast<std::size_t>(i)] >= 0;
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
    if (!manifest_.find_field("modality"))
      throw Error(ErrorKind::format, "evaluate.modality",
                  "the model has the condition modality, the table has no such column", manifest_.path.string());
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

  std::size_t arm(const std::string& name, const std::vector<ConditionRow>& alternatives,
                  const std::vector<std::int32_t>& groups) {
    std::string full = name;
    if (groups.size() < group_names.size() && !name.starts_with("modality="))
      for (const std::int32_t g : groups)
        full += concat(g == groups[0] ? " in " : ", ", group_names[static_cast<std::size_t>(g)]);
    for (std::size_t k = 0; k < arms.size(); ++k)
      if (arms[k].name == full) return k;
    PlannedArm p;
    p.name = full;
    const auto turns =
        std::ssize(alternatives) == n_ ? Index{1} : std::ssize(alternatives);  // every alternative in every modality
    for (Index i = 0; i < n_; ++i) {
      p.group.push_back(groups[static_cast<std::size_t>(i / turns % std::ssize(groups))]);
      p.rows.push_back(alternatives[static_cast<std::size_t>(i % std::ssize(alternatives))]);
      if (modality_) p.rows.back()[*modality_].label = p.group.back();
      for (std::size_t f = 0; f < fields_.size(); ++f)
        p.guided = p.guided || (!fields_[f].required && !p.rows.back()[f].missing() && !(modality_ && f == *modality_));
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
      for (std::size_t v = 0; v < fields_[*f].values.size(); ++v)
        known += concat(v > 0 ? ", " : "", fields_[*f].values[v]);
    }
    fail(ErrorKind::argument, "evaluate.contrast", "there is no contrast ", in_quotes(name, 60), "; known: ", known,
         "; @MODALITY after it for one modality");
  }

  void add(const std::string& text) {
    const std::size_t at = text.find('@');
    const std::string name = text.substr(0, at);
    std::set<std::int32_t> groups;
    for (std::int32_t g = 0; g < std::ssize(group_names); ++g)
      if (exists(g) && (at == std::string::npos || group_names[static_cast<std::size_t>(g)] == text.substr(at + 1)))
        groups.insert(g);
    if (at != std::string::npos &&
        std::find(group_names.begin(), group_names.end(), text.substr(at + 1)) == group_names.end())
      unknown(text);
    for (const Contrast& c : contrasts)
      if (c.name == text) fail(ErrorKind::argument, "evaluate.contrast", "--contrasts has ", text, " twice");
    if (groups.empty()) return left_out.emplace_back(text, "no scans of that modality in both sets"), void();

    Contrast c;
    c.name = text;
    c.groups = groups;
    const auto disease = field("disease");
    const std::size_t dash = name.find('-');
    if (name == "tumour" || (!field(name) && dash != std::string::npos)) {
      const std::vector<std::string> pair = name == "tumour"
                                                ? std::vector<std::string>{"absent", "present"}
                                                : std::vector<std::string>{name.substr(0, dash), name.substr(dash + 1)};
      if (name != "tumour") {  // a name that nobody knows is a mistake; one that this model lacks is left out
        const LabelSchema schema = LabelSchema::standard();
        for (const std::string& v : pair)
          if (!is_known(*schema.find("disease"), v) && (!disease || value_of(fields_[*disease].values, v) < 0))
            unknown(text);
      }
      if (!disease || !manifest_.find_field("disease"))
        return left_out.emplace_back(text, "the model or the table has no disease"), void();
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
        if (values[k].empty())
          return left_out.emplace_back(text, concat("the model does not know ",
                                                    name == "tumour" ? "a disease with tumour " : "", pair[k])),
                 void();
      for (Index i = 0; i < manifest_.size(); ++i) {
        const auto d = manifest_.text(i, "disease");
        c.label.push_back(name == "tumour" ? (d ? static_cast<std::int32_t>(is_tumour(*d)) : -1) : value_of(pair, d));
      }
      if (!enough(c)) return;
      for (std::int32_t k = 0; k < 2; ++k)
        c.arms.emplace_back(value_arm(*disease, values[static_cast<std::size_t>(k)], c.groups), k);
      add_both(c);
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
      const auto is = [&](Index i) {
        return c.label[static_cast<std::size_t>(i)] == v && c.groups.contains(group[static_cast<std::size_t>(i)]);
      };
      if (some(train, is) && some(test, is))
        place[static_cast<std::size_t>(v)] = static_cast<std::int32_t>(kept.size()), kept.push_back(v);
      else left_out.emplace_back(concat(text, ": ", c.classes[static_cast<std::size_t>(v)]), "not in both sets");
    }
    for (std::int32_t& l : c.label) l = l < 0 ? -1 : place[static_cast<std::size_t>(l)];
    std::vector<std::string> names;
    for (const std::int32_t v : kept) names.push_back(c.classes[static_cast<std::size_t>(v)]);
    c.classes = names;
    if (kept.size() < 2) return left_out.emplace_back(text, "fewer than two classes"), void();
    if (name != "idh1") {
      if (!enough(c)) return;
      for (std::size_t k = 0; k < kept.size(); ++k)
        c.arms.emplace_back(value_arm(*f, {kept[k]}, c.groups), static_cast<std::int32_t>(k));
      contrasts.push_back(std::move(c));
      return;
    }
    // Modalities differ in what they show of it: each has arms of its own, and a table line, besides all together.
    Contrast all = c;
    all.groups.clear();
    for (const std::int32_t g : c.groups) {
      Contrast one = c;
      one.groups = {g};
      one.name = group_names[static_cast<std::size_t>(g)].empty()
                     ? name
                     : concat(name, '@', group_names[static_cast<std::size_t>(g)]);
      if (!enough(one)) continue;
      for (std::size_t k = 0; k < kept.size(); ++k)
        one.arms.emplace_back(value_arm(*f, {kept[k]}, one.groups), static_cast<std::int32_t>(k));
      all.groups.insert(g);
      all.arms.insert(all.arms.end(), one.arms.begin(), one.arms.end());
      add_both(one);
    }
    if (all.groups.size() > 1) add_both(all);
  }

  /// Classes that are not as common as each other: beside the plain reader one that counts every class the same.
  void add_both(const Contrast& c) {
    contrasts.push_back(c);
    contrasts.push_back(c);
    contrasts.back().balanced = true;
    contrasts.back().name += ", balanced";
  }

  void add_number(Contrast c, std::size_t f) {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (Index i = 0; i < manifest_.size(); ++i)
      c.number.push_back(manifest_.number(i, c.field).value_or(not_a_number));
    for (const Index i : train)
      if (const double v = c.number[static_cast<std::size_t>(i)]; v >= fields_[f].minimum && v <= fields_[f].maximum)
        low = std::min(low, v), high = std::max(high, v);
    const auto known = [&](Index i) {
      return !std::isnan(c.number[static_cast<std::size_t>(i)]) &&
             c.groups.contains(group[static_cast<std::size_t>(i)]);
    };
    if (!(low < high) || !some(test, known))
      return left_out.emplace_back(c.name, "no two values among the training people, or none among the others"), void();
    std::vector<ConditionRow> rows;
    for (Index i = 0; i < n_; ++i) {
      rows.push_back(base());
      rows.back()[f] = {.number = low + (high - low) * static_cast<double>(i) / static_cast<double>(n_ - 1)};
    }
    c.condition = f;
    c.arms.emplace_back(arm(concat(c.field, ' ', decimals(low, 0), " to ", decimals(high, 0)), rows,
                            {c.groups.begin(), c.groups.end()}),
                        0);
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
        const auto is = [&](Index i) {
          return c.label[static_cast<std::size_t>(i)] == k && group[static_cast<std::size_t>(i)] == g;
        };
        const auto learns = std::count_if(train.begin(), train.end(), is),
                   unseen = std::count_if(test.begin(), test.end(), is);
        if (learns >= fewest.fewest && unseen > 0) continue;
        c.groups.erase(g);
        why = concat(learns, " scans of ", c.classes[static_cast<std::size_t>(k)],
                     group_names[static_cast<std::size_t>(g)].empty()
                         ? ""
                         : concat(" in ", group_names[static_cast<std::size_t>(g)]),
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

}  // namespace detail

}  // namespace braing3n::examples
