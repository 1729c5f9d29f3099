// What is read from the forecasts of one scan, with intervals: as a table, as rows of a file and as captions.
#pragma once

#include <cmath>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "braing3n/data/forecast_scan.hpp"
#include "braing3n/format/csv_writer.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/study/forecast_reading.hpp"
#include "braing3n/study/forecast_readings.hpp"

namespace braing3n::inline BRAING3N_ABI::study {

/// A number with its limits; NaN: none.
struct ReadValue {
  double value = 0, low = not_a_number, high = not_a_number;

  /// "31.2 [28.0, 34.9]"
  std::string text(int places) const {
    return decimals(value, places) +
           (std::isnan(low) ? std::string() : concat(" [", decimals(low, places), ", ", decimals(high, places), "]"));
  }
};

/// One horizon.
struct ReadHorizon {
  double years = 0;
  std::vector<ReadValue> value, change;  // per quantity, in its own unit; change: from the baseline
};

namespace detail {

inline ReadHorizon read_horizon(const ForecastReadings& readings, double years, const std::vector<double>& before,
                                const std::vector<double>& after) {
  ReadHorizon h{.years = years, .value = {}, .change = {}};
  for (std::size_t q = 0; q < readings.quantities.size(); ++q) {
    const QuantityReading& quantity = readings.quantities[q];
    const double to = before[q] + quantity.factor * (after[q] - before[q]);
    const auto own = [&](double read) { return quantity.logarithm ? std::exp(read) : read; };
    ReadValue value{.value = own(to)}, change{.value = own(to) - own(before[q])};
    if (const auto& interval = years == 0 ? quantity.baseline : quantity.value; interval && years >= 0) {
      const double half = interval->half_width(years, to - before[q]);
      value.low = own(to - half), value.high = own(to + half);
    }
    if (quantity.change && years > 0) {  // backwards no interval was ever scaled
      const double half = quantity.change->half_width(years, change.value);
      change.low = change.value - half, change.high = change.value + half;
    }
    h.value.push_back(value), h.change.push_back(change);
  }
  return h;
}

}  // namespace detail

/// The baseline first, at 0 years. contract: of the forecasts' tokenizer. Throws Error (shape) for readings of another grid.
inline std::vector<ReadHorizon> read_forecasts(Context<Cpu>& ctx, const ForecastReadings& readings,
                                               const ScanForecasts& forecasts, const PreprocessingContract& contract) {
  const auto read = [&](const Tensor<float, Cpu>& volume) {
    const std::vector<double> sums = decoded_tissue(ctx, volume, contract);
    // As the probes were fitted: sums of single precision.
    const std::vector<float> single(sums.begin(), sums.end());
    const std::vector<double> row(single.begin(), single.end());
    std::vector<double> values;
    for (std::size_t q = 0; q < readings.quantities.size(); ++q) values.push_back(readings.read(q, row));
    return values;
  };
  const std::vector<double> before = read(forecasts.baseline);
  std::vector<ReadHorizon> all{detail::read_horizon(readings, 0, before, before)};
  for (const ScanForecast& f : forecasts.horizons)
    all.push_back(detail::read_horizon(readings, f.years, before, f.years == 0 ? before : read(f.decoded)));
  return all;
}

/// The values, or their changes, by horizon.
inline Table reading_table(const ForecastReadings& readings, const std::vector<ReadHorizon>& rows, bool changes) {
  std::vector<std::string> header{"years"};
  for (const QuantityReading& q : readings.quantities)
    header.push_back(concat(changes ? "change of " : "", quantity_words(q.name, q.unit), ", ", q.unit));
  Table table(header);
  for (const ReadHorizon& h : rows) {
    if (changes && h.years == 0) continue;
    std::vector<std::string> cells{number_text(h.years)};
    for (const ReadValue& v : changes ? h.change : h.value) cells.push_back(v.text(1));
    table.add(std::move(cells));
  }
  return table;
}

/// Both tables.
inline std::string readings_text(const ForecastReadings& readings, const std::vector<ReadHorizon>& rows) {
  std::ostringstream out;
  reading_table(readings, rows, false).print(out);
  if (const Table changes = reading_table(readings, rows, true); !changes.empty()) {
    out << '\n';
    changes.print(out);
  }
  return out.str();
}

/// readings.csv: a row per scan, horizon and quantity.
class ReadingCsv {
 public:
  /// Throws Error (file).
  ReadingCsv(const std::filesystem::path& path, const WriteOptions& write)
      : csv_(path,
             {"volume_id", "years", "quantity", "unit", "value", "low", "high", "change", "change_low", "change_high"},
             write) {}

  void add(const std::string& volume_id, const ForecastReadings& readings, const std::vector<ReadHorizon>& rows) {
    const auto known = [](double v) { return std::isfinite(v) ? std::optional<double>(v) : std::nullopt; };
    for (const ReadHorizon& h : rows)
      for (std::size_t q = 0; q < readings.quantities.size(); ++q)
        csv_.row(volume_id, h.years, readings.quantities[q].name, readings.quantities[q].unit, known(h.value[q].value),
                 known(h.value[q].low), known(h.value[q].high), known(h.change[q].value), known(h.change[q].low),
                 known(h.change[q].high));
  }
  void finish() { csv_.finish(); }

 private:
  CsvWriter csv_;
};

}  // namespace braing3n::inline BRAING3N_ABI::study
