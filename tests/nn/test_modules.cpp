#include "tests/support/check.hpp"

#include "braing3n/models/dit3d.hpp"
#include "braing3n/models/mae3d.hpp"
#include "braing3n/nn/state_dict.hpp"

using namespace braing3n;

TEST_CASE("sine-cosine positions: the golden row of cell (3, 5, 7) at width 1152") {
  const Init table = sincos3d_table({10, 12, 10}, 1152, false);
  const Index row = 417;  // (3 * 12 + 5) * 10 + 7
  const auto at = [&](Index channel) { return table.element(row * 1152 + channel); };
  const std::pair<Index, double> golden[] = {{0, -0.958924},  {1, -0.998573},  {191, 0.000525},
                                             {192, 0.283662}, {384, 0.141120}, {576, -0.989992},
                                             {768, 0.656987}, {960, 0.753902}, {1151, 1.000000}};
  for (const auto& [channel, value] : golden) CHECK(at(channel) == doctest::Approx(value).epsilon(1e-6).scale(1.0));
  double sum = 0, squares = 0;
  for (Index c = 0; c < 1152; ++c) {
    sum += at(c);
    squares += at(c) * at(c);
  }
  CHECK(sum == doctest::Approx(542.61144).epsilon(1e-8));
  CHECK(squares == doctest::Approx(576.0));
  const Init with_class = sincos3d_table({10, 12, 10}, 1152, true);
  CHECK(with_class.element(5) == 0.0);
  CHECK(with_class.element((row + 1) * 1152) == at(0));
  CHECK_THROWS_AS(sincos3d_table({2, 2, 2}, 100, false), Error);
}

TEST_CASE("sinusoidal features: check values at t = 0.5 and t = 500") {
  const auto rows = sinusoidal_features({0.5, 500.0}, 256);
  const Index channels[] = {0, 1, 127, 128, 129, 255};
  const double half[] = {0.877583, 0.893693, 1.000000, 0.479426, 0.448678, 0.000054};
  const double five_hundred[] = {-0.883849, 0.945943, 0.998557, -0.467772, 0.324334, 0.053705};
  for (int i = 0; i < 6; ++i) {
    CHECK(rows[static_cast<std::size_t>(channels[i])] == doctest::Approx(half[i]).epsilon(1e-6).scale(1.0));
    CHECK(rows[static_cast<std::size_t>(256 + channels[i])] ==
          doctest::Approx(five_hundred[i]).epsilon(1e-6).scale(1.0));
  }
}

namespace {

/// Every parameter that the constructor makes must be named by visit(), once, under a name of its own.
template <class Make>
void check_constructed_is_visited(Make&& make) {
  Index& constructed = Parameter<Cpu, F64>::constructed();
  const Index before = constructed;
  auto model = make();
  std::vector<std::string> names;
  for_each_parameter(model, [&](const std::string& path, const auto&) { names.push_back(path); });
  CHECK(static_cast<Index>(names.size()) == constructed - before);
  std::sort(names.begin(), names.end());
  CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
}

Mae3dConfig tiny_mae() {
  Mae3dConfig c;
  c.encoder = {.channels = 2, .image = {8, 12, 8}, .patch = {4, 4, 4}, .width = 24, .depth = 2, .heads = 2, .mlp = 32};
  c.decoder_width = 18;
  c.decoder_depth = 1;
  c.decoder_heads = 3;
  c.decoder_mlp = 20;
  return c;
}

}  // namespace

TEST_CASE("constructed parameters are the visited ones") {
  Context<Cpu> ctx({.threads = 1});
  check_constructed_is_visited([&] { return Mae3d<Cpu, F64>(ctx, tiny_mae()); });
  Mae3dConfig plain = tiny_mae();
  plain.encoder.class_token = plain.encoder.qkv_bias = false;
  plain.encoder.position = PositionKind::learned;
  check_constructed_is_visited([&] { return Mae3d<Cpu, F64>(ctx, plain); });
  Dit3dConfig dit;
  dit.grid = {2, 2, 2};
  dit.width = 24;
  dit.heads = 2;
  dit.depth = 2;
  dit.mlp = 48;
  check_constructed_is_visited([&] { return Dit3d<Cpu, F64>(ctx, dit); });
  dit.context_channels = 3, dit.outputs = 2;
  check_constructed_is_visited([&] { return Dit3d<Cpu, F64>(ctx, dit); });
}

TEST_CASE("published parameter counts, without allocating") {
  Context<Cpu> ctx({.threads = 1});
  const Mae3d<Cpu, F32> mae(ctx, Mae3dConfig{});
  CHECK(count_parameters(mae.encoder).learned == 196'005'888);
  CHECK(count_parameters(mae).learned - count_parameters(mae.encoder).learned == 133'576'192);
  CHECK(count_parameters(mae).fixed == 2'767'104);
  Mae3dConfig no_bias;
  no_bias.encoder.qkv_bias = false;
  const Mae3d<Cpu, F32> monai(ctx, no_bias);
  CHECK(count_parameters(monai.encoder).learned == 195'964'416);
  CHECK(count_parameters(monai).learned - count_parameters(monai.encoder).learned == 133'548'544);
  const Dit3d<Cpu, F32> dit(ctx, Dit3dConfig{});
  CHECK(count_parameters(dit).learned == 292'887'968);
  CHECK(count_parameters(dit).fixed == 1'382'400);
  CHECK(ctx.memory().stats().live == 0);
}

TEST_CASE("parameter counts of the longitudinal model, without allocating") {
  Context<Cpu> ctx({.threads = 1});
  const auto learned = [&](const Dit3dConfig& config) {
    return count_parameters(Dit3d<Cpu, F32>(ctx, config)).learned;
  };
  Dit3dConfig config = Dit3dConfig::paper_longitudinal();
  CHECK(learned(config) == 296'099'744);
  // With a null for the years too, as every other continuous condition has one. Years are always given.
  config.conditions[1].required = false;
  CHECK(learned(config) == 296'100'896);
  // A context adds a linear layer, a second output the rows of another.
  config.context_channels = 32;
  CHECK(learned(config) == 296'100'896 + 32 * 1152 + 1152);
  config.outputs = 2;
  CHECK(learned(config) == 296'100'896 + 32 * 1152 + 1152 + 32 * 1152 + 32);
  CHECK(ctx.memory().stats().live == 0);
}

TEST_CASE("initialisation depends on the seed and the name, not on threads") {
  Context<Cpu> one({.threads = 1}), three({.threads = 3});
  Mae3d<Cpu, F64> a(one, tiny_mae()), b(three, tiny_mae()), c(one, tiny_mae());
  initialize(a, 7);
  initialize(b, 7);
  initialize(c, 8);
  CHECK(test::same_bits(a.decoder_pred.weight.value(), b.decoder_pred.weight.value()));
  CHECK(!test::same_bits(a.decoder_pred.weight.value(), c.decoder_pred.weight.value()));
  CHECK(!test::same_bits(a.encoder.blocks[0].attn.proj.weight.value(), a.encoder.blocks[1].attn.proj.weight.value()));
  // Xavier-uniform: bound sqrt(6 / (in + out)).
  const double bound = std::sqrt(6.0 / (18 + 128));
  double largest = 0;
  for (const double v : a.decoder_pred.weight.value().to_host()) largest = std::max(largest, std::abs(v));
  CHECK(largest <= bound);
  CHECK(largest > 0.98 * bound);
}

TEST_CASE("file order and back") {
  std::vector<double> ours(2 * 3 * 4 * 5 * 6);
  for (std::size_t i = 0; i < ours.size(); ++i) ours[i] = static_cast<double>(i);
  for (const FileLayout layout : {FileLayout::same, FileLayout::conv, FileLayout::conv_transpose, FileLayout::patch}) {
    ParameterSpec spec;
    spec.shape = {2, 3, 4, 5, 6};
    spec.layout = layout;
    CHECK(from_file_order(spec, to_file_order(spec, ours)) == ours);
  }
  ParameterSpec conv;
  conv.shape = {2, 3, 4, 5, 6};
  conv.layout = FileLayout::conv;
  CHECK(file_shape(conv) == Shape{6, 5, 2, 3, 4});
  // out = 1, in = 2, kernel position (1, 0, 3): ours [1][0][3][2][1]
  const std::size_t file = (((1 * 5 + 2) * 2 + 1) * 3 + 0) * 4 + 3, mine = (((1 * 3 + 0) * 4 + 3) * 5 + 2) * 6 + 1;
  CHECK(to_file_order(conv, ours)[file] == ours[mine]);
}

TEST_CASE("errors carry the module path") {
  Context<Cpu> ctx({.threads = 1});
  Mae3d<Cpu, F64> mae(ctx, tiny_mae());
  initialize(mae, 1);
  Pass<Cpu> pass(ctx);
  try {
    mae.encoder.blocks[1].mlp.fc1(pass, Var<double, Cpu>(test::random<double>(ctx, {5, 3}, 1)));
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(std::string(e.what()) == "blocks.1.mlp.fc1: linear: input (5, 3) has 3 features, weight (32, 24) wants 24");
  }
  CHECK_THROWS_WITH_AS(mae.encoder(pass, test::random<double>(ctx, {1, 8, 12, 9, 2}, 1)),
                       "vit3d: input has shape (1, 8, 12, 9, 2), the model wants (1, 8, 12, 8, 2)", Error);
  Mae3d<Cpu, F64> empty(ctx, tiny_mae());
  bind_names(empty);
  CHECK_THROWS_WITH_AS(
      empty.decoder_embed(pass, Var<double, Cpu>(test::random<double>(ctx, {2, 24}, 1))),
      "decoder_embed: parameter decoder_embed.weight: has no values; initialize or load the model first", Error);
}

TEST_CASE("configurations that cannot work are refused") {
  const auto id_of = [](const Mae3dConfig& c) -> std::string {
    try {
      c.validate();
    } catch (const Error& e) {
      return e.id();
    }
    return "none";
  };
  CHECK(id_of(tiny_mae()) == "none");
  Mae3dConfig c = tiny_mae();
  c.encoder.heads = 5;
  CHECK(id_of(c) == "vit3d.heads");
  c = tiny_mae();
  c.encoder.width = 20;
  CHECK(id_of(c) == "vit3d.width");
  for (const double ratio : {0.0, 1.0, -0.1, 1.5, std::nan("")}) {
    c = tiny_mae();
    c.masking_ratio = ratio;
    CHECK(id_of(c) == "mae3d.masking_ratio");
  }
  c = tiny_mae();
  c.encoder.image[1] = 13;
  CHECK(id_of(c) == "vit3d.patch");
}
