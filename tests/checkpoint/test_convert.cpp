#include "braing3n/checkpoint/convert.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "braing3n/format/safetensors_writer.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

NamedTensor entry(const std::string& name, std::vector<Index> shape = {1}) {
  std::size_t n = 1;
  for (const Index e : shape) n *= static_cast<std::size_t>(e);
  return named_tensor<float>(name, std::move(shape), std::vector<float>(n, 1.0f));
}

std::string only(const braing3n::detail::Renamed& r) {
  return r.targets.size() == 1 ? r.targets[0] : "(" + r.ignored + ")";
}

}  // namespace

TEST_CASE("convert: names of MONAI's masked autoencoder") {
  const auto to = [](const char* name) { return only(braing3n::detail::rename_monai_mae(name)); };
  CHECK(to("cls_token") == "cls_token");
  CHECK(to("mask_tokens") == "mask_token");
  CHECK(to("decoder_pos_embedding") == "decoder_pos_embed");
  CHECK(to("patch_embedding.position_embeddings") == "pos_embed");
  CHECK(to("patch_embedding.patch_embeddings.weight") == "patch_embed.proj.weight");
  CHECK(to("patch_embedding.patch_embeddings.1.bias") == "patch_embed.proj.bias");
  CHECK(to("blocks.11.mlp.linear1.weight") == "blocks.11.mlp.fc1.weight");
  CHECK(to("blocks.0.mlp.linear2.bias") == "blocks.0.mlp.fc2.bias");
  CHECK(to("decoder_blocks.3.attn.out_proj.weight") == "decoder_blocks.3.attn.proj.weight");
  CHECK(to("blocks.1.attn.qkv.weight") == "blocks.1.attn.qkv.weight");
  CHECK(to("blocks.1.norm2.bias") == "blocks.1.norm2.bias");
  CHECK(to("blocks.12.weight") == "norm.weight");
  CHECK(to("decoder_blocks.8.bias") == "decoder_norm.bias");
  CHECK(to("norm.weight") == "norm.weight");
  CHECK(to("decoder_pred.bias") == "decoder_pred.bias");
  CHECK(to("blocks.1.cross_attn.to_q.weight").find("never uses") != std::string::npos);
  CHECK(to("blocks.1.norm_cross_attn.bias").find("never uses") != std::string::npos);
  CHECK(to("mask_tokens_extra") == "mask_tokens_extra");
}

TEST_CASE("convert: names of AutoencoderKL decoders") {
  const auto to = [](const char* name) { return only(braing3n::detail::rename_monai_decoder(name)); };
  CHECK(to("decoder.blocks.0.conv.weight") == "blocks.0.weight");
  CHECK(to("decoder.blocks.1.conv1.conv.bias") == "blocks.1.conv1.bias");
  CHECK(to("decoder.blocks.11.nin_shortcut.conv.weight") == "blocks.11.shortcut.weight");
  CHECK(to("decoder.blocks.2.attn.to_q.weight") == "blocks.2.q.weight");
  CHECK(to("decoder.blocks.2.to_v.bias") == "blocks.2.v.bias");
  CHECK(to("decoder.blocks.2.attn.out_proj.bias") == "blocks.2.out.bias");
  CHECK(to("decoder.blocks.2.norm.weight") == "blocks.2.norm.weight");
  CHECK(to("decoder.blocks.8.postconv.conv.weight") == "blocks.8.weight");
  CHECK(to("decoder.blocks.8.conv.conv.weight") == "blocks.8.weight");
  CHECK(to("decoder.blocks.8.deconv.bias") == "blocks.8.bias");
  CHECK(to("decoder.blocks.12.bias") == "blocks.12.bias");
  CHECK(to("post_quant_conv.conv.weight") == "post_quant_conv.weight");
  CHECK(to("encoder.blocks.0.conv.weight").find("encoder") != std::string::npos);
  CHECK(to("quant_conv_mu.conv.bias").find("encoder") != std::string::npos);
  CHECK(to("decoder.blocks.2.proj_attn.weight").find("never uses") != std::string::npos);
  CHECK(braing3n::detail::rename_monai_decoder("decoder.blocks.2.attn.qkv.weight").targets ==
        std::vector<std::string>{"blocks.2.q.weight", "blocks.2.k.weight", "blocks.2.v.weight"});
}

TEST_CASE("convert: every tensor is accounted for") {
  const std::vector<ExpectedTensor> expected{{"cls_token", {1, 1, 4}},
                                             {"blocks.0.mlp.fc1.weight", {8, 4}},
                                             {"blocks.0.mlp.fc2.weight", {4, 8}},
                                             {"norm.weight", {4}},
                                             {"norm.bias", {4}},
                                             {"pos_embed", {1, 3, 4}, true}};
  const std::vector<NamedTensor> source{entry("module.backbone.cls_token", {1, 1, 4}),
                                        entry("module.backbone.blocks.0.mlp.linear1.weight", {8, 4}),
                                        entry("module.backbone.blocks.0.mlp.linear2.weight", {8, 4}),
                                        entry("module.backbone.blocks.1.weight", {4}),
                                        entry("module.backbone.nrm.bias", {4}),
                                        entry("module.backbone.blocks.0.cross_attn.to_q.weight", {4, 4}),
                                        entry("head.weight\x1b", {10, 4}),
                                        entry("module.backbone.norm.weight", {4})};
  const ConversionPlan plan = plan_conversion(source, WeightSource::monai, WeightTarget::mae, expected);
  REQUIRE(plan.matched.size() == 3);
  CHECK(plan.matched[1].target == "blocks.0.mlp.fc1.weight");
  CHECK(plan.matched[2].target == "norm.weight");
  CHECK(plan.matched[2].source == "module.backbone.blocks.1.weight");
  REQUIRE(plan.wrong_shape.size() == 1);  // transposed: the same count is not enough
  CHECK(plan.wrong_shape[0].target == "blocks.0.mlp.fc2.weight");
  REQUIRE(plan.missing.size() == 1);  // the position table is optional
  CHECK(plan.missing[0].name == "norm.bias");
  CHECK(plan.missing[0].candidates == std::vector<std::string>{"module.backbone.nrm.bias"});
  CHECK(plan.ignored.size() == 1);
  REQUIRE(plan.unexpected.size() == 3);
  CHECK(plan.unexpected[0].name == "module.backbone.norm.weight");  // a second tensor for the same place
  CHECK(plan.unexpected[1].name == "module.backbone.nrm.bias");
  CHECK(plan.unexpected[1].candidates == std::vector<std::string>{"norm.bias"});
  CHECK_FALSE(plan.complete());
  const std::string text = conversion_text(plan);
  CHECK(text.find("missing     norm.bias (4)  nearest: \"module.backbone.nrm.bias\"\n") != std::string::npos);
  CHECK(
      text.find(
          "mis-shaped  \"module.backbone.blocks.0.mlp.linear2.weight\" (8, 4) for blocks.0.mlp.fc2.weight (4, 8)\n") !=
      std::string::npos);
  CHECK(text.find("prefix \"module.\" dropped") != std::string::npos);
  CHECK(text.find("3 matched, 1 ignored, 1 missing, 3 unexpected, 1 mis-shaped, 1 unused") != std::string::npos);
  CHECK(text.find('\x1b') == std::string::npos);
  const std::string bytes = safetensors_text("{}", "");
  CHECK(error_of([&] { converted_tensors(plan, SafetensorsFile(bytes_of(bytes), "x")); }).kind() == ErrorKind::state);
}

TEST_CASE("convert: shapes that hold the same values") {
  const auto fits = [](std::vector<Index> came, std::vector<Index> wanted, const char* name = "x") {
    return braing3n::detail::same_values(came, {name, wanted});
  };
  CHECK(fits({4, 4}, {4, 4, 1, 1, 1}));
  CHECK(fits({4}, {4}));
  CHECK_FALSE(fits({4, 8}, {8, 4, 1, 1, 1}));
  CHECK_FALSE(fits({4}, {4, 1}));
  CHECK_FALSE(fits({4, 1}, {4, 2}));
  CHECK_FALSE(fits({1, 3, 4}, {1, 4, 4}));
  CHECK_FALSE(fits({3, 3, 1}, {1, 3, 3}));
  CHECK(fits({6, 8}, {6, 1, 2, 2, 2}, "patch_embed.proj.weight"));
  CHECK_FALSE(fits({6, 16}, {6, 2, 2, 2, 2}, "patch_embed.proj.weight"));
  CHECK_FALSE(fits({6, 8}, {6, 1, 2, 2, 2}));
}

TEST_CASE("convert: combined projections are cut, missing output projections become the identity") {
  const ScratchFolder folder;
  std::vector<float> qkv(3 * 2 * 2), bias{1, 2, 3, 4, 5, 6};
  for (std::size_t i = 0; i < qkv.size(); ++i) qkv[i] = static_cast<float>(i);
  const std::vector<NamedTensor> tensors{named_tensor<float>("decoder.blocks.0.attn.qkv.weight", {6, 2}, qkv),
                                         named_tensor<float>("decoder.blocks.0.attn.qkv.bias", {6}, bias)};
  write_safetensors(folder / "in", tensors);
  const SafetensorsFile file(folder / "in");
  std::vector<ExpectedTensor> expected;
  for (const char* layer : {"q", "k", "v", "out"}) {
    expected.push_back({std::string("blocks.0.") + layer + ".weight", {2, 2, 1, 1, 1}});
    expected.push_back({std::string("blocks.0.") + layer + ".bias", {2}});
  }
  const ConversionPlan plan =
      plan_conversion(file.tensors(), WeightSource::monai, WeightTarget::autoencoder_decoder, expected);
  REQUIRE_MESSAGE(plan.complete(), conversion_text(plan));
  write_safetensors(folder / "out", converted_tensors(plan, file));
  const SafetensorsFile out(folder / "out");
  CHECK(out.read<float>("blocks.0.q.weight") == std::vector<float>{0, 1, 2, 3});
  CHECK(out.read<float>("blocks.0.v.weight") == std::vector<float>{8, 9, 10, 11});
  CHECK(out.read<float>("blocks.0.k.bias") == std::vector<float>{3, 4});
  CHECK(out.read<float>("blocks.0.out.weight") == std::vector<float>{1, 0, 0, 1});
  CHECK(out.read<float>("blocks.0.out.bias") == std::vector<float>{0, 0});
  CHECK(out.info("blocks.0.q.weight").shape == std::vector<Index>{2, 2, 1, 1, 1});
}

TEST_CASE("convert: a part of the model's own blocks must not stay unused") {
  const std::vector<ExpectedTensor> expected{
      {"blocks.0.norm1.weight", {4}}, {"blocks.0.attn.qkv.weight", {12, 4}}, {"norm.weight", {4}}};
  const std::vector<NamedTensor> whole{entry("blocks.0.norm1.weight", {4}), entry("blocks.0.attn.qkv.weight", {12, 4}),
                                       entry("norm.weight", {4})};
  const auto plan_with = [&](const char* more) {
    std::vector<NamedTensor> source = whole;
    source.push_back(entry(more, {4}));
    return plan_conversion(source, WeightSource::timm, WeightTarget::encoder, expected);
  };
  CHECK(plan_with("head.weight").complete());
  CHECK(plan_with("decoder_blocks.0.norm1.weight").complete());  // another model of the same file
  for (const char* more : {"blocks.1.norm1.weight", "module.blocks.11.mlp.fc1.bias", "blocks.0.attn.qkv.bias",
                           "blocks.0.ls1.gamma", "norm.bias"}) {
    const ConversionPlan plan = plan_with(more);
    CHECK_MESSAGE(!plan.complete(), more);
    CHECK(plan.unused() == 1);
    CHECK(conversion_text(plan).find(concat("unused      \"", more)) != std::string::npos);
  }
}

TEST_CASE("convert: weights that are not finite are refused by name") {
  const ScratchFolder folder;
  const std::vector<ExpectedTensor> expected{{"norm.weight", {4}}, {"norm.bias", {4}}};
  const auto refused = [&](NamedTensor bias) {
    write_safetensors(folder / "in", std::vector<NamedTensor>{entry("norm.weight", {4}), std::move(bias)}, {},
                      {.overwrite = true});
    const SafetensorsFile file(folder / "in");
    const ConversionPlan plan = plan_conversion(file.tensors(), WeightSource::timm, WeightTarget::encoder, expected);
    return error_of([&] { converted_tensors(plan, file); });
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Error e = refused(named_tensor<float>("norm.bias", {4}, std::vector<float>{1, 2, nan, nan}));
  CHECK(e.kind() == ErrorKind::numeric);
  CHECK(std::string(e.what()).find("element 2 of \"norm.bias\" is nan") != std::string::npos);
  CHECK(refused(
            named_tensor<float>("norm.bias", {4}, std::vector<float>{1, -std::numeric_limits<float>::infinity(), 0, 0}))
            .id() == "weights.finite");
  CHECK(refused(named_tensor<double>("norm.bias", {4}, std::vector<double>{0, 0, 0, 1e300})).id() ==
        "weights.finite");  // infinite as float32
  std::vector<bfloat16> half(4, bfloat16(1.0f));
  half[3] = bfloat16(nan);
  CHECK(refused(named_tensor<bfloat16>("norm.bias", {4}, half)).id() == "weights.finite");
  CHECK_FALSE(first_non_finite(named_tensor<std::int64_t>("steps", {1}, std::vector<std::int64_t>{-1})).has_value());
}
