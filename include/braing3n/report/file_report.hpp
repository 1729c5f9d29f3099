// Reports about files of every kind: scans and manifests, safetensors, NumPy arrays, tables of text.
#pragma once

#include <algorithm>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/checkpoint/training_state.hpp"
#include "braing3n/format/csv.hpp"
#include "braing3n/format/npz.hpp"
#include "braing3n/format/output_guard.hpp"
#include "braing3n/format/safetensors.hpp"
#include "braing3n/report/manifest_report.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/report/volume_report.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

inline std::string plain(std::string text) {  // without control characters
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return text;
}

/// JSON objects and lists inside the metadata are shown as such.
inline Json as_json(const std::string& text) {
  try {
    const Json value = parse_json(text, "");
    return value.is_structured() ? value : Json(text);
  } catch (const Error&) {
    return text;
  }
}

inline Json array_entry(const std::string& name, const NpyArray& a) {
  return {{"name", name}, {"dtype", to_string(a.dtype())}, {"shape", a.shape()}, {"elements", a.elements()}};
}

}  // namespace detail

inline Json inspect_safetensors(const std::string& path, bool verify) {
  SafetensorsLimits limits;
  limits.allow_trailing_bytes = true;
  const SafetensorsFile file(path, limits);
  Json report = {{"file", path}, {"type", "safetensors"}, {"bytes", file.size()}};
  if (file.trailing_bytes() > 0)
    report["warning"] = concat(file.trailing_bytes(), " bytes after the last tensor belong to no tensor");
  report["checksum"] = !verify ? "not read" : file.verify_checksum() ? "good" : "none";
  Json metadata = Json::object(), tensors = Json::array();
  for (const auto& [key, value] : file.metadata()) metadata[key] = detail::as_json(value);
  if (verify)
    for (const NamedTensor& t : file.tensors())
      if (const auto found = first_non_finite(t)) {
        report["not_finite"] = concat("element ", found->at, " of ", in_quotes(t.name), " is ", found->value);
        break;
      }
  Index elements = 0;
  for (const NamedTensor& t : file.tensors()) {
    tensors.push_back(
        {{"name", t.name}, {"dtype", to_string(t.dtype)}, {"shape", t.shape}, {"elements", t.elements()}});
    elements += t.elements();
  }
  report["metadata"] = metadata;
  report["elements"] = elements;
  report["tensors"] = tensors;
  return report;
}

inline Json inspect_npz(const std::string& path) {
  const NpzFile file(path);
  Json report = {{"file", path}, {"type", "npz"}, {"tensors", Json::array()}};
  for (const std::string& name : file.names()) report["tensors"].push_back(detail::array_entry(name, file.array(name)));
  return report;
}

/// note: reported for a table of subjects without paths to scans.
inline Json inspect_table(const CsvTable& table, const std::string& note) {
  Json report = {{"file", table.path()}, {"type", "table"}, {"rows", table.rows()}, {"columns", Json::array()}};
  for (std::size_t c = 0; c < table.columns(); ++c) {
    std::size_t missing = 0;
    std::map<std::string, std::size_t> values;
    std::vector<double> numbers;
    bool numeric = true;
    for (std::size_t r = 0; r < table.rows(); ++r) {
      if (is_missing_label(table.cell(r, c))) {
        ++missing;
        continue;
      }
      ++values[std::string(table.cell(r, c))];
      if (const auto number = detail::parse_label_number(table.cell(r, c))) numbers.push_back(*number);
      else numeric = false;
    }
    Json column = {{"name", table.header()[c]}, {"missing", missing}, {"different", values.size()}};
    if (values.size() <= 8) column["values"] = values;
    if (numeric && !numbers.empty()) {
      column["min"] = *std::min_element(numbers.begin(), numbers.end());
      column["max"] = *std::max_element(numbers.begin(), numbers.end());
    }
    report["columns"].push_back(column);
  }
  for (const char* column : {"subject_id", "participant_id"})
    if (detail::find_column_ignoring_case(table, column)) report["note"] = note;
  return report;
}

struct FileReportOptions {
  bool verify = true;           // read whole files for their checksum
  std::string subjects_note{};  // a note for tables of subjects without paths to scans
  VolumeInspection volume{};
  ManifestOptions manifest{};
  ManifestReportOptions reading{};
};

/// Throws what reading the file throws.
inline Json inspect_file(Context<Cpu>& context, const std::string& path, const FileReportOptions& options) {
  if (is_scan_name(path)) return inspect_volume(context, path, options.volume);
  const std::string name = file_ending(path);
  if (name == ".npy")
    return {{"file", path}, {"type", "npy"}, {"tensors", Json::array({detail::array_entry("", read_npy(path))})}};
  if (name == ".npz") return inspect_npz(path);
  if (name == ".csv" || name == ".tsv") {
    const CsvTable table(path);
    return is_manifest(table, options.manifest.pattern) ? inspect_manifest(table, options.manifest, options.reading)
                                                        : inspect_table(table, options.subjects_note);
  }
  return inspect_safetensors(model_path(path).string(), options.verify);
}

/// Whether a finding forbids the use of the input: one of severity error, with strict also a warning.
inline bool must_not_be_used(const Json& report, bool strict) {
  if (!report.contains("findings")) return false;
  for (const Json& f : report["findings"])
    if (f["severity"] == "error" || (strict && f["severity"] == "warning")) return true;
  return false;
}

namespace detail {

inline void print_metadata(std::ostream& out, const Json& report) {
  for (const auto& [key, value] : report.items()) {
    if (key == "tensors" || key == "columns" || key == "metadata") continue;
    out << key << ": "
        << plain(value.is_string()           ? value.get<std::string>()
                 : value.is_number_integer() ? with_commas(value.get<Index>())
                                             : value.dump())
        << '\n';
  }
  if (report.contains("metadata"))
    for (const auto& [key, value] : report["metadata"].items())
      out << "  " << plain(key) << ": "
          << plain(key == "people" && value.is_array() ? concat(value.size(), " trained the model, as keys")
                   : value.is_string()                 ? value.get<std::string>()
                                                       : value.dump())
          << '\n';
}

}  // namespace detail

inline void print_file(std::ostream& out, const Json& report) {
  if (report["type"] == "volume") return print_volume(out, report);
  if (report["type"] == "manifest") return print_manifest(out, report);
  detail::print_metadata(out, report);
  Table table(report.contains("columns") ? std::vector<std::string>{"column", "missing", "different", "values"}
                                         : std::vector<std::string>{"tensor", "type", "shape", "elements"});
  if (report.contains("columns"))
    for (const Json& c : report["columns"]) {
      std::string what;
      if (c.contains("values"))
        for (const auto& [value, n] : c["values"].items())
          what += (what.empty() ? "" : ", ") + value + " (" + n.dump() + ")";
      else if (c.contains("min")) what = significant(c["min"], 6) + " to " + significant(c["max"], 6);
      table.row(detail::plain(c["name"]), c["missing"].dump(), c["different"].dump(), detail::plain(what));
    }
  else
    for (const Json& t : report["tensors"])
      table.row(detail::plain(t["name"]), t["dtype"].get<std::string>(),
                shape_text(t["shape"].get<std::vector<Index>>()), with_commas(t["elements"].get<Index>()));
  if (!table.empty()) table.print(out);
}

}  // namespace braing3n::inline BRAING3N_ABI
