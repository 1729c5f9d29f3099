// How programs that sample go from noise to data.
#pragma once

#include <string>
#include <vector>

#include "braing3n/data/condition_labels.hpp"
#include "braing3n/sample/generate.hpp"
#include "examples/support/program.hpp"

namespace braing3n::examples {

struct SamplerArguments {
  Index steps = 50;
  double shift = 1;
  std::string sampler = "euler";

  void add_to(CLI::App& app) {
    app.add_option("--steps", steps, "steps from noise to data");
    app.add_option("--shift", shift, "of the steps: above 1 they are shorter near the noise");
    app.add_option("--sampler", sampler, "euler, or heun with two evaluations a step")
        ->check(CLI::IsMember({"euler", "heun"}));
  }
  /// Without guidance. Throws Error (argument) unless there are 1 to 100,000 steps.
  SamplingOptions options() const {
    if (steps < 1 || steps > 100000)
      fail(ErrorKind::argument, "sample.steps", "--steps ", steps, ": expected 1 to 100000");
    SamplingOptions o;
    o.sampler = sampler == "heun" ? Sampler::heun : Sampler::euler;
    o.steps = static_cast<int>(steps);
    o.shift = shift;
    (void)TimeGrid(o.steps, o.shift);  // says what is wrong with it before anything is loaded
    return o;
  }
};

/// NAME=SCALE,..., or nothing. Throws Error (argument): a name that the model does not have, anything but one number each.
inline std::vector<ConditionScale> parse_scales(const std::string& option, const std::string& text,
                                                const std::vector<ConditionField>& fields) {
  std::vector<ConditionScale> scales;
  if (text.empty()) return scales;
  for (const Assignment& a : parse_assignments(text)) {
    if (a.values.size() != 1)
      fail(ErrorKind::argument, "guidance.scale", option, ": ", a.name, " has ", a.values.size(),
           " scales, expected one");
    const auto value = braing3n::detail::parse_label_number(a.values[0]);
    if (!value)
      fail(ErrorKind::argument, "guidance.scale", option, ' ', a.name, ' ', in_quotes(a.values[0], 60),
           ": expected a finite number");
    scales.push_back({fields[find_condition(fields, a.name)].name, *value});
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

}  // namespace braing3n::examples
