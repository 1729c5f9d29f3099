// Streams that do nothing before somebody waits, errors that stay, devices, counters.
#include <algorithm>
#include <thread>

#include "support.hpp"

using namespace emulation;
using namespace emulation::test;

namespace {

void add(float* x, float v) { x[threadIdx.x] += v; }
void fails(float*) { kernel_fault("test", Where::current(), "asked for"); }

}  // namespace

TEST_CASE("a deferred stream shows a missing wait") {
  const With with({.deferred = true});
  Device d;
  float* const x = d.upload(std::vector<float>(4, 1.0f));
  std::vector<float> host(4, 7.0f);
  CHECK(d.launch(add, 1, 4, 0, x, 2.0f) == cudaSuccess);
  CHECK(d.launch(add, 1, 4, 0, x, 3.0f) == cudaSuccess);
  CHECK(cudaMemcpyAsync(host.data(), x, 16, cudaMemcpyDeviceToHost, d.stream) == cudaSuccess);
  CHECK(std::isnan(host[0]));  // whoever forgets to wait computes with NaN
  CHECK(cudaStreamSynchronize(d.stream) == cudaSuccess);
  CHECK(host == std::vector<float>(4, 6.0f));
}

TEST_CASE("a stream that is not deferred is done when the call returns") {
  const With with;
  Device d;
  float* const x = d.upload(std::vector<float>(4, 1.0f));
  std::vector<float> host(4);
  CHECK(d.launch(add, 1, 4, 0, x, 2.0f) == cudaSuccess);
  CHECK(cudaMemcpyAsync(host.data(), x, 16, cudaMemcpyDeviceToHost, d.stream) == cudaSuccess);
  CHECK(host == std::vector<float>(4, 3.0f));
}

TEST_CASE("an event is a place in a stream: whoever waits for it waits for no more") {
  for (const bool deferred : {false, true}) {
    const With with({.deferred = deferred});
    Device d;
    float* const x = d.upload(std::vector<float>(4, 1.0f));
    cudaEvent_t event = nullptr;
    REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
    CHECK(cudaEventQuery(event) == cudaSuccess);  // nothing was recorded
    reset_counters();
    CHECK(d.launch(add, 1, 4, 0, x, 2.0f) == cudaSuccess);
    CHECK(cudaEventRecord(event, d.stream) == cudaSuccess);
    CHECK(d.launch(add, 1, 4, 0, x, 3.0f) == cudaSuccess);
    CHECK(cudaEventQuery(event) == (deferred ? cudaErrorNotReady : cudaSuccess));
    CHECK(counters().launches == (deferred ? 0 : 2));
    CHECK(cudaEventSynchronize(event) == cudaSuccess);
    CHECK(cudaEventQuery(event) == cudaSuccess);
    CHECK(counters().launches == (deferred ? 1 : 2));
    CHECK(counters().event_waits == 1);
    CHECK(counters().synchronisations == 0);
    CHECK(cudaEventDestroy(event) == cudaSuccess);
    CHECK(d.download(x, 4) == std::vector<float>(4, 6.0f));
  }
}

TEST_CASE("pinned memory is host memory, counted, and freed once") {
  const With with({.deferred = true});
  Device d;
  reset_counters();
  void* host = nullptr;
  REQUIRE(cudaHostAlloc(&host, 16, cudaHostAllocDefault) == cudaSuccess);
  CHECK(counters().host_allocations == 1);
  CHECK(counters().allocations == 0);
  std::fill_n(static_cast<float*>(host), 4, 5.0f);
  float* const x = d.allocate<float>(4);
  CHECK(cudaMemcpyAsync(x, host, 16, cudaMemcpyHostToDevice, d.stream) == cudaSuccess);
  std::fill_n(static_cast<float*>(host), 4, 6.0f);  // too early: the copy has not been made
  CHECK(d.download(x, 4) == std::vector<float>(4, 6.0f));
  CHECK(cudaFreeHost(host) == cudaSuccess);
  CHECK(cudaFreeHost(host) == cudaErrorInvalidValue);
}

TEST_CASE("after a fault every call fails until it is taken") {
  for (const bool deferred : {false, true}) {
    const With with({.deferred = deferred});
    Device d;
    float* const x = d.upload(std::vector<float>(4, 1.0f));
    CHECK(d.launch(fails, 1, 4, 0, x) == (deferred ? cudaSuccess : cudaErrorLaunchFailure));
    CHECK(cudaStreamSynchronize(d.stream) == cudaErrorLaunchFailure);
    CHECK(contains(cudaGetErrorString(cudaErrorLaunchFailure), "asked for"));
    CHECK(d.launch(add, 1, 4, 0, x, 2.0f) == cudaErrorLaunchFailure);
    CHECK(cudaMemsetAsync(x, 0, 4, d.stream) == cudaErrorLaunchFailure);
    CHECK(take_faults().size() == 1);
    CHECK(d.launch(add, 1, 4, 0, x, 2.0f) == cudaSuccess);
    CHECK(d.download(x, 4) == std::vector<float>(4, 3.0f));
  }
}

TEST_CASE("every thread has its device, and a stream belongs to one") {
  const With with({.devices = 2});
  Device first;
  float* const x = first.upload(std::vector<float>(4, 1.0f));
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
  CHECK(cudaSetDevice(1) == cudaSuccess);
  CHECK(first.launch(add, 1, 4, 0, x, 2.0f) == cudaErrorInvalidResourceHandle);
  Device second;
  void* p = nullptr;
  CHECK(cudaMallocFromPoolAsync(&p, 4, second.pool, first.stream) == cudaErrorInvalidValue);
  std::thread([&] {
    int device = 9;
    CHECK(cudaGetDevice(&device) == cudaSuccess);
    CHECK(device == 0);
    CHECK(first.launch(add, 1, 4, 0, x, 2.0f) == cudaSuccess);
  }).join();
  CHECK(cudaSetDevice(0) == cudaSuccess);
  CHECK(first.download(x, 4) == std::vector<float>(4, 3.0f));
}

TEST_CASE("without a device calls say so") {
  const With with({.devices = 0});
  int count = 1, device = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(count == 0);
  CHECK(cudaGetDevice(&device) == cudaErrorNoDevice);
  CHECK(std::string(cudaGetErrorString(cudaErrorNoDevice)) == "no CUDA-capable device is detected");
}

TEST_CASE("launches, waits, allocations and copies are counted") {
  const With with;
  Device d;
  const Counters before = counters();
  reset_counters();
  float* const x = d.upload(std::vector<float>(4, 1.0f));
  CHECK(d.launch(add, dim3(1), 4, 0, x, 2.0f) == cudaSuccess);
  CHECK(d.launch(add, dim3(3, 2), 4, 0, d.allocate<float>(4), 2.0f) == cudaSuccess);
  CHECK(cudaMemsetAsync(x, 0, 16, d.stream) == cudaSuccess);
  CHECK(cudaMemcpyAsync(x, x, 8, cudaMemcpyDeviceToDevice, d.stream) == cudaSuccess);
  d.download(x, 4);
  const Counters c = counters();
  CHECK(c.launches == 2);
  CHECK(c.blocks == 7);
  CHECK(c.threads == 28);
  CHECK(c.synchronisations == 2);
  CHECK(c.allocations == 2);
  CHECK(c.allocated_bytes == 32);
  CHECK(c.live_allocations == before.live_allocations + 2);
  CHECK(c.live_bytes == before.live_bytes + 32);
  CHECK(c.copies_to_device == 1);
  CHECK(c.copies_to_host == 1);
  CHECK(c.copies_on_device == 1);
  CHECK(c.fills == 1);
  CHECK(c.products == 0);
  take_races();  // six blocks add to the same places
}
