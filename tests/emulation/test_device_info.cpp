// What the library says about a GPU that it cannot use, on emulated machines.
#include "braing3n/backend/cuda/context.hpp"
#include "braing3n/backend/cuda/device_info.hpp"
#include "support.hpp"
#include "tests/support/check.hpp"

using namespace emulation;
using namespace emulation::test;
using namespace braing3n;

TEST_CASE("device info: a machine without a driver, with an old one, without a GPU, with an old GPU") {
  const With with;
  options().driver = 0;
  braing3n::test::check_error("cuda.driver", {"expected a driver for CUDA 13.0 or newer", "got none"},
                              [] { cuda_device_info(); });
  options().driver = 12040;
  braing3n::test::check_error("cuda.driver", {"expected a driver for CUDA 13.0 or newer", "got one for CUDA 12.4"},
                              [] { cuda_device_info(); });
  options().driver = 13010;
  options().devices = 0;
  braing3n::test::check_error("cuda.no_device", {"expected a GPU", "got none", "CUDA_VISIBLE_DEVICES"},
                              [] { cuda_device_info(); });
  options().devices = 1;
  options().capability = 75;
  braing3n::test::check_error("cuda.capability",
                              {"emulated device", "expected compute capability 8.0 or newer", "got 7.5"},
                              [] { cuda_device_info(); });
  options().capability = 80;
  CHECK(cuda_device_info().capability == 80);
  braing3n::test::check_error("cuda.call", {"invalid device ordinal"}, [] { cuda_device_info(1); });
}

TEST_CASE("device info: name and memory, of which a context takes some") {
  const With with;
  options().memory = 1'000'000;
  const CudaDeviceInfo before = cuda_device_info();
  CHECK(before.name == "emulated device");
  CHECK(before.capability == 90);
  CHECK(before.memory == 1'000'000);
  CHECK(before.free_memory == 1'000'000);
  Context<Cuda> ctx;
  const Tensor<float, Cuda> x(ctx, {1000});
  CHECK(cuda_device_info().free_memory == 1'000'000 - 4096);
}
