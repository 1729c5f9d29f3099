// Training, validation and test sets of subjects.
//
// A subject is in one set with all its scans. Which one depends on the seed and on the sorted list of subject ids only:
// not on the order of rows, the platform or the number of threads. With strata (one label per subject) every set gets its
// share of every stratum, to the nearest subject.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/data/manifest.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Subject -> name of its set.
using Split = std::map<std::string, std::string>;

struct SplitPart {
  std::string name;
  double share = 0;
};

/// subjects: each once, with its stratum ("" for all: no stratification). Shares must sum to 1. Throws Error (argument).
inline Split split_subjects(const std::map<std::string, std::string>& subjects, const std::vector<SplitPart>& parts,
                            std::uint64_t seed) {
  double sum = 0;
  for (const SplitPart& p : parts) {
    if (!(p.share > 0 && p.share <= 1) || p.name.empty())
      fail(ErrorKind::argument, "split.share", "split: set ", in_quotes(p.name), " with a share of ", p.share,
           ", expected a name and a share between 0 and 1");
    sum += p.share;
  }
  if (parts.empty() || std::abs(sum - 1) > 1e-9)
    fail(ErrorKind::argument, "split.share", "split: the shares sum to ", sum, ", expected 1");
  if (subjects.size() < parts.size())
    fail(ErrorKind::argument, "split.few", "split: expected at least as many subjects as sets, got ", subjects.size(),
         " subjects and ", parts.size(), " sets");

  struct Drawn {
    std::uint32_t key = 0;
    std::string subject;
  };
  std::map<std::string, std::vector<Drawn>> strata;
  std::uint32_t index = 0;
  for (const auto& [subject, stratum] : subjects)
    strata[stratum].push_back({Philox(seed, Purpose::split, 0, index++).integer(0), subject});

  // Going through the strata one after the other, each subject goes to the set that is furthest behind its share so far: no
  // set is ever more than one subject away from it, in no stratum by more than about one.
  Split split;
  std::vector<double> given(parts.size(), 0);
  double all = 0;
  for (auto& [stratum, drawn] : strata) {
    std::sort(drawn.begin(), drawn.end(),
              [](const Drawn& a, const Drawn& b) { return a.key != b.key ? a.key < b.key : a.subject < b.subject; });
    for (const Drawn& d : drawn) {
      all += 1;
      std::size_t best = 0;
      for (std::size_t p = 1; p < parts.size(); ++p)
        if (parts[p].share * all - given[p] > parts[best].share * all - given[best] + 1e-9) best = p;
      given[best] += 1;
      split[d.subject] = parts[best].name;
    }
  }
  for (std::size_t p = 0; p < parts.size(); ++p)
    if (given[p] == 0)
      fail(ErrorKind::argument, "split.few", "split: the set ", in_quotes(parts[p].name), " of ", subjects.size(),
           " subjects would be empty");
  return split;
}

/// Of a manifest, stratified by the first value of a label per subject when `label` is given.
inline Split split_subjects(const Manifest& manifest, const std::vector<SplitPart>& parts, std::uint64_t seed,
                            const std::string& label = {}) {
  std::map<std::string, std::string> subjects;
  for (Index i = 0; i < manifest.size(); ++i) {
    const ScanRow& s = manifest.scans[static_cast<std::size_t>(i)];
    std::string stratum;
    if (!label.empty()) {
      const Label& l = manifest.label(i, label);
      if (!l.fault.empty()) throw Error(ErrorKind::format, "split.label", l.fault, manifest.path.string());
      stratum = l.text ? *l.text : l.number ? concat(std::floor(*l.number / 10)) : "";  // numbers by tens
    }
    std::string& kept = subjects.emplace(s.subject_id, stratum).first->second;
    if (kept.empty()) kept = stratum;
  }
  return split_subjects(subjects, parts, seed);
}

inline void write_split(const std::filesystem::path& path, const Split& split, const WriteOptions& options = {}) {
  CsvWriter out(path, {"subject_id", "split"}, options);
  for (const auto& [subject, part] : split) out.row(subject, part);
  out.finish();
}

/// Throws Error (format) when a subject stands in two sets.
inline Split read_split(const std::filesystem::path& path) {
  const CsvTable table(path);
  const auto named = find_subject_column(table), set = find_named_column(table, "split");
  const std::size_t subject = named ? *named : table.column("subject_id"), part = set ? *set : table.column("split");
  Split split;
  for (std::size_t r = 0; r < table.rows(); ++r) {
    const std::string s(detail::trimmed(table.cell(r, subject))), p(detail::trimmed(table.cell(r, part)));
    if (is_missing(s) || is_missing(p))
      throw Error(ErrorKind::format, "split.missing", concat("line ", table.line(r), ": subject or split is missing"),
                  table.path());
    const auto [place, fresh] = split.emplace(s, p);
    if (!fresh && place->second != p)
      throw Error(ErrorKind::format, "split.twice",
                  concat("line ", table.line(r), ": subject ", in_quotes(s), " is in ", in_quotes(place->second),
                         " and in ", in_quotes(p)),
                  table.path());
  }
  if (split.empty()) throw Error(ErrorKind::format, "split.empty", "the split has no subjects", table.path());
  return split;
}

/// The rows of a set. Throws Error (format) when a subject of the manifest has no set, or the set has no row.
inline std::vector<Index> rows_of(const Manifest& manifest, const Split& split, const std::string& part) {
  std::vector<Index> rows;
  for (Index i = 0; i < manifest.size(); ++i) {
    const std::string& subject = manifest.scans[static_cast<std::size_t>(i)].subject_id;
    const auto found = split.find(subject);
    if (found == split.end())
      fail(ErrorKind::format, "split.unknown", "split: subject ", in_quotes(subject), " of the manifest is in no set");
    if (found->second == part) rows.push_back(i);
  }
  if (rows.empty()) {
    std::set<std::string> sets;
    for (const auto& [subject, set] : split) sets.insert(set);
    fail(ErrorKind::format, "split.empty", "split: no scan is in the set ", in_quotes(part), "; the sets are ",
         detail::some_of({sets.begin(), sets.end()}));
  }
  return rows;
}

}  // namespace braing3n::inline BRAING3N_ABI
