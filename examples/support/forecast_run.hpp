// Follow-ups of one scan after another, with what is read from them: the work of `forecast`.
#pragma once

#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/data/loader.hpp"
#include "braing3n/report/forecast_tissue.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/report/sample_pictures.hpp"
#include "braing3n/report/text_panel.hpp"
#include "braing3n/study/reading_table.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "examples/braing3n/options/forecast_options.hpp"
#include "examples/support/context.hpp"
#include "examples/support/json_log.hpp"
#include "examples/support/progress.hpp"
#include "examples/support/tell_findings.hpp"

namespace braing3n::examples {

class ForecastRun {
 public:
  /// Throws what loading throws, and Error (config) unless forecaster, tokenizer and readings belong together.
  ForecastRun(const CommonOptions& common, const ForecastOptions& o, const std::optional<ForecastRecord>& again)
      : common_(&common), o_(&o), again_(&again), ctx_(make_cpu_context(machine())),
        field_(load_rate_field<F32>(*ctx_, o.model)), tokenizer_(load_tokenizer<F32>(*ctx_, o.tokenizer)) {
    const ForecasterOrigin& origin = field_.origin;
    require_tokenizer(field_.model.config.network, origin, tokenizer_.model.config, tokenizer_.hash, o.tokenizer);
    if (!origin.ranges.empty()) ranges_ = config_from_text<ForecastRanges>(origin.ranges, o.model);
    if (o.readings.empty()) return;
    readings_ = study::read_readings(o.readings);
    const Extent3 blocks = tissue_block_grid(tokenizer_.contract);
    require_readings_of(*readings_, field_.hash, tokenizer_.hash, static_cast<std::size_t>(3 * voxel_count(blocks)),
                        o.readings);
  }

  /// What is asked of a scan's subject. Throws Error for what the forecaster cannot be asked.
  ForecastPlan plan(const Baseline& b, const std::optional<Manifest>& table, Findings& told) const {
    const ForecastPlan plan = o_->plan_of(fields(), *again_, b, table);
    if (ranges_) told = require_forecastable(*ranges_, plan.age, plan.years, {.backwards = o_->backwards});
    return plan;
  }

  /// Opens what the results go to.
  void begin(Index scans) {
    log_.emplace(common_->json_log);
    progress_.emplace("forecast", scans * (std::ssize(o_->years) + 1), common_->quiet);
    if (readings_) csv_.emplace(o_->readings_table(), write());
  }

  /// Follow-ups, sidecars and montage of a scan. Throws what reading, forecasting and writing throw.
  void add(Index row, const Baseline& b, const std::optional<Manifest>& table) {
    Findings told;
    const ForecastPlan plan = this->plan(b, table, told);
    const std::string path = b.scan.path.string();
    NiftiVolume scan = read_nifti(*ctx_, b.scan.path, {.volume = b.scan.volume});
    if (readings_ && !readings_->distribution.empty() && scan.info.header.mark.empty())
      told.add(Severity::warning, "readings.phantoms", "the readings were learnt on ", readings_->cohort,
               ", this is another scan: its ages, volumes and intervals are no measurement");
    const Preprocessed p = preprocess_read(*ctx_, scan, path, tokenizer_.contract, {.strict = o_->strict});
    findings_.add(row, path, p.findings);
    findings_.add(row, path, told);
    tell_findings(findings_, *log_, common_->quiet);
    const ScanForecasts f = forecast_scan(*ctx_, tokenizer_, field_, scan.volume, p, plan,
                                          o_->decoded ? ForecastDetail::decoded : ForecastDetail::scan, [&] {
                                            stop_if_interrupted();
                                            progress_->advance();
                                          });
    ForecastRecord record = o_->record(plan, fields(), *again_, b);
    record.provider = ctx_->provider().name;
    record.model = {recorded_path(o_->model), field_.hash};
    record.tokenizer = {recorded_path(o_->tokenizer), tokenizer_.hash};
    for (const ScanForecast& h : f.horizons) {
      record.years = h.years;
      record.file = forecast_name(b.name, h.years) + ".nii.gz";
      const ForecastRecord written = write_sample(*ctx_, o_->out, h.volume, record, write());
      if (*again_ && written.crc32 != (*again_)->crc32) same_ = false;
      log_->event("forecast", {{"file", written.file}, {"years", h.years}});
      ++made_;
    }
    read(b, plan, f);
  }

  /// Writes the tables; the table of a single scan is printed. Throws Error (file).
  void finish() {
    progress_->close();
    if (csv_) csv_->finish();
    if (*again_ || tissue_.empty()) return;
    if (!o_->single()) return write_tissue(o_->table(), tissue_, write());
    write_tissue(o_->table(), tissue_[0].second, write());
    if (readings_) std::cout << text_ << '\n' << readings_->sentence() << '\n';
    else {
      tissue_table(tissue_[0].second).print(std::cout);
      std::cout << "counts by thresholds, without intervals; --readings readings.json of evaluate forecasting gives "
                   "age and volumes with intervals\n";
    }
  }
  void failed(const Baseline& b, const std::string& reason) {
    std::cerr << "forecast: " << b.scan.id << ": " << reason << '\n';
    log_->event("failed", {{"id", b.scan.id}, {"error", reason}});
  }
  Index made() const { return made_; }
  bool same() const { return same_; }  // as the sidecar of --redo says

 private:
  CommonOptions machine() const {
    CommonOptions machine = *common_;
    if (*again_ && machine.provider.empty()) machine.provider = (*again_)->provider;
    return machine;
  }
  const std::vector<ConditionField>& fields() const { return field_.model.config.network.conditions; }
  WriteOptions write() const { return {.overwrite = common_->force}; }

  /// The tables and the picture of a scan.
  void read(const Baseline& b, const ForecastPlan& plan, const ScanForecasts& f) {
    if (*again_) return;
    tissue_.emplace_back(b.scan.id, forecast_tissue(f, tokenizer_.contract));
    std::vector<std::string> lines;
    if (readings_) {
      const std::vector<study::ReadHorizon> rows = study::read_forecasts(*ctx_, *readings_, f, tokenizer_.contract);
      csv_->add(b.scan.id, *readings_, rows);
      text_ = study::readings_text(*readings_, rows);
      std::istringstream text(text_);
      for (std::string line; std::getline(text, line);) lines.push_back(line);
    }
    if (!o_->pictures()) return;
    std::vector<Tensor<float, Cpu>> shown{f.baseline};
    std::vector<std::string> captions{concat("baseline, ", number_text(plan.age), " years")};
    for (const ScanForecast& h : f.horizons) {
      shown.push_back(h.decoded);
      captions.push_back(concat("in ", number_text(h.years), " years"));
    }
    write_png(o_->picture(b),
              with_text(sample_montage(*ctx_, tokenizer_.contract, shown, captions, shown.size()), lines), write());
  }

  const CommonOptions* common_;
  const ForecastOptions* o_;
  const std::optional<ForecastRecord>* again_;
  std::unique_ptr<Context<Cpu>> ctx_;
  LoadedRateField<Cpu, F32> field_;
  LoadedTokenizer<Cpu, F32> tokenizer_;
  std::optional<ForecastRanges> ranges_;
  std::optional<study::ForecastReadings> readings_;
  std::optional<JsonLog> log_;
  std::optional<Progress> progress_;
  std::optional<study::ReadingCsv> csv_;
  FindingLog findings_;
  std::vector<std::pair<std::string, ForecastTissue>> tissue_;
  std::string text_;
  Index made_ = 0;
  bool same_ = true;
};

}  // namespace braing3n::examples
