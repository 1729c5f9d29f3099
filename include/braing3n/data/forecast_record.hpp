// The sidecar of a forecast: the scan, the subject, the horizon and the weights, enough to make it again.
#pragma once

#include <cmath>
#include <filesystem>
#include <string>
#include <string_view>

#include "braing3n/data/forecast_scan.hpp"
#include "braing3n/data/sample_record.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ForecastRecord {
  std::string kind = "SYNTHETIC braing3n forecast", version = BRAING3N_VERSION_STRING;
  std::string file;              // name of the volume beside the sidecar
  std::string scan, scan_crc32;  // the baseline
  Index volume = -1;             // of a scan with several
  double age = 0, years = 0;
  Json conditions = Json::object();
  bool decoded = false;  // the plain decode, without the scan's own detail
  std::string provider;
  WeightsRecord model, tokenizer;
  std::string crc32;  // of the volume's file

  static void visit(auto& self, auto&& v) {
    v("kind", self.kind);
    v("version", self.version);
    v("file", self.file);
    v("scan", self.scan);
    v("scan_crc32", self.scan_crc32);
    v("volume", self.volume);
    v("age", self.age);
    v("years", self.years);
    v("conditions", self.conditions);
    v("decoded", self.decoded);
    v("provider", self.provider);
    v("model", self.model);
    v("tokenizer", self.tokenizer);
    v("crc32", self.crc32);
  }

  std::filesystem::path sidecar() const { return sidecar_of(file); }

  /// Throws Error (file, format) when the baseline is gone or is another one by now.
  void require_scan() const {
    std::error_code ignored;
    if (!std::filesystem::exists(scan, ignored))
      throw Error(ErrorKind::file, "sidecar.scan", "expected the scan that the forecast began with; it is gone", scan);
    const std::string now = file_crc32(scan);
    if (now != scan_crc32)
      throw Error(ErrorKind::format, "sidecar.scan",
                  concat("expected the scan that the forecast began with, checksum ", scan_crc32, ", got ", now), scan);
  }
};

/// "SYNTHETIC_sub-01_T1w_5y" for sub-01_T1w, or SYNTHETIC_sub-01_T1w, in 5 years, "..._minus5y" for five years before.
inline std::string forecast_name(std::string_view scan, double years) {
  if (scan.starts_with(synthetic_prefix)) scan.remove_prefix(synthetic_prefix.size());
  return concat(synthetic_prefix, scan, years < 0 ? "_minus" : "_", number_text(std::abs(years)), "y");
}

/// "sub-01_T1w" of the record of SYNTHETIC_sub-01_T1w_5y.nii.gz; empty for a file of another name.
inline std::string scan_name_of(const ForecastRecord& record) {
  const std::size_t begin = synthetic_prefix.size();
  const std::string end = forecast_name("", record.years).substr(begin) + ".nii.gz";
  if (!record.file.starts_with(synthetic_prefix) || !record.file.ends_with(end) ||
      record.file.size() <= begin + end.size())
    return {};
  return record.file.substr(begin, record.file.size() - begin - end.size());
}

/// Throws Error: file, format (no JSON), config (not such a sidecar).
inline ForecastRecord read_forecast_record(const std::filesystem::path& path) {
  const Json json = read_json(path);
  ForecastRecord r;
  if (!json.is_object() || !json.contains("kind") || json["kind"] != Json(r.kind))
    throw Error(ErrorKind::config, "sidecar.kind", concat("expected the sidecar of a forecast, ", in_quotes(r.kind)),
                path.string());
  json_into(json, r, path.string());
  if (!names_volume(r))
    throw Error(ErrorKind::config, "sidecar.file",
                concat("expected the name of a .nii.gz file and conditions by name, got ", in_quotes(r.file)),
                path.string());
  return r;
}

/// What a forecast says about itself in its header: the mark, the hashes of the weights, the horizon. write_sample() writes it.
inline std::string synthetic_description(const ForecastRecord& record) {
  return concat("SYNTHETIC braing3n forecast ", record.model.hash, ' ', record.tokenizer.hash, " in ",
                number_text(record.years), " years")
      .substr(0, 79);
}

}  // namespace braing3n::inline BRAING3N_ABI
