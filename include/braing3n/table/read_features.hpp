// Tables of features from .safetensors, .npy (n, d), .npz (array "features", or the only matrix) and CSV / TSV.
//
// A CSV has one identifier column and may have others (a subject beside a scan); which columns are features says feature_columns.hpp.
// An .npz may hold the identifiers in an array of texts or whole numbers beside the features ("ids", "names", "volume_ids", ...) and the
// names of the columns ("feature_names"). Which row belongs to which row of labels says row_pairing.hpp.
#pragma once

#include <algorithm>
#include <concepts>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/format/csv.hpp"
#include "braing3n/format/npz.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/table/feature_columns.hpp"
#include "braing3n/table/feature_file.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// A column given by its name. Throws Error (format) when the table lacks it.
inline std::size_t named_column(const CsvTable& csv, const std::string& name) {
  const auto found = find_named_column(csv, name);
  return found ? *found : csv.column(name);
}

/// The cells of a column of identifiers. Throws Error (format) for a missing one.
inline std::vector<std::string> identifiers(const CsvTable& csv, std::size_t column) {
  std::vector<std::string> out;
  out.reserve(csv.rows());
  for (std::size_t r = 0; r < csv.rows(); ++r) {
    const std::string_view cell = trimmed(csv.cell(r, column));
    if (is_missing(cell))
      throw csv.error_at(r, "features.id",
                         concat("the identifier in column ", in_quotes(csv.header()[column]), " is missing"));
    out.emplace_back(cell);
  }
  return out;
}

inline bool names_subjects(std::string_view column) { return in_list(subject_names(), plain_column_name(column)); }

/// Sets the identifiers of the table. Returns the column of the main ones.
inline std::optional<std::size_t> read_csv_identifiers(const CsvTable& csv, const FeatureOptions& options,
                                                       FeatureTable& out) {
  std::vector<std::size_t> columns;
  if (options.id_column.empty()) columns = find_id_columns(csv);
  else columns.push_back(named_column(csv, options.id_column));
  for (std::size_t k = 0; k < columns.size(); ++k) {
    const std::string& name = csv.header()[columns[k]];
    if (k == 0) {
      out.ids = identifiers(csv, columns[k]);
      out.id_column = name;
      out.ids_are_subjects = names_subjects(name);
      continue;
    }
    bool whole = true;
    for (std::size_t r = 0; r < csv.rows() && whole; ++r) whole = !is_missing(csv.cell(r, columns[k]));
    if (whole) out.other_ids.push_back({name, identifiers(csv, columns[k]), names_subjects(name)});
  }
  if (const auto session = find_session_column(csv))
    for (std::size_t r = 0; r < csv.rows(); ++r) out.sessions.emplace_back(trimmed(csv.cell(r, *session)));
  return columns.empty() ? std::nullopt : std::optional(columns[0]);
}

inline FeatureTable features_from_csv(const std::filesystem::path& path, const FeatureOptions& options) {
  const CsvTable csv(path);
  FeatureTable out;
  out.path = path.string();
  const std::optional<std::size_t> id = read_csv_identifiers(csv, options, out);
  const FeatureColumns chosen = find_feature_columns(csv, options, id);
  std::string list;
  for (const std::string& why : chosen.left_out) list += (list.empty() ? "" : ", ") + why;
  if (chosen.columns.empty())
    throw Error(ErrorKind::format, "features.columns",
                !options.columns.empty() ? "no column matches the names given for features"
                : list.empty()           ? "no column but identifiers"
                                         : "no column is a feature; left out: " + list,
                out.path);
  if (!list.empty())
    out.notes.push_back(
        concat(out.path, ": ", chosen.left_out.size(),
               chosen.left_out.size() == 1 ? " column is no feature: " : " columns are no features: ", list));
  for (const std::size_t c : chosen.columns) out.column_names.push_back(csv.header()[c]);
  set_shape(out, {static_cast<Index>(csv.rows()), static_cast<Index>(chosen.columns.size())});
  std::vector<double> wide;
  wide.reserve(csv.rows() * chosen.columns.size());
  for (std::size_t r = 0; r < csv.rows(); ++r)
    for (const std::size_t c : chosen.columns) {
      const auto value = feature_number(csv.cell(r, c));
      if (!value)
        throw csv.error_at(
            r, "features.value",
            concat("column ", in_quotes(csv.header()[c]), ": expected a number, got ", in_quotes(csv.cell(r, c), 40)));
      wide.push_back(*value);
    }
  set_values(out, wide);
  return out;
}

inline void set_array(FeatureTable& out, const NpyArray& array) {
  set_shape(out, array.shape());
  const DType type = array.dtype();
  if (array.is_text() || type == DType::f32 || type == DType::f16)
    std::ranges::copy(array.read<float>(), out.values.data());
  else set_values(out, array.read<double>());
}

/// Texts, or whole numbers as texts, of a one-dimensional array.
inline std::vector<std::string> names_in_array(const NpyArray& array) {
  if (array.is_text()) return array.texts();
  std::vector<std::string> out;
  for (const Index value : array.read<Index>()) out.push_back(std::to_string(value));
  return out;
}

inline FeatureTable features_from_npz(const std::filesystem::path& path, const FeatureOptions& options) {
  const NpzFile file(path);
  FeatureTable out;
  out.path = path.string();
  std::vector<std::string> matrices;
  for (const std::string& name : file.names()) {
    if (file.contains("features")) break;
    try {
      const NpyArray array = file.array(name);
      if (!array.is_text() && array.shape().size() == 2) matrices.push_back(name);
    } catch (const Error& e) {
      if (e.id() != "npy.dtype") throw;  // an array of objects is no matrix, and may be no concern
    }
  }
  if (!file.contains("features") && matrices.size() != 1)
    throw Error(
        ErrorKind::format, "features.npz",
        concat("expected an array \"features\" or exactly one matrix, the file has ", matrices.size(), " matrices"),
        path.string());
  set_array(out, file.array(file.contains("features") ? "features" : matrices[0]));
  for (const std::string& name : file.names()) {
    std::string plain = plain_column_name(name);
    if (plain == "featurenames" || plain == "columns" || plain == "columnnames") {
      const NpyArray array = file.array(name);
      if (array.is_text() && array.elements() == out.columns()) out.column_names = array.texts();
      continue;
    }
    if (plain.ends_with('s') && plain != "ses") plain.pop_back();
    const bool wanted = !options.id_column.empty() && name == options.id_column;
    const bool scan = in_list(scan_names(), plain) || plain == "name", subject = in_list(subject_names(), plain);
    if (!wanted && !scan && !subject) continue;
    std::vector<std::string> names;
    try {
      names = names_in_array(file.array(name));
    } catch (const Error& e) {
      if (e.id() != "npy.dtype" && e.id() != "dtype.range") throw;
      throw Error(
          ErrorKind::format, "features.npz",
          concat("array ", in_quotes(name), " should name the rows, but holds neither texts nor whole numbers (",
                 e.text(), "); save it with numpy.array(", name,
                 ", dtype=str), or leave it out and keep the order of the labels"),
          path.string());
    }
    if (static_cast<Index>(names.size()) != out.rows())
      throw Error(ErrorKind::format, "features.npz",
                  concat("array ", in_quotes(name), " names ", names.size(), " rows, the features have ", out.rows()),
                  path.string());
    const bool first = out.ids.empty() || wanted || (scan && out.ids_are_subjects && options.id_column.empty());
    if (first && !out.ids.empty()) out.other_ids.push_back({out.id_column, std::move(out.ids), out.ids_are_subjects});
    if (first) {
      out.ids = std::move(names);
      out.id_column = name;
      out.ids_are_subjects = subject;
    } else {
      out.other_ids.push_back({name, std::move(names), subject});
    }
  }
  if (!options.id_column.empty() && out.id_column != options.id_column)
    throw Error(ErrorKind::format, "features.npz",
                concat("no array ", in_quotes(options.id_column), did_you_mean(options.id_column, file.names())),
                path.string());
  if (!options.id_column.empty()) out.other_ids.clear();
  return out;
}

}  // namespace detail

/// Throws Error: file, format (not a table), shape (not a matrix). Identifiers may repeat: see duplicate_id.
template <std::same_as<FeatureTable> Table = FeatureTable>
Table read_features(const std::filesystem::path& path, const FeatureOptions& options = {}) {
  const std::string extension = file_ending(path);
  if (extension == ".safetensors") return read_feature_file<Table>(path);
  if (extension == ".npz") return detail::features_from_npz(path, options);
  if (extension == ".csv" || extension == ".tsv" || extension == ".txt" || extension == ".dat" || extension == ".table")
    return detail::features_from_csv(path, options);
  if (extension != ".npy")
    throw Error(
        ErrorKind::argument, "features.type",
        concat("features are read from .safetensors, .npy, .npz, .csv and .tsv, not from ", in_quotes(extension)),
        path.string());
  FeatureTable out;
  out.path = path.string();
  detail::set_array(out, read_npy(path));
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
