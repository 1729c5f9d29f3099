// The table of scans: volumes.csv, or a BIDS participants.tsv with a pattern for the paths.
//
// Columns: volume_id, subject_id, session_id, path, modality, age, sex, disease, site, idh1, cohort, cdr, days and any further
// label columns, in any case and under their usual names (column_names.hpp: PTID, Age at scan, gender, SITE_ID). Needed are subject_id
// and path (or a pattern); a missing volume_id is made from subject, session and modality. cell.hpp has what is missing. Paths are
// relative to the table. Doubled ids and ids that would leave the folder are errors with their line. A label that cannot be used (an age
// of "89+", a sex of "O", a CDR of 7) is missing, and a finding names it with its line; Label::fault has the sentence.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/label_schema.hpp"
#include "braing3n/data/manifest_cells.hpp"
#include "braing3n/table/stated_missing.hpp"
#include "braing3n/volume/findings.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// One value of one scan: text for categorical columns, a number for continuous ones; neither when it is missing or cannot be used.
struct Label {
  std::optional<std::string> text;
  std::optional<double> number;
  std::string cell{}, fault{};  // of a value that cannot be used: what stands there, and the sentence about it
  bool missing() const { return !text && !number; }
};

struct ScanRow {
  std::string volume_id, subject_id, session_id;
  std::filesystem::path path;
  std::vector<Label> labels;  // in the order of Manifest::fields
};

struct ManifestOptions {
  LabelSchema schema = LabelSchema::standard();
  std::string pattern{};               // "sub-{participant_id}_T1w.nii.gz", relative to the table
  std::string modality{};              // for tables without that column
  bool check_files = true;             // every path must exist
  bool need_paths = true;              // false: a table of labels alone will do
  std::vector<std::string> missing{};  // values that stand for missing ones (stated_missing.hpp)
};

struct Manifest {
  std::filesystem::path path;
  std::vector<LabelField> fields;
  std::vector<ScanRow> scans;
  Findings findings;

  Index size() const { return static_cast<Index>(scans.size()); }
  std::optional<std::size_t> find_field(std::string_view name) const {
    for (std::size_t f = 0; f < fields.size(); ++f)
      if (fields[f].name == name) return f;
    return std::nullopt;
  }
  /// Throws Error (argument) naming the nearest field.
  std::size_t field(std::string_view name) const {
    if (const auto f = find_field(name)) return *f;
    std::vector<std::string> names;
    for (const LabelField& f : fields) names.push_back(f.name);
    throw Error(ErrorKind::argument, "manifest.field",
                concat("no label column ", in_quotes(name), did_you_mean(name, names)), path.string());
  }
  const Label& label(Index scan, std::string_view name) const {
    return scans.at(static_cast<std::size_t>(scan)).labels[field(name)];
  }
  std::optional<double> number(Index scan, std::string_view name) const {
    const auto f = find_field(name);
    return f ? scans.at(static_cast<std::size_t>(scan)).labels[*f].number : std::nullopt;
  }
  std::optional<std::string> text(Index scan, std::string_view name) const {
    const auto f = find_field(name);
    return f ? scans.at(static_cast<std::size_t>(scan)).labels[*f].text : std::nullopt;
  }
  /// Every subject once, sorted.
  std::vector<std::string> subjects() const {
    std::set<std::string> all;
    for (const ScanRow& s : scans) all.insert(s.subject_id);
    return {all.begin(), all.end()};
  }
};

namespace detail {

inline void check_conflicts(Manifest& m) {
  for (const char* name : {"sex", "idh1"}) {
    const auto f = m.find_field(name);
    if (!f) continue;
    std::map<std::string, std::set<std::string>> seen;
    for (const ScanRow& s : m.scans)
      if (s.labels[*f].text) seen[s.subject_id].insert(*s.labels[*f].text);
    std::vector<std::string> bad;
    for (const auto& [subject, values] : seen)
      if (values.size() > 1) bad.push_back(subject);
    if (!bad.empty())
      m.findings.add(Severity::warning, "manifest.conflict", bad.size(),
                     bad.size() == 1 ? " subject has" : " subjects have", " more than one ", name, ": ", some_of(bad));
  }
  const auto age = m.find_field("age"), days = m.find_field("days");
  if (!age || !days) return;
  // Within a subject, age minus the elapsed time must stay the same, to a year of rounding.
  std::map<std::string, std::pair<double, double>> born;
  for (const ScanRow& s : m.scans) {
    const Label &a = s.labels[*age], &d = s.labels[*days];
    if (!a.number || !d.number) continue;
    const double b = *a.number - *d.number / 365.25;
    const auto [place, fresh] = born.emplace(s.subject_id, std::pair{b, b});
    if (!fresh) place->second = {std::min(place->second.first, b), std::max(place->second.second, b)};
  }
  std::vector<std::string> bad;
  for (const auto& [subject, range] : born)
    if (range.second - range.first > 1.01) bad.push_back(subject);
  if (!bad.empty())
    m.findings.add(Severity::warning, "manifest.conflict", "age and days contradict each other in ", bad.size(),
                   bad.size() == 1 ? " subject: " : " subjects: ", some_of(bad));
}

}  // namespace detail

/// Throws Error (format, file, argument) for a table that cannot be used; read `findings` for the rest.
inline Manifest read_manifest(const CsvTable& table, const ManifestOptions& options = {}) {
  const auto wrong = [&](std::size_t row, const char* id, const auto&... parts) -> Error {
    return Error(ErrorKind::format, id, concat("line ", table.line(row), ": ", parts...), table.path());
  };
  Manifest m;
  m.path = table.path();
  if (table.rows() == 0)
    throw Error(ErrorKind::format, "manifest.empty", "expected at least one row, got none", table.path());
  const auto subject = detail::manifest_subject(table), session = detail::manifest_column(table, "session_id"),
             volume = detail::manifest_column(table, "volume_id"), path = detail::manifest_column(table, "path");
  if (!subject) (void)table.column("subject_id");  // says which name comes near
  if (options.need_paths && !path && options.pattern.empty())
    throw Error(
        ErrorKind::format, "manifest.path",
        "no column \"path\"; a table without paths needs a pattern, for example \"sub-{participant_id}_T1w.nii.gz\"",
        table.path());

  // Which columns are labels, and of what kind. Columns the schema does not know are numbers when every value is one.
  std::vector<std::size_t> source;
  std::set<std::size_t> used{*subject};
  for (const auto& c : {session, volume, path})
    if (c) used.insert(*c);
  for (const LabelField& f : options.schema.fields) {
    const auto c = detail::manifest_column(table, f.name);
    if (!c || used.contains(*c)) continue;
    used.insert(*c);
    m.fields.push_back(f);
    source.push_back(*c);
  }
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
    source.push_back(c);
  }
  const bool add_modality = !options.modality.empty() && !m.find_field("modality");
  if (add_modality) m.fields.push_back(*options.schema.find("modality"));

  const std::filesystem::path folder = std::filesystem::path(table.path()).parent_path();
  std::map<std::string, std::size_t> seen;
  std::map<std::string, std::set<std::string>> unknown;
  std::map<std::string, std::vector<std::string>> faults;
  std::vector<std::string> absent;
  for (std::size_t r = 0; r < table.rows(); ++r) {
    ScanRow s;
    s.subject_id = detail::trimmed(table.cell(r, *subject));
    if (is_missing(s.subject_id)) throw wrong(r, "manifest.id", "no subject_id");
    detail::require_plain_id(table, r, "subject_id", s.subject_id);
    if (session && !is_missing(table.cell(r, *session))) {
      s.session_id = detail::trimmed(table.cell(r, *session));
      detail::require_plain_id(table, r, "session_id", s.session_id);
    }
    for (std::size_t f = 0; f < source.size(); ++f) {
      const LabelField& field = m.fields[f];
      const std::string_view cell = detail::trimmed(table.cell(r, source[f]));
      Label label;
      if (field.kind == LabelKind::continuous) {
        if (!is_missing_number(cell)) {
          label.number = cell_number(cell);
          if (!label.number) label.fault = table.number_sentence(r, source[f]);
          else if (*label.number < field.low || *label.number > field.high)
            label.fault = concat("line ", table.line(r), ": column ", in_quotes(table.header()[source[f]]),
                                 ": expected ", field.low, " to ", field.high, ", got ", *label.number);
        }
      } else if (!is_missing_label(cell)) {
        label.text = standard_spelling(field, cell);
        if (!is_known(field, *label.text)) {
          if (field.closed)
            label.fault = concat("line ", table.line(r), ": column ", in_quotes(table.header()[source[f]]),
                                 ": expected one of ", field.known_values(), ", got ", in_quotes(cell, 40));
          else unknown[field.name].insert(*label.text);
        }
      }
      if (!label.fault.empty()) {
        label = {
            .text = std::nullopt, .number = std::nullopt, .cell = std::string(cell), .fault = std::move(label.fault)};
        faults[field.name].push_back(label.fault);
      }
      s.labels.push_back(std::move(label));
    }
    if (add_modality)
      s.labels.push_back({.text = standard_spelling(m.fields.back(), options.modality), .number = std::nullopt});

    std::filesystem::path file;
    if (path && options.pattern.empty()) file = std::string(detail::trimmed(table.cell(r, *path)));
    else if (!options.pattern.empty()) file = detail::fill_pattern(table, r, options.pattern);
    const bool no_path = file.empty() || is_missing(file.string());
    if (no_path && options.need_paths) throw wrong(r, "manifest.path", "no path");
    if (!no_path) s.path = file.is_absolute() ? file : folder / file;
    if (volume && !is_missing(table.cell(r, *volume))) {
      s.volume_id = detail::trimmed(table.cell(r, *volume));
      detail::require_plain_id(table, r, "volume_id", s.volume_id);
    } else {
      s.volume_id = s.subject_id + (s.session_id.empty() ? "" : "_" + s.session_id);
      if (const auto f = m.find_field("modality"); f && s.labels[*f].text) s.volume_id += "_" + *s.labels[*f].text;
    }
    const auto [place, fresh] = seen.emplace(s.volume_id, r);
    if (!fresh)
      throw wrong(r, "manifest.duplicate", "volume_id ", in_quotes(s.volume_id), " was used in line ",
                  table.line(place->second), " already",
                  volume ? "" : " (made from subject, session and modality; add a volume_id column)");
    std::error_code ignored;
    if (options.check_files && options.need_paths && !std::filesystem::exists(s.path, ignored))
      absent.push_back(file.string());
    m.scans.push_back(std::move(s));
  }
  for (const auto& [name, sentences] : faults)
    m.findings.add(Severity::warning, "manifest.value", name, ": ", sentences.size(),
                   sentences.size() == 1 ? " cell cannot be used and counts" : " cells cannot be used and count",
                   " as missing: ", detail::some_of(sentences, 3));
  for (const auto& [name, values] : unknown)
    m.findings.add(Severity::warning, "manifest.unknown", name,
                   " has values outside the known ones: ", detail::some_of({values.begin(), values.end()}, 8),
                   " (known: ", options.schema.find(name)->known_values(), ")");
  if (!absent.empty())
    m.findings.add(Severity::error, "manifest.missing_file", absent.size(), " of ", m.size(),
                   m.size() == 1 ? " file " : " files ", absent.size() == 1 ? "does" : "do",
                   " not exist: ", detail::some_of(absent));
  detail::check_conflicts(m);
  return m;
}

inline Manifest read_manifest(const std::filesystem::path& path, const ManifestOptions& options = {}) {
  CsvTable table(path);
  clear_stated_missing(table, options.missing);
  return read_manifest(table, options);
}

}  // namespace braing3n::inline BRAING3N_ABI
