// The arms of the study of controllability: samples under requested conditions, the modalities in turn.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/data/condition_labels.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Samples to make, the modalities in turn.
struct PlannedArm {
  std::string name;
  std::vector<ConditionRow> rows;   // (n)
  std::vector<std::int32_t> group;  // (n): the modality of each
  std::uint32_t first = 0;          // number of the first sample
  bool guided = false;              // a condition besides the modality is requested, so guidance has an effect
};

/// A label that samples can be requested with: its values on every scan, and the arms that request it.
struct Contrast {
  std::string name, field;
  std::size_t condition = 0;                 // of a number: its place among the model's conditions
  std::vector<std::string> classes;          // empty: a number
  bool balanced = false, of_groups = false;  // of_groups: the classes are the modalities
  std::set<std::int32_t> groups;             // modalities in which it is tested
  std::vector<std::int32_t> label;           // per scan
  std::vector<double> number;
  std::vector<std::pair<std::size_t, std::int32_t>> arms;  // and the requested class of each
};

/// Arms of n samples under a model's conditions. The same arm is made once.
class ArmPlan {
 public:
  std::vector<PlannedArm> arms;
  std::vector<std::string> group_names;  // values of the condition modality; one empty name without it

 protected:
  ArmPlan(const std::vector<ConditionField>& fields, Index n) : fields_(fields), n_(n) {
    if (const auto f = field("modality"); f && fields[*f].kind == ConditionKind::categorical) modality_ = *f;
    group_names = modality_ ? fields[*modality_].values : std::vector<std::string>{""};
  }

  const std::vector<ConditionField>& fields() const { return fields_; }
  const std::optional<std::size_t>& modality() const { return modality_; }
  const std::string& group_name(std::int32_t g) const { return group_names[static_cast<std::size_t>(g)]; }

  std::optional<std::size_t> field(std::string_view name) const {
    for (std::size_t f = 0; f < fields_.size(); ++f)
      if (fields_[f].name == name) return f;
    return std::nullopt;
  }

  /// Conditions are null except those that the model requires; the arm fills in the modality.
  ConditionRow base() const {
    ConditionRow row(fields_.size());
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (!fields_[f].required || (modality_ && f == *modality_)) continue;
      if (fields_[f].kind == ConditionKind::categorical) row[f].label = 0;
      else row[f].number = 0.5 * (fields_[f].minimum + fields_[f].maximum);
    }
    return row;
  }

  /// Returns the index of the arm that requests the alternatives in turn.
  std::size_t arm(const std::string& name, const std::vector<ConditionRow>& alternatives,
                  const std::vector<std::int32_t>& groups) {
    std::string full = name;
    if (groups.size() < group_names.size() && !name.starts_with("modality="))
      for (const std::int32_t g : groups) full += concat(g == groups[0] ? " in " : ", ", group_name(g));
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

  /// An arm that requests any of some classes of one condition.
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

  /// An arm that requests numbers from low to high, evenly spaced.
  std::size_t range_arm(std::size_t f, double low, double high, const std::set<std::int32_t>& groups) {
    std::vector<ConditionRow> rows;
    for (Index i = 0; i < n_; ++i) {
      rows.push_back(base());
      rows.back()[f] = {.number = low + (high - low) * static_cast<double>(i) / static_cast<double>(n_ - 1)};
    }
    return arm(concat(fields_[f].name, ' ', decimals(low, 0), " to ", decimals(high, 0)), rows,
               {groups.begin(), groups.end()});
  }

  /// Gives every sample a number of its own, arm after arm.
  void number_samples() {
    std::uint32_t next = 0;
    for (PlannedArm& p : arms) {
      p.first = next;
      next += static_cast<std::uint32_t>(p.rows.size());
    }
  }

 private:
  const std::vector<ConditionField>& fields_;
  Index n_;
  std::optional<std::size_t> modality_;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
