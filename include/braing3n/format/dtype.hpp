// Element types of files and their conversion into the types a program computes in.
//
// Rules: a float target takes the nearest value, but a finite value never turns into infinity; an integer target takes only
// values it can hold exactly. What breaks a rule is an error that names the element. Source data may be unaligned.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "braing3n/base/bfloat16.hpp"
#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

static_assert(std::endian::native == std::endian::little, "file formats here are little-endian and read in place");

enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u64, u32, u16, u8, boolean };

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::f64:
    case DType::i64:
    case DType::u64:
      return 8;
    case DType::f32:
    case DType::i32:
    case DType::u32:
      return 4;
    case DType::f16:
    case DType::bf16:
    case DType::i16:
    case DType::u16:
      return 2;
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return 1;
  }
  return 0;
}

/// The names safetensors uses.
constexpr const char* to_string(DType type) {
  switch (type) {
    case DType::f64:
      return "F64";
    case DType::f32:
      return "F32";
    case DType::f16:
      return "F16";
    case DType::bf16:
      return "BF16";
    case DType::i64:
      return "I64";
    case DType::i32:
      return "I32";
    case DType::i16:
      return "I16";
    case DType::i8:
      return "I8";
    case DType::u64:
      return "U64";
    case DType::u32:
      return "U32";
    case DType::u16:
      return "U16";
    case DType::u8:
      return "U8";
    case DType::boolean:
      return "BOOL";
  }
  return "unknown";
}

constexpr std::array all_dtypes{DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32,    DType::i16,
                                DType::i8,  DType::u64, DType::u32, DType::u16,  DType::u8,  DType::boolean};

constexpr std::optional<DType> dtype_from_string(std::string_view name) {
  for (const DType type : all_dtypes)
    if (name == to_string(type)) return type;
  return std::nullopt;
}

/// IEEE binary16 as stored in files; computing happens in float.
struct float16 {
  std::uint16_t bits = 0;
};

/// Exact: every half is a float.
constexpr float to_float(float16 h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h.bits & 0x8000u) << 16;
  const std::uint32_t magnitude = h.bits & 0x7fffu;
  if (magnitude >= 0x7c00u)
    return std::bit_cast<float>(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);  // infinity, NaN
  if (magnitude >= 0x0400u)
    return std::bit_cast<float>(sign | ((magnitude << 13) + 0x38000000u));  // exponent bias 15 -> 127
  const float value = static_cast<float>(magnitude) * 0x1p-24f;             // subnormal
  return sign != 0 ? -value : value;
}

template <class T>
constexpr DType dtype_of() {
  if constexpr (std::same_as<T, double>) return DType::f64;
  else if constexpr (std::same_as<T, float>) return DType::f32;
  else if constexpr (std::same_as<T, float16>) return DType::f16;
  else if constexpr (std::same_as<T, bfloat16>) return DType::bf16;
  else if constexpr (std::same_as<T, bool>) return DType::boolean;
  else {
    static_assert(std::integral<T>, "no file element type for this C++ type");
    if constexpr (std::is_signed_v<T>)
      return sizeof(T) == 8 ? DType::i64 : sizeof(T) == 4 ? DType::i32 : sizeof(T) == 2 ? DType::i16 : DType::i8;
    else return sizeof(T) == 8 ? DType::u64 : sizeof(T) == 4 ? DType::u32 : sizeof(T) == 2 ? DType::u16 : DType::u8;
  }
}

namespace detail {

/// Calls f with a value of the C++ type that stores `type` (std::uint8_t for BOOL).
template <class F>
decltype(auto) with_dtype(DType type, F&& f) {
  switch (type) {
    case DType::f64:
      return f(double{});
    case DType::f32:
      return f(float{});
    case DType::f16:
      return f(float16{});
    case DType::bf16:
      return f(bfloat16{0.0f});
    case DType::i64:
      return f(std::int64_t{});
    case DType::i32:
      return f(std::int32_t{});
    case DType::i16:
      return f(std::int16_t{});
    case DType::i8:
      return f(std::int8_t{});
    case DType::u64:
      return f(std::uint64_t{});
    case DType::u32:
      return f(std::uint32_t{});
    case DType::u16:
      return f(std::uint16_t{});
    case DType::u8:
    case DType::boolean:
      break;
  }
  return f(std::uint8_t{});
}

/// One element; false when `to` cannot represent it under the rules above.
template <class To, class From>
constexpr bool convert_element(From from, To& to) {
  if constexpr (std::same_as<To, From>) {
    to = from;
    return true;
  } else if constexpr (std::same_as<From, float16> || std::same_as<From, bfloat16>) {
    float value = 0;
    if constexpr (std::same_as<From, float16>) value = to_float(from);
    else value = static_cast<float>(from);
    return convert_element<To, float>(value, to);
  } else if constexpr (std::same_as<To, bfloat16>) {
    const float value = static_cast<float>(from);
    to = bfloat16(value);
    if constexpr (std::integral<From>) return true;
    else return std::isfinite(static_cast<float>(to)) || !std::isfinite(from);
  } else if constexpr (std::floating_point<To>) {
    to = static_cast<To>(from);
    if constexpr (std::integral<From> || sizeof(From) <= sizeof(To)) return true;
    else return std::isfinite(to) || !std::isfinite(from);
  } else if constexpr (std::floating_point<From>) {
    // The upper bound max + 1 is a power of two and so exact in every float type; max itself may not be.
    constexpr From low = static_cast<From>(std::numeric_limits<To>::min());
    constexpr From high = static_cast<From>(std::numeric_limits<To>::max() / 2 + 1) * From{2};
    if (!(from >= low && from < high)) return false;
    to = static_cast<To>(from);
    return static_cast<From>(to) == from;
  } else {
    if (!std::in_range<To>(from)) return false;
    to = static_cast<To>(from);
    return true;
  }
}

}  // namespace detail

/// Converts bytes.size() / size_of(type) elements into `to`, which has as many. Throws Error (dtype) naming the first
/// element that `To` cannot hold, Error (format) for a BOOL byte that is neither 0 nor 1.
template <class To>
void convert_elements(DType type, std::span<const std::byte> bytes, std::span<To> to) {
  static_assert(!std::same_as<To, bool>, "read BOOL as std::uint8_t");
  if (bytes.size() != to.size() * size_of(type))
    fail(ErrorKind::shape, "dtype.count", "convert: ", bytes.size(), " bytes are not ", to.size(), " elements of ",
         to_string(type));
  if (to.empty()) return;
  if (type == DType::boolean)
    for (std::size_t i = 0; i < bytes.size(); ++i)
      if (std::to_integer<int>(bytes[i]) > 1)
        fail(ErrorKind::format, "dtype.boolean", "element ", i, " of type BOOL is ", std::to_integer<int>(bytes[i]),
             ", expected 0 or 1");
  if (type == dtype_of<To>()) {
    std::memcpy(to.data(), bytes.data(), bytes.size());
    return;
  }
  detail::with_dtype(type, [&](auto zero) {
    using From = decltype(zero);
    bool good = true;
    for (std::size_t i = 0; i < to.size(); ++i) {
      From from;
      std::memcpy(&from, bytes.data() + i * sizeof(From), sizeof(From));
      good &= detail::convert_element(from, to[i]);
    }
    if (good) return;
    for (std::size_t i = 0; i < to.size(); ++i) {
      From from;
      std::memcpy(&from, bytes.data() + i * sizeof(From), sizeof(From));
      if (detail::convert_element(from, to[i])) continue;
      double shown = 0;
      detail::convert_element<double>(from, shown);
      fail(ErrorKind::dtype, "dtype.range", "element ", i, " of type ", to_string(type), " is ", shown, ", which ",
           to_string(dtype_of<To>()), " cannot hold");
    }
  });
}

}  // namespace braing3n::inline BRAING3N_ABI
