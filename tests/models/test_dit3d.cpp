#include "tests/support/fixture.hpp"

#include "braing3n/models/dit3d.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/sample/euler.hpp"
#include "braing3n/sample/guidance.hpp"

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
  const auto weights = test::fixture("dit", "weights.safetensors"), reference = test::fixture("dit", "case.safetensors");
  const double rtol = 2e-4, atol = 2e-5;  // stated by the fixture, which was computed in float
  const Dit3dConfig config = fixture_config();
  Dit3d<Cpu, F64> dit(ctx, config);
  const LoadReport report = load_state(dit, weights);
  REQUIRE_MESSAGE(report.complete(), report.str());
  CHECK_MESSAGE(report.unexpected.empty(), report.str());

  const auto eps = test::fixture_tensor<double>(ctx, reference, "eps"), data = test::fixture_tensor<double>(ctx, reference, "x1");
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
  const auto joint = euler_sample(eps, 8, [&](const auto& x, double time) { return guide(velocity(x, time, nothing), velocity(x, time, full), 2.0); });
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
    return guide_composed(velocity(x, time, nothing), std::span<const Tensor<double, Cpu>>(only), std::span<const double>(s));
  });
  test::check_close("sample_composed", composed, test::fixture_tensor<double>(ctx, reference, "sample_composed"), rtol, atol);
}

TEST_CASE("a fresh model predicts exactly zero") {
  Context<Cpu> ctx({.threads = 1});
  const auto reference = test::fixture("dit", "case.safetensors");
  Dit3d<Cpu, F32> dit(ctx, fixture_config());
  initialize(dit, 1);
  Pass<Cpu> pass(ctx);
  const auto v = dit(pass, Var<float, Cpu>(test::random<float>(ctx, {3, 12, 6}, 1)), {0.1, 0.5, 0.9}, conditions(dit.config, reference, {false, true, false}));
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
