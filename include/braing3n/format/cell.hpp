// What the text of a cell means: a missing value, a number, or why it is no number.
//
//   missing in every column     empty, n/a, #N/A, #NA, <NA>, NULL, #NULL!, NaN, .          in any case
//   missing as a label          also NA, as R writes it
//   missing as a number         also None, -, --, ? and the NaN that C runtimes print (-nan, nan(ind), 1.#QNAN)
// In a column of text None, - and ? are values (no medication, a negative marker), and NA may be an identifier.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

inline bool equal_ignoring_case(std::string_view a, std::string_view lower) {
  return std::equal(a.begin(), a.end(), lower.begin(), lower.end(),
                    [](char x, char y) { return (x >= 'A' && x <= 'Z' ? static_cast<char>(x - 'A' + 'a') : x) == y; });
}

template <std::size_t N>
bool is_one_of(std::string_view text, const std::array<std::string_view, N>& lower) {
  return std::any_of(lower.begin(), lower.end(),
                     [&](std::string_view word) { return equal_ignoring_case(text, word); });
}

/// Without blanks at both ends; the no-break space of spreadsheets is one.
inline std::string_view trimmed(std::string_view s) {
  constexpr std::string_view blanks = " \t\r\n", no_break = "\xc2\xa0";
  for (;;) {
    if (s.starts_with(no_break)) s.remove_prefix(2);
    else if (s.ends_with(no_break)) s.remove_suffix(2);
    else if (!s.empty() && blanks.find(s.front()) != std::string_view::npos) s.remove_prefix(1);
    else if (!s.empty() && blanks.find(s.back()) != std::string_view::npos) s.remove_suffix(1);
    else return s;
  }
}

inline bool all_digits(std::string_view s) {
  return !s.empty() && std::all_of(s.begin(), s.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace detail

/// Missing in any column, identifiers included.
inline bool is_missing(std::string_view cell) {
  static constexpr std::array<std::string_view, 9> words{"n/a",    "#n/a", "#na", "<na>",  "null",
                                                         "#null!", "nan",  ".",   "<null>"};
  const std::string_view text = detail::trimmed(cell);
  return text.empty() || detail::is_one_of(text, words);
}

/// Missing as the value of a label, a diagnosis for example.
inline bool is_missing_label(std::string_view cell) {
  return is_missing(cell) || detail::equal_ignoring_case(detail::trimmed(cell), "na");
}

/// Missing as a number.
inline bool is_missing_number(std::string_view cell) {
  static constexpr std::array<std::string_view, 10> words{"none",     "-",         "--",      "?",      "-nan",
                                                          "nan(ind)", "-nan(ind)", "1.#qnan", "1.#ind", "-1.#ind"};
  return is_missing_label(cell) || detail::is_one_of(detail::trimmed(cell), words);
}

/// A whole cell as a finite number, with a sign or without ("+0.4"); nothing for any other text.
inline std::optional<double> cell_number(std::string_view cell) {
  std::string_view text = detail::trimmed(cell);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// Why a cell is no number.
struct NumberFault {
  enum class Kind {
    none,      // a number, or text of which nothing is known
    comma,     // 0,4 and 1.234,5 and 1,234
    unit,      // 034Y, P034Y
    date,      // 2019-05-01, 01.05.2019, 5/1/2019
    range,     // 1e400
    infinite,  // inf
    sign,      // a minus that is not '-'
    open,      // 89+, >89, <18
    text,      // 7o, 34 years
  } kind = Kind::none;
  std::string reason;  // "a decimal comma: write 0.4"

  /// The cell was meant as a number. Open ends and numbers before text may as well be classes ("<30", "3T").
  bool meant_as_number() const { return kind != Kind::none && kind != Kind::open && kind != Kind::text; }
};

namespace detail {

inline std::string with_point(std::string_view text, char thousands, char point) {
  std::string out;
  for (const char c : text)
    if (c != thousands) out += c == point ? '.' : c;
  return out;
}

inline NumberFault comma_fault(std::string_view text) {
  using Kind = NumberFault::Kind;
  const std::size_t first = text.find(','), last = text.rfind(',');
  if (first == std::string_view::npos || text.find_first_not_of("+-0123456789,.eE") != std::string_view::npos)
    return {};
  const std::size_t dot = text.find('.');
  const std::string european = with_point(text, '.', ','), english = with_point(text, ',', '.');
  const bool three =
      text.size() - last == 4 && all_digits(text.substr(last + 1)) && first > 0 && text.substr(0, first) != "0";
  if (first != last || (dot != std::string_view::npos && dot > last))
    return cell_number(english) ? NumberFault{Kind::comma, concat("commas between thousands: write ", english)}
                                : NumberFault{};
  if (!cell_number(european)) return {};
  if (three && dot == std::string_view::npos)
    return {Kind::comma, concat("a comma: write ", european, " or ", english)};
  return {Kind::comma, concat("a decimal comma: write ", european)};
}

/// 034Y and 034M as in DICOM, P34Y as in ISO 8601.
inline NumberFault unit_fault(std::string_view text) {
  const bool iso = text.size() > 2 && (text.front() == 'P' || text.front() == 'p');
  std::string_view digits = iso ? text.substr(1) : text;
  if (digits.size() < 2) return {};
  const char unit = static_cast<char>(digits.back() & ~0x20);
  digits.remove_suffix(1);
  if (!all_digits(digits) || (unit != 'Y' && unit != 'M' && unit != 'W' && unit != 'D') || !(iso || digits.size() == 3))
    return {};
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
  return {NumberFault::Kind::unit,
          unit == 'Y' ? concat("an age with its unit: write ", digits) : "an age with its unit: write it in years"};
}

/// The three numbers of "2011-03-05"; nothing for another count of parts, or two separators.
inline std::optional<std::array<std::string_view, 3>> date_parts(std::string_view text) {
  const std::size_t a = text.find_first_of("-/.");
  if (a == std::string_view::npos) return std::nullopt;
  const std::size_t b = text.find(text[a], a + 1);
  if (b == std::string_view::npos) return std::nullopt;
  const std::array parts{text.substr(0, a), text.substr(a + 1, b - a - 1), text.substr(b + 1)};
  for (const std::string_view p : parts)
    if (!all_digits(p) || p.size() > 4) return std::nullopt;
  return parts;
}

inline bool is_date(std::string_view text) {
  const auto parts = date_parts(text.substr(0, text.find_first_of(" T")));
  if (!parts) return false;
  const auto& [first, second, third] = *parts;
  if (first.size() == 3 || second.size() == 3 || third.size() == 3) return false;
  return (first.size() == 4 || third.size() == 4 || third.size() == 2) && second.size() <= 2 &&
         (first.size() <= 2 || third.size() <= 2);
}

}  // namespace detail

/// What is known of a cell that is no number.
inline NumberFault number_fault(std::string_view cell) {
  using Kind = NumberFault::Kind;
  const std::string_view text = detail::trimmed(cell);
  if (text.empty() || cell_number(text)) return {};
  double value = 0;
  const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = end == digits.data() + digits.size();
  if (whole && status == std::errc::result_out_of_range)
    return {Kind::range, "too large or too small for a 64-bit number"};
  if (whole && status == std::errc() && std::isinf(value)) return {Kind::infinite, "infinite"};
  if (text.starts_with("\xe2\x88\x92") && cell_number(text.substr(3)))
    return {Kind::sign, "its minus sign is a character of its own: write -"};
  for (const std::string_view sign : {">=", "<=", ">", "<", "\xe2\x89\xa5", "\xe2\x89\xa4"})
    if (text.starts_with(sign) && cell_number(text.substr(sign.size())))
      return {Kind::open, concat("an open end is no number: write ", detail::trimmed(text.substr(sign.size())),
                                 ", or leave the cell empty")};
  if (text.ends_with('+') && cell_number(text.substr(0, text.size() - 1)))
    return {Kind::open, concat("an open end is no number: write ", detail::trimmed(text.substr(0, text.size() - 1)),
                               ", or leave the cell empty")};
  if (NumberFault comma = detail::comma_fault(text); comma.kind != Kind::none) return comma;
  if (NumberFault unit = detail::unit_fault(text); unit.kind != Kind::none) return unit;
  if (detail::is_date(text)) return {Kind::date, "a date"};
  if (status == std::errc() && end != digits.data() && !std::isnan(value) && !std::isinf(value))
    return {Kind::text, "a number with text behind it"};
  return {};
}

}  // namespace braing3n::inline BRAING3N_ABI
