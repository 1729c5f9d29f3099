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
#include "braing3n/base/vocabulary.hpp"
#include "braing3n/format/text.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class LabelKind { categorical, continuous };

struct LabelField {
  std::string name;
  LabelKind kind = LabelKind::categorical;
  std::vector<std::string> values{};               // known values; empty: any
  std::map<std::string, std::string> spellings{};  // lower case -> standard form
  bool closed = false;                             // other values are errors
  bool date = false;                               // a day, its text in the form 2011-03-05 (format/date.hpp)
  double low = -std::numeric_limits<double>::infinity(), high = std::numeric_limits<double>::infinity();

  std::string known_values() const { return joined(values); }
};

namespace detail {

/// A field whose values are the names of an enum of base/vocabulary.hpp.
template <class E>
LabelField vocabulary_field(const char* name, bool closed = false) {
  LabelField field{.name = name, .values = enum_names<E>(), .closed = closed};
  if constexpr (requires { EnumText<E>::aliases; })
    for (const EnumAlias& alias : EnumText<E>::aliases)
      field.spellings.emplace(alias.text, EnumText<E>::names[alias.index]);
  return field;
}

}  // namespace detail

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
        detail::vocabulary_field<Modality>("modality"),
        {.name = "age", .kind = LabelKind::continuous, .low = 0, .high = 130},
        detail::vocabulary_field<Sex>("sex", true),
        detail::vocabulary_field<Disease>("disease"),
        {.name = "site"},
        detail::vocabulary_field<Idh1>("idh1", true),
        {.name = "cohort"},
        {.name = "cdr", .kind = LabelKind::continuous, .low = 0, .high = 3},
        {.name = "days", .kind = LabelKind::continuous, .low = -40000, .high = 40000},
        {.name = "session_date", .date = true},
    };
    return s;
  }
};

/// The standard spelling of a value; the value itself when it is none of the known ones.
inline std::string standard_spelling(const LabelField& field, std::string_view value) {
  const std::string lower = lower_case(value);
  for (const std::string& known : field.values)
    if (lower_case(known) == lower) return known;
  const auto found = field.spellings.find(lower);
  return found != field.spellings.end() ? found->second : std::string(value);
}

inline bool is_known(const LabelField& field, const std::string& value) {
  return field.values.empty() || std::find(field.values.begin(), field.values.end(), value) != field.values.end();
}

}  // namespace braing3n::inline BRAING3N_ABI
