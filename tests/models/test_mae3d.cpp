#include "tests/support/fixture.hpp"

#include "braing3n/autograd/checkpoint.hpp"
#include "braing3n/models/mae3d.hpp"

using namespace braing3n;
using D = Tensor<double, Cpu>;

namespace {

const auto same_name = [](const std::string& name) { return name; };

Mae3dConfig timm_config() {
  Mae3dConfig c;
  c.encoder = {
      .channels = 1, .image = {16, 24, 16}, .patch = {8, 8, 8}, .width = 48, .depth = 2, .heads = 4, .mlp = 96};
  c.decoder_width = 24;
  c.decoder_depth = 1;
  c.decoder_heads = 3;
  c.decoder_mlp = 64;
  c.norm_pix_loss = true;
  return c;
}

}  // namespace

TEST_CASE("fixture mae_timm_names: latent, prediction, loss and every gradient") {
  Context<Cpu> ctx({.threads = 2});
  const auto weights = test::fixture("mae_timm_names", "weights.safetensors"),
             reference = test::fixture("mae_timm_names", "case.safetensors");
  const double rtol = 1e-9, atol = 1e-11;

  Mae3d<Cpu, F64> mae(ctx, timm_config());
  const LoadReport report = load_state(mae, weights);
  REQUIRE_MESSAGE(report.complete(), report.str());
  CHECK_MESSAGE(report.unexpected.empty(), report.str());

  const D x = test::channels_last(test::fixture_tensor<double>(ctx, reference, "volume"));
  const auto noise = reference.read<double>("noise");
  const auto mask = token_mask_from_noise(ctx, std::span<const double>(noise), 2, 12, 0.65);
  REQUIRE(mask.kept() == reference.read<std::int64_t>("keep")[0]);
  test::check_close("mask", mask.masked.weights, test::fixture_tensor<float>(ctx, reference, "mask"), 0, 1e-7);

  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape);
  const auto patches = mae.encoder.patches(x);
  const auto latent = mae.encoder.encode(pass, Var<double, Cpu>(patches), &mask.visible);
  test::check_close("latent", latent.value(), test::fixture_tensor<double>(ctx, reference, "latent"), rtol, atol);
  const auto prediction = mae.decode(pass, latent, mask);
  test::check_close("pred", prediction.value(), test::fixture_tensor<double>(ctx, reference, "pred"), rtol, atol);
  test::check_close("target", normalize_patches(patches), test::fixture_tensor<double>(ctx, reference, "target"), rtol,
                    atol);
  const auto loss = masked_patch_loss(prediction, patches, mask, mae.config.norm_pix_loss);
  CHECK(item(loss) == doctest::Approx(reference.read<double>("loss")[0]).epsilon(rtol));
  tape.backward(loss);
  test::check_parameter_gradients(mae, reference, rtol, atol, same_name);
}

TEST_CASE("a model in float agrees with the same model in double") {
  Context<Cpu> ctx({.threads = 2});
  Mae3d<Cpu, F64> wide(ctx, timm_config());
  Mae3d<Cpu, F32> narrow(ctx, timm_config());
  initialize(wide, 3);
  initialize(narrow, 3);
  const auto x = test::random<double>(ctx, {2, 16, 24, 16, 1}, 1);
  const std::vector<std::uint32_t> samples = {4, 9};
  const auto mask = draw_token_mask(ctx, 1, 0, std::span<const std::uint32_t>(samples), 12, 0.7);
  Pass<Cpu> pass(ctx);
  const auto y64 = wide(pass, x, mask).prediction.value();
  const auto y32 = narrow(pass, cast<float>(x), mask).prediction.value();
  CHECK(test::max_difference(y32, y64) <= test::tolerance<float>(512, 4.0));
}

TEST_CASE("gradients and values do not depend on the number of threads") {
  const auto run = [](int threads) {
    Context<Cpu> ctx({.threads = threads});
    Mae3d<Cpu, F32> mae(ctx, timm_config());
    initialize(mae, 5);
    const std::vector<std::uint32_t> samples = {0, 1, 2};
    const auto mask = draw_token_mask(ctx, 1, 0, std::span<const std::uint32_t>(samples), 12, 0.7);
    Tape<Cpu> tape;
    Pass<Cpu> pass(ctx, tape);
    const auto out = mae(pass, test::random<float>(ctx, {3, 16, 24, 16, 1}, 1), mask);
    const auto loss = masked_patch_loss(out.prediction, out.target, mask, false);
    tape.backward(loss);
    std::vector<std::vector<float>> all = {{static_cast<float>(item(loss))}, out.prediction.value().to_host()};
    for_each_parameter(mae, [&](const std::string&, auto& p) { all.push_back(p.gradient().to_host()); });
    return all;
  };
  const auto one = run(1);
  CHECK(one == run(2));
  CHECK(one == run(3));
}

TEST_CASE("checkpointed blocks give the gradients of the plain call bit for bit") {
  Context<Cpu> ctx({.threads = 2});
  const TransformerOptions options = {.width = 24, .heads = 3, .mlp = 40, .qkv_bias = true, .layer_norm_eps = 1e-6};
  const auto run = [&](bool use) {
    DitBlock<Cpu, F32> block(ctx, options);
    initialize(block, 11);
    // adaLN-Zero starts with closed gates, through which nothing could be seen.
    block.modulation.weight.adopt(test::random<float>(ctx, {144, 24}, 21, 0.2));
    block.modulation.bias.adopt(test::random<float>(ctx, {144}, 22, 0.5));
    Tape<Cpu> tape;
    Pass<Cpu> pass(ctx, tape);
    const auto x = tape.leaf(test::random<float>(ctx, {2, 5, 24}, 1)),
               c = tape.leaf(test::random<float>(ctx, {2, 24}, 2));
    const auto f = [&block](Pass<Cpu>& p, const Var<float, Cpu>& a, const Var<float, Cpu>& b) {
      return block(p, a, b);
    };
    auto h = x;
    for (int repeat = 0; repeat < 2; ++repeat) h = use ? checkpoint(pass, f, h, c) : f(pass, h, c);
    tape.backward(h, test::random<float>(ctx, {2, 5, 24}, 3));
    std::vector<std::vector<float>> all = {x.gradient().to_host(), c.gradient().to_host()};
    for_each_parameter(block, [&](const std::string&, auto& p) {
      all.push_back(p.gradient().to_host());
      bool any = false;
      for (const float g : all.back()) any = any || g != 0.0f;
      CHECK(any);
    });
    return all;
  };
  CHECK(run(false) == run(true));
}

TEST_CASE("a frozen encoder records nothing, and taps show what is asked for") {
  Context<Cpu> ctx({.threads = 1});
  Mae3d<Cpu, F64> mae(ctx, timm_config());
  initialize(mae, 5);
  set_trainable(mae, false);
  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape);
  Taps<Cpu> taps;
  int seen = 0;
  taps.on("blocks.1.attn.weights", Taps<Cpu>::Handler64([&](const std::string& path, const D& w) {
            ++seen;
            CHECK(path == "blocks.1.attn.weights");
            CHECK(w.shape() == Shape{2, 4, 13, 13});
            double row = 0;
            for (Index i = 0; i < 13; ++i) row += w.data()[i];
            CHECK(row == doctest::Approx(1.0));
          }));
  pass.taps = &taps;
  const auto y = mae.encoder(pass, test::random<double>(ctx, {2, 16, 24, 16, 1}, 1));
  CHECK(y.shape() == Shape{2, 13, 48});
  CHECK(mae.encoder.drop_class_token(y).shape() == Shape{2, 12, 48});
  CHECK(!y.wants_gradient());
  CHECK(tape.size() == 0);
  CHECK(seen == 1);
}

TEST_CASE("every path has its own handler, for float and for double") {
  Context<Cpu> ctx({.threads = 1});
  Taps<Cpu> taps;
  std::vector<std::string> calls;
  const auto handler32 = [&calls](const char* name) {
    return Taps<Cpu>::Handler32(
        [&calls, name](const std::string& path, const Tensor<float, Cpu>&) { calls.push_back(name + (":" + path)); });
  };
  taps.on("a", handler32("first"));
  taps.on("b", handler32("second"));
  taps.on("b",
          Taps<Cpu>::Handler64([&calls](const std::string& path, const D&) { calls.push_back("double:" + path); }));
  const auto f = Tensor<float, Cpu>::zeros(ctx, {1});
  taps.give("a", f);
  taps.give("b", f);
  taps.give("b", D::zeros(ctx, {1}));
  taps.give("a", D::zeros(ctx, {1}));  // nobody asked for doubles here
  taps.give("c", f);
  taps.give("a", Tensor<bfloat16, Cpu>::zeros(ctx, {1}));
  CHECK(calls == std::vector<std::string>{"first:a", "second:b", "double:b", "first:a"});
  taps.on("a", handler32("third"));
  calls.clear();
  taps.give("a", f);
  CHECK(calls == std::vector<std::string>{"third:a"});
  CHECK(taps.wants("b"));
  CHECK(!taps.wants("c"));
}

TEST_CASE("the first tensor that is not finite is named") {
  Context<Cpu> ctx({.threads = 1});
  Mae3d<Cpu, F64> mae(ctx, timm_config());
  initialize(mae, 5);
  mae.encoder.blocks[1].mlp.fc1.bias.value().data()[3] = std::numeric_limits<double>::infinity();
  mae.encoder.blocks[1].mlp.fc1.bias.refresh();
  Pass<Cpu> pass(ctx);
  pass.check_finite = true;
  try {
    mae.encoder(pass, test::random<double>(ctx, {1, 16, 24, 16, 1}, 1));
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::numeric);
    CHECK(e.path() == "blocks.1.mlp.fc1");
  }
}
