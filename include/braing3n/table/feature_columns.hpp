// Which columns of a table of text are features, and a sentence about those that are not.
//
// Without names given, every column of numbers is a feature, except one that
//   names rows or subjects, or says something about them (table/column_names.hpp), or is a label of the task at hand, in any spelling
//   counts the rows
//   has a cell that is no number (the first is named with its line)
//   is empty, or missing, in more than half of the rows: such a column would cost more rows than it can be worth
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "braing3n/format/cell.hpp"
#include "braing3n/table/column_names.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct FeatureOptions {
  std::string id_column = {};  // of CSV features; empty: found by its name
  std::vector<std::string> columns =
      {};  // of CSV features: names, with * for any text; empty: all numeric columns that are not labels
  std::set<std::string> not_features = {};  // columns that are labels in the same CSV, in any spelling
};

/// text matches a pattern in which * stands for any text.
inline bool matches_pattern(std::string_view text, std::string_view pattern) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    for (std::size_t skip = 0; skip <= text.size(); ++skip)
      if (matches_pattern(text.substr(skip), pattern.substr(1))) return true;
    return false;
  }
  return !text.empty() && text[0] == pattern[0] && matches_pattern(text.substr(1), pattern.substr(1));
}

/// A cell as a feature: NaN where it is missing, 0 where it is too small for a double, nothing where it is no number of float32's range.
inline std::optional<double> feature_number(std::string_view cell) {
  if (is_missing_number(cell)) return std::numeric_limits<double>::quiet_NaN();
  std::optional<double> value = cell_number(cell);
  if (!value) {
    std::string_view text = detail::trimmed(cell);
    if (text.size() > 1 && text[0] == '+' && text[1] != '-' && text[1] != '+') text.remove_prefix(1);
    double parsed = 0;
    const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), parsed);
    if (end != text.data() + text.size()) return std::nullopt;
    if (status == std::errc::result_out_of_range) {
      const std::size_t exponent = text.find_first_of("eE");
      if (exponent == std::string_view::npos || text.substr(exponent + 1, 1) != "-") return std::nullopt;
      return 0.0;
    }
    if (status != std::errc()) return std::nullopt;
    value = parsed;
  }
  if (std::isfinite(*value) && std::abs(*value) > static_cast<double>(std::numeric_limits<float>::max()))
    return std::nullopt;
  return value;
}

struct FeatureColumns {
  std::vector<std::size_t> columns;
  std::vector<std::string> left_out;  // "name" (why)
};

namespace detail {

/// Why a column is no feature, or nothing.
inline std::string not_a_feature(const CsvTable& csv, std::size_t c, const std::set<std::string>& labels) {
  const std::string& name = csv.header()[c];
  std::size_t numbers = 0, missing = 0, bad = 0, first_bad = 0;
  for (std::size_t r = 0; r < csv.rows(); ++r) {
    const std::optional<double> value = feature_number(csv.cell(r, c));
    if (!value && bad++ == 0) first_bad = r;
    if (value) ++(std::isnan(*value) ? missing : numbers);
  }
  if (labels.contains(plain_column_name(name))) return "a label";
  // Eight rows that count by chance are no chance; a column without a name has nothing else to say.
  if ((csv.rows() >= 8 || is_nameless_column(name) || plain_column_name(name) == "index") && counts_rows(csv, c))
    return "it counts the rows";
  if (is_label_column(name)) return "it describes the subject or the scan";
  if (bad > 0) {
    const std::string cell =
        concat("line ", csv.line(first_bad), ": expected a number, got ", in_quotes(csv.cell(first_bad, c), 40));
    return numbers == 0 ? cell : concat(cell, "; ", numbers, " of ", csv.rows(), " cells are numbers");
  }
  if (2 * missing > csv.rows()) return concat(missing, " of ", csv.rows(), " cells are missing, more than half");
  return {};
}

}  // namespace detail

/// The features of a table of text. id: the column of identifiers, never a feature.
inline FeatureColumns find_feature_columns(const CsvTable& csv, const FeatureOptions& options,
                                           std::optional<std::size_t> id) {
  FeatureColumns out;
  std::set<std::string> labels;
  for (const std::string& name : options.not_features) labels.insert(plain_column_name(name));
  const std::vector<std::size_t> id_columns = find_id_columns(csv);
  for (std::size_t c = 0; c < csv.columns(); ++c) {
    if (id && c == *id) continue;
    const std::string& name = csv.header()[c];
    if (!options.columns.empty()) {
      const bool named = std::find(options.columns.begin(), options.columns.end(), name) != options.columns.end();
      const bool matches = std::any_of(options.columns.begin(), options.columns.end(),
                                       [&](const std::string& p) { return matches_pattern(name, p); });
      const bool names_rows = std::find(id_columns.begin(), id_columns.end(), c) != id_columns.end();
      if (named || (matches && !names_rows)) out.columns.push_back(c);
      continue;
    }
    const std::string why = detail::not_a_feature(csv, c, labels);
    if (why.empty()) out.columns.push_back(c);
    else out.left_out.push_back(concat(in_quotes(name, 60), " (", why, ')'));
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
