// From a baseline to its follow-up along the bridge of objective/bridge.hpp, t from 1 to 0.
//
// With v0 = E[b - y | x_t = x] and n = E[eps | x_t = x], both of which a network may predict:
//   probability flow   dx/dt = v = v0 + g' n         has the distribution p_t of x_t at every t
//   score              grad log p_t(x) = -n / g
//   prediction of y    y^ = E[y | x_t = x] = x - t v0 - g n
// Noise of any strength e(t) may be added when the score takes it back: with u = 1 - t, the equation dx = (-v + e grad log p) du +
// sqrt(2 e) dW has the same p_t, as the terms of e in its Fokker-Planck equation cancel. e = g^2 / t - g g' (sigma^2 / 2 for the
// Brownian envelope, where the path is a Brownian bridge) leaves
//   dx = (y^ - x) / t du + sqrt(2 e) dW,
// the process that is pinned to y, with y replaced by its expectation; it knows its step from t to s in closed form (I2SB, Liu et al. 2023):
//   x_s | x_t, y  ~  N((s / t) x_t + (1 - s / t) y, g_s^2 - (s / t)^2 g_t^2).
//
// Steps from t to s = t - h:
//   euler, heun   displacement, velocity   dx = -h output. The former leaves the noise out: means are exact, variances are not.
//                 two_heads                dx = -h v0 + (g_s - g_t) n. A step in t and a step in g; no g', which is infinite at the ends.
//                 data                     dx = -h (x - y^) / t, the drift above without its noise: means are exact, variances too small.
//                                          Heun takes its last step, whose end is t = 0, by Euler's rule.
//   stochastic    two_heads, data          dx = -h (x - y^) / t + sqrt(g_s^2 - (s / t)^2 g_t^2) z, one evaluation per step.
//                 A single velocity does not determine the score: displacement and velocity have no stochastic sampler.
// Means are exact in any number of steps where expectations are linear in x. Variances are off by O(h) with Euler and the stochastic sampler
// (O(h log 1/h) with two heads or noise under the Brownian envelope, about 1 % in 100 steps) and by O(h^2) with Heun; docs/forecast.md has figures.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "braing3n/autograd/pass.hpp"
#include "braing3n/objective/bridge.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/sample/euler.hpp"
#include "braing3n/sample/guided_velocity.hpp"
#include "braing3n/sample/prepared_network.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class BridgeSampler { euler, heun, stochastic };

struct BridgeSamplingOptions {
  BridgeOptions bridge{};  // as in training
  BridgeSampler sampler = BridgeSampler::euler;
  int steps = 100;
  Guidance guidance{};

  static void visit(auto& self, auto&& v) {
    v("bridge", self.bridge);
    v("sampler", self.sampler);
    v("steps", self.steps);
    v("guidance", self.guidance);
  }

  /// Throws Error: config, argument (a sampler that the target does not allow).
  void validate() const {
    bridge.validate();
    if (sampler == BridgeSampler::stochastic && bridge.target != BridgeTarget::two_heads &&
        bridge.target != BridgeTarget::data)
      fail(ErrorKind::argument, "bridge.sampler",
           "bridge: the stochastic sampler needs the score; expected a model with the target two_heads or data, got ",
           enum_name(bridge.target));
  }
  /// The times at which the network is evaluated, in their order.
  std::vector<double> evaluation_times() const {
    const TimeGrid grid(steps);
    std::vector<double> times;
    for (int i = 0; i < steps; ++i) {
      times.push_back(bridge.network_time(grid.at(i)));
      const bool last = i + 1 == steps;
      if (sampler == BridgeSampler::heun && !(last && bridge.target == BridgeTarget::data))
        times.push_back(bridge.network_time(last ? 0.0 : grid.at(i + 1)));
    }
    return times;
  }
};

namespace detail {

/// What a step adds: weights of x, of the network's one or two outputs, and of noise.
struct BridgeWeights {
  double x = 0, first = 0, second = 0, noise = 0;
};

/// Of a deterministic step from t to s, for an evaluation at one of them.
inline BridgeWeights deterministic_weights(const BridgeOptions& bridge, double at, double t, double s) {
  const double h = t - s;
  if (bridge.target == BridgeTarget::data) return {.x = -h / at, .first = h / at};
  return {.first = -h, .second = bridge.target == BridgeTarget::two_heads ? bridge.sd(s) - bridge.sd(t) : 0.0};
}

inline BridgeWeights stochastic_weights(const BridgeOptions& bridge, double t, double s) {
  const double h = t - s, g = bridge.sd(t), kept = g * s / t, after = bridge.sd(s);
  BridgeWeights w{.x = -h / t, .first = h / t};
  if (bridge.target == BridgeTarget::two_heads) w = {.first = -h, .second = -g * h / t};
  w.noise = std::sqrt(std::max(0.0, after * after - kept * kept));
  return w;
}

template <class T>
struct BridgeStep {
  const T* from;
  const T* x;
  const T* output;
  const T* noise;  // or nullptr
  T* to;
  Index channels, outputs;
  accum_t<T> of_x, of_first, of_second, of_noise;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const T* first = output + i / channels * (outputs * channels) + i % channels;
    accum_t<T> sum = static_cast<accum_t<T>>(from[i]) + of_x * static_cast<accum_t<T>>(x[i]) +
                     of_first * static_cast<accum_t<T>>(first[0]);
    if (outputs > 1) sum += of_second * static_cast<accum_t<T>>(first[channels]);
    if (noise != nullptr) sum += of_noise * static_cast<accum_t<T>>(noise[i]);
    to[i] = convert<T>(sum);
  }
};

/// from + scale (weights of x and its output) + weighted noise
template <class T, Backend B>
Tensor<T, B> bridge_step(const Tensor<T, B>& from, const Tensor<T, B>& x, const Tensor<T, B>& output,
                         const BridgeWeights& w, double scale, const Tensor<T, B>& noise = {}) {
  using A = accum_t<T>;
  const Index channels = x.dim(-1);
  Tensor<T, B> to(x.context(), x.shape());
  map(x.context(), x.size(),
      BridgeStep<T>{from.data(), x.data(), output.data(), noise.empty() ? nullptr : noise.data(), to.data(), channels,
                    output.size() / x.size(), static_cast<A>(scale * w.x), static_cast<A>(scale * w.first),
                    static_cast<A>(scale * w.second), static_cast<A>(w.noise)});
  return to;
}

}  // namespace detail

/// network: (x (N, ..., C), double t) -> (N, ..., outputs C), what it learnt to predict. noise: (number of the step) -> standard
/// normal (N, ..., C); called by the stochastic sampler only. baseline (N, ..., C) -> follow-up (N, ..., C). Throws Error: config,
/// argument, shape. The guidance of the options is the network's affair.
template <class T, Backend B, class Network, class Noise>
Tensor<T, B> bridge_sample(const BridgeSamplingOptions& options, const Tensor<T, B>& baseline, Network&& network,
                           Noise&& noise) {
  options.validate();
  const BridgeOptions& bridge = options.bridge;
  const TimeGrid grid(options.steps);
  require_elements("bridge", baseline);
  const Shape expected = baseline.shape().with(-1, bridge.outputs() * baseline.dim(-1));
  const auto evaluate = [&](const Tensor<T, B>& x, double t) {
    Tensor<T, B> output = network(x, bridge.network_time(t));
    require_shape("bridge", "the network's output", output, expected);
    return output;
  };
  Tensor<T, B> x = baseline;
  for (int i = 0; i < options.steps; ++i) {
    const double t = grid.at(i), s = i + 1 < options.steps ? grid.at(i + 1) : 0.0;
    const Tensor<T, B> output = evaluate(x, t);
    if (options.sampler == BridgeSampler::stochastic) {
      const detail::BridgeWeights w = detail::stochastic_weights(bridge, t, s);
      x = detail::bridge_step(x, x, output, w, 1, w.noise > 0 ? noise(i) : Tensor<T, B>());
      continue;
    }
    const detail::BridgeWeights w = detail::deterministic_weights(bridge, t, t, s);
    const Tensor<T, B> end = detail::bridge_step(x, x, output, w, 1);
    if (options.sampler == BridgeSampler::euler || (bridge.target == BridgeTarget::data && s == 0)) {
      x = end;
      continue;
    }
    const Tensor<T, B> half = detail::bridge_step(x, x, output, w, 0.5);
    x = detail::bridge_step(half, end, evaluate(end, s), detail::deterministic_weights(bridge, s, t, s), 0.5);
  }
  return x;
}

/// Follow-ups of baselines (N, L, C), both standardised latents, under conditions `rows` (N). ids (N): the samples' numbers, of which with the
/// seed the noise of the stochastic sampler is a function, whatever the batch. A model with context channels is given the baseline as its
/// context. before_evaluation() runs before each evaluation of the model and may throw to stop. Model: config as in Dit3dConfig, and
/// model(pass, x (M, L, C), t (M), ConditionBatch, context) -> Var (M, L, outputs C). Throws Error: config, argument, shape.
template <class Model, Backend B, class Before>
Tensor<typename Model::T, B> sample_bridge(Context<B>& context, const Model& model,
                                           const Tensor<typename Model::T, B>& baseline,
                                           const std::vector<ConditionRow>& rows, std::span<const std::uint32_t> ids,
                                           std::uint64_t seed, const BridgeSamplingOptions& options,
                                           Before&& before_evaluation) {
  using T = typename Model::T;
  const auto count = static_cast<std::size_t>(baseline.empty() ? 0 : baseline.dim(0));
  if (count == 0 || rows.size() != count || ids.size() != count)
    fail(ErrorKind::argument, "sample.count", "sampling: expected one baseline, one row of conditions and one number ",
         "per sample, got ", count, " baselines, ", rows.size(), " rows and ", ids.size(), " numbers");
  if (model.config.outputs != options.bridge.outputs())
    fail(ErrorKind::config, "bridge.outputs", "bridge: expected a model with ", options.bridge.outputs(),
         " outputs for the target ", enum_name(options.bridge.target), ", got one with ", model.config.outputs);
  Pass<B> pass(context);
  PreparedNetwork<Model, B> prepared(pass, model);
  Tensor<T, B> seen;  // the baseline, once for every copy of a guided evaluation
  const auto network = [&](const Tensor<T, B>& x, const std::vector<double>& t, const ConditionBatch& conditions) {
    before_evaluation();
    if (model.config.context_channels > 0 && (seen.empty() || seen.dim(0) != x.dim(0)))
      seen = repeat_batch(baseline, x.dim(0) / baseline.dim(0));
    return prepared(x, t, conditions, Var<T, B>(seen));
  };
  const GuidedVelocity guided(network, model.config.conditions, rows, options.guidance);
  for (const double t : options.evaluation_times()) prepared.expect(t, guided.conditions_at(t));
  const Shape shape(baseline.shape().extents().subspan(1));
  return bridge_sample(options, baseline, guided, [&](int step) {
    return detail::normal_samples<T>(context, count, shape, [&](std::size_t n) {
      return Philox(seed, Purpose::noise, sampler_step + static_cast<std::uint32_t>(step), ids[n]);
    });
  });
}

template <class Model, Backend B>
Tensor<typename Model::T, B> sample_bridge(Context<B>& context, const Model& model,
                                           const Tensor<typename Model::T, B>& baseline,
                                           const std::vector<ConditionRow>& rows, std::span<const std::uint32_t> ids,
                                           std::uint64_t seed, const BridgeSamplingOptions& options) {
  return sample_bridge(context, model, baseline, rows, ids, seed, options, [] {});
}

}  // namespace braing3n::inline BRAING3N_ABI
