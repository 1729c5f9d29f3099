// Cross-validation folds that keep the scans of one person together.
//
// stratified_group_kfold: every group goes to the fold that keeps the class proportions of all folds most alike. The same seed
// gives the folds of scikit-learn's StratifiedGroupKFold, in two versions of its shuffle:
//   fixed   group counts and the sample-to-group map are shuffled together (scikit-learn pull request 32540, 2025);
//   legacy  only the counts are shuffled, as in the releases before: shuffle then breaks the stratification without a word.
// group_kfold: groups by size onto the emptiest fold, or (shuffled) an even cut of a permutation of the groups. Groups of equal
// size come in stable order (fixed) or in the order of numpy's quicksort, which releases up to 2024 used (legacy).
// quantile_bins: classes for the stratification of a continuous target.
// Shared with scikit-learn to the last bit: fold_balance.hpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "braing3n/base/error.hpp"
#include "braing3n/probe/fold_balance.hpp"
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
  if constexpr (std::is_integral_v<Key>) {  // a short range of integers needs no sorting
    if (items.empty()) return out;
    const auto [low, high] = std::minmax_element(items.begin(), items.end());
    const std::uint64_t range = static_cast<std::uint64_t>(*high) - static_cast<std::uint64_t>(*low);
    if (range < 4 * items.size()) {
      std::vector<std::int32_t> code(static_cast<std::size_t>(range) + 1, -1);
      const auto at = [&, first = *low](Key item) { return static_cast<std::size_t>(item - first); };
      for (const Key item : items) code[at(item)] = 0;
      for (std::size_t k = 0; k < code.size(); ++k)
        if (code[k] == 0) {
          code[k] = static_cast<std::int32_t>(out.values.size());
          out.values.push_back(static_cast<Key>(*low + static_cast<Key>(k)));
        }
      out.codes.reserve(items.size());
      for (const Key item : items) out.codes.push_back(code[at(item)]);
      return out;
    }
  }
  out.values.assign(items.begin(), items.end());
  std::sort(out.values.begin(), out.values.end());
  out.values.erase(std::unique(out.values.begin(), out.values.end()), out.values.end());
  out.codes.reserve(items.size());
  for (const Key& item : items)
    out.codes.push_back(
        static_cast<std::int32_t>(std::lower_bound(out.values.begin(), out.values.end(), item) - out.values.begin()));
  return out;
}

namespace detail {

inline void check_folds(const char* op, int folds, std::size_t samples, std::size_t groups, Index distinct_groups) {
  if (folds < 2) fail(ErrorKind::argument, "folds.count", op, ": at least 2 folds are needed, got ", folds);
  if (samples == 0) fail(ErrorKind::argument, "folds.empty", op, ": there are no samples to split");
  if (samples != groups)
    fail(ErrorKind::shape, "folds.length", op, ": ", samples, " samples, but ", groups, " group labels");
  if (distinct_groups < folds)
    fail(ErrorKind::argument, "folds.groups", op, ": ", distinct_groups, " subjects cannot fill ", folds, " folds");
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
  const double largest = *std::max_element(totals.begin(), totals.end()),
               smallest = *std::min_element(totals.begin(), totals.end());
  if (options.folds > largest)
    fail(ErrorKind::argument, "folds.classes", "stratified folds: no class has ", options.folds,
         " samples; the largest has ", largest);
  if (options.folds > smallest)
    out.warnings.push_back(concat("the smallest class has ", smallest, " samples for ", options.folds,
                                  " folds: some fold has none of it"));

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
