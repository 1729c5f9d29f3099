// Pairs of visits of a subject: from which scan to which, how many years apart.
//
// The years between two visits come from session_date, days or age, per subject from the first of them that orders its scans.
// Pairs, their order and the choice of a few per subject do not depend on the order of rows.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/data/visit_times.hpp"
#include "braing3n/format/checksum.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct VisitPair {
  Index from = 0, to = 0;  // rows of the manifest
  double years = 0;        // from `from` to `to`, negative backwards
  double age = 0;          // at `from`, in years; NaN when unknown
};

struct VisitPairOptions {
  double least_years = 0, most_years = 130;  // between the visits, in either direction
  Index per_subject = 0;                     // pairs of a subject at most; 0: all
  bool repeats = false;                      // scans of one visit are pairs of 0 years
  bool backwards = false;                    // pairs from the later to the earlier visit as well
  std::uint64_t seed = 0;                    // of the choice of per_subject

  static void visit(auto& self, auto&& v) {
    v("least_years", self.least_years);
    v("most_years", self.most_years);
    v("per_subject", self.per_subject);
    v("repeats", self.repeats);
    v("backwards", self.backwards);
    v("seed", self.seed);
  }
};

struct VisitPairs {
  std::vector<VisitPair> pairs;  // by subject, then by the times of `from` and `to`
  VisitTime time;
  Findings findings;
};

namespace detail {

/// A pair as places among the scans of a subject, which are in order of time.
struct PlacedPair {
  std::size_t from = 0, to = 0;
  double years = 0;
};

/// At most `most` pairs, spread evenly from the shortest to the longest: each is the nearest to a number of years drawn from its own part
/// of that range. Which, depends on the seed and the subject's id.
inline void thin_out(std::vector<PlacedPair>& pairs, Index most, std::uint64_t seed, const std::string& subject) {
  if (most <= 0 || std::ssize(pairs) <= most) return;
  // Step 3: splits and folds have the steps before.
  const Philox rng(seed, Purpose::split, 3, crc32_of(std::as_bytes(std::span<const char>(subject))));
  std::sort(pairs.begin(), pairs.end(), [](const PlacedPair& a, const PlacedPair& b) {
    return std::tie(a.years, a.from, a.to) < std::tie(b.years, b.from, b.to);
  });
  const double low = pairs.front().years, span = pairs.back().years - low;
  std::vector<std::pair<std::uint32_t, std::size_t>> keyed;  // equally near ones in a drawn order
  for (std::size_t i = 0; i < pairs.size(); ++i)
    keyed.emplace_back(rng.integer(static_cast<std::uint64_t>(most) + i), i);
  std::sort(keyed.begin(), keyed.end());
  std::vector<PlacedPair> chosen;
  for (Index k = 0; k < most; ++k) {
    const double wanted =
        low + span * (static_cast<double>(k) + static_cast<double>(rng.uniform(static_cast<std::uint64_t>(k)))) /
                  static_cast<double>(most);
    const auto nearest = std::min_element(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
      return std::abs(pairs[a.second].years - wanted) < std::abs(pairs[b.second].years - wanted);
    });
    chosen.push_back(pairs[nearest->second]);
    keyed.erase(nearest);
  }
  pairs = std::move(chosen);
}

/// Finds the pairs subject by subject and keeps what the findings and the error need.
class PairSearch {
 public:
  PairSearch(const Manifest& m, const VisitPairOptions& o) : m_(&m), o_(o) {}

  void add_subject(const std::string& subject, const std::vector<Index>& rows) {
    ++subjects_;
    std::vector<TimedScan> all;
    for (const Index row : rows) all.push_back({row, 0, m_->text(row, "modality").value_or("")});
    if (!has_two_of_one_modality(all)) {
      ++single_;
      return;
    }
    const TimedSubject s = timed_subject(*m_, rows);
    for (const Index row : s.untimed) untimed_.push_back(id(row));
    if (!has_two_of_one_modality(s.scans)) ++without_times_;
    ages_.add(*m_, s);
    std::vector<PlacedPair> placed = pairs_of(subject, s);
    thin_out(placed, o_.per_subject, o_.seed, subject);
    std::sort(placed.begin(), placed.end(),
              [](const PlacedPair& a, const PlacedPair& b) { return std::tie(a.from, a.to) < std::tie(b.from, b.to); });
    if (!placed.empty()) ++out_.time.subjects[static_cast<std::size_t>(s.clock)];
    for (const PlacedPair& p : placed) {
      const TimedScan &from = s.scans[p.from], &to = s.scans[p.to];
      out_.pairs.push_back({from.row, to.row, p.years, age_at(*m_, s, from)});
    }
  }

  /// Throws Error (format): two scans of one visit, or no pair at all.
  VisitPairs result() && {
    if (!doubled_.empty())
      throw Error(ErrorKind::format, "visits.doubled",
                  concat("expected one scan of a modality per visit, got ", some_of(doubled_, 3)), m_->path.string());
    if (out_.pairs.empty()) throw Error(ErrorKind::format, "visits.none", nothing_found(), m_->path.string());
    add_findings();
    return std::move(out_);
  }

 private:
  std::string id(Index row) const { return m_->scans[static_cast<std::size_t>(row)].volume_id; }
  std::string id_and_line(Index row) const {
    const std::size_t line = m_->scans[static_cast<std::size_t>(row)].line;
    return line > 0 ? concat(in_quotes(id(row)), " (line ", line, ")") : in_quotes(id(row));
  }

  std::vector<PlacedPair> pairs_of(const std::string& subject, const TimedSubject& s) {
    std::vector<PlacedPair> placed;
    for (std::size_t i = 0; i < s.scans.size(); ++i)
      for (std::size_t j = i + 1; j < s.scans.size(); ++j) {
        const TimedScan &a = s.scans[i], &b = s.scans[j];
        if (a.modality != b.modality) continue;
        double years = (b.day - a.day) / days_per_year;
        if (is_same_visit(*m_, s, a, b)) {
          if (!o_.repeats)
            doubled_.push_back(concat(id_and_line(std::min(a.row, b.row)), " and ", id_and_line(std::max(a.row, b.row)),
                                      " of subject ", in_quotes(subject),
                                      a.modality.empty() ? "" : concat(", modality ", in_quotes(a.modality))));
          years = 0;
        } else if (years == 0) {
          same_age_.push_back(concat(id(a.row), " and ", id(b.row)));
          continue;
        } else if (years < o_.least_years || years > o_.most_years) {
          ++outside_;
          shortest_ = std::min(shortest_, years);
          longest_ = std::max(longest_, years);
          continue;
        }
        placed.push_back({i, j, years});
        if (o_.backwards) placed.push_back({j, i, years == 0 ? 0 : -years});
      }
    return placed;
  }

  std::string nothing_found() const {
    std::string text = concat("expected a subject with two visits of one modality, got ", subjects_,
                              subjects_ == 1 ? " subject" : " subjects");
    if (single_ > 0) text += concat("; ", single_, single_ == 1 ? " has" : " have", " one scan per modality");
    if (without_times_ > 0)
      text += concat("; ", without_times_, without_times_ == 1 ? " has" : " have",
                     " no two scans with a session_date, with days or with an age");
    if (!same_age_.empty())
      text += concat("; ", same_age_.size(), same_age_.size() == 1 ? " pair has" : " pairs have",
                     " visits of the same age, so the years between them are unknown");
    if (outside_ > 0)
      text += concat("; ", outside_, outside_ == 1 ? " pair is " : " pairs are ", significant(shortest_, 3), " to ",
                     significant(longest_, 3), " years apart, outside ", o_.least_years, " to ", o_.most_years);
    return text;
  }

  void add_findings() {
    Findings& f = out_.findings;
    f.add(Severity::note, "visits.clock", out_.time.sentence());
    if (single_ > 0)
      f.add(Severity::note, "visits.single", single_, " of ", subjects_, subjects_ == 1 ? " subject" : " subjects",
            single_ == 1 ? " has" : " have", " one scan per modality and no pair");
    if (!untimed_.empty())
      f.add(
          Severity::warning, "visits.untimed", untimed_.size(), untimed_.size() == 1 ? " scan" : " scans",
          " of subjects with several cannot be placed in time (no session_date, days or age that the others have) and ",
          untimed_.size() == 1 ? "is" : "are", " left out: ", some_of(untimed_));
    if (!same_age_.empty())
      f.add(Severity::warning, "visits.same_age", same_age_.size(), same_age_.size() == 1 ? " pair is" : " pairs are",
            " left out, visits of the same age, so the years between them are unknown: ", some_of(same_age_, 3));
    if (outside_ > 0)
      f.add(Severity::note, "visits.range", outside_, outside_ == 1 ? " pair is" : " pairs are", " left out, outside ",
            o_.least_years, " to ", o_.most_years, " years");
    ages_.report(f);
    std::set<Index> unknown;
    for (const VisitPair& p : out_.pairs)
      if (std::isnan(p.age)) unknown.insert(p.from);
    if (!unknown.empty())
      f.add(Severity::warning, "visits.age_unknown", "the age at ", unknown.size(),
            unknown.size() == 1 ? " scan" : " scans", " is unknown: ", id(*unknown.begin()),
            unknown.size() > 1 ? " and others" : "");
  }

  const Manifest* m_;
  VisitPairOptions o_;
  VisitPairs out_;
  AgeCheck ages_;
  std::vector<std::string> doubled_, same_age_, untimed_;
  Index subjects_ = 0, single_ = 0, without_times_ = 0, outside_ = 0;
  double shortest_ = std::numeric_limits<double>::infinity(), longest_ = 0;
};

inline void check_pair_options(const VisitPairOptions& o) {
  if (!(o.least_years >= 0 && o.most_years >= o.least_years && o.most_years > 0))
    fail(ErrorKind::config, "visits.options", "pairs of visits: expected a range of years from 0 on, got ",
         o.least_years, " to ", o.most_years);
  if (o.per_subject < 0)
    fail(ErrorKind::config, "visits.options", "pairs of visits: expected at least 0 pairs per subject, got ",
         o.per_subject);
}

}  // namespace detail

/// Every ordered pair of visits, among `rows`, of a subject in one modality (scans without one are a modality of their own). Years are days /
/// 365.25, the time of the day does not count. With `repeats`, scans of one session or day are pairs of 0 years, whatever
/// least_years is. Throws Error: format (a date that cannot be read; two scans of one visit without `repeats`; no pair), config (options),
/// argument (a row that does not exist, or comes twice).
inline VisitPairs visit_pairs(const Manifest& m, std::span<const Index> rows, const VisitPairOptions& o = {}) {
  detail::check_pair_options(o);
  std::map<std::string, std::vector<Index>> subjects;
  std::vector<bool> seen(m.scans.size());
  for (const Index row : rows) {
    if (row < 0 || row >= m.size() || seen[static_cast<std::size_t>(row)])
      fail(ErrorKind::argument, "visits.row", "pairs of visits: expected different rows of ", m.size(), ", got row ",
           row);
    seen[static_cast<std::size_t>(row)] = true;
    subjects[m.scans[static_cast<std::size_t>(row)].subject_id].push_back(row);
  }
  if (!m.find_field("session_date") && !m.find_field("days") && !m.find_field("age"))
    throw Error(ErrorKind::format, "visits.columns",
                "expected a column session_date, days or age that places visits in time, got none", m.path.string());
  detail::PairSearch search(m, o);
  for (const auto& [subject, own] : subjects) search.add_subject(subject, own);
  return std::move(search).result();
}

/// A hash of scans, years and ages of pairs: another one shows that a table was changed.
inline std::string hash_of_pairs(const Manifest& m, std::span<const VisitPair> pairs) {
  Crc32 crc;
  for (const VisitPair& p : pairs) {
    const std::string line = concat(m.scans.at(static_cast<std::size_t>(p.from)).volume_id, '\n',
                                    m.scans.at(static_cast<std::size_t>(p.to)).volume_id, '\n', number_text(p.years),
                                    '\n', number_text(p.age), '\n');
    crc.update(std::as_bytes(std::span<const char>(line.data(), line.size())));
  }
  return crc.hex();
}

}  // namespace braing3n::inline BRAING3N_ABI
