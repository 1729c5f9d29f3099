// Dates in cells: which day a text names, or why it names none.
//
//   2011-03-05, 2011/3/5, 2011.03.05   the year first: ISO 8601 and its like
//   20110305                           the same without separators, also as 20110305.0, which pandas makes of it
//   2011-03-05T10:15:00Z               with a time of the day, which does not count: a visit is a day
//   15/03/2011, 03/15/2011             the year last: read where only one order gives a day
// 03/05/2011 is read in the order that the other cells of its column prove (date_order), and is refused where they prove none.
// Calendar: proleptic Gregorian, so years that BIDS shifted before 1925 are dates as well.
#pragma once

#include <array>
#include <charconv>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "braing3n/base/text.hpp"
#include "braing3n/format/cell.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Which of the first two numbers of dates with the year last is the day.
enum class DateOrder { unknown, day_first, month_first, mixed };

/// A cell as a date: days since 1970-01-01, or why there is none ("day or month first? write 2011-03-05 or 2011-05-03").
struct DateCell {
  std::optional<Index> day;
  std::string reason{};
  DateOrder order = DateOrder::unknown;  // that the cell itself proves
};

/// Days since 1970-01-01 -> "2011-03-05".
inline std::string date_text(Index day) {
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{day}}};
  const auto digits = [](long value, std::size_t width) {
    std::string text = std::to_string(value);
    return text.size() < width ? std::string(width - text.size(), '0') + text : text;
  };
  return concat(digits(int{date.year()}, 4), '-', digits(long{unsigned{date.month()}}, 2), '-',
                digits(long{unsigned{date.day()}}, 2));
}

namespace detail {

inline std::optional<Index> day_number(int year, int month, int day) {
  if (year < 1 || year > 9999 || month < 1 || day < 1) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  return static_cast<Index>(std::chrono::sys_days{date}.time_since_epoch().count());
}

/// "10:15", "101500.25", "10:15:00+01:00", "12:00:00 AM": digits first, and nothing that no time has.
inline bool is_time_of_day(std::string_view text) {
  return !text.empty() && text.front() >= '0' && text.front() <= '9' &&
         text.find_first_not_of("0123456789:.,+-ZzAPMapm ") == std::string_view::npos;
}

inline int whole_number(std::string_view digits) {
  int value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

/// Two numbers and a year, in an order that the cell or its column proves.
inline DateCell date_with_year_last(int first, int second, int year, DateOrder order) {
  const auto day_first = day_number(year, second, first), month_first = day_number(year, first, second);
  if (!day_first && !month_first) return {std::nullopt, "the calendar has no such day"};
  if (!month_first) return {day_first, {}, DateOrder::day_first};
  if (!day_first) return {month_first, {}, DateOrder::month_first};
  if (*day_first == *month_first) return {day_first};
  if (order == DateOrder::day_first) return {day_first};
  if (order == DateOrder::month_first) return {month_first};
  return {std::nullopt,
          concat(order == DateOrder::mixed ? "day or month first? the column has dates of both orders: write "
                                           : "day or month first? write ",
                 date_text(*day_first), " or ", date_text(*month_first))};
}

}  // namespace detail

/// A cell that is not missing. order: what the column proves about dates with the year last.
inline DateCell read_date(std::string_view cell, DateOrder order = DateOrder::unknown) {
  const std::string_view text = detail::trimmed(cell);
  const std::size_t split = text.find_first_of("T ");
  std::string_view date = text.substr(0, split);
  if (date.size() == 10 && date.ends_with(".0")) date.remove_suffix(2);
  const bool compact = date.size() == 8 && detail::all_digits(date);
  const auto parts = detail::date_parts(date);
  if (!compact && !parts) {
    if (date.find(':') != std::string_view::npos && detail::is_time_of_day(text))
      return {std::nullopt, "a time without a day"};
    if (cell_number(text)) return {std::nullopt, "a number: write the day as 2011-03-05"};
    return {std::nullopt, "write the day as 2011-03-05"};
  }
  if (split != std::string_view::npos && !detail::is_time_of_day(detail::trimmed(text.substr(split + 1))))
    return {std::nullopt, "text behind the date"};
  if (compact || (*parts)[0].size() == 4) {
    const auto day =
        compact ? detail::day_number(detail::whole_number(date.substr(0, 4)), detail::whole_number(date.substr(4, 2)),
                                     detail::whole_number(date.substr(6)))
                : detail::day_number(detail::whole_number((*parts)[0]), detail::whole_number((*parts)[1]),
                                     detail::whole_number((*parts)[2]));
    return day ? DateCell{day} : DateCell{std::nullopt, "the calendar has no such day"};
  }
  if ((*parts)[2].size() != 4) return {std::nullopt, "a year of four digits is needed: write the day as 2011-03-05"};
  return detail::date_with_year_last(detail::whole_number((*parts)[0]), detail::whole_number((*parts)[1]),
                                     detail::whole_number((*parts)[2]), order);
}

/// Adds what one more cell proves about the order of a column.
inline DateOrder joined_order(DateOrder column, DateOrder cell) {
  if (cell == DateOrder::unknown || cell == column) return column;
  return column == DateOrder::unknown ? cell : DateOrder::mixed;
}

}  // namespace braing3n::inline BRAING3N_ABI
