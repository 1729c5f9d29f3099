// How one table of features meets the labels: by which columns, by which rows, and what is refused. row_pairing.hpp puts tables together.
#pragma once

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "braing3n/table/id_hints.hpp"
#include "braing3n/table/read_features.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct PairingOptions {
  std::string id_column = {};  // of the labels; empty: found by its name and content
  bool by_order = false;       // tables that identifiers do not pair: row i with row i, the numbers of rows must agree
};

namespace detail {

/// How one table meets the labels.
struct TablePairing {
  bool in_order = false;
  std::size_t label_column = 0;
  const std::vector<std::string>* ids = nullptr;  // of the table: its ids, or other ones
  bool subjects = false;                          // they name subjects
  bool with_session = false;
  std::unordered_map<std::string, std::vector<Index>> rows;  // by key
};

inline std::vector<std::string> column_cells(const CsvTable& labels, std::size_t column) {
  std::vector<std::string> out;
  for (std::size_t r = 0; r < labels.rows(); ++r) out.emplace_back(trimmed(labels.cell(r, column)));
  return out;
}

inline bool has_repeats(const std::vector<std::string>& items) {
  return std::set<std::string_view>(items.begin(), items.end()).size() < items.size();
}

/// The features and labels are rows of one file.
inline bool one_file(const CsvTable& labels, const FeatureTable& table) {
  return table.path == labels.path() && table.rows() == static_cast<Index>(labels.rows());
}

/// Throws Error (shape) unless the rows of the table can pair with those of the labels one by one.
inline void require_equal_rows(const CsvTable& labels, const FeatureTable& t) {
  if (t.rows() != static_cast<Index>(labels.rows()))
    throw Error(ErrorKind::shape, "pair.rows",
                concat(t.rows(), " rows of features without identifiers, but ", labels.rows(), " rows of labels in ",
                       labels.path()),
                t.path);
}

/// The identifiers of the table and the column of the labels that match best. Throws Error: nothing matches and order was not asked for.
inline TablePairing match_table(const CsvTable& labels, const FeatureTable& t, const PairingOptions& options) {
  TablePairing out;
  if (one_file(labels, t) && (t.ids.empty() || has_repeats(t.ids))) {
    out.in_order = true;
    return out;
  }
  if (t.ids.empty()) {
    if (!options.by_order)
      throw Error(
          ErrorKind::format, "pair.order",
          concat("the features have no identifiers, so nothing tells which row belongs to which of the ", labels.rows(),
                 " rows of ", labels.path(), "; expected a column (or an array, or metadata) of identifiers"),
          t.path);
    require_equal_rows(labels, t);
    out.in_order = true;
    return out;
  }
  std::vector<std::size_t> columns;
  if (options.id_column.empty()) columns = find_id_columns(labels);
  else columns.push_back(named_column(labels, options.id_column));
  std::size_t best = 0;
  const auto consider = [&](const std::vector<std::string>& ids, const std::string& name, bool subjects, bool prefer) {
    const std::set<std::string_view> known(ids.begin(), ids.end());
    for (const std::size_t c : columns) {
      std::size_t n = 0;
      for (std::size_t r = 0; r < labels.rows(); ++r) n += known.contains(trimmed(labels.cell(r, c)));
      const bool same_name = plain_column_name(name) == plain_column_name(labels.header()[c]);
      if (n == 0 || (prefer ? n <= best : n < 2 * best + 1) || (!prefer && best > 0 && !same_name)) continue;
      best = n;
      out.label_column = c;
      out.ids = &ids;
      out.subjects = subjects || names_subjects(labels.header()[c]);
    }
  };
  consider(t.ids, t.id_column, t.ids_are_subjects, true);
  for (const IdentifierColumn& other : t.other_ids) consider(other.values, other.name, other.subjects, false);
  if (out.ids != nullptr) return out;
  if (options.by_order) {
    require_equal_rows(labels, t);
    out.in_order = true;
    return out;
  }
  std::string hint;
  for (const std::size_t c : columns)
    if (hint.empty()) hint = identifier_hint(t.ids, column_cells(labels, c));
  for (std::size_t c = 0; c < labels.columns() && hint.empty() && options.id_column.empty(); ++c) {
    const std::vector<std::string> cells = column_cells(labels, c);
    const std::set<std::string_view> known(t.ids.begin(), t.ids.end());
    const auto n =
        std::count_if(cells.begin(), cells.end(), [&](const std::string& cell) { return known.contains(cell); });
    if (2 * n > t.rows())
      hint = concat("; column ", in_quotes(labels.header()[c]), " of the labels holds ", n, " of them");
  }
  throw Error(
      ErrorKind::format, "pair.column",
      concat(options.id_column.empty() ? std::string("no column") : concat("column ", in_quotes(options.id_column)),
             " of ", labels.path(),
             options.id_column.empty() ? " holds the identifiers of the features ("
                                       : " holds none of the identifiers of the features (",
             t.id_column.empty() ? std::string() : concat("column ", in_quotes(t.id_column), ", "), "the first is ",
             in_quotes(t.ids[0], 60), ')', hint),
      t.path);
}

inline std::string session_key(const std::string& id, std::string_view session) {
  return concat(id, '\n', trimmed(session));
}

inline bool equal_rows(const CsvTable& labels, std::size_t a, std::size_t b) {
  bool same = true;
  for (std::size_t c = 0; c < labels.columns(); ++c) same = same && labels.cell(a, c) == labels.cell(b, c);
  return same;
}

/// Keys of label rows (one per row) that stand in rows which differ.
inline std::set<std::string> contradicting_keys(const CsvTable& labels, const std::vector<std::string>& keys) {
  std::set<std::string> out;
  std::unordered_map<std::string_view, std::size_t> first;
  for (std::size_t r = 0; r < keys.size(); ++r)
    if (const auto [place, fresh] = first.emplace(keys[r], r); !fresh && !equal_rows(labels, place->second, r))
      out.insert(keys[r]);
  return out;
}

/// Fills in the rows by key; the session becomes part of the key where both sides repeat and have one.
inline void index_rows(const CsvTable& labels, const FeatureTable& t, TablePairing& p) {
  if (p.in_order) return;
  const bool features_repeat = has_repeats(*p.ids);
  const auto session = find_session_column(labels);
  const std::vector<std::string> cells = column_cells(labels, p.label_column);
  p.with_session = session && !t.sessions.empty() && has_repeats(cells);
  for (std::size_t i = 0; i < p.ids->size(); ++i)
    p.rows[p.with_session ? session_key((*p.ids)[i], t.sessions[i]) : (*p.ids)[i]].push_back(static_cast<Index>(i));
  if (!features_repeat || (p.subjects && !has_repeats(cells)) || (p.with_session && p.rows.size() == p.ids->size()))
    return;
  auto twice = duplicate_id(*p.ids, t.path);
  if (!p.subjects || !twice) throw *twice;
  // Single subjects whose labels contradict each other are left out later. Where most have several rows, the rows are visits.
  if (2 * contradicting_keys(labels, cells).size() > std::set<std::string>(cells.begin(), cells.end()).size())
    throw Error(ErrorKind::format, "features.duplicate",
                concat(twice->text(), ", and most subjects have several rows in ", labels.path(),
                       " too: expected identifiers of scans, or a session column in both tables"),
                t.path);
}

inline std::string some_names(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 3); ++i)
    text += concat(i > 0 ? ", " : "", in_quotes(names[i], 60));
  return names.size() > 3 ? text + ", ..." : text;
}

inline std::string label_key(const CsvTable& labels, const TablePairing& p, std::size_t row) {
  const std::string id(trimmed(labels.cell(row, p.label_column)));
  return p.with_session ? session_key(id, labels.cell(row, *find_session_column(labels))) : id;
}

/// Rows of labels that are not used: all but the first of equal ones, and all that contradict each other. Names them in the warnings.
inline std::set<std::size_t> repeated_labels(const CsvTable& labels, const TablePairing& p,
                                             std::vector<std::string>& warnings) {
  std::vector<std::string> keys;
  for (std::size_t r = 0; r < labels.rows(); ++r) {
    if (is_missing(labels.cell(r, p.label_column)))
      throw labels.error_at(
          r, "pair.id", concat("the identifier in column ", in_quotes(labels.header()[p.label_column]), " is missing"));
    keys.push_back(label_key(labels, p, r));
  }
  const std::set<std::string> contradicting = contradicting_keys(labels, keys);
  std::unordered_map<std::string_view, std::size_t> first;
  std::set<std::size_t> out;
  std::size_t count = 0;
  std::string list;
  for (std::size_t r = 0; r < keys.size(); ++r) {
    const auto [place, fresh] = first.emplace(keys[r], r);
    if (contradicting.contains(keys[r])) out.insert(r);
    if (fresh) continue;
    out.insert(r);
    if (++count <= 3)
      list += concat(count > 1 ? ", " : "", in_quotes(trimmed(labels.cell(r, p.label_column)), 60), " (lines ",
                     labels.line(place->second), " and ", labels.line(r),
                     equal_rows(labels, place->second, r) ? ", equal)" : ", which differ: left out)");
  }
  if (count > 0)
    warnings.push_back(concat(labels.path(), ": ", count,
                              count == 1 ? " identifier appears twice: " : " identifiers appear more than once: ", list,
                              count > 3 ? ", ..." : ""));
  return out;
}

/// The row among `rows` of table t with the scan identifier `scan`, -1 for none. Throws Error (format) for several.
inline Index scan_row(const FeatureTable& t, const std::vector<Index>& rows, const std::string& scan) {
  Index found = -1;
  for (const Index i : rows) {
    if (t.ids[static_cast<std::size_t>(i)] != scan) continue;
    if (found >= 0)
      throw Error(ErrorKind::format, "pair.scans",
                  concat("which scan of ", in_quotes(scan, 60),
                         " is which row of the other features? Expected identifiers of scans in all files"),
                  t.path);
    found = i;
  }
  return found;
}

/// Rows of every table that belong to one row of labels: one entry per scan, (rows per table, scan identifier).
inline std::vector<std::pair<std::vector<Index>, std::string>> scans_of_label(
    std::span<const FeatureTable> tables, const std::vector<std::vector<Index>>& found) {
  std::size_t anchor = 0;  // a table with several scans
  for (std::size_t t = 0; t < found.size(); ++t)
    if (found[t].size() > found[anchor].size()) anchor = t;
  std::vector<std::pair<std::vector<Index>, std::string>> out;
  for (const Index row : found[anchor]) {
    const std::string scan =
        found[anchor].size() > 1 ? tables[anchor].ids[static_cast<std::size_t>(row)] : std::string();
    std::vector<Index> at;
    for (std::size_t t = 0; t < tables.size(); ++t)
      at.push_back(t == anchor ? row : found[t].size() > 1 ? scan_row(tables[t], found[t], scan) : found[t][0]);
    out.emplace_back(std::move(at), scan);
  }
  return out;
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
