// The options of `braing3n forecast`, and the subject and horizons that they mean.
#pragma once

#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/condition_labels.hpp"
#include "braing3n/data/forecast_ranges.hpp"
#include "braing3n/data/forecast_record.hpp"
#include "braing3n/data/generate_volumes.hpp"
#include "braing3n/format/output_guard.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/scan_list.hpp"

namespace braing3n::examples {

/// A scan to begin with: its name in results, and its row where a table names the subject.
struct Baseline {
  NamedScan scan;
  std::string name;
  std::optional<Index> row;
};

struct ForecastOptions {
  std::string model, tokenizer, in, data, readings, condition, sex, disease, redo, redo_name, out;
  ManifestOptions manifest;
  std::optional<double> age;
  std::vector<double> years;
  Index index = -1;
  bool decoded = false, backwards = false, no_pictures = false, strict = false;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a field of rates: its file, or the folder of its run");
    app.add_option("--tokenizer", tokenizer, "the tokenizer of its latents");
    app.add_option("--in", in, "the baseline scan (.nii, .nii.gz, .hdr)");
    CLI::Option* const table =
        app.add_option("--data", data, "instead: a table of scans with age, sex and disease of each")->excludes("--in");
    app.add_option("--pattern", manifest.pattern,
                   "paths for a table without them, for example sub-{participant_id}_T1w.nii.gz");
    add_missing(app, manifest.missing);
    app.add_option("--index", index, "which volume of a file with several, from 0")->check(at_least(0));
    app.add_option("--age", age, "years, at the scan")->excludes(table);
    app.add_option("--sex", sex, "F or M; as --condition sex=")->excludes(table);
    app.add_option("--disease", disease, "diagnosis; as --condition disease=")->excludes(table);
    app.add_option("--condition", condition, "name=value,...: what is known of the subject")->excludes(table);
    app.add_option("--years", years, "horizons in years, separated by commas")->delimiter(',');
    app.add_flag("--backwards", backwards, "horizons may lie before the scan (negative years)");
    app.add_flag("--decoded", decoded, "the plain decode, without the detail of the scan that the tokenizer lacks");
    app.add_flag("--strict", strict, "refuse a scan whose values or place are not what the contract expects");
    CLI::Option* const again = app.add_option("--redo", redo, "a sidecar: make that forecast again")->excludes(table);
    app.add_option("--readings", readings,
                   "readings.json of evaluate forecasting: age and volumes with intervals, also in readings.csv")
        ->excludes(again);
    app.add_flag("--no-pictures", no_pictures, "no montage.png");
    app.add_option("--out", out, "folder for volumes, sidecars, tables and montages")->required();
  }

  bool pictures() const { return !no_pictures && redo.empty(); }
  /// One scan is given by --in, a cohort by --data.
  bool single() const { return data.empty(); }

  /// The sidecar of --redo, whose values take the place of the options. Throws Error.
  std::optional<ForecastRecord> resolve(const CLI::App& app) {
    if (redo.empty()) {
      if (model.empty() || tokenizer.empty() || (single() && (in.empty() || !age)) || years.empty())
        fail(ErrorKind::argument, "forecast.options",
             "expected --model, --tokenizer, --in, --age and --years, or --data instead of --in and --age, or --redo");
      return std::nullopt;
    }
    ForecastRecord record = read_forecast_record(redo);
    for (const char* fixed : {"--index", "--age", "--sex", "--disease", "--condition", "--years", "--decoded"})
      if (app.get_option(fixed)->count() > 0)
        fail(ErrorKind::argument, "forecast.redo", fixed, " cannot be given with --redo: the sidecar has it");
    if (!model.empty()) record.model.file = model_path(model).string();
    if (!tokenizer.empty()) record.tokenizer.file = model_path(tokenizer).string();
    if (!in.empty()) record.scan = in;
    record.model.require("model");
    record.tokenizer.require("tokenizer");
    record.require_scan();
    model = record.model.file, tokenizer = record.tokenizer.file, in = record.scan;
    age = record.age, years = {record.years}, index = record.volume, decoded = record.decoded;
    backwards = backwards || record.years < 0;
    redo_name = scan_name_of(record);
    return record;
  }

  /// The scans, and with --data the table of their subjects. Throws what reading the table throws.
  std::vector<Baseline> baselines(std::optional<Manifest>& table, bool quiet) const {
    if (single()) return {{{scan_name(in), in, index}, redo_name.empty() ? scan_name(in) : redo_name, std::nullopt}};
    table = read_manifest(std::filesystem::path(data), manifest);
    if (!quiet)
      for (const Finding& f : table->findings) std::cerr << "  " << to_string(f.severity) << ": " << f.sentence << '\n';
    if (strict) table->findings.require_usable(true, data);
    std::vector<NamedScan> scans;
    for (const ScanRow& s : table->scans) scans.push_back({s.volume_id, s.path, s.volume_index});
    std::vector<Baseline> all;
    for (const NamedScan& s : with_index(std::move(scans), index))
      all.push_back({s, file_name_part(s.id), std::ssize(all)});
    return all;
  }

  /// The subject for the conditions of a model. Throws Error: argument, format (a row of the table without an age, or with a value that cannot be used).
  ForecastPlan plan_of(const std::vector<ConditionField>& fields, const std::optional<ForecastRecord>& again,
                       const Baseline& baseline, const std::optional<Manifest>& table) const {
    ForecastPlan r;
    r.years = years;
    if (baseline.row) {
      const auto at_scan = table->number(*baseline.row, "age");
      if (!at_scan) throw Error(ErrorKind::format, "forecast.age", "age: expected the age at the scan, got none", data);
      r.age = *at_scan;
      r.conditions = condition_rows(fields, *table, {*baseline.row})[0];
      return r;
    }
    r.age = *age;
    if (again) {
      r.conditions = conditions_from_json(fields, again->conditions);
      return r;
    }
    std::string text = condition;
    for (const auto& [name, value] : {std::pair("sex", sex), std::pair("disease", disease)})
      if (!value.empty()) text += concat(text.empty() ? "" : ",", name, "=", value);
    r.conditions = text.empty() ? ConditionRow(fields.size()) : parse_conditions(fields, text);
    require_conditions(fields, r.conditions);
    return r;
  }

  /// What the forecasts of a run share: the scan and the subject.
  ForecastRecord record(const ForecastPlan& plan, const std::vector<ConditionField>& fields,
                        const std::optional<ForecastRecord>& again, const Baseline& baseline) const {
    ForecastRecord r;
    r.scan = recorded_path(baseline.scan.path);
    r.scan_crc32 = again ? again->scan_crc32 : file_crc32(baseline.scan.path);
    r.volume = baseline.scan.volume, r.age = plan.age, r.decoded = decoded;
    r.conditions = conditions_json(fields, plan.conditions);
    return r;
  }

  std::filesystem::path table() const { return std::filesystem::path(out) / "tissue.csv"; }
  std::filesystem::path readings_table() const { return std::filesystem::path(out) / "readings.csv"; }
  std::filesystem::path picture(const Baseline& b) const {
    return std::filesystem::path(out) / (single() ? std::string("montage.png") : b.name + "_montage.png");
  }

  /// No result replaces an input or, without --force, an existing file.
  void guard(const CommonOptions& common, const std::vector<Baseline>& all) const {
    const std::filesystem::path folder = out;
    OutputGuard guard;
    guard.input(model_path(model));
    guard.input(model_path(tokenizer));
    for (const std::string& file : {redo, readings, data}) guard.input(file);
    std::vector<std::filesystem::path> results;
    for (const Baseline& b : all) {
      guard_scans(guard, {b.scan});
      for (const double at : years)
        for (const char* ending : {".nii.gz", ".json"})
          results.push_back(folder / (forecast_name(b.name, at) + ending));
      if (pictures()) results.push_back(picture(b));
    }
    if (redo.empty()) results.push_back(table());
    if (!readings.empty()) results.push_back(readings_table());
    for (const auto& path : results) guard.output(path);
    guard.output(common.json_log);
    make_folder(folder);
    for (const auto& path : results) require_new(path, common);
  }
};

}  // namespace braing3n::examples
