// A diffusion transformer with a second input and with two outputs.
#include "tests/support/fixture.hpp"

#include "braing3n/format/json.hpp"
#include "braing3n/models/dit3d.hpp"
#include "tests/support/longitudinal_dit.hpp"

using namespace braing3n;

namespace {

using Model = Dit3d<Cpu, F64>;
using Value = Var<double, Cpu>;
const std::vector<double> times = {0.25, 0.75};

ConditionBatch conditions(const Dit3dConfig& config) {
  const std::vector<ConditionRow> rows = {{{.label = 2}, {.number = 5}, {.label = 0}, {.number = 71}, {}},
                                          {{.label = 0}, {.number = 1}, {}, {}, {.number = 0.5}}};
  return condition_batch(config.conditions, rows);
}

}  // namespace

TEST_CASE("configs without a context and a second output are written and read as before they existed") {
  const std::string plain = json_text(Dit3dConfig{});
  CHECK(plain.find("context_channels") == std::string::npos);
  CHECK(plain.find("outputs") == std::string::npos);
  const auto old = config_from_text<Dit3dConfig>(plain);
  CHECK(old.context_channels == 0);
  CHECK(old.outputs == 1);
  const std::string text = json_text(test::small_longitudinal(3, 2));
  CHECK(text.find(R"("context_channels":3)") != std::string::npos);
  const auto back = config_from_text<Dit3dConfig>(text);
  CHECK(back.context_channels == 3);
  CHECK(back.outputs == 2);
  CHECK(json_text(back) == text);
  test::check_error("dit3d.context_channels", {"got -1"}, [] { test::small_longitudinal(-1, 1).validate(); });
  test::check_error("dit3d.outputs", {"1 or 2 outputs", "got 3"}, [] { test::small_longitudinal(0, 3).validate(); });
  test::check_error("dit3d.outputs", {"1 or 2 outputs", "got 0"}, [] { test::small_longitudinal(0, 0).validate(); });
  test::check_error("dit3d.outputs", {"expected 1 output", "normal distribution", "got 2"}, [] {
    Dit3dConfig c = test::small_longitudinal(0, 2);
    c.gaussian_rank = 2;
    c.validate();
  });
}

TEST_CASE("a fresh context changes nothing; later the model sees it") {
  Context<Cpu> ctx({.threads = 2});
  Model plain(ctx, test::small_longitudinal(0, 1)), model(ctx, test::small_longitudinal(3, 1));
  test::fill_by_name(ctx, plain, 3);
  test::fill_by_name(ctx, model, 3);
  std::vector<std::string> names;
  for_each_parameter(model, [&](const std::string& path, auto&) { names.push_back(path); });
  CHECK(names[2] == "context_embedder.weight");
  CHECK(names[3] == "context_embedder.bias");
  const Value x(test::random<double>(ctx, {2, 12, 4}, 1)), context(test::random<double>(ctx, {2, 12, 3}, 2)),
      other(test::random<double>(ctx, {2, 12, 3}, 3));
  Pass<Cpu> pass(ctx);
  const ConditionBatch given = conditions(model.config);
  const auto without = plain(pass, x, times, given).value(), with = model(pass, x, times, given, context).value();
  CHECK(test::max_difference(without, with) > 1e-3);
  CHECK(test::max_difference(model(pass, x, times, given, other).value(), with) > 1e-3);
  Model fresh(ctx, test::small_longitudinal(3, 1));
  const auto of_context = [](const std::string& name) { return name.starts_with("context_embedder"); };
  test::fill_by_name(ctx, fresh, 3, [&](const std::string& name) { return !of_context(name); });
  for_each_parameter(fresh, [&](const std::string& name, auto& p) {
    if (of_context(name))
      for (const double v : p.value().to_host()) CHECK(v == 0);
  });
  CHECK(test::same_bits(fresh(pass, x, times, given, context).value(), without));
}

TEST_CASE("a context that is missing, not wanted or of another shape is refused") {
  Context<Cpu> ctx({.threads = 1});
  Model plain(ctx, test::small_longitudinal(0, 1)), model(ctx, test::small_longitudinal(3, 1));
  test::fill_by_name(ctx, plain, 3);
  test::fill_by_name(ctx, model, 3);
  const Value x(test::random<double>(ctx, {2, 12, 4}, 1));
  Pass<Cpu> pass(ctx);
  const ConditionBatch given = conditions(model.config);
  const auto refused = [&](const Model& m, const std::vector<std::string>& parts, const Value& context) {
    test::check_error("dit3d.context", parts, [&] { m(pass, x, times, given, context); });
  };
  refused(model, {"a context of shape (2, 12, 3)", "got none"}, {});
  refused(model, {"(2, 12, 3)", "got one of shape (2, 12, 4)"}, x);
  refused(model, {"(2, 12, 3)", "(1, 12, 3)"}, Value(test::random<double>(ctx, {1, 12, 3}, 1)));
  refused(plain, {"no context", "got one of shape (2, 12, 4)"}, x);
  test::check_error("dit3d.context", {"got none"}, [&] { model(pass, x, times, given); });
}

TEST_CASE("two outputs are two models that share all but the last layer") {
  Context<Cpu> ctx({.threads = 1});
  Model two(ctx, test::small_longitudinal(0, 2)), one(ctx, test::small_longitudinal(0, 1));
  test::fill_by_name(ctx, two, 3);
  test::fill_by_name(ctx, one, 3);
  const Value x(test::random<double>(ctx, {2, 12, 4}, 1));
  Pass<Cpu> pass(ctx);
  const auto both = two(pass, x, times, conditions(two.config)).value();
  REQUIRE(both.shape() == Shape{2, 12, 8});
  for (Index head = 0; head < 2; ++head) {
    const auto rows = [&](const Tensor<double, Cpu>& all) { return all.slice(4 * head, 4 * head + 4).clone(); };
    one.final_linear.weight.adopt(rows(two.final_linear.weight.value()));
    one.final_linear.bias.adopt(rows(two.final_linear.bias.value()));
    const auto v = one(pass, x, times, conditions(one.config)).value();
    double worst = 0;
    for (Index i = 0; i < v.size(); ++i)
      worst = std::max(worst, std::abs(v.data()[i] - both.data()[i / 4 * 8 + 4 * head + i % 4]));
    CHECK(worst < test::tolerance<double>(24, 4.0));
  }
}

TEST_CASE("gradients through the context and both outputs agree with finite differences") {
  Context<Cpu> ctx({.threads = 1});
  Model model(ctx, test::small_longitudinal(3, 2));
  test::fill_by_name(ctx, model, 3);
  const auto x = test::random<double>(ctx, {2, 12, 4}, 1), context = test::random<double>(ctx, {2, 12, 3}, 2),
             target = test::random<double>(ctx, {2, 12, 8}, 3);
  const ConditionBatch given = conditions(model.config);
  const auto loss = [&] {
    for_each_parameter(model, [](const std::string&, auto& p) { p.refresh(); });
    Pass<Cpu> pass(ctx);
    return item(mse_loss(model(pass, Value(x), times, given, Value(context)), target));
  };
  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape);
  const Value recorded = tape.leaf(context);
  tape.backward(mse_loss(model(pass, Value(x), times, given, recorded), target));
  test::check_gradient("context", context, recorded.gradient(), loss);
  test::check_gradient("context_embedder.weight", model.context_embedder.weight.value(),
                       model.context_embedder.weight.gradient(), loss);
  test::check_gradient("context_embedder.bias", model.context_embedder.bias.value(),
                       model.context_embedder.bias.gradient(), loss);
  test::check_gradient("final_layer.linear.weight", model.final_linear.weight.value(),
                       model.final_linear.weight.gradient(), loss);
  test::check_gradient("x_embedder.weight", model.x_embedder.weight.value(), model.x_embedder.weight.gradient(), loss);
}
