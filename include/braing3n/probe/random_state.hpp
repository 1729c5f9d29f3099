// The part of numpy's legacy RandomState that decides folds: MT19937 seeded with one integer, shuffle and permutation.
//
// numpy froze this stream: the same seed gives the same permutation in every release, which is what lets folds be shared with
// Python users. The generator is std::mt19937, whose outputs the standard fixes; the draws from it are numpy's, because those of
// std::shuffle differ between standard libraries. Random numbers of ours come from Philox (base/philox.hpp).
#pragma once

#include <cstdint>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

class RandomState {
 public:
  /// numpy seeds with one integer as std::mt19937 does.
  explicit RandomState(std::uint32_t seed) : engine_(seed) {}

  /// The next 32-bit output.
  std::uint32_t next() { return static_cast<std::uint32_t>(engine_()); }

  /// Uniform integer in [0, max]: the smallest covering bit mask with rejection, one output per try.
  std::uint32_t interval(std::uint32_t max) {
    if (max == 0) return 0;
    std::uint32_t mask = max;
    for (int shift = 1; shift < 32; shift *= 2) mask |= mask >> shift;
    std::uint32_t value = next() & mask;
    while (value > max) value = next() & mask;
    return value;
  }

  /// Fisher-Yates from the end, as numpy's shuffle.
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i-- > 1;) std::swap(items[i], items[interval(static_cast<std::uint32_t>(i))]);
  }

  /// The integers 0 .. n-1 shuffled.
  std::vector<Index> permutation(Index n) {
    std::vector<Index> items(static_cast<std::size_t>(n));
    std::iota(items.begin(), items.end(), Index{0});
    shuffle(items);
    return items;
  }

 private:
  std::mt19937 engine_;
};

}  // namespace braing3n::inline BRAING3N_ABI
