// One linear probe per group of volumes (the modality).
//
// Intensities have another meaning in every modality, and one probe for all can use only what the modalities share. The probes are fitted on
// the subjects that trained the generator, the penalty is chosen by folds over these subjects, and the probes are applied to unseen scans,
// to their round trips through the tokenizer (the ceiling of any sample), and to samples.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "braing3n/format/sha256.hpp"
#include "braing3n/probe/estimators.hpp"
#include "braing3n/probe/scores.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct GroupedProbeOptions {
  ClassWeight class_weight = ClassWeight::none;
  std::vector<double> grid{1e-4, 1e-3, 1e-2,
                           1e-1, 1.0,  10.0};  // of C, chosen by folds; alpha takes the inverses. One value: that one
  int folds = 3;
  Index fewest = 3;  // rows of each class (of numbers: in all) without which a group has no probe
};

/// Rows of features with their groups and subjects. group < 0: the row is not used.
struct ProbeRows {
  FeatureView<float> x;                 // (n, d)
  std::vector<std::int32_t> group{};    // (n)
  std::vector<std::int32_t> subject{};  // (n), as codes
};

class GroupedProbe {
 public:
  /// label (n): classes from 0, -1: the row is not used. Throws Error: shape (lengths), argument (no group has enough rows).
  GroupedProbe(Context<Cpu>& ctx, const ProbeRows& rows, std::span<const std::int32_t> label, Index classes,
               const GroupedProbeOptions& options = {})
      : classes_(classes) {
    if (classes < 2)
      fail(ErrorKind::argument, "grouped_probe.classes", "grouped probe: ", classes, " classes, expected at least 2");
    check(rows, label.size());
    fit(
        ctx, rows, options, [&](std::size_t i) { return label[i] >= 0; },
        [&](std::size_t i, std::vector<std::int32_t>& y, std::vector<double>&) { y.push_back(label[i]); });
  }
  /// target (n): NaN: the row is not used.
  GroupedProbe(Context<Cpu>& ctx, const ProbeRows& rows, std::span<const double> target,
               const GroupedProbeOptions& options = {}) {
    check(rows, target.size());
    fit(
        ctx, rows, options, [&](std::size_t i) { return !std::isnan(target[i]); },
        [&](std::size_t i, std::vector<std::int32_t>&, std::vector<double>& y) { y.push_back(target[i]); });
  }

  bool reads(std::int32_t group) const {
    return group >= 0 && static_cast<std::size_t>(group) < fits_.size() &&
           fits_[static_cast<std::size_t>(group)].has_value();
  }
  const LinearFit& probe(std::int32_t group) const { return fits_.at(static_cast<std::size_t>(group)).value(); }
  bool converged() const {
    return std::all_of(fits_.begin(), fits_.end(), [](const auto& f) { return !f || f->converged; });
  }

  /// The predicted class of each row, -1 where the group has no probe.
  std::vector<std::int32_t> classes(FeatureView<float> x, std::span<const std::int32_t> group) const {
    std::vector<std::int32_t> read;
    each(x, group, [&](const double* value, Index outputs) {
      if (value == nullptr) read.push_back(-1);
      else if (outputs == 1) read.push_back(value[0] > 0);
      else read.push_back(static_cast<std::int32_t>(std::max_element(value, value + outputs) - value));
    });
    return read;
  }
  /// The predicted number of each row, NaN where the group has no probe.
  std::vector<double> numbers(FeatureView<float> x, std::span<const std::int32_t> group) const {
    std::vector<double> read;
    each(x, group, [&](const double* value, Index) { read.push_back(value != nullptr ? value[0] : not_a_number); });
    return read;
  }

  /// 64 digits, equal for equal coefficients.
  std::string hash() const {
    std::string text;
    for (const auto& f : fits_) {
      text += concat(f ? f->outputs : 0, '\n');
      if (!f) continue;
      for (const std::span<const double> v :
           std::initializer_list<std::span<const double>>{elements_of(f->weights), f->intercept, f->mean, f->scale})
        text.append(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(double));
    }
    return sha256_hex(text);
  }

 private:
  static void check(const ProbeRows& rows, std::size_t labels) {
    const auto n = static_cast<std::size_t>(rows.x.rows);
    if (labels != n || rows.group.size() != n || rows.subject.size() != n)
      fail(ErrorKind::shape, "grouped_probe.rows", "grouped probe: ", n, " rows of features, ", labels, " labels, ",
           rows.group.size(), " groups, ", rows.subject.size(), " subjects");
  }

  template <class Has, class Add>
  void fit(Context<Cpu>& ctx, const ProbeRows& rows, const GroupedProbeOptions& options, Has&& has, Add&& add) {
    std::int32_t groups = 0;
    for (const std::int32_t g : rows.group) groups = std::max(groups, g + 1);
    fits_.resize(static_cast<std::size_t>(groups));
    bool any = false;
    for (std::int32_t g = 0; g < groups; ++g) {
      std::vector<Index> selected;
      std::vector<std::int32_t> label;
      std::vector<double> target;
      std::vector<std::int64_t> subject;
      for (std::size_t i = 0; i < rows.group.size(); ++i)
        if (rows.group[i] == g && has(i)) {
          selected.push_back(static_cast<Index>(i));
          subject.push_back(rows.subject[i]);
          add(i, label, target);
        }
      if (static_cast<Index>(selected.size()) < options.fewest || !enough(label, options.fewest)) continue;
      fits_[static_cast<std::size_t>(g)] = fit_group(ctx, rows.x, selected, label, target, subject, options);
      any = true;
    }
    if (!any)
      fail(ErrorKind::argument, "grouped_probe.few", "grouped probe: no group has ", options.fewest, " rows of ",
           classes_ > 0 ? "each class" : "known numbers");
  }

  bool enough(const std::vector<std::int32_t>& label, Index fewest) const {
    for (std::int32_t c = 0; c < static_cast<std::int32_t>(classes_); ++c)
      if (std::count(label.begin(), label.end(), c) < fewest) return false;
    return true;
  }

  LinearFit fit_group(Context<Cpu>& ctx, FeatureView<float> x, const std::vector<Index>& selected,
                      const std::vector<std::int32_t>& label, const std::vector<double>& target,
                      const std::vector<std::int64_t>& subject, const GroupedProbeOptions& options) const {
    FitProblem whole;
    whole.loss = classes_ == 0 ? Loss::squared : classes_ == 2 ? Loss::logistic : Loss::softmax;
    whole.outputs = classes_ > 2 ? classes_ : 1;
    whole.label = classes_ > 0 ? label.data() : nullptr;
    whole.target = classes_ > 0 ? nullptr : target.data();
    if (classes_ > 0 && options.class_weight == ClassWeight::balanced)
      whole.class_weight = balanced_weights(label, classes_);
    const Design<float, Cpu> design(ctx, x, selected);
    NewtonSolver<float, Cpu> solver(design);
    whole.penalty = 1 / choose(solver, whole, subject, options);
    return solver.solve({&whole, 1})[0];
  }

  /// The C of the grid with the least loss on held-out subjects; 1 when there are too few subjects for folds.
  double choose(NewtonSolver<float, Cpu>& solver, const FitProblem& whole, const std::vector<std::int64_t>& subject,
                const GroupedProbeOptions& options) const {
    if (options.grid.size() == 1) return options.grid[0];
    const auto n = subject.size(), outputs = static_cast<std::size_t>(whole.outputs);
    if (std::set<std::int64_t>(subject.begin(), subject.end()).size() < static_cast<std::size_t>(options.folds))
      return 1;
    const FoldOptions folds{.folds = options.folds};
    const std::vector<std::int32_t> fold =
        (classes_ > 0 ? stratified_group_kfold(std::vector<std::int64_t>(whole.label, whole.label + n), subject, folds)
                      : group_kfold(subject, folds))
            .fold;
    for (std::int32_t f = 0; f < options.folds; ++f)
      for (std::int32_t c = 0; c < static_cast<std::int32_t>(classes_); ++c) {
        bool trains = false;
        for (std::size_t i = 0; i < n && !trains; ++i) trains = fold[i] != f && whole.label[i] == c;
        if (!trains) return 1;
      }
    std::vector<std::vector<double>> values(options.grid.size(), std::vector<double>(n * outputs));
    std::vector<FitProblem> problems;
    for (std::size_t k = 0; k < values.size(); ++k)
      for (std::int32_t f = 0; f < options.folds; ++f) {
        problems.push_back(whole);
        problems.back().fold = fold.data();
        problems.back().held_out = f;
        problems.back().penalty = 1 / options.grid[k];
        problems.back().held_out_values = values[k].data();
      }
    (void)solver.solve(problems);
    double best = std::numeric_limits<double>::infinity(), C = 1;
    std::vector<double> p(static_cast<std::size_t>(std::max<Index>(classes_, 2)));
    for (std::size_t k = 0; k < values.size(); ++k) {
      double loss = 0;
      for (std::size_t i = 0; i < n; ++i) {
        const double* value = values[k].data() + i * outputs;
        if (classes_ == 0) {
          loss += (value[0] - whole.target[i]) * (value[0] - whole.target[i]);
        } else {
          to_probabilities(value, whole.outputs, p.data());
          loss -= whole.weight(static_cast<Index>(i)) *
                  std::log(std::max(p[static_cast<std::size_t>(whole.label[i])], 1e-300));
        }
      }
      if (loss < best) best = loss, C = options.grid[k];
    }
    return C;
  }

  template <class F>
  void each(FeatureView<float> x, std::span<const std::int32_t> group, F&& f) const {
    if (static_cast<Index>(group.size()) != x.rows)
      fail(ErrorKind::shape, "grouped_probe.rows", "grouped probe: ", x.rows, " rows of features, ", group.size(),
           " groups");
    std::vector<double> value(static_cast<std::size_t>(std::max<Index>(classes_, 1)));
    for (Index i = 0; i < x.rows; ++i) {
      const std::int32_t g = group[static_cast<std::size_t>(i)];
      if (!reads(g)) {
        f(nullptr, 0);
        continue;
      }
      if (x.features != probe(g).features)
        fail(ErrorKind::shape, "grouped_probe.width", "grouped probe: fitted on ", probe(g).features, " features, got ",
             x.features);
      probe(g).evaluate(x.data + i * x.features, value.data());
      f(value.data(), probe(g).outputs);
    }
  }

  Index classes_ = 0;  // 0: numbers
  std::vector<std::optional<LinearFit>> fits_;
};

}  // namespace braing3n::inline BRAING3N_ABI
