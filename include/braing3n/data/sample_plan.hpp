// Which samples of a conditional model are made: one set of conditions, or one condition that varies over the same noise.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "braing3n/data/sample_record.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// One volume to make.
struct PlannedSample {
  std::uint32_t id = 0;       // its noise belongs to (seed, id)
  ConditionRow row;           // in the order of the model's conditions
  std::string name, caption;  // of the file, without an ending; of its picture
};

struct SamplePlan {
  std::vector<PlannedSample> samples;  // the variants of one id stand together
  std::size_t variants = 1;            // values of the condition that varies
};

namespace detail {

/// Letters, digits, '.' and '-' stay, everything else becomes '_'.
inline std::string plain_file_part(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    const bool kept =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-';
    plain += kept ? c : '_';
  }
  return plain;
}

/// The text of each variant ("age=30") with its conditions; one without text when nothing varies.
inline std::vector<std::pair<std::string, ConditionRow>> sample_variants(const std::vector<ConditionField>& fields,
                                                                         const std::string& conditions,
                                                                         const std::string& sweep) {
  ConditionRow row = parse_conditions(fields, conditions);
  if (sweep.empty()) return {{"", row}};
  const std::vector<Assignment> varied = parse_assignments(sweep);
  if (varied.size() != 1)
    fail(ErrorKind::argument, "generate.sweep", "sweep: expected one condition as name=value,value,..., got ",
         varied.size(), " conditions");
  const std::size_t f = find_condition(fields, varied[0].name);
  if (!row[f].missing())
    fail(ErrorKind::argument, "generate.sweep", "sweep: expected a condition without a fixed value, got ",
         varied[0].name, ", which has one");
  std::vector<std::pair<std::string, ConditionRow>> variants;
  for (const std::string& value : varied[0].values) {
    row[f] = condition_value(fields[f], value);
    variants.emplace_back(concat(varied[0].name, '=', row[f].missing() ? "null" : condition_text(fields[f], row[f])),
                          row);
  }
  return variants;
}

}  // namespace detail

/// Samples first to first + n - 1 under `conditions` ("modality=T1,age=70"), each once per value of `sweep` ("age=30,50,70"), which may be
/// empty. Throws Error (argument): unknown conditions, values out of range, a required condition that is missing, two variants that
/// would have one file name.
inline SamplePlan plan_samples(const std::vector<ConditionField>& fields, const std::string& conditions,
                               const std::string& sweep, Index n, std::uint32_t first = 0) {
  const auto variants = detail::sample_variants(fields, conditions, sweep);
  SamplePlan plan{{}, variants.size()};
  std::set<std::string> names;
  for (Index i = 0; i < n; ++i)
    for (const auto& [variant, row] : variants) {
      require_conditions(fields, row);
      const auto id = static_cast<std::uint32_t>(first + i);
      PlannedSample s{id, row, concat(synthetic_name(id), variant.empty() ? "" : "_", detail::plain_file_part(variant)),
                      variant.empty() ? describe_conditions(fields, row) : variant};
      if (!names.insert(s.name).second)
        fail(ErrorKind::argument, "generate.sweep", "sweep: expected values with different file names, got ",
             in_quotes(variant, 60), " twice, or two values that differ only in characters that no file name has");
      plan.samples.push_back(std::move(s));
    }
  return plan;
}

/// The sample of a sidecar, to be made again. Throws Error (argument): conditions that the model does not know.
inline PlannedSample planned_again(const std::vector<ConditionField>& fields, const SampleRecord& record) {
  PlannedSample s;
  s.id = record.sample;
  s.row = conditions_from_json(fields, record.conditions);
  require_conditions(fields, s.row);
  s.name = record.file.substr(0, record.file.size() - std::string(".nii.gz").size());
  return s;
}

}  // namespace braing3n::inline BRAING3N_ABI
