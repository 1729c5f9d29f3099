// What the rows of a manifest say against each other.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/years.hpp"
#include "braing3n/data/manifest_cells.hpp"
#include "braing3n/data/manifest_types.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Within a subject, age minus the elapsed time may vary by this many years: ages are whole years in many tables.
inline constexpr double age_tolerance_years = 1.01;

namespace detail {

/// A date or a number of days as days; nothing when it is missing.
inline std::optional<double> label_days(const Label& label) {
  if (label.number) return label.number;
  const auto day = label.text ? read_date(*label.text).day : std::nullopt;
  return day ? std::optional(static_cast<double>(*day)) : std::nullopt;
}

/// The lowest and the highest value of each subject.
class SubjectRanges {
 public:
  void add(const std::string& subject, double value) {
    const auto [place, fresh] = ranges_.emplace(subject, std::pair{value, value});
    if (!fresh) place->second = {std::min(place->second.first, value), std::max(place->second.second, value)};
  }
  std::vector<std::string> wider_than(double limit) const {
    std::vector<std::string> out;
    for (const auto& [subject, range] : ranges_)
      if (range.second - range.first > limit) out.push_back(subject);
    return out;
  }

 private:
  std::map<std::string, std::pair<double, double>> ranges_;
};

/// Two labels whose difference, in days, is the same for all scans of a subject.
inline void check_elapsed(Manifest& m, const char* one, const char* other, double limit) {
  const auto a = m.find_field(one), b = m.find_field(other);
  if (!a || !b) return;
  const double unit = std::string(one) == "age" ? days_per_year : 1;
  SubjectRanges differences;
  for (const ScanRow& s : m.scans) {
    const auto x = label_days(s.labels[*a]), y = label_days(s.labels[*b]);
    if (x && y) differences.add(s.subject_id, *x * unit - *y);
  }
  const std::vector<std::string> bad = differences.wider_than(limit);
  if (!bad.empty())
    m.findings.add(Severity::warning, "manifest.conflict", one, " and ", other, " contradict each other in ",
                   bad.size(), bad.size() == 1 ? " subject: " : " subjects: ", some_of(bad));
}

inline void check_conflicts(Manifest& m) {
  for (const char* name : {"sex", "idh1"}) {
    const auto f = m.find_field(name);
    if (!f) continue;
    std::map<std::string, std::set<std::string>> seen;
    for (const ScanRow& s : m.scans)
      if (s.labels[*f].text) seen[s.subject_id].insert(*s.labels[*f].text);
    std::vector<std::string> bad;
    for (const auto& [subject, values] : seen)
      if (values.size() > 1) bad.push_back(subject);
    if (!bad.empty())
      m.findings.add(Severity::warning, "manifest.conflict", bad.size(),
                     bad.size() == 1 ? " subject has" : " subjects have", " more than one ", name, ": ", some_of(bad));
  }
  check_elapsed(m, "age", "days", age_tolerance_years * days_per_year);
  check_elapsed(m, "age", "session_date", age_tolerance_years * days_per_year);
  check_elapsed(m, "days", "session_date", 31);
}

/// Rows that name one file although no column tells its volumes apart, in a table whose column "index" may have been meant to.
inline void check_repeated_files(Manifest& m) {
  const auto index = std::find_if(m.fields.begin(), m.fields.end(),
                                  [](const LabelField& f) { return plain_column_name(f.name) == "index"; });
  if (index == m.fields.end()) return;
  std::set<std::pair<std::string, Index>> files;
  std::vector<std::string> again;
  for (const ScanRow& s : m.scans)
    if (!s.path.empty() && !files.emplace(s.path.string(), s.volume_index).second) again.push_back(s.volume_id);
  if (again.empty()) return;
  m.findings.add(Severity::warning, "manifest.volume_index", again.size(),
                 again.size() == 1 ? " row names a file" : " rows name a file",
                 " that another row names too: ", some_of(again), "; the column ", in_quotes(index->name),
                 " is a label, the volumes of a file are told apart by a column \"volume_index\"");
}

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
