// Conditions of a generative model, as data: which fields there are, what is known about a sample, and what training leaves unobserved.
//
// A field is categorical (a list of values) or continuous (a range); each has its own null, which stands for "unknown". Training
// replaces a known value by the null with the field's probability, independently, so that the model also learns the velocity without
// it (classifier-free guidance, Ho and Salimans 2022). A required field is never dropped and must be given.
// data/condition_labels.hpp makes conditions from tables and from what a user types.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/base/stream.hpp"
#include "braing3n/base/vocabulary.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class ConditionKind { categorical, continuous };

struct ConditionField {
  std::string name;
  ConditionKind kind = ConditionKind::categorical;
  std::vector<std::string> values;  // categorical: the known classes, in the order of the table rows
  double drop = 0.1;                // probability that training replaces the value by the null
  bool required = false;            // never dropped, no null row, must be given
  double minimum = 0, maximum = 0;  // continuous: the accepted range, in the field's unit

  Index classes() const { return static_cast<Index>(values.size()); }

  static void visit(auto& self, auto&& v) {
    v("name", self.name);
    v("kind", self.kind);
    v("values", self.values);
    v("drop", self.drop);
    v("required", self.required);
    v("minimum", self.minimum);
    v("maximum", self.maximum);
  }
};

/// The paper's six conditions. The names of its 8 diseases and 19 sites are not all published: docs/architecture.md.
inline std::vector<ConditionField> paper_conditions() {
  using K = ConditionKind;
  std::vector<std::string> sites;
  for (const char* site :
       {"ADNI", "PPMI", "NKI-RS", "UPENN-GBM", "HCP-YA", "HBN", "UCSF-PDGM", "BGSP", "ABIDE-II", "FCON1000", "IXI",
        "ABIDE-I", "SCHIZO", "ADHD-200", "CoRR", "OASIS-1", "OASIS-2", "NKI-RS2", "other"})
    sites.emplace_back(site);
  return {{"disease", K::categorical, names_of(paper_diseases)},
          {"sex", K::categorical, enum_names<Sex>()},
          {"modality", K::categorical, enum_names<Modality>(), 0.0, true},
          {"site", K::categorical, sites},
          {"age", K::continuous, {}, 0.1, false, 0.0, 120.0},
          {"idh1", K::categorical, enum_names<Idh1>()}};
}

/// The paper's five conditions of a follow-up: the diagnosis and the years from the baseline to it must be given; sex, age at the
/// baseline and the clinical dementia rating (0, 0.5, 1, 2, 3) may be unknown.
inline std::vector<ConditionField> longitudinal_conditions() {
  using K = ConditionKind;
  return {{"disease", K::categorical, names_of(std::array{Disease::HC, Disease::MCI, Disease::AD}), 0.0, true},
          {"years", K::continuous, {}, 0.0, true, 0.0, 20.0},
          {"sex", K::categorical, enum_names<Sex>()},
          {"age", K::continuous, {}, 0.1, false, 0.0, 120.0},
          {"cdr", K::continuous, {}, 0.1, false, 0.0, 3.0}};
}

/// Throws Error (config): names that are empty, repeat or cannot be part of a parameter's name; values that are empty or repeat; a
/// probability outside [0, 1); a required field that is dropped; an empty range.
inline void validate_conditions(const std::vector<ConditionField>& fields) {
  std::set<std::string> names;
  for (const ConditionField& f : fields) {
    const auto refuse = [&](const auto&... parts) {
      fail(ErrorKind::config, "conditions.field", "condition ", f.name.empty() ? "without a name" : f.name, ": ",
           parts...);
    };
    bool plain = !f.name.empty();
    for (const char c : f.name)
      plain =
          plain && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-');
    if (!plain) refuse("a name is made of letters, digits, _ and -");
    if (!names.insert(f.name).second) refuse("is there twice");
    if (!(f.drop >= 0 && f.drop < 1)) refuse("a drop probability of ", f.drop, ", expected a number in [0, 1)");
    if (f.required && f.drop != 0) refuse("is required, so its drop probability must be 0, it is ", f.drop);
    if (f.kind == ConditionKind::continuous) {
      if (!(std::isfinite(f.minimum) && std::isfinite(f.maximum) && f.minimum < f.maximum))
        refuse("a range from ", f.minimum, " to ", f.maximum);
      if (!f.values.empty()) refuse("is continuous, but lists values");
      continue;
    }
    if (f.values.empty()) refuse("is categorical and has no values");
    std::set<std::string> values;
    for (const std::string& v : f.values)
      if (v.empty() || !values.insert(v).second) refuse(v.empty() ? "has an empty value" : "has a value twice: ", v);
  }
}

/// What is known about one sample in one field.
struct ConditionValue {
  std::int32_t label = -1;                                   // categorical: the row of the value, -1: unknown
  double number = std::numeric_limits<double>::quiet_NaN();  // continuous: NaN is unknown

  bool missing() const { return label < 0 && std::isnan(number); }
};

/// One value per field.
using ConditionRow = std::vector<ConditionValue>;

/// The conditions of a batch, field by field, as a model takes them. Missing values are the null (label -1, or a NaN).
struct ConditionBatch {
  struct Field {
    std::vector<std::int32_t> labels;  // categorical, (N)
    std::vector<double> values;        // continuous, (N)
  };
  std::vector<Field> fields;  // in the order of the model's conditions
};

/// Throws Error (shape) for a row with another number of fields.
inline ConditionBatch condition_batch(const std::vector<ConditionField>& fields, std::span<const ConditionRow> rows) {
  ConditionBatch batch;
  batch.fields.resize(fields.size());
  for (const ConditionRow& row : rows) {
    if (row.size() != fields.size())
      fail(ErrorKind::shape, "conditions.count", "conditions: ", row.size(), " values for ", fields.size(), " fields");
    for (std::size_t f = 0; f < fields.size(); ++f) {
      if (fields[f].kind == ConditionKind::categorical) batch.fields[f].labels.push_back(row[f].label);
      else batch.fields[f].values.push_back(row[f].number);
    }
  }
  return batch;
}

/// How many combinations the values of the required categorical fields have: 1 without such fields.
inline Index required_classes(const std::vector<ConditionField>& fields) {
  Index classes = 1;
  for (const ConditionField& f : fields)
    if (f.required && f.kind == ConditionKind::categorical) classes *= f.classes();
  return classes;
}

/// The combination that each of n samples has, the last field running fastest. Throws Error (argument) where one is missing.
inline std::vector<std::int32_t> required_class(const std::vector<ConditionField>& fields, const ConditionBatch& batch,
                                                std::size_t n) {
  std::vector<std::int32_t> classes(n, 0);
  for (std::size_t f = 0; f < fields.size(); ++f) {
    if (!fields[f].required || fields[f].kind != ConditionKind::categorical) continue;
    const std::vector<std::int32_t>& labels = batch.fields[f].labels;
    for (std::size_t i = 0; i < n; ++i) {
      if (i >= labels.size() || labels[i] < 0)
        fail(ErrorKind::argument, "conditions.required", "condition ", fields[f].name, " must be given, sample ", i,
             " has none");
      classes[i] = classes[i] * static_cast<std::int32_t>(fields[f].classes()) + labels[i];
    }
  }
  return classes;
}

/// The other conditions as numbers, for linear models: a categorical field one per class (1 for the sample's own, 0 for the rest), a continuous
/// one z and z^2, z running from -1 to 1 over its range.
inline Index feature_count(const std::vector<ConditionField>& fields) {
  Index count = 0;
  for (const ConditionField& f : fields)
    count += f.kind == ConditionKind::continuous ? 2 : f.required ? 0 : f.classes();
  return count;
}

/// (n feature_count), NaN where nothing is known.
inline std::vector<double> condition_features(const std::vector<ConditionField>& fields, const ConditionBatch& batch,
                                              std::size_t n) {
  const auto width = static_cast<std::size_t>(feature_count(fields));
  std::vector<double> features(n * width);
  std::size_t at = 0;
  for (std::size_t f = 0; f < fields.size(); ++f) {
    const ConditionField& field = fields[f];
    if (field.kind == ConditionKind::categorical && field.required) continue;
    const auto columns = static_cast<std::size_t>(field.kind == ConditionKind::continuous ? 2 : field.classes());
    for (std::size_t i = 0; i < n; ++i) {
      double* to = features.data() + i * width + at;
      if (field.kind == ConditionKind::continuous) {
        to[0] = (2 * batch.fields[f].values.at(i) - field.minimum - field.maximum) / (field.maximum - field.minimum);
        to[1] = to[0] * to[0];
      } else {
        const std::int32_t label = batch.fields[f].labels.at(i);
        for (std::size_t c = 0; c < columns; ++c)
          to[c] = label < 0                              ? std::numeric_limits<double>::quiet_NaN()
                  : static_cast<std::size_t>(label) == c ? 1.0
                                                         : 0.0;
      }
    }
    at += columns;
  }
  return features;
}

/// The fields for which keep(f) is true, and the required ones; the others are null.
template <class Keep>
ConditionRow keep_conditions(const std::vector<ConditionField>& fields, ConditionRow row, Keep&& keep) {
  for (std::size_t f = 0; f < row.size(); ++f)
    if (!fields[f].required && !keep(f)) row[f] = {};
  return row;
}

/// The row with nothing but the required fields.
inline ConditionRow null_conditions(const std::vector<ConditionField>& fields, ConditionRow row) {
  return keep_conditions(fields, std::move(row), [](std::size_t) { return false; });
}

/// What training hides. Dropped one by one with p = 0.1 each, five fields are all null in one sample of 100,000; a model that is to
/// sample without conditions, or under a single one, or to be guided, must have seen that. The paper has neither of the two.
struct DropOptions {
  double all = 0;          // probability that every field that may be dropped is
  double all_but_one = 0;  // probability that a single one, among those known, stays

  static void visit(auto& self, auto&& v) {
    v("all", self.all);
    v("all_but_one", self.all_but_one);
  }
};

/// Which conditions of a sample are observed in a training step. It does not depend on the sample.
struct ObservedConditions {
  std::vector<bool> fields;            // (F), where no field is to stay alone
  std::optional<std::size_t> alone{};  // the field that stays
  std::uint32_t instead = 0;           // chooses among the known ones where that one is not known
};

/// For sample number `position` of the stream. Every draw has random numbers of its own: options and further fields do not change the
/// others.
inline ObservedConditions draw_observed(const std::vector<ConditionField>& fields, const DropOptions& options,
                                        std::uint64_t seed, Index position) {
  const StreamCounter at(position);
  const Philox rng(seed, Purpose::label_drop, at.step, at.sample);
  const double together = static_cast<double>(rng.uniform(0));
  ObservedConditions observed;
  observed.fields.assign(fields.size(), false);
  if (together < options.all) return observed;
  if (together < options.all + options.all_but_one) {
    std::vector<std::size_t> droppable;
    for (std::size_t f = 0; f < fields.size(); ++f)
      if (!fields[f].required) droppable.push_back(f);
    if (!droppable.empty()) observed.alone = droppable[rng.integer(1) % droppable.size()];
    observed.instead = rng.integer(2);
    return observed;
  }
  for (std::size_t f = 0; f < fields.size(); ++f)
    observed.fields[f] = static_cast<double>(rng.uniform(4 + f)) >= fields[f].drop;
  return observed;
}

/// The row with unobserved conditions made null. Required fields stay.
inline ConditionRow observe_conditions(const std::vector<ConditionField>& fields, ConditionRow row,
                                       const ObservedConditions& observed) {
  if (!observed.alone)
    return keep_conditions(fields, std::move(row), [&](std::size_t f) { return observed.fields[f]; });
  std::size_t kept = *observed.alone;
  if (row[kept].missing()) {
    std::vector<std::size_t> known;
    for (std::size_t f = 0; f < row.size(); ++f)
      if (!fields[f].required && !row[f].missing()) known.push_back(f);
    if (!known.empty()) kept = known[observed.instead % known.size()];
  }
  return keep_conditions(fields, std::move(row), [&](std::size_t f) { return f == kept; });
}

inline ConditionRow drop_conditions(const std::vector<ConditionField>& fields, ConditionRow row,
                                    const DropOptions& options, std::uint64_t seed, Index position) {
  return observe_conditions(fields, std::move(row), draw_observed(fields, options, seed, position));
}

}  // namespace braing3n::inline BRAING3N_ABI
