#include "tests/support/check.hpp"
#include "tests/support/scratch_folder.hpp"

#include <filesystem>
#include <fstream>

#include "braing3n/checkpoint/volume_model.hpp"
#include "braing3n/nn/flatten.hpp"
#include "braing3n/ops/reduce.hpp"

using namespace braing3n;

namespace {

TokenizerConfig small_config(Index bottleneck = 5) {
  TokenizerConfig c;
  c.encoder = {.image = {16, 24, 16}, .patch = {8, 8, 8}, .width = 24, .depth = 2, .heads = 3, .mlp = 40};
  c.bottleneck = bottleneck;
  c.decoder = residual_first_decoder({bottleneck, 12, {12, 6, 6}, 3});
  c.decoder.grid = {2, 3, 2};
  return c;
}

PreprocessingContract small_contract() {
  PreprocessingContract c = PreprocessingContract::small();
  c.shape = {16, 24, 16};
  return c;
}

LatentStatistics statistics_of(std::size_t channels) {
  LatentStatistics s;
  for (std::size_t i = 0; i < channels; ++i)
    s.mean.push_back(0.1 * static_cast<double>(i) - 0.3), s.sd.push_back(1.0 / (1.0 + static_cast<double>(i)));
  return s;
}

}  // namespace

TEST_CASE("a tokenizer comes back from its file bit for bit, with contract, statistics and provenance") {
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder scratch;
  Tokenizer<Cpu, F32> made(ctx, small_config());
  initialize(made, 4);
  ModelInfo info;
  info.provenance = "a test";
  save_tokenizer(scratch.path / "model.safetensors", made, small_contract(), statistics_of(5), info);

  const std::filesystem::path folder = scratch.path;  // the folder of a training stands for its model
  const auto volumes = test::random<float>(ctx, {2, 16, 24, 16, 1}, 7);
  // [use]
  const auto tokenizer = load_tokenizer<F32>(ctx, folder);
  Pass<Cpu> run(ctx);
  const auto tokens = tokenizer.model.tokens(run, volumes);           // (N, L, width), of the frozen encoder
  const auto features = mean_tokens_forward(tokens);                  // (N, width), what probes read
  const auto latents = tokenizer.model.project(run, tokens).value();  // (N, X', Y', Z', d')
  const auto standard = tokenizer.latents.standardize(latents);       // mean 0, sd 1 per channel over the training set
  const auto reconstruction = tokenizer.model.decode(run, latents).value();  // (N, X, Y, Z, 1)
  // [use]
  CHECK(features.shape() == Shape{2, 24});
  CHECK(standard.shape() == Shape{2, 2, 3, 2, 5});
  CHECK(reconstruction.shape() == volumes.shape());
  const auto& read = tokenizer;
  CHECK(read.contract == small_contract());
  CHECK(read.latents.mean == statistics_of(5).mean);
  CHECK(read.latents.sd == statistics_of(5).sd);
  CHECK(read.hash.size() == 8);
  CHECK(ModelFile(scratch.path / "model.safetensors").info().provenance == "a test");
  const auto x = test::random<float>(ctx, {2, 16, 24, 16, 1}, 1);
  Pass<Cpu> pass(ctx);
  const auto z = made.encode(pass, x);
  CHECK(z.shape() == Shape{2, 2, 3, 2, 5});
  CHECK(test::same_bits(read.model.encode(pass, x).value(), z.value()));
  const auto y = made(pass, x);
  CHECK(y.shape() == x.shape());
  CHECK(test::same_bits(read.model(pass, x).value(), y.value()));

  const VolumeEncoder<Cpu, F32> encoder(ctx, scratch.path / "model.safetensors");
  CHECK(test::same_bits(encoder.project(encoder.tokens(x)).reshape(z.shape()), z.value()));
  CHECK(encoder.hash == read.hash);
}

TEST_CASE(
    "the encoder of a masked autoencoder's file gives the autoencoder's tokens, and its contract may come by hand") {
  Context<Cpu> ctx({.threads = 2});
  const test::ScratchFolder scratch;
  Mae3dConfig config;
  config.encoder = small_config().encoder;
  config.decoder_width = 24, config.decoder_depth = 1, config.decoder_heads = 2, config.decoder_mlp = 24;
  Mae3d<Cpu, F32> mae(ctx, config);
  initialize(mae, 9);
  ModelInfo info;
  info.kind = "mae3d";
  save_model(scratch.path / "mae", mae, info);
  test::check_error("model.contract", {"--contract"}, [&] { VolumeEncoder<Cpu, F32>(ctx, scratch.path / "mae"); });
  PreprocessingContract other = small_contract();
  other.shape = {16, 24, 24};
  test::check_error("contract.shape", {"16 x 24 x 24", "16 x 24 x 16"},
                    [&] { VolumeEncoder<Cpu, F32>(ctx, scratch.path / "mae", other); });
  const VolumeEncoder<Cpu, F32> encoder(ctx, scratch.path / "mae", small_contract());
  const auto x = test::random<float>(ctx, {1, 16, 24, 16, 1}, 1);
  Pass<Cpu> pass(ctx);
  CHECK(test::same_bits(encoder.tokens(x), mae.encoder.drop_class_token(mae.encoder(pass, x)).value()));
  test::check_error("model.projection", {"mae3d", "need a tokenizer"}, [&] { encoder.project(encoder.tokens(x)); });
}

TEST_CASE("what does not fit is refused") {
  Context<Cpu> ctx({.threads = 1});
  const test::ScratchFolder scratch;
  Tokenizer<Cpu, F32> made(ctx, small_config());
  initialize(made, 4);
  const auto path = scratch.path / "t";
  test::check_error("latents.channels", {"4", "5"},
                    [&] { save_tokenizer(path, made, small_contract(), statistics_of(4), {}); });
  test::check_error("contract.shape", {"80 x 96 x 80"},
                    [&] { save_tokenizer(path, made, PreprocessingContract::small(), statistics_of(5), {}); });
  CHECK(!std::filesystem::exists(path));
  save_tokenizer(path, made, small_contract(), statistics_of(5), {});

  const ModelFile file(path);
  test::check_error("model.kind", {"tokenizer", "mae3d"}, [&] { load_model<Mae3d<Cpu, F32>>(ctx, file, "mae3d"); });
  PreprocessingContract other = small_contract();
  other.spacing[1] = 1.5;
  test::check_error("contract.differs", {"spacing"}, [&] { load_tokenizer<F32>(ctx, path, other); });

  // d' that does not match: in the config, in the weights, in the latents.
  TokenizerConfig config = small_config();
  config.bottleneck = 7;
  test::check_error("tokenizer.bottleneck", {"7", "5"}, [&] { Tokenizer<Cpu, F32>(ctx, config); });
  Tokenizer<Cpu, F32> wider(ctx, small_config(7));
  test::check_error("model.weights", {"projection.weight", "(5, 24)", "(7, 24)"}, [&] { load_weights(wider, file); });
  Pass<Cpu> pass(ctx);
  test::check_error("cnn_decoder3d.input", {"(1, 2, 3, 2, 7)", "5"},
                    [&] { made.decode(pass, test::random<float>(ctx, {1, 2, 3, 2, 7}, 1)); });
  test::check_error("latents.channels", {"(1, 2, 3, 2, 7)", "5"},
                    [&] { statistics_of(5).standardize(test::random<float>(ctx, {1, 2, 3, 2, 7}, 1)); });

  // A decoder that makes another grid.
  config = small_config();
  config.decoder.grid = {2, 2, 2};
  test::check_error("tokenizer.decoder", {"(16, 16, 16)", "(16, 24, 16)"}, [&] { config.validate(); });

  // A byte flipped in the weights.
  {
    std::fstream bytes(path, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(-5, std::ios::end);
    bytes.put('\x7f');
  }
  CHECK_THROWS_AS(load_tokenizer<F32>(ctx, path), Error);
}

TEST_CASE("the frozen encoder gets no gradient; projection and decoder do, equal with and without recomputation") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = test::random<double>(ctx, {2, 16, 24, 16, 1}, 1);
  std::vector<std::vector<double>> kept;
  for (const bool recompute : {false, true}) {
    Tokenizer<Cpu, F64> t(ctx, small_config());
    initialize(t, 4);
    Tape<Cpu> tape;
    Pass<Cpu> pass(ctx, tape);
    pass.recompute_blocks = recompute;
    tape.backward(l1_loss(t(pass, x), x));
    std::vector<std::vector<double>> gradients;
    for_each_parameter(t, [&](const std::string& path, auto& p) {
      if (path.starts_with("encoder.")) {
        CHECK_MESSAGE((!p.trainable() && p.gradient().empty()), path);
        return;
      }
      REQUIRE_MESSAGE(!p.gradient().empty(), path);
      gradients.push_back(p.gradient().to_host());
    });
    if (recompute) CHECK(gradients == kept);
    else kept = std::move(gradients);
    if (recompute) continue;
    // The recorded part by finite differences, through the whole decoder.
    const auto value = [&] {
      t.projection.weight.refresh();  // forgets the packed copy
      Pass<Cpu> plain(ctx);
      return item(l1_loss(t(plain, x), x));
    };
    test::check_gradient("projection.weight", t.projection.weight.value(), t.projection.weight.gradient(), value, 1e-6,
                         1e-5, 20);
    const auto views = parameter_views<Tokenizer<Cpu, F64>, Cpu, double>(t);
    for (const auto& view : views) CHECK_MESSAGE(!view.name.starts_with("encoder."), view.name);
  }
}

TEST_CASE("a masked autoencoder's gradients are equal with and without recomputation") {
  Context<Cpu> ctx({.threads = 2});
  Mae3dConfig config;
  config.encoder = small_config().encoder;
  config.decoder_width = 24, config.decoder_depth = 1, config.decoder_heads = 2, config.decoder_mlp = 24;
  const std::vector<std::uint32_t> samples = {0, 1};
  const auto mask = draw_token_mask(ctx, 1, 0, std::span<const std::uint32_t>(samples), 12, 0.7);
  std::vector<std::vector<float>> kept;
  std::size_t plain_entries = 0;
  for (const bool recompute : {false, true}) {
    Mae3d<Cpu, F32> mae(ctx, config);
    initialize(mae, 9);
    Tape<Cpu> tape;
    Pass<Cpu> pass(ctx, tape);
    pass.recompute_blocks = recompute;
    const auto out = mae(pass, test::random<float>(ctx, {2, 16, 24, 16, 1}, 1), mask);
    if (recompute) CHECK(2 * tape.size() < plain_entries);
    else plain_entries = tape.size();
    tape.backward(masked_patch_loss(out.prediction, out.target, mask, false));
    std::vector<std::vector<float>> gradients;
    for_each_parameter(mae, [&](const std::string&, auto& p) { gradients.push_back(p.gradient().to_host()); });
    if (recompute) CHECK(gradients == kept);
    else kept = std::move(gradients);
  }
}

TEST_CASE("latent statistics standardise every channel, and back") {
  Context<Cpu> ctx({.threads = 1});
  const LatentStatistics s = statistics_of(3);
  const auto z = test::random<double>(ctx, {2, 2, 2, 2, 3}, 1);
  const auto y = s.standardize(z);
  CHECK(y.data()[4] == doctest::Approx((z.data()[4] - s.mean[1]) / s.sd[1]).epsilon(1e-14));
  CHECK(test::max_difference(s.restore(y), z) <= test::tolerance<double>(4));
}
