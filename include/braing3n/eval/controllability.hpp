// Are samples what was asked for? Readers of features, and the scores of what they read.
//
// A reader is a linear probe per group of volumes (the modality): intensities mean other things in other modalities, and one probe for all
// has to find what they share. It is fitted on people that trained the generator, its penalty chosen by folds of whole people within them,
// and applied to three things: unseen scans, their round trips through the tokenizer (the ceiling of any sample), and samples.
//   classes  recall of each class with Wilson's interval (Wilson 1927); balanced accuracy, the mean of the recalls, with the interval that
//            joins theirs: limits at distance sqrt(sum (p_i - l_i)^2) / K (Zou and Donner 2008)
//   numbers  r, slope (of the reading on what was asked: 1 is neither shrunk nor stretched), bias, MAE; mean and deviation of the readings
// Samples without conditions are held against the training people: the share of each class among them, in the same mix of groups.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/probe/estimators.hpp"
#include "braing3n/probe/scores.hpp"
#include "braing3n/probe/sha256.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// hits of n, with Wilson's score interval at 95 %.
struct Rate {
  Index hits = 0, n = 0;

  double share() const { return n > 0 ? static_cast<double>(hits) / static_cast<double>(n) : not_a_number; }
  std::array<double, 2> interval() const {
    if (n == 0) return {not_a_number, not_a_number};
    constexpr double z = 1.959963984540054;
    const double count = static_cast<double>(n), p = share(), scale = 1 / (1 + z * z / count), centre = scale * (p + z * z / (2 * count)),
                 half = scale * z * std::sqrt(p * (1 - p) / count + z * z / (4 * count * count));
    return {hits == 0 ? 0.0 : centre - half, hits == n ? 1.0 : centre + half};
  }
};

struct ClassScore {
  std::vector<Rate> recall;  // per class

  /// NaN when a class has nothing to be read.
  double balanced_accuracy() const {
    double sum = 0;
    for (const Rate& r : recall) sum += r.share() / static_cast<double>(recall.size());
    return sum;
  }
  std::array<double, 2> interval() const {
    const double mean = balanced_accuracy(), classes = static_cast<double>(recall.size());
    double down = 0, up = 0;
    for (const Rate& r : recall) {
      const auto [low, high] = r.interval();
      down += (r.share() - low) * (r.share() - low);
      up += (high - r.share()) * (high - r.share());
    }
    return {mean - std::sqrt(down) / classes, mean + std::sqrt(up) / classes};
  }
};

/// asked, read (n): classes from 0; -1 on either side leaves the row out. Throws Error (shape): lengths that differ.
inline ClassScore score_classes(std::span<const std::int32_t> asked, std::span<const std::int32_t> read, Index classes) {
  if (asked.size() != read.size())
    fail(ErrorKind::shape, "controllability.length", "class score: ", asked.size(), " classes asked, ", read.size(), " read");
  ClassScore s{std::vector<Rate>(static_cast<std::size_t>(classes))};
  for (std::size_t i = 0; i < asked.size(); ++i) {
    if (asked[i] < 0 || read[i] < 0) continue;
    Rate& r = s.recall.at(static_cast<std::size_t>(asked[i]));
    r.n += 1;
    r.hits += asked[i] == read[i];
  }
  return s;
}

/// How often each class is read, whatever was asked.
inline std::vector<Rate> class_shares(std::span<const std::int32_t> read, Index classes) {
  std::vector<Rate> shares(static_cast<std::size_t>(classes));
  for (const std::int32_t k : read)
    if (k >= 0)
      for (std::size_t c = 0; c < shares.size(); ++c) {
        shares[c].n += 1;
        shares[c].hits += static_cast<std::size_t>(k) == c;
      }
  return shares;
}

struct NumberScore {
  Index n = 0;
  double r = not_a_number, slope = not_a_number, bias = not_a_number, mae = not_a_number;  // against what was asked
  double mean = not_a_number, deviation = not_a_number;                                    // of the readings
};

/// read (n); asked (n), or empty when nothing was asked. Rows whose reading is NaN are left out. Throws Error (shape): lengths that differ.
inline NumberScore score_numbers(std::span<const double> asked, std::span<const double> read) {
  if (!asked.empty() && asked.size() != read.size())
    fail(ErrorKind::shape, "controllability.length", "number score: ", asked.size(), " numbers asked, ", read.size(), " read");
  std::vector<double> t, p;
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (std::isnan(read[i]) || (!asked.empty() && std::isnan(asked[i]))) continue;
    p.push_back(read[i]);
    if (!asked.empty()) t.push_back(asked[i]);
  }
  NumberScore s;
  s.n = static_cast<Index>(p.size());
  if (s.n == 0) return s;
  s.mean = 0;
  for (const double v : p) s.mean += v / static_cast<double>(s.n);
  double squares = 0;
  for (const double v : p) squares += (v - s.mean) * (v - s.mean);
  s.deviation = s.n > 1 ? std::sqrt(squares / static_cast<double>(s.n - 1)) : not_a_number;
  if (t.empty()) return s;
  const auto scores = regression_scores(p, t, std::vector<float>(p.size(), 1.0f));
  s.mae = scores[1], s.r = scores[2], s.slope = scores[3], s.bias = scores[4];
  return s;
}

/// Weights of labelled rows under which every group counts the same: 1 / rows of its group, 0 for rows of other groups (group < 0 or not in
/// `groups`) and without a label. group, labelled (n).
inline std::vector<double> mix_weights(std::span<const std::int32_t> group, const std::vector<bool>& labelled,
                                       const std::set<std::int32_t>& groups) {
  std::vector<double> count, weight(group.size(), 0.0);
  const auto counts = [&](std::size_t i) { return group[i] >= 0 && labelled[i] && groups.contains(group[i]); };
  for (std::size_t i = 0; i < group.size(); ++i)
    if (counts(i)) {
      if (static_cast<std::size_t>(group[i]) >= count.size()) count.resize(static_cast<std::size_t>(group[i]) + 1, 0.0);
      count[static_cast<std::size_t>(group[i])] += 1;
    }
  for (std::size_t i = 0; i < group.size(); ++i)
    if (counts(i)) weight[i] = 1 / count[static_cast<std::size_t>(group[i])];
  return weight;
}

/// Shares of the classes among weighted rows; label < 0 does not count. NaN when nothing does.
inline std::vector<double> prior_shares(std::span<const std::int32_t> label, const std::vector<double>& weight, Index classes) {
  std::vector<double> share(static_cast<std::size_t>(classes), 0.0);
  double all = 0;
  for (std::size_t i = 0; i < label.size(); ++i)
    if (label[i] >= 0) {
      share.at(static_cast<std::size_t>(label[i])) += weight[i];
      all += weight[i];
    }
  for (double& s : share) s = all > 0 ? s / all : not_a_number;
  return share;
}

/// Mean and deviation of weighted numbers; NaN does not count.
inline std::array<double, 2> prior_numbers(std::span<const double> number, const std::vector<double>& weight) {
  double all = 0, mean = 0, squares = 0;
  for (std::size_t i = 0; i < number.size(); ++i)
    if (!std::isnan(number[i])) all += weight[i], mean += weight[i] * number[i];
  if (!(all > 0)) return {not_a_number, not_a_number};
  mean /= all;
  for (std::size_t i = 0; i < number.size(); ++i)
    if (!std::isnan(number[i])) squares += weight[i] * (number[i] - mean) * (number[i] - mean);
  return {mean, std::sqrt(squares / all)};
}

struct ReaderOptions {
  ClassWeight class_weight = ClassWeight::none;
  std::vector<double> grid{1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0};  // of C, chosen by folds; alpha takes the inverses. One value: that one
  int folds = 3;
  Index fewest = 3;  // rows of each class (of numbers: in all) without which a group has no probe
};

/// Rows of features with what a fit must know about them. group < 0: the row takes no part.
struct ReaderRows {
  FeatureView<float> x;                // (n, d)
  std::vector<std::int32_t> group{};   // (n)
  std::vector<std::int32_t> person{};  // (n), as codes
};

class GroupedReader {
 public:
  /// label (n): classes from 0, -1: the row takes no part. Throws Error: shape (lengths), argument (no group has rows enough).
  GroupedReader(Context<Cpu>& ctx, const ReaderRows& rows, std::span<const std::int32_t> label, Index classes,
                const ReaderOptions& options = {})
      : classes_(classes) {
    if (classes < 2) fail(ErrorKind::argument, "reader.classes", "reader: ", classes, " classes, expected at least 2");
    check(rows, label.size());
    fit(
        ctx, rows, options, [&](std::size_t i) { return label[i] >= 0; },
        [&](std::size_t i, std::vector<std::int32_t>& y, std::vector<double>&) { y.push_back(label[i]); });
  }
  /// target (n): NaN: the row takes no part.
  GroupedReader(Context<Cpu>& ctx, const ReaderRows& rows, std::span<const double> target, const ReaderOptions& options = {}) {
    check(rows, target.size());
    fit(
        ctx, rows, options, [&](std::size_t i) { return !std::isnan(target[i]); },
        [&](std::size_t i, std::vector<std::int32_t>&, std::vector<double>& y) { y.push_back(target[i]); });
  }

  bool reads(std::int32_t group) const {
    return group >= 0 && static_cast<std::size_t>(group) < fits_.size() && fits_[static_cast<std::size_t>(group)].has_value();
  }
  const LinearFit& probe(std::int32_t group) const { return fits_.at(static_cast<std::size_t>(group)).value(); }
  bool converged() const {
    return std::all_of(fits_.begin(), fits_.end(), [](const auto& f) { return !f || f->converged; });
  }

  /// The class of each row, -1 where the group is not read.
  std::vector<std::int32_t> classes(FeatureView<float> x, std::span<const std::int32_t> group) const {
    std::vector<std::int32_t> read;
    each(x, group, [&](const double* value, Index outputs) {
      if (value == nullptr) read.push_back(-1);
      else if (outputs == 1) read.push_back(value[0] > 0);
      else read.push_back(static_cast<std::int32_t>(std::max_element(value, value + outputs) - value));
    });
    return read;
  }
  /// The number of each row, NaN where the group is not read.
  std::vector<double> numbers(FeatureView<float> x, std::span<const std::int32_t> group) const {
    std::vector<double> read;
    each(x, group, [&](const double* value, Index) { read.push_back(value != nullptr ? value[0] : not_a_number); });
    return read;
  }

  /// 64 digits: the same reader has the same.
  std::string hash() const {
    std::string text;
    for (const auto& f : fits_) {
      text += concat(f ? f->outputs : 0, '\n');
      if (!f) continue;
      for (const auto* v : {&f->weights, &f->intercept, &f->mean, &f->scale})
        text.append(reinterpret_cast<const char*>(v->data()), v->size() * sizeof(double));
    }
    return sha256_hex(text);
  }

 private:
  static void check(const ReaderRows& rows, std::size_t labels) {
    const auto n = static_cast<std::size_t>(rows.x.rows);
    if (labels != n || rows.group.size() != n || rows.person.size() != n)
      fail(ErrorKind::shape, "reader.rows", "reader: ", n, " rows of features, ", labels, " labels, ", rows.group.size(), " groups, ",
           rows.person.size(), " people");
  }

  template <class Has, class Add>
  void fit(Context<Cpu>& ctx, const ReaderRows& rows, const ReaderOptions& options, Has&& has, Add&& add) {
    std::int32_t groups = 0;
    for (const std::int32_t g : rows.group) groups = std::max(groups, g + 1);
    fits_.resize(static_cast<std::size_t>(groups));
    bool any = false;
    for (std::int32_t g = 0; g < groups; ++g) {
      std::vector<Index> selected;
      std::vector<std::int32_t> label;
      std::vector<double> target;
      std::vector<std::int64_t> person;
      for (std::size_t i = 0; i < rows.group.size(); ++i)
        if (rows.group[i] == g && has(i)) {
          selected.push_back(static_cast<Index>(i));
          person.push_back(rows.person[i]);
          add(i, label, target);
        }
      if (static_cast<Index>(selected.size()) < options.fewest || !enough(label, options.fewest)) continue;
      fits_[static_cast<std::size_t>(g)] = fit_group(ctx, rows.x, selected, label, target, person, options);
      any = true;
    }
    if (!any)
      fail(ErrorKind::argument, "reader.few", "reader: no group has ", options.fewest, " rows of ",
           classes_ > 0 ? "each class" : "known numbers");
  }

  bool enough(const std::vector<std::int32_t>& label, Index fewest) const {
    for (std::int32_t c = 0; c < static_cast<std::int32_t>(classes_); ++c)
      if (std::count(label.begin(), label.end(), c) < fewest) return false;
    return true;
  }

  LinearFit fit_group(Context<Cpu>& ctx, FeatureView<float> x, const std::vector<Index>& selected, const std::vector<std::int32_t>& label,
                      const std::vector<double>& target, const std::vector<std::int64_t>& person, const ReaderOptions& options) const {
    FitProblem whole;
    whole.loss = classes_ == 0 ? Loss::squared : classes_ == 2 ? Loss::logistic : Loss::softmax;
    whole.outputs = classes_ > 2 ? classes_ : 1;
    whole.label = classes_ > 0 ? label.data() : nullptr;
    whole.target = classes_ > 0 ? nullptr : target.data();
    if (classes_ > 0 && options.class_weight == ClassWeight::balanced) whole.class_weight = balanced_weights(label, classes_);
    const Design<float, Cpu> design(ctx, x, selected);
    NewtonSolver<float, Cpu> solver(design);
    whole.penalty = 1 / choose(solver, whole, person, options);
    return solver.solve({&whole, 1})[0];
  }

  /// The C of the grid with the least loss on people held out; 1 when there are too few people for folds.
  double choose(NewtonSolver<float, Cpu>& solver, const FitProblem& whole, const std::vector<std::int64_t>& person,
                const ReaderOptions& options) const {
    if (options.grid.size() == 1) return options.grid[0];
    const auto n = person.size(), outputs = static_cast<std::size_t>(whole.outputs);
    if (std::set<std::int64_t>(person.begin(), person.end()).size() < static_cast<std::size_t>(options.folds)) return 1;
    const FoldOptions folds{.folds = options.folds};
    const std::vector<std::int32_t> fold =
        (classes_ > 0 ? stratified_group_kfold(std::vector<std::int64_t>(whole.label, whole.label + n), person, folds)
                      : group_kfold(person, folds))
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
          loss -= whole.weight(static_cast<Index>(i)) * std::log(std::max(p[static_cast<std::size_t>(whole.label[i])], 1e-300));
        }
      }
      if (loss < best) best = loss, C = options.grid[k];
    }
    return C;
  }

  template <class F>
  void each(FeatureView<float> x, std::span<const std::int32_t> group, F&& f) const {
    if (static_cast<Index>(group.size()) != x.rows)
      fail(ErrorKind::shape, "reader.rows", "reader: ", x.rows, " rows of features, ", group.size(), " groups");
    std::vector<double> value(static_cast<std::size_t>(std::max<Index>(classes_, 1)));
    for (Index i = 0; i < x.rows; ++i) {
      const std::int32_t g = group[static_cast<std::size_t>(i)];
      if (!reads(g)) {
        f(nullptr, 0);
        continue;
      }
      if (x.features != probe(g).features)
        fail(ErrorKind::shape, "reader.width", "reader: fitted on ", probe(g).features, " features, came ", x.features);
      probe(g).evaluate(x.data + i * x.features, value.data());
      f(value.data(), probe(g).outputs);
    }
  }

  Index classes_ = 0;  // 0: numbers
  std::vector<std::optional<LinearFit>> fits_;
};

}  // namespace braing3n::inline BRAING3N_ABI
