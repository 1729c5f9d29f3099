// The scores of a probe panel, read back from its panel.csv.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/format/csv.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// One task on one table of features. Scores that the task does not have are empty.
struct PanelRow {
  std::string features, task, subjects;
  std::optional<double> auc, balanced_accuracy, pearson, r2, mae;

  static void visit(auto& self, auto&& v) {
    v("features", self.features);
    v("task", self.task);
    v("subjects", self.subjects);
    v("auc", self.auc);
    v("balanced_accuracy", self.balanced_accuracy);
    v("pearson", self.pearson);
    v("r2", self.r2);
    v("mae", self.mae);
  }
};

/// Throws Error (file, format) for a column that is missing.
inline std::vector<PanelRow> read_panel_rows(const std::filesystem::path& panel) {
  const CsvTable table(panel);
  std::vector<PanelRow> rows;
  for (std::size_t r = 0; r < table.rows(); ++r) {
    const auto text = [&](const char* column) { return std::string(table.cell(r, table.column(column))); };
    const auto number = [&](const char* column) { return table.number(r, table.column(column)); };
    rows.push_back({text("features"), text("task"), text("subjects"), number("auc"), number("balanced_accuracy"),
                    number("pearson"), number("r2"), number("mae")});
  }
  return rows;
}

}  // namespace braing3n::inline BRAING3N_ABI::study
