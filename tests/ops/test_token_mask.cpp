#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/token_mask.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

/// visible, restore and masked must tell the same story.
void check_consistent(const TokenMask<Cpu>& m) {
  const Index n = m.batch(), l = m.tokens(), k = m.kept();
  CHECK(m.masked.count == n * (l - k));
  for (Index b = 0; b < n; ++b) {
    std::vector<int> seen(static_cast<std::size_t>(l), 0);
    double removed = 0;
    for (Index t = 0; t < l; ++t) {
      const std::int32_t r = m.restore.data()[b * l + t];
      REQUIRE((r >= 0 && r < l));
      ++seen[static_cast<std::size_t>(r)];
      removed += m.masked.weights.data()[b * l + t];
      CHECK(m.masked.weights.data()[b * l + t] == (r < k ? 0.0f : 1.0f));
      if (r < k) CHECK(m.visible.data()[b * k + r] == t);
    }
    CHECK(std::count(seen.begin(), seen.end(), 1) == l);
    CHECK(removed == static_cast<double>(l - k));
  }
}

std::vector<std::int32_t> host(const Indices<Cpu>& t) { return t.values().to_host(); }

}  // namespace

TEST_CASE("the number of visible tokens is that of the reference implementations") {
  CHECK(visible_tokens(1200, 0.7) == 360);
  CHECK(visible_tokens(1200, 0.75) == 300);
  CHECK(visible_tokens(196, 0.75) == 49);
  CHECK(visible_tokens(20, 0.9) == 1);  // 20 (1 - 0.9) is a little below 2 in double
}

TEST_CASE("the smallest numbers stay visible, ties by index") {
  Context<Cpu> ctx({.threads = 1});
  const std::vector<std::uint32_t> noise = {5, 1, 5, 0, 9, 4000000000u, 7, 7, 7, 7, 7, 7};
  const auto m = token_mask_from_noise(ctx, std::span<const std::uint32_t>(noise), 2, 6, 0.5);
  CHECK(host(m.visible) == std::vector<std::int32_t>{3, 1, 0, 0, 1, 2});
  CHECK(host(m.restore) == std::vector<std::int32_t>{2, 1, 3, 0, 4, 5, 0, 1, 2, 3, 4, 5});
  CHECK(m.masked.weights.to_host() == std::vector<float>{0, 0, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1});
  check_consistent(m);
  const std::vector<double> floats = {0.5, 0.1, 0.5, 0.0, 0.9, 0.99, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7};
  CHECK(host(token_mask_from_noise(ctx, std::span<const double>(floats), 2, 6, 0.5).restore) == host(m.restore));
}

TEST_CASE("given visible tokens keep their order") {
  Context<Cpu> ctx({.threads = 1});
  const std::vector<std::int32_t> visible = {4, 0, 1, 5};
  const auto m = token_mask_from_visible(ctx, std::span<const std::int32_t>(visible), 2, 6);
  CHECK(host(m.visible) == visible);
  CHECK(host(m.restore) == std::vector<std::int32_t>{1, 2, 3, 4, 0, 5, 2, 0, 3, 4, 5, 1});
  check_consistent(m);
}

TEST_CASE("a drawn mask belongs to its sample and step, not to its place in the batch") {
  Context<Cpu> ctx({.threads = 1});
  const std::vector<std::uint32_t> both = {17, 3}, one = {3};
  const auto m = draw_token_mask(ctx, 99, 5, both, 1200, 0.7);
  const auto alone = draw_token_mask(ctx, 99, 5, one, 1200, 0.7);
  CHECK(m.kept() == 360);
  check_consistent(m);
  CHECK(same_bits(m.restore.values().slice(1, 2), alone.restore.values()));
  CHECK_FALSE(same_bits(m.restore.values().slice(0, 1), alone.restore.values()));
  CHECK_FALSE(same_bits(draw_token_mask(ctx, 99, 6, one, 1200, 0.7).restore.values(), alone.restore.values()));
  CHECK_FALSE(same_bits(draw_token_mask(ctx, 98, 5, one, 1200, 0.7).restore.values(), alone.restore.values()));
  // Every token is masked about 70 % of the time: 4.5 standard deviations around the mean of 400 draws.
  std::vector<std::uint32_t> many(400);
  std::iota(many.begin(), many.end(), 0u);
  const auto all = draw_token_mask(ctx, 1, 0, many, 40, 0.7);
  for (Index t = 0; t < 40; ++t) {
    double masked = 0;
    for (Index n = 0; n < 400; ++n) masked += all.masked.weights.data()[n * 40 + t];
    CHECK(std::abs(masked / 400 - 0.7) < 4.5 * std::sqrt(0.21 / 400));
  }
}

TEST_CASE("masks that cannot be are refused") {
  Context<Cpu> ctx({.threads = 1});
  const std::vector<std::uint32_t> noise(12, 1);
  const std::span<const std::uint32_t> u(noise);
  for (const double ratio : {0.0, 1.0, -0.1, 1.5, std::numeric_limits<double>::quiet_NaN()})
    check_error("mask.ratio", {"(0, 1)"}, [&] { token_mask_from_noise(ctx, u, 2, 6, ratio); });
  check_error("mask.ratio", {"none of 6"}, [&] { token_mask_from_noise(ctx, u, 2, 6, 0.9); });
  check_error("mask.size", {"12 values", "expected 15"}, [&] { token_mask_from_noise(ctx, u, 3, 5, 0.5); });
  check_error("mask.size", {"12"}, [&] { token_mask_from_noise(ctx, u, 0, 5, 0.5); });
  const std::vector<std::int32_t> twice = {1, 1}, outside = {0, 6};
  check_error("mask.visible", {"token 1 of sample 0", "twice"},
              [&] { token_mask_from_visible(ctx, std::span<const std::int32_t>(twice), 1, 6); });
  check_error("mask.visible", {"token 6", "outside [0, 6)"},
              [&] { token_mask_from_visible(ctx, std::span<const std::int32_t>(outside), 1, 6); });
  check_error("mask.size", {"3"}, [&] {
    token_mask_from_visible(ctx, std::span<const std::int32_t>(std::vector<std::int32_t>{0, 1, 2}), 2, 6);
  });
}
