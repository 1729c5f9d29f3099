// A name for what a scan contains: equal voxels on an equal grid have equal hashes, however the file was compressed, named or
// which whole-number type it uses. For finding copies, not against forgers (64 bits, not cryptographic).
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "braing3n/volume/volume.hpp"

namespace braing3n::inline BRAING3N_ABI {

class ContentHash {
 public:
  /// Order counts, grouping does not matter for equal sequences of calls.
  void update(std::uint64_t word) {
    // The mixing step of splitmix64 (Steele, Lea, Flood 2014).
    state_ += word + 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    state_ = z ^ (z >> 31);
  }
  std::uint64_t value() const { return state_; }
  std::string hex() const {
    std::string digits(16, '0');
    for (std::size_t i = 0; i < 16; ++i) digits[i] = "0123456789abcdef"[state_ >> (60 - 4 * i) & 15u];
    return digits;
  }

 private:
  std::uint64_t state_ = 0;
};

/// Extents and values; where the scan lies does not count, since copies are often re-registered by header alone.
inline std::string content_hash(const Volume& volume) {
  ContentHash h;
  for (const Index n : volume.shape()) h.update(static_cast<std::uint64_t>(n));
  const float* v = volume.data();
  Index i = 0;
  const auto bits = [](float x) {
    return std::uint64_t{__builtin_bit_cast(std::uint32_t, x == 0.0f ? 0.0f : x)};
  };  // -0 is 0
  for (; i + 1 < volume.size(); i += 2) h.update(bits(v[i]) | bits(v[i + 1]) << 32);
  if (i < volume.size()) h.update(bits(v[i]));
  return h.hex();
}

/// Groups of two or more places with the same hash, in order of their first.
inline std::vector<std::vector<Index>> equal_hashes(const std::vector<std::string>& hashes) {
  std::map<std::string, std::vector<Index>> places;
  for (std::size_t i = 0; i < hashes.size(); ++i)
    if (!hashes[i].empty()) places[hashes[i]].push_back(static_cast<Index>(i));
  std::map<Index, std::vector<Index>> groups;
  for (auto& [hash, list] : places)
    if (list.size() > 1) groups.emplace(list.front(), std::move(list));
  std::vector<std::vector<Index>> result;
  for (auto& [first, list] : groups) result.push_back(std::move(list));
  return result;
}

}  // namespace braing3n::inline BRAING3N_ABI
