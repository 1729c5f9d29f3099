// Architectures of decoders in configurations: their names in files, and the layers they stand for.
#include <doctest/doctest.h>

#include "braing3n/format/json.hpp"
#include "braing3n/train/tokenizer_training.hpp"

using namespace braing3n;

TEST_CASE("decoder architectures keep their names in files") {
  CHECK(json_text(DecoderArchitecture{}) == R"({"plan":"d1","mid":512,"widths":[256,128,64,32],"groups":32})");
  const auto read = [](const char* text) { return config_from_text<DecoderArchitecture>(text, "config.json"); };
  CHECK(read(R"({"plan":"d1"})").blocks == DecoderBlocks::residual_first);
  CHECK(read(R"({"plan":"d2"})").blocks == DecoderBlocks::upsample_first);
  CHECK(read(R"({"plan":"d3"})").blocks == DecoderBlocks::autoencoder_kl);
  CHECK_THROWS_WITH_AS(read(R"({"plan":"d4"})"),
                       R"(config.json: plan: expected one of "d1", "d2", "d3", got the text "d4")", Error);
  CHECK_THROWS_WITH_AS(read(R"({"widths":[]})").decoder(8, {2, 2, 2}), "decoder: expected at least one width, got none",
                       Error);
}

TEST_CASE("decoder architectures: the layers in their order") {
  using K = DecoderLayerKind;
  const auto kinds = [](DecoderBlocks blocks) {
    const DecoderArchitecture a{.blocks = blocks, .mid = 16, .widths = {8, 4}, .groups = 4};
    const CnnDecoder3dConfig c = a.decoder(5, {2, 3, 2});
    CHECK(c.latent_channels == 5);
    CHECK(c.grid == Extent3{2, 3, 2});
    CHECK(c.image() == Extent3{8, 12, 8});
    CHECK(c.final_silu == (blocks != DecoderBlocks::autoencoder_kl));
    std::vector<K> all;
    for (const DecoderLayer& l : c.layers) all.push_back(l.kind);
    return all;
  };
  CHECK(kinds(DecoderBlocks::residual_first) == std::vector{K::conv1, K::residual, K::attention, K::residual,
                                                            K::residual, K::residual, K::upsample_conv, K::residual,
                                                            K::residual, K::upsample_conv, K::norm, K::conv3});
  CHECK(kinds(DecoderBlocks::upsample_first) ==
        std::vector{K::conv3, K::residual, K::attention, K::residual, K::upsample_conv, K::residual, K::residual,
                    K::upsample_conv, K::residual, K::residual, K::norm, K::conv3});
  // Levels fine to coarse: 4, 8, 16; attention in the two coarsest.
  CHECK(kinds(DecoderBlocks::autoencoder_kl) ==
        std::vector{K::conv3, K::residual, K::attention, K::residual, K::residual, K::attention, K::residual,
                    K::attention, K::upsample_conv, K::residual, K::attention, K::residual, K::attention,
                    K::upsample_conv, K::residual, K::residual, K::norm, K::conv3});
}
