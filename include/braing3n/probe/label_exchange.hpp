// Which labels a permutation test may exchange: restricted permutation by blocks, a subject being a block.
//
// Two rules (Good, "Permutation, Parametric and Bootstrap Tests", 2005; Winkler et al., "Multi-level block permutation",
// NeuroImage 2015):
//   subjects  every subject has one label on all their scans. Labels belong to subjects and are exchanged among all subjects of a
//             fold, whatever their numbers of scans.
//   blocks    some subject has several labels. The labels of a subject are a block: whole blocks are exchanged among subjects with
//             equally many scans, and the labels of a subject among the subject's scans (both assume that the scans of a subject are
//             exchangeable). Blocks alone would not do: where every subject has the same labels, no exchange changes anything.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/probe/replicates.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class LabelExchange { subjects, blocks };

inline const char* to_string(LabelExchange rule) { return rule == LabelExchange::subjects ? "subjects" : "blocks"; }

namespace detail {

/// values sorted by subject; begin: where each subject starts, and the end. Is there one value per subject?
template <class T>
bool constant_within_subjects(std::span<const T> values, std::span<const std::int32_t> begin) {
  for (std::size_t s = 0; s + 1 < begin.size(); ++s)
    for (std::int32_t i = begin[s] + 1; i < begin[s + 1]; ++i)
      if (values[static_cast<std::size_t>(i)] != values[static_cast<std::size_t>(begin[s])]) return false;
  return true;
}

/// Natural logarithm of the number of orders of items that can be told apart.
template <class T>
double log_orders(const std::vector<T>& items) {
  std::map<T, double> count;
  for (const T& item : items) count[item] += 1;
  double log_ways = std::lgamma(static_cast<double>(items.size()) + 1);
  for (const auto& [item, n] : count) log_ways -= std::lgamma(n + 1);
  return log_ways;
}

/// Deals the labels of one fold out anew. subject_begin must outlive it.
class LabelDealer {
 public:
  LabelDealer(std::span<const std::int32_t> subject_begin, LabelExchange rule)
      : begin_(subject_begin), rule_(rule), order_(subject_begin.empty() ? 0 : subject_begin.size() - 1) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    if (rule_ == LabelExchange::blocks)
      std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) { return size(a) < size(b); });
  }

  /// values: one per sample of the fold -> dealt, of the same size.
  template <class T>
  void deal(const Philox& rng, const std::vector<T>& values, std::vector<T>& dealt) const {
    std::vector<std::size_t> from = order_;
    IntegerStream draw(rng);
    for_each_group([&](std::size_t begin, std::size_t end) {
      for (std::size_t i = end - begin; i-- > 1;) std::swap(from[begin + i], from[begin + draw.next(i + 1)]);
    });
    dealt.resize(values.size());
    for (std::size_t k = 0; k < order_.size(); ++k) {
      const auto source = values.begin() + begin_[from[k]];
      const auto target = dealt.begin() + begin_[order_[k]];
      const auto scans = static_cast<std::size_t>(size(order_[k]));
      if (rule_ == LabelExchange::subjects) {
        std::fill_n(target, scans, *source);
        continue;
      }
      std::copy_n(source, scans, target);
      for (std::size_t i = scans; i-- > 1;)
        std::swap(target[static_cast<std::ptrdiff_t>(i)], target[static_cast<std::ptrdiff_t>(draw.next(i + 1))]);
    }
  }

  /// Natural logarithm of the number of different results of deal().
  template <class T>
  double log_ways(const std::vector<T>& values) const {
    double ways = 0;
    for_each_group([&](std::size_t begin, std::size_t end) {
      std::vector<std::vector<T>> blocks;
      for (std::size_t k = begin; k < end; ++k) {
        const auto first = values.begin() + begin_[order_[k]];
        blocks.emplace_back(first, first + (rule_ == LabelExchange::subjects ? 1 : size(order_[k])));
        std::sort(blocks.back().begin(), blocks.back().end());
        ways += log_orders(blocks.back());
      }
      ways += log_orders(blocks);
    });
    return ways;
  }

 private:
  std::int32_t size(std::size_t s) const { return begin_[s + 1] - begin_[s]; }
  /// Calls f(begin, end) for every range of order_ that may be exchanged.
  template <class F>
  void for_each_group(F&& f) const {
    for (std::size_t begin = 0; begin < order_.size();) {
      std::size_t end = begin;
      while (end < order_.size() && (rule_ == LabelExchange::subjects || size(order_[end]) == size(order_[begin])))
        ++end;
      f(begin, end);
      begin = end;
    }
  }

  std::span<const std::int32_t> begin_;
  LabelExchange rule_;
  std::vector<std::size_t> order_;  // blocks: subjects by number of samples
};

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
