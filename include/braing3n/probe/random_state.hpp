// The part of numpy's legacy RandomState that decides folds: MT19937 seeded with one integer, shuffle and permutation.
//
// Source: Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 1998. numpy froze this stream: the same seed gives the same
// permutation in every release, which is what lets folds be shared with Python users. Random numbers of ours come from
// Philox (base/philox.hpp); this generator exists for fold compatibility alone.
#pragma once

#include <array>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

class RandomState {
 public:
  /// Seeding by one integer fills the state by Knuth's recurrence.
  explicit RandomState(std::uint32_t seed) {
    key_[0] = seed;
    for (std::uint32_t i = 1; i < words; ++i) key_[i] = 1812433253u * (key_[i - 1] ^ (key_[i - 1] >> 30)) + i;
  }

  /// The next 32-bit output.
  std::uint32_t next() {
    if (position_ == words) twist();
    std::uint32_t y = key_[position_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
  }

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
  static constexpr std::uint32_t words = 624, middle = 397;

  void twist() {
    for (std::uint32_t i = 0; i < words; ++i) {
      const std::uint32_t y = (key_[i] & 0x80000000u) | (key_[(i + 1) % words] & 0x7fffffffu);
      key_[i] = key_[(i + middle) % words] ^ (y >> 1) ^ ((y & 1u) != 0 ? 0x9908b0dfu : 0u);
    }
    position_ = 0;
  }

  std::array<std::uint32_t, words> key_{};
  std::uint32_t position_ = words;
};

}  // namespace braing3n::inline BRAING3N_ABI
