// Which row of the labels belongs to which row of the features: by identifiers, or in order where that is asked for.
//
// The identifiers of a table are held against every column of the labels that may hold identifiers, and the best match is taken: scans
// against scans, else subjects against subjects. One row of labels of a subject serves all scans of that subject. Where the labels have
// several rows per subject too, the session tells them apart. What cannot be told by identifiers is refused, unless order was asked for.
#pragma once

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "braing3n/table/table_match.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Which row of the labels belongs to which row of every feature table.
struct Pairing {
  std::vector<Index> label_row;                 // per sample
  std::vector<std::vector<Index>> feature_row;  // per table, per sample
  std::vector<std::string> ids;                 // per sample, all different
  std::vector<std::string> warnings;            // rows that found no partner
  std::string id_column;                        // of the labels; empty: paired in order
};

/// Samples are the rows of every feature table that one label row belongs to. Identifiers that appear twice are named in the warnings.
/// Throws Error: a table without identifiers, or none of whose identifiers the labels have, unless order is asked for; numbers of rows
/// that differ (in order); identifiers of scans that repeat; an id column that the labels lack; no common row.
inline Pairing pair_rows(const CsvTable& labels, std::span<const FeatureTable> tables,
                         const PairingOptions& options = {}) {
  Pairing out;
  auto usual = options.id_column.empty() ? find_id_column(labels)
                                         : std::optional(detail::named_column(labels, options.id_column));
  std::vector<detail::TablePairing> pairs;
  for (const FeatureTable& t : tables) {
    pairs.push_back(detail::match_table(labels, t, options));
    detail::index_rows(labels, t, pairs.back());
  }
  const auto keyed =
      std::find_if(pairs.begin(), pairs.end(), [](const detail::TablePairing& p) { return !p.in_order; });
  std::set<std::size_t> skipped;
  if (keyed != pairs.end()) {
    usual = keyed->label_column;
    out.id_column = labels.header()[*usual];
    skipped = detail::repeated_labels(labels, *keyed, out.warnings);
  }
  out.feature_row.resize(tables.size());
  std::unordered_map<std::string, std::size_t> named;
  std::vector<std::string> lost;
  std::vector<std::set<Index>> used(tables.size());
  for (std::size_t r = 0; r < labels.rows(); ++r) {
    const std::string id = usual ? std::string(detail::trimmed(labels.cell(r, *usual))) : std::string();
    std::vector<std::vector<Index>> found(tables.size());
    for (std::size_t t = 0; t < tables.size(); ++t) {
      if (pairs[t].in_order) found[t] = {static_cast<Index>(r)};
      else if (const auto place = pairs[t].rows.find(detail::label_key(labels, pairs[t], r));
               place != pairs[t].rows.end())
        found[t] = place->second;
      used[t].insert(found[t].begin(), found[t].end());
    }
    if (skipped.contains(r)) continue;
    if (std::any_of(found.begin(), found.end(), [](const auto& rows) { return rows.empty(); })) {
      lost.push_back(id);
      continue;
    }
    for (const auto& [at, scan] : detail::scans_of_label(tables, found)) {
      std::string name = !scan.empty() ? scan : id.empty() ? concat("row ", r) : id;
      if (std::find(at.begin(), at.end(), Index{-1}) != at.end()) {
        lost.push_back(name);
        continue;
      }
      for (std::size_t t = 0; t < tables.size(); ++t) out.feature_row[t].push_back(at[t]);
      out.label_row.push_back(static_cast<Index>(r));
      if (const std::size_t count = ++named[name]; count > 1) name += concat('#', count);
      out.ids.push_back(std::move(name));
    }
  }
  if (out.label_row.empty())
    throw Error(ErrorKind::format, "pair.none", "no row has both labels and features", labels.path());
  if (!lost.empty())
    out.warnings.push_back(concat(lost.size(), lost.size() == 1 ? " row of labels has" : " rows of labels have",
                                  " no features: ", detail::some_names(lost)));
  for (std::size_t t = 0; t < tables.size(); ++t) {
    if (pairs[t].in_order) continue;
    std::vector<std::string> unused;
    for (std::size_t i = 0; i < pairs[t].ids->size(); ++i)
      if (!used[t].contains(static_cast<Index>(i))) unused.push_back((*pairs[t].ids)[i]);
    if (!unused.empty())
      out.warnings.push_back(concat(tables[t].path, ": ", unused.size(), unused.size() == 1 ? " row has" : " rows have",
                                    " no labels: ", detail::some_names(unused), identifier_hint(unused, lost)));
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
