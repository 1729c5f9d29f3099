#include "tests/support/check.hpp"

#include "braing3n/models/dit_memory.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/objective/flow_matching.hpp"
#include "braing3n/sample/generate.hpp"

using namespace braing3n;

namespace {

Dit3dConfig config(Index width, Index depth, Index mlp) {
  Dit3dConfig c;
  c.channels = 16, c.grid = {8, 8, 8}, c.width = width, c.depth = depth, c.heads = 4, c.mlp = mlp;
  return c;
}

/// Bytes in use at the most while f runs, beside what was in use before.
template <class F>
double taken(Context<Cpu>& ctx, F&& f) {
  ctx.memory().reset_peak();
  const std::size_t before = ctx.memory().stats().live;
  f();
  return static_cast<double>(ctx.memory().stats().peak - before);
}

}  // namespace

TEST_CASE("the memory of a training step and of a sample is planned within 10 %") {
  Context<Cpu> ctx({.threads = 2});
  for (const Dit3dConfig& c : {config(96, 3, 384), config(192, 2, 384), config(96, 1, 192)}) {
    Dit3d<Cpu, F32> model(ctx, c);
    initialize(model, 1);
    std::vector<ConditionRow> rows(4, ConditionRow(c.conditions.size()));
    for (ConditionRow& row : rows) row[2].label = 0, row[4].number = 60;
    const ConditionBatch conditions = condition_batch(c.conditions, rows);
    for_each_parameter(model, [](const std::string&, auto& p) { p.zero_gradient(); });
    for (const bool recompute : {false, true}) {
      CAPTURE(c.width);
      CAPTURE(c.depth);
      CAPTURE(recompute);
      const auto step = [&] {
        const std::vector<Index> positions = {0, 1, 2, 3};
        const auto data = test::random<float>(ctx, {4, 512, 16}, 3);
        const auto t = draw_times(1, std::span<const Index>(positions), TimeDistribution::uniform);
        const auto flow =
            flow_interpolate(data, draw_noise<float>(ctx, 1, std::span<const Index>(positions), {512, 16}), t);
        Tape<Cpu> tape;
        Pass<Cpu> pass(ctx, tape);
        pass.recompute_blocks = recompute;
        tape.backward(mse_loss(model(pass, Var<float, Cpu>(flow.x_t), t, conditions), flow.velocity));
      };
      step();  // gradients come into being
      const double took = taken(ctx, step), planned = static_cast<double>(training_pass_bytes<F32>(c, 4, recompute));
      CAPTURE(took);
      CAPTURE(planned);
      CHECK(std::abs(planned / took - 1) < 0.1);
    }
    const SamplingOptions sampling{.steps = 3, .guidance = {.scale = 2}};
    const std::vector<std::uint32_t> ids = {0, 1, 2, 3};
    const auto sample = [&] { sample_latents(ctx, model, std::span<const std::uint32_t>(ids), rows, 1, sampling); };
    sample();
    const double took = taken(ctx, sample), planned = static_cast<double>(evaluation_bytes<F32>(c, 8));
    CAPTURE(took);
    CAPTURE(planned);
    CHECK(std::abs(planned / took - 1) < 0.1);
  }
}

TEST_CASE("a context and a second output are planned for") {
  Context<Cpu> ctx({.threads = 2});
  Dit3dConfig c = config(96, 1, 192);
  c.context_channels = 48, c.outputs = 2;
  Dit3d<Cpu, F32> model(ctx, c);
  initialize(model, 1);
  std::vector<ConditionRow> rows(4, ConditionRow(c.conditions.size()));
  for (ConditionRow& row : rows) row[2].label = 0, row[4].number = 60;
  const ConditionBatch conditions = condition_batch(c.conditions, rows);
  for_each_parameter(model, [](const std::string&, auto& p) { p.zero_gradient(); });
  const std::vector<double> t(4, 0.5);
  const auto step = [&] {
    const auto x = test::random<float>(ctx, {4, 512, 16}, 3), context = test::random<float>(ctx, {4, 512, 48}, 4),
               data = test::random<float>(ctx, {4, 512, 16}, 5), noise = test::random<float>(ctx, {4, 512, 16}, 6),
               target = test::random<float>(ctx, {4, 512, 32}, 7);
    Tape<Cpu> tape;
    Pass<Cpu> pass(ctx, tape);
    tape.backward(mse_loss(model(pass, Var<float, Cpu>(x), t, conditions, Var<float, Cpu>(context)), target));
  };
  step();  // gradients come into being
  const double took = taken(ctx, step), planned = static_cast<double>(training_pass_bytes<F32>(c, 4, false));
  CAPTURE(took);
  CAPTURE(planned);
  CHECK(std::abs(planned / took - 1) < 0.1);
}
