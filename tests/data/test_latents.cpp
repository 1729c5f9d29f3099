#include "tests/support/check.hpp"

#include "braing3n/data/latents.hpp"
#include "tests/support/scratch_folder.hpp"

using namespace braing3n;

TEST_CASE("latents with a large mean keep their standard deviation, constant ones get 1") {
  const test::ScratchFolder folder;
  std::vector<float> values;  // (2, 1, 1, 4, 3)
  for (int i = 0; i < 8; ++i) {
    values.push_back(static_cast<float>(i));
    values.push_back(4096.0f + (i % 2 == 0 ? 0x1p-10f : -0x1p-10f));
    values.push_back(0.1f);
  }
  write_safetensors(folder / "latents.safetensors",
                    std::vector{named_tensor<float>("latents", {2, 1, 1, 4, 3}, values)},
                    {{"volume_ids", R"(["a", "b"])"}});
  const LatentFile file(folder / "latents.safetensors", false);
  CHECK(file.tensor().shape == std::vector<Index>{2, 1, 1, 4, 3});
  for (const int threads : {1, 3}) {
    Context<Cpu> ctx({.threads = threads});
    const std::vector<Index> both = {0, 1}, second = {1};
    const LatentStatistics s = measure_latents(ctx, file, both);
    CHECK(s.mean == std::vector<double>{3.5, 4096, static_cast<double>(0.1f)});
    CHECK(s.sd[0] == doctest::Approx(std::sqrt(63.0 / 12)).epsilon(1e-14));
    CHECK(s.sd[1] == 0x1p-10);
    CHECK(s.sd[2] == 1);
    CHECK(measure_latents(ctx, file, second).mean[0] == 5.5);
  }
}
