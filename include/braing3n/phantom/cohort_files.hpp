// A phantom cohort as files: volumes, the table of their labels, the table of their true volumes, and the options that made them.
//
//   FOLDER/volumes/SYNTHETIC_sub-0001_ses-1_T1.nii.gz, FOLDER/volumes.csv, FOLDER/truth.csv, FOLDER/cohort.json
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "braing3n/format/csv_writer.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/phantom/cohort.hpp"
#include "braing3n/phantom/cohort_record.hpp"
#include "braing3n/phantom/tissue_maps.hpp"
#include "braing3n/volume/nifti/write.hpp"

namespace braing3n::inline BRAING3N_ABI::phantom {

/// What a cohort on disk consists of: every subject has all visits, every visit all modalities.
struct CohortPlan {
  CohortOptions cohort{};
  Index subjects = 0, visits = 1;
  Extent3 shape{80, 96, 80};
  std::vector<Modality> modalities{Modality::T1};
  std::vector<double>
      visit_years{};  // times of the visits in years after the first, for every subject; none: `visits`, drawn
  Index first = 0;    // subjects of the distribution before those of this cohort
};

inline Index visit_count(const CohortPlan& plan) {
  return plan.visit_years.empty() ? plan.visits : std::ssize(plan.visit_years);
}

/// The time of a subject's visit in the cohort.
inline Visit visit_of(const CohortPlan& plan, const Subject& subject, std::uint32_t visit) {
  return plan.visit_years.empty() ? draw_visit(subject, visit) : visit_after(subject, plan.visit_years.at(visit));
}

/// The times of the visits begin with 0 and grow by a day at least, up to the age that renderers and conditions end at. Throws Error
/// (argument).
inline void require_visit_years(const std::vector<double>& years) {
  constexpr double day = 1 / days_per_year, most = most_age - oldest_first_age;
  for (std::size_t v = 0; v < years.size(); ++v) {
    const auto refuse = [&](const auto&... expected) {
      fail(ErrorKind::argument, "phantom.visit_years", "phantom: time of visit ", v + 1, ": expected ", expected...,
           ", got ", years[v]);
    };
    if (v == 0 && years[v] != 0) refuse("0, the first visit");
    if (v > 0 && !(years[v] >= years[v - 1] + day)) refuse("more than ", years[v - 1], " years, by a day at least");
    if (!(years[v] <= most))
      refuse("at most ", most, " years, since subjects may be ", oldest_first_age,
             " at the first visit and ages end at ", most_age);
  }
}

/// One scan of a cohort.
struct Scan {
  std::uint32_t subject, visit;
  Modality modality;
  std::string volume_id() const { return phantom::volume_id(subject, visit, modality); }
  /// Relative to the folder of the cohort.
  std::filesystem::path path() const {
    return std::filesystem::path("volumes") / ("SYNTHETIC_" + volume_id() + ".nii.gz");
  }
};

/// All scans in the order of the tables.
inline std::vector<Scan> scans_of(const CohortPlan& plan) {
  std::vector<Scan> scans;
  for (Index s = plan.first; s < plan.first + plan.subjects; ++s)
    for (Index v = 0; v < visit_count(plan); ++v)
      for (const Modality m : plan.modalities)
        scans.push_back({static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(v), m});
  return scans;
}

/// Every file that write_cohort() writes into the folder.
inline std::vector<std::filesystem::path> cohort_files(const std::filesystem::path& folder, const CohortPlan& plan) {
  std::vector<std::filesystem::path> files{folder / "volumes.csv", folder / "truth.csv", folder / "cohort.json"};
  for (const Scan& s : scans_of(plan)) files.push_back(folder / s.path());
  return files;
}

/// 16-bit integers with a slope, as scanners write them. A voxel above 0 stays above 0. Changes `image`.
inline void write_scan(Context<Cpu>& ctx, const std::filesystem::path& path, Volume& image, const Scan& scan,
                       std::uint64_t seed, const WriteOptions& file) {
  float most = 0;
  for (Index i = 0; i < image.size(); ++i) most = std::max(most, image.data()[i]);
  NiftiWriteOptions write;
  write.type = NiftiType::int16;
  write.slope = static_cast<double>(most) / 32000;
  for (Index i = 0; i < image.size(); ++i)
    if (image.data()[i] > 0) image.data()[i] = std::max(image.data()[i], static_cast<float>(write.slope));
  write.description =
      concat(mark_of(image.provenance), " braing3n ", version(), " phantom seed ", seed, " ", scan.volume_id());
  write.description.resize(std::min<std::size_t>(write.description.size(), 79));
  write.file = file;
  write_nifti(ctx, path, image, write);
}

/// Tables of the first truths.size() scans.
template <std::same_as<CohortPlan> Plan = CohortPlan>
void write_tables(const std::filesystem::path& folder, const Plan& plan, const std::vector<Truth>& truths,
                  const WriteOptions& write) {
  std::vector<std::string> truth_header{"volume_id"};
  truth_header.insert(truth_header.end(), truth_columns.begin(), truth_columns.end());
  CsvWriter truth(folder / "truth.csv", truth_header, write);
  CsvWriter volumes(folder / "volumes.csv",
                    {"volume_id", "subject_id", "session_id", "path", "modality", "age", "sex", "disease", "site",
                     "idh1", "cohort", "cdr", "days"},
                    write);
  const auto rounded = [](double v, double unit) { return std::round(v / unit) * unit; };
  const std::vector<Scan> scans = scans_of(plan);
  for (std::size_t i = 0; i < truths.size(); ++i) {
    const Scan& s = scans[i];
    const Subject subject = draw_subject(plan.cohort, s.subject);
    const Visit visit = visit_of(plan, subject, s.visit);
    const Labels labels = labels_at(subject, visit.age);
    volumes.row(s.volume_id(), subject_id(s.subject), session_id(s.visit), s.path().generic_string(),
                enum_name(s.modality), std::round(visit.age * 100) / 100, labels.sex, labels.disease, labels.site,
                labels.idh1, "phantom", labels.cdr, visit.days);
    std::vector<std::string> cells{s.volume_id()};
    for (const double ml : truth_values(truths[i])) cells.push_back(concat(rounded(ml, 1e-3)));
    truth.cells(cells);
  }
  volumes.finish();
  truth.finish();
  Json modalities = Json::array();
  for (const Modality m : plan.modalities) modalities.push_back(enum_name(m));
  Json sidecar = {
      {"kind", cohort_kind},      {"version", version()},      {"distribution", enum_name(plan.cohort.distribution)},
      {"seed", plan.cohort.seed}, {"subjects", plan.subjects}, {"visits", visit_count(plan)},
      {"shape", plan.shape},      {"modalities", modalities},  {"confound", plan.cohort.confound},
      {"volumes", scans.size()}};
  if (plan.first > 0) sidecar["first"] = plan.first;
  if (!plan.visit_years.empty()) sidecar["visit_years"] = plan.visit_years;
  if (!plan.cohort.diseases.empty()) sidecar["diseases"] = names_of(plan.cohort.diseases);
  write_text(folder / "cohort.json", sidecar.dump(2) + "\n", write);
}

/// One scan that was rendered, before it is written.
struct RenderedScan {
  const Scan& scan;
  const Subject& subject;
  const TissueMaps& tissues;
  const Volume& image;
};

/// Callbacks of a program while a cohort is made. Empty ones are not called.
struct CohortHooks {
  std::function<void(const RenderedScan&)> on_render{};  // before the file of a scan is written
  std::function<void(const Scan&)> on_written{};         // after it
  std::function<bool()> stop{};                          // called before every scan; true stops
};

/// Renders and writes the cohort into `folder`. A stopped cohort has tables of the volumes that were written. Returns the number of
/// volumes written; without any there are no tables. Throws Error: argument (shape, times of visits), file (a file exists and may not be overwritten),
/// environment (disk full).
template <std::same_as<Cpu> B>
Index write_cohort(Context<B>& ctx, const std::filesystem::path& folder, const CohortPlan& plan,
                   const WriteOptions& write = {}, const CohortHooks& hooks = {}) {
  require_visit_years(plan.visit_years);
  std::error_code ignored;
  if (!write.overwrite)
    for (const auto& path : cohort_files(folder, plan))
      if (std::filesystem::exists(path, ignored))
        throw Error(ErrorKind::file, "phantom.exists", "exists already and may not be overwritten", path.string());
  make_folder(folder / "volumes");
  const std::vector<Scan> scans = scans_of(plan);
  std::vector<Truth> truths;
  Subject subject;
  TissueMaps tissues;
  for (std::size_t i = 0; i < scans.size() && !(hooks.stop && hooks.stop()); ++i) {
    const Scan& s = scans[i];
    if (i == 0 || s.subject != scans[i - 1].subject || s.visit != scans[i - 1].visit) {
      subject = draw_subject(plan.cohort, s.subject);
      tissues = render_tissues(ctx, subject, visit_of(plan, subject, s.visit).age, s.visit, plan.shape);
    }
    Volume image = render_image(ctx, subject, tissues, {.modality = s.modality, .visit = s.visit});
    if (hooks.on_render) hooks.on_render({s, subject, tissues, image});
    write_scan(ctx, folder / s.path(), image, s, plan.cohort.seed, write);
    truths.push_back(tissues.truth);
    if (hooks.on_written) hooks.on_written(s);
  }
  if (!truths.empty()) write_tables(folder, plan, truths, write);
  return static_cast<Index>(truths.size());
}

}  // namespace braing3n::inline BRAING3N_ABI::phantom
