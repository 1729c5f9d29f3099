// How stratified folds are balanced: groups are placed one by one where they keep the class shares of all folds most alike.
//
// The criterion is the mean over classes of the standard deviation over folds of the class's share. Near-ties between folds are
// decided by its last bits, so sums follow the order numpy uses, and the orders of equal keys are those of numpy's sorts:
// only then are the folds of a seed those of scikit-learn.
#pragma once

#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

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
        counts_(folds_ * classes_, 0.0), shares_(classes_ * folds_, 0.0), size_(folds_, 0.0), spread_(classes_, 0.0),
        trial_(classes_) {}

  /// group: samples of the group per class. Returns its fold.
  int place(const double* group) {
    double best_spread = std::numeric_limits<double>::infinity(), best_size = best_spread;
    std::size_t best = 0;
    for (std::size_t f = 0; f < folds_; ++f) {
      const double spread = spread_with(f, group);
      // On a near-tie in spread the smaller fold wins, and its spread becomes the one to beat.
      const bool close =
          std::abs(spread - best_spread) <= 1e-8 + 1e-5 * std::abs(best_spread) && std::isfinite(best_spread);
      if (spread < best_spread || (close && size_[f] < best_size)) {
        best_spread = spread;
        best_size = size_[f];
        best = f;
      }
    }
    for (std::size_t c = 0; c < classes_; ++c) {
      if (group[c] == 0.0) continue;
      counts_[best * classes_ + c] += group[c];
      size_[best] += group[c];
      shares_[c * folds_ + best] = counts_[best * classes_ + c] / totals_[c];
      spread_[c] = spread_over_folds(c, best, shares_[c * folds_ + best]);
    }
    return static_cast<int>(best);
  }

 private:
  /// Mean over classes of the standard deviation over folds of the class's share, with `group` added to fold f. Classes that the
  /// group does not have keep the deviation they had.
  double spread_with(std::size_t f, const double* group) {
    for (std::size_t c = 0; c < classes_; ++c)
      trial_[c] =
          group[c] == 0.0 ? spread_[c] : spread_over_folds(c, f, (counts_[f * classes_ + c] + group[c]) / totals_[c]);
    return numpy_sum(trial_.data(), classes_) / static_cast<double>(classes_);
  }

  double spread_over_folds(std::size_t c, std::size_t f, double share_of_f) const {
    const double* shares = &shares_[c * folds_];
    const double folds = static_cast<double>(folds_);
    const auto share = [&](std::size_t i) { return i == f ? share_of_f : shares[i]; };
    double mean = share(0);
    for (std::size_t i = 1; i < folds_; ++i) mean += share(i);
    mean /= folds;
    double squares = (share(0) - mean) * (share(0) - mean);
    for (std::size_t i = 1; i < folds_; ++i) squares += (share(i) - mean) * (share(i) - mean);
    return std::sqrt(squares / folds);
  }

  std::size_t folds_, classes_;
  std::vector<double> totals_, counts_, shares_, size_, spread_,
      trial_;  // counts (folds, classes), shares (classes, folds)
};

/// Ascending order of keys as numpy's argsort leaves it by default (without vector instructions): quicksort with the median of
/// three, insertion sort up to 16 elements, the smaller part first. The order of equal keys is what counts here.
inline std::vector<std::size_t> numpy_quicksort_order(const std::vector<Index>& key) {
  std::vector<std::size_t> order(key.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (order.empty()) return order;
  const auto at = [&](std::ptrdiff_t i) -> std::size_t& { return order[static_cast<std::size_t>(i)]; };
  const auto value = [&](std::ptrdiff_t i) { return key[at(i)]; };
  constexpr std::ptrdiff_t small_quicksort = 15;  // numpy's name and value: last - first, so up to 16 elements
  std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>> parts{{0, std::ssize(order) - 1}};
  while (!parts.empty()) {
    auto [left, right] = parts.back();
    parts.pop_back();
    while (right - left > small_quicksort) {
      const std::ptrdiff_t middle = left + (right - left) / 2;
      if (value(middle) < value(left)) std::swap(at(middle), at(left));
      if (value(right) < value(middle)) std::swap(at(right), at(middle));
      if (value(middle) < value(left)) std::swap(at(middle), at(left));
      const Index pivot = value(middle);
      std::ptrdiff_t i = left, j = right - 1;
      std::swap(at(middle), at(j));
      for (;;) {
        do ++i;
        while (value(i) < pivot);
        do --j;
        while (pivot < value(j));
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

}  // namespace braing3n::inline BRAING3N_ABI
