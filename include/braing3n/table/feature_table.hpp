// A table of features: rows with identifiers, columns with names, values in float32; and what the features mean.
//
// A column whose values lie far from 0 for their range (volumes in cubic micrometres, times in seconds) is held relative to its middle,
// since float32 has 24 bits: what such values differ by would be lost, and a probe reads nothing else.
// read_features.hpp reads tables of every format, feature_file.hpp reads and writes the library's own.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "braing3n/format/named_tensor.hpp"
#include "braing3n/format/sha256.hpp"
#include "braing3n/format/text.hpp"
#include "braing3n/table/matrix.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A column of identifiers beside the main one.
struct IdentifierColumn {
  std::string name;
  std::vector<std::string> values;  // per row
  bool subjects = false;            // names subjects, who may have several rows
};

struct FeatureTable {
  std::string path;
  xt::xtensor<float, 2> values;   // (rows, columns), less the offset of the column
  std::vector<double> offset;     // (columns): to be added to the values; empty: 0
  std::vector<std::string> ids;   // empty: the file has none
  std::string id_column;          // where the ids come from; empty: from metadata
  bool ids_are_subjects = false;  // ids name subjects, who may have several rows
  std::vector<IdentifierColumn> other_ids;
  std::vector<std::string> sessions;        // per row; empty: unknown
  std::vector<std::string> notes;           // sentences about columns that are no features
  std::vector<std::string> column_names;    // empty: the file has none
  std::string contract;                     // what the features mean, as their maker wrote it (JSON); empty: unknown
  std::string contract_hash;                // SHA-256 of that text, in hexadecimal; empty: unknown
  std::vector<std::string> encoder_people;  // person keys of those who trained the encoder; empty: unknown

  Index rows() const { return row_count(values); }
  Index columns() const { return column_count(values); }
  /// The values of one row, less the offsets, (columns).
  std::span<const float> row(Index i) const { return row_of(values, i); }
  /// Says what the features mean.
  void set_contract(const std::string& text) {
    contract = text;
    contract_hash = text.empty() ? std::string() : sha256_hex(text);
  }
  /// What probes are fitted on: the values less the offsets, which no fit with an intercept depends on.
  FeatureView<float> view() const { return view_of(values); }
  /// The features of one row with the offsets, (columns).
  std::vector<double> row_values(Index i) const {
    const std::span<const float> stored = row(i);
    std::vector<double> out(stored.begin(), stored.end());
    for (std::size_t j = 0; j < offset.size(); ++j) out[j] += offset[j];
    return out;
  }
  std::string id(Index i) const { return ids.empty() ? concat("row ", i) : ids[static_cast<std::size_t>(i)]; }
  std::string column(Index j) const {
    return column_names.empty() ? concat("column ", j)
                                : concat("column ", in_quotes(column_names[static_cast<std::size_t>(j)]));
  }
};

/// The error to raise when an identifier appears twice, or nothing.
inline std::optional<Error> duplicate_id(const std::vector<std::string>& ids, const std::string& path) {
  std::unordered_map<std::string_view, std::size_t> seen;
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (const auto [place, fresh] = seen.emplace(ids[i], i); !fresh)
      return Error(
          ErrorKind::format, "features.duplicate",
          concat("the identifier ", in_quotes(ids[i]), " appears twice (rows ", place->second, " and ", i, ")"), path);
  return std::nullopt;
}
inline std::optional<Error> duplicate_id(const FeatureTable& table) { return duplicate_id(table.ids, table.path); }

/// The columns of these names, in this order. Throws Error (format): a name that the table does not have, or has twice.
inline FeatureTable select_columns(const FeatureTable& table, const std::vector<std::string>& names) {
  std::unordered_map<std::string_view, std::size_t> place;
  for (std::size_t j = 0; j < table.column_names.size(); ++j)
    if (!place.emplace(table.column_names[j], j).second)
      throw Error(ErrorKind::format, "features.names",
                  concat("the feature ", in_quotes(table.column_names[j]), " appears twice"), table.path);
  std::vector<std::size_t> from;
  for (const std::string& name : names) {
    const auto found = place.find(name);
    if (found == place.end())
      throw Error(ErrorKind::format, "features.missing", concat("there is no feature ", in_quotes(name)), table.path);
    from.push_back(found->second);
  }
  FeatureTable out = table;
  out.column_names = names;
  out.offset.clear();
  if (!table.offset.empty())
    for (std::size_t j : from) out.offset.push_back(table.offset[j]);
  set_size(out.values, table.rows(), static_cast<Index>(names.size()));
  for (Index i = 0; i < table.rows(); ++i)
    std::transform(from.begin(), from.end(), row_of(out.values, i).begin(),
                   [row = table.row(i)](std::size_t j) { return row[j]; });
  return out;
}

namespace detail {

/// Makes room for the values. Throws Error (shape) unless shape is (rows, columns), neither 0.
inline void set_shape(FeatureTable& table, const std::vector<Index>& shape) {
  if (shape.size() != 2)
    throw Error(ErrorKind::shape, "features.rank",
                concat("features must be a matrix (rows, columns), got ", shape_text(shape)), table.path);
  if (shape[0] == 0 || shape[1] == 0)
    throw Error(ErrorKind::shape, "features.empty", concat("the table ", shape_text(shape), " is empty"), table.path);
  set_size(table.values, shape[0], shape[1]);
}

/// Sets the values (rows, columns) of a table that has room for them, each column relative to its middle where float32 would lose what the values differ by.
/// Throws Error (format): a finite value beyond float32.
inline void set_values(FeatureTable& table, std::span<const double> wide) {
  const auto d = static_cast<std::size_t>(table.columns());
  std::vector<double> low(d, std::numeric_limits<double>::infinity()),
      high(d, -std::numeric_limits<double>::infinity()), offset(d, 0.0);
  for (std::size_t i = 0; i < wide.size(); ++i) {
    if (!std::isfinite(wide[i])) continue;
    if (std::abs(wide[i]) > static_cast<double>(std::numeric_limits<float>::max()))
      throw Error(ErrorKind::format, "features.range",
                  concat(table.id(static_cast<Index>(i / d)), ", ", table.column(static_cast<Index>(i % d)), ": ",
                         wide[i], " is beyond float32"),
                  table.path);
    low[i % d] = std::min(low[i % d], wide[i]);
    high[i % d] = std::max(high[i % d], wide[i]);
  }
  bool any = false;
  for (std::size_t j = 0; j < d; ++j) {
    const double range = high[j] - low[j], middle = low[j] + range / 2;
    if (!(range > 0) || std::abs(middle) < 1024 * range) continue;  // at least 14 bits are left for the differences
    offset[j] = std::round(middle) == 0 || range < 1 ? middle : std::round(middle);
    any = true;
  }
  table.offset = any ? offset : std::vector<double>();
  const std::span<float> values = elements_of(table.values);
  for (std::size_t i = 0; i < wide.size(); ++i) values[i] = static_cast<float>(wide[i] - offset[i % d]);
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
