// What evaluations of a diffusion transformer need beside x, computed for several steps together: shift, scale and gate of every block and of
// the last layer, and the place in the closed-form velocity. All of it depends on times and conditions alone.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "braing3n/autograd/ops.hpp"
#include "braing3n/autograd/pass.hpp"
#include "braing3n/models/conditions.hpp"
#include "braing3n/models/gaussian_velocity.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// The rows (N) of one evaluation, or of several, one after the other.
template <class T, Backend B>
struct DitConditions {
  std::vector<std::array<Tensor<T, B>, 6>> blocks;  // each (N, width)
  std::array<Tensor<T, B>, 2> last;                 // shift and scale, each (N, width)
  GaussianPlace<B> gaussian;                        // empty without a closed form

  Index rows() const { return last[0].dim(0); }
  /// Shares the memory.
  DitConditions slice(Index begin, Index end) const {
    DitConditions part = *this;
    for (auto& block : part.blocks)
      for (Tensor<T, B>& t : block) t = t.slice(begin, end);
    for (Tensor<T, B>& t : part.last) t = t.slice(begin, end);
    if (!gaussian.numbers.empty()) part.gaussian = gaussian.slice(begin, end);
    return part;
  }
};

template <class T, Backend B>
struct DitSteps {
  DitConditions<T, B> all;
  Index samples = 0;

  /// Of step i, at times[i].
  DitConditions<T, B> step(Index i) const { return all.slice(i * samples, (i + 1) * samples); }
};

/// The conditions of a batch, `copies` times one after the other.
inline ConditionBatch repeated(const ConditionBatch& batch, std::size_t copies) {
  ConditionBatch all;
  for (const ConditionBatch::Field& field : batch.fields) {
    ConditionBatch::Field& to = all.fields.emplace_back();
    for (std::size_t k = 0; k < copies; ++k) {
      to.labels.insert(to.labels.end(), field.labels.begin(), field.labels.end());
      to.values.insert(to.values.end(), field.values.begin(), field.values.end());
    }
  }
  return all;
}

namespace detail {

template <class T, Backend B, std::size_t K>
std::array<Tensor<T, B>, K> values_of(const std::array<Var<T, B>, K>& vars) {
  std::array<Tensor<T, B>, K> values;
  for (std::size_t i = 0; i < K; ++i) values[i] = vars[i].value();
  return values;
}
template <class T, Backend B, std::size_t K>
std::array<Var<T, B>, K> constants_of(const std::array<Tensor<T, B>, K>& values) {
  std::array<Var<T, B>, K> vars;
  for (std::size_t i = 0; i < K; ++i) vars[i] = Var<T, B>(values[i]);
  return vars;
}

}  // namespace detail

/// Dit3d::prepare. Steps stand one after the other in one batch, whose rows do not depend on each other.
template <class Model, Backend B>
DitSteps<typename Model::T, B> prepare_steps(const Model& model, const Pass<B>& given, const std::vector<double>& times,
                                             Index samples, const ConditionBatch& condition) {
  Pass<B> pass(given.context());
  pass.taps = given.taps;
  pass.check_finite = given.check_finite;
  try {
    const auto n = static_cast<std::size_t>(samples), rows = times.size() * n;
    std::vector<double> t;
    for (const double time : times) t.insert(t.end(), n, time);
    const ConditionBatch all = repeated(condition, times.size());
    DitSteps<typename Model::T, B> steps;
    steps.samples = samples;
    const auto c = model.silu_condition(pass, t, all);
    for (const auto& block : model.blocks) steps.all.blocks.push_back(detail::values_of(block.modulations(pass, c)));
    steps.all.last = detail::values_of(chunk<2>(model.final_modulation(pass, c)));
    if (model.gaussian.exists())
      steps.all.gaussian = model.gaussian.place(t, required_class(model.config.conditions, all, rows),
                                                condition_features(model.config.conditions, all, rows));
    return steps;
  } catch (const Error& e) {
    throw e.at(model.path);
  }
}
}  // namespace braing3n::inline BRAING3N_ABI
