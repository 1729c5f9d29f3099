// Samples of a conditional velocity model. The noise of a sample depends on the seed and its number alone.
//
// Sample number i of a seed is the same whatever batch it is made in: its noise is a function of (seed, i), and no operation mixes samples.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "braing3n/autograd/pass.hpp"
#include "braing3n/nn/position.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/sample/euler.hpp"
#include "braing3n/sample/guided_velocity.hpp"
#include "braing3n/sample/prepared_network.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct SamplingOptions {
  Sampler sampler = Sampler::euler;
  int steps = 50;
  double shift = 1;  // of the time grid; above 1: shorter steps near the noise
  Guidance guidance{};

  static void visit(auto& self, auto&& v) {
    v("sampler", self.sampler);
    v("steps", self.steps);
    v("shift", self.shift);
    v("guidance", self.guidance);
  }
};

/// ids (N): the samples' numbers; rows (N): their conditions -> standardised latents (N, L, C). before_evaluation() runs before each
/// evaluation of the model and may throw to stop. Model: config.conditions, config.grid, config.channels, and
/// model(pass, x (M, L, C), t (M), ConditionBatch) -> Var (M, L, C). A model that can prepare (prepared_network.hpp) does so.
template <class Model, Backend B, class Before>
Tensor<typename Model::T, B> sample_latents(Context<B>& context, const Model& model, std::span<const std::uint32_t> ids,
                                            const std::vector<ConditionRow>& rows, std::uint64_t seed,
                                            const SamplingOptions& options, Before&& before_evaluation) {
  using T = typename Model::T;
  if (ids.size() != rows.size() || ids.empty())
    fail(ErrorKind::argument, "sample.count", "sampling: expected one row of conditions per sample, got ", rows.size(),
         " rows for ", ids.size(), " samples");
  Pass<B> pass(context);
  PreparedNetwork<Model, B> prepared(pass, model);
  const auto network = [&](const Tensor<T, B>& x, const std::vector<double>& t, const ConditionBatch& conditions) {
    before_evaluation();
    return prepared(x, t, conditions);
  };
  const GuidedVelocity velocity(network, model.config.conditions, rows, options.guidance);
  const TimeGrid grid(options.steps, options.shift);
  for (const double t : evaluation_times(options.sampler, grid)) prepared.expect(t, velocity.conditions_at(t));
  const Shape shape = {volume_of(model.config.grid), model.config.channels};
  return integrate(options.sampler, draw_noise<T>(context, seed, generation_step, ids, shape), grid, velocity);
}

template <class Model, Backend B>
Tensor<typename Model::T, B> sample_latents(Context<B>& context, const Model& model, std::span<const std::uint32_t> ids,
                                            const std::vector<ConditionRow>& rows, std::uint64_t seed,
                                            const SamplingOptions& options) {
  return sample_latents(context, model, ids, rows, seed, options, [] {});
}

}  // namespace braing3n::inline BRAING3N_ABI
