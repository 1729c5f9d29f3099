// The code of docs/write-a-new-layer.md.
#include "tests/support/check.hpp"

#include "braing3n/autograd/checkpoint.hpp"
#include "braing3n/nn/flatten.hpp"
#include "braing3n/nn/initialize.hpp"
#include "braing3n/nn/mlp.hpp"
#include "braing3n/nn/norm.hpp"
#include "braing3n/optim/adamw.hpp"
#include "braing3n/optim/clip.hpp"
#include "braing3n/optim/ema.hpp"
#include "braing3n/optim/schedule.hpp"
#include "braing3n/train/finite_loss.hpp"

using namespace braing3n;

namespace {

// [layer]
/// y = x + scale * mlp(norm(x)), with one learned scale per channel (Touvron et al. 2021). x (N, L, width).
template <Backend B, Precision P>
struct ScaledMlpBlock {
  using Act = Var<typename P::Compute, B>;

  LayerNorm<B, P> norm;
  Mlp<B, P> mlp;
  Parameter<B, P> scale;  // (1, width)
  std::string path;       // filled in by bind_names(), put in front of error messages

  ScaledMlpBlock() = default;
  ScaledMlpBlock(Context<B>& context, Index width, Index hidden)
      : norm(context, width, 1e-6), mlp(context, width, hidden),
        scale(context, {.shape = {1, width}, .init = normal(1e-2), .decay = false}) {}

  Act operator()(Pass<B>& pass, const Act& x) const {
    const Act h = mlp(pass, norm(pass, x));
    return pass.at(path, [&] { return gated_add(x, broadcast_rows(scale.var(pass), x.dim(0)), h); });
  }

  static void visit(auto& self, auto&& v) {
    v("norm", self.norm);
    v("mlp", self.mlp);
    v("gamma", self.scale);
  }
};
// [layer]

// [model]
struct RegressorConfig {
  Index in = 4, width = 24, hidden = 48, depth = 2;

  static void visit(auto& self, auto&& v) {
    v("in", self.in);
    v("width", self.width);
    v("hidden", self.hidden);
    v("depth", self.depth);
  }
};

template <Backend B, Precision P>
struct Regressor {
  using Act = Var<typename P::Compute, B>;

  RegressorConfig config;
  Linear<B, P> embed, head;
  std::vector<ScaledMlpBlock<B, P>> blocks;

  Regressor() = default;
  Regressor(Context<B>& context, const RegressorConfig& c)
      : config(c), embed(context, c.in, c.width), head(context, c.width, 1) {
    for (Index i = 0; i < c.depth; ++i) blocks.emplace_back(context, c.width, c.hidden);
  }

  Act operator()(Pass<B>& pass, const Act& x) const {  // (N, L, in) -> (N, 1)
    Act h = embed(pass, x);
    for (const auto& block : blocks)
      h = checkpoint(pass, [&block](Pass<B>& p, const Act& a) { return block(p, a); }, h);
    return head(pass, mean_tokens(h));
  }

  static void visit(auto& self, auto&& v) {
    v("embed", self.embed);
    v("blocks", self.blocks);
    v("head", self.head);
  }
};
// [model]

}  // namespace

TEST_CASE("the training loop of the page learns") {
  // [loop]
  Context<Cpu> ctx({.threads = 2});
  Regressor<Cpu, F32> model(ctx, RegressorConfig{});
  initialize(model, 42);
  flatten(model, ctx);
  auto parameters = parameter_views<Regressor<Cpu, F32>, Cpu>(model);
  AdamW<float, Cpu> optimizer(parameters, {.weight_decay = 0.01});
  Ema<float, Cpu> average(parameters, {.decay = 0.99, .warmup = true});
  const Schedule schedule({.lr = 5e-3, .warmup_steps = 10, .steps = 150});

  double first = 0, last = 0;
  for (int step = 0; step < 150; ++step) {
    const auto x = test::random<float>(ctx, {8, 6, 4}, static_cast<std::uint32_t>(step % 10));
    const auto wanted = slice_forward(mean_tokens_forward(x), -1, 0, 1);  // learn the mean of channel 0

    optimizer.zero_gradients();
    Tape<Cpu> tape;
    Pass<Cpu> pass(ctx, tape);
    const auto loss = mse_loss(model(pass, Var<float, Cpu>(x)), wanted);
    require_finite_loss(loss, ctx, model, [&](Pass<Cpu>& again) { model(again, Var<float, Cpu>(x)); });
    tape.backward(loss);

    const ClipResult clip = clip_coefficient(std::span<const ParameterView<float, Cpu>>(parameters), 1.0);
    optimizer.step(schedule.at(step), clip.coefficient);
    average.update();
    last = item(loss);
    if (step == 0) first = last;
  }
  // [loop]
  CHECK(last < 0.05 * first);
  CHECK(average.updates() == 150);
}

TEST_CASE("the layer's gradients, its names and its errors") {
  Context<Cpu> ctx({.threads = 2});
  ScaledMlpBlock<Cpu, F64> block(ctx, 6, 10);
  initialize(block, 1);
  const auto x0 = test::random<double>(ctx, {2, 3, 6}, 1), up = test::random<double>(ctx, {2, 3, 6}, 2);
  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape), plain(ctx);
  const auto x = tape.leaf(x0);
  tape.backward(block(pass, x), up);
  const auto value = [&] {
    for_each_parameter(
        block, [](const std::string&, auto& p) { p.refresh(); });  // the values may have been changed from outside
    return test::dot(up, block(plain, Var<double, Cpu>(x0)).value());
  };
  test::check_gradient("x", x0, x.gradient(), value);
  for_each_parameter(
      block, [&](const std::string& path, auto& p) { test::check_gradient(path, p.value(), p.gradient(), value); });
  CHECK(describe(block).rfind("norm.weight  (6)\nnorm.bias  (6)\nmlp.fc1.weight  (10, 6)", 0) == 0);
  CHECK_THROWS_WITH_AS(block(plain, Var<double, Cpu>(test::random<double>(ctx, {2, 3, 7}, 1))),
                       doctest::Contains("norm: "), Error);
}

TEST_CASE("a loss that is not finite is explained") {
  Context<Cpu> ctx({.threads = 1});
  Regressor<Cpu, F32> model(ctx, RegressorConfig{});
  initialize(model, 42);
  auto x = test::random<float>(ctx, {2, 6, 4}, 1);
  const auto check = [&] {
    Pass<Cpu> pass(ctx);
    const auto forward = [&](Pass<Cpu>& p) {
      return mse_loss(model(p, Var<float, Cpu>(x)), test::random<float>(ctx, {2, 1}, 3));
    };
    require_finite_loss(forward(pass), ctx, model, forward);
  };
  CHECK_NOTHROW(check());
  x.data()[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH_AS(check(), doctest::Contains("embed: the loss is"), Error);
  x.data()[5] = 0;
  model.blocks[1].scale.value().data()[2] = std::numeric_limits<float>::infinity();
  model.blocks[1].scale.refresh();
  CHECK_THROWS_WITH_AS(check(), doctest::Contains("blocks.1.gamma: the loss is"), Error);
}
