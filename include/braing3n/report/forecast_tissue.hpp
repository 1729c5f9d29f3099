// Millilitres of tissue in the forecasts of a scan, as a table and a file.
//
// Tissue is counted by thresholds of the decoded baseline (eval/tissue_volumes.hpp), the same in all of them, so that the rows can be compared with each
// other. Counts by thresholds are biased alike; they are no measure of an absolute size.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/forecast_scan.hpp"
#include "braing3n/eval/reconstruction.hpp"
#include "braing3n/eval/tissue_volumes.hpp"
#include "braing3n/format/csv_writer.hpp"
#include "braing3n/report/table.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The baseline first, at 0 years.
struct ForecastTissue {
  std::vector<double> years;
  std::vector<TissueVolumes> ml;
};

/// Throws Error (argument) for a baseline without tissue.
inline ForecastTissue forecast_tissue(const ScanForecasts& forecasts, const PreprocessingContract& contract) {
  const std::vector<std::uint8_t> mask = nonzero_mask(forecasts.baseline);
  const TissueThresholds thresholds = tissue_thresholds(forecasts.baseline, mask);
  ForecastTissue out{{0}, {tissue_volumes(forecasts.baseline, mask, thresholds, contract)}};
  for (const ScanForecast& f : forecasts.horizons) {
    out.years.push_back(f.years);
    out.ml.push_back(tissue_volumes(f.decoded, mask, thresholds, contract));
  }
  return out;
}

namespace detail {

inline std::vector<std::string> tissue_header() {
  std::vector<std::string> header{"years"};
  for (const char* name : tissue_names) header.push_back(concat(name, " ml"));
  return header;
}
inline std::vector<std::string> tissue_cells(const ForecastTissue& t, std::size_t row) {
  std::vector<std::string> cells{number_text(t.years[row])};
  for (const double ml : t.ml[row]) cells.push_back(decimals(ml, 1));
  return cells;
}

}  // namespace detail

inline Table tissue_table(const ForecastTissue& tissue) {
  Table table(detail::tissue_header());
  for (std::size_t r = 0; r < tissue.years.size(); ++r) table.add(detail::tissue_cells(tissue, r));
  return table;
}

/// Throws Error (file).
inline void write_tissue(const std::filesystem::path& path, const ForecastTissue& tissue, const WriteOptions& write) {
  CsvWriter csv(path, detail::tissue_header(), write);
  for (std::size_t r = 0; r < tissue.years.size(); ++r) csv.cells(detail::tissue_cells(tissue, r));
  csv.finish();
}

/// The tables of several scans in one, with their volume_id. Throws Error (file).
inline void write_tissue(const std::filesystem::path& path,
                         const std::vector<std::pair<std::string, ForecastTissue>>& scans, const WriteOptions& write) {
  std::vector<std::string> header = detail::tissue_header();
  header.insert(header.begin(), "volume_id");
  CsvWriter csv(path, header, write);
  for (const auto& [id, tissue] : scans)
    for (std::size_t r = 0; r < tissue.years.size(); ++r) {
      std::vector<std::string> cells = detail::tissue_cells(tissue, r);
      cells.insert(cells.begin(), id);
      csv.cells(cells);
    }
  csv.finish();
}

}  // namespace braing3n::inline BRAING3N_ABI
