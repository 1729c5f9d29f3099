// Samplers of the bridge where everything is known: b ~ N(m, s^2), y = b + k years + e, e ~ N(0, q^2). With V = Var x_t = s^2 +
// (1 - t)^2 q^2 + g^2 and r = x - E x_t,
//   E[b - y | x_t] = -k years - (1 - t) q^2 / V r,   E[eps | x_t] = g / V r,   E[y | x_t] = m + k years + (s^2 + (1 - t) q^2) / V r,
// and a sampler should end with the mean m + k years and the variance s^2 + q^2.
#include "tests/support/check.hpp"

#include <array>

#include "braing3n/models/dit3d.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/sample/bridge.hpp"
#include "tests/support/longitudinal_dit.hpp"

using namespace braing3n;

namespace {

constexpr double m = 0.3, s = 1.0, k = 0.2, q = 0.6, variance = s * s + q * q;
constexpr std::array<double, 3> horizons = {1, 5, 10};  // years

/// What a network learns, as its minimiser: (N, ..., 1) -> (N, ..., outputs).
struct Expectation {
  BridgeOptions bridge;
  double years;
  Tensor<double, Cpu> operator()(const Tensor<double, Cpu>& x, double t) const {
    const double g = bridge.sd(t), v = s * s + (1 - t) * (1 - t) * q * q + g * g, mean = m + (1 - t) * k * years;
    const Index outputs = bridge.outputs();
    Tensor<double, Cpu> y(x.context(), x.shape().with(-1, outputs));
    for (Index i = 0; i < x.size(); ++i) {
      const double r = x.data()[i] - mean, noise = g / v * r, displacement = -k * years - (1 - t) * q * q / v * r;
      double* to = y.data() + i * outputs;
      if (bridge.target == BridgeTarget::data) to[0] = m + k * years + (s * s + (1 - t) * q * q) / v * r;
      else to[0] = displacement + (bridge.target == BridgeTarget::velocity ? bridge.slope(t) * noise : 0.0);
      if (outputs == 2) to[1] = noise;
    }
    return y;
  }
};

BridgeSamplingOptions with(BridgeTarget target, BridgeSampler sampler, int steps = 100,
                           BridgeEnvelope envelope = BridgeEnvelope::brownian) {
  return {.bridge = {.envelope = envelope, .target = target}, .sampler = sampler, .steps = steps};
}

struct Distribution {
  double mean = 0, variance = 0;
};

/// The distribution at t = 0 with the steps as they are, exactly: every step is affine. Sample 0 starts at the mean, sample 1 one standard
/// deviation above it, and sample 2 + i at the mean with noise of 1 in step i alone.
Distribution after(const BridgeSamplingOptions& options, double years) {
  Context<Cpu> ctx({.threads = 1});
  const bool stochastic = options.sampler == BridgeSampler::stochastic;
  Tensor<double, Cpu> x(ctx, {stochastic ? options.steps + 2 : 2, 1});
  std::fill_n(x.data(), x.size(), m);
  x.data()[1] += s;
  const auto end = bridge_sample(options, x, Expectation{options.bridge, years}, [&](int step) {
    auto z = Tensor<double, Cpu>::zeros(ctx, x.shape());
    z.data()[2 + step] = 1;
    return z;
  });
  Distribution d{.mean = end.data()[0]};
  for (Index i = 1; i < end.size(); ++i) d.variance += (end.data()[i] - d.mean) * (end.data()[i] - d.mean);
  return d;
}

double variance_error(const BridgeSamplingOptions& options) { return after(options, 5).variance / variance - 1; }

/// exp of the integral of f over [0, 1] by the midpoint rule, squared, times s^2: the variance that dr/dt = -f r leaves.
template <class F>
double variance_of(F&& f) {
  double sum = 0;
  for (int i = 0; i < 20000; ++i) sum += f((i + 0.5) / 20000) / 20000;
  return s * s * std::exp(2 * sum);
}

}  // namespace

TEST_CASE("every sampler carries the mean exactly, in any number of steps") {
  for (const double years : horizons)
    for (const auto envelope : {BridgeEnvelope::brownian, BridgeEnvelope::parabolic})
      for (const int steps : {1, 7, 100})
        for (const auto target :
             {BridgeTarget::displacement, BridgeTarget::velocity, BridgeTarget::two_heads, BridgeTarget::data})
          for (const auto sampler : {BridgeSampler::euler, BridgeSampler::heun, BridgeSampler::stochastic}) {
            if (sampler == BridgeSampler::stochastic &&
                (target == BridgeTarget::displacement || target == BridgeTarget::velocity))
              continue;
            BridgeSamplingOptions options = with(target, sampler, steps, envelope);
            options.bridge.clip = 1e-12;
            CAPTURE(enum_name(target));
            CAPTURE(enum_name(sampler));
            CHECK(after(options, years).mean == doctest::Approx(m + k * years).epsilon(1e-9));
          }
}

TEST_CASE("the velocity, two heads and the stochastic sampler end with the exact variance as steps become short") {
  struct Case {
    BridgeTarget target;
    BridgeSampler sampler;
    double order, at_100;
  };
  for (const auto envelope : {BridgeEnvelope::brownian, BridgeEnvelope::parabolic})
    for (const auto& [target, sampler, order, at_100] : {Case{BridgeTarget::velocity, BridgeSampler::euler, 1, 0.01},
                                                         {BridgeTarget::velocity, BridgeSampler::heun, 2, 1e-4},
                                                         {BridgeTarget::two_heads, BridgeSampler::euler, 1, 0.0105},
                                                         {BridgeTarget::two_heads, BridgeSampler::heun, 2, 1e-4},
                                                         {BridgeTarget::two_heads, BridgeSampler::stochastic, 1, 0.012},
                                                         {BridgeTarget::data, BridgeSampler::stochastic, 1, 0.012}}) {
      CAPTURE(enum_name(target));
      CAPTURE(enum_name(sampler));
      CAPTURE(enum_name(envelope));
      double before = 0;
      for (const int steps : {100, 200, 400}) {
        BridgeSamplingOptions options = with(target, sampler, steps, envelope);
        options.bridge.clip = 1e-12;
        const double now = std::abs(variance_error(options));
        MESSAGE(std::string(enum_name(target)), " ", std::string(enum_name(sampler)), " ",
                std::string(enum_name(envelope)), ", ", steps, " steps: variance off by ", now, ", order ",
                std::log2(before / now));
        if (steps == 100) CHECK(now < at_100);
        else CHECK(std::log2(before / now) > order - 0.25);
        before = now;
      }
    }
  // The clip of t, at its default, costs less than the steps.
  CHECK(std::abs(variance_error(with(BridgeTarget::velocity, BridgeSampler::heun))) < 1e-5);
}

TEST_CASE("without the noise of the path the mean is right and the variance is not") {
  const auto v = [](double t) { return s * s + (1 - t) * (1 - t) * q * q + 0.25 * t * (1 - t); };
  const double displacement = variance_of([&](double t) { return (1 - t) * q * q / v(t); }),
               data = variance_of([&](double t) { return ((1 - t) * q * q - 0.25 * (1 - t)) / v(t); });
  CHECK(after(with(BridgeTarget::displacement, BridgeSampler::heun, 400), 5).variance ==
        doctest::Approx(displacement).epsilon(1e-4));
  CHECK(after(with(BridgeTarget::data, BridgeSampler::heun, 400), 5).variance == doctest::Approx(data).epsilon(1e-4));
  MESSAGE("variance off by ", displacement / variance - 1, " with displacement, ", data / variance - 1, " with data; ",
          variance_error(with(BridgeTarget::displacement, BridgeSampler::euler)),
          " with displacement in 100 steps of Euler");
  CHECK(displacement / variance - 1 < -0.01);
  CHECK(displacement / variance - 1 > -0.012);
  CHECK(data / variance - 1 < -0.19);
  CHECK(data / variance - 1 > -0.20);
}

TEST_CASE("samples have the mean and the variance of follow-ups at 1, 5 and 10 years") {
  Context<Cpu> ctx({.threads = 2});
  const Index n = 20000;
  auto baseline = test::random<double>(ctx, {n / 20, 20, 1}, 1, s);
  for (Index i = 0; i < n; ++i) baseline.data()[i] += m;
  const auto noise = [&](int step) {
    return test::random<double>(ctx, baseline.shape(), 100 + static_cast<std::uint32_t>(step));
  };
  struct Case {
    BridgeTarget target;
    BridgeSampler sampler;
    bool whole;  // the variance too
  };
  for (const double years : horizons)
    for (const auto& [target, sampler, whole] : {Case{BridgeTarget::displacement, BridgeSampler::euler, false},
                                                 {BridgeTarget::velocity, BridgeSampler::euler, true},
                                                 {BridgeTarget::velocity, BridgeSampler::heun, true},
                                                 {BridgeTarget::two_heads, BridgeSampler::stochastic, true},
                                                 {BridgeTarget::data, BridgeSampler::stochastic, true}}) {
      CAPTURE(enum_name(target));
      CAPTURE(enum_name(sampler));
      CAPTURE(years);
      const BridgeSamplingOptions options = with(target, sampler);
      const auto x = bridge_sample(options, baseline, Expectation{options.bridge, years}, noise);
      double mean = 0, square = 0;
      for (Index i = 0; i < n; ++i) mean += x.data()[i] / static_cast<double>(n);
      for (Index i = 0; i < n; ++i) square += (x.data()[i] - mean) * (x.data()[i] - mean) / static_cast<double>(n - 1);
      // Four standard errors; of the variance besides what 100 steps leave, at most 1.2 % (the case above).
      CHECK(std::abs(mean - (m + k * years)) <= 4 * std::sqrt(variance / static_cast<double>(n)));
      if (whole) CHECK(std::abs(square / variance - 1) <= 4 * std::sqrt(2.0 / static_cast<double>(n - 1)) + 0.012);
    }
}

TEST_CASE("evaluations: when, how many, and none at a time that training clips") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = test::random<double>(ctx, {2, 3, 1}, 1);
  std::vector<double> times;
  const auto count = [&](const BridgeSamplingOptions& options) {
    times.clear();
    bridge_sample(
        options, x,
        [&](const Tensor<double, Cpu>& at, double t) {
          times.push_back(t);
          return Expectation{options.bridge, 1}(at, t);
        },
        [&](int) { return x; });
    CHECK(std::ssize(times) == options.evaluation_times().size());
  };
  count(with(BridgeTarget::displacement, BridgeSampler::euler, 4));
  CHECK(times == std::vector<double>{1.0, 0.75, 0.5, 0.25});
  count(with(BridgeTarget::velocity, BridgeSampler::heun, 2));
  CHECK(times == std::vector<double>{0.999, 0.5, 0.5, 0.001});
  count(with(BridgeTarget::data, BridgeSampler::heun, 2));
  CHECK(times == std::vector<double>{1.0, 0.5, 0.5});
  count(with(BridgeTarget::two_heads, BridgeSampler::stochastic, 3));
  CHECK(times.size() == 3);
  // One step to the prediction of the data is the prediction.
  const auto one = with(BridgeTarget::data, BridgeSampler::stochastic, 1);
  const auto end = bridge_sample(one, x, Expectation{one.bridge, 2}, [&](int) { return x; });
  CHECK(test::max_difference(end, Expectation{one.bridge, 2}(x, 1.0)) < test::tolerance<double>());
}

TEST_CASE("bridge samplers refuse what they cannot do") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = test::random<double>(ctx, {2, 3, 1}, 1);
  const auto run = [&](const BridgeSamplingOptions& options, const BridgeOptions& network) {
    bridge_sample(options, x, Expectation{network, 1}, [&](int) { return x; });
  };
  for (const auto target : {BridgeTarget::displacement, BridgeTarget::velocity}) {
    const auto options = with(target, BridgeSampler::stochastic);
    test::check_error("bridge.sampler", {"two_heads or data", "got " + std::string(enum_name(target))},
                      [&] { run(options, options.bridge); });
  }
  auto options = with(BridgeTarget::displacement, BridgeSampler::euler, 0);
  test::check_error("sample.steps", {"got 0"}, [&] { run(options, options.bridge); });
  options.steps = 2, options.bridge.sigma = -1;
  test::check_error("bridge.sigma", {"got -1"}, [&] { run(options, options.bridge); });
  test::check_error("op.shape", {"(2, 3, 1)", "(2, 3, 2)"},
                    [&] { run(with(BridgeTarget::two_heads, BridgeSampler::euler), {}); });
}

namespace {

/// Follow-ups of the baselines [begin, end) of a model with values everywhere.
Tensor<float, Cpu> followups(Context<Cpu>& ctx, const Dit3dConfig& config, std::uint32_t begin, std::uint32_t end,
                             const BridgeSamplingOptions& options) {
  Dit3d<Cpu, F32> model(ctx, config);
  test::fill_by_name(ctx, model, 1);
  std::vector<std::uint32_t> ids;
  std::vector<ConditionRow> rows;
  for (std::uint32_t i = begin; i < end; ++i) {
    ids.push_back(40 + i);
    rows.push_back(
        {{.label = static_cast<std::int32_t>(i % 3)}, {.number = 1.0 + i}, {.label = 0}, {.number = 70}, {}});
  }
  const auto all = test::random<float>(ctx, {5, 12, 4}, 1);
  return sample_bridge(ctx, model, all.slice(begin, end), rows, std::span<const std::uint32_t>(ids), 5, options);
}

}  // namespace

TEST_CASE("a follow-up does not depend on its batch and the threads; the baseline is the context, guided or not") {
  for (const double scale : {1.0, 2.0}) {
    auto options = with(BridgeTarget::two_heads, BridgeSampler::stochastic, 3);
    options.guidance.scale = scale;
    const Dit3dConfig config = test::small_longitudinal(4, 2);
    test::check_same_for_threads("follow-ups", [&](Context<Cpu>& ctx) {
      return std::vector<Tensor<float, Cpu>>{followups(ctx, config, 0, 5, options)};
    });
    Context<Cpu> ctx({.threads = 2});
    const auto all = followups(ctx, config, 0, 5, options);
    CHECK(test::same_bits(followups(ctx, config, 2, 4, options), all.slice(2, 4)));
    CHECK(test::same_bits(followups(ctx, config, 3, 4, options), all.slice(3, 4)));
    CHECK(!test::same_bits(all.slice(2, 3), all.slice(3, 4)));
  }
  // By hand: two steps of Euler from the baseline, which the model is given in both.
  Context<Cpu> ctx({.threads = 1});
  Dit3d<Cpu, F32> model(ctx, test::small_longitudinal(4, 1));
  test::fill_by_name(ctx, model, 1);
  const auto b = test::random<float>(ctx, {1, 12, 4}, 7);
  const std::vector<ConditionRow> rows = {{{.label = 1}, {.number = 5}, {}, {}, {}}};
  const std::vector<std::uint32_t> ids = {0};
  Pass<Cpu> pass(ctx);
  Tensor<float, Cpu> wanted = b;
  for (const double t : {1.0, 0.5}) {
    const auto v =
        model(pass, Var<float, Cpu>(wanted), {t}, condition_batch(model.config.conditions, rows), Var<float, Cpu>(b));
    wanted = add_scaled_forward(wanted, v.value(), -0.5);
  }
  int evaluations = 0;
  const auto end = sample_bridge(ctx, model, b, rows, std::span<const std::uint32_t>(ids), 5,
                                 with(BridgeTarget::displacement, BridgeSampler::euler, 2), [&] { ++evaluations; });
  CHECK(test::max_difference(end, wanted) < test::tolerance<float>(1, 4.0));
  CHECK(evaluations == 2);
  test::check_error("bridge.outputs", {"two_heads", "2 outputs", "got one with 1"}, [&] {
    sample_bridge(ctx, model, b, rows, std::span<const std::uint32_t>(ids), 5,
                  with(BridgeTarget::two_heads, BridgeSampler::euler));
  });
  test::check_error("sample.count", {"1 baselines, 0 rows and 1 numbers"}, [&] {
    sample_bridge(ctx, model, b, {}, std::span<const std::uint32_t>(ids), 5,
                  with(BridgeTarget::displacement, BridgeSampler::euler));
  });
}

TEST_CASE("the noise of a sampler is the generator's own, and shares nothing with that of other uses") {
  Context<Cpu> ctx({.threads = 1});
  // A network that predicts 0 of both heads leaves the baseline and the noise of the steps.
  Dit3d<Cpu, F64> model(ctx, test::small_longitudinal(0, 2));
  initialize(model, 1);
  const auto b = test::random<double>(ctx, {1, 12, 4}, 7);
  const std::vector<ConditionRow> rows = {{{.label = 1}, {.number = 5}, {}, {}, {}}};
  const std::vector<std::uint32_t> ids = {77};
  const auto end = sample_bridge(ctx, model, b, rows, std::span<const std::uint32_t>(ids), 9,
                                 with(BridgeTarget::two_heads, BridgeSampler::stochastic, 3));
  const Philox first(9, Purpose::noise, sampler_step, 77), second(9, Purpose::noise, sampler_step + 1, 77);
  // sigma sqrt(s (t - s) / t) for steps from 1 to 2/3 and from there to 1/3; the third ends at 0 and has none.
  const double one = 0.5 * std::sqrt(2.0 / 9), two = 0.5 * std::sqrt(1.0 / 6);
  for (Index i = 0; i < 48; ++i) {
    const auto at = static_cast<std::uint64_t>(i);
    CHECK(end.data()[i] == doctest::Approx(b.data()[i] + one * first.normal(at) + two * second.normal(at)));
  }
}
