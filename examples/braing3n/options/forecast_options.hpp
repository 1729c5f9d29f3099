// The options of `braing3n forecast`, and the subject and horizons that they mean.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "braing3n/data/condition_labels.hpp"
#include "braing3n/data/forecast_ranges.hpp"
#include "braing3n/data/forecast_record.hpp"
#include "braing3n/data/generate_volumes.hpp"
#include "braing3n/format/output_guard.hpp"
#include "examples/support/new_files.hpp"
#include "examples/support/scan_list.hpp"

namespace braing3n::examples {

struct ForecastOptions {
  std::string model, tokenizer, in, condition, sex, disease, redo, out;
  std::optional<double> age;
  std::vector<double> years;
  Index index = -1;
  bool decoded = false, backwards = false, no_pictures = false, strict = false;

  void add_to(CLI::App& app) {
    app.add_option("--model", model, "a field of rates: its file, or the folder of its run");
    app.add_option("--tokenizer", tokenizer, "the tokenizer of its latents");
    app.add_option("--in", in, "the baseline scan (.nii, .nii.gz, .hdr)");
    app.add_option("--index", index, "which volume of a file with several, from 0")->check(at_least(0));
    app.add_option("--age", age, "years, at the scan");
    app.add_option("--sex", sex, "F or M; as --condition sex=");
    app.add_option("--disease", disease, "diagnosis; as --condition disease=");
    app.add_option("--condition", condition, "name=value,...: what is known of the subject");
    app.add_option("--years", years, "horizons in years, separated by commas")->delimiter(',');
    app.add_flag("--backwards", backwards, "horizons may lie before the scan (negative years)");
    app.add_flag("--decoded", decoded, "the plain decode, without the detail of the scan that the tokenizer lacks");
    app.add_flag("--strict", strict, "refuse a scan whose values or place are not what the contract expects");
    app.add_option("--redo", redo, "a sidecar: make that forecast again");
    app.add_flag("--no-pictures", no_pictures, "no montage.png");
    app.add_option("--out", out, "folder for volumes, sidecars, tissue.csv and montage.png")->required();
  }

  bool pictures() const { return !no_pictures && redo.empty(); }

  /// The sidecar of --redo, whose values take the place of the options. Throws Error.
  std::optional<ForecastRecord> resolve(const CLI::App& app) {
    if (redo.empty()) {
      if (model.empty() || tokenizer.empty() || in.empty() || !age || years.empty())
        fail(ErrorKind::argument, "forecast.options",
             "expected --model, --tokenizer, --in, --age and --years, or --redo");
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
    return record;
  }

  /// The subject for the conditions of a model. Throws Error (argument).
  ForecastPlan plan_of(const std::vector<ConditionField>& fields, const std::optional<ForecastRecord>& again) const {
    ForecastPlan r;
    r.age = *age;
    r.years = years;
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
                        const std::optional<ForecastRecord>& again) const {
    ForecastRecord r;
    r.scan = recorded_path(in);
    r.scan_crc32 = again ? again->scan_crc32 : file_crc32(in);
    r.volume = index, r.age = plan.age, r.decoded = decoded;
    r.conditions = conditions_json(fields, plan.conditions);
    return r;
  }

  std::string name(double at) const { return forecast_name(scan_name(in), at); }
  std::filesystem::path table() const { return std::filesystem::path(out) / "tissue.csv"; }

  /// No result replaces an input or, without --force, an existing file.
  void guard(const CommonOptions& common) const {
    const std::filesystem::path folder = out;
    OutputGuard guard;
    guard.input(model_path(model));
    guard.input(model_path(tokenizer));
    guard.input(redo);
    for (const auto& file : braing3n::detail::files_of_scan(in)) guard.input(file);
    std::vector<std::filesystem::path> results;
    for (const double at : years)
      for (const char* ending : {".nii.gz", ".json"}) results.push_back(folder / (name(at) + ending));
    if (redo.empty()) results.push_back(table());
    if (pictures()) results.push_back(folder / "montage.png");
    for (const auto& path : results) guard.output(path);
    guard.output(common.json_log);
    make_folder(folder);
    for (const auto& path : results) require_new(path, common);
  }
};

}  // namespace braing3n::examples
