// The table of scans: volumes.csv, or a BIDS participants.tsv with a pattern for the paths.
//
// Columns: volume_id, subject_id, session_id, path, volume_index, modality, age, sex, disease, site, idh1, cohort, cdr, days, session_date and any
// further label columns, in any case and under their usual names (column_names.hpp: PTID, Age at scan, gender, SITE_ID, acq_time). Needed are subject_id
// and path (or a pattern); a missing volume_id is made from subject, session, modality and volume_index. cell.hpp has what is missing. Paths are
// relative to the table. volume_index says which volume of a file with several is meant, from 0; a column "index" says nothing of the kind,
// since pandas counts rows in one. Doubled ids and ids that would leave the folder are errors with their line. A label that cannot be used (an age
// of "89+", a sex of "O", a CDR of 7) is missing, and a finding names it with its line; Label::fault has the sentence.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/manifest_cells.hpp"
#include "braing3n/data/manifest_checks.hpp"
#include "braing3n/data/manifest_types.hpp"
#include "braing3n/table/stated_missing.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Where the parts of a manifest stand in its table.
struct ManifestColumns {
  std::size_t subject = 0;
  std::optional<std::size_t> session, volume, path, volume_index;
  std::vector<std::size_t> labels;  // of the first fields of the manifest
  std::vector<DateOrder> orders;    // (labels), of columns of dates
  bool add_modality = false;        // a last field that the table does not have
};

/// What was seen in the rows so far.
struct ManifestNotes {
  std::map<std::string, std::size_t> row_of;               // by volume_id
  std::map<std::string, std::set<std::string>> unknown;    // values outside the known ones, by field
  std::map<std::string, std::vector<std::string>> faults;  // cells that cannot be used, by field
  std::vector<std::string> absent;                         // files
};

/// Finds the columns and sets the fields. Columns the schema does not know are numbers when every value is one.
inline ManifestColumns find_manifest_columns(const CsvTable& table, const ManifestOptions& options, Manifest& m) {
  ManifestColumns out;
  const auto subject = manifest_subject(table);
  out.session = manifest_column(table, "session_id");
  out.volume = manifest_column(table, "volume_id");
  out.path = manifest_column(table, "path");
  out.volume_index = manifest_column(table, "volume_index");
  if (!subject) (void)table.column("subject_id");  // says which name comes near
  out.subject = *subject;
  if (options.need_paths && !out.path && options.pattern.empty())
    throw Error(
        ErrorKind::format, "manifest.path",
        "no column \"path\"; a table without paths needs a pattern, for example \"sub-{participant_id}_T1w.nii.gz\"",
        table.path());
  std::set<std::size_t> used{out.subject};
  for (const auto& c : {out.session, out.volume, out.path, out.volume_index})
    if (c) used.insert(*c);
  for (const LabelField& f : options.schema.fields) {
    const auto c = manifest_column(table, f.name);
    if (!c || used.contains(*c)) continue;
    used.insert(*c);
    m.fields.push_back(f);
    out.labels.push_back(*c);
    const DateOrder order = out.orders.emplace_back(f.date ? column_date_order(table, *c) : DateOrder::unknown);
    if (order == DateOrder::day_first || order == DateOrder::month_first)
      m.findings.add(Severity::note, "manifest.date_order", "the column ", in_quotes(table.header()[*c]), " has the ",
                     order == DateOrder::day_first ? "day" : "month", " first, as its dates show");
  }
  if (const auto age = find_age_column(table);
      age && !m.find_field("age") && is_age_in_another_unit(table.header()[*age]))
    m.findings.add(Severity::warning, "manifest.unit", "the column ", in_quotes(table.header()[*age]),
                   " is not taken for the age, which is in years");
  for (std::size_t c = 0; c < table.columns(); ++c) {
    if (used.contains(c)) continue;
    LabelField f{.name = table.header()[c]};
    bool numbers = true, any = false;
    for (std::size_t r = 0; numbers && r < table.rows(); ++r) {
      if (is_missing_number(table.cell(r, c))) continue;
      any = true;
      numbers = cell_number(table.cell(r, c)).has_value();
    }
    f.kind = numbers && any ? LabelKind::continuous : LabelKind::categorical;
    m.fields.push_back(std::move(f));
    out.labels.push_back(c);
    out.orders.push_back(DateOrder::unknown);
  }
  out.add_modality = !options.modality.empty() && !m.find_field("modality");
  if (out.add_modality) m.fields.push_back(*options.schema.find("modality"));
  return out;
}

/// One cell as a label; what cannot be used is missing and goes to the notes. order: of day and month, in a column of dates.
inline Label read_label(const CsvTable& table, std::size_t r, std::size_t column, const LabelField& field,
                        DateOrder order, ManifestNotes& notes) {
  const std::string_view cell = trimmed(table.cell(r, column));
  Label label;
  if (field.date) {
    if (!is_missing_number(cell)) {
      const DateCell date = read_date(cell, order);
      if (date.day) label.text = date_text(*date.day);
      else
        label.fault = concat("line ", table.line(r), ": column ", in_quotes(table.header()[column]),
                             ": expected a date, got ", in_quotes(cell, 40), " (", date.reason, ")");
    }
  } else if (field.kind == LabelKind::continuous) {
    if (!is_missing_number(cell)) {
      label.number = cell_number(cell);
      if (!label.number) label.fault = table.number_sentence(r, column);
      else if (*label.number < field.low || *label.number > field.high)
        label.fault = concat("line ", table.line(r), ": column ", in_quotes(table.header()[column]), ": expected ",
                             field.low, " to ", field.high, ", got ", *label.number);
    }
  } else if (!is_missing_label(cell)) {
    label.text = standard_spelling(field, cell);
    if (!is_known(field, *label.text)) {
      if (field.closed)
        label.fault = concat("line ", table.line(r), ": column ", in_quotes(table.header()[column]),
                             ": expected one of ", field.known_values(), ", got ", in_quotes(cell, 40));
      else notes.unknown[field.name].insert(*label.text);
    }
  }
  if (!label.fault.empty()) {
    label = {.text = std::nullopt, .number = std::nullopt, .cell = std::string(cell), .fault = std::move(label.fault)};
    notes.faults[field.name].push_back(label.fault);
  }
  return label;
}

/// Sets the path of a scan (empty where paths are not needed) and returns it as it stands in the table.
inline std::filesystem::path read_scan_path(const CsvTable& table, std::size_t r, const ManifestColumns& columns,
                                            const ManifestOptions& options, ScanRow& s) {
  std::filesystem::path file;
  if (columns.path && options.pattern.empty()) file = std::string(trimmed(table.cell(r, *columns.path)));
  else if (!options.pattern.empty()) file = fill_pattern(table, r, options.pattern);
  const bool no_path = file.empty() || is_missing(file.string());
  if (no_path && options.need_paths) throw table.error_at(r, "manifest.path", "no path");
  if (!no_path) s.path = file.is_absolute() ? file : std::filesystem::path(table.path()).parent_path() / file;
  return file;
}

inline ScanRow read_scan_row(const CsvTable& table, std::size_t r, const ManifestColumns& columns,
                             const ManifestOptions& options, const Manifest& m, ManifestNotes& notes) {
  ScanRow s;
  s.line = table.line(r);
  s.subject_id = trimmed(table.cell(r, columns.subject));
  if (is_missing(s.subject_id)) throw table.error_at(r, "manifest.id", "no subject_id");
  require_plain_id(table, r, "subject_id", s.subject_id);
  if (columns.session && !is_missing(table.cell(r, *columns.session))) {
    s.session_id = trimmed(table.cell(r, *columns.session));
    require_plain_id(table, r, "session_id", s.session_id);
  }
  for (std::size_t f = 0; f < columns.labels.size(); ++f)
    s.labels.push_back(read_label(table, r, columns.labels[f], m.fields[f], columns.orders[f], notes));
  if (columns.add_modality)
    s.labels.push_back({.text = standard_spelling(m.fields.back(), options.modality), .number = std::nullopt});
  const std::filesystem::path file = read_scan_path(table, r, columns, options, s);
  if (columns.volume_index) s.volume_index = read_volume_index(table, r, *columns.volume_index);
  if (columns.volume && !is_missing(table.cell(r, *columns.volume))) {
    s.volume_id = trimmed(table.cell(r, *columns.volume));
    require_plain_id(table, r, "volume_id", s.volume_id);
  } else {
    s.volume_id = s.subject_id + (s.session_id.empty() ? "" : "_" + s.session_id);
    if (const auto f = m.find_field("modality"); f && s.labels[*f].text) s.volume_id += "_" + *s.labels[*f].text;
    if (s.volume_index >= 0) s.volume_id += concat("_volume", s.volume_index);
  }
  const auto [place, fresh] = notes.row_of.emplace(s.volume_id, r);
  if (!fresh)
    throw table.error_at(
        r, "manifest.duplicate",
        concat(
            "volume_id ", in_quotes(s.volume_id), " was used in line ", table.line(place->second), " already",
            columns.volume ? "" : " (made from subject, session, modality and volume_index; add a volume_id column)"));
  std::error_code ignored;
  if (options.check_files && options.need_paths && !std::filesystem::exists(s.path, ignored))
    notes.absent.push_back(file.string());
  return s;
}

inline void add_manifest_findings(Manifest& m, const ManifestNotes& notes, const LabelSchema& schema) {
  for (const auto& [name, sentences] : notes.faults)
    m.findings.add(Severity::warning, "manifest.value", name, ": ", sentences.size(),
                   sentences.size() == 1 ? " cell cannot be used and counts" : " cells cannot be used and count",
                   " as missing: ", some_of(sentences, 3));
  for (const auto& [name, values] : notes.unknown)
    m.findings.add(Severity::warning, "manifest.unknown", name,
                   " has values outside the known ones: ", some_of({values.begin(), values.end()}, 8),
                   " (known: ", schema.find(name)->known_values(), ")");
  if (!notes.absent.empty())
    m.findings.add(Severity::error, "manifest.missing_file", notes.absent.size(), " of ", m.size(),
                   m.size() == 1 ? " file " : " files ", notes.absent.size() == 1 ? "does" : "do",
                   " not exist: ", some_of(notes.absent));
  check_conflicts(m);
  check_repeated_files(m);
}

}  // namespace detail

/// Throws Error (format, file, argument) for a table that cannot be used; read `findings` for the rest.
inline Manifest read_manifest(const CsvTable& table, const ManifestOptions& options = {}) {
  Manifest m;
  m.path = table.path();
  if (table.rows() == 0)
    throw Error(ErrorKind::format, "manifest.empty", "expected at least one row, got none", table.path());
  const detail::ManifestColumns columns = detail::find_manifest_columns(table, options, m);
  detail::ManifestNotes notes;
  for (std::size_t r = 0; r < table.rows(); ++r)
    m.scans.push_back(detail::read_scan_row(table, r, columns, options, m, notes));
  detail::add_manifest_findings(m, notes, options.schema);
  return m;
}

inline Manifest read_manifest(const std::filesystem::path& path, const ManifestOptions& options = {}) {
  CsvTable table(path);
  clear_stated_missing(table, options.missing);
  return read_manifest(table, options);
}

}  // namespace braing3n::inline BRAING3N_ABI
