// When the scans of a subject were made: from session_date, days or age, whichever comes first and orders two scans.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "braing3n/base/enum_names.hpp"
#include "braing3n/data/manifest_checks.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The label that says when a scan was made, the most exact first; the names are those of the fields of a manifest.
enum class VisitClock { session_date, days, age };

/// How many subjects with pairs have their years from which label, in the order of VisitClock.
struct VisitTime {
  std::array<Index, 3> subjects{};

  Index count(VisitClock clock) const { return subjects[static_cast<std::size_t>(clock)]; }
  /// "years between visits are from session_date (412 subjects), age (3 subjects)"
  std::string sentence() const {
    std::vector<std::string> parts;
    for (std::size_t c = 0; c < subjects.size(); ++c)
      if (subjects[c] > 0)
        parts.push_back(concat(enum_name(static_cast<VisitClock>(c)), " (", subjects[c],
                               subjects[c] == 1 ? " subject)" : " subjects)"));
    return concat("years between visits are from ", parts.empty() ? "nothing" : joined(parts));
  }

  static void visit(auto& self, auto&& v) { v("subjects", self.subjects); }
};

namespace detail {

struct TimedScan {
  Index row = 0;
  double day = 0;  // since any day
  std::string modality;
};

/// The scans of a subject whose time is known, in order of time, then of session and id: not of rows.
struct TimedSubject {
  std::vector<TimedScan> scans;
  std::vector<Index> untimed;  // rows
  VisitClock clock = VisitClock::session_date;
};

/// Throws Error (format) for a date or a number of days that cannot be read. An age that cannot be used is missing.
inline std::optional<double> scan_day(const Manifest& m, Index row, VisitClock clock) {
  const auto f = m.find_field(enum_name(clock));
  if (!f) return std::nullopt;
  const Label& label = m.scans[static_cast<std::size_t>(row)].labels[*f];
  if (clock == VisitClock::age) return label.number ? std::optional(*label.number * days_per_year) : std::nullopt;
  if (!label.fault.empty()) throw Error(ErrorKind::format, "visits.time", label.fault, m.path.string());
  return label_days(label);
}

inline bool has_two_of_one_modality(const std::vector<TimedScan>& scans) {
  std::map<std::string, Index> count;
  return std::any_of(scans.begin(), scans.end(), [&](const TimedScan& s) { return ++count[s.modality] > 1; });
}

/// By the first clock that at least two scans of one modality have; when none has, by the first that any scan has.
inline TimedSubject timed_subject(const Manifest& m, const std::vector<Index>& rows) {
  TimedSubject best{.scans = {}, .untimed = rows};
  for (const VisitClock clock : {VisitClock::session_date, VisitClock::days, VisitClock::age}) {
    TimedSubject s{.scans = {}, .untimed = {}, .clock = clock};
    for (const Index row : rows) {
      if (const auto day = scan_day(m, row, clock))
        s.scans.push_back({row, *day, m.text(row, "modality").value_or("")});
      else s.untimed.push_back(row);
    }
    const bool enough = has_two_of_one_modality(s.scans);
    if (enough || (best.scans.empty() && !s.scans.empty())) best = std::move(s);
    if (enough) break;
  }
  std::sort(best.scans.begin(), best.scans.end(), [&](const TimedScan& a, const TimedScan& b) {
    const auto key = [&](const TimedScan& s) {
      const ScanRow& scan = m.scans[static_cast<std::size_t>(s.row)];
      return std::tie(s.day, scan.session_id, scan.volume_id);
    };
    return key(a) < key(b);
  });
  return best;
}

/// One session, or one day. Equal ages are one visit only within a session, since ages are rounded.
inline bool is_same_visit(const Manifest& m, const TimedSubject& s, const TimedScan& a, const TimedScan& b) {
  const std::string &one = m.scans[static_cast<std::size_t>(a.row)].session_id,
                    &other = m.scans[static_cast<std::size_t>(b.row)].session_id;
  if (one == other && !one.empty()) return true;
  return std::abs(a.day - b.day) < 0.5 && (s.clock != VisitClock::age || one == other);
}

/// The age at a scan: its own, else counted from the nearest scan of the subject that has one; NaN when none has.
inline double age_at(const Manifest& m, const TimedSubject& s, const TimedScan& scan) {
  double age = std::numeric_limits<double>::quiet_NaN(), nearest = std::numeric_limits<double>::infinity();
  if (const auto own = m.number(scan.row, "age")) return *own;
  for (const TimedScan& other : s.scans) {
    const auto known = m.number(other.row, "age");
    if (!known || !(std::abs(other.day - scan.day) < nearest)) continue;
    nearest = std::abs(other.day - scan.day);
    age = *known + (scan.day - other.day) / days_per_year;
  }
  return age;
}

/// Ages held against the times of the visits.
class AgeCheck {
 public:
  void add(const Manifest& m, const TimedSubject& s) {
    std::optional<std::pair<double, double>> first;  // day, age
    for (const TimedScan& scan : s.scans) {
      const auto age = m.number(scan.row, "age");
      if (!age) continue;
      if (s.clock == VisitClock::age) {
        by_age_ = true;
        whole_ = whole_ && *age == std::floor(*age);
        continue;
      }
      ranges_.add(m.scans[static_cast<std::size_t>(scan.row)].subject_id, *age - scan.day / days_per_year);
      if (!first) first = {scan.day, *age};
      const double years = (scan.day - first->first) / days_per_year;
      squares_ += years * years;
      products_ += years * (*age - first->second);
    }
  }
  void report(Findings& findings) const {
    if (by_age_ && whole_)
      findings.add(Severity::warning, "visits.rounded_ages",
                   "ages are whole years: years between visits that are counted from them are off by up to one");
    const std::vector<std::string> bad = ranges_.wider_than(age_tolerance_years);
    if (bad.empty()) return;
    const double slope = squares_ > 0 ? products_ / squares_ : 1;
    findings.add(Severity::warning, "visits.age", bad.size(), bad.size() == 1 ? " subject has" : " subjects have",
                 " ages that go against the times of the visits by more than a year: ", some_of(bad),
                 slope > 10 && slope < 14        ? "; the ages look like months, expected years"
                 : slope > -0.05 && slope < 0.05 ? "; the ages do not change between visits"
                                                 : "");
  }

 private:
  SubjectRanges ranges_;
  double squares_ = 0, products_ = 0;
  bool by_age_ = false, whole_ = true;
};

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
