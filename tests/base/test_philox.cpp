// Philox4x32-10 against the known answers of its authors (Random123), and the numbers made from it.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "braing3n/base/philox.hpp"

using namespace braing3n;

TEST_CASE("known answers of Philox4x32-10") {
  CHECK(Philox::rounds({0, 0, 0, 0}, 0, 0) == Philox::Block{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  const std::uint32_t ff = 0xffffffffu;
  CHECK(Philox::rounds({ff, ff, ff, ff}, ff, ff) == Philox::Block{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  // Digits of pi as counter and key.
  CHECK(Philox::rounds({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, 0xa4093822u, 0x299f31d0u) ==
        Philox::Block{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("seed, purpose, step and sample are key and counter, in this order") {
  const Philox rng(0x299f31d0a4093822u, static_cast<Purpose>(0x85a308d3u), 0x13198a2eu, 0x03707344u);
  CHECK(rng.block(0x243f6a88u) == Philox::Block{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
  for (std::uint64_t i = 0; i < 40; ++i) CHECK(rng.integer(i) == rng.block(static_cast<std::uint32_t>(i / 4))[i % 4]);
}

TEST_CASE("streams that differ in one field share no numbers") {
  std::set<std::uint32_t> seen;
  std::size_t drawn = 0;
  const auto draw = [&](const Philox& rng) {
    for (std::uint64_t i = 0; i < 64; ++i, ++drawn) seen.insert(rng.integer(i));
  };
  draw(Philox(1, Purpose::mask, 0, 0));
  draw(Philox(2, Purpose::mask, 0, 0));
  draw(Philox(1 + (std::uint64_t{1} << 32), Purpose::mask, 0, 0));
  draw(Philox(1, Purpose::noise, 0, 0));
  draw(Philox(1, Purpose::mask, 1, 0));
  draw(Philox(1, Purpose::mask, 0, 1));
  CHECK(seen.size() == drawn);
}

TEST_CASE("uniforms and normals have their moments") {
  const Philox rng(42, Purpose::test);
  constexpr int n = 200000;
  double sum = 0, squares = 0, normal_sum = 0, normal_squares = 0, fourth = 0, neighbours = 0, last = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double u = rng.uniform(i), z = rng.normal(i);
    CHECK_UNARY(u >= 0 && u < 1);
    sum += u, squares += u * u;
    normal_sum += z, normal_squares += z * z, fourth += z * z * z * z;
    neighbours += z * last;
    last = z;
  }
  const double five_sigma = 5 / std::sqrt(static_cast<double>(n));
  CHECK(std::abs(sum / n - 0.5) < five_sigma * std::sqrt(1.0 / 12));
  CHECK(std::abs(squares / n - 1.0 / 3) < five_sigma * std::sqrt(4.0 / 45));
  CHECK(std::abs(normal_sum / n) < five_sigma);
  CHECK(std::abs(normal_squares / n - 1) < five_sigma * std::sqrt(2.0));
  CHECK(std::abs(fourth / n - 3) < five_sigma * std::sqrt(96.0));
  CHECK(std::abs(neighbours / n) < five_sigma);
}

TEST_CASE("the ends of the ranges") {
  CHECK(Philox::to_uniform(0) == 0.0f);
  CHECK(Philox::to_uniform(0xffffffffu) == 1.0f - 0x1p-24f);
  CHECK(Philox::box_muller(0xffffffffu, 0, false) == 0.0);                                   // u = 1
  CHECK(Philox::box_muller(0, 0, false) == doctest::Approx(std::sqrt(64 * std::log(2.0))));  // u = 2^-32
  CHECK(Philox::box_muller(0, 0x40000000u, true) == doctest::Approx(std::sqrt(64 * std::log(2.0))));
  CHECK(std::abs(Philox::box_muller(0, 0x40000000u, false)) < 1e-12);
}
