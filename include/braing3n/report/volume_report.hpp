// A report about a scan: storage, geometry, values, findings.
#pragma once

#include <cmath>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <utility>

#include "braing3n/base/text.hpp"
#include "braing3n/data/content_hash.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/format/npy_writer.hpp"
#include "braing3n/report/planes.hpp"
#include "braing3n/report/png.hpp"
#include "braing3n/volume/nifti/read.hpp"
#include "braing3n/volume/preprocess.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct VolumeInspection {
  Index index = -1;                                 // which volume of several
  std::optional<PreprocessingContract> contract{};  // the contract that the scan is checked against
  std::string png{}, npy{};                         // pictures, values
  bool force = false;
};

inline bool is_scan_name(const std::string& path) {
  for (const char* end : {".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz", ".mgz", ".mgh", ".dcm", ".nrrd"})
    if (detail::ends_with_ignoring_case(path, end)) return true;
  return false;
}

inline Json findings_json(const Findings& findings) {
  Json list = Json::array();
  for (const Finding& f : findings)
    list.push_back({{"severity", to_string(f.severity)}, {"id", f.id}, {"sentence", f.sentence}});
  return list;
}

namespace detail {

/// Numbers that JSON cannot hold (NaN of a damaged header) become null.
inline Json number_json(double v) { return std::isfinite(v) ? Json(v) : Json(); }

inline Json affine_json(const Affine& a) {
  Json rows = Json::array();
  for (int r = 0; r < 3; ++r)
    rows.push_back({number_json(a(r, 0)), number_json(a(r, 1)), number_json(a(r, 2)), number_json(a(r, 3))});
  rows.push_back({0.0, 0.0, 0.0, 1.0});
  return rows;
}

/// How the scan is stored.
inline Json storage_json(const std::string& path, const NiftiVolume& scan) {
  const NiftiHeader& h = scan.info.header;
  Json dims = Json::array();
  for (int d = 0; d < h.rank; ++d) dims.push_back(h.dim[static_cast<std::size_t>(d)]);
  Json report = {{"file", path},
                 {"type", "volume"},
                 {"format", concat("NIfTI-", h.version, h.single_file ? "" : " pair",
                                   scan.info.compressed ? ", gzip" : "", h.big_endian ? ", big-endian" : "")},
                 {"element", h.type.name},
                 {"dims", dims},
                 {"volumes", h.volumes()}};
  if (h.scaled) report["slope"] = h.slope, report["intercept"] = h.intercept;
  if (!h.mark.empty()) report["mark"] = h.mark;
  return report;
}

inline Json values_json(Context<Cpu>& ctx, const NiftiVolume& scan, const VolumeStatistics& s) {
  const MeanAndSd m = s.non_finite == 0 ? mean_and_sd(ctx, scan.volume.data(), scan.volume.size(), true)
                                        : finite_mean_and_sd(ctx, scan.volume.values);
  const bool some_finite = s.non_finite < s.voxels, some_nonzero = m.count > 0 || s.non_finite == 0;
  return {{"min", some_finite ? Json(s.min) : Json()},
          {"max", some_finite ? Json(s.max) : Json()},
          {"nonzero", s.nonzero},
          {"negative", s.negative},
          {"non_finite", s.non_finite},
          {"whole_numbers", s.whole_numbers},
          {"nonzero_mean", some_nonzero ? Json(m.mean) : Json()},
          {"nonzero_sd", some_nonzero ? Json(m.sd) : Json()},
          {"nonzero_litres",
           number_json(static_cast<double>(s.nonzero) * std::abs(scan.info.affine.determinant()) * 1e-6)}};
}

/// Checks the scan against the contract: adds the findings of preprocessing.
inline Json fit_json(Context<Cpu>& ctx, Volume volume, const PreprocessingContract& contract, Findings& findings) {
  Json fit = {{"contract", describe(contract)}};
  try {
    const Preprocessed p = preprocess(ctx, std::move(volume), contract);
    for (const Finding& f : p.findings)
      if (!findings.has(f.id)) findings.add(f.severity, f.id.c_str(), f.sentence);
    fit["mean"] = p.record.intensity.mean;
    fit["deviation"] = p.record.intensity.sd;
  } catch (const Error& e) {
    if (!findings.has(e.id())) findings.add(Severity::error, e.id().c_str(), e.text());
  }
  fit["fits"] = findings.count(Severity::error) + findings.count(Severity::warning) == 0;
  fit["usable"] = findings.count(Severity::error) == 0;
  return fit;
}

}  // namespace detail

/// Throws Error when the scan cannot be read. Findings of severity error are in the report.
inline Json inspect_volume(Context<Cpu>& ctx, const std::string& path, const VolumeInspection& options) {
  NiftiReadOptions read;
  read.volume = options.index;
  NiftiVolume scan = read_nifti(ctx, path, read);
  const VolumeStatistics s = statistics(ctx, scan.volume.data(), scan.volume.size());
  Findings findings = scan.info.findings;
  const bool placed = !singular(scan.info.affine);
  for (const Finding& f : check_volume(scan.volume, s))
    if (!findings.has(f.id)) findings.add(f.severity, f.id.c_str(), f.sentence);

  const Vec3 mm = spacing(scan.info.affine);
  Json report = detail::storage_json(path, scan);
  report["shape"] = Json(scan.volume.shape());
  report["spacing_mm"] = {detail::number_json(mm[0]), detail::number_json(mm[1]), detail::number_json(mm[2])};
  report["orientation"] = placed ? Json(to_string(orientation_of(scan.info.affine))) : Json();
  report["tilt_degrees"] = placed ? detail::number_json(tilt_degrees(scan.info.affine)) : Json();
  report["affine_source"] = scan.info.affine_source;
  report["affine"] = detail::affine_json(scan.info.affine);
  if (scan.info.header.qform_code > 0 && scan.info.header.sform_code > 0)
    report["sform_qform_differ_mm"] = detail::number_json(scan.info.forms_differ_mm);
  report["values"] = detail::values_json(ctx, scan, s);
  report["content_hash"] = content_hash(scan.volume);
  WriteOptions write;
  write.overwrite = options.force;
  if (!options.npy.empty()) {
    const Extent3 n = scan.volume.shape();
    write_npy<float>(options.npy, {n[0], n[1], n[2]},
                     std::span<const float>(scan.volume.data(), static_cast<std::size_t>(scan.volume.size())), write);
  }
  if (!options.png.empty() && placed) write_png(options.png, draw_planes(ctx, scan.volume), write);
  if (options.contract) report["fit"] = detail::fit_json(ctx, std::move(scan.volume), *options.contract, findings);
  report["findings"] = findings_json(findings);
  return report;
}

inline void print_findings(std::ostream& out, const Json& list) {
  for (const Json& f : list)
    out << "  " << f["severity"].get<std::string>() << ": " << f["sentence"].get<std::string>() << '\n';
}

inline void print_volume(std::ostream& out, const Json& r) {
  const auto join = [](const Json& list) {
    std::string text;
    for (const Json& v : list)
      text += (text.empty() ? "" : " x ") + (v.is_number_float() ? significant(v.get<double>()) : v.dump());
    return text;
  };
  out << r["file"].get<std::string>() << '\n'
      << "  " << r["format"].get<std::string>() << ", " << join(r["dims"]) << " voxels of "
      << r["element"].get<std::string>();
  if (r.contains("slope")) {
    out << ", value = " << significant(r["slope"].get<double>(), 6) << " * stored";
    if (const double b = r["intercept"].get<double>(); b != 0)
      out << (b < 0 ? " - " : " + ") << significant(std::abs(b), 6);
  }
  if (r.contains("mark")) out << ", marked " << r["mark"].get<std::string>();
  out << "\n  " << join(r["spacing_mm"]) << " mm, orientation "
      << (r["orientation"].is_null() ? "unknown" : r["orientation"].get<std::string>()) << " from "
      << r["affine_source"].get<std::string>();
  if (r["tilt_degrees"].is_number() && r["tilt_degrees"].get<double>() > 0.05)
    out << ", tilted by " << significant(r["tilt_degrees"], 3) << " degrees";
  const Json& v = r["values"];
  const auto number = [](const Json& value, int digits) {
    return value.is_null() ? std::string("unknown") : significant(value.get<double>(), digits);
  };
  out << "\n  values " << number(v["min"], 4) << " to " << number(v["max"], 6) << ", " << number(v["nonzero_litres"], 3)
      << " litres not zero, mean " << number(v["nonzero_mean"], 4) << " sd " << number(v["nonzero_sd"], 4)
      << " of these";
  if (const Index lost = v["non_finite"].get<Index>(); lost > 0)
    out << "; " << lost << (lost == 1 ? " voxel is" : " voxels are") << " not finite and left out here";
  out << '\n' << "  content hash " << r["content_hash"].get<std::string>() << '\n';
  if (r.contains("fit"))
    out << "  against " << r["fit"]["contract"].get<std::string>() << ": "
        << (r["fit"]["fits"].get<bool>()     ? "fits"
            : r["fit"]["usable"].get<bool>() ? "usable, with the warnings below"
                                             : "cannot be used")
        << '\n';
  print_findings(out, r["findings"]);
}

}  // namespace braing3n::inline BRAING3N_ABI
