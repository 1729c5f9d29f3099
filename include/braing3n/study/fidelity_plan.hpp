// What the study of fidelity compares: arms of samples with the scans that have their labels, and two halves of the unseen subjects.
#pragma once

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/condition_labels.hpp"
#include "braing3n/eval/frechet.hpp"
#include "braing3n/study/fidelity_result.hpp"
#include "braing3n/study/region_truth.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// The labels of scans as the model's conditions. A value that the model does not know is null.
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

  /// Those of the scans that have every class of `row`.
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

/// Samples under one row of conditions, and the scans that have these labels.
struct FidelityArm {
  std::string name;
  ConditionRow row;
  bool t1 = false;
  std::vector<Index> unseen, train;  // scans
};

/// Everything that is determined before a scan is read.
class FidelityPlan {
 public:
  std::vector<Index> test, train;  // scans
  std::vector<Index> calibration;  // T1-weighted training scans, with a truth
  std::vector<FidelityArm> arms;
  std::vector<std::string> left_out;  // arms that no training scan has
  std::array<std::vector<Index>, 2> halves;
  std::set<Index> learnt;  // training scans of the arms

  /// truth: may be null. Throws Error: argument (conditions that the model does not have, no arm, too few subjects), format (a scan without truth).
  FidelityPlan(const std::vector<ConditionField>& fields, const Manifest& manifest, const Split& split,
               const FidelityOptions& options, const RegionTruth* truth)
      : fields_(fields), manifest_(manifest), options_(options), labels_(fields, manifest) {
    test = rows_of(manifest, split, options.test);
    train = rows_of(manifest, split, options.train);
    plan_arms();
    if (truth != nullptr) {  // a scan without truth is an error now and not after sampling
      for (const std::vector<Index>* scans : {&train, &test})
        for (const Index i : *scans)
          if (is_t1(i)) (void)(*truth)(id_of(i));
      for (const Index i : train)
        if (is_t1(i)) calibration.push_back(i);
      calibration = some_rows(calibration, options.calibration);
    }
    if (arms.empty())
      fail(ErrorKind::argument, "fidelity.arms", "no arm: no training scan has a class of ",
           options.conditions.empty() ? "any condition" : options.conditions[0]);
    if (options.frechet > 0) plan_halves();
    for (const FidelityArm& arm : arms) learnt.insert(arm.train.begin(), arm.train.end());
  }

  const ScanConditions& labels() const { return labels_; }
  const std::string& id_of(Index scan) const { return manifest_.scans[static_cast<std::size_t>(scan)].volume_id; }
  const std::string& subject_of(Index scan) const { return manifest_.scans[static_cast<std::size_t>(scan)].subject_id; }

  /// Region volumes are measured in T1-weighted scans; the scans of a model without modalities count as T1-weighted.
  bool is_t1(Index scan) const { return is_t1(labels_[scan]); }
  bool is_t1(const ConditionRow& row) const {
    const ConditionField* m = modality();
    return m == nullptr || condition_text(*m, row[static_cast<std::size_t>(m - fields_.data())]) == "T1";
  }

  /// Scans and samples that are read and made in all.
  Index units() const {
    return std::ssize(test) + std::ssize(learnt) + std::ssize(calibration) + std::ssize(arms) * options_.samples +
           std::ssize(halves[0]) + std::ssize(halves[1]);
  }

 private:
  const ConditionField* modality() const {
    for (const ConditionField& f : fields_)
      if (f.name == "modality") return &f;
    return nullptr;
  }

  void plan_arms() {
    const ConditionField* m = modality();
    const bool knows_t1 = m != nullptr && std::find(m->values.begin(), m->values.end(), "T1") != m->values.end();
    const ConditionRow within =
        parse_conditions(fields_, options_.within.empty() && knows_t1 ? "modality=T1" : options_.within);
    require_conditions(fields_, within);
    const std::vector<std::string>& wanted = options_.conditions;
    for (const std::string& name : wanted)
      if (fields_[find_condition(fields_, name)].kind != ConditionKind::categorical)
        fail(ErrorKind::argument, "fidelity.condition", "condition ", name,
             ": expected a condition with classes, got a number");
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (fields_[f].kind != ConditionKind::categorical ||
          (!wanted.empty() && std::find(wanted.begin(), wanted.end(), fields_[f].name) == wanted.end()))
        continue;
      for (std::size_t v = 0; v < fields_[f].values.size(); ++v) {
        FidelityArm arm;
        arm.row = within;
        arm.row[f] = {.label = static_cast<std::int32_t>(v)};
        arm.name = describe_conditions(fields_, arm.row);
        arm.t1 = is_t1(arm.row);
        arm.unseen = labels_.matching(test, arm.row);
        arm.train = some_rows(labels_.matching(train, arm.row), options_.samples);
        if (arm.train.empty()) left_out.push_back(arm.name);
        else arms.push_back(std::move(arm));
      }
    }
  }

  /// Two halves of the unseen subjects, equally many scans of each.
  void plan_halves() {
    std::vector<std::string> subjects;
    for (const Index i : test) subjects.push_back(subject_of(i));
    std::sort(subjects.begin(), subjects.end());
    subjects.erase(std::unique(subjects.begin(), subjects.end()), subjects.end());
    const auto [first, second] = disjoint_halves(std::ssize(subjects), options_.seed);
    for (const Index i : test) {
      const auto place = std::lower_bound(subjects.begin(), subjects.end(), subject_of(i)) - subjects.begin();
      bool complete = true;
      for (std::size_t f = 0; f < fields_.size(); ++f)
        complete = complete && !(fields_[f].required && labels_[i][f].missing());
      if (!complete) continue;
      if (std::binary_search(first.begin(), first.end(), place)) halves[0].push_back(i);
      else if (std::binary_search(second.begin(), second.end(), place)) halves[1].push_back(i);
    }
    const Index each = std::min({std::ssize(halves[0]), std::ssize(halves[1]), options_.frechet / 2});
    if (each < 2)
      fail(ErrorKind::argument, "fidelity.few", "Frechet distances: ", halves[0].size(), " and ", halves[1].size(),
           " unseen scans in two halves of the subjects, expected at least 2 in each");
    for (auto& half : halves) half = some_rows(half, each);
  }

  const std::vector<ConditionField>& fields_;
  const Manifest& manifest_;
  const FidelityOptions& options_;
  ScanConditions labels_;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
