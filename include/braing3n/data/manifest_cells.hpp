// Cells of a table as a manifest needs them: columns by name, ids that are safe in paths, patterns, numbers.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/format/csv.hpp"
#include "braing3n/table/column_names.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// The column of that name (lower case), else the only one that has it in another case.
inline std::optional<std::size_t> find_column_ignoring_case(const CsvTable& table, std::string_view name) {
  if (const auto exact = table.find_column(name)) return exact;
  std::optional<std::size_t> found;
  for (std::size_t c = 0; c < table.columns(); ++c) {
    if (!equal_ignoring_case(table.header()[c], name)) continue;
    if (found) return std::nullopt;
    found = c;
  }
  return found;
}

/// "age_months", "Age (weeks)": ages are in years.
inline bool is_age_in_another_unit(std::string_view header) {
  const std::string name = lower_case(header);
  return name.find("month") != std::string::npos || name.find("week") != std::string::npos ||
         name.find("days") != std::string::npos;
}

/// The first column of ages, by name, that is not in another unit.
inline std::optional<std::size_t> age_in_years(const CsvTable& table) {
  if (const auto named = find_named_column(table, "age"); named && !is_age_in_another_unit(table.header()[*named]))
    return named;
  std::vector<std::size_t> columns = columns_in(table, age_names());
  for (std::size_t c = 0; c < table.columns(); ++c)
    if (speaks_of_age(table.header()[c])) columns.push_back(c);
  for (const std::size_t c : columns)
    if (!is_age_in_another_unit(table.header()[c])) return c;
  return std::nullopt;
}

/// The column of a manifest under its own name in any case, else under a usual one.
inline std::optional<std::size_t> manifest_column(const CsvTable& table, std::string_view name) {
  if (const auto c = find_column_ignoring_case(table, name)) return c;
  for (std::size_t i = 0, same = 0; i < table.columns(); ++i)
    if (equal_ignoring_case(table.header()[i], name) && ++same > 1)
      return std::nullopt;  // Age and AGE: neither is known to be meant
  if (name == "age") return age_in_years(table);
  if (const auto named = find_named_column(table, name)) return named;
  if (name == "session_id") return find_session_column(table);
  if (name == "sex") return find_sex_column(table);
  if (name == "site") return find_site_column(table);
  if (name == "days") return find_days_column(table);
  if (name == "session_date") return find_session_date_column(table);
  return std::nullopt;
}
/// The column of subjects; in a table without one, a column of identifiers that is no volume_id.
inline std::optional<std::size_t> manifest_subject(const CsvTable& table) {
  for (const char* name : {"subject_id", "participant_id"})
    if (const auto c = find_column_ignoring_case(table, name)) return c;
  if (const auto c = find_subject_column(table)) return c;
  return find_named_column(table, "id");
}

/// Ids become parts of paths and file names: no separators, no "..", nothing that hides.
inline void require_plain_id(const CsvTable& table, std::size_t row, const char* what, std::string_view id) {
  bool good = !id.empty() && id.size() <= 200 && id.front() != '.';
  for (const char c : id) good = good && static_cast<unsigned char>(c) >= 0x20 && c != '/' && c != '\\' && c != 0x7f;
  if (!good)
    throw Error(ErrorKind::format, "manifest.id",
                concat("line ", table.line(row), ": ", what, " ", in_quotes(id),
                       " cannot be an id (no slashes or control characters, not empty, not beginning with a dot)"),
                table.path());
}

/// Fills {column} from the row. BIDS ids often carry their prefix already: "sub-{participant_id}" with "sub-01" is "sub-01".
inline std::string fill_pattern(const CsvTable& table, std::size_t row, const std::string& pattern) {
  std::string out;
  for (std::size_t at = 0; at < pattern.size();) {
    const std::size_t open = pattern.find('{', at), close = open == std::string::npos ? open : pattern.find('}', open);
    if (close == std::string::npos) {
      if (open != std::string::npos)
        fail(ErrorKind::argument, "manifest.pattern", "pattern ", in_quotes(pattern), ": a { without its }");
      return out + pattern.substr(at);
    }
    out += pattern.substr(at, open - at);
    const std::string name = pattern.substr(open + 1, close - open - 1);
    const auto column = find_column_ignoring_case(table, name);
    std::string value(trimmed(table.cell(row, column ? *column : table.column(name))));
    require_plain_id(table, row, name.c_str(), value);
    const std::size_t dash = value.find('-');
    if (dash != std::string::npos && out.ends_with(value.substr(0, dash + 1))) value.erase(0, dash + 1);
    out += value;
    at = close + 1;
  }
  return out;
}

/// Which volume of its file a row names, -1 where the cell is missing. Throws Error (format) with the line for anything but a whole number
/// from 0.
inline Index read_volume_index(const CsvTable& table, std::size_t row, std::size_t column) {
  const std::string_view cell = trimmed(table.cell(row, column));
  if (is_missing(cell)) return -1;
  const auto number = cell_number(cell);
  if (!number || !(*number >= 0 && *number < 1e9) || *number != std::floor(*number))
    throw table.error_at(row, "manifest.volume_index",
                         concat("column ", in_quotes(table.header()[column]),
                                ": expected the number of a volume of the file, from 0, got ", in_quotes(cell, 40)));
  return static_cast<Index>(*number);
}

/// What the cells of a column say together about the order of day and month.
inline DateOrder column_date_order(const CsvTable& table, std::size_t column) {
  DateOrder order = DateOrder::unknown;
  for (std::size_t r = 0; r < table.rows(); ++r)
    if (!is_missing_number(table.cell(r, column))) order = joined_order(order, read_date(table.cell(r, column)).order);
  return order;
}

inline std::optional<double> parse_label_number(std::string_view cell) { return cell_number(cell); }

/// "a, b, c and 4 more"
inline std::string some_of(const std::vector<std::string>& all, std::size_t most = 5) {
  std::string list;
  for (std::size_t i = 0; i < std::min(most, all.size()); ++i) list += (i > 0 ? ", " : "") + all[i];
  return all.size() > most ? concat(list, " and ", all.size() - most, " more") : list;
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
