// Several feature files side by side: one table with the columns of all, joined by identifiers.
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "braing3n/table/id_hints.hpp"
#include "braing3n/table/read_features.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct JoinOptions {
  bool by_order = false;  // parts without identifiers: row i with row i
  bool keep_equal =
      false;  // a column that an earlier part has, name and values, stays under another name instead of being left out
};

/// "a.csv+b.csv" as its parts, unless a file has this very name.
inline std::vector<std::string> feature_parts(const std::string& text) {
  std::error_code ignored;
  std::vector<std::string> out;
  if (std::filesystem::exists(text, ignored)) return {text};
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('+', at), text.size());
    if (end > at) out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

/// The name that a column has in the file it came from: "eTIV (2)" -> "eTIV".
inline std::string original_column_name(const std::string& name) {
  const std::size_t open = name.rfind(" (");
  if (open == std::string::npos || open + 3 > name.size() || name.back() != ')') return name;
  const std::string_view inside = std::string_view(name).substr(open + 2, name.size() - open - 3);
  return !inside.empty() && inside.find_first_not_of("0123456789") == std::string_view::npos ? name.substr(0, open)
                                                                                             : name;
}

namespace detail {

/// Row of the part for every row of the first table (-1: none).
inline std::vector<Index> rows_of_part(const FeatureTable& first, const FeatureTable& part,
                                       const JoinOptions& options) {
  std::vector<Index> out(static_cast<std::size_t>(first.rows()), -1);
  if (first.ids.empty() || part.ids.empty()) {
    const FeatureTable& nameless = first.ids.empty() ? first : part;
    if (!options.by_order)
      throw Error(ErrorKind::format, "pair.order",
                  "the features have no identifiers, so they cannot be joined with those of another file",
                  nameless.path);
    if (first.rows() != part.rows())
      throw Error(ErrorKind::shape, "pair.rows", concat(part.rows(), " rows, but ", first.rows(), " in ", first.path),
                  part.path);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Index>(i);
    return out;
  }
  if (const auto twice = duplicate_id(first)) throw *twice;
  const std::set<std::string_view> known(first.ids.begin(), first.ids.end());
  const std::vector<std::string>* best = nullptr;
  std::size_t most = 0;
  const auto consider = [&](const std::vector<std::string>& ids) {
    std::size_t n = 0;
    for (const std::string& id : ids) n += known.contains(id);
    if (n > most) {
      most = n;
      best = &ids;
    }
  };
  consider(part.ids);
  for (const IdentifierColumn& other : part.other_ids) consider(other.values);
  if (best == nullptr)
    throw Error(ErrorKind::format, "join.none",
                concat("no identifier is in ", first.path, " too (the first is ", in_quotes(part.ids[0], 60), ')',
                       identifier_hint(part.ids, first.ids)),
                part.path);
  if (const auto twice = duplicate_id(*best, part.path)) throw *twice;
  std::unordered_map<std::string_view, Index> place;
  for (std::size_t i = 0; i < best->size(); ++i) place.emplace((*best)[i], static_cast<Index>(i));
  for (std::size_t i = 0; i < out.size(); ++i)
    if (const auto found = place.find(first.ids[i]); found != place.end()) out[i] = found->second;
  return out;
}

inline std::string free_name(const std::string& name, const std::set<std::string>& taken) {
  for (int k = 2;; ++k)
    if (std::string fresh = concat(name, " (", k, ')'); !taken.contains(fresh)) return fresh;
}

}  // namespace detail

/// The rows that every part has, in the order of the first. A column of a name that is there already is left out when its values are
/// equal (FreeSurfer writes eTIV into every table), else it is called "name (2)". Rows that a part lacks are named in the notes.
/// Throws Error: parts without identifiers, identifiers that repeat or of which no other part has any.
inline FeatureTable join_features(std::span<const FeatureTable> parts, const JoinOptions& options = {}) {
  if (parts.empty()) fail(ErrorKind::argument, "join.parts", "features: expected at least one table to join, got none");
  FeatureTable out = parts[0];
  if (parts.size() == 1) return out;
  std::vector<std::vector<Index>> rows;
  std::vector<Index> kept;
  std::string contracts;
  for (const FeatureTable& part : parts) {
    rows.push_back(detail::rows_of_part(parts[0], part, options));
    contracts += part.contract_hash + '\n';
    if (&part != &parts[0]) {
      out.path += "+" + part.path;
      out.notes.insert(out.notes.end(), part.notes.begin(), part.notes.end());
      out.encoder_people.insert(out.encoder_people.end(), part.encoder_people.begin(), part.encoder_people.end());
    }
  }
  std::vector<std::string> lost;
  for (Index i = 0; i < parts[0].rows(); ++i) {
    bool all = true;
    for (const auto& of_part : rows) all = all && of_part[static_cast<std::size_t>(i)] >= 0;
    if (all) kept.push_back(i);
    else lost.push_back(in_quotes(parts[0].ids[static_cast<std::size_t>(i)], 60));
  }
  if (!lost.empty())
    out.notes.push_back(concat(out.path, ": ", lost.size(),
                               " rows of the first file are not in all of them and are left out: ", lost[0],
                               lost.size() > 1 ? ", ..." : ""));
  struct Source {
    std::size_t part;
    Index column;
  };
  std::vector<Source> sources;
  std::set<std::string> taken;
  out.column_names.clear();
  const auto value = [&](const Source& s, Index i) {
    const Index row = rows[s.part][static_cast<std::size_t>(i)];
    const FeatureTable& t = parts[s.part];
    return static_cast<double>(t.values(row, s.column)) +
           (t.offset.empty() ? 0.0 : t.offset[static_cast<std::size_t>(s.column)]);
  };
  for (std::size_t p = 0; p < parts.size(); ++p)
    for (Index j = 0; j < parts[p].columns(); ++j) {
      const Source source{p, j};
      std::string name = parts[p].column_names.empty()
                             ? concat(std::filesystem::path(parts[p].path).stem().string(), ':', j)
                             : parts[p].column_names[static_cast<std::size_t>(j)];
      if (taken.contains(name)) {
        const auto at = static_cast<std::size_t>(std::find(out.column_names.begin(), out.column_names.end(), name) -
                                                 out.column_names.begin());
        const bool equal = std::all_of(kept.begin(), kept.end(), [&](Index i) {
          const double a = value(sources[at], i), b = value(source, i);
          return a == b || (std::isnan(a) && std::isnan(b));
        });
        if (equal && !options.keep_equal) continue;
        name = detail::free_name(name, taken);
      }
      taken.insert(name);
      out.column_names.push_back(name);
      sources.push_back(source);
    }
  set_size(out.values, static_cast<Index>(kept.size()), static_cast<Index>(sources.size()));
  std::vector<double> wide;
  wide.reserve(kept.size() * sources.size());
  for (const Index i : kept)
    for (const Source& s : sources) wide.push_back(value(s, i));
  const auto keep = [&](std::vector<std::string>& items) {
    if (items.empty()) return;
    std::vector<std::string> chosen;
    for (const Index i : kept) chosen.push_back(items[static_cast<std::size_t>(i)]);
    items = std::move(chosen);
  };
  keep(out.ids);
  keep(out.sessions);
  for (IdentifierColumn& other : out.other_ids) keep(other.values);
  detail::set_values(out, wide);
  out.set_contract({});
  if (contracts.find_first_not_of('\n') != std::string::npos) out.contract_hash = sha256_hex(contracts);
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
