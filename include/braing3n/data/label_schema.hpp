// What the label columns of a manifest may hold: types, spellings, known values, ranges.
//
// A closed field accepts its known values only (sex, IDH1). An open one accepts anything, but values outside its list are
// pointed out, because a misspelt diagnosis is otherwise a class of its own. Spelling: case does not count for known values,
// and common alternatives are written in the standard form ("female" -> F, "T1w" -> T1).
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class LabelKind { categorical, continuous };

struct LabelField {
  std::string name;
  LabelKind kind = LabelKind::categorical;
  std::vector<std::string> values{};               // known values; empty: any
  std::map<std::string, std::string> spellings{};  // lower case -> standard form
  bool closed = false;                             // other values are errors
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();

  std::string known_values() const { return joined(values); }
};

struct LabelSchema {
  std::vector<LabelField> fields;

  const LabelField* find(std::string_view name) const {
    for (const LabelField& f : fields)
      if (f.name == name) return &f;
    return nullptr;
  }

  /// The columns of volumes.csv.
  static LabelSchema standard() {
    LabelSchema s;
    s.fields = {
        {.name = "modality",
         .values = {"T1", "T2", "FLAIR", "T1c"},
         .spellings = {{"t1w", "T1"},
                       {"t2w", "T2"},
                       {"flairw", "FLAIR"},
                       {"t2flair", "FLAIR"},
                       {"t2-flair", "FLAIR"},
                       {"t1ce", "T1c"},
                       {"t1gd", "T1c"},
                       {"t1post", "T1c"}}},
        {.name = "age", .kind = LabelKind::continuous, .low = 0, .high = 130},
        {.name = "sex",
         .values = {"F", "M"},
         .spellings = {{"female", "F"}, {"male", "M"}, {"woman", "F"}, {"man", "M"}},
         .closed = true},
        {.name = "disease", .values = {"HC", "MCI", "AD", "PD", "GBM", "glioma", "ASD", "ADHD", "SCZ"}},
        {.name = "site"},
        {.name = "idh1",
         .values = {"wildtype", "mutant"},
         .spellings = {{"wt", "wildtype"},
                       {"wild-type", "wildtype"},
                       {"wild type", "wildtype"},
                       {"mut", "mutant"},
                       {"mutated", "mutant"},
                       {"idh1-mutant", "mutant"},
                       {"idh-wildtype", "wildtype"}},
         .closed = true},
        {.name = "cohort"},
        {.name = "cdr", .kind = LabelKind::continuous, .low = 0, .high = 3},
        {.name = "days", .kind = LabelKind::continuous, .low = -40000, .high = 40000},
    };
    return s;
  }
};

namespace detail {
inline std::string lower_case(std::string_view text) {
  std::string s(text);
  for (char& c : s)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return s;
}
}  // namespace detail

/// The standard spelling of a value; the value itself when it is none of the known ones.
inline std::string standard_spelling(const LabelField& field, std::string_view value) {
  const std::string lower = detail::lower_case(value);
  for (const std::string& known : field.values)
    if (detail::lower_case(known) == lower) return known;
  const auto found = field.spellings.find(lower);
  return found != field.spellings.end() ? found->second : std::string(value);
}

inline bool is_known(const LabelField& field, const std::string& value) {
  return field.values.empty() || std::find(field.values.begin(), field.values.end(), value) != field.values.end();
}

}  // namespace braing3n::inline BRAING3N_ABI
