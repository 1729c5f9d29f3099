// Text of numbers and lists, for messages, tables and pages. None of it depends on the locale: a point stays a point.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The shortest text that reads back as this number: 70, 70.25, 1e+20.
template <class T>
  requires std::integral<T> || std::floating_point<T>
std::string number_text(T value) {
  std::array<char, 64> digits{};
  const auto [end, status] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end};
}

/// A number with at most `digits` (1 to 17) significant digits, trailing zeros dropped: 0.1235, 1.235e+05.
inline std::string significant(double value, int digits = 4) {
  std::array<char, 64> text{};
  const auto [end, status] =
      std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, digits);
  return {text.data(), end};
}

/// A number with a fixed count of decimals; "-" when it is not finite. Zero has no sign.
inline std::string decimals(double value, int places = 3) {
  if (!std::isfinite(value)) return "-";
  std::array<char, 400> digits{};  // the largest double has 309 digits before the point
  const auto [end, status] = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                                           std::chars_format::fixed, std::min(places, 60));
  const std::string text(digits.data(), end);
  return text[0] == '-' && text.find_first_not_of("-0.") == std::string::npos ? text.substr(1) : text;
}

/// A share as a percentage: 0.123 -> "12.3 %", two significant digits below 10 %.
inline std::string percent(double share) { return significant(100 * share, share < 0.1 ? 2 : 3) + " %"; }

/// 1234567 -> "1,234,567"
inline std::string with_commas(Index n) {
  std::string digits = std::to_string(n);
  const std::size_t first = n < 0 ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3;) digits.insert(at -= 3, ",");
  return digits;
}

/// 1536 -> "1.5 KiB"
inline std::string byte_text(double bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < units.size(); ++unit) bytes /= 1024;
  return concat(decimals(bytes, unit == 0 ? 0 : 1), ' ', units[unit]);
}

/// The texts of `items` one behind the other: "a, b, c". `text` makes the text of an item.
template <class Items, class F>
std::string joined(const Items& items, std::string_view between, F&& text) {
  std::string all;
  bool first = true;
  for (const auto& item : items) {
    if (!first) all += between;
    first = false;
    all += text(item);
  }
  return all;
}
template <class Items>
std::string joined(const Items& items, std::string_view between = ", ") {
  return joined(items, between, [](const auto& item) { return concat(item); });
}

/// Text for a message: control characters and quotes escaped, long texts cut, never within a character of UTF-8. File contents
/// never reach a terminal raw.
inline std::string in_quotes(std::string_view text, std::size_t longest = 120) {
  std::size_t end = std::min(longest, text.size());
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  std::string out = "\"";
  for (const char c : text.substr(0, end)) {
    const auto u = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (u < 0x20 || u == 0x7f) {
      out += "\\x";
      out += "0123456789abcdef"[u >> 4];
      out += "0123456789abcdef"[u & 15];
    } else {
      out += c;
    }
  }
  return out + (text.size() > end ? "...\"" : "\"");
}

/// ASCII letters in lower case; every other byte stays.
inline std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

}  // namespace braing3n::inline BRAING3N_ABI
