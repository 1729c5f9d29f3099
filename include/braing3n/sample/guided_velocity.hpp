// The guided velocity of samples under their conditions, for the integrators of euler.hpp.
//
// Joint guidance with one scale s (Ho and Salimans 2022): v = v_null + s (v_cond - v_null), the null having the required conditions
// only; two evaluations in one batch. Composed guidance (Liu et al. 2022) with a scale per condition: v = v_base + sum_i s_i (v_i - v_base);
// the base has the required conditions and those that have no scale of their own, v_i has condition i besides: 1 + n evaluations in one
// batch. Outside the interval [low, high] of t nothing is guided (Kynkaanniemi et al. 2024): one evaluation under all conditions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "braing3n/models/conditions.hpp"
#include "braing3n/sample/guidance.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct ConditionScale {
  std::string condition;
  double scale = 1;

  static void visit(auto& self, auto&& v) {
    v("condition", self.condition);
    v("scale", self.scale);
  }
};

struct Guidance {
  double scale = 1;                        // joint; 1: not guided
  std::vector<ConditionScale> composed{};  // when there are any, instead of `scale`
  double low = 0, high = 1;                // times at which guidance acts

  static void visit(auto& self, auto&& v) {
    v("scale", self.scale);
    v("composed", self.composed);
    v("low", self.low);
    v("high", self.high);
  }

  /// Rows that the model evaluates together for one sample, at most.
  Index most_copies() const { return composed.empty() ? (scale != 1 ? 2 : 1) : std::ssize(composed) + 1; }

  /// Throws Error (argument): scales that are not finite, an interval outside [0, 1], conditions that the model does not have, that
  /// are required (they are part of the base) or named twice.
  void validate(const std::vector<ConditionField>& fields) const {
    require_guidance(scale);
    if (!(low >= 0 && low <= high && high <= 1))
      fail(ErrorKind::argument, "guidance.interval", "guidance: expected an interval of t inside [0, 1], got [", low,
           ", ", high, "]");
    std::set<std::string> seen;
    for (const ConditionScale& c : composed) {
      require_guidance(c.scale);
      const ConditionField* field = nullptr;
      std::string names;
      for (const ConditionField& f : fields) {
        if (f.name == c.condition) field = &f;
        if (!f.required) names += (names.empty() ? "" : ", ") + f.name;
      }
      if (field == nullptr || field->required)
        fail(ErrorKind::argument, "guidance.condition", "guidance: expected a condition that can be left out, one of ",
             names.empty() ? "none" : names, ", got ", c.condition);
      if (!seen.insert(c.condition).second)
        fail(ErrorKind::argument, "guidance.condition", "guidance: ", c.condition, " has two scales");
    }
  }
};

/// network: (x (M, ...), t (M), ConditionBatch of M) -> velocity (M, ...).
template <class Network>
class GuidedVelocity {
 public:
  /// One row of conditions per sample. Throws what Guidance::validate() throws.
  GuidedVelocity(Network network, const std::vector<ConditionField>& fields, const std::vector<ConditionRow>& rows,
                 const Guidance& guidance)
      : network_(std::move(network)), samples_(rows.size()), low_(guidance.low), high_(guidance.high),
        plain_(condition_batch(fields, rows)) {
    guidance.validate(fields);
    std::vector<ConditionRow> stacked;
    const auto stack = [&](auto&& keep) {
      for (const ConditionRow& row : rows) stacked.push_back(keep_conditions(fields, row, keep));
    };
    if (!guidance.composed.empty()) {
      const auto scaled = [&](std::size_t f) {
        for (const ConditionScale& c : guidance.composed)
          if (c.condition == fields[f].name) return true;
        return false;
      };
      stack([&](std::size_t f) { return !scaled(f); });
      for (const ConditionScale& c : guidance.composed) {
        stack([&](std::size_t f) { return !scaled(f) || fields[f].name == c.condition; });
        scales_.push_back(c.scale);
      }
    } else if (guidance.scale != 1 && some_condition(fields, rows)) {
      stack([](std::size_t) { return false; });
      stack([](std::size_t) { return true; });
      scales_.push_back(guidance.scale);
    } else {
      return;
    }
    guided_ = condition_batch(fields, stacked);
  }

  /// x (N, ...) at time t -> (N, ...).
  template <class T, Backend B>
  Tensor<T, B> operator()(const Tensor<T, B>& x, double t) const {
    if (x.rank() < 1 || x.dim(0) != static_cast<Index>(samples_))
      fail(ErrorKind::shape, "guidance.samples", "guidance: expected x of ", samples_,
           " samples, as the conditions have, got shape ", x.shape());
    const Index copies = copies_at(t);
    const std::vector<double> times(static_cast<std::size_t>(copies) * samples_, t);
    if (copies == 1) return network_(x, times, conditions_at(t));
    return combine_velocities(network_(repeat_batch(x, copies), times, conditions_at(t)),
                              std::span<const double>(scales_));
  }

  /// Evaluations per sample at time t.
  Index copies_at(double t) const {
    return scales_.empty() || t < low_ || t > high_ ? 1 : static_cast<Index>(scales_.size()) + 1;
  }
  /// The conditions under which the network is evaluated at time t, of `copies_at(t)` rows per sample.
  const ConditionBatch& conditions_at(double t) const { return copies_at(t) == 1 ? plain_ : guided_; }

 private:
  static bool some_condition(const std::vector<ConditionField>& fields, const std::vector<ConditionRow>& rows) {
    for (const ConditionRow& row : rows)
      for (std::size_t f = 0; f < fields.size(); ++f)
        if (!fields[f].required && !row[f].missing()) return true;
    return false;
  }

  Network network_;
  std::size_t samples_;
  double low_, high_;
  std::vector<double> scales_;
  ConditionBatch plain_, guided_;
};

}  // namespace braing3n::inline BRAING3N_ABI
