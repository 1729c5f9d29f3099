// Validation losses by time over the steps of a run, as a table beside its log.
#pragma once

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/format/csv.hpp"
#include "braing3n/format/csv_writer.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/train/dit_training.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// time_bins.csv: step, t_0 to t_0.9. A resumed run keeps the rows up to its own first step.
class TimeBinFile {
 public:
  /// first_step: 0 for a new run. Throws Error (file, format) when the table of a resumed run cannot be read.
  TimeBinFile(std::filesystem::path path, Index first_step) : path_(std::move(path)) {
    std::error_code ignored;
    if (first_step == 0 || !std::filesystem::exists(path_, ignored)) return;
    const CsvTable table(path_);
    for (std::size_t r = 0; r < table.rows(); ++r) {
      const std::optional<Index> step = table.integer(r, 0);
      if (!step || *step > first_step) continue;
      std::vector<std::string>& cells = rows_.emplace_back();
      for (std::size_t c = 0; c < table.columns(); ++c) cells.emplace_back(table.cell(r, c));
    }
  }

  /// Adds a row and writes the table. Throws Error (file, environment).
  void add(Index step, const TimeBins& bins) {
    std::vector<std::string> header = {"step"};
    std::vector<std::string>& cells = rows_.emplace_back(1, std::to_string(step));
    for (std::size_t b = 0; b < bins.size(); ++b) {
      header.push_back(concat("t_", static_cast<double>(b) / 10.0));
      cells.push_back(Json(bins[b]).dump());
    }
    CsvWriter file(path_, header, {.overwrite = true, .durable = false});
    for (const auto& row : rows_) file.cells(row);
    file.finish();
  }

 private:
  std::filesystem::path path_;
  std::vector<std::vector<std::string>> rows_;
};

/// One line: the loss in every tenth of the time.
inline std::string describe(const TimeBins& bins) {
  std::string line = "validation loss by t, noise at 1:";
  for (std::size_t b = 0; b < bins.size(); ++b) {
    char number[32];
    std::snprintf(number, sizeof number, "%s %.3f", b > 0 ? "," : "", bins[b]);
    line += number;
  }
  return line;
}

}  // namespace braing3n::inline BRAING3N_ABI
