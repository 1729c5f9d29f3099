#include "tests/support/fixture.hpp"

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/models/dit3d.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/sample/euler.hpp"
#include "braing3n/sample/generate.hpp"

using namespace braing3n;

namespace {

Dit3dConfig fixture_config() {
  Dit3dConfig c;
  c.channels = 6;
  c.grid = {2, 3, 2};
  c.width = 48;
  c.depth = 2;
  c.heads = 4;
  c.mlp = 192;
  return c;
}

/// The labels of the case; samples whose `null` flag is set keep only their modality.
ConditionBatch conditions(const Dit3dConfig& config, const SafetensorsFile& reference, const std::vector<bool>& null) {
  ConditionBatch batch;
  for (const ConditionField& field : config.conditions) {
    ConditionBatch::Field given;
    if (field.kind == ConditionKind::categorical) {
      given.labels = reference.read<std::int32_t>("label." + field.name);
      for (std::size_t i = 0; i < null.size(); ++i)
        if (null[i] && !field.required) given.labels[i] = -1;
    } else {
      given.values = reference.read<double>(field.name);
      for (std::size_t i = 0; i < null.size(); ++i)
        if (null[i]) given.values[i] = std::nan("");
    }
    batch.fields.push_back(given);
  }
  return batch;
}

}  // namespace

TEST_CASE("fixture dit: velocity, loss and every gradient; joint and composed guidance") {
  Context<Cpu> ctx({.threads = 2});
  const auto weights = test::fixture("dit", "weights.safetensors"),
             reference = test::fixture("dit", "case.safetensors");
  const double rtol = 2e-4, atol = 2e-5;  // stated by the fixture, which was computed in float
  const Dit3dConfig config = fixture_config();
  Dit3d<Cpu, F64> dit(ctx, config);
  const LoadReport report = load_state(dit, weights);
  REQUIRE_MESSAGE(report.complete(), report.str());
  CHECK_MESSAGE(report.unexpected.empty(), report.str());

  const auto eps = test::fixture_tensor<double>(ctx, reference, "eps"),
             data = test::fixture_tensor<double>(ctx, reference, "x1");
  const auto t = reference.read<double>("t");
  std::vector<bool> null;
  for (const auto n : reference.read<std::int32_t>("null")) null.push_back(n != 0);
  REQUIRE(null == std::vector<bool>{false, true, false});

  const auto flow = flow_interpolate(data, eps, t);
  test::check_close("x_t", flow.x_t, test::fixture_tensor<double>(ctx, reference, "x_t"), rtol, atol);
  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape);
  const auto v = dit(pass, Var<double, Cpu>(flow.x_t), t, conditions(config, reference, null));
  test::check_close("velocity", v.value(), test::fixture_tensor<double>(ctx, reference, "velocity"), rtol, atol);
  const auto loss = mse_loss(v, flow.velocity);
  CHECK(item(loss) == doctest::Approx(reference.read<double>("loss")[0]).epsilon(1e-5));
  tape.backward(loss);
  test::check_parameter_gradients(dit, reference, rtol, atol, [](const std::string& name) { return name; });

  Pass<Cpu> inference(ctx);
  const std::vector<bool> none(3, false), all(3, true);
  const auto velocity = [&](const Tensor<double, Cpu>& x, double time, const ConditionBatch& batch) {
    return dit(inference, Var<double, Cpu>(x), std::vector<double>(3, time), batch).value();
  };
  const ConditionBatch full = conditions(config, reference, none), nothing = conditions(config, reference, all);
  const auto joint = euler_sample(eps, 8, [&](const auto& x, double time) {
    return guide(velocity(x, time, nothing), velocity(x, time, full), 2.0);
  });
  test::check_close("sample", joint, test::fixture_tensor<double>(ctx, reference, "sample"), rtol, atol);

  const std::vector<std::pair<std::string, double>> scales = {{"age", 2.0}, {"disease", 1.5}, {"idh1", 0.5}};
  const auto composed = euler_sample(eps, 8, [&](const auto& x, double time) {
    std::vector<Tensor<double, Cpu>> only;
    std::vector<double> s;
    for (const auto& [name, value] : scales) {
      ConditionBatch batch = nothing;
      for (std::size_t i = 0; i < config.conditions.size(); ++i)
        if (config.conditions[i].name == name) batch.fields[i] = full.fields[i];
      only.push_back(velocity(x, time, batch));
      s.push_back(value);
    }
    return guide_composed(velocity(x, time, nothing), std::span<const Tensor<double, Cpu>>(only),
                          std::span<const double>(s));
  });
  test::check_close("sample_composed", composed, test::fixture_tensor<double>(ctx, reference, "sample_composed"), rtol,
                    atol);

  // The same two, as programs make them: all evaluations of a step in one batch.
  const auto network = [&](const Tensor<double, Cpu>& x, const std::vector<double>& times, const ConditionBatch& c) {
    return dit(inference, Var<double, Cpu>(x), times, c).value();
  };
  const auto rows_of = [&](auto&& keep) {
    std::vector<ConditionRow> rows(3, ConditionRow(config.conditions.size()));
    for (std::size_t n = 0; n < 3; ++n) {
      for (std::size_t f = 0; f < config.conditions.size(); ++f) {
        if (config.conditions[f].kind == ConditionKind::categorical) rows[n][f].label = full.fields[f].labels[n];
        else rows[n][f].number = full.fields[f].values[n];
      }
      rows[n] = keep_conditions(config.conditions, rows[n], keep);
    }
    return rows;
  };
  const GuidedVelocity joint_velocity(network, config.conditions, rows_of([](std::size_t) { return true; }),
                                      {.scale = 2.0});
  test::check_close("sample, one batch", integrate(Sampler::euler, eps, 8, joint_velocity),
                    test::fixture_tensor<double>(ctx, reference, "sample"), rtol, atol);
  Guidance by_condition;
  for (const auto& [name, value] : scales) by_condition.composed.push_back({name, value});
  const GuidedVelocity composed_velocity(network, config.conditions, rows_of([&](std::size_t f) {
                                           return std::any_of(scales.begin(), scales.end(), [&](const auto& s) {
                                             return s.first == config.conditions[f].name;
                                           });
                                         }),
                                         by_condition);
  test::check_close("sample_composed, one batch", integrate(Sampler::euler, eps, 8, composed_velocity),
                    test::fixture_tensor<double>(ctx, reference, "sample_composed"), rtol, atol);

  // With the activations of the blocks computed again in the backward: the same bits.
  std::vector<std::vector<double>> gradients;
  for (const bool again : {false, true}) {
    for_each_parameter(dit, [](const std::string&, auto& p) {
      if (!p.gradient().empty()) p.zero_gradient();
    });
    Tape<Cpu> second;
    Pass<Cpu> recorded(ctx, second);
    recorded.recompute_blocks = again;
    second.backward(
        mse_loss(dit(recorded, Var<double, Cpu>(flow.x_t), t, conditions(config, reference, null)), flow.velocity));
    std::vector<double> flat;
    for_each_parameter(dit, [&](const std::string&, auto& p) {
      if (p.gradient().empty()) return;
      const auto values = p.gradient().to_host();
      flat.insert(flat.end(), values.begin(), values.end());
    });
    gradients.push_back(std::move(flat));
  }
  CHECK(gradients[0].size() > 100000);
  CHECK(gradients[0] == gradients[1]);
}

TEST_CASE("a sample does not depend on the batch it was made in, with any provider and number of threads") {
  Dit3dConfig config = fixture_config();
  config.grid = {4, 5, 4};  // 80 tokens
  config.channels = 32;
  config.width = 96, config.mlp = 384;
  for (const CpuProvider* provider : builtin_cpu_providers()) {
    if (provider->isa > detect_isa()) continue;
    CAPTURE(provider->name);
    std::vector<float> first;
    for (int threads = 1; threads <= 3; ++threads) {
      Context<Cpu> ctx({.threads = threads, .provider = provider});
      Dit3d<Cpu, F32> dit(ctx, config);
      initialize(dit, 1);
      // Gates and the last layer start at zero: everything is filled, or nothing would be seen.
      std::uint32_t id = 0;
      for_each_parameter(dit, [&](const std::string&, auto& p) {
        if (!p.spec().fixed) p.adopt(test::random<float>(ctx, p.shape(), ++id, 0.05));
      });
      Pass<Cpu> pass(ctx);
      const auto network = [&](const Tensor<float, Cpu>& x, const std::vector<double>& t, const ConditionBatch& c) {
        return dit(pass, Var<float, Cpu>(x), t, c).value();
      };
      const auto sample = [&](std::uint32_t begin, std::uint32_t end) {
        std::vector<std::uint32_t> ids;
        std::vector<ConditionRow> rows;
        for (std::uint32_t i = begin; i < end; ++i) {
          ids.push_back(i);
          rows.push_back({{}, {.label = static_cast<std::int32_t>(i % 2)}, {.label = 0}, {}, {.number = 30.0 + i}, {}});
        }
        const GuidedVelocity velocity(network, config.conditions, rows, {.scale = 2.0, .low = 0.3});
        const auto noise = draw_noise<float>(ctx, 5, generation_step, std::span<const std::uint32_t>(ids), {80, 32});
        return integrate(Sampler::heun, noise, 2, velocity).to_host();
      };
      const std::vector<float> all = sample(0, 5), alone = sample(3, 4), pair = sample(2, 4);
      const Index each = 80 * 32;
      CHECK(std::equal(alone.begin(), alone.end(), all.begin() + 3 * each));
      CHECK(std::equal(pair.begin(), pair.end(), all.begin() + 2 * each));
      if (threads == 1) first = all;
      else CHECK(all == first);
      CHECK(!std::equal(alone.begin(), alone.end(), all.begin()));
    }
  }
}

TEST_CASE("guided sampling takes nothing from the system after its first step") {
  Context<Cpu> ctx({.threads = 2});
  Dit3dConfig config = fixture_config();
  config.grid = {4, 5, 4};
  Dit3d<Cpu, F32> dit(ctx, config);
  initialize(dit, 1);
  Pass<Cpu> pass(ctx);
  std::vector<std::size_t> calls;
  const auto network = [&](const Tensor<float, Cpu>& x, const std::vector<double>& t, const ConditionBatch& c) {
    calls.push_back(ctx.memory().stats().system_calls);
    return dit(pass, Var<float, Cpu>(x), t, c).value();
  };
  const std::vector<ConditionRow> rows = {{{.label = 1}, {}, {.label = 0}, {}, {.number = 60}, {}}};
  const GuidedVelocity velocity(network, config.conditions, rows, {.scale = 2.0});
  const std::vector<std::uint32_t> ids = {0};
  integrate(Sampler::euler, draw_noise<float>(ctx, 5, generation_step, std::span<const std::uint32_t>(ids), {80, 6}),
            12, velocity);
  REQUIRE(calls.size() == 12);
  CHECK(calls[2] > 0);
  CHECK(calls[11] == calls[2]);
}

namespace {

/// The same model without a way to prepare.
template <Precision P>
struct Unprepared {
  using T = typename P::Compute;
  const Dit3d<Cpu, P>& dit;
  const Dit3dConfig& config;
  Var<T, Cpu> operator()(Pass<Cpu>& pass, const Var<T, Cpu>& x, const std::vector<double>& t,
                         const ConditionBatch& c) const {
    return dit(pass, x, t, c);
  }
};

/// All weights and tables filled, or nothing would be seen.
template <Precision P>
Dit3d<Cpu, P> filled_dit(Context<Cpu>& ctx, const Dit3dConfig& config) {
  Dit3d<Cpu, P> dit(ctx, config);
  initialize(dit, 1);
  std::uint32_t id = 0;
  for_each_parameter(dit, [&](const std::string& name, auto& p) {
    using Value = typename std::remove_cvref_t<decltype(p)>::Value;
    if (name == "gaussian.feature_covariance" || name == "gaussian.variances" || name == "pos_embed") return;
    p.adopt(test::random<Value>(ctx, p.shape(), ++id, 0.1));
  });
  if (dit.gaussian.exists()) {
    auto& covariance = dit.gaussian.feature_covariance;
    using Value = typename std::remove_cvref_t<decltype(covariance)>::Value;
    std::vector<Value> values(static_cast<std::size_t>(covariance.shape().size()), Value{0});
    const auto q = static_cast<std::size_t>(dit.gaussian.features());
    for (std::size_t f = 0; f < q; ++f) values[f * q + f] = static_cast<Value>(0.5 + 0.01 * static_cast<double>(f));
    covariance.adopt(Tensor<Value, Cpu>::from_host(ctx, covariance.shape(), values));
  }
  return dit;
}

std::vector<ConditionRow> three_rows() {
  return {{{.label = 1}, {}, {.label = 0}, {}, {.number = 60}, {}},
          {{}, {.label = 1}, {.label = 2}, {.label = 4}, {}, {}},
          {{.label = 3}, {}, {.label = 1}, {}, {.number = 20}, {.label = 1}}};
}

template <Precision P>
void compare_prepared() {
  for (const Index rank : {Index{0}, Index{3}}) {
    Context<Cpu> ctx({.threads = 2});
    Dit3dConfig config = fixture_config();
    config.gaussian_rank = rank;
    const auto dit = filled_dit<P>(ctx, config);
    const std::vector<std::uint32_t> ids = {4, 7, 2};
    const std::vector<SamplingOptions> all = {
        {.steps = 4},
        {.sampler = Sampler::heun, .steps = 3, .shift = 2, .guidance = {.scale = 2, .low = 0.3, .high = 0.9}},
        {.steps = 3, .guidance = {.composed = {{"age", 2}, {"disease", 1.5}}}}};
    for (const SamplingOptions& options : all) {
      const auto prepared = sample_latents(ctx, dit, std::span<const std::uint32_t>(ids), three_rows(), 3, options);
      const auto plain = sample_latents(ctx, Unprepared<P>{dit, dit.config}, std::span<const std::uint32_t>(ids),
                                        three_rows(), 3, options);
      CHECK(test::same_bits(prepared, plain));
    }
  }
}

}  // namespace

TEST_CASE("samples of a model that prepares its conditions have the bits of one that does not") {
  static_assert(PreparesSteps<Dit3d<Cpu, F32>, Cpu> && !PreparesSteps<Unprepared<F32>, Cpu>);
  compare_prepared<F32>();
  compare_prepared<F64>();
  compare_prepared<BF16>();
}

TEST_CASE("prepared steps: slices of one batch, as many at once as fit into 64 MiB, errors with their path") {
  Context<Cpu> ctx({.threads = 2});
  Dit3dConfig config = fixture_config();
  config.gaussian_rank = 2;
  const auto dit = filled_dit<F64>(ctx, config);
  Pass<Cpu> pass(ctx);
  const ConditionBatch conditions = condition_batch(config.conditions, three_rows());
  const auto x = test::random<double>(ctx, {3, 12, 6}, 1);
  const std::vector<double> times = {1, 0.4, 0};
  const auto steps = dit.prepare(pass, times, 3, conditions);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(test::same_bits(dit(pass, Var<double, Cpu>(x), steps.step(static_cast<Index>(i))).value(),
                          dit(pass, Var<double, Cpu>(x), std::vector<double>(3, times[i]), conditions).value()));
  CHECK(steps.step(1).blocks[1][4].shares_storage_with(steps.all.blocks[1][4]));
  test::check_error("dit3d.input", {"expected (3, 12, 6)"},
                    [&] { dit(pass, Var<double, Cpu>(x.slice(0, 2)), steps.step(0)); });
  test::check_error("dit3d.condition_count", {"expected 4", "got 3"}, [&] { dit.prepare(pass, {1.0}, 4, conditions); });
  // 14 vectors of 48 numbers, and 3 + (2 + features) 2 numbers of the closed form.
  const Index each = 8 * (14 * 48 + 3 + (2 + dit.gaussian.features()) * 2);
  CHECK(dit.steps_at_once(3) == (Index{64} << 20) / (3 * each));
  CHECK(dit.steps_at_once(Index{1} << 20) == 1);
}

TEST_CASE("a fresh model predicts exactly zero") {
  Context<Cpu> ctx({.threads = 1});
  const auto reference = test::fixture("dit", "case.safetensors");
  Dit3d<Cpu, F32> dit(ctx, fixture_config());
  initialize(dit, 1);
  Pass<Cpu> pass(ctx);
  const auto v = dit(pass, Var<float, Cpu>(test::random<float>(ctx, {3, 12, 6}, 1)), {0.1, 0.5, 0.9},
                     conditions(dit.config, reference, {false, true, false}));
  for (const float x : v.value().to_host()) CHECK(x == 0.0f);
}

TEST_CASE("conditions are checked") {
  Context<Cpu> ctx({.threads = 1});
  const auto reference = test::fixture("dit", "case.safetensors");
  Dit3d<Cpu, F64> dit(ctx, fixture_config());
  initialize(dit, 1);
  Pass<Cpu> pass(ctx);
  const auto id_of = [&](const ConditionBatch& batch) -> std::string {
    try {
      dit(pass, Var<double, Cpu>(test::random<double>(ctx, {3, 12, 6}, 1)), {0.1, 0.5, 0.9}, batch);
    } catch (const Error& e) {
      return e.id();
    }
    return "none";
  };
  const ConditionBatch good = conditions(dit.config, reference, {false, false, true});
  CHECK(id_of(good) == "none");
  CHECK(id_of(conditions(dit.config, reference, {true, true, true})) == "none");
  ConditionBatch bad = good;
  bad.fields[2].labels[1] = -1;  // modality
  CHECK(id_of(bad) == "dit3d.condition_required");
  bad = good;
  bad.fields[0].labels[0] = 8;
  CHECK(id_of(bad) == "dit3d.condition_class");
  bad = good;
  bad.fields[4].values.pop_back();
  CHECK(id_of(bad) == "dit3d.condition_count");
  bad = good;
  bad.fields.pop_back();
  CHECK(id_of(bad) == "dit3d.conditions");
}
