// A saved probe applied to a table of features: predictions as CSV, with gaps to the truth where the labels tell it.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/csv_writer.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/probe/panel_tables.hpp"
#include "braing3n/probe/saved_probe.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The table that a probe reads, and the truth about its rows as far as it is known.
struct ProbeInput {
  FeatureTable table;
  std::optional<CsvTable> labels;
  std::vector<Index> label_row;       // per row of the table; -1: none
  std::vector<std::string> warnings;  // of the pairing
  std::set<std::string> trained_on;   // subjects among the rows on whom the probe was fitted

  bool has_truth(const SavedTask& t) const { return !t.classification && labels && labels->has_column(t.column); }
  std::optional<double> truth(const SavedTask& t, Index row) const {
    const Index r = label_row[static_cast<std::size_t>(row)];
    return r < 0 ? std::nullopt : labels->number(static_cast<std::size_t>(r), labels->column(t.column));
  }
};

namespace detail {

inline std::set<std::string> subjects_of_the_fit(const SavedProbe& probe, const CsvTable& labels,
                                                 const std::vector<Index>& label_row, const std::string& wanted) {
  std::set<std::string> known;
  const auto header = subject_header(labels, wanted);
  if (!header) return known;
  const std::size_t found = labels.column(*header);
  for (const Index r : label_row) {
    if (r < 0) continue;
    const std::string subject = canonical_value(*header, labels.cell(static_cast<std::size_t>(r), found));
    if (std::binary_search(probe.people.begin(), probe.people.end(), subject_key(subject))) known.insert(subject);
  }
  return known;
}

/// What is far outside in a row of the table, in words.
inline std::string outside_text(const SavedTask& t, const FeatureTable& table, Index i, const std::vector<double>& row,
                                double prediction) {
  if (const auto j = feature_outside(t.range, row.data())) {
    const auto f = static_cast<std::size_t>(*j);
    return concat(table.id(i), ", where ", table.column(*j), " is ", row[f], ", in training ", t.range.low[f], " to ",
                  t.range.high[f]);
  }
  return concat(table.id(i), ", predicted ", prediction, ", in training ", t.range.target_low, " to ",
                t.range.target_high);
}

}  // namespace detail

/// Reads the one table of `tables` with the columns that the probe wants (a CSV may hold others, in any order), and the labels where they
/// are given. Throws what reading and pairing throws, what require_same_features throws, and Error (argument): not one table.
template <std::same_as<SavedProbe> Probe = SavedProbe>
ProbeInput read_probe_input(const Probe& probe, const PanelTables& tables) {
  if (tables.features.size() != 1)
    fail(ErrorKind::argument, "probe.features", "expected one table of features, got ", tables.features.size());
  const bool named = tables.feature_columns.empty() && !probe.feature_names.empty();
  FeatureOptions reading = panel_feature_options(tables);
  if (named)
    for (const std::string& name : probe.feature_names) {
      reading.columns.push_back(name);
      if (const std::string original = original_column_name(name); original != name)
        reading.columns.push_back(original);
    }
  for (const SavedTask& task : probe.tasks) reading.not_features.insert(task.column);
  ProbeInput in;
  in.table = read_joined_features(tables.features[0], reading, {.by_order = tables.by_order, .keep_equal = true});
  if (named && !in.table.column_names.empty()) in.table = select_columns(in.table, probe.feature_names);
  require_same_features(probe, in.table);
  in.label_row.assign(static_cast<std::size_t>(in.table.rows()), -1);
  if (tables.labels.empty()) return in;
  in.labels.emplace(tables.labels);
  clear_stated_missing(*in.labels, tables.missing);
  const Pairing pairing =
      pair_rows(*in.labels, {&in.table, 1}, {.id_column = tables.label_ids, .by_order = tables.by_order});
  in.warnings = pairing.warnings;
  for (std::size_t i = 0; i < pairing.label_row.size(); ++i)
    in.label_row[static_cast<std::size_t>(pairing.feature_row[0][i])] = pairing.label_row[i];
  if (!probe.people.empty())
    in.trained_on = detail::subjects_of_the_fit(probe, *in.labels, in.label_row, tables.subject_column);
  return in;
}

/// What came of the rows: per task, how many lie far outside of the training rows and the first of them.
struct AppliedProbe {
  std::vector<Index> outside;
  std::vector<std::string> first_outside;
  Index unreadable = 0;  // rows with a feature that is no number, which are left empty
};

struct ApplyOptions {
  bool calibrated = true;
  std::function<void(const std::string&)> unreadable = [](const std::string&) {};  // told of such a row
};

namespace detail {

inline std::vector<std::string> prediction_header(const SavedProbe& probe, const ProbeInput& in) {
  std::vector<std::string> header{"id"};
  for (const SavedTask& t : probe.tasks) {
    header.push_back(t.name);
    for (const std::string& c : t.classes) header.push_back(concat(t.name, ':', c));
    header.push_back(t.name + ":range");
    if (in.has_truth(t)) header.insert(header.end(), {t.name + ":gap", t.name + ":gap_corrected"});
  }
  return header;
}

/// The cells of one task in one row. Returns the value of a regression or the first probability, and its verdict.
inline std::pair<double, RangeVerdict> add_prediction(const SavedTask& t, const ProbeInput& in, Index i,
                                                      const std::vector<double>& row, bool calibrated,
                                                      std::vector<std::string>& cells) {
  const std::vector<double> value = apply_probe(t, row.data(), calibrated);
  if (t.classification) {
    cells.push_back(t.classes[static_cast<std::size_t>(std::ranges::max_element(value) - value.begin())]);
    for (const double p : value) cells.push_back(Json(p).dump());
  } else {
    cells.push_back(Json(value[0]).dump());
  }
  const RangeVerdict verdict =
      judge_range(t.range, row.data(), t.classification ? std::nullopt : std::optional(value[0]));
  cells.emplace_back(to_string(verdict));
  if (in.has_truth(t)) {
    const auto truth = in.truth(t, i);
    cells.push_back(truth ? Json(value[0] - *truth).dump() : "");
    cells.push_back(truth ? Json(corrected_gap(t, value[0], *truth)).dump() : "");
  }
  return {value[0], verdict};
}

}  // namespace detail

/// One row per row of the table: id, and per task its prediction (probabilities of all classes, range, gaps). Throws Error (file, environment).
inline AppliedProbe write_probe_predictions(const std::filesystem::path& path, const SavedProbe& probe,
                                            const ProbeInput& in, const ApplyOptions& options,
                                            const WriteOptions& writing = {}) {
  AppliedProbe out;
  out.outside.assign(probe.tasks.size(), 0);
  out.first_outside.resize(probe.tasks.size());
  const std::vector<std::string> header = detail::prediction_header(probe, in);
  CsvWriter writer(path, header, writing);
  for (Index i = 0; i < in.table.rows(); ++i) {
    const std::vector<double> row = in.table.row_values(i);
    std::vector<std::string> cells{in.table.id(i)};
    const auto bad = std::find_if(row.begin(), row.end(), [](double v) { return !std::isfinite(v); });
    if (bad != row.end()) {
      options.unreadable(
          concat(in.table.id(i), ": ", in.table.column(bad - row.begin()), " is ", *bad, "; the row is left empty"));
      ++out.unreadable;
      cells.resize(header.size());
    } else {
      for (std::size_t k = 0; k < probe.tasks.size(); ++k) {
        const SavedTask& t = probe.tasks[k];
        const auto [value, verdict] = detail::add_prediction(t, in, i, row, options.calibrated, cells);
        if (verdict > RangeVerdict::inside && out.outside[k]++ == 0)
          out.first_outside[k] = detail::outside_text(t, in.table, i, row, value);
      }
    }
    writer.cells(cells);
  }
  writer.finish();
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
