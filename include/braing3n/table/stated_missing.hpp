// Values that a table's owner states as missing: -999, age=-1.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "braing3n/table/column_names.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Empties the cells that hold one of the values: "VALUE" in every column but identifiers, sessions, paths and numbers of volumes, "COLUMN=VALUE" in one
/// column. Numbers are compared as numbers (-999 is -999.0), other text as it stands. Throws Error (format) for a column that the table lacks.
inline void clear_stated_missing(CsvTable& table, const std::vector<std::string>& values) {
  if (values.empty()) return;
  std::vector<bool> kept(table.columns(), false);
  for (const std::size_t c : find_id_columns(table)) kept[c] = true;
  if (const auto c = find_session_column(table)) kept[*c] = true;
  for (const char* name : {"path", "volume_index"})
    if (const auto c = find_named_column(table, name)) kept[*c] = true;
  const auto equal = [](std::string_view cell, std::string_view value) {
    const auto a = cell_number(cell), b = cell_number(value);
    return a && b ? *a == *b : detail::trimmed(cell) == detail::trimmed(value);
  };
  for (const std::string& entry : values) {
    const std::size_t equals = entry.find('=');
    if (equals == std::string::npos) {
      table.clear_cells_if([&](std::size_t c, std::string_view cell) { return !kept[c] && equal(cell, entry); });
      continue;
    }
    const std::string name(detail::trimmed(std::string_view(entry).substr(0, equals))),
        value = entry.substr(equals + 1);
    const auto found = find_named_column(table, name);
    const std::size_t column = found ? *found : table.column(name);
    table.clear_cells_if([&](std::size_t c, std::string_view cell) { return c == column && equal(cell, value); });
  }
}

}  // namespace braing3n::inline BRAING3N_ABI
