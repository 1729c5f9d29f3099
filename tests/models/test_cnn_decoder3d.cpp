#include "tests/support/fixture.hpp"

#include "braing3n/models/cnn_decoder3d.hpp"

using namespace braing3n;
using D = Tensor<double, Cpu>;

namespace {

CnnDecoder3dConfig small_d1() {
  CnnDecoder3dConfig c = residual_first_decoder({5, 24, {24, 12, 12}, 6});
  c.grid = {2, 3, 2};
  return c;
}

}  // namespace

TEST_CASE("fixture cnn_decoder: output, loss and every gradient") {
  Context<Cpu> ctx({.threads = 2});
  const auto weights = test::fixture("cnn_decoder", "weights.safetensors"),
             reference = test::fixture("cnn_decoder", "case.safetensors");
  const double rtol = 1e-9, atol = 1e-11;
  CnnDecoder3d<Cpu, F64> decoder(ctx, small_d1());
  const LoadReport report = load_state(decoder, weights);
  REQUIRE_MESSAGE(report.complete(), report.str());
  CHECK_MESSAGE(report.unexpected.empty(), report.str());

  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape);
  const auto z = tape.leaf(test::channels_last(test::fixture_tensor<double>(ctx, reference, "z")));
  const auto y = decoder(pass, z);
  test::check_close("y", y.value(), test::channels_last(test::fixture_tensor<double>(ctx, reference, "y")), rtol, atol);
  const auto loss = l1_loss(y, test::channels_last(test::fixture_tensor<double>(ctx, reference, "target")));
  CHECK(item(loss) == doctest::Approx(reference.read<double>("loss")[0]).epsilon(rtol));
  tape.backward(loss);
  test::check_close("grad_z", z.gradient(), test::channels_last(test::fixture_tensor<double>(ctx, reference, "grad_z")),
                    rtol, atol);
  test::check_parameter_gradients(decoder, reference, rtol, atol, [](const std::string& name) { return name; });
}

TEST_CASE("inference reuses memory but gives the same values as training") {
  Context<Cpu> ctx({.threads = 2});
  CnnDecoder3d<Cpu, F32> decoder(ctx, small_d1());
  initialize(decoder, 3);
  const auto z = test::random<float>(ctx, {2, 12, 5}, 1);  // as tokens
  Tape<Cpu> tape;
  Pass<Cpu> training(ctx, tape), inference(ctx);
  const auto a = decoder(training, Var<float, Cpu>(z)).value();
  const auto kept = z.clone();
  const auto b = decoder(inference, Var<float, Cpu>(z)).value();
  CHECK(test::same_bits(z, kept));
  CHECK(a.shape() == Shape{2, 16, 24, 16, 1});
  CHECK(test::same_bits(a, b));
}

TEST_CASE("parameter counts of the published decoders") {
  Context<Cpu> ctx({.threads = 1});
  CHECK(count_parameters(CnnDecoder3d<Cpu, F32>(ctx, residual_first_decoder())).learned == 43'669'409);
  CHECK(count_parameters(CnnDecoder3d<Cpu, F32>(ctx, upsample_first_decoder())).learned == 43'919'873);
  CHECK(count_parameters(CnnDecoder3d<Cpu, F32>(ctx, autoencoder_kl_decoder({.transposed = true}))).learned ==
        43'678'721);
  CHECK(residual_first_decoder().image() == Extent3{160, 192, 160});
}

TEST_CASE("constructed parameters are the visited ones") {
  Context<Cpu> ctx({.threads = 1});
  for (const bool transposed : {false, true}) {
    const Index before = Parameter<Cpu, F64>::constructed();
    CnnDecoder3d<Cpu, F64> decoder(ctx, autoencoder_kl_decoder({.latent_channels = 4,
                                                                .channels = {6, 12},
                                                                .residuals = {1, 2},
                                                                .attention = {false, true},
                                                                .groups = 6,
                                                                .transposed = transposed}));
    Index visited = 0;
    for_each_parameter(decoder, [&](const std::string&, const auto&) { ++visited; });
    CHECK(visited == Parameter<Cpu, F64>::constructed() - before);
  }
}

TEST_CASE("decoders that do not fit are refused") {
  Context<Cpu> ctx({.threads = 1});
  CHECK_THROWS_WITH_AS((CnnDecoder3d<Cpu, F64>(ctx, residual_first_decoder({5, 24, {24, 10}, 6}))),
                       "group norm: expected channels that 6 groups divide, got 10", Error);
  CnnDecoder3dConfig c = small_d1();
  c.layers[2].out = 12;
  CHECK_THROWS_AS((CnnDecoder3d<Cpu, F64>(ctx, c)), Error);
  CHECK_THROWS_WITH_AS(autoencoder_kl_decoder({.channels = {6, 12}, .residuals = {1}, .attention = {false, true}}),
                       "decoder: expected channels, residual blocks and attention of as many levels, got 2, 1 and 2",
                       Error);
  CnnDecoder3d<Cpu, F64> decoder(ctx, small_d1());
  initialize(decoder, 1);
  Pass<Cpu> pass(ctx);
  CHECK_THROWS_AS(decoder(pass, Var<double, Cpu>(test::random<double>(ctx, {1, 2, 3, 2, 6}, 1))), Error);
}
