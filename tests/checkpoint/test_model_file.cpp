#include "braing3n/checkpoint/model_file.hpp"

#include <doctest/doctest.h>

#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

struct SmallConfig {
  Index width = 4;
  static void visit(auto& self, auto&& v) { v("width", self.width); }
};

}  // namespace

TEST_CASE("model file: everything about a model in one file") {
  const ScratchFolder folder;
  const std::vector<float> w{1, 2, 3, 4};
  const std::vector<NamedTensor> tensors{named_tensor<float>("norm.weight", {4}, w)};
  ModelInfo info;
  info.kind = "small";
  info.config = json_text(SmallConfig{7});
  info.contract = R"({"spacing":[1,1,1]})";
  info.provenance = "made by a test";
  info.licence = "CC0";
  info.extra = {{"latent_mean", "[0.5]"}};
  write_model(folder / "m.safetensors", info, tensors);
  const ModelFile model(folder / "m.safetensors");
  CHECK(model.info().kind == "small");
  CHECK(model.config<SmallConfig>().width == 7);
  CHECK(model.info().contract == info.contract);
  CHECK(model.info().provenance == "made by a test");
  CHECK(model.info().licence == "CC0");
  CHECK(model.info().extra == info.extra);
  CHECK(model.info().version == version());
  CHECK(model.read<float>("norm.weight") == w);
  CHECK(model.file().metadata().at("format") == "pt");
  CHECK_NOTHROW(model.require_kind("small"));
  const Error e = error_of([&] { model.require_kind("dit3d"); });
  CHECK(e.kind() == ErrorKind::config);
  CHECK(std::string(e.what()).find("the file holds a model of kind \"small\", expected \"dit3d\"") !=
        std::string::npos);

  SUBCASE("a flipped weight is noticed") {
    std::string content = content_of(folder / "m.safetensors");
    content[content.size() - 1] ^= 1;
    put_file(folder / "bad", content);
    CHECK(error_of([&] { ModelFile(folder / "bad"); }).id() == "safetensors.checksum");
    CHECK_NOTHROW(ModelFile(folder / "bad", false));
  }
  SUBCASE("other files are refused with a reason") {
    write_safetensors(folder / "foreign", tensors, {{"format", "pt"}});
    CHECK(std::string(error_of([&] { ModelFile(folder / "foreign"); }).what())
              .find("holds foreign tensors, expected a braing3n model") != std::string::npos);
    Metadata newer = model_metadata(info);
    newer["braing3n.format"] = "2";
    write_safetensors(folder / "newer", tensors, newer, {}, true);
    CHECK(error_of([&] { ModelFile(folder / "newer"); }).id() == "model.format");
    write_safetensors(folder / "unchecked", tensors, model_metadata(info));
    CHECK(error_of([&] { ModelFile(folder / "unchecked"); }).id() == "model.checksum");
  }
  SUBCASE("what cannot be written") {
    ModelInfo bad = info;
    bad.config = "{";
    CHECK(error_of([&] { write_model(folder / "x", bad, tensors); }).id() == "json.syntax");
    bad = info;
    bad.extra = {{"braing3n.kind", "y"}};
    CHECK(error_of([&] { write_model(folder / "x", bad, tensors); }).id() == "model.key");
    bad = info;
    bad.kind.clear();
    CHECK(error_of([&] { write_model(folder / "x", bad, tensors); }).id() == "model.kind");
    CHECK_FALSE(std::filesystem::exists(folder / "x"));
  }
}
