#include "tests/support/check.hpp"

#include "braing3n/objective/flow_matching.hpp"

using namespace braing3n;

TEST_CASE("the point on the line and its velocity, exactly") {
  Context<Cpu> ctx({.threads = 2});
  const auto data = test::small_integers<double>(ctx, {2, 3, 5}, 1),
             noise = test::small_integers<double>(ctx, {2, 3, 5}, 2);
  const std::vector<double> t = {0.25, 0.5};
  const auto flow = flow_interpolate(data, noise, t);
  for (Index i = 0; i < 30; ++i) {
    const double s = t[static_cast<std::size_t>(i / 15)];
    CHECK(flow.x_t.data()[i] == (1 - s) * data.data()[i] + s * noise.data()[i]);
    CHECK(flow.velocity.data()[i] == noise.data()[i] - data.data()[i]);
  }
  // Data and noise come back from any point: x_data = x_t - t v, eps = x_t + (1 - t) v.
  for (Index i = 0; i < 30; ++i) {
    const double s = t[static_cast<std::size_t>(i / 15)];
    CHECK(flow.x_t.data()[i] - s * flow.velocity.data()[i] == data.data()[i]);
    CHECK(flow.x_t.data()[i] + (1 - s) * flow.velocity.data()[i] == noise.data()[i]);
  }
  test::check_error("flow_matching.times", {"got 1"}, [&] { flow_interpolate(data, noise, {0.5}); });
}

TEST_CASE("noise and times belong to the sample, whatever the batch and the threads") {
  test::check_same_for_threads("noise", [](Context<Cpu>& ctx) {
    const std::vector<Index> positions = {5, 1, 77, (Index{1} << 32) + 1};
    return std::vector<Tensor<float, Cpu>>{draw_noise<float>(ctx, 9, std::span<const Index>(positions), {33, 7, 31})};
  });
  Context<Cpu> ctx({.threads = 3});
  const std::vector<Index> many = {5, 1, 77, (Index{1} << 32) + 1}, one = {77};
  const Shape shape = {4099};
  const auto all = draw_noise<double>(ctx, 9, std::span<const Index>(many), shape),
             single = draw_noise<double>(ctx, 9, std::span<const Index>(one), shape);
  CHECK(test::same_bits(all.slice(2, 3), single));
  CHECK(!test::same_bits(all.slice(1, 2), all.slice(3, 4)));  // positions beyond 32 bits do not repeat
  // Every element is the generator's own number, also behind the first piece of 4096.
  const Philox rng(9, Purpose::noise, 0, 77);
  for (const Index i : {0, 1, 2, 3, 4, 4095, 4096, 4098})
    CHECK(single.data()[i] == rng.normal(static_cast<std::uint64_t>(i)));
  const std::vector<std::uint32_t> samples = {77};
  CHECK(test::same_bits(single, draw_noise<double>(ctx, 9, 0, std::span<const std::uint32_t>(samples), shape)));
  CHECK(draw_times(9, std::span<const Index>(many), TimeDistribution::uniform)[2] ==
        draw_times(9, std::span<const Index>(one), TimeDistribution::uniform)[0]);
  CHECK(draw_times(9, 0, std::span<const std::uint32_t>(samples), TimeDistribution::logit_normal)[0] ==
        draw_times(9, std::span<const Index>(one), TimeDistribution::logit_normal)[0]);
}

TEST_CASE("the distributions of t") {
  const Index n = 40000;
  std::vector<Index> positions;
  for (Index i = 0; i < n; ++i) positions.push_back(i);
  for (const TimeDistribution distribution : {TimeDistribution::uniform, TimeDistribution::logit_normal}) {
    const auto t = draw_times(3, std::span<const Index>(positions), distribution);
    double below = 0, lowest = 1, highest = 0;
    for (const double v : t) below += v < 0.25 ? 1 : 0, lowest = std::min(lowest, v), highest = std::max(highest, v);
    CHECK(lowest > 0);
    CHECK(highest < 1);
    // P(t < 1/4): 1/4, and for the logit-normal the normal distribution function at log(1/3).
    const double p = distribution == TimeDistribution::uniform ? 0.25 : 0.5 * std::erfc(std::log(3.0) / std::sqrt(2.0));
    CHECK(std::abs(below / static_cast<double>(n) - p) <= 4 * std::sqrt(p * (1 - p) / static_cast<double>(n)));
  }
}
