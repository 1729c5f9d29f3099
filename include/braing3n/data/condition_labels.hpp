// Conditions from tables and from what a user types.
//
//   age=70,sex=F,disease=AD        names and values; values are spelled as the label schema allows ("female" is F, "t1w" is T1)
// A missing label is the field's null. A value that the field does not know is an error that lists the known ones, in a table as on a
// command line: a misspelt diagnosis must not become "unknown".
#pragma once

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "braing3n/base/text.hpp"
#include "braing3n/data/manifest.hpp"
#include "braing3n/format/json.hpp"
#include "braing3n/models/conditions.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

inline std::string condition_names(const std::vector<ConditionField>& fields) {
  const std::string names = joined(fields, ", ", [](const ConditionField& f) { return f.name; });
  return names.empty() ? "none" : names;
}
inline std::string condition_choices(const ConditionField& field) {
  if (field.kind == ConditionKind::continuous) return concat("a number from ", field.minimum, " to ", field.maximum);
  return joined(field.values);
}

}  // namespace detail

/// Throws Error (argument) that lists the conditions there are.
inline std::size_t find_condition(const std::vector<ConditionField>& fields, std::string_view name) {
  for (std::size_t f = 0; f < fields.size(); ++f)
    if (fields[f].name == name) return f;
  fail(ErrorKind::argument, "condition.name", "expected one of the conditions ", detail::condition_names(fields),
       ", got ", in_quotes(name));
}

/// A value in the field's unit. Throws Error (argument) outside the range, and for NaN.
inline ConditionValue condition_number(const ConditionField& field, double value) {
  if (!(value >= field.minimum && value <= field.maximum))
    fail(ErrorKind::argument, "condition.range", "condition ", field.name, " is ", value, ", expected ",
         detail::condition_choices(field));
  return {.number = value};
}

/// From text; "", "n/a" and "null" are the null. Throws Error (argument).
inline ConditionValue condition_value(const ConditionField& field, std::string_view text) {
  text = detail::trimmed(text);
  if (is_missing_label(text) && !detail::equal_ignoring_case(text, "nan")) return {};  // a typed nan is a mistake
  if (field.kind == ConditionKind::continuous) {
    const auto number = detail::parse_label_number(text);
    if (!number)
      fail(ErrorKind::argument, "condition.number", "condition ", field.name, " is ", in_quotes(text, 60),
           ", expected ", detail::condition_choices(field));
    return condition_number(field, *number);
  }
  LabelField spelling{.name = field.name};
  const LabelSchema schema = LabelSchema::standard();
  if (const LabelField* known = schema.find(field.name)) spelling.spellings = known->spellings;
  spelling.values = field.values;
  const auto found = std::find(field.values.begin(), field.values.end(), text);  // exactly, before any other spelling
  const std::string standard = found != field.values.end() ? *found : standard_spelling(spelling, text);
  for (std::size_t i = 0; i < field.values.size(); ++i)
    if (field.values[i] == standard) return {.label = static_cast<std::int32_t>(i)};
  fail(ErrorKind::argument, "condition.value", "condition ", field.name, ": expected one of ",
       detail::condition_choices(field), ", got ", in_quotes(text, 60));
}

/// Throws Error (argument) for a required field without a value.
inline void require_conditions(const std::vector<ConditionField>& fields, const ConditionRow& row) {
  for (std::size_t f = 0; f < fields.size(); ++f)
    if (fields[f].required && row[f].missing())
      fail(ErrorKind::argument, "condition.required", "condition ", fields[f].name, ": expected ",
           fields[f].kind == ConditionKind::categorical ? "one of " : "", detail::condition_choices(fields[f]),
           ", got none");
}

struct Assignment {
  std::string name;
  std::vector<std::string> values;
};

/// "age=30,50,sex=F" -> age: 30, 50; sex: F. Throws Error (argument) for text without a name, without a value or a name twice.
inline std::vector<Assignment> parse_assignments(std::string_view text) {
  std::vector<Assignment> all;
  if (detail::trimmed(text).empty()) return all;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string_view piece = detail::trimmed(text.substr(at, comma - at));
    at = comma + 1;
    const std::size_t equals = piece.find('=');
    if (equals == std::string_view::npos) {
      if (all.empty() || piece.empty())
        fail(ErrorKind::argument, "condition.syntax", "expected name=value, got ", in_quotes(piece, 60));
      all.back().values.emplace_back(piece);
      continue;
    }
    const std::string name(detail::trimmed(piece.substr(0, equals))), value(detail::trimmed(piece.substr(equals + 1)));
    if (name.empty() || value.empty())
      fail(ErrorKind::argument, "condition.syntax", "expected name=value, got ", in_quotes(piece, 60));
    for (const Assignment& a : all)
      if (a.name == name) fail(ErrorKind::argument, "condition.twice", name, " is given twice");
    all.push_back({name, {value}});
  }
  return all;
}

/// "age=70,sex=F" with one value each; what is not named is null. Required fields are not asked for here. Throws Error (argument).
inline ConditionRow parse_conditions(const std::vector<ConditionField>& fields, std::string_view text) {
  ConditionRow row(fields.size());
  for (const Assignment& a : parse_assignments(text)) {
    const std::size_t f = find_condition(fields, a.name);
    if (a.values.size() != 1)
      fail(ErrorKind::argument, "condition.syntax", "condition ", a.name, " has ", a.values.size(),
           " values, expected one");
    row[f] = condition_value(fields[f], a.values[0]);
  }
  return row;
}

/// The value as text; empty for the null.
inline std::string condition_text(const ConditionField& field, const ConditionValue& value) {
  if (value.missing()) return {};
  return field.kind == ConditionKind::categorical ? field.values.at(static_cast<std::size_t>(value.label))
                                                  : number_text(value.number);
}

/// "age=70, sex=F" of what is known; "no conditions".
inline std::string describe_conditions(const std::vector<ConditionField>& fields, const ConditionRow& row) {
  std::vector<std::string> known;
  for (std::size_t f = 0; f < fields.size(); ++f)
    if (!row[f].missing()) known.push_back(concat(fields[f].name, "=", condition_text(fields[f], row[f])));
  return known.empty() ? "no conditions" : joined(known);
}

/// {"age": 70, "sex": "F"} of what is known, and back.
inline Json conditions_json(const std::vector<ConditionField>& fields, const ConditionRow& row) {
  Json all = Json::object();
  for (std::size_t f = 0; f < fields.size(); ++f)
    if (!row[f].missing())
      all[fields[f].name] =
          fields[f].kind == ConditionKind::categorical ? Json(condition_text(fields[f], row[f])) : Json(row[f].number);
  return all;
}
inline ConditionRow conditions_from_json(const std::vector<ConditionField>& fields, const Json& json) {
  ConditionRow row(fields.size());
  for (const auto& [name, value] : json.items()) {
    const std::size_t f = find_condition(fields, name);
    row[f] = value.is_number() && fields[f].kind == ConditionKind::continuous
                 ? condition_number(fields[f], value.get<double>())
                 : condition_value(fields[f], value.is_string() ? value.get<std::string>() : value.dump());
  }
  return row;
}

/// Categorical fields without values take those that stand in the given scans, sorted; fields that then have none are removed, and
/// named in the result.
inline std::vector<std::string> complete_conditions(std::vector<ConditionField>& fields, const Manifest& manifest,
                                                    const std::vector<Index>& scans) {
  std::vector<std::string> removed;
  std::erase_if(fields, [&](ConditionField& field) {
    if (field.kind != ConditionKind::categorical || !field.values.empty()) return false;
    std::set<std::string> seen;
    if (const auto column = manifest.find_field(field.name))
      for (const Index s : scans) {
        const Label& l = manifest.scans.at(static_cast<std::size_t>(s)).labels[*column];
        if (l.text) seen.insert(*l.text);
        else if (l.number) seen.insert(number_text(*l.number));
      }
    field.values.assign(seen.begin(), seen.end());
    if (seen.empty()) removed.push_back(field.name);
    return seen.empty();
  });
  return removed;
}

/// What becomes of a condition of which no scan has a value.
enum class AbsentConditions { refuse, remove };

/// Conditions of which none of the given scans has a value: a model would have them and know nothing about them. Removed, and named in
/// the result, or refused. Required ones are always refused. Throws Error (config) naming the condition and the columns there are.
inline std::vector<std::string> absent_conditions(std::vector<ConditionField>& fields, const Manifest& manifest,
                                                  const std::vector<Index>& scans, AbsentConditions what) {
  std::vector<std::string> removed;
  std::erase_if(fields, [&](const ConditionField& field) {
    const auto column = manifest.find_field(field.name);
    const auto has_value = [&](Index s) {
      const Label& l = manifest.scans.at(static_cast<std::size_t>(s)).labels[*column];
      return l.text || l.number;
    };
    if (column && std::any_of(scans.begin(), scans.end(), has_value)) return false;
    if (what == AbsentConditions::remove && !field.required) {
      removed.push_back(field.name);
      return true;
    }
    std::string names;
    for (const LabelField& f : manifest.fields) names += (names.empty() ? "" : ", ") + f.name;
    throw Error(ErrorKind::config, "condition.absent",
                concat("condition ", field.name, ": expected labels, got ",
                       column ? concat("no value in any of the ", scans.size(), " training scans") : "no such column",
                       "; columns with labels: ", names.empty() ? "none" : names),
                manifest.path.string());
  });
  return removed;
}

/// Classes that no given row has: "site=OASIS-1". What a model makes under them was not learnt.
inline std::vector<std::string> absent_values(const std::vector<ConditionField>& fields,
                                              const std::vector<ConditionRow>& rows, const std::vector<Index>& scans) {
  std::vector<std::string> absent;
  for (std::size_t f = 0; f < fields.size(); ++f)
    for (std::size_t v = 0; v < fields[f].values.size(); ++v)
      if (std::none_of(scans.begin(), scans.end(), [&](Index s) {
            return rows.at(static_cast<std::size_t>(s))[f].label == static_cast<std::int32_t>(v);
          }))
        absent.push_back(concat(fields[f].name, "=", fields[f].values[v]));
  return absent;
}

/// The conditions of some scans of a table. Throws Error (format) that names the scan: an unknown value, a required one that is
/// missing, a number out of range.
inline std::vector<ConditionRow> condition_rows(const std::vector<ConditionField>& fields, const Manifest& manifest,
                                                const std::vector<Index>& scans) {
  std::vector<std::optional<std::size_t>> columns;
  for (const ConditionField& f : fields) columns.push_back(manifest.find_field(f.name));
  std::vector<ConditionRow> rows;
  for (const Index s : scans) {
    const ScanRow& scan = manifest.scans.at(static_cast<std::size_t>(s));
    ConditionRow row(fields.size());
    try {
      for (std::size_t f = 0; f < fields.size(); ++f) {
        if (!columns[f]) continue;
        const Label& l = scan.labels[*columns[f]];
        // A value that the table's schema does not know may be one of this condition's.
        if (!l.fault.empty() &&
            std::find(fields[f].values.begin(), fields[f].values.end(), l.cell) == fields[f].values.end())
          fail(ErrorKind::format, "condition.value", l.fault,
               "; leave the cell empty where it is not known (condition ", fields[f].name, ')');
        if (!l.fault.empty()) row[f] = condition_value(fields[f], l.cell);
        else if (l.number && fields[f].kind == ConditionKind::continuous)
          row[f] = condition_number(fields[f], *l.number);
        else if (l.number) row[f] = condition_value(fields[f], number_text(*l.number));
        else if (l.text) row[f] = condition_value(fields[f], *l.text);
      }
      require_conditions(fields, row);
    } catch (const Error& e) {
      throw Error(ErrorKind::format, e.id(), concat("scan ", scan.volume_id, ": ", e.text()), manifest.path.string());
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

/// absent_conditions() of the training scans, then complete_conditions() of all that are used: the names of what was removed.
inline std::vector<std::string> fit_conditions(std::vector<ConditionField>& fields, const Manifest& manifest,
                                               const std::vector<Index>& training, const std::vector<Index>& used,
                                               AbsentConditions what) {
  std::vector<std::string> removed = absent_conditions(fields, manifest, training, what);
  for (std::string& name : complete_conditions(fields, manifest, used)) removed.push_back(std::move(name));
  return removed;
}

}  // namespace braing3n::inline BRAING3N_ABI
