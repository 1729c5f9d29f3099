// Cross-validation folds that keep the scans of one person together.
//
// stratified_group_kfold: every group goes to the fold that keeps the class proportions of all folds most alike. The same seed
// gives the folds of scikit-learn's StratifiedGroupKFold, in two versions of its shuffle:
//   fixed   group counts and the sample-to-group map are shuffled together (scikit-learn pull request 32540, 2025);
//   legacy  only the counts are shuffled, as in the releases before: shuffle then breaks the stratification without a word.
// group_kfold: groups by size onto the emptiest fold, or (shuffled) an even cut of a permutation of the groups. Groups of equal
// size come in stable order (fixed) or in the order of numpy's quicksort, which releases up to 2024 used (legacy).
// quantile_bins: classes for the stratification of a continuous target.
// Floating-point sums follow the order numpy uses, because near-ties between folds are decided by their last bits.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/probe/random_state.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class FoldShuffle { fixed, legacy };

struct FoldOptions {
  int folds = 5;
  bool shuffle = true;
  std::uint32_t seed = 2025;
  FoldShuffle mode = FoldShuffle::fixed;
};

/// fold[i] in [0, folds): the fold in which sample i is held out; -1: the sample takes no part.
struct Folds {
  int folds = 0;
  std::vector<std::int32_t> fold;
  std::vector<std::string> warnings;  // plain sentences, e.g. a class too small for every fold
};

/// Sorted distinct values and, per item, the place of its value among them.
template <class Key>
struct Encoded {
  std::vector<Key> values;
  std::vector<std::int32_t> codes;
  Index count() const { return static_cast<Index>(values.size()); }
};

template <class Key>
Encoded<Key> encode_sorted(std::span<const Key> items) {
  Encoded<Key> out;
  out.values.assign(items.begin(), items.end());
  std::sort(out.values.begin(), out.values.end());
  out.values.erase(std::unique(out.values.begin(), out.values.end()), out.values.end());
  out.codes.reserve(items.size());
  for (const Key& item : items)
    out.codes.push_back(static_cast<std::int32_t>(std::lower_bound(out.values.begin(), out.values.end(), item) - out.values.begin()));
  return out;
}

namespace detail {

/// numpy's sum of a contiguous range: in order below 8 elements, eight interleaved partial sums up to 128, halves above.
inline double numpy_sum(const double* x, std::size_t n) {
  if (n < 8) {
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) sum += x[i];
    return sum;
  }
  if (n <= 128) {
    double r[8];
    for (std::size_t j = 0; j < 8; ++j) r[j] = x[j];
    std::size_t i = 8;
    for (; i + 8 <= n; i += 8)
      for (std::size_t j = 0; j < 8; ++j) r[j] += x[i + j];
    double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; ++i) sum += x[i];
    return sum;
  }
  const std::size_t half = n / 2 - (n / 2) % 8;
  return numpy_sum(x, half) + numpy_sum(x + half, n - half);
}

inline double numpy_std(std::span<const double> x) {
  const double n = static_cast<double>(x.size());
  const double mean = numpy_sum(x.data(), x.size()) / n;
  std::vector<double> squares(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) squares[i] = (x[i] - mean) * (x[i] - mean);
  return std::sqrt(numpy_sum(squares.data(), squares.size()) / n);
}

/// Assigns groups to folds one by one and keeps class counts per fold.
class FoldBalancer {
 public:
  FoldBalancer(int folds, std::vector<double> class_totals)
      : folds_(static_cast<std::size_t>(folds)), classes_(class_totals.size()), totals_(std::move(class_totals)),
        counts_(folds_ * classes_, 0.0), shares_(folds_ * classes_, 0.0), trial_(classes_), spread_(classes_) {}

  int place(const double* group) {
    double best_spread = std::numeric_limits<double>::infinity(), best_size = best_spread;
    std::size_t best = 0;
    for (std::size_t f = 0; f < folds_; ++f) {
      const double spread = spread_with(f, group);
      const double size = numpy_sum(&counts_[f * classes_], classes_);
      // On a near-tie in spread the smaller fold wins, and its spread becomes the one to beat.
      const bool close = std::abs(spread - best_spread) <= 1e-8 + 1e-5 * std::abs(best_spread) && std::isfinite(best_spread);
      if (spread < best_spread || (close && size < best_size)) {
        best_spread = spread;
        best_size = size;
        best = f;
      }
    }
    for (std::size_t c = 0; c < classes_; ++c) {
      counts_[best * classes_ + c] += group[c];
      shares_[best * classes_ + c] = counts_[best * classes_ + c] / totals_[c];
    }
    return static_cast<int>(best);
  }

 private:
  /// Mean over classes of the standard deviation over folds of the class's share, with `group` added to fold f.
  double spread_with(std::size_t f, const double* group) {
    const double folds = static_cast<double>(folds_);
    for (std::size_t c = 0; c < classes_; ++c) trial_[c] = (counts_[f * classes_ + c] + group[c]) / totals_[c];
    const auto share = [&](std::size_t i, std::size_t c) { return i == f ? trial_[c] : shares_[i * classes_ + c]; };
    for (std::size_t c = 0; c < classes_; ++c) {
      double mean = share(0, c);
      for (std::size_t i = 1; i < folds_; ++i) mean += share(i, c);
      mean /= folds;
      double squares = (share(0, c) - mean) * (share(0, c) - mean);
      for (std::size_t i = 1; i < folds_; ++i) squares += (share(i, c) - mean) * (share(i, c) - mean);
      spread_[c] = std::sqrt(squares / folds);
    }
    return numpy_sum(spread_.data(), classes_) / static_cast<double>(classes_);
  }

  std::size_t folds_, classes_;
  std::vector<double> totals_, counts_, shares_, trial_, spread_;
};

inline void check_folds(const char* op, int folds, std::size_t samples, std::size_t groups, Index distinct_groups) {
  if (folds < 2) fail(ErrorKind::argument, "folds.count", op, ": at least 2 folds are needed, got ", folds);
  if (samples == 0) fail(ErrorKind::argument, "folds.empty", op, ": there are no samples to split");
  if (samples != groups)
    fail(ErrorKind::shape, "folds.length", op, ": ", samples, " samples, but ", groups, " group labels");
  if (distinct_groups < folds)
    fail(ErrorKind::argument, "folds.groups", op, ": ", distinct_groups, " subjects cannot fill ", folds, " folds");
}

/// Ascending order of keys as numpy's argsort leaves it by default (without vector instructions): quicksort with the median of
/// three, insertion sort up to 17 elements, the smaller part first. The order of equal keys is what counts here.
inline std::vector<std::size_t> numpy_quicksort_order(const std::vector<Index>& key) {
  std::vector<std::size_t> order(key.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (order.empty()) return order;
  const auto at = [&](std::ptrdiff_t i) -> std::size_t& { return order[static_cast<std::size_t>(i)]; };
  const auto value = [&](std::ptrdiff_t i) { return key[at(i)]; };
  std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>> parts{{0, std::ssize(order) - 1}};
  while (!parts.empty()) {
    auto [left, right] = parts.back();
    parts.pop_back();
    while (right - left > 16) {
      const std::ptrdiff_t middle = left + (right - left) / 2;
      if (value(middle) < value(left)) std::swap(at(middle), at(left));
      if (value(right) < value(middle)) std::swap(at(right), at(middle));
      if (value(middle) < value(left)) std::swap(at(middle), at(left));
      const Index pivot = value(middle);
      std::ptrdiff_t i = left, j = right - 1;
      std::swap(at(middle), at(j));
      for (;;) {
        do ++i; while (value(i) < pivot);
        do --j; while (pivot < value(j));
        if (i >= j) break;
        std::swap(at(i), at(j));
      }
      std::swap(at(i), at(right - 1));
      if (i - left < right - i) {
        parts.emplace_back(i + 1, right);
        right = i - 1;
      } else {
        parts.emplace_back(left, i - 1);
        left = i + 1;
      }
    }
    for (std::ptrdiff_t i = left + 1; i <= right; ++i)
      for (std::ptrdiff_t j = i; j > left && value(j) < value(j - 1); --j) std::swap(at(j), at(j - 1));
  }
  return order;
}

}  // namespace detail

/// Folds by class and group. classes, groups: one value per sample, any integers.
/// Errors: fewer groups than folds; no class with as many samples as folds. A class with fewer samples is a warning.
inline Folds stratified_group_kfold(std::span<const std::int64_t> classes, std::span<const std::int64_t> groups,
                                    const FoldOptions& options = {}) {
  const auto y = encode_sorted(classes);
  const auto g = encode_sorted(groups);
  detail::check_folds("stratified folds", options.folds, classes.size(), groups.size(), g.count());
  const auto n_classes = static_cast<std::size_t>(y.count()), n_groups = static_cast<std::size_t>(g.count());

  std::vector<double> totals(n_classes, 0.0), counts(n_groups * n_classes, 0.0);
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const auto c = static_cast<std::size_t>(y.codes[i]);
    totals[c] += 1.0;
    counts[static_cast<std::size_t>(g.codes[i]) * n_classes + c] += 1.0;
  }
  Folds out;
  out.folds = options.folds;
  const double largest = *std::max_element(totals.begin(), totals.end()), smallest = *std::min_element(totals.begin(), totals.end());
  if (options.folds > largest)
    fail(ErrorKind::argument, "folds.classes", "stratified folds: no class has ", options.folds, " samples; the largest has ", largest);
  if (options.folds > smallest)
    out.warnings.push_back(concat("the smallest class has ", smallest, " samples for ", options.folds, " folds: some fold has none of it"));

  // row[r]: the group whose counts stand in row r of the (possibly shuffled) table.
  std::vector<Index> row(n_groups);
  if (options.shuffle) row = RandomState(options.seed).permutation(static_cast<Index>(n_groups));
  else std::iota(row.begin(), row.end(), Index{0});
  const auto row_counts = [&](std::size_t r) { return &counts[static_cast<std::size_t>(row[r]) * n_classes]; };

  std::vector<double> spread(n_groups);
  for (std::size_t r = 0; r < n_groups; ++r) spread[r] = detail::numpy_std({row_counts(r), n_classes});
  std::vector<std::size_t> order(n_groups);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return spread[a] > spread[b]; });

  detail::FoldBalancer balancer(options.folds, totals);
  std::vector<std::int32_t> fold_of_group(n_groups);
  for (std::size_t r : order) {
    // Legacy: the row number was taken for the group number, although the rows had been shuffled.
    const std::size_t group = options.mode == FoldShuffle::fixed ? static_cast<std::size_t>(row[r]) : r;
    fold_of_group[group] = balancer.place(row_counts(r));
  }
  out.fold.reserve(classes.size());
  for (std::int32_t code : g.codes) out.fold.push_back(fold_of_group[static_cast<std::size_t>(code)]);
  return out;
}

/// Folds by group alone: shuffled, an even cut of a permutation of the sorted groups; otherwise the largest groups first, each
/// onto the fold with the fewest samples. Errors: fewer groups than folds.
inline Folds group_kfold(std::span<const std::int64_t> groups, const FoldOptions& options = {.shuffle = false}) {
  const auto g = encode_sorted(groups);
  detail::check_folds("group folds", options.folds, groups.size(), groups.size(), g.count());
  const auto n_groups = static_cast<std::size_t>(g.count()), folds = static_cast<std::size_t>(options.folds);
  std::vector<std::int32_t> fold_of_group(n_groups);
  if (options.shuffle) {
    const std::vector<Index> order = RandomState(options.seed).permutation(g.count());
    for (std::size_t f = 0, next = 0; f < folds; ++f)
      for (std::size_t k = 0; k < n_groups / folds + (f < n_groups % folds ? 1 : 0); ++k)
        fold_of_group[static_cast<std::size_t>(order[next++])] = static_cast<std::int32_t>(f);
  } else {
    std::vector<Index> size(n_groups, 0), load(folds, 0);
    for (std::int32_t code : g.codes) ++size[static_cast<std::size_t>(code)];
    std::vector<std::size_t> order(n_groups);
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (options.mode == FoldShuffle::legacy) order = detail::numpy_quicksort_order(size);
    else std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return size[a] < size[b]; });
    for (std::size_t k = n_groups; k-- > 0;) {
      const auto lightest = static_cast<std::size_t>(std::min_element(load.begin(), load.end()) - load.begin());
      load[lightest] += size[order[k]];
      fold_of_group[order[k]] = static_cast<std::int32_t>(lightest);
    }
  }
  Folds out;
  out.folds = options.folds;
  for (std::int32_t code : g.codes) out.fold.push_back(fold_of_group[static_cast<std::size_t>(code)]);
  return out;
}

/// Bin of every value between the empirical quantiles 1/bins, 2/bins, ...: equal values share a bin, so there may be fewer.
inline std::vector<std::int64_t> quantile_bins(std::span<const double> values, int bins) {
  if (bins < 1) fail(ErrorKind::argument, "folds.bins", "quantile bins: at least 1 bin is needed, got ", bins);
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  std::vector<double> edges;
  for (int b = 1; b < bins && !sorted.empty(); ++b)
    edges.push_back(sorted[static_cast<std::size_t>(b) * sorted.size() / static_cast<std::size_t>(bins)]);
  std::vector<std::int64_t> out;
  out.reserve(values.size());
  for (double v : values) out.push_back(std::upper_bound(edges.begin(), edges.end(), v) - edges.begin());
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
