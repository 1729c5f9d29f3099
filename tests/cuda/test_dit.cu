// The diffusion transformer on both backends, with the weights of the fixture: loss, norm of the gradients, guided samples.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/data/condition_labels.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/nn/flatten.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/objective/bridge.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/ops/transfer.hpp"
#include "braing3n/optim/clip.hpp"
#include "braing3n/sample/bridge.hpp"
#include "braing3n/sample/generate.hpp"
#include "braing3n/train/trainer.hpp"
#include "tests/support/fixture.hpp"

using namespace braing3n;

namespace {

Dit3dConfig fixture_config() {
  Dit3dConfig c;
  c.channels = 6, c.grid = {2, 3, 2}, c.width = 48, c.depth = 2, c.heads = 4, c.mlp = 192;
  return c;
}

/// Required fields and some of the others; one value is unknown.
std::vector<ConditionRow> rows(const Dit3dConfig& config) {
  std::vector<ConditionRow> all(2, ConditionRow(config.conditions.size()));
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t f = 0; f < config.conditions.size(); ++f) {
      if (config.conditions[f].kind == ConditionKind::categorical) all[i][f].label = static_cast<std::int32_t>(i);
      else if (i == 0) all[i][f].number = 61.0;
    }
  return all;
}

struct Answer {
  double loss = 0, norm = 0;
  std::vector<float> samples;
};

template <Precision P, Backend B>
Answer answer(Context<B>& context, Context<Cpu>& host) {
  using T = typename P::Compute;
  const Dit3dConfig config = fixture_config();
  Dit3d<B, P> dit(context, config);
  const LoadReport report = load_state(dit, test::fixture("dit", "weights.safetensors"));
  REQUIRE_MESSAGE(report.complete(), report.str());
  const auto data = test::random<float>(host, {2, 12, 6}, 1), noise = test::random<float>(host, {2, 12, 6}, 2);
  const std::vector<double> t = {0.3, 0.8};
  const auto flow = flow_interpolate(to_backend<T>(context, data), to_backend<T>(context, noise), t);
  const auto conditions = rows(config);
  Tape<B> tape;
  Pass<B> pass(context, tape);
  const auto loss =
      mse_loss(dit(pass, Var<T, B>(flow.x_t), t, condition_batch(config.conditions, conditions)), flow.velocity);
  tape.backward(loss);
  using Param = typename P::Param;
  const ParameterViews<Param, B> views = parameter_views<Dit3d<B, P>, B, Param>(dit);
  Answer a;
  a.loss = item(loss);
  a.norm = gradient_norm(std::span<const ParameterView<Param, B>>(views));
  const std::vector<std::uint32_t> ids = {3, 9};
  const auto z = sample_latents(context, dit, std::span<const std::uint32_t>(ids), conditions, 5,
                                {.steps = 6, .guidance = {.scale = 2}});
  const auto values = to_host<float>(host, z).to_host();
  a.samples.assign(values.begin(), values.end());
  return a;
}

/// A model with a context and two outputs, which learns a bridge and makes follow-ups with noise.
template <Precision P, Backend B>
Answer bridge_answer(Context<B>& context, Context<Cpu>& host) {
  using T = typename P::Compute;
  Dit3dConfig config = fixture_config();
  config.conditions = longitudinal_conditions();
  config.context_channels = 6, config.outputs = 2;
  Dit3d<B, P> dit(context, config);
  initialize(dit, 1);
  for_each_parameter(dit, [&](const std::string& path, auto& p) {
    if (p.spec().fixed) return;
    using Value = typename std::remove_cvref_t<decltype(p)>::Value;
    p.adopt(to_backend<Value>(context, test::random<float>(host, p.shape(), detail::name_hash(path), 0.05)));
  });
  const auto baseline = to_backend<T>(context, test::random<float>(host, {2, 12, 6}, 1)),
             followup = to_backend<T>(context, test::random<float>(host, {2, 12, 6}, 2)),
             noise = to_backend<T>(context, test::random<float>(host, {2, 12, 6}, 3));
  const std::vector<ConditionRow> conditions = {{{.label = 2}, {.number = 5}, {.label = 0}, {.number = 71}, {}},
                                                {{.label = 0}, {.number = 1}, {}, {}, {.number = 0.5}}};
  const BridgeOptions bridge = {.target = BridgeTarget::two_heads};
  const auto sample = bridge_interpolate(bridge, baseline, followup, noise, {0.3, 0.8});
  Tape<B> tape;
  Pass<B> pass(context, tape);
  const auto loss = mse_loss(
      dit(pass, Var<T, B>(sample.x_t), sample.t, condition_batch(config.conditions, conditions), Var<T, B>(baseline)),
      sample.target);
  tape.backward(loss);
  using Param = typename P::Param;
  const ParameterViews<Param, B> views = parameter_views<Dit3d<B, P>, B, Param>(dit);
  Answer a;
  a.loss = item(loss);
  a.norm = gradient_norm(std::span<const ParameterView<Param, B>>(views));
  const std::vector<std::uint32_t> ids = {3, 9};
  const auto z = sample_bridge(context, dit, baseline, conditions, std::span<const std::uint32_t>(ids), 5,
                               {.bridge = bridge, .sampler = BridgeSampler::stochastic, .steps = 6});
  const auto values = to_host<float>(host, z).to_host();
  a.samples.assign(values.begin(), values.end());
  return a;
}

double spread(const std::vector<float>& v) {
  double most = 0;
  for (const float x : v) most = std::max(most, std::abs(static_cast<double>(x)));
  return most;
}
double apart(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (d > most || d != d) most = d;  // a NaN stays the worst
  }
  return most / spread(b);
}

}  // namespace

TEST_CASE("a conditional transformer agrees with the CPU: loss, norm of the gradients, guided samples") {
  test::Both b;
  const Answer cpu = answer<F32>(b.cpu, b.cpu), gpu = answer<F32>(b.cuda, b.cpu), low = answer<BF16>(b.cuda, b.cpu);
  CHECK(gpu.loss == doctest::Approx(cpu.loss).epsilon(1e-6));
  CHECK(gpu.norm == doctest::Approx(cpu.norm).epsilon(1e-5));
  CHECK(apart(gpu.samples, cpu.samples) < 1e-4);
  CHECK(low.loss == doctest::Approx(cpu.loss).epsilon(2e-2));
  CHECK(low.norm == doctest::Approx(cpu.norm).epsilon(5e-2));
  CHECK(apart(low.samples, cpu.samples) < 0.1);
}

namespace {

/// A model with a closed form, all of it filled.
template <Precision P, Backend B>
Dit3d<B, P> filled_dit(Context<B>& context, Context<Cpu>& host) {
  Dit3dConfig config = fixture_config();
  config.gaussian_rank = 3;
  Dit3d<B, P> dit(context, config);
  initialize(dit, 1);
  std::uint32_t id = 0;
  for_each_parameter(dit, [&](const std::string& name, auto& p) {
    using Value = typename std::remove_cvref_t<decltype(p)>::Value;
    if (name == "gaussian.feature_covariance" || name == "gaussian.variances" || name == "pos_embed") return;
    p.adopt(to_backend<Value>(context, test::random<Value>(host, p.shape(), ++id, 0.1)));
  });
  auto& covariance = dit.gaussian.feature_covariance;
  const Index q = dit.gaussian.features();
  auto values = Tensor<float, Cpu>::zeros(host, covariance.shape());
  for (Index f = 0; f < q; ++f) values.data()[f * q + f] = 0.5f;
  covariance.adopt(to_backend<float>(context, values));
  return dit;
}

template <Precision P, Backend B, class Before>
std::vector<float> guided_samples(Context<B>& context, Context<Cpu>& host, int steps, Before&& before) {
  const auto dit = filled_dit<P>(context, host);
  const std::vector<std::uint32_t> ids = {3, 9};
  const auto z =
      sample_latents(context, dit, std::span<const std::uint32_t>(ids), rows(dit.config), 5,
                     {.sampler = Sampler::heun, .steps = steps, .guidance = {.scale = 2, .low = 0.2}}, before);
  return to_host<float>(host, z).to_host();
}

}  // namespace

TEST_CASE("a transformer with the closed form samples as on the CPU") {
  test::Both b;
  const auto cpu = guided_samples<F32>(b.cpu, b.cpu, 4, [] {});
  CHECK(apart(guided_samples<F32>(b.cuda, b.cpu, 4, [] {}), cpu) < 1e-4);
  CHECK(apart(guided_samples<BF16>(b.cuda, b.cpu, 4, [] {}), cpu) < 0.1);
}

#ifdef BRAING3N_EMULATE_CUDA
TEST_CASE(
    "an evaluation of prepared conditions uploads nothing, reads nothing, waits for nothing and allocates nothing") {
  test::Both b;
  CudaOptions options = test::cuda_options();
  options.keep_memory = true;
  Context<Cuda> context(options);
  std::vector<emulation::Counters> seen;
  const auto samples = guided_samples<F32>(context, b.cpu, 8, [&] { seen.push_back(emulation::counters()); });
  REQUIRE(seen.size() == 16);
  // The first step of two evaluations makes the blocks that the others use again. Below t = 0.2 nothing is guided: batches of another size,
  // prepared and warm once more.
  Index prepared = 0;
  for (std::size_t i = 3; i < seen.size(); ++i) {
    const emulation::Counters &now = seen[i], &before = seen[i - 1];
    // A stream that does nothing before somebody waits has run nothing so far.
    CHECK((now.launches > before.launches) != emulation::options().deferred);
    if (now.copies_to_device > before.copies_to_device) {
      ++prepared;
      i += 2;
      continue;
    }
    CAPTURE(i);
    CHECK(now.copies_to_host == before.copies_to_host);
    CHECK(now.synchronisations == before.synchronisations);
    CHECK(now.event_waits == before.event_waits);
    CHECK(now.allocations == before.allocations);
    CHECK(now.host_allocations == before.host_allocations);
  }
  CHECK(prepared == 1);
  // Memory that is used again has not changed the numbers.
  CHECK(samples == guided_samples<F32>(b.cuda, b.cpu, 8, [] {}));
}

namespace {

/// The flow's loss at times of its own in every batch.
struct FlowTask {
  struct Batch {
    FlowSample<float, Cuda> flow;
    std::vector<double> t;
  };
  Context<Cuda>& context;
  Context<Cpu>& host;
  const Dit3d<Cuda, F32>& dit;
  Index taken = 0;

  Batch next() {
    const auto id = static_cast<std::uint32_t>(++taken);
    const std::vector<double> t = {0.1 * static_cast<double>(taken % 9), 0.8};
    return {flow_interpolate(to_backend<float>(context, test::random<float>(host, {2, 12, 6}, 2 * id)),
                             to_backend<float>(context, test::random<float>(host, {2, 12, 6}, 2 * id + 1)), t),
            t};
  }
  Var<double, Cuda> loss(Pass<Cuda>& pass, const Batch& b) const {
    return mse_loss(
        dit(pass, Var<float, Cuda>(b.flow.x_t), b.t, condition_batch(dit.config.conditions, rows(dit.config))),
        b.flow.velocity);
  }
  Index position() const { return taken; }
  Index scans() const { return 4; }
};

}  // namespace

TEST_CASE("a training step of a transformer with the closed form reads once and allocates nothing") {
  Context<Cpu> host{{.threads = 1}};
  CudaOptions given = test::cuda_options();
  given.keep_memory = true;
  Context<Cuda> context(given);
  auto dit = filled_dit<F32>(context, host);
  TrainingOptions options;
  options.steps = 9, options.validate_every = 9;
  Trainer<Dit3d<Cuda, F32>, Cuda> trainer(context, dit, options, 1);
  FlowTask task{context, host, dit};
  for (int i = 0; i < 3; ++i) trainer.advance(task);
  emulation::reset_counters();
  CHECK(trainer.advance(task)->step == 3);
  const emulation::Counters c = emulation::counters();
  CHECK(c.copies_to_host == 1);
  CHECK(c.event_waits == 1);
  CHECK(c.synchronisations == 0);
  CHECK(c.allocations == 0);
  CHECK(c.host_allocations == 0);
  CHECK(c.copies_to_device <=
        15);  // of one batch: data, noise, times, labels and known values by field, the closed form
  trainer.finish();
}
#endif

TEST_CASE("a transformer with a context and two outputs agrees with the CPU along a bridge") {
  test::Both b;
  const Answer cpu = bridge_answer<F32>(b.cpu, b.cpu), gpu = bridge_answer<F32>(b.cuda, b.cpu),
               low = bridge_answer<BF16>(b.cuda, b.cpu);
  CHECK(gpu.loss == doctest::Approx(cpu.loss).epsilon(1e-6));
  CHECK(gpu.norm == doctest::Approx(cpu.norm).epsilon(1e-5));
  CHECK(apart(gpu.samples, cpu.samples) < 1e-4);
  CHECK(low.loss == doctest::Approx(cpu.loss).epsilon(2e-2));
  CHECK(low.norm == doctest::Approx(cpu.norm).epsilon(5e-2));
  CHECK(apart(low.samples, cpu.samples) < 0.1);
}
