// The probes of the study of controllability: fitted for every contrast, applied to scans, round trips and samples.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/eval/grouped_probe.hpp"
#include "braing3n/probe/saved_probe.hpp"
#include "braing3n/study/controllability_plan.hpp"
#include "braing3n/study/sample_arms.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// Scans of subjects in a fixed random order, all scans of a subject or none, as many as fit.
inline std::vector<Index> probe_fit_rows(const ControllabilityPlan& plan, const ControllabilityOptions& options) {
  std::map<std::pair<std::uint32_t, std::int32_t>, std::vector<Index>> subjects;
  for (const Index i : plan.train) {
    const std::int32_t p = plan.subject[static_cast<std::size_t>(i)];
    subjects[{Philox(2025, Purpose::split, 2, static_cast<std::uint32_t>(p)).integer(0), p}].push_back(i);
  }
  std::vector<Index> rows;
  Index turn = 0;
  for (const auto& [key, scans] : subjects) {
    const bool first = turn++ % 2 == 0;
    if ((options.half == "first" && !first) || (options.half == "second" && first)) continue;
    if (static_cast<Index>(rows.size() + scans.size()) > options.probe_scans) break;
    rows.insert(rows.end(), scans.begin(), scans.end());
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

/// Features of some volumes in the form that one kind of probe takes; a view of what they were made from, which must outlive it.
class ProbeFeatures {
 public:
  ProbeFeatures(const PooledFeatures& p, bool means_only) {
    if (means_only) means_ = p.means();
    else all_ = &p.values();
  }
  explicit ProbeFeatures(const RowStore<float>& all) : all_(&all) {}
  FeatureView<float> view() const { return view_of(all_ != nullptr ? *all_ : means_); }

 private:
  RowStore<float> means_;
  const RowStore<float>* all_ = nullptr;
};

struct ContrastScores {
  std::string hash;  // of the probe
  bool converged = true;
  ClassScore real, ceiling;
  std::vector<Rate> all_unseen, null;
  std::vector<double> prior;
  std::vector<ClassScore> asked;  // per guidance scale
  NumberScore real_number, ceiling_number, null_number;
  std::array<double, 2> prior_number{};
  std::vector<NumberScore> asked_number;
};

struct ProbeKind {
  std::string name{}, text{};
  bool round_trips = false, means_only = false, grouped = true, latents = false, whole = false,
       saved = false;  // whole: every token's latents
};

/// The task of saved probes that predicts a contrast, if there is one.
inline const SavedTask* saved_task(const SavedProbe& probe, const Contrast& c, const ControllabilityPlan& plan) {
  for (const SavedTask& t : probe.tasks) {
    if (t.column != c.field || t.classification == c.classes.empty() || c.balanced ||
        c.classes == std::vector<std::string>{"absent", "present"})
      continue;
    if (t.classification && std::set<std::string>(t.classes.begin(), t.classes.end()) !=
                                std::set<std::string>(c.classes.begin(), c.classes.end()))
      continue;
    bool fits = true;
    for (const auto& [column, value] : parse_task(t.name).where)
      fits = fits && column == "modality" && c.groups.size() == 1 &&
             plan.group_names[static_cast<std::size_t>(*c.groups.begin())] == value;
    if (fits) return &t;
  }
  return nullptr;
}

/// Fits probes on the features of training scans and scores them on unseen scans, round trips and samples.
class ControllabilityScores {
 public:
  ControllabilityScores(Context<Cpu>& ctx, const ControllabilityPlan& plan, const CohortFeatures& train,
                        const CohortFeatures& test)
      : ctx_(ctx), plan_(plan), train_(train), test_(test) {}

  /// Fits the probe of every contrast.
  std::vector<ContrastScores> fit(const ProbeKind& kind) {
    std::vector<ContrastScores> all;
    const ProbeFeatures x = kind.round_trips ? round_trips(kind, train_) : scans(kind, train_);
    for (const Contrast& c : plan_.contrasts) {
      ProbeRows rows{x.view(), {}, {}};
      std::vector<std::int32_t> label;
      std::vector<double> number;
      for (const Index i : train_.rows) {
        const auto at = static_cast<std::size_t>(i);
        rows.group.push_back(group(kind, c, plan_.group[at]));
        rows.subject.push_back(plan_.subject[at]);
        if (c.classes.empty()) number.push_back(c.number[at]);
        else label.push_back(c.label[at]);
      }
      GroupedProbeOptions options;
      if (c.balanced) options.class_weight = ClassWeight::balanced;
      try {
        probes_.insert_or_assign({kind.name, c.name},
                                 c.classes.empty() ? GroupedProbe(ctx_, rows, std::span<const double>(number), options)
                                                   : GroupedProbe(ctx_, rows, std::span<const std::int32_t>(label),
                                                                  std::ssize(c.classes), options));
      } catch (const Error& e) {
        throw Error(e.kind(), e.id(),
                    concat("probe ", kind.name, ", ", c.name, ": ", e.text(), " among the ", train_.rows.size(),
                           " scans that probes are fitted on"));
      }
      all.emplace_back();
      all.back().hash = probes_.at({kind.name, c.name}).hash();
      all.back().converged = probes_.at({kind.name, c.name}).converged();
    }
    return all;
  }

  void score_scans(const ProbeKind& kind, const SavedProbe* saved, std::vector<ContrastScores>& all) const {
    const ProbeFeatures unseen = scans(kind, test_), trips = round_trips(kind, test_);
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
      s.all_unseen = class_shares(read, std::ssize(c.classes));
      s.prior = prior_shares(c.label, weights, std::ssize(c.classes));
    }
  }

  /// samples: of each arm under one guidance scale. Adds the scores against the requested labels; those of the null arms when `null` is set.
  void score_samples(const ProbeKind& kind, const SavedProbe* saved, const std::vector<const ArmSamples*>& samples,
                     bool null, std::vector<ContrastScores>& all) const {
    for (std::size_t k = 0; k < all.size(); ++k) {
      const Contrast& c = plan_.contrasts[k];
      std::vector<std::int32_t> asked, read;
      std::vector<double> wanted, came;
      const auto collect = [&](std::size_t arm, std::int32_t label) {
        const ProbeFeatures x = samples_of(kind, *samples[arm]);
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
  static ProbeFeatures scans(const ProbeKind& kind, const CohortFeatures& s) {
    if (kind.whole) return ProbeFeatures(s.latents);
    return {kind.latents ? s.scans.projected : s.scans.encoder, kind.means_only};
  }
  static ProbeFeatures round_trips(const ProbeKind& kind, const CohortFeatures& s) {
    if (kind.whole) return ProbeFeatures(s.latents);
    return {kind.latents ? s.scans.projected : s.round_trips, kind.means_only};
  }
  static ProbeFeatures samples_of(const ProbeKind& kind, const ArmSamples& s) {
    if (kind.whole) return ProbeFeatures(s.latents);
    return {kind.latents ? s.generated : s.features, kind.means_only};
  }

  /// -1: the contrast is not tested in that modality.
  static std::int32_t group(const ProbeKind& kind, const Contrast& c, std::int32_t g) {
    return !c.groups.contains(g) ? -1 : kind.grouped && !c.of_groups ? g : 0;
  }
  static std::vector<std::int32_t> groups_of(const ProbeKind& kind, const Contrast& c,
                                             const std::vector<std::int32_t>& g) {
    std::vector<std::int32_t> all;
    for (const std::int32_t one : g) all.push_back(group(kind, c, one));
    return all;
  }

  std::vector<std::int32_t> classes(const ProbeKind& kind, const SavedProbe* saved, const Contrast& c,
                                    FeatureView<float> x, const std::vector<std::int32_t>& g) const {
    const auto groups = groups_of(kind, c, g);
    if (!kind.saved) return probes_.at({kind.name, c.name}).classes(x, groups);
    const SavedTask* task = saved_task(*saved, c, plan_);
    std::vector<std::int32_t> read(groups.size(), -1);
    for (std::size_t i = 0; task != nullptr && i < read.size(); ++i) {
      if (groups[i] < 0) continue;
      const auto p = apply_probe(*task, x.row(static_cast<Index>(i)).data());
      const std::string& name =
          task->classes[static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin())];
      read[i] = static_cast<std::int32_t>(std::find(c.classes.begin(), c.classes.end(), name) - c.classes.begin());
    }
    return read;
  }
  std::vector<double> numbers(const ProbeKind& kind, const SavedProbe* saved, const Contrast& c, FeatureView<float> x,
                              const std::vector<std::int32_t>& g) const {
    const auto groups = groups_of(kind, c, g);
    if (!kind.saved) return probes_.at({kind.name, c.name}).numbers(x, groups);
    const SavedTask* task = saved_task(*saved, c, plan_);
    std::vector<double> read(groups.size(), not_a_number);
    for (std::size_t i = 0; task != nullptr && i < read.size(); ++i)
      if (groups[i] >= 0) read[i] = apply_probe(*task, x.row(static_cast<Index>(i)).data())[0];
    return read;
  }

  Context<Cpu>& ctx_;
  const ControllabilityPlan& plan_;
  const CohortFeatures &train_, &test_;
  std::map<std::pair<std::string, std::string>, GroupedProbe> probes_;
};

/// Scores of a probe on a contrast, as they are reported. guidance: the scales, in the order of s.asked.
inline ContrastResult contrast_result(const ControllabilityPlan& plan, const Contrast& c, const ContrastScores& s,
                                      const std::vector<double>& guidance) {
  ContrastResult r;
  r.name = c.name;
  r.hash = s.hash;
  r.converged = s.converged;
  r.of_modalities = c.of_groups;
  for (const std::int32_t g : c.groups) r.modalities.push_back(plan.group_names[static_cast<std::size_t>(g)]);
  r.classes = c.classes;
  if (r.is_number()) {
    NumberContrast& n = r.of_numbers;
    for (std::size_t k = 0; k < guidance.size(); ++k) n.cond.emplace_back(number_text(guidance[k]), s.asked_number[k]);
    n.real = s.real_number;
    n.round_trip = s.ceiling_number;
    n.null = s.null_number;
    n.prior = {s.prior_number[0], s.prior_number[1]};
    return r;
  }
  ClassContrast& k = r.of_classes;
  for (std::size_t g = 0; g < guidance.size(); ++g)
    k.cond.emplace_back(number_text(guidance[g]), ClassResult(s.asked[g], c.classes));
  k.real = ClassResult(s.real, c.classes);
  k.round_trip = ClassResult(s.ceiling, c.classes);
  for (std::size_t i = 0; i < c.classes.size(); ++i) k.prior.emplace_back(c.classes[i], s.prior[i]);
  k.all_unseen = shares_of(s.all_unseen, c.classes);
  k.null = shares_of(s.null, c.classes);
  return r;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
