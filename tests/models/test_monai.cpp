// MONAI's own weights through the converter into our models, and MONAI's own numbers out of them.
#include "tests/support/fixture.hpp"

#include <fstream>

#include "braing3n/checkpoint/convert.hpp"
#include "braing3n/checkpoint/peer_config.hpp"

using namespace braing3n;

namespace {

/// Converted tensors as load_state() reads them.
struct Converted {
  std::vector<NamedTensor> list;

  const std::vector<NamedTensor>& tensors() const { return list; }
  bool contains(const std::string& name) const {
    return std::any_of(list.begin(), list.end(), [&](const NamedTensor& t) { return t.name == name; });
  }
  const NamedTensor& info(const std::string& name) const {
    return *std::find_if(list.begin(), list.end(), [&](const NamedTensor& t) { return t.name == name; });
  }
  template <class T>
  std::vector<T> read(const std::string& name) const {
    const NamedTensor& t = info(name);
    std::vector<T> values(static_cast<std::size_t>(t.elements()));
    convert_elements(t.dtype, t.bytes, std::span<T>(values));
    return values;
  }
};

Json peer_arguments(const std::string& name) {
  std::ifstream in(std::string(BRAING3N_FIXTURES) + "/" + name + "/config.json");
  return Json::parse(in);
}

/// Loads the fixture's weights; returns our name -> the peer's name.
template <class Model>
std::map<std::string, std::string> load_converted(Model& model, const SafetensorsFile& weights, WeightTarget target) {
  const ConversionPlan plan = plan_conversion(weights.tensors(), WeightSource::monai, target, expected_tensors(model));
  REQUIRE_MESSAGE(plan.complete(), conversion_text(plan));
  CHECK_MESSAGE(plan.unexpected.empty(), conversion_text(plan));
  const LoadReport report = load_state(model, Converted{converted_tensors(plan, weights)});
  REQUIRE_MESSAGE(report.complete(), report.str());
  std::map<std::string, std::string> names;
  for (const auto& match : plan.matched) names[match.target] = match.source;
  return names;
}

}  // namespace

TEST_CASE("fixture mae_monai: prediction, loss, every gradient and the unmasked encoder") {
  Context<Cpu> ctx({.threads = 2});
  const auto weights = test::fixture("mae_monai", "weights.safetensors"),
             reference = test::fixture("mae_monai", "case.safetensors");
  const double rtol = 2e-4, atol = 2e-5;  // stated by the fixture, which was computed in float
  const auto peer = mae_config_from_peer(peer_arguments("mae_monai"), WeightSource::monai, "config.json");
  CHECK(peer.config.encoder.layer_norm_eps == 1e-5);
  CHECK(!peer.config.encoder.class_position);
  Mae3d<Cpu, F64> mae(ctx, peer.config);
  const auto names = load_converted(mae, weights, WeightTarget::mae);

  const auto x = test::channels_last(test::fixture_tensor<double>(ctx, reference, "volume"));
  const auto visible = reference.read<std::int32_t>("visible");
  const auto mask = token_mask_from_visible(ctx, std::span<const std::int32_t>(visible), 2, 12);
  test::check_close("mask", mask.masked.weights, test::fixture_tensor<float>(ctx, reference, "mask"), 0, 1e-7);
  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape), inference(ctx);
  const auto out = mae(pass, x, mask);
  test::check_close("pred", out.prediction.value(), test::fixture_tensor<double>(ctx, reference, "pred"), rtol, atol);
  test::check_close("target", out.target, test::fixture_tensor<double>(ctx, reference, "target"), rtol, atol);
  const auto loss = masked_patch_loss(out.prediction, out.target, mask, false);
  CHECK(item(loss) == doctest::Approx(reference.read<double>("loss")[0]).epsilon(1e-5));
  tape.backward(loss);
  test::check_parameter_gradients(mae, reference, rtol, atol, [&](const std::string& name) {
    return names.contains(name) ? names.at(name) : name;
  });
  test::check_close("encoder_all_tokens", mae.encoder(inference, x).value(),
                    test::fixture_tensor<double>(ctx, reference, "encoder_all_tokens"), rtol, atol);
}

TEST_CASE("fixture autoencoder_kl_monai: the decoder reconstructs MONAI's volume") {
  Context<Cpu> ctx({.threads = 2});
  const auto weights = test::fixture("autoencoder_kl_monai", "weights.safetensors"),
             reference = test::fixture("autoencoder_kl_monai", "case.safetensors");
  const auto peer = decoder_config_from_peer(peer_arguments("autoencoder_kl_monai"), "config.json", {4, 6, 4});
  CHECK(!peer.config.final_silu);
  CnnDecoder3d<Cpu, F64> decoder(ctx, peer.config);
  const auto names = load_converted(decoder, weights, WeightTarget::autoencoder_decoder);

  const auto z = test::channels_last(test::fixture_tensor<double>(ctx, reference, "z"));
  const auto x = test::channels_last(test::fixture_tensor<double>(ctx, reference, "x"));
  Tape<Cpu> tape;
  Pass<Cpu> pass(ctx, tape);
  const auto y = decoder(pass, Var<double, Cpu>(z));
  test::check_close("reconstruction", y.value(),
                    test::channels_last(test::fixture_tensor<double>(ctx, reference, "reconstruction")), 5e-4, 5e-5);
  // The decoder's gradients come from the L1 part alone: the KL term does not pass through it.
  const auto loss = l1_loss(y, x);
  CHECK(item(loss) + 1e-3 * reference.read<double>("kl")[0] ==
        doctest::Approx(reference.read<double>("loss")[0]).epsilon(1e-4));
  tape.backward(loss);
  Index met = 0;
  for_each_parameter(decoder, [&](const std::string& path, auto& p) {
    const std::string name = "grad." + names.at(path);
    if (!reference.contains(name)) return;
    ++met;
    const auto ours = to_file_order(p.spec(), p.gradient().to_host());
    test::check_close(name, Tensor<double, Cpu>::from_host(ctx, file_shape(p.spec()), ours),
                      test::fixture_tensor<double>(ctx, reference, name), 5e-4, 5e-5);
  });
  CHECK(met > 40);
}
