// What the cells of a label column are before a task is made of them: numbers, classes, or numbers of which some went wrong.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/table/column_names.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Years that a person can have.
inline constexpr double lowest_age = 0, highest_age = 130;

/// The column holds ages in years. ABCD's interview_age counts months.
inline bool is_age_in_years(std::string_view name) {
  const std::string plain = plain_column_name(name);
  return plain != "interviewage" && detail::in_list(detail::age_names(), plain);
}

namespace detail {

/// Numbers that tables write where a value is missing.
inline bool usual_sentinel(double value) {
  static constexpr std::array<double, 11> magnitudes{99, 777, 888, 998, 999, 7777, 8888, 9998, 9999, 99999, 999999};
  static constexpr std::array<double, 8> negative{-1, -4, -7, -8, -9, -77, -88, -99};
  return std::find(magnitudes.begin(), magnitudes.end(), std::abs(value)) != magnitudes.end() ||
         std::find(negative.begin(), negative.end(), value) != negative.end();
}

}  // namespace detail

/// The place of the first value that stands for a missing one: one of the usual numbers (-999, 999, -9, ...) that lies further outside the
/// range of the other values than half of its width; 99, which an age may be, than its width.
inline std::optional<std::size_t> find_sentinel(std::span<const double> values) {
  double low = 0, high = 0;
  bool any = false;
  for (const double v : values) {
    if (!std::isfinite(v) || detail::usual_sentinel(v)) continue;
    low = any ? std::min(low, v) : v;
    high = any ? std::max(high, v) : v;
    any = true;
  }
  if (!any || low == high) return std::nullopt;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double margin = (high - low) * (values[i] == 99 ? 1.0 : 0.5);
    if (detail::usual_sentinel(values[i]) && (values[i] < low - margin || values[i] > high + margin)) return i;
  }
  return std::nullopt;
}

/// The rows among `rows` whose cells stop the column from being numbers; empty where the column is one of classes. A column is meant to be
/// numbers when it is called an age, or when most of its cells are numbers or failed to be (a decimal comma, a date, 034Y).
inline std::vector<std::size_t> cells_that_are_no_number(const CsvTable& table, std::size_t column,
                                                         std::span<const std::size_t> rows) {
  std::vector<std::size_t> wrong;
  std::size_t meant = 0;
  std::set<std::string_view> values;
  for (const std::size_t row : rows) {
    const std::string_view cell = detail::trimmed(table.cell(row, column));
    if (is_missing_number(cell)) continue;
    values.insert(cell);
    if (cell_number(cell)) {
      ++meant;
      continue;
    }
    wrong.push_back(row);
    meant += number_fault(cell).meant_as_number();
  }
  const bool age = is_age_in_years(table.header()[column]) || detail::speaks_of_age(table.header()[column]);
  if (!age && (2 * meant <= rows.size() || values.size() <= 2)) wrong.clear();
  return wrong;
}

/// Throws Error (format) for a target that no row can have: an age outside the range of ages, a number that stands for a missing value.
/// values: of `rows`, in order.
inline void check_targets(const CsvTable& table, std::size_t column, std::span<const std::size_t> rows,
                          std::span<const double> values) {
  const auto at = [&](std::size_t i) {
    return concat("line ", table.line(rows[i]), ": column ", in_quotes(table.header()[column]), ": ");
  };
  const auto count = [&](double value) { return std::count(values.begin(), values.end(), value); };
  if (const auto i = find_sentinel(values)) {
    double low = HUGE_VAL, high = -HUGE_VAL;
    for (const double v : values)
      if (!detail::usual_sentinel(v)) low = std::min(low, v), high = std::max(high, v);
    throw Error(ErrorKind::format, "labels.sentinel",
                concat(at(*i), "got ", values[*i], " (", count(values[*i]), count(values[*i]) == 1 ? " cell" : " cells",
                       "), which usually stands for a missing value; the others are ", low, " to ", high,
                       ". Leave such cells empty, or state ", values[*i], " as missing"),
                table.path());
  }
  if (!is_age_in_years(table.header()[column])) return;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] < lowest_age || values[i] > highest_age)
      throw Error(ErrorKind::format, "labels.age",
                  concat(at(i), "expected an age in years from ", lowest_age, " to ", highest_age, ", got ", values[i]),
                  table.path());
}

}  // namespace braing3n::inline BRAING3N_ABI
