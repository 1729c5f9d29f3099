// The code of docs/determinism-and-precision.md.
#include "tests/support/check.hpp"

#include "braing3n/ops/token_mask.hpp"

using namespace braing3n;

TEST_CASE("a sample's mask does not depend on its batch") {
  Context<Cpu> ctx({.threads = 1});
  // [draw]
  const std::uint64_t seed = 42;
  const std::uint32_t step = 7;
  const std::vector<std::uint32_t> samples = {12, 907};  // indices in the data set, not places in the batch
  const TokenMask<Cpu> mask = draw_token_mask(ctx, seed, step, std::span<const std::uint32_t>(samples), 1200, 0.7);
  // [draw]
  CHECK(mask.kept() == 360);
  const std::vector<std::uint32_t> alone = {907}, other = {12};
  const TokenMask<Cpu> again = draw_token_mask(ctx, seed, step, std::span<const std::uint32_t>(alone), 1200, 0.7);
  CHECK(test::same_bits(again.visible.values(), mask.visible.values().slice(1, 2)));
  const TokenMask<Cpu> twelve = draw_token_mask(ctx, seed, step, std::span<const std::uint32_t>(other), 1200, 0.7);
  CHECK(!test::same_bits(twelve.visible.values(), again.visible.values()));
  const TokenMask<Cpu> next = draw_token_mask(ctx, seed, step + 1, std::span<const std::uint32_t>(alone), 1200, 0.7);
  CHECK(!test::same_bits(next.visible.values(), again.visible.values()));
}
