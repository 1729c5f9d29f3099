// A manifest in memory: the scans of a table, their files and their labels.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/data/label_schema.hpp"
#include "braing3n/format/text.hpp"
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
  Index volume_index = -1;    // which volume of a file with several, from 0; -1: the table names none
  std::vector<Label> labels;  // in the order of Manifest::fields
  std::size_t line = 0;       // of the table, from 1; 0: unknown
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

}  // namespace braing3n::inline BRAING3N_ABI
