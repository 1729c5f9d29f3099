// Device and shared memory: NaN when fresh, watched at its ends, known to copies.
#include <algorithm>
#include <stdexcept>

#include "core/sanitizers.hpp"
#include "support.hpp"

using namespace emulation;
using namespace emulation::test;

namespace {

void copy(int count, const float* x, float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) y[i] = x[i];
}
void read_fresh_shared(float* y) {
  BRAING3N_SHARED(float, row, 32);
  y[threadIdx.x] = row[threadIdx.x];
}
void two_arrays(float* y) {
  BRAING3N_SHARED(float, a, 32);
  BRAING3N_SHARED(float, b, 32);
  a[threadIdx.x] = 1;
  b[threadIdx.x] = 2;
  y[threadIdx.x] = a[threadIdx.x] + b[threadIdx.x];
}
void large_arrays() {
  BRAING3N_SHARED(float, a, 6 * 1024);
  BRAING3N_SHARED(float, b, 6 * 1024);
  a[threadIdx.x] = b[threadIdx.x] = 0;
}
/// Reads one element more than the array has.
void reads_past_shared(float* y) {
  BRAING3N_SHARED(float, row, 32);
  row[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = row[threadIdx.x + 1];
}
struct alignas(16) Four {
  float v[4];
};
void loads_four(const float* x, float* y) { y[threadIdx.x] = reinterpret_cast<const Four*>(x)->v[threadIdx.x]; }
void nothing() {}
void throws() { throw std::runtime_error("not in a kernel"); }

}  // namespace

TEST_CASE("fresh device and shared memory is NaN, and two shared arrays are apart") {
  const With with;
  Device d;
  float* const y = d.allocate<float>(32);
  for (const float v : d.download(y, 32)) CHECK(std::isnan(v));
  CHECK(faults_of(d, two_arrays, 1, 32, y) == "");
  for (const float v : d.download(y, 32)) CHECK(v == 3);
  CHECK(faults_of(d, read_fresh_shared, 1, 32, y) == "");  // after a block that wrote there
  for (const float v : d.download(y, 32)) CHECK(std::isnan(v));
}

TEST_CASE("a write past the end is reported: at once by the address sanitizer, otherwise when the memory is freed") {
  const auto write = [](int count) {
    Device d;
    float* const x = d.upload(std::vector<float>(32, 1.0f));
    float* const y = d.allocate<float>(32);
    faults_of(d, copy, 1, 64, count, x, y);
  };
  const With with({.threads = 1});
  write(32);
  CHECK(take_faults().empty());
#if defined(EMULATION_ASAN)
  const std::string words = last_words([&] { write(33); });
  CHECK(contains(words, "AddressSanitizer: use-after-poison"));
  CHECK(contains(words, "of size 4"));
#else
  write(33);  // even what it has read behind another array
  CHECK(contains(take_faults().at(0), "byte 128 of an allocation of 128 bytes"));
#endif
}

TEST_CASE("a read past the end is a huge number, and an error of the address sanitizer") {
  const auto read = [](int count) {
    Device d;
    float* const x = d.upload(std::vector<float>(32, 1.0f));
    float* const y = d.allocate<float>(40);
    faults_of(d, copy, 1, 64, count, x, y);
    return d.download(y, 40);
  };
  const With with({.threads = 1});
  CHECK(read(32)[31] == 1);
#if defined(EMULATION_ASAN)
  CHECK(contains(last_words([&] { read(33); }), "READ of size 4"));
#else
  CHECK(read(33)[32] > 1e20f);
#endif
}

TEST_CASE("a read past a shared array does not reach the next one") {
  const With with({.threads = 1});
  const auto read = [] {
    Device d;
    float* const y = d.allocate<float>(32);
    faults_of(d, reads_past_shared, 1, 32, y);
    return d.download(y, 32);
  };
#if defined(EMULATION_ASAN)
  CHECK(contains(last_words([&] { read(); }), "AddressSanitizer: use-after-poison"));
#else
  CHECK(read()[30] == 1);
  CHECK(read()[31] != 1);
#endif
}

TEST_CASE("a wide load from an address that is not aligned is an error of the undefined-behaviour sanitizer") {
  const With with({.threads = 1});
  const auto load = [](int from) {
    Device d;
    float* const x = d.upload(std::vector<float>(8, 2.0f));
    float* const y = d.allocate<float>(4);
    faults_of(d, loads_four, 1, 4, x + from, y);
    return d.download(y, 4);
  };
  CHECK(load(4)[3] == 2);
#if defined(EMULATION_ASAN)  // the two come together
  CHECK(contains(last_words([&] { load(1); }), "misaligned address"));
#endif
}

TEST_CASE("copies and fills stay inside allocations and know which side is which") {
  const With with;
  Device d;
  float* const x = d.allocate<float>(8);
  std::vector<float> host(16);
  CHECK(cudaMemcpyAsync(x, host.data(), 8 * 4, cudaMemcpyHostToDevice, d.stream) == cudaSuccess);
  CHECK(cudaMemcpyAsync(x, host.data(), 8 * 4 + 1, cudaMemcpyHostToDevice, d.stream) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(x, host.data(), 8 * 4, cudaMemcpyDeviceToHost, d.stream) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(host.data(), x + 4, 5 * 4, cudaMemcpyDeviceToHost, d.stream) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(host.data(), 0, 4, d.stream) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(x + 1, 0, 7 * 4, d.stream) == cudaSuccess);
  const auto values = d.download(x, 8);
  CHECK(std::count(values.begin(), values.end(), 0.0f) == 8);
}

TEST_CASE("memory ends, and what is freed twice is reported") {
  const With with({.memory = 4096});
  Device d;
  void* p = nullptr;
  CHECK(cudaMallocFromPoolAsync(&p, 8192, d.pool, d.stream) == cudaErrorMemoryAllocation);
  REQUIRE(cudaMallocFromPoolAsync(&p, 4096, d.pool, d.stream) == cudaSuccess);
  void* q = nullptr;
  CHECK(cudaMallocFromPoolAsync(&q, 1, d.pool, d.stream) == cudaErrorMemoryAllocation);
  CHECK(cudaFreeAsync(p, d.stream) == cudaSuccess);
  REQUIRE(cudaMallocFromPoolAsync(&q, 4096, d.pool, d.stream) == cudaSuccess);
  CHECK(cudaFreeAsync(q, d.stream) == cudaSuccess);
  CHECK(cudaFreeAsync(&q, d.stream) == cudaErrorLaunchFailure);
  CHECK(take_faults() == std::vector<std::string>{"memory is freed that is not allocated"});
}

TEST_CASE("shared memory is what the device has") {
  const With with;
  Device d;
  CHECK(contains(faults_of(d, large_arrays, 1, 32), "more than 48 KiB of static shared memory"));
  CHECK(d.launch(nothing, 1, 32, 48 * 1024) == cudaSuccess);
  CHECK(d.launch(nothing, 1, 32, 48 * 1024 + 1) == cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024 + 1) ==
        cudaErrorInvalidValue);
  CHECK(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 * 1024) == cudaSuccess);
  CHECK(d.launch(nothing, 1, 32, 227 * 1024) == cudaSuccess);
  CHECK(d.launch(nothing, 1, 1025, 0) == cudaErrorInvalidConfiguration);
  CHECK(d.launch(nothing, 0, 32, 0) == cudaErrorInvalidConfiguration);
  CHECK(d.launch(nothing, dim3(1, 65536), 32, 0) == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("an exception that leaves a kernel is reported") {
  const With with;
  Device d;
  CHECK(contains(faults_of(d, throws, 1, 1), "not in a kernel"));
}
