// Tables of features from .safetensors, .npy (n, d), .npz (array "features", or the only matrix) and CSV / TSV.
//
// A CSV has one identifier column; its numeric columns are features. Files without identifiers pair with the rows of the label
// table in order (row_pairing.hpp).
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/io/csv.hpp"
#include "braing3n/io/npz.hpp"
#include "braing3n/probe/feature_file.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct FeatureOptions {
  std::string id_column;               // of CSV features; empty: the first of the usual names that exists
  std::vector<std::string> columns;    // of CSV features: names, with * for any text; empty: all numeric columns that are not labels
  std::set<std::string> not_features;  // columns that are labels in the same CSV
};

/// Columns that hold an identifier of a row, in order of preference, and those that name the person.
inline const std::vector<std::string>& usual_id_columns() {
  static const std::vector<std::string> names{"volume_id", "id",         "image_id", "scan_id", "participant_id",
                                              "sub_id",    "subject_id", "subject",  "SubjID"};
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

namespace detail {

inline FeatureTable features_from_csv(const std::filesystem::path& path, const FeatureOptions& options) {
  const CsvTable csv(path);
  FeatureTable out;
  out.path = path.string();
  const std::optional<std::string> id = options.id_column.empty()           ? first_column_of(csv, usual_id_columns())
                                        : csv.has_column(options.id_column) ? std::optional(options.id_column)
                                                                            : std::nullopt;
  std::vector<std::size_t> columns;
  for (std::size_t c = 0; c < csv.columns(); ++c) {
    const std::string& name = csv.header()[c];
    if (id && name == *id) continue;
    if (!options.columns.empty()) {
      if (std::none_of(options.columns.begin(), options.columns.end(), [&](const std::string& p) { return matches_pattern(name, p); }))
        continue;
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
    throw Error(ErrorKind::format, "features.columns",
                options.columns.empty() ? "no numeric columns" : "no column matches the names given for features", out.path);
  set_shape(out, {static_cast<Index>(csv.rows()), static_cast<Index>(columns.size())});
  out.values.reserve(csv.rows() * columns.size());
  for (std::size_t r = 0; r < csv.rows(); ++r) {
    if (id) {
      if (is_missing(csv.cell(r, *id)))
        throw csv.error_at(r, "features.id", concat("the identifier in column ", in_quotes(*id), " is missing"));
      out.ids.emplace_back(trimmed(csv.cell(r, *id)));
    }
    for (std::size_t c : columns) {
      const std::string_view text = trimmed(csv.cell(r, c));
      float value = std::nanf("");
      if (!is_missing_number(text)) {
        const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (status != std::errc() || end != text.data() + text.size())
          throw csv.error_at(r, "features.value",
                             concat("column ", in_quotes(csv.header()[c]), ": expected a number, came ", in_quotes(text, 40)));
      }
      out.values.push_back(value);
    }
  }
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
    out = read_feature_file(path);
  } else if (extension == ".npy") {
    from_array(read_npy(path));
  } else if (extension == ".npz") {
    const NpzFile file(path);
    std::vector<std::string> matrices;
    for (const std::string& name : file.names())
      if (name == "features" || file.array(name).shape().size() == 2) matrices.push_back(name);
    if (!file.contains("features") && matrices.size() != 1)
      throw Error(ErrorKind::format, "features.npz",
                  concat("expected an array \"features\" or exactly one matrix, the file has ", matrices.size(), " matrices"),
                  path.string());
    from_array(file.array(file.contains("features") ? "features" : matrices[0]));
  } else if (extension == ".csv" || extension == ".tsv" || extension == ".txt") {
    out = detail::features_from_csv(path, options);
  } else {
    throw Error(ErrorKind::argument, "features.type",
                concat("features are read from .safetensors, .npy, .npz, .csv and .tsv, not from ", in_quotes(extension)), path.string());
  }
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
