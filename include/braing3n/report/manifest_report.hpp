// A report about a manifest: subjects, volumes and labels, missing labels, copies and contradictions.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "braing3n/base/moments.hpp"
#include "braing3n/base/text.hpp"
#include "braing3n/data/content_hash.hpp"
#include "braing3n/data/manifest.hpp"
#include "braing3n/data/prefetch.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/report/table.hpp"
#include "braing3n/report/volume_report.hpp"
#include "braing3n/volume/nifti/read.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A table with a subject column is a manifest if it has paths or a pattern makes them.
inline bool is_manifest(const CsvTable& table, const std::string& pattern) {
  return detail::manifest_subject(table) && (detail::manifest_column(table, "path") || !pattern.empty());
}

namespace detail {

/// Volumes, subjects and ages by cohort, as in a dataset card.
inline void add_cohorts(Json& report, const Manifest& m) {
  struct Group {
    Index volumes = 0;
    std::set<std::string> subjects;
    std::vector<double> ages;
  };
  std::map<std::string, Group> cohorts;
  std::map<std::string, Index> per_subject;
  for (Index i = 0; i < m.size(); ++i) {
    const ScanRow& s = m.scans[static_cast<std::size_t>(i)];
    Group& g = cohorts[m.text(i, "cohort").value_or("(no cohort)")];
    ++g.volumes;
    g.subjects.insert(s.subject_id);
    if (const auto age = m.number(i, "age")) g.ages.push_back(*age);
    ++per_subject[s.subject_id];
  }
  report["cohorts"] = Json::array();
  for (const auto& [name, g] : cohorts) {
    const Moments ages = moments(g.ages);
    Json c = {{"cohort", name}, {"volumes", g.volumes}, {"subjects", g.subjects.size()}, {"ages", g.ages.size()}};
    if (ages.count > 0) {
      c["age_mean"] = ages.mean, c["age_sd"] = ages.count > 1 ? ages.sample_standard_deviation() : 0.0;
      c["age_min"] = *std::min_element(g.ages.begin(), g.ages.end()),
      c["age_max"] = *std::max_element(g.ages.begin(), g.ages.end());
    }
    report["cohorts"].push_back(c);
  }
  Index repeats = 0;
  for (const auto& [subject, n] : per_subject) repeats += n > 1;
  report["subjects_with_repeats"] = repeats;
}

inline void add_labels(Json& report, const Manifest& m) {
  report["labels"] = Json::array();
  for (std::size_t f = 0; f < m.fields.size(); ++f) {
    std::map<std::string, Index> values;
    std::vector<double> numbers;
    Index missing = 0;
    for (const ScanRow& s : m.scans) {
      const Label& l = s.labels[f];
      if (l.text) ++values[*l.text];
      else if (l.number) numbers.push_back(*l.number);
      else ++missing;
    }
    Json label = {{"name", m.fields[f].name},
                  {"kind", m.fields[f].kind == LabelKind::categorical ? "categorical" : "continuous"},
                  {"present", m.size() - missing},
                  {"missing", missing}};
    if (!numbers.empty()) {
      std::sort(numbers.begin(), numbers.end());
      label["min"] = numbers.front(), label["median"] = numbers[numbers.size() / 2], label["max"] = numbers.back();
    }
    label["different"] = values.size();
    if (!values.empty() && values.size() <= 20) label["values"] = values;
    report["labels"].push_back(label);
  }
}

/// Reads every scan to find copies and damage, `threads` at a time.
inline void add_copies(Json& report, Manifest& m, int threads,
                       const std::function<void(Index done, Index total)>& progress) {
  std::vector<std::string> hashes(m.scans.size());
  std::vector<std::string> failures;
  Prefetcher<std::string> reader(
      [&](Context<Cpu>& ctx, Index i) {
        const ScanRow& scan = m.scans[static_cast<std::size_t>(i)];
        const NiftiVolume v = read_nifti(ctx, scan.path, {.volume = scan.volume_index});
        v.info.findings.require_usable(false, scan.path.string());
        return content_hash(v.volume);
      },
      0, m.size(), {threads, 2 * threads});
  for (Index i = 0; i < m.size(); ++i) {
    try {
      hashes[static_cast<std::size_t>(i)] = reader.next();
    } catch (const Error& e) {
      failures.push_back(e.what());
    }
    progress(i + 1, m.size());
  }
  if (!failures.empty())
    m.findings.add(Severity::error, "manifest.unreadable", failures.size(), failures.size() == 1 ? " scan" : " scans",
                   " cannot be read: ", detail::some_of(failures, 3));
  report["unreadable"] = failures;
  report["duplicates"] = Json::array();
  Index across = 0;
  for (const std::vector<Index>& group : equal_hashes(hashes)) {
    Json ids = Json::array();
    std::set<std::string> subjects;
    for (const Index i : group) {
      ids.push_back(m.scans[static_cast<std::size_t>(i)].volume_id);
      subjects.insert(m.scans[static_cast<std::size_t>(i)].subject_id);
    }
    across += subjects.size() > 1;
    report["duplicates"].push_back(ids);
  }
  if (!report["duplicates"].empty())
    m.findings.add(Severity::warning, "manifest.copies", report["duplicates"].size(),
                   report["duplicates"].size() == 1 ? " group" : " groups", " of scans with the same voxels, ", across,
                   " of them under different subjects; the first: ", report["duplicates"][0].dump());
}

}  // namespace detail

struct ManifestReportOptions {
  bool read_scans = true;  // to find copies and damage
  int threads = 1;         // that read
  std::function<void(Index done, Index total)> progress = [](Index, Index) {};
};

/// Throws what read_manifest throws.
inline Json inspect_manifest(const CsvTable& table, const ManifestOptions& options,
                             const ManifestReportOptions& reading) {
  Manifest m = read_manifest(table, options);
  Json report = {
      {"file", table.path()}, {"type", "manifest"}, {"volumes", m.size()}, {"subjects", m.subjects().size()}};
  detail::add_cohorts(report, m);
  detail::add_labels(report, m);
  if (reading.read_scans) detail::add_copies(report, m, reading.threads, reading.progress);
  report["findings"] = findings_json(m.findings);
  return report;
}

inline void print_manifest(std::ostream& out, const Json& r) {
  out << r["file"].get<std::string>() << ": " << with_commas(r["volumes"].get<Index>()) << " volumes of "
      << with_commas(r["subjects"].get<Index>()) << (r["subjects"] == 1 ? " subject, " : " subjects, ")
      << (r["subjects_with_repeats"] == 0 ? "none" : r["subjects_with_repeats"].dump() + " of them")
      << " with several\n\n";
  const auto text = [](const Json& row, const char* key, int digits = 3) {
    return row.contains(key)
               ? row[key].is_string() ? row[key].get<std::string>() : significant(row[key].get<double>(), digits)
               : std::string();
  };
  Table cohorts({"cohort", "volumes", "subjects", "with age", "mean age", "sd", "from", "to"});
  for (const Json& c : r["cohorts"])
    cohorts.row(text(c, "cohort"), c["volumes"].dump(), c["subjects"].dump(), c["ages"].dump(), text(c, "age_mean"),
                text(c, "age_sd"), text(c, "age_min"), text(c, "age_max"));
  cohorts.print(out);
  out << '\n';
  Table labels({"label", "kind", "present", "missing", "values"});
  for (const Json& l : r["labels"]) {
    std::string values;
    if (l.contains("values")) {
      std::size_t shown = 0;
      for (const auto& [value, n] : l["values"].items())
        values += shown++ < 8 ? concat(shown > 1 ? ", " : "", value, " ", n.dump()) : shown == 9 ? ", ..." : "";
    } else if (l.contains("min")) {
      values = concat(text(l, "min", 6), " to ", text(l, "max", 6), ", median ", text(l, "median", 6));
    } else if (l["different"].get<Index>() > 0) {
      values = concat(l["different"].dump(), " different");
    }
    labels.row(l["name"].get<std::string>(), l["kind"].get<std::string>(), l["present"].dump(), l["missing"].dump(),
               values);
  }
  if (labels.empty()) out << "no label columns\n";
  else labels.print(out);
  if (r.contains("duplicates") && r["duplicates"].empty()) out << "\nno two scans have the same voxels\n";
  if (!r["findings"].empty()) out << '\n';
  print_findings(out, r["findings"]);
}

}  // namespace braing3n::inline BRAING3N_ABI
