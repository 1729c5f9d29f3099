// Conversions of bfloat16 over all bit patterns.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <initializer_list>
#include <limits>

#include "braing3n/base/bfloat16.hpp"

using namespace braing3n;

TEST_CASE("every bfloat16 survives the way through float") {
  for (std::uint32_t bits = 0; bits <= 0xffffu; ++bits) {
    const bfloat16 b = bfloat16::from_bits(static_cast<std::uint16_t>(bits));
    const float f = b;
    if (std::isnan(f)) {
      CHECK(std::isnan(static_cast<float>(bfloat16(f))));
    } else {
      CHECK(bfloat16(f).bits == b.bits);
    }
  }
}

TEST_CASE("rounding is to nearest, ties to even") {
  for (std::uint32_t bits = 0; bits < 0x7f80u; ++bits) {  // all finite values, and the neighbour above
    const float low = bfloat16::from_bits(static_cast<std::uint16_t>(bits));
    const auto at = [&](std::uint32_t tail) { return bfloat16(std::bit_cast<float>((bits << 16) + tail)).bits; };
    const auto up = static_cast<std::uint16_t>(bits + 1);
    CHECK(at(0x0001u) == bits);
    CHECK(at(0x7fffu) == bits);
    CHECK(at(0x8000u) == ((bits & 1u) != 0 ? up : bits));
    CHECK(at(0x8001u) == up);
    CHECK(at(0xffffu) == up);
    CHECK(bfloat16(-low).bits == (bits | 0x8000u));
  }
}

TEST_CASE("infinities, overflow, NaN, zeros") {
  constexpr float inf = std::numeric_limits<float>::infinity();
  CHECK(static_cast<float>(bfloat16(inf)) == inf);
  CHECK(static_cast<float>(bfloat16(-inf)) == -inf);
  CHECK(static_cast<float>(bfloat16(std::numeric_limits<float>::max())) == inf);
  for (std::uint32_t bits : {0x7f800001u, 0x7fbfffffu, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    const bfloat16 b(std::bit_cast<float>(bits));
    CHECK(std::isnan(static_cast<float>(b)));
    CHECK((b.bits >> 15) == (bits >> 31));  // the sign stays
    CHECK((b.bits & 0x40u) != 0);           // quiet
  }
  CHECK(bfloat16(0.0f).bits == 0);
  CHECK(bfloat16(-0.0f).bits == 0x8000u);
  CHECK(bfloat16(1.0).bits == 0x3f80u);
}
