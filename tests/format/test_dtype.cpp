#include "braing3n/format/dtype.hpp"

#include <doctest/doctest.h>

#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE("dtype: conversions") {
  const auto convert = [](auto to, DType type, auto from) {
    convert_elements(type, std::as_bytes(std::span(&from, 1)), std::span(&to, 1));
    return to;
  };
  const auto half = [](std::uint16_t bits) { return to_float(float16{bits}); };
  CHECK(half(0x3c00) == 1.0f);
  CHECK(half(0xc500) == -5.0f);
  CHECK(half(0x7bff) == 65504.0f);
  CHECK(half(0x0001) == 0x1p-24f);
  CHECK(half(0x83ff) == -1023 * 0x1p-24f);
  CHECK(half(0x0400) == 0x1p-14f);
  CHECK(half(0x7c00) == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(half(0x7e01)));
  CHECK(std::signbit(half(0x8000)));
  CHECK(convert(0.0f, DType::f16, std::uint16_t{0x3555}) == half(0x3555));
  CHECK(convert(std::int8_t{}, DType::f64, -128.0) == -128);
  CHECK(convert(std::uint64_t{}, DType::f64, 0x1p63) == 9223372036854775808u);
  CHECK(convert(0.0f, DType::f64, std::numeric_limits<double>::infinity()) == std::numeric_limits<float>::infinity());
  CHECK(convert(std::uint8_t{}, DType::boolean, std::uint8_t{1}) == 1);
  CHECK(static_cast<float>(convert(bfloat16(0.0f), DType::i64, std::int64_t{257})) == 256.0f);
  for (const double value : {128.0, -129.0, 0.5, std::numeric_limits<double>::quiet_NaN()})
    CHECK(error_of([&] { convert(std::int8_t{}, DType::f64, value); }).id() == "dtype.range");
  CHECK(error_of([&] { convert(std::int64_t{}, DType::f64, 0x1p63); }).id() == "dtype.range");
  CHECK(error_of([&] { convert(std::uint64_t{}, DType::f32, 0x1p64f); }).id() == "dtype.range");
  CHECK(error_of([&] { convert(0.0f, DType::f64, 1e39); }).id() == "dtype.range");
  CHECK(error_of([&] { convert(bfloat16(0.0f), DType::f32, std::numeric_limits<float>::max()); }).id() ==
        "dtype.range");
  CHECK(error_of([&] { convert(0.0f, DType::boolean, std::uint8_t{2}); }).id() == "dtype.boolean");
  CHECK(error_of([&] { convert(0.0f, DType::f64, 1.0f); }).id() == "dtype.count");
}
