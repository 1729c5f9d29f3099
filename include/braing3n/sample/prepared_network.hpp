// A network for a sampler: what depends on times and conditions alone is prepared before the evaluations that want it.
//
// A sampler knows its times and conditions before it begins. Prepared for many steps together, their embeddings and the layers behind them
// are a few large products instead of many small ones, and an evaluation does no work on the host, uploads nothing and reads nothing. The
// numbers are the same where a row of a product does not depend on the other rows, as on the CPU.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "braing3n/autograd/pass.hpp"
#include "braing3n/models/conditions.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// prepare(pass, times, rows, conditions).step(i) is what model(pass, x, step) wants beside x (rows, ...); steps_at_once(rows) says for how
/// many times.
template <class Model, class B>
concept PreparesSteps = requires(const Model& model, const Pass<B>& pass, const std::vector<double>& times, Index rows,
                                 const ConditionBatch& conditions) {
  model.prepare(pass, times, rows, conditions).step(rows);
  model.steps_at_once(rows);
};

namespace detail {

template <class Model, class B>
struct StepsOf {
  struct type {};
};
template <class Model, class B>
  requires PreparesSteps<Model, B>
struct StepsOf<Model, B> {
  using type = decltype(std::declval<const Model&>().prepare(std::declval<const Pass<B>&>(), std::vector<double>(),
                                                             Index(), ConditionBatch()));
};

}  // namespace detail

/// The model as the network of GuidedVelocity. Evaluations that were expected, in the order in which they were, are prepared; any other one
/// runs unprepared. Pass and model must outlive it.
template <class Model, Backend B>
class PreparedNetwork {
  using T = typename Model::T;

 public:
  PreparedNetwork(Pass<B>& pass, const Model& model) : pass_(&pass), model_(&model) {}

  /// One more evaluation, of all samples at time t. `conditions` must stay where they are.
  void expect(double t, const ConditionBatch& conditions) { expected_.push_back({t, &conditions}); }

  /// x (M, ...) at the times t (M), beside the context of a model that has one -> velocity (M, ...).
  template <class... Context>
  Tensor<T, B> operator()(const Tensor<T, B>& x, const std::vector<double>& t, const ConditionBatch& conditions,
                          const Context&... context) {
    const Var<T, B> input(x);
    if constexpr (PreparesSteps<Model, B>) {
      const bool as_expected = next_ < expected_.size() && expected_[next_].conditions == &conditions &&
                               std::ranges::all_of(t, [&](double each) { return each == expected_[next_].t; });
      if (as_expected) {
        if (next_ >= first_ + step_of_.size()) prepare(x.dim(0));
        return (*model_)(*pass_, input, steps_.step(step_of_[next_++ - first_]), context...).value();
      }
    }
    return (*model_)(*pass_, input, t, conditions, context...).value();
  }

 private:
  struct Evaluation {
    double t;
    const ConditionBatch* conditions;
  };
  /// From the next evaluation on, as long as the conditions are the same ones. Heun's rule evaluates twice at most times.
  void prepare(Index rows) {
    steps_ = {};
    step_of_.clear();
    first_ = next_;
    const ConditionBatch* const conditions = expected_[next_].conditions;
    const auto most = static_cast<std::size_t>(model_->steps_at_once(rows));
    std::vector<double> times;
    for (std::size_t i = next_; i < expected_.size() && expected_[i].conditions == conditions; ++i) {
      if (times.empty() || times.back() != expected_[i].t) {
        if (times.size() == most) break;
        times.push_back(expected_[i].t);
      }
      step_of_.push_back(static_cast<Index>(times.size()) - 1);
    }
    steps_ = model_->prepare(*pass_, times, rows, *conditions);
  }

  Pass<B>* pass_;
  const Model* model_;
  std::vector<Evaluation> expected_;
  std::size_t next_ = 0, first_ = 0;  // the next evaluation; the first that is prepared
  std::vector<Index> step_of_;        // of the prepared evaluations, from the first on
  typename detail::StepsOf<Model, B>::type steps_;
};

}  // namespace braing3n::inline BRAING3N_ABI
