// What the study of controllability tests: contrasts, the arms of samples, the scans of the training and of the unseen subjects.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/data/label_schema.hpp"
#include "braing3n/data/split.hpp"
#include "braing3n/eval/grouped_probe.hpp"
#include "braing3n/study/controllability_arms.hpp"
#include "braing3n/study/controllability_result.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Tumour classes of the disease condition.
inline bool is_tumour(const std::string& disease) { return disease == "GBM" || disease == "glioma"; }

/// Everything that is the same for all probes.
class ControllabilityPlan : public ArmPlan {
 public:
  std::vector<Contrast> contrasts;
  std::vector<std::size_t> null_arms;        // one per modality
  std::vector<ContrastLeftOut> left_out;     // what cannot be tested
  std::vector<std::int32_t> group, subject;  // per scan; group -1: a modality that the model does not know
  std::vector<Index> train, test;            // scans

  /// Throws Error (argument): a contrast that does not exist, none that can be tested; (format): a set without subjects, no modality column.
  ControllabilityPlan(const std::vector<ConditionField>& fields, const Manifest& manifest, const Split& split,
                      const ControllabilityOptions& options)
      : ArmPlan(fields, options.n), manifest_(manifest) {
    train = rows_of(manifest, split, options.train);
    test = rows_of(manifest, split, options.test);
    require_other_set(options.train, options.test, "is scored: no probe may be fitted on it");
    std::map<std::string, std::int32_t> codes;
    for (const std::string& s : manifest.subjects()) codes.emplace(s, static_cast<std::int32_t>(codes.size()));
    for (const ScanRow& s : manifest.scans) subject.push_back(codes.at(s.subject_id));
    find_groups();
    for (std::int32_t g = 0; g < std::ssize(group_names); ++g)
      if (exists(g))
        null_arms.push_back(
            arm(group_name(g).empty() ? "no conditions" : concat("modality=", group_name(g)), {base()}, {g}));
    for (const std::string& name : options.contrasts) add(name);
    if (contrasts.empty())
      fail(ErrorKind::argument, "evaluate.contrasts",
           "no contrast can be tested: ", joined(left_out, "; ", [](const ContrastLeftOut& item) {
             return concat(item.contrast, ": ", item.reason);
           }));
    number_samples();
  }

  /// Weights of the training scans for a prior: each modality in which the contrast is tested counts the same.
  std::vector<double> prior_weights(const Contrast& c) const {
    std::vector<bool> labelled(manifest_.scans.size(), false);
    for (const Index i : train)
      labelled[static_cast<std::size_t>(i)] = c.classes.empty() ? !std::isnan(c.number[static_cast<std::size_t>(i)])
                                                                : c.label[static_cast<std::size_t>(i)] >= 0;
    return mix_weights(group, labelled, c.groups);
  }

 private:
  void find_groups() {
    if (!modality()) {
      group.assign(manifest_.scans.size(), 0);
      return;
    }
    if (!manifest_.find_field("modality"))
      throw Error(ErrorKind::format, "evaluate.modality",
                  "the model has the condition modality, the table has no such column", manifest_.path.string());
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
  void leave_out(const std::string& contrast, const std::string& reason) { left_out.push_back({contrast, reason}); }

  [[noreturn]] void unknown(const std::string& name) const {
    std::string known = "tumour";
    for (const ConditionField& f : fields()) known += ", " + f.name;
    if (const auto f = field("disease")) known += ", and A-B with A and B among " + joined(fields()[*f].values);
    fail(ErrorKind::argument, "evaluate.contrast", "there is no contrast ", in_quotes(name, 60), "; known: ", known,
         "; @MODALITY after it for one modality");
  }

  void add(const std::string& text) {
    const std::size_t at = text.find('@');
    const std::string name = text.substr(0, at);
    Contrast c;
    c.name = text;
    for (std::int32_t g = 0; g < std::ssize(group_names); ++g)
      if (exists(g) && (at == std::string::npos || group_name(g) == text.substr(at + 1))) c.groups.insert(g);
    if (at != std::string::npos &&
        std::find(group_names.begin(), group_names.end(), text.substr(at + 1)) == group_names.end())
      unknown(text);
    for (const Contrast& other : contrasts)
      if (other.name == text)
        fail(ErrorKind::argument, "evaluate.contrast", "contrasts: expected each once, got ", text, " twice");
    if (c.groups.empty()) return leave_out(text, "no scans of that modality in both sets");
    const auto f = field(name);
    if (name == "tumour" || (!f && name.find('-') != std::string::npos)) return add_diseases(std::move(c), name);
    if (!f) {
      static const std::set<std::string> usual = {"sex", "modality", "idh1", "age", "site"};
      if (!usual.contains(name)) unknown(text);
      return leave_out(text, "the model has no such condition");
    }
    c.field = name;
    if (!manifest_.find_field(name)) return leave_out(text, "the table has no such column");
    if (fields()[*f].kind == ConditionKind::continuous) return add_number(std::move(c), *f);
    if (modality() && *f == *modality()) return add_modality(std::move(c));
    add_classes(std::move(c), *f);
  }

  /// Two diseases, or with and without a tumour.
  void add_diseases(Contrast c, const std::string& name) {
    const bool tumour = name == "tumour";
    const std::size_t dash = name.find('-');
    const auto disease = field("disease");
    c.field = "disease";
    c.classes = tumour ? std::vector<std::string>{"absent", "present"}
                       : std::vector<std::string>{name.substr(0, dash), name.substr(dash + 1)};
    if (!tumour) {  // an unknown name is an error; a disease that this model lacks is left out
      const LabelSchema schema = LabelSchema::standard();
      for (const std::string& v : c.classes)
        if (!is_known(*schema.find("disease"), v) && (!disease || value_of(fields()[*disease].values, v) < 0))
          unknown(c.name);
    }
    if (!disease || !manifest_.find_field("disease")) return leave_out(c.name, "the model or the table has no disease");
    const auto values = tumour ? tumour_values(fields()[*disease]) : pair_values(fields()[*disease], c.classes);
    for (std::size_t k = 0; k < 2; ++k)
      if (values[k].empty())
        return leave_out(c.name,
                         concat("the model does not know ", tumour ? "a disease with tumour " : "", c.classes[k]));
    for (Index i = 0; i < manifest_.size(); ++i) {
      const auto d = manifest_.text(i, "disease");
      c.label.push_back(tumour ? (d ? static_cast<std::int32_t>(is_tumour(*d)) : -1) : value_of(c.classes, d));
    }
    if (!enough(c)) return;
    for (std::int32_t k = 0; k < 2; ++k)
      c.arms.emplace_back(value_arm(*disease, values[static_cast<std::size_t>(k)], c.groups), k);
    add_both(c);
  }

  using ValuePair = std::array<std::vector<std::int32_t>, 2>;  // of the two classes
  static ValuePair pair_values(const ConditionField& disease, const std::vector<std::string>& pair) {
    ValuePair values;
    for (std::int32_t v = 0; v < disease.classes(); ++v)
      for (std::size_t k = 0; k < 2; ++k)
        if (disease.values[static_cast<std::size_t>(v)] == pair[k]) values[k].push_back(v);
    return values;
  }
  /// Subjects without a tumour: the healthy ones where the model knows that class.
  static ValuePair tumour_values(const ConditionField& disease) {
    ValuePair values;
    for (std::int32_t v = 0; v < disease.classes(); ++v) {
      const std::string& d = disease.values[static_cast<std::size_t>(v)];
      if (is_tumour(d)) values[1].push_back(v);
      else if (values[0].empty() || d == "HC") values[0] = {v};
    }
    return values;
  }

  void add_classes(Contrast c, std::size_t f) {
    const std::vector<std::int32_t> kept = keep_classes(c, f);
    if (kept.size() < 2) return leave_out(c.name, "fewer than two classes");
    if (c.field == "idh1") return add_by_modality(c, f, kept);
    if (!enough(c)) return;
    ask_classes(c, f, kept);
    contrasts.push_back(std::move(c));
  }

  /// Labels of a condition's classes. Classes without a subject in the sets are left out; the others keep their order and are returned.
  std::vector<std::int32_t> keep_classes(Contrast& c, std::size_t f) {
    const std::vector<std::string>& values = fields()[f].values;
    for (Index i = 0; i < manifest_.size(); ++i) c.label.push_back(value_of(values, manifest_.text(i, c.field)));
    std::vector<std::int32_t> kept, place(values.size(), -1);
    for (std::int32_t v = 0; v < std::ssize(values); ++v) {
      const auto is = [&](Index i) {
        return c.label[static_cast<std::size_t>(i)] == v && c.groups.contains(group[static_cast<std::size_t>(i)]);
      };
      const std::string& name = values[static_cast<std::size_t>(v)];
      if (!some(train, is) || !some(test, is)) {
        leave_out(concat(c.name, ": ", name), "not in both sets");
        continue;
      }
      place[static_cast<std::size_t>(v)] = static_cast<std::int32_t>(kept.size());
      kept.push_back(v);
      c.classes.push_back(name);
    }
    for (std::int32_t& l : c.label) l = l < 0 ? -1 : place[static_cast<std::size_t>(l)];
    return kept;
  }

  void ask_classes(Contrast& c, std::size_t f, const std::vector<std::int32_t>& kept) {
    for (std::size_t k = 0; k < kept.size(); ++k)
      c.arms.emplace_back(value_arm(f, {kept[k]}, c.groups), static_cast<std::int32_t>(k));
  }

  /// Modalities differ in what they show of it: each has its own arms and its own line of the table, besides all together.
  void add_by_modality(const Contrast& c, std::size_t f, const std::vector<std::int32_t>& kept) {
    Contrast all = c;
    all.groups.clear();
    for (const std::int32_t g : c.groups) {
      Contrast one = c;
      one.groups = {g};
      one.name = group_name(g).empty() ? c.field : concat(c.field, '@', group_name(g));
      if (!enough(one)) continue;
      ask_classes(one, f, kept);
      all.groups.insert(g);
      all.arms.insert(all.arms.end(), one.arms.begin(), one.arms.end());
      add_both(one);
    }
    if (all.groups.size() > 1) add_both(all);
  }

  /// For classes of unequal frequency: besides the plain probe one that gives every class the same weight.
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
      if (const double v = c.number[static_cast<std::size_t>(i)]; v >= fields()[f].minimum && v <= fields()[f].maximum)
        low = std::min(low, v), high = std::max(high, v);
    const auto known = [&](Index i) {
      return !std::isnan(c.number[static_cast<std::size_t>(i)]) &&
             c.groups.contains(group[static_cast<std::size_t>(i)]);
    };
    if (!(low < high) || !some(test, known))
      return leave_out(c.name, "expected two different values in the training set and one in the test set");
    c.condition = f;
    c.arms.emplace_back(range_arm(f, low, high, c.groups), 0);
    contrasts.push_back(std::move(c));
  }

  void add_modality(Contrast c) {
    if (c.groups.size() < 2) return leave_out(c.name, "fewer than two modalities in both sets");
    c.of_groups = true;
    std::vector<std::int32_t> place(group_names.size(), -1);
    for (const std::int32_t g : c.groups) {
      place[static_cast<std::size_t>(g)] = static_cast<std::int32_t>(c.classes.size());
      c.classes.push_back(group_name(g));
      for (const std::size_t k : null_arms)
        if (arms[k].group[0] == g) c.arms.emplace_back(k, place[static_cast<std::size_t>(g)]);
    }
    for (const std::int32_t g : group) c.label.push_back(g < 0 ? -1 : place[static_cast<std::size_t>(g)]);
    contrasts.push_back(std::move(c));
  }

  /// Leaves out modalities with too few subjects of a class to fit a probe. Returns whether one is left.
  bool enough(Contrast& c) {
    const auto classes = static_cast<std::int32_t>(c.classes.size());
    const GroupedProbeOptions fewest;
    for (const std::int32_t g : std::set<std::int32_t>(c.groups))
      for (std::int32_t k = 0; k < classes; ++k) {
        const auto is = [&](Index i) {
          return c.label[static_cast<std::size_t>(i)] == k && group[static_cast<std::size_t>(i)] == g;
        };
        const auto learns = std::count_if(train.begin(), train.end(), is),
                   unseen = std::count_if(test.begin(), test.end(), is);
        if (learns >= fewest.fewest && unseen > 0) continue;
        c.groups.erase(g);
        leave_out(c.name, concat(learns, " scans of ", c.classes[static_cast<std::size_t>(k)],
                                 group_name(g).empty() ? "" : concat(" in ", group_name(g)), " to fit a probe on and ",
                                 unseen, " to test it, expected ", fewest.fewest, " and 1"));
        break;
      }
    return !c.groups.empty();
  }

  const Manifest& manifest_;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
