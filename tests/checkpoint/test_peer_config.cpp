#include "braing3n/backend/cpu.hpp"
#include "braing3n/checkpoint/peer_config.hpp"

#include <doctest/doctest.h>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

Json parsed(const std::string& text) { return parse_json(text, "c.json"); }
const std::string fixtures = BRAING3N_FIXTURES;
Json fixture_config(const std::string& name) { return read_json(fixtures + "/" + name + "/config.json"); }

template <class Model>
ConversionPlan plan_for(const std::string& name, WeightSource from, WeightTarget target, const Model& model) {
  const SafetensorsFile file(fixtures + "/" + name + "/weights.safetensors");
  return plan_conversion(file.tensors(), from, target, expected_tensors(model));
}

std::string mistake(const std::string& text, WeightSource from = WeightSource::monai) {
  const Error e = error_of([&] { mae_config_from_peer(parsed(text), from, "c.json"); });
  CHECK(e.kind() == ErrorKind::config);
  return e.what();
}

}  // namespace

TEST_CASE("peer config: MONAI's constructor, its defaults and what is ignored") {
  const auto peer = mae_config_from_peer(
      parsed(R"({"in_channels":2,"img_size":96,"patch_size":[16,8,16],"dropout_rate":0.1,"more":1})"),
      WeightSource::monai, "c.json");
  const Mae3dConfig& c = peer.config;
  CHECK(c.encoder.channels == 2);
  CHECK(c.encoder.image == Extent3{96, 96, 96});
  CHECK(c.encoder.patch == Extent3{16, 8, 16});
  CHECK(c.encoder.width == 768);
  CHECK(c.encoder.mlp == 512);
  CHECK(c.encoder.depth == 12);
  CHECK(c.encoder.heads == 12);
  CHECK_FALSE(c.encoder.qkv_bias);
  CHECK(c.encoder.layer_norm_eps == 1e-5);
  CHECK_FALSE(c.encoder.has_class_row());
  CHECK(c.decoder_width == 384);
  CHECK(c.decoder_depth == 4);
  CHECK(c.masking_ratio == 0.75);
  CHECK(peer.ignored == std::vector<std::string>{"dropout_rate", "more"});
}

TEST_CASE("peer config: facebookresearch/mae's constructor") {
  const auto peer = mae_config_from_peer(
      parsed(
          R"({"img_size":[32,32,16],"patch_size":16,"in_chans":1,"embed_dim":96,"depth":3,"num_heads":4,"mlp_ratio":2,
      "decoder_embed_dim":48,
      "decoder_depth":1,"decoder_num_heads":2,"norm_pix_loss":true})"),
      WeightSource::timm, "c.json");
  const Mae3dConfig& c = peer.config;
  CHECK(c.encoder.mlp == 192);
  CHECK(c.decoder_mlp == 96);
  CHECK(c.encoder.qkv_bias);
  CHECK(c.encoder.layer_norm_eps == 1e-6);
  CHECK(c.encoder.has_class_row());
  CHECK(c.norm_pix_loss);
  CHECK(peer.ignored.empty());
}

TEST_CASE("peer config: mistakes are named") {
  CHECK(mistake(R"({"img_size":96,"patch_size":16})") == "c.json: the argument \"in_channels\" is missing");
  CHECK(mistake(R"({"in_channels":1,"img_size":[96,96],"patch_size":16})") ==
        "c.json: img_size: expected a list of 3, got a list of 2");
  CHECK(mistake(R"({"in_channels":"1","img_size":96,"patch_size":16})") ==
        "c.json: in_channels: expected a whole number, got the text \"1\"");
  CHECK(mistake(R"({"in_channels":1,"img_size":96,"patch_size":16,"spatial_dims":2})") ==
        "c.json: spatial_dims: 2 is not supported");
  CHECK(mistake(R"({"in_channels":1,"img_size":96,"patch_size":17})")
            .starts_with("c.json: vit3d: expected a positive multiple of the patch extent 17"));
  CHECK(mistake(R"({"in_channels":1,"img_size":96,"patch_size":16,"pos_embed_type":"none"})")
            .starts_with("c.json: pos_embed_type \"none\""));
  CHECK(mistake(R"({"in_channels":1,"img_size":96,"patch_size":16,"pos_embed_type":"learnable"})")
            .starts_with("c.json: pos_embed_type \"learnable\""));
  CHECK(mistake(R"({"in_channels":2,"img_size":96,"patch_size":16,"proj_type":"perceptron"})")
            .starts_with("c.json: proj_type \"perceptron\""));
  CHECK(mistake(R"({"img_size":96,"patch_size":16,"depth":3,"layers":4})", WeightSource::timm) ==
        "c.json: depth and layers say different things");
  CHECK(mistake("[]") == "c.json: expected an object with the constructor arguments");
}

TEST_CASE("peer config: the fixtures' weights fit the models that their configs describe") {
  Context<Cpu> context({.threads = 1});
  {
    const auto peer = mae_config_from_peer(fixture_config("mae_monai"), WeightSource::monai, "c");
    const ConversionPlan plan =
        plan_for("mae_monai", WeightSource::monai, WeightTarget::mae, Mae3d<Cpu, F32>(context, peer.config));
    CHECK_MESSAGE((plan.complete() && plan.unexpected.empty()), conversion_text(plan));
    CHECK(plan.matched.size() == 50);
    CHECK(plan.ignored.size() == 30);
    const ConversionPlan encoder = plan_for("mae_monai", WeightSource::monai, WeightTarget::encoder,
                                            Vit3d<Cpu, F32>(context, peer.config.encoder));
    CHECK_MESSAGE((encoder.complete() && encoder.unexpected.empty()), conversion_text(encoder));
    CHECK(encoder.matched.size() == 30);
    // The other naming scheme must not fit.
    const ConversionPlan wrong =
        plan_for("mae_monai", WeightSource::timm, WeightTarget::mae, Mae3d<Cpu, F32>(context, peer.config));
    CHECK_FALSE(wrong.complete());
  }
  {
    const auto peer = mae_config_from_peer(fixture_config("mae_timm_names"), WeightSource::timm, "c");
    const ConversionPlan plan =
        plan_for("mae_timm_names", WeightSource::timm, WeightTarget::mae, Mae3d<Cpu, F32>(context, peer.config));
    CHECK_MESSAGE((plan.complete() && plan.unexpected.empty()), conversion_text(plan));
    CHECK(plan.matched.size() == 50);
  }
  {
    const auto peer = decoder_config_from_peer(fixture_config("autoencoder_kl_monai"), "c");
    const ConversionPlan plan = plan_for("autoencoder_kl_monai", WeightSource::monai, WeightTarget::autoencoder_decoder,
                                         CnnDecoder3d<Cpu, F32>(context, peer.config));
    CHECK_MESSAGE((plan.complete() && plan.unexpected.empty()), conversion_text(plan));
    CHECK(plan.matched.size() == 92);
    CHECK(plan.ignored.size() == 94);
    CHECK(plan.notes.empty());
  }
  {
    auto config = fixture_config("mae_monai");
    config["mlp_dim"] = 95;
    const auto peer = mae_config_from_peer(config, WeightSource::monai, "c");
    const ConversionPlan plan =
        plan_for("mae_monai", WeightSource::monai, WeightTarget::mae, Mae3d<Cpu, F32>(context, peer.config));
    CHECK(plan.wrong_shape.size() == 6);  // two weights and a bias per encoder block
    CHECK_FALSE(plan.complete());
  }
}

TEST_CASE("peer config: the configs of the models go round through JSON") {
  const auto round = [](const auto& config) {
    using Config = std::remove_cvref_t<decltype(config)>;
    const std::string text = json_text(config);
    CHECK(json_text(config_from_text<Config>(text)) == text);
    return text;
  };
  Mae3dConfig mae;
  mae.encoder.position = PositionKind::learned;
  CHECK(round(mae).find("\"position\":\"learned\"") != std::string::npos);
  CHECK(round(residual_first_decoder()).find("\"kind\":\"upsample_conv\"") != std::string::npos);
}
