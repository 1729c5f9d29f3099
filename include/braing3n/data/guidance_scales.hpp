// Guidance with a scale per condition, as text and for the conditions of a sample.
#pragma once

#include <string>
#include <vector>

#include "braing3n/data/condition_labels.hpp"
#include "braing3n/sample/guided_velocity.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// A scale or a time as text. Throws Error (argument).
inline double parse_guidance_number(const std::string& source, const std::string& text) {
  const auto value = detail::parse_label_number(text);
  if (!value)
    fail(ErrorKind::argument, "guidance.scale", source, ' ', in_quotes(text, 60), ": expected a finite number");
  return *value;
}

/// NAME=SCALE,..., or nothing; `source` names the text in errors. Throws Error (argument): a name that the model does not have, anything but
/// one number each.
inline std::vector<ConditionScale> parse_scales(const std::string& source, const std::string& text,
                                                const std::vector<ConditionField>& fields) {
  std::vector<ConditionScale> scales;
  if (text.empty()) return scales;
  for (const Assignment& a : parse_assignments(text)) {
    if (a.values.size() != 1)
      fail(ErrorKind::argument, "guidance.scale", source, ": ", a.name, " has ", a.values.size(),
           " scales, expected one");
    const double scale = parse_guidance_number(concat(source, ' ', a.name), a.values[0]);
    scales.push_back({fields[find_condition(fields, a.name)].name, scale});
  }
  Guidance{.composed = scales}.validate(fields);
  return scales;
}

/// How samples under the conditions of `row` are guided: jointly with `scale`; where a condition that is shown has a scale of its own, each with
/// its own.
inline Guidance guidance_of(const std::vector<ConditionField>& fields, const ConditionRow& row, double scale,
                            const std::vector<ConditionScale>& own) {
  std::vector<ConditionScale> shown;
  bool has_own = false;
  for (std::size_t f = 0; f < fields.size(); ++f) {
    if (fields[f].required || row[f].missing()) continue;
    shown.push_back({fields[f].name, scale});
    for (const ConditionScale& o : own)
      if (o.condition == fields[f].name) shown.back().scale = o.scale, has_own = true;
  }
  if (!has_own) return {.scale = scale};
  if (shown.size() == 1)
    return {.scale = shown[0].scale};  // the same velocity, and one evaluation where the scale is 1
  return {.composed = shown};
}

}  // namespace braing3n::inline BRAING3N_ABI
