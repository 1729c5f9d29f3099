// bfloat16: the upper half of an IEEE float, rounded to nearest even.
#pragma once

#include <bit>
#include <cstdint>

#include "braing3n/base/config.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct bfloat16 {
  std::uint16_t bits;

  bfloat16() = default;
  BRAING3N_HD BRAING3N_INLINE constexpr bfloat16(float value) : bits(round(__builtin_bit_cast(std::uint32_t, value))) {}
  BRAING3N_HD BRAING3N_INLINE constexpr explicit bfloat16(double value) : bfloat16(static_cast<float>(value)) {}
  BRAING3N_HD BRAING3N_INLINE constexpr operator float() const {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }

  BRAING3N_HD static constexpr bfloat16 from_bits(std::uint16_t bits) {
    bfloat16 v{0.0f};
    v.bits = bits;
    return v;
  }

 private:
  // Round to nearest even; a NaN keeps its sign and stays a (quiet) NaN instead of rounding up to infinity.
  BRAING3N_HD BRAING3N_INLINE static constexpr std::uint16_t round(std::uint32_t u) {
    const std::uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
    return static_cast<std::uint16_t>(nan ? (u >> 16) | 0x40u : rounded);
  }
};
static_assert(sizeof(bfloat16) == 2);

}  // namespace braing3n::inline BRAING3N_ABI
