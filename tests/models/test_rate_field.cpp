#include "tests/support/check.hpp"

#include "braing3n/autograd/ops_loss.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/models/rate_field.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/nn/state_dict.hpp"
#include "braing3n/sample/years.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

RateFieldConfig tiny(Index rank = 3) {
  RateFieldConfig c;
  c.network.channels = c.network.context_channels = 2;
  c.network.grid = {2, 2, 1};
  c.network.width = 24, c.network.depth = 1, c.network.heads = 2, c.network.mlp = 32;
  c.network.conditions = {{.name = "disease", .values = {"HC", "AD"}}, {.name = "sex", .values = {"F", "M"}}};
  c.rank = rank;
  return c;
}

/// Every parameter away from its start, where half of the network is 0.
template <class Model>
void disturb(Model& model, double scale) {
  std::uint32_t id = 100;
  for_each_parameter(model, [&](const std::string&, auto& p) {
    using Value = typename std::remove_cvref_t<decltype(p)>::Value;
    p.adopt(random<Value>(p.context(), p.shape(), id++, scale));
  });
}

ConditionBatch conditions(const RateFieldConfig& c) {
  std::vector<ConditionRow> rows(2, ConditionRow(2));
  rows[0][0].label = 1, rows[0][1].label = 0, rows[1][0].label = -1, rows[1][1].label = 1;
  return condition_batch(c.network.conditions, rows);
}

}  // namespace

TEST_CASE("a new field changes nothing, and at a horizon of 0 no field does") {
  Context<Cpu> ctx({.threads = 1});
  RateField3d<Cpu, F64> field(ctx, tiny());
  initialize(field, 1);
  const auto z = random<double>(ctx, Shape{2, 4, 2}, 1);
  std::vector<ConditionRow> rows(2, ConditionRow(2));
  const auto still = forecast_latents(ctx, field, z, {60, 70}, rows, {{5, 10}});
  CHECK(max_difference(still[0], z) == 0.0);
  disturb(field, 0.3);
  CHECK(max_difference(forecast_latents(ctx, field, z, {60, 70}, rows, {{0, 0}})[0], z) == 0.0);
  CHECK(max_difference(forecast_latents(ctx, field, z, {60, 70}, rows, {{1, 1}})[0], z) > 1e-3);
}

TEST_CASE("the field is the linear rate plus the network") {
  Context<Cpu> ctx({.threads = 1});
  const RateFieldConfig c = tiny();
  RateField3d<Cpu, F64> field(ctx, c);
  initialize(field, 1);
  disturb(field, 0.3);
  const auto z = random<double>(ctx, Shape{2, 4, 2}, 1), b = random<double>(ctx, Shape{2, 4, 2}, 2);
  const std::vector<double> ages = {55, 81};
  const ConditionBatch given = conditions(c);
  Pass<Cpu> pass(ctx);
  using V = Var<double, Cpu>;
  const auto whole = field(pass, V(z), ages, given, V(b)).value(),
             network = field.network(pass, V(z), {0.55, 0.81}, given, V(b)).value();
  const std::vector<double> f = rate_features(c.network.conditions, given, ages);
  const auto& l = field.linear;
  double worst = 0;
  for (Index n = 0; n < 2; ++n) {
    std::vector<double> y(3);
    for (Index r = 0; r < 3; ++r) {
      y[static_cast<std::size_t>(r)] = l.offset.compute().data()[r];
      for (Index i = 0; i < 8; ++i)
        y[static_cast<std::size_t>(r)] += l.directions.compute().data()[r * 8 + i] * b.data()[n * 8 + i];
    }
    for (Index i = 0; i < 8; ++i) {
      double rate = l.bias.compute().data()[i];
      for (Index r = 0; r < 3; ++r) rate += l.weight.compute().data()[i * 3 + r] * y[static_cast<std::size_t>(r)];
      for (Index j = 0; j < 10; ++j) {
        const double value = f[static_cast<std::size_t>(n * 10 + j)];
        if (!std::isnan(value))
          rate += l.effects.compute().data()[i * 10 + j] * (value - l.feature_mean.compute().data()[j]);
      }
      worst = std::max(worst, std::abs(whole.data()[n * 8 + i] - network.data()[n * 8 + i] - rate));
    }
  }
  CHECK(worst < tolerance<double>(8, 8.0));
}

TEST_CASE("features of age and conditions") {
  const RateFieldConfig c = tiny();
  const std::vector<double> f = rate_features(c.network.conditions, conditions(c), {75, 45});
  REQUIRE(f.size() == 20);
  const std::vector<double> first = {0.5, 0.25, 0, 0, 1, 0.5, 1, 0.5, 0, 0};
  for (std::size_t i = 0; i < 10; ++i) CHECK(f[i] == doctest::Approx(first[i]));
  CHECK(f[10] == doctest::Approx(-0.5));
  for (std::size_t i = 12; i < 16; ++i) CHECK(std::isnan(f[i]));  // the disease of the second sample is not known
  CHECK(f[18] == 1.0);
}

TEST_CASE("features over an interval of ages are means") {
  const RateFieldConfig c = tiny();
  const std::vector<double> f = mean_rate_features(c.network.conditions, conditions(c), {60, 45}, {90, 45});
  // Age runs from 0 to 1 in units of 30 years from 60.
  const std::vector<double> first = {1.0 / 2, 1.0 / 3, 0, 0, 1, 0.5, 1, 0.5, 0, 0};
  for (std::size_t i = 0; i < 10; ++i) CHECK(f[i] == doctest::Approx(first[i]));
  CHECK(f[11] == doctest::Approx(0.25));
  CHECK(std::isnan(f[12]));
}

TEST_CASE("gradients of a field: parameters, point and baseline") {
  Context<Cpu> ctx({.threads = 1});
  const RateFieldConfig c = tiny();
  RateField3d<Cpu, F64> field(ctx, c);
  initialize(field, 1);
  disturb(field, 0.3);
  const auto z = random<double>(ctx, Shape{2, 4, 2}, 1), b = random<double>(ctx, Shape{2, 4, 2}, 2),
             target = random<double>(ctx, Shape{2, 4, 2}, 3);
  const auto weights = Tensor<float, Cpu>::from_host(ctx, Shape{2}, std::vector<float>{0.3f, 1.0f});
  const ConditionBatch given = conditions(c);
  const auto loss = [&](Pass<Cpu>& pass, const Var<double, Cpu>& point, const Var<double, Cpu>& baseline) {
    return weighted_mse_loss(field(pass, point, {55, 81}, given, baseline), target, weights);
  };
  const auto value = [&] {
    Pass<Cpu> pass(ctx);
    return item(loss(pass, Var<double, Cpu>(z), Var<double, Cpu>(b)));
  };
  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape);
  const Var<double, Cpu> point = tape.leaf(z), baseline = tape.leaf(b);
  for_each_parameter(field, [](const std::string&, auto& p) { p.zero_gradient(); });
  tape.backward(loss(pass, point, baseline), scalar(ctx, 1.0));
  check_gradient("point", z, point.gradient(), value);
  check_gradient("baseline", b, baseline.gradient(), value);
  auto& embedder = field.network.context_embedder.weight;
  check_gradient("context embedder", embedder.value(), embedder.gradient(), value);
}

TEST_CASE("fields that make no sense are refused") {
  RateFieldConfig c = tiny();
  c.network.context_channels = 0;
  check_error("rate_field.context", {"2 channels", "0"}, [&] { c.validate(); });
  c = tiny();
  c.rank = 9;
  check_error("rate_field.rank", {"0 to 8", "9"}, [&] { c.validate(); });
  c = tiny();
  c.unit_years = 0;
  check_error("rate_field.unit", {"positive", "0"}, [&] { c.validate(); });
  c = tiny();
  c.network.conditions.push_back(
      {.name = "age", .kind = ConditionKind::continuous, .values = {}, .minimum = 0, .maximum = 120});
  check_error("rate_field.conditions", {"age", "time"}, [&] { c.validate(); });
}
