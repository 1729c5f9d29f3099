#include <doctest/doctest.h>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/format/safetensors.hpp"
#include "tests/format/damage.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE("safetensors: as tensors") {
  Context<Cpu> ctx({.threads = 1});
  const ScratchFolder folder;
  const std::vector<float> v{1, 2, 3, 4, 5, 6};
  const std::vector<NamedTensor> tensors{named_tensor<float>("m", {2, 3}, v),
                                         named_tensor<float>("deep", {1, 1, 1, 1, 1, 2, 3}, v),
                                         named_tensor<float>("scalar", {}, std::span(v).first(1))};
  write_safetensors(folder / "t", tensors);
  const SafetensorsFile file(folder / "t");
  const auto m = file.tensor<double>(ctx, "m");
  CHECK(m.shape() == Shape{2, 3});
  CHECK(m.data()[5] == 6.0);
  CHECK(file.tensor<bfloat16>(ctx, "scalar").shape().rank() == 0);
  const Error e = error_of([&] { file.tensor<float>(ctx, "deep"); });
  CHECK(e.kind() == ErrorKind::shape);
  CHECK(std::string(e.what()).find("tensor \"deep\" (1, 1, 1, 1, 1, 2, 3): shape: expected at most 6 axes, got 7") !=
        std::string::npos);
}
