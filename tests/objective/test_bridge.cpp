#include "tests/support/fixture.hpp"

#include "braing3n/format/json.hpp"
#include "braing3n/objective/bridge.hpp"
#include "braing3n/ops/concat.hpp"

using namespace braing3n;

namespace {

BridgeOptions with(BridgeTarget target, BridgeEnvelope envelope = BridgeEnvelope::brownian) {
  return {.envelope = envelope, .target = target};
}

}  // namespace

TEST_CASE("fixture bridge: points and targets") {
  Context<Cpu> ctx({.threads = 2});
  const auto reference = test::fixture("bridge", "case.safetensors");
  const double rtol = 1e-12, atol = 1e-12;  // stated by the fixture
  const auto tensor = [&](const char* name) { return test::fixture_tensor<double>(ctx, reference, name); };
  const auto baseline = tensor("baseline"), followup = tensor("followup"), eps = tensor("eps");
  const auto t = reference.read<double>("t");
  for (const auto target :
       {BridgeTarget::displacement, BridgeTarget::velocity, BridgeTarget::two_heads, BridgeTarget::data}) {
    BridgeOptions bridge = with(target);
    bridge.clip = 1e-4;  // the last time of the case lies just behind the default
    const auto sample = bridge_interpolate(bridge, baseline, followup, eps, t);
    CHECK(sample.t == t);
    test::check_close("x_t", sample.x_t, tensor("x_t"), rtol, atol);
    if (target == BridgeTarget::displacement)
      test::check_close("displacement", sample.target, tensor("target_displacement"), rtol, atol);
    if (target == BridgeTarget::velocity)
      test::check_close("velocity", sample.target, tensor("target_velocity"), rtol, atol);
    if (target == BridgeTarget::data) CHECK(test::same_bits(sample.target, followup));
    if (target != BridgeTarget::two_heads) continue;
    REQUIRE(sample.target.shape() == Shape{5, 4, 6});
    test::check_close("first head", slice_forward(sample.target, 2, 0, 3), tensor("target_displacement"), rtol, atol);
    CHECK(test::same_bits(slice_forward(sample.target, 2, 3, 6), eps));
  }
}

TEST_CASE("envelopes vanish at both ends, and their slopes are their derivatives") {
  for (const auto envelope : {BridgeEnvelope::brownian, BridgeEnvelope::parabolic}) {
    const BridgeOptions bridge = {.envelope = envelope, .sigma = 0.8};
    CHECK(bridge.sd(0) == 0);
    CHECK(bridge.sd(1) == 0);
    CHECK(bridge.sd(0.5) == doctest::Approx(0.4));  // sigma / 2 in both
    for (const double t : {0.01, 0.2, 0.5, 0.77, 0.99})
      CHECK(bridge.slope(t) == doctest::Approx((bridge.sd(t + 1e-6) - bridge.sd(t - 1e-6)) / 2e-6).epsilon(1e-6));
  }
  CHECK(with(BridgeTarget::velocity, BridgeEnvelope::parabolic).slope(0) == 1.0);
}

TEST_CASE("times are clipped for the velocity under the Brownian envelope alone") {
  Context<Cpu> ctx({.threads = 1});
  const auto b = test::random<double>(ctx, {3, 2}, 1), y = test::random<double>(ctx, {3, 2}, 2),
             e = test::random<double>(ctx, {3, 2}, 3);
  const std::vector<double> t = {0, 0.5, 1};
  const auto clipped = bridge_interpolate(with(BridgeTarget::velocity), b, y, e, t);
  CHECK(clipped.t == std::vector<double>{1e-3, 0.5, 1 - 1e-3});
  const double g = 0.5 * std::sqrt(1e-3 * (1 - 1e-3)), slope = 0.5 * (1 - 2e-3) / (2 * std::sqrt(1e-3 * (1 - 1e-3)));
  for (const Index i : {0, 1}) {  // the point belongs to the clipped time, as the target does
    CHECK(clipped.x_t.data()[i] == doctest::Approx(1e-3 * b.data()[i] + (1 - 1e-3) * y.data()[i] + g * e.data()[i]));
    CHECK(clipped.target.data()[i] == doctest::Approx(b.data()[i] - y.data()[i] + slope * e.data()[i]));
  }
  for (const BridgeOptions& bridge :
       {with(BridgeTarget::displacement), with(BridgeTarget::two_heads), with(BridgeTarget::data),
        with(BridgeTarget::velocity, BridgeEnvelope::parabolic)}) {
    const auto sample = bridge_interpolate(bridge, b, y, e, t);
    CHECK(sample.t == t);
    CHECK(test::same_bits(sample.x_t.slice(0, 1), y.slice(0, 1)));
    CHECK(test::same_bits(sample.x_t.slice(2, 3), b.slice(2, 3)));
    for (const double v : sample.target.to_host()) CHECK(std::isfinite(v));
  }
}

TEST_CASE_TEMPLATE("points and targets in every precision, on any number of threads", T, float, double, bfloat16) {
  Context<Cpu> exact({.threads = 1});
  const Shape shape = {3, 37, 5};
  const std::vector<double> t = {0.1, 0.5, 0.95};
  for (const auto target :
       {BridgeTarget::displacement, BridgeTarget::velocity, BridgeTarget::two_heads, BridgeTarget::data}) {
    const BridgeOptions bridge = with(target, BridgeEnvelope::parabolic);
    const auto of = [&]<class V>(Context<Cpu>& ctx, V) {
      const auto input = [&](std::uint32_t id) { return cast<V>(test::random<T>(ctx, shape, id)); };
      return bridge_interpolate(bridge, input(1), input(2), input(3), t);
    };
    test::check_same_for_threads("bridge", [&](Context<Cpu>& ctx) {
      const auto sample = of(ctx, T{});
      return std::vector<Tensor<T, Cpu>>{sample.x_t, sample.target};
    });
    const auto sample = of(exact, T{});
    const auto wanted = of(exact, double{});
    CHECK(test::max_difference(sample.x_t, wanted.x_t) < test::tolerance<T>(1, 2.0));
    CHECK(test::max_difference(sample.target, wanted.target) < test::tolerance<T>(1, 4.0));
  }
}

TEST_CASE("bridges that make no sense are refused, and their options are JSON") {
  Context<Cpu> ctx({.threads = 1});
  const auto b = test::random<double>(ctx, {2, 3}, 1), other = test::random<double>(ctx, {2, 4}, 1);
  const std::vector<double> t = {0.1, 0.2};
  const auto refused = [&](const char* id, const char* part, const BridgeOptions& bridge) {
    test::check_error(id, {part}, [&] { bridge_interpolate(bridge, b, b, b, t); });
  };
  refused("bridge.sigma", "got -1", {.sigma = -1});
  refused("bridge.sigma", "got nan", {.sigma = std::nan("")});
  refused("bridge.clip", "got 0", {.clip = 0});
  refused("bridge.clip", "got 0.5", {.clip = 0.5});
  test::check_error("op.shape", {"(2, 3) and (2, 4)"}, [&] { bridge_interpolate({}, b, other, b, t); });
  test::check_error("op.shape", {"(2, 3) and (2, 4)"}, [&] { bridge_interpolate({}, b, b, other, t); });
  test::check_error("bridge.times", {"(2, 3)", "got 1"}, [&] { bridge_interpolate({}, b, b, b, {0.5}); });
  for (const double time : {-0.1, 1.1, std::nan("")})
    test::check_error("bridge.time", {"from 0 to 1"}, [&] { bridge_interpolate({}, b, b, b, {0.5, time}); });
  CHECK(json_text(with(BridgeTarget::two_heads)) ==
        R"({"envelope":"brownian","sigma":0.5,"target":"two_heads","clip":0.001})");
  CHECK(with(BridgeTarget::two_heads).outputs() == 2);
  CHECK(with(BridgeTarget::data).outputs() == 1);
}
