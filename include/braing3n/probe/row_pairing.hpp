// Which row of the labels belongs to which row of the features: by identifier, or in order where the features have none.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "braing3n/probe/read_features.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Some identifier column of the labels holds exactly the identifiers of the features, row by row.
inline bool same_identifiers(const CsvTable& labels, const FeatureTable& table) {
  if (labels.rows() != table.ids.size()) return false;
  for (std::size_t c = 0; c < labels.columns(); ++c) {
    std::size_t r = 0;
    while (r < labels.rows() && detail::trimmed(labels.cell(r, c)) == table.ids[r]) ++r;
    if (r == labels.rows()) return true;
  }
  return false;
}

/// Which row of the labels belongs to which row of every feature table.
struct Pairing {
  std::vector<Index> label_row;                 // per sample
  std::vector<std::vector<Index>> feature_row;  // per table, per sample
  std::vector<std::string> ids;                 // per sample
  std::vector<std::string> warnings;            // rows that found no partner
  std::string id_column;                        // empty: paired in order
};

/// Samples are the label rows that every feature table has. Tables without identifiers pair in order and must have as many rows.
/// Identifiers that appear twice are named in the warnings. Throws Error: row counts that differ, no common row.
inline Pairing pair_rows(const CsvTable& labels, std::span<const FeatureTable> tables, const std::string& wanted_id_column = {}) {
  Pairing out;
  if (!wanted_id_column.empty()) (void)labels.column(wanted_id_column);
  const bool any_ids = std::any_of(tables.begin(), tables.end(), [](const FeatureTable& t) { return !t.ids.empty(); });
  const auto overlap = [&](const std::string& column) {  // label rows whose cell is an identifier of the first table that has any
    const auto table = std::find_if(tables.begin(), tables.end(), [](const FeatureTable& t) { return !t.ids.empty(); });
    const std::set<std::string_view> known(table->ids.begin(), table->ids.end());
    std::size_t n = 0;
    for (std::size_t r = 0; r < labels.rows(); ++r) n += known.contains(detail::trimmed(labels.cell(r, column)));
    return n;
  };
  std::string column = wanted_id_column;
  if (column.empty()) {
    std::size_t best = 0;
    for (const std::string& name : usual_id_columns()) {
      if (!labels.has_column(name)) continue;
      const std::size_t n = any_ids ? overlap(name) : 1;
      if (n > best) {
        best = n;
        column = name;
      }
    }
  }
  for (const FeatureTable& t : tables) {
    if (!t.ids.empty() && column.empty())
      throw Error(ErrorKind::format, "pair.column",
                  concat("no column of ", labels.path(), " holds the identifiers of the features (the first is ", in_quotes(t.ids[0]), ")"),
                  t.path);
    if (t.ids.empty() && t.rows != static_cast<Index>(labels.rows()))
      throw Error(ErrorKind::shape, "pair.rows",
                  concat(t.rows, " rows of features without identifiers, but ", labels.rows(), " rows of labels in ", labels.path()),
                  t.path);
  }
  out.id_column = any_ids ? column : std::string();
  std::vector<std::unordered_map<std::string_view, Index>> row_of(tables.size());
  for (const FeatureTable& t : tables)
    if (const auto twice = duplicate_id(t)) throw *twice;
  for (std::size_t t = 0; t < tables.size(); ++t)
    for (std::size_t i = 0; i < tables[t].ids.size(); ++i) row_of[t][tables[t].ids[i]] = static_cast<Index>(i);
  std::unordered_map<std::string_view, std::size_t> seen;
  std::vector<std::string> lost, doubled;
  std::unordered_map<std::string, std::size_t> named;
  // An identifier whose rows agree in every cell is kept once; one whose rows differ cannot be paired.
  std::set<std::string_view> ambiguous;
  if (any_ids) {
    std::unordered_map<std::string_view, std::size_t> first;
    for (std::size_t r = 0; r < labels.rows(); ++r) {
      const std::string_view id = detail::trimmed(labels.cell(r, column));
      const auto [place, fresh] = first.emplace(id, r);
      if (fresh || is_missing(id)) continue;
      bool same = true;
      for (std::size_t c = 0; c < labels.columns(); ++c) same = same && labels.cell(r, c) == labels.cell(place->second, c);
      if (!same) ambiguous.insert(id);
      doubled.push_back(concat(in_quotes(id, 60), " (lines ", labels.line(place->second), " and ", labels.line(r),
                               same ? ", equal)" : ", which differ: left out)"));
    }
  }
  out.feature_row.resize(tables.size());
  for (std::size_t r = 0; r < labels.rows(); ++r) {
    const std::string_view id = column.empty() ? std::string_view() : detail::trimmed(labels.cell(r, column));
    if (any_ids) {
      if (is_missing(id)) throw labels.error_at(r, "pair.id", concat("the identifier in column ", in_quotes(column), " is missing"));
      if (const auto [place, fresh] = seen.emplace(id, r); !fresh) continue;  // told below
    }
    if (ambiguous.contains(id)) continue;
    std::vector<Index> at;
    for (std::size_t t = 0; t < tables.size(); ++t) {
      if (tables[t].ids.empty()) {
        at.push_back(static_cast<Index>(r));
      } else if (const auto found = row_of[t].find(id); found != row_of[t].end()) {
        at.push_back(found->second);
      }
    }
    if (at.size() < tables.size()) {
      lost.push_back(in_quotes(id, 60));
      continue;
    }
    for (std::size_t t = 0; t < tables.size(); ++t) out.feature_row[t].push_back(at[t]);
    out.label_row.push_back(static_cast<Index>(r));
    std::string name = id.empty() ? concat("row ", r) : std::string(id);
    if (const std::size_t count = ++named[name]; count > 1) name += concat('#', count);  // in-order pairing allows one name in several rows
    out.ids.push_back(std::move(name));
  }
  if (out.label_row.empty()) throw Error(ErrorKind::format, "pair.none", "no row has both labels and features", labels.path());
  const auto name_some = [](const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 3); ++i) text += concat(i > 0 ? ", " : "", names[i]);
    return names.size() > 3 ? text + ", ..." : text;
  };
  if (!doubled.empty())
    out.warnings.push_back(
        concat(labels.path(), ": ", doubled.size(),
               doubled.size() == 1 ? " identifier appears twice: " : " identifiers appear more than once: ", name_some(doubled)));
  if (!lost.empty())
    out.warnings.push_back(
        concat(lost.size(), lost.size() == 1 ? " row of labels has" : " rows of labels have", " no features: ", name_some(lost)));
  for (std::size_t t = 0; t < tables.size(); ++t) {
    std::vector<std::string> unused;
    for (const std::string& id : tables[t].ids)
      if (!seen.contains(id)) unused.push_back(in_quotes(id, 60));
    if (!unused.empty())
      out.warnings.push_back(
          concat(tables[t].path, ": ", unused.size(), unused.size() == 1 ? " row has" : " rows have", " no labels: ", name_some(unused)));
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
