// Tables of features: rows with identifiers, columns with names, values in float32.
//
// Read from .safetensors (tensor "features" (n, d); metadata "volume_ids": a JSON list; "contract": the preprocessing contract),
// .npy (n, d), .npz (array "features", or the only two-dimensional one; ids in a CSV beside it) or CSV / TSV (one identifier column, the
// numeric columns are features). Files without identifiers pair with the rows of the label table in order.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "braing3n/io/csv.hpp"
#include "braing3n/io/npz.hpp"
#include "braing3n/io/safetensors.hpp"
#include "braing3n/probe/design.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct FeatureTable {
  std::string path;
  Index rows = 0, columns = 0;
  std::vector<float> values;               // (rows, columns)
  std::vector<std::string> ids;            // empty: the file has none
  std::vector<std::string> column_names;   // empty: the file has none
  std::string contract;                    // what the features mean, as their maker wrote it; empty: unknown

  FeatureView<float> view() const { return {values.data(), rows, columns}; }
  std::string id(Index row) const { return ids.empty() ? concat("row ", row) : ids[static_cast<std::size_t>(row)]; }
  std::string column(Index j) const { return column_names.empty() ? concat("column ", j) : concat("column ", in_quotes(column_names[static_cast<std::size_t>(j)])); }
};

struct FeatureOptions {
  std::string id_column;              // of CSV features; empty: the first of the usual names that exists
  std::vector<std::string> columns;   // of CSV features: names, with * for any text; empty: all numeric columns that are not labels
  std::set<std::string> not_features; // columns that are labels in the same CSV
};

/// Columns that hold an identifier of a row, in order of preference, and those that name the person.
inline const std::vector<std::string>& usual_id_columns() {
  static const std::vector<std::string> names{"volume_id", "id", "image_id", "scan_id", "participant_id", "sub_id", "subject_id", "subject", "SubjID"};
  return names;
}
inline const std::vector<std::string>& usual_subject_columns() {
  static const std::vector<std::string> names{"subject_id", "participant_id", "subject", "sub_id", "SubjID"};
  return names;
}
inline std::optional<std::string> first_column_of(const CsvTable& table, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (table.has_column(name)) return name;
  return std::nullopt;
}

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

/// The error to raise when an identifier appears twice, or nothing.
inline std::optional<Error> duplicate_id(const FeatureTable& table) {
  std::unordered_map<std::string_view, std::size_t> seen;
  for (std::size_t i = 0; i < table.ids.size(); ++i)
    if (const auto [place, fresh] = seen.emplace(table.ids[i], i); !fresh)
      return Error(ErrorKind::format, "features.duplicate",
                   concat("the identifier ", in_quotes(table.ids[i]), " appears twice (rows ", place->second, " and ", i, ")"), table.path);
  return std::nullopt;
}

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

namespace detail {

inline void set_shape(FeatureTable& table, const std::vector<Index>& shape) {
  if (shape.size() != 2)
    throw Error(ErrorKind::shape, "features.rank", concat("features must be a matrix (rows, columns), came ", shape_text(shape)), table.path);
  table.rows = shape[0];
  table.columns = shape[1];
  if (table.rows == 0 || table.columns == 0) throw Error(ErrorKind::shape, "features.empty", concat("the table ", shape_text(shape), " is empty"), table.path);
}

inline FeatureTable features_from_csv(const std::filesystem::path& path, const FeatureOptions& options) {
  const CsvTable csv(path);
  FeatureTable out;
  out.path = path.string();
  const std::optional<std::string> id =
      options.id_column.empty() ? first_column_of(csv, usual_id_columns()) : csv.has_column(options.id_column) ? std::optional(options.id_column) : std::nullopt;
  std::vector<std::size_t> columns;
  for (std::size_t c = 0; c < csv.columns(); ++c) {
    const std::string& name = csv.header()[c];
    if (id && name == *id) continue;
    if (!options.columns.empty()) {
      if (std::none_of(options.columns.begin(), options.columns.end(), [&](const std::string& p) { return matches_pattern(name, p); })) continue;
    } else {
      if (options.not_features.contains(name)) continue;
      bool numeric = csv.rows() > 0;
      for (std::size_t r = 0; r < csv.rows() && numeric; ++r) {
        const std::string_view cell = csv.cell(r, c);
        double ignored = 0;
        const std::string_view text = trimmed(cell);
        numeric = is_missing_number(cell) || std::from_chars(text.data(), text.data() + text.size(), ignored).ec == std::errc();
      }
      if (!numeric) continue;
    }
    columns.push_back(c);
    out.column_names.push_back(name);
  }
  if (columns.empty())
    throw Error(ErrorKind::format, "features.columns", options.columns.empty() ? "no numeric columns" : "no column matches the names given for features", out.path);
  set_shape(out, {static_cast<Index>(csv.rows()), static_cast<Index>(columns.size())});
  out.values.reserve(csv.rows() * columns.size());
  for (std::size_t r = 0; r < csv.rows(); ++r) {
    if (id) {
      if (is_missing(csv.cell(r, *id))) throw csv.error_at(r, "features.id", concat("the identifier in column ", in_quotes(*id), " is missing"));
      out.ids.emplace_back(trimmed(csv.cell(r, *id)));
    }
    for (std::size_t c : columns) {
      const std::string_view text = trimmed(csv.cell(r, c));
      float value = std::nanf("");
      if (!is_missing_number(text)) {
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (status != std::errc() || end != text.data() + text.size())
          throw csv.error_at(r, "features.value", concat("column ", in_quotes(csv.header()[c]), ": expected a number, came ", in_quotes(text, 40)));
      }
      out.values.push_back(value);
    }
  }
  return out;
}

inline FeatureTable features_from_safetensors(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  FeatureTable out;
  out.path = path.string();
  set_shape(out, file.info("features").shape);
  out.values = file.read<float>("features");
  const auto text = [&](const char* key) {
    for (const std::string& name : {concat("braing3n.", key), std::string(key)})
      if (const auto found = file.metadata().find(name); found != file.metadata().end()) return found->second;
    return std::string();
  };
  const auto list = [&](const char* key) {
    std::vector<std::string> items;
    if (text(key).empty()) return items;
    const Json json = parse_json(text(key), concat(out.path, ": metadata ", key));
    if (!json.is_array()) throw Error(ErrorKind::format, "features.metadata", concat("metadata ", in_quotes(key), " is not a list"), out.path);
    for (const Json& item : json) items.push_back(item.is_string() ? item.get<std::string>() : item.dump());
    return items;
  };
  out.ids = list("volume_ids");
  out.column_names = list("feature_names");
  out.contract = text("contract");
  if (!out.ids.empty() && static_cast<Index>(out.ids.size()) != out.rows)
    throw Error(ErrorKind::format, "features.ids", concat(out.rows, " rows of features, but ", out.ids.size(), " volume ids"), out.path);
  if (!out.column_names.empty() && static_cast<Index>(out.column_names.size()) != out.columns)
    throw Error(ErrorKind::format, "features.names", concat(out.columns, " features, but ", out.column_names.size(), " feature names"), out.path);
  return out;
}

}  // namespace detail

/// Throws Error: file, format (not a table), shape (not a matrix). Identifiers may repeat: see duplicate_id.
inline FeatureTable read_features(const std::filesystem::path& path, const FeatureOptions& options = {}) {
  const std::string extension = path.extension().string();
  FeatureTable out;
  const auto from_array = [&](const NpyArray& array) {
    out.path = path.string();
    detail::set_shape(out, array.shape());
    out.values = array.read<float>();
  };
  if (extension == ".safetensors") {
    out = detail::features_from_safetensors(path);
  } else if (extension == ".npy") {
    from_array(read_npy(path));
  } else if (extension == ".npz") {
    const NpzFile file(path);
    std::vector<std::string> matrices;
    for (const std::string& name : file.names())
      if (name == "features" || file.array(name).shape().size() == 2) matrices.push_back(name);
    if (!file.contains("features") && matrices.size() != 1)
      throw Error(ErrorKind::format, "features.npz", concat("expected an array \"features\" or exactly one matrix, the file has ", matrices.size(), " matrices"), path.string());
    from_array(file.array(file.contains("features") ? "features" : matrices[0]));
  } else if (extension == ".csv" || extension == ".tsv" || extension == ".txt") {
    out = detail::features_from_csv(path, options);
  } else {
    throw Error(ErrorKind::argument, "features.type", concat("features are read from .safetensors, .npy, .npz, .csv and .tsv, not from ", in_quotes(extension)), path.string());
  }
  return out;
}

/// Which row of the labels belongs to which row of every feature table.
struct Pairing {
  std::vector<Index> label_row;                   // per sample
  std::vector<std::vector<Index>> feature_row;    // per table, per sample
  std::vector<std::string> ids;                   // per sample
  std::vector<std::string> warnings;              // rows that found no partner
  std::string id_column;                          // empty: paired in order
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
      throw Error(ErrorKind::format, "pair.column", concat("no column of ", labels.path(), " holds the identifiers of the features (the first is ", in_quotes(t.ids[0]), ")"), t.path);
    if (t.ids.empty() && t.rows != static_cast<Index>(labels.rows()))
      throw Error(ErrorKind::shape, "pair.rows", concat(t.rows, " rows of features without identifiers, but ", labels.rows(), " rows of labels in ", labels.path()), t.path);
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
      doubled.push_back(concat(in_quotes(id, 60), " (lines ", labels.line(place->second), " and ", labels.line(r), same ? ", equal)" : ", which differ: left out)"));
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
    out.warnings.push_back(concat(labels.path(), ": ", doubled.size(), doubled.size() == 1 ? " identifier appears twice: " : " identifiers appear more than once: ", name_some(doubled)));
  if (!lost.empty()) out.warnings.push_back(concat(lost.size(), lost.size() == 1 ? " row of labels has" : " rows of labels have", " no features: ", name_some(lost)));
  for (std::size_t t = 0; t < tables.size(); ++t) {
    std::vector<std::string> unused;
    for (const std::string& id : tables[t].ids)
      if (!seen.contains(id)) unused.push_back(in_quotes(id, 60));
    if (!unused.empty())
      out.warnings.push_back(concat(tables[t].path, ": ", unused.size(), unused.size() == 1 ? " row has" : " rows have", " no labels: ", name_some(unused)));
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
