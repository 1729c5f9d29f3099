// Follow-ups of a scan from a trained field of rates.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/condition_labels.hpp"
#include "braing3n/data/forecast_ranges.hpp"
#include "braing3n/data/forecast_record.hpp"
#include "braing3n/data/generate_volumes.hpp"
#include "braing3n/easy/synthetic.hpp"
#include "braing3n/easy/tokenizer.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct FollowUpRequest {
  double age = 0;             // years, at the scan
  std::string conditions{};   // "sex=F,disease=MCI": what is known of the subject
  std::vector<double> years;  // horizons, in any order
  bool backwards = false;     // horizons may be negative
  ForecastDetail detail = ForecastDetail::scan;
};

/// A follow-up on the scan's own voxels and in its intensities. Its file is SYNTHETIC_<scan>_<years>y.nii.gz.
class SyntheticFollowUp : public SyntheticResult<ForecastRecord> {
 public:
  using SyntheticResult::SyntheticResult;
  double years() const { return record().years; }
};

/// Made by Session::forecaster(). Copies share the weights.
class ScanForecaster {
 public:
  /// path: a field's file or the folder of its run. Throws Error: file, format, config (not the tokenizer whose latents it learnt).
  ScanForecaster(std::shared_ptr<Context<Cpu>> context, const std::filesystem::path& path,
                 const ScanTokenizer& tokenizer)
      : context_(std::move(context)), path_(model_path(path)), tokenizer_(tokenizer),
        field_(std::make_shared<const LoadedRateField<Cpu, F32>>(load_rate_field<F32>(*context_, path_))) {
    require_tokenizer(field_->model.config.network, field_->origin, tokenizer.loaded().model.config,
                      tokenizer.loaded().hash, tokenizer.path().string());
  }

  /// One follow-up per horizon. Throws Error: argument (conditions that the model does not have, ages and horizons that it may not be asked
  /// for), format (a scan that cannot be used), numeric.
  std::vector<SyntheticFollowUp> follow_ups(const Scan& scan, const FollowUpRequest& request) const {
    ForecastPlan plan{request.age, ConditionRow(conditions().size()), request.years};
    if (!request.conditions.empty()) plan.conditions = parse_conditions(conditions(), request.conditions);
    require_conditions(conditions(), plan.conditions);
    if (!field_->origin.ranges.empty())
      (void)require_forecastable(config_from_text<ForecastRanges>(field_->origin.ranges, path_.string()), plan.age,
                                 plan.years, {.backwards = request.backwards});
    const Preprocessed p = preprocess_scan(*context_, scan, tokenizer_.loaded().contract);
    ScanForecasts made = forecast_scan(*context_, tokenizer_.loaded(), *field_, scan.volume, p, plan, request.detail);
    const ForecastRecord common = common_record(scan, plan, request.detail);
    std::vector<SyntheticFollowUp> all;
    for (ScanForecast& f : made.horizons) {
      ForecastRecord record = common;
      record.years = f.years;
      record.file = forecast_name(name_of(scan), f.years) + ".nii.gz";
      all.emplace_back(context_, std::move(f.volume), std::move(record));
    }
    return all;
  }

  /// The conditions that FollowUpRequest::conditions may name.
  const std::vector<ConditionField>& conditions() const { return field_->model.config.network.conditions; }
  /// Everything that was loaded, for use with the layers below.
  const LoadedRateField<Cpu, F32>& loaded() const { return *field_; }

 private:
  /// "scan" for a volume made in memory.
  static std::string name_of(const Scan& scan) {
    std::string name = std::filesystem::path(scan.name).filename().string();
    for (const std::string end : {".gz", ".nii", ".hdr", ".img"})
      if (detail::ends_with_ignoring_case(name, end)) name.resize(name.size() - end.size());
    return name.empty() ? "scan" : name;
  }
  ForecastRecord common_record(const Scan& scan, const ForecastPlan& plan, ForecastDetail detail) const {
    ForecastRecord r;
    std::error_code ignored;
    if (std::filesystem::is_regular_file(scan.name, ignored)) {
      r.scan = recorded_path(scan.name);
      r.scan_crc32 = file_crc32(scan.name);
      r.volume = scan.index;
    }
    r.age = plan.age;
    r.conditions = conditions_json(conditions(), plan.conditions);
    r.decoded = detail == ForecastDetail::decoded;
    r.provider = context_->provider().name;
    r.model = {recorded_path(path_), field_->hash};
    r.tokenizer = {recorded_path(tokenizer_.path()), tokenizer_.loaded().hash};
    return r;
  }

  std::shared_ptr<Context<Cpu>> context_;  // outlives the tensors
  std::filesystem::path path_;
  ScanTokenizer tokenizer_;
  std::shared_ptr<const LoadedRateField<Cpu, F32>> field_;
};

}  // namespace braing3n::inline BRAING3N_ABI
