// Which column of a table names the row, the subject, the site, the sex, the age or the day of a scan, whatever its header is called.
//
// Names are compared in plain form: lower case, without blanks, underscores, hyphens, dots and notes in brackets, so "SUB_ID",
// "Sub-ID " and "sub id (anonymised)" are one name. column_lists.hpp has the names.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/format/csv.hpp"
#include "braing3n/format/date.hpp"
#include "braing3n/table/column_lists.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The plain form of a column name: "SEX_ID (1=m, 2=f)" -> "sexid".
inline std::string plain_column_name(std::string_view name) {
  std::string out;
  int depth = 0;
  for (const char c : name) {
    if (c == '(' || c == '[') ++depth;
    const auto u = static_cast<unsigned char>(c);
    if (depth == 0 && u > 0x20 && c != '_' && c != '-' && c != '.')
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((c == ')' || c == ']') && depth > 0) --depth;
  }
  return out;
}

namespace detail {

/// Lower-case words of a name: at every character that is no letter, and where a capital follows a small letter.
inline std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  bool fresh = true, small = false;
  for (const char c : name.substr(0, std::min(name.find_first_of("(["), name.size()))) {
    const bool upper = c >= 'A' && c <= 'Z', letter = upper || (c >= 'a' && c <= 'z');
    if (letter && (fresh || (upper && small))) words.emplace_back();
    if (letter) words.back() += upper ? static_cast<char>(c - 'A' + 'a') : c;
    fresh = !letter;
    small = letter && !upper;
  }
  return words;
}
inline bool has_word(std::string_view name, std::initializer_list<std::string_view> wanted) {
  for (const std::string& word : words_of(name))
    if (std::find(wanted.begin(), wanted.end(), word) != wanted.end()) return true;
  return false;
}
inline bool in_list(NameList names, std::string_view plain) {
  return std::find(names.begin(), names.end(), plain) != names.end();
}
inline bool speaks_of_age(std::string_view name) {
  return has_word(name, {"age"}) && !has_word(name, {"onset", "diagnosis", "death", "gap", "group", "bin", "range",
                                                     "mother", "father", "gestational", "brain", "predicted"});
}

/// Columns whose plain name is in the list, in the order of the list.
inline std::vector<std::size_t> columns_in(const CsvTable& table, NameList names) {
  std::vector<std::size_t> out;
  for (const std::string_view name : names)
    for (std::size_t c = 0; c < table.columns(); ++c)
      if (plain_column_name(table.header()[c]) == name) out.push_back(c);
  return out;
}
template <class Speaks>
std::optional<std::size_t> first_column(const CsvTable& table, NameList names, Speaks&& speaks) {
  const std::vector<std::size_t> listed = columns_in(table, names);
  if (!listed.empty()) return listed[0];
  for (std::size_t c = 0; c < table.columns(); ++c)
    if (speaks(table.header()[c])) return c;
  return std::nullopt;
}

}  // namespace detail

/// No name, or that which pandas gives to a column without one.
inline bool is_nameless_column(std::string_view name) {
  const std::string plain = plain_column_name(name);
  return plain.empty() || plain.starts_with("unnamed:");
}

/// The first header of tables that FreeSurfer's aparcstats2table and asegstats2table write: "lh.aparc.thickness", "Measure:volume".
inline bool is_freesurfer_id_column(std::string_view name) {
  const std::string lower = lower_case(detail::trimmed(name));
  if (lower.starts_with("measure:")) return true;
  return (lower.starts_with("lh.") || lower.starts_with("rh.")) && lower.find('.', 3) != std::string::npos;
}

/// The cells are 0, 1, 2, ... or 1, 2, 3, ... in order: a number of the row and nothing else.
inline bool counts_rows(const CsvTable& table, std::size_t column) {
  if (table.rows() == 0) return false;
  const std::string_view start = detail::trimmed(table.cell(0, column));
  const Index first = start == "1" || start == "1.0" ? 1 : 0;
  for (std::size_t r = 0; r < table.rows(); ++r) {
    const std::string wanted = std::to_string(static_cast<Index>(r) + first);
    const std::string_view cell = detail::trimmed(table.cell(r, column));
    if (cell != wanted && cell != wanted + ".0") return false;
  }
  return true;
}

/// All columns that may hold the identifier of a row, the most likely first: names of scans, names of subjects, what FreeSurfer writes,
/// a first column without a name, and a first column of text in which no cell repeats. A nameless column that counts rows is none.
inline std::vector<std::size_t> find_id_columns(const CsvTable& table) {
  std::vector<std::size_t> out = detail::columns_in(table, detail::scan_names());
  for (const std::size_t c : detail::columns_in(table, detail::subject_names())) out.push_back(c);
  if (table.columns() == 0 || (!out.empty() && std::find(out.begin(), out.end(), std::size_t{0}) != out.end()))
    return out;
  const std::string& first = table.header()[0];
  if (is_freesurfer_id_column(first) || (is_nameless_column(first) && !counts_rows(table, 0))) {
    out.push_back(0);
  } else if (out.empty() && table.rows() > 1) {
    std::vector<std::string_view> cells;
    bool text = true;
    for (std::size_t r = 0; r < table.rows() && text; ++r) {
      cells.push_back(detail::trimmed(table.cell(r, 0)));
      text =
          !is_missing(cells.back()) &&
          cells.back().find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != std::string_view::npos;
    }
    std::sort(cells.begin(), cells.end());
    if (text && std::adjacent_find(cells.begin(), cells.end()) == cells.end()) out.push_back(0);
  }
  return out;
}

/// The column that names the rows: the first of find_id_columns.
inline std::optional<std::size_t> find_id_column(const CsvTable& table) {
  const std::vector<std::size_t> all = find_id_columns(table);
  return all.empty() ? std::nullopt : std::optional(all[0]);
}
/// The column that names the subject, who may have several rows. "ID" alone is not one.
inline std::optional<std::size_t> find_subject_column(const CsvTable& table) {
  const std::vector<std::size_t> all = detail::columns_in(table, detail::subject_names());
  return all.empty() ? std::nullopt : std::optional(all[0]);
}
inline std::optional<std::size_t> find_site_column(const CsvTable& table) {
  return detail::first_column(table, detail::site_names(), [](std::string_view) { return false; });
}
inline std::optional<std::size_t> find_sex_column(const CsvTable& table) {
  return detail::first_column(table, detail::sex_names(),
                              [](std::string_view name) { return detail::has_word(name, {"sex", "gender"}); });
}
inline std::optional<std::size_t> find_age_column(const CsvTable& table) {
  return detail::first_column(table, detail::age_names(), detail::speaks_of_age);
}
/// A column that tells one visit of a subject from another. "ses" comes last: SES is the socioeconomic status in OASIS.
inline std::optional<std::size_t> find_session_column(const CsvTable& table) {
  static constexpr std::array<std::string_view, 7> names{"sessionid", "session",   "visit", "visitid",
                                                         "viscode",   "timepoint", "ses"};
  return detail::first_column(table, names, [](std::string_view) { return false; });
}

/// The day of the scan: the first usual name with a cell that is written like a date, readable or not (acq_time may hold times of the day only).
inline std::optional<std::size_t> find_session_date_column(const CsvTable& table) {
  for (const std::size_t c : detail::columns_in(table, detail::session_date_names()))
    for (std::size_t r = 0; r < table.rows(); ++r)
      if (read_date(table.cell(r, c), DateOrder::day_first).day || detail::is_date(detail::trimmed(table.cell(r, c))))
        return c;
  return std::nullopt;
}
/// Days since the first visit.
inline std::optional<std::size_t> find_days_column(const CsvTable& table) {
  return detail::first_column(table, detail::days_names(), [](std::string_view) { return false; });
}

/// A column named by its header: exactly, else in plain form where only one column has it. Nothing when there is none.
inline std::optional<std::size_t> find_named_column(const CsvTable& table, std::string_view name) {
  if (const auto exact = table.find_column(name)) return exact;
  const std::string plain = plain_column_name(name);
  std::optional<std::size_t> found;
  for (std::size_t c = 0; c < table.columns() && !plain.empty(); ++c) {
    if (plain_column_name(table.header()[c]) != plain) continue;
    if (found) return std::nullopt;
    found = c;
  }
  return found;
}

/// The column names a row or subject, or says something about them (age, sex, site, diagnosis, session, date): never a feature.
inline bool is_label_column(std::string_view name) {
  const std::string plain = plain_column_name(name);
  for (const detail::NameList names :
       {detail::scan_names(), detail::subject_names(), detail::site_names(), detail::sex_names(), detail::age_names(),
        detail::session_date_names(), detail::days_names(), detail::other_label_names()})
    if (detail::in_list(names, plain)) return true;
  return is_nameless_column(name) || detail::has_word(name, {"age", "sex", "gender", "date", "datetime"});
}

}  // namespace braing3n::inline BRAING3N_ABI
