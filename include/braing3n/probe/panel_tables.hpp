// The tables of a panel: features in one file or several side by side, labels, and which columns say who is who.
#pragma once

#include <algorithm>
#include <concepts>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "braing3n/probe/confound.hpp"
#include "braing3n/probe/folds.hpp"
#include "braing3n/probe/subject_key.hpp"
#include "braing3n/table/finite_rows.hpp"
#include "braing3n/table/join_features.hpp"
#include "braing3n/table/stated_missing.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct PanelTables {
  std::vector<std::string> features{};  // one table each; "A+B": the columns of both
  std::string labels{};                 // CSV or TSV
  std::vector<std::string>
      feature_columns{};  // of a CSV: names, with * for any text; empty: all numeric columns that are not labels
  std::vector<std::string> missing{};      // values of the labels that stand for missing ones (stated_missing.hpp)
  std::string feature_ids{}, label_ids{};  // columns of identifiers; empty: found by their names
  std::string subject_column{};            // of the labels; empty: found by its name
  bool by_order = false;                   // tables that identifiers do not pair: row i with row i
};

/// One entry of PanelTables::features. Throws what reading and joining throws.
template <std::same_as<FeatureTable> Table = FeatureTable>
Table read_joined_features(const std::string& text, const FeatureOptions& reading, const JoinOptions& joining) {
  std::vector<Table> parts;
  for (const std::string& part : feature_parts(text)) parts.push_back(read_features<Table>(part, reading));
  return join_features(parts, joining);
}

/// File names without folder and ending ("a+b" for files side by side), or whole paths where these are not distinct.
inline std::vector<std::string> short_feature_names(const std::vector<std::string>& features) {
  std::vector<std::string> names;
  for (const std::string& text : features) {
    std::string name;
    for (const std::string& part : feature_parts(text))
      name += (name.empty() ? "" : "+") + std::filesystem::path(part).stem().string();
    names.push_back(name);
  }
  return std::set<std::string>(names.begin(), names.end()).size() < names.size() ? features : names;
}

/// How the features of some tables are read: usual confounds are never features.
inline FeatureOptions panel_feature_options(const PanelTables& tables) {
  return {.id_column = tables.feature_ids,
          .columns = tables.feature_columns,
          .not_features = {usual_confounds().begin(), usual_confounds().end()}};
}

/// The cells of a column of labels for every row of a pairing, in their standard spelling; empty: missing.
inline std::vector<std::string> paired_cells(const CsvTable& labels, const Pairing& pairing, const std::string& name) {
  std::vector<std::string> out;
  const std::size_t c = labels.column(name);
  for (const Index r : pairing.label_row) {
    const std::string_view cell = labels.cell(static_cast<std::size_t>(r), c);
    out.push_back(is_missing_label(cell) ? std::string() : canonical_value(name, cell));
  }
  return out;
}

/// Codes of the non-empty cells (-1: empty) and their values.
inline Encoded<std::string> encode_cells(const std::vector<std::string>& cells) {
  Encoded<std::string> out = encode_sorted(std::span<const std::string>(cells));
  if (!out.values.empty() && out.values[0].empty()) {
    out.values.erase(out.values.begin());
    for (std::int32_t& code : out.codes) --code;
  }
  return out;
}

/// The header of the labels' column that names the subject. Throws Error (format): the labels lack the one that was given.
inline std::optional<std::string> subject_header(const CsvTable& labels, const std::string& wanted) {
  if (!wanted.empty()) return labels.header()[detail::named_column(labels, wanted)];
  const auto found = find_subject_column(labels);
  return found ? std::optional(labels.header()[*found]) : std::nullopt;
}

/// Subjects that the features name, row by row, or null.
inline const std::vector<std::string>* subjects_of(const FeatureTable& table) {
  if (table.ids_are_subjects && !table.ids.empty()) return &table.ids;
  for (const IdentifierColumn& other : table.other_ids)
    if (other.subjects) return &other.values;
  return nullptr;
}

/// Which columns of a table of text came to be features, so that no label hides among them.
inline std::string feature_columns_sentence(const FeatureTable& t) {
  std::string list;
  for (std::size_t j = 0; j < t.column_names.size(); ++j)
    if (j < 3 || j + 1 == t.column_names.size())
      list += concat(j == 0 ? "" : j > 3 ? ", ..., " : ", ", in_quotes(t.column_names[j], 40));
  return concat(t.path, ": ", t.columns(),
                t.columns() == 1 ? " column is taken as a feature: " : " columns are taken as features: ", list);
}

/// How many of these subjects trained the encoder of the features; empty where the features do not say who did.
inline std::string encoder_people_sentence(const FeatureTable& t, const std::vector<std::string>& subjects) {
  if (t.encoder_people.empty()) return {};
  const std::set<std::string> keys(t.encoder_people.begin(), t.encoder_people.end());
  const auto trained = std::count_if(subjects.begin(), subjects.end(), [&](const std::string& s) {
    return keys.contains(subject_key(s)) ||
           keys.contains(subject_key(s.starts_with("sub-") ? s.substr(4) : "sub-" + s));
  });
  return concat(t.path, ": ", trained == 0 ? std::string("none") : concat(trained), " of the ", subjects.size(),
                " subjects trained the encoder that made these features",
                trained == 0 ? "" : "; scores of unseen subjects may be lower");
}

/// Who is behind the rows of a panel.
struct PanelSubjects {
  Encoded<std::string> codes;  // subject of every row
  bool named_by_labels = false;
  std::string warning;  // nothing names the subjects; empty otherwise
};

/// The labels' column of subjects, else subjects that the first table names, else the rows of labels. Throws Error (format): a missing cell.
inline PanelSubjects panel_subjects(const CsvTable& labels, const Pairing& pairing, const FeatureTable& first,
                                    const std::string& column) {
  PanelSubjects out;
  std::vector<std::string> people;
  if (const auto header = subject_header(labels, column)) {
    out.named_by_labels = true;
    people = paired_cells(labels, pairing, *header);
    for (std::size_t i = 0; i < people.size(); ++i)
      if (people[i].empty())
        throw labels.error_at(static_cast<std::size_t>(pairing.label_row[i]), "probe.subject",
                              concat("the subject in column ", in_quotes(*header), " is missing"));
  } else if (const std::vector<std::string>* subjects = subjects_of(first)) {
    for (const Index row : pairing.feature_row[0]) people.push_back((*subjects)[static_cast<std::size_t>(row)]);
  } else {
    const std::set<Index> rows(pairing.label_row.begin(), pairing.label_row.end());
    if (rows.size() == pairing.ids.size()) people = pairing.ids;
    else
      for (const Index row : pairing.label_row) people.push_back(concat(row));
    out.warning =
        "the labels have no subject column, so every row of labels counts as a person of its own; repeated scans would "
        "leak between folds";
  }
  out.codes = encode_cells(people);
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
