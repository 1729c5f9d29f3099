// The library's own CUDA context and its one launch function, on emulated devices.
#include <algorithm>
#include <thread>

#include "braing3n/cuda.cuh"
#include "braing3n/ops/scalar.hpp"
#include "support.hpp"
#include "tests/support/check.hpp"

using namespace emulation;
using namespace emulation::test;
using namespace braing3n;

namespace {

struct Twice {
  double* x;
  void operator()(Index i) const { x[i] *= 2; }
};
void fill_shared(float* y) {
  auto* const row = reinterpret_cast<float*>(emulation::dynamic_shared(Where::current()));
  row[threadIdx.x] = 1;
  y[threadIdx.x] = row[threadIdx.x];
}
constexpr int fault_line = __LINE__ + 1;
void goes_wrong(int) { __shfl_sync(1u, 1, 0); }

Tensor<double, Cuda> numbers(Context<Cuda>& ctx, Index n) {
  std::vector<double> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i);
  return Tensor<double, Cuda>::from_host(ctx, {n}, x);
}

}  // namespace

TEST_CASE("max_blocks caps the grid, and map, sum and max give the same result") {
  const With with;
  const Index n = 3 * 16384 + 5;
  std::vector<std::vector<double>> results;
  for (const Index most : {Index{1}, Index{3}, Index{1} << 16}) {
    Context<Cuda> ctx{{.max_blocks = most}};
    reset_counters();
    auto x = numbers(ctx, n);
    map(ctx, n, Twice{x.data()});
    CHECK(counters().launches == 1);
    CHECK(counters().blocks == static_cast<std::uint64_t>(std::min<Index>(most, (n + 255) / 256)));
    const double* const p = x.data();
    const auto square = [p](Index i) { return p[i] * p[i]; };
    auto r = x.to_host();
    r.push_back(sum(ctx, n, square));
    r.push_back(max_value(ctx, n, square));
    results.push_back(r);
    CHECK(r.back() == 4.0 * static_cast<double>(n - 1) * static_cast<double>(n - 1));
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
  braing3n::test::check_error("cuda.max_blocks", {"expected at least 1, got 0"},
                              [] { Context<Cuda> ctx{{.max_blocks = 0}}; });
  braing3n::test::check_error("cuda.workspace", {"expected at least 1 byte, got 0"},
                              [] { Context<Cuda> ctx{{.workspace = 0}}; });
}

TEST_CASE("a launch names its kernel and CUDA's reason") {
  const With with;
  Context<Cuda> ctx;
  braing3n::test::check_error("cuda.call", {"cuda: wrong: ", line(__FILE__, fault_line)},
                              [&] { detail::launch(ctx, "wrong", goes_wrong, {1, 32}, 0); });
  take_faults();
  braing3n::test::check_error("cuda.call", {"cuda: wide: invalid configuration argument"},
                              [&] { detail::launch(ctx, "wide", goes_wrong, {1, 2048}, 0); });
  braing3n::test::check_error("cuda.call", {"cuda: heavy: invalid argument"},
                              [&] { detail::launch(ctx, "heavy", goes_wrong, {1, 32, 228 * 1024}, 0); });
}

TEST_CASE("large shared memory is asked for by the launch") {
  const With with;
  Context<Cuda> ctx;
  Tensor<float, Cuda> y(ctx, {32});
  detail::launch(ctx, "fill_shared", fill_shared, {1, 32, 100 * 1024}, y.data());
  CHECK(y.to_host() == std::vector<float>(32, 1.0f));
}

TEST_CASE("a context works on its device from any thread, and leaves the thread's own choice alone") {
  const With with({.devices = 2});
  Context<Cuda> first, second{{.device = 1}};
  int device = 9;
  CHECK(cudaGetDevice(&device) == cudaSuccess);
  CHECK(device == 0);
  const auto work = [](Context<Cuda>& ctx) {
    auto x = numbers(ctx, 10);
    map(ctx, 10, Twice{x.data()});
    const auto y = x.clone();
    x.zero();
    const double* const p = y.data();
    ctx.synchronize();
    return sum(ctx, 10, [p](Index i) { return p[i]; });
  };
  CHECK(work(second) == 90);
  std::thread([&] {
    CHECK(work(second) == 90);
    CHECK(work(first) == 90);
    CHECK(cudaGetDevice(&device) == cudaSuccess);
    CHECK(device == 0);
    Tensor<float, Cuda> a = Tensor<float, Cuda>::zeros(second, {2, 2}), c(second, {2, 2});
    GemmCall<float> call;
    call.m = call.n = call.k = 2, call.a = a.data(), call.b = a.data(), call.c = c.data();
    call.a_row = call.b_row = call.c_row = 2;
    ProductKernel<Cuda>::run(second, call);
    CHECK(c.to_host() == std::vector<float>(4, 0.0f));
  }).join();
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(work(first) == 90);
  CHECK(cudaGetDevice(&device) == cudaSuccess);
  CHECK(device == 1);
  CHECK(cudaSetDevice(0) == cudaSuccess);
  braing3n::test::check_error("cuda.call", {"cudaSetDevice: invalid device ordinal"},
                              [] { Context<Cuda> ctx{{.device = 2}}; });
}

TEST_CASE("device memory is freed with its tensor, and its end is an error that says how much was asked for") {
  const With with({.memory = 1 << 20});
  const Counters before = counters();
  {
    Context<Cuda> ctx{{.keep_memory = false}};
    auto x = numbers(ctx, 100);
    CHECK(counters().live_bytes == before.live_bytes + 800);
    x = {};
    CHECK(counters().live_allocations == before.live_allocations);
    braing3n::test::check_error("memory.exhausted", {"the device has no 8000000 bytes left"},
                                [&] { Tensor<double, Cuda> y(ctx, {1000000}); });
    CHECK(numbers(ctx, 3).to_host() == std::vector<double>{0, 1, 2});
  }
  CHECK(counters().live_allocations == before.live_allocations);
}

TEST_CASE("freed memory is kept for the next tensor of its size, until other sizes want it") {
  const With with({.memory = 1 << 20});
  const Counters before = counters();
  {
    Context<Cuda> ctx;
    const auto loop = [&] {
      const auto x = numbers(ctx, 100), y = numbers(ctx, 3000);
      return x.clone().to_host();
    };
    const auto first = loop();
    reset_counters();
    CHECK(loop() == first);
    CHECK(loop() == first);
    CHECK(counters().allocations == 0);
    CHECK(counters().host_allocations == 0);
    // 60 % of the device, freed, are in the way of another 60 %.
    {
      Tensor<double, Cuda> large(ctx, {80000});
    }
    const std::size_t calls = ctx.memory().stats().system_calls;
    ctx.memory().reset_peak();
    Tensor<double, Cuda> larger(ctx, {90000});
    CHECK(larger.size() == 90000);
    ctx.memory().trim();
    CHECK(counters().live_allocations == before.live_allocations + 1);
    const MemoryStats& stats = ctx.memory().stats();
    CHECK(stats.system_calls == calls + 1);
    CHECK(stats.reserved == counters().live_bytes - before.live_bytes);
    CHECK(stats.live == stats.reserved);
    {
      const auto y = numbers(ctx, 64);
      CHECK(stats.live == stats.reserved);
    }
    CHECK(stats.peak == stats.live + 512);
    CHECK(stats.reserved == stats.live + 512);  // the freed block is kept
  }
  CHECK(counters().live_allocations == before.live_allocations);
}

TEST_CASE("an upload is not waited for, and its source may change") {
  const With with({.deferred = true});
  Context<Cuda> ctx;
  std::vector<double> values(1000, 1.0);
  reset_counters();
  const auto x = Tensor<double, Cuda>::from_host(ctx, {1000}, values);
  std::fill(values.begin(), values.end(), 2.0);
  const auto y = Tensor<double, Cuda>::from_host(ctx, {1000}, values);
  values.clear();
  CHECK(counters().copies_to_device == 2);
  CHECK(counters().synchronisations == 0);
  CHECK(counters().event_waits == 0);
  CHECK(counters().host_allocations == 2);  // the first is still under way
  CHECK(x.to_host() == std::vector<double>(1000, 1.0));
  CHECK(y.to_host() == std::vector<double>(1000, 2.0));
  const auto z = Tensor<double, Cuda>::from_host(ctx, {3}, std::vector<double>{1, 2, 3});
  CHECK(counters().host_allocations == 3);  // a smaller one
  CHECK(z.to_host() == std::vector<double>{1, 2, 3});
  const auto again = Tensor<double, Cuda>::from_host(ctx, {3}, std::vector<double>{4, 5, 6});
  CHECK(counters().host_allocations == 3);
  CHECK(again.to_host() == std::vector<double>{4, 5, 6});
}

TEST_CASE("pinned memory has an end: then the host waits for the oldest copy, or for its own") {
  const With with({.deferred = true});
  const std::vector<double> values(1000, 3.0);
  {
    Context<Cuda> ctx{{.pinned = 16384}};
    reset_counters();
    std::vector<Tensor<double, Cuda>> all;
    for (int i = 0; i < 5; ++i) all.push_back(Tensor<double, Cuda>::from_host(ctx, {1000}, values));
    CHECK(counters().host_allocations == 2);
    CHECK(counters().event_waits == 3);
    CHECK(counters().synchronisations == 0);
    for (int i = 0; i < 2; ++i) all.push_back(Tensor<double, Cuda>::from_host(ctx, {1}, std::vector<double>{7}));
    all.push_back(Tensor<double, Cuda>::from_host(ctx, {5000}, std::vector<double>(5000, 8.0)));  // more than there is
    CHECK(counters().synchronisations == 1);
    for (int i = 0; i < 5; ++i) CHECK(all[static_cast<std::size_t>(i)].to_host() == values);
    CHECK(all[6].to_host() == std::vector<double>{7});
    CHECK(all[7].to_host()[4999] == 8);
  }
  Context<Cuda> ctx{{.pinned = 0}};
  reset_counters();
  CHECK(Tensor<double, Cuda>::from_host(ctx, {1000}, values).to_host() == values);
  CHECK(counters().synchronisations == 2);
  CHECK(counters().host_allocations == 0);
  CHECK(items(std::vector{scalar(ctx, 4.0)}) == std::vector<double>{4});
  braing3n::test::check_error("cuda.pinned", {"got -1"}, [] { Context<Cuda> wrong{{.pinned = -1}}; });
}

TEST_CASE("a large upload goes in pieces") {
  const With with;
  Context<Cuda> ctx;
  reset_counters();
  const Index n = 5 << 19;  // 20 MiB
  const auto x = numbers(ctx, n);
  CHECK(counters().copies_to_device == 3);
  const auto host = x.to_host();
  CHECK(host.front() == 0);
  CHECK(host[1 << 20] == 1 << 20);
  CHECK(host.back() == static_cast<double>(n - 1));
}

TEST_CASE("numbers that are asked for now are those of now, and are waited for later") {
  const With with({.deferred = true});
  Context<Cuda> ctx;
  auto x = scalar(ctx, 4.0);
  reset_counters();
  const PendingItems<Cuda> pending(std::vector{x, x});
  map(ctx, 1, Twice{x.data()});
  CHECK(counters().launches == 0);
  CHECK(pending.wait() == std::vector<double>{4, 4});
  CHECK(counters().launches == 3);  // the one before the counters, and two copies into one
  CHECK(counters().event_waits == 1);
  CHECK(counters().synchronisations == 0);
  CHECK(item(x) == 8);
  CHECK(PendingItems<Cuda>().wait().empty());
}

TEST_CASE("without a device there is none, and a context says so") {
  const With with({.devices = 0});
  CHECK(!cuda_available());
  braing3n::test::check_error("cuda.call", {"no CUDA-capable device is detected"}, [] { Context<Cuda> ctx; });
}
