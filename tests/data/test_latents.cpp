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

TEST_CASE("a file of latents whose parts do not fit together is refused, in words") {
  const test::ScratchFolder folder;
  const std::vector<float> values(24, 1.0f);
  const auto refused = [&](const char* words, const char* name, std::vector<Index> shape, const Metadata& metadata) {
    write_safetensors(folder / "l.safetensors", std::vector{named_tensor<float>(name, std::move(shape), values)},
                      metadata, {.overwrite = true});
    test::check_error("latents.format", {words}, [&] { LatentFile(folder / "l.safetensors", false); });
  };
  const Metadata two{{"volume_ids", R"(["a", "b"])"}};
  refused("no tensor \"latents\"", "tokens", {2, 1, 1, 4, 3}, two);
  refused("expected (rows, X, Y, Z, channels)", "latents", {2, 4, 3}, two);
  refused("expected (rows, X, Y, Z, channels)", "latents", {2, 1, 1, 1, 4, 3}, two);
  refused("the latents have no volume_ids", "latents", {2, 1, 1, 4, 3}, {});
  refused("2 rows of latents, but 1 volume ids", "latents", {2, 1, 1, 4, 3}, {{"volume_ids", R"(["a"])"}});
  refused("2 rows of latents, but 3 volume ids", "latents", {2, 1, 1, 4, 3}, {{"volume_ids", R"(["a", "b", "c"])"}});
  refused("two rows are called \"a\"", "latents", {2, 1, 1, 4, 3}, {{"volume_ids", R"(["a", "a"])"}});
  Metadata tokens = two;
  tokens["braing3n.contract"] = R"({"representation": "encoder"})";
  refused("these are tokens of the encoder", "latents", {2, 1, 1, 4, 3}, tokens);
  std::vector<float> broken = values;
  broken[13] = std::numeric_limits<float>::quiet_NaN();
  write_safetensors(folder / "n.safetensors", std::vector{named_tensor<float>("latents", {2, 1, 1, 4, 3}, broken)},
                    two);
  const LatentFile file(folder / "n.safetensors");
  std::vector<float> row(12);
  file.read(0, row);
  test::check_error("latents.finite", {"the latents of b"}, [&] { file.read(1, row); });
  test::check_error("latents.row", {"row 2 of 2"}, [&] { file.read(2, row); });
  row.pop_back();
  test::check_error("latents.row", {"11 values for 12"}, [&] { file.read(0, row); });
}
