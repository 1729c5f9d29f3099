// Philox4x32-10, the one random generator of the library.
//
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (round constants and key schedule).
// The generator is a pure function of a key and a counter, so a number depends only on what it is for and never on the
// thread, the batch or the backend that asks:
//   key     = 64-bit seed
//   counter = {element block, purpose, step, sample id}
// The sample id is the sample's own index in the data set, never its place in the batch.
// Integers, uniforms and masks are equal everywhere; normals agree within a few units in the last place, because the
// logarithm, sine and cosine of the platforms do.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// What a random number is for. Two purposes never share numbers. Values are stored in training states: append only.
enum class Purpose : std::uint32_t {
  init = 0,
  mask = 1,
  noise = 2,
  time = 3,
  label_drop = 4,
  shuffle = 5,
  augment = 6,
  split = 7,
  phantom = 8,
  bootstrap = 9,
  permutation = 10,
  test = 11,
  posterior = 12,
};

class Philox {
 public:
  using Block = std::array<std::uint32_t, 4>;

  BRAING3N_HD constexpr Philox(std::uint64_t seed, Purpose purpose, std::uint32_t step = 0, std::uint32_t sample = 0)
      : key0_(static_cast<std::uint32_t>(seed)), key1_(static_cast<std::uint32_t>(seed >> 32)),
        purpose_(static_cast<std::uint32_t>(purpose)), step_(step), sample_(sample) {}

  /// Four 32-bit integers for element block `block`.
  BRAING3N_HD constexpr Block block(std::uint32_t block) const {
    return rounds({block, purpose_, step_, sample_}, key0_, key1_);
  }

  /// 32-bit integer number `index` of this stream, index < 2^34.
  BRAING3N_HD constexpr std::uint32_t integer(std::uint64_t index) const {
    return block(static_cast<std::uint32_t>(index >> 2))[index & 3];
  }

  /// Uniform in [0, 1) with 24 bits, the same on every platform.
  BRAING3N_HD constexpr float uniform(std::uint64_t index) const { return to_uniform(integer(index)); }

  /// Standard normal: Box-Muller on the two halves of the block that holds `index`.
  BRAING3N_HD double normal(std::uint64_t index) const {
    const Block b = block(static_cast<std::uint32_t>(index >> 2));
    const unsigned pair = static_cast<unsigned>(index >> 1) & 1u;
    return box_muller(b[2 * pair], b[2 * pair + 1], (index & 1) != 0);
  }

  BRAING3N_HD static constexpr float to_uniform(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

  /// u is in (0, 1], so the logarithm is finite.
  BRAING3N_HD static double box_muller(std::uint32_t bits_radius, std::uint32_t bits_angle, bool second) {
    const double u = (static_cast<double>(bits_radius) + 1.0) * 0x1p-32;
    const double angle = static_cast<double>(bits_angle) * (0x1p-32 * 6.283185307179586476925286766559);
    const double radius = std::sqrt(-2.0 * std::log(u));
    return radius * (second ? std::sin(angle) : std::cos(angle));
  }

  BRAING3N_HD static constexpr Block rounds(Block c, std::uint32_t k0, std::uint32_t k1) {
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0];
      const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c[2];
      c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
           static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return c;
  }

 private:
  std::uint32_t key0_, key1_, purpose_, step_, sample_;
};

}  // namespace braing3n::inline BRAING3N_ABI
