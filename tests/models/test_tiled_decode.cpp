// A decoder in slabs against the decoder as a whole.
#include "tests/support/check.hpp"

#include "braing3n/models/tiled_decode.hpp"
#include "braing3n/nn/initialize.hpp"

using namespace braing3n;

namespace {

/// Norms with gains and shifts of their own, so that a wrong channel or statistic shows.
template <class P>
CnnDecoder3d<Cpu, P> random_decoder(Context<Cpu>& ctx, CnnDecoder3dConfig config, const Extent3& grid) {
  config.grid = grid;
  CnnDecoder3d<Cpu, P> decoder(ctx, config);
  initialize(decoder, 11);
  std::uint32_t id = 100;
  for_each_parameter(decoder, [&](const std::string& path, auto& p) {
    if (path.find("norm") == std::string::npos) return;
    const auto noise = test::random<typename P::Param>(ctx, p.shape(), id++, 0.3);
    for (Index i = 0; i < noise.size(); ++i) p.value().data()[i] += noise.data()[i];
    p.refresh();
  });
  return decoder;
}

std::vector<std::pair<std::string, CnnDecoder3dConfig>> decoders() {
  const AutoencoderKlDecoderOptions small{.latent_channels = 5,
                                          .channels = {4, 8, 12},
                                          .residuals = {2, 1, 2},
                                          .attention = {false, false, true},
                                          .groups = 4};
  AutoencoderKlDecoderOptions transposed = small;
  transposed.mid_attention = false, transposed.transposed = true;
  return {{"d1", residual_first_decoder({5, 12, {12, 6, 6}, 3})},
          {"d2", upsample_first_decoder({5, 12, {12, 6, 6}, 3})},
          {"d3", autoencoder_kl_decoder(small)},
          {"d3 transposed", autoencoder_kl_decoder(transposed)}};
}

std::size_t behind_attention(const CnnDecoder3dConfig& c) {
  std::size_t first = 0;
  for (std::size_t i = 0; i < c.layers.size(); ++i)
    if (c.layers[i].kind == DecoderLayerKind::attention) first = i + 1;
  return first;
}

}  // namespace

TEST_CASE("a decoder in slabs gives what the whole decoder gives, from every layer on and in any number of slabs") {
  Context<Cpu> ctx({.threads = 2});
  for (const auto& [name, config] : decoders()) {
    CAPTURE(name);
    const auto decoder = random_decoder<F64>(ctx, config, {3, 2, 2});
    const auto z = test::random<double>(ctx, {2, 12, 5}, 1);
    Pass<Cpu> pass(ctx);
    const auto whole = decoder(pass, Var<double, Cpu>(z)).value();
    const std::size_t begin = behind_attention(config);
    const auto check = [&](std::size_t first, Index slabs) {
      CAPTURE(first);
      CAPTURE(slabs);
      CHECK(test::max_difference(decode(pass, decoder, z, {first, slabs, 0}), whole) <= test::tolerance<double>(1000));
    };
    // Every layer and every number, but not every pair: that would take a minute.
    const std::vector<Index> numbers = {2, 3, 5, 12};
    for (const Index slabs : numbers) check(begin, slabs);
    for (std::size_t first = begin + 1; first < config.layers.size(); ++first) check(first, numbers[first % 4]);
  }
}

TEST_CASE("in single precision the result of slabs is that of the whole, bit for bit where the sums are") {
  Context<Cpu> ctx({.threads = 2});
  const auto decoder = random_decoder<F32>(ctx, residual_first_decoder({5, 12, {12, 6, 6}, 3}), {3, 3, 2});
  const auto z = test::random<float>(ctx, {1, 18, 5}, 2);
  Pass<Cpu> pass(ctx);
  const auto whole = decoder(pass, Var<float, Cpu>(z)).value();
  CHECK(test::same_bits(decode(pass, decoder, z, choose_tiling(decoder)), whole));
  const auto y = decode(pass, decoder, z, {behind_attention(decoder.config), 4, 0});
  CHECK(test::max_difference(y, whole) <= test::tolerance<float>(30));
}

TEST_CASE(
    "plans: nothing is cut when there is room, less room means more slabs, and the memory taken is the memory "
    "planned") {
  Context<Cpu> ctx({.threads = 2});
  for (const auto& [name, config] : decoders()) {
    CAPTURE(name);
    CnnDecoder3dConfig wider = config;
    for (DecoderLayer& l : wider.layers)
      if (l.out > 1) l.out *= 2;
    const auto decoder = random_decoder<F32>(ctx, wider, {5, 5, 10});
    const DecodeTiling plain = choose_tiling(decoder);
    CHECK(plain.first == config.layers.size());
    CHECK(plain.blocks >= plain.bytes * 9 / 10);
    CHECK_FALSE(plain.tight);
    CHECK(choose_tiling(decoder, plain.bytes).first == config.layers.size());
    const DecodeTiling tight = choose_tiling(decoder, plain.bytes * 6 / 10);
    CHECK(tight.first < config.layers.size());
    CHECK(tight.slabs > 1);
    CHECK(tight.bytes <= plain.bytes * 6 / 10);
    CHECK_THROWS_WITH_AS(choose_tiling(decoder, std::size_t{1000}), doctest::Contains("expected at least"), Error);

    const auto z = test::random<float>(ctx, {1, 5 * 5 * 10, 5}, 3);
    Pass<Cpu> pass(ctx);
    for (const DecodeTiling& tiling : {plain, tight}) {
      ctx.memory().trim();
      ctx.memory().reset_peak();
      const std::size_t before = ctx.memory().stats().live - z.bytes();
      (void)decode(pass, decoder, z.clone(), tiling);
      const double taken = static_cast<double>(ctx.memory().stats().peak - before),
                   planned = static_cast<double>(tiling.bytes);
      CAPTURE(planned);
      CHECK(taken <= 1.1 * planned + 4e6);  // big blocks are whole pages of 2 MB
      CHECK(taken >= 0.8 * planned - 2e6);
    }
  }
}

TEST_CASE("decode() refuses a recording and latents of another grid") {
  Context<Cpu> ctx({.threads = 1});
  const auto decoder = random_decoder<F32>(ctx, residual_first_decoder({5, 12, {12, 6, 6}, 3}), {2, 2, 2});
  Tape<Cpu> tape;
  Pass<Cpu> recording(ctx, tape), pass(ctx);
  CHECK_THROWS_WITH_AS(decode(recording, decoder, test::random<float>(ctx, {1, 8, 5}, 1), choose_tiling(decoder)),
                       doctest::Contains("recorded"), Error);
  CHECK_THROWS_WITH_AS(decode(pass, decoder, test::random<float>(ctx, {1, 9, 5}, 1), choose_tiling(decoder)),
                       doctest::Contains("expected (1, 2, 2, 2, 5)"), Error);
}
