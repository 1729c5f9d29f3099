// Text files are UTF-8. What is not is refused with its line, and named where its bytes tell what it is.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Bytes of the UTF-8 character that begins at `at`; 0 when there is none: a byte out of place, an overlong form, a surrogate.
inline std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const auto follows = [&](std::size_t i) { return (byte(i) & 0xc0u) == 0x80u; };
  const unsigned first = byte(0), second = byte(1);
  if (first < 0x80u) return 1;
  if (first < 0xc2u || first > 0xf4u || !follows(1)) return 0;
  if (first < 0xe0u) return 2;
  if (first < 0xf0u) {
    const bool bad = (first == 0xe0u && second < 0xa0u) || (first == 0xedu && second > 0x9fu);
    return !bad && follows(2) ? 3 : 0;
  }
  const bool bad = (first == 0xf0u && second < 0x90u) || (first == 0xf4u && second > 0x8fu);
  return !bad && follows(2) && follows(3) ? 4 : 0;
}

/// The first byte that is not UTF-8; npos: none.
inline std::size_t first_invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

/// The letters of a Western European text in one byte each stand alone between ASCII letters, and five bytes never occur.
inline bool looks_like_windows_1252(std::string_view text) {
  std::size_t high = 0, pairs = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto u = static_cast<unsigned char>(text[i]);
    if (u < 0x80) continue;
    if (u == 0x81 || u == 0x8d || u == 0x8f || u == 0x90 || u == 0x9d) return false;
    ++high;
    pairs += i > 0 && static_cast<unsigned char>(text[i - 1]) >= 0x80;
  }
  return high > 0 && 4 * pairs <= high;
}

/// The text around a byte with bytes of Latin-1 as UTF-8; others above ASCII as '?'.
inline std::string latin_excerpt(std::string_view text, std::size_t at) {
  const auto ends = [](char c) { return c == '\n' || c == '\r' || c == ',' || c == ';' || c == '\t' || c == '"'; };
  std::size_t from = at, to = at;
  while (from > 0 && at - from < 20 && !ends(text[from - 1])) --from;
  while (to < text.size() && to - at < 20 && !ends(text[to])) ++to;
  std::string out;
  for (const char c : text.substr(from, to - from)) {
    const auto u = static_cast<unsigned char>(c);
    if (u >= 0x20 && u < 0x7f) out += c;
    else if (u >= 0xa0) out += {static_cast<char>(0xc0 | (u >> 6)), static_cast<char>(0x80 | (u & 0x3f))};
    else out += '?';
  }
  return out;
}

/// Text of two bytes per character without a mark has a zero in every other byte.
inline bool looks_like_utf16(std::string_view text) {
  const std::size_t n = std::min<std::size_t>(text.size() & ~std::size_t{1}, 256);
  std::size_t even = 0, odd = 0;
  for (std::size_t i = 0; i < n; ++i) (i % 2 == 0 ? even : odd) += text[i] == '\0';
  return n >= 4 && std::max(even, odd) * 2 > n / 2 && std::min(even, odd) * 8 < n;
}

}  // namespace detail

/// Throws Error (format, csv.encoding) that names the line and, where it can be told, the encoding.
inline void require_utf8(std::string_view text, const std::string& path) {
  if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff") || detail::looks_like_utf16(text))
    throw Error(ErrorKind::format, "csv.encoding", "expected UTF-8, got UTF-16; save the file as UTF-8", path);
  const std::size_t bad = detail::first_invalid_utf8(text);
  if (bad == std::string_view::npos) return;
  const auto u = static_cast<unsigned char>(text[bad]);
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
  const std::string byte = {'0', 'x', "0123456789abcdef"[u >> 4], "0123456789abcdef"[u & 15]};
  const std::string what = detail::looks_like_windows_1252(text)
                               ? concat(" in \"", detail::latin_excerpt(text, bad),
                                        "\"; the file looks like Windows-1252 (Latin-1): save it as UTF-8")
                               : std::string(", of an encoding that is not known; save the file as UTF-8");
  throw Error(ErrorKind::format, "csv.encoding", concat("line ", line, ": expected UTF-8, got the byte ", byte, what),
              path);
}

}  // namespace braing3n::inline BRAING3N_ABI
