// What the tests of the emulation share: options for one test, a device to launch on, the faults of one kernel.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "emulation.hpp"

namespace emulation::test {

/// Options as they are without an environment, changed by the test, and back afterwards. Faults are not printed meanwhile.
class With {
 public:
  explicit With(const Options& o = {}) : before_(options()) {
    options() = o;
    set_quiet(true);
  }
  ~With() {
    options() = before_;
    set_quiet(false);
    const auto left = take_faults();
    CHECK_MESSAGE(left.empty(), "a fault that nobody asked for: ", left.empty() ? "" : left.front());
  }
  With(const With&) = delete;
  With& operator=(const With&) = delete;

 private:
  Options before_;
};

/// A stream, and memory that is freed with it.
class Device {
 public:
  Device() {
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    int device = 0;
    REQUIRE(cudaGetDevice(&device) == cudaSuccess);
    const cudaMemPoolProps properties{cudaMemAllocationTypePinned, {cudaMemLocationTypeDevice, device}};
    REQUIRE(cudaMemPoolCreate(&pool, &properties) == cudaSuccess);
  }
  ~Device() {
    for (void* p : memory_) cudaFreeAsync(p, stream);
    cudaStreamDestroy(stream);
    cudaMemPoolDestroy(pool);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  template <class T>
  T* allocate(std::size_t n) {
    void* p = nullptr;
    REQUIRE(cudaMallocFromPoolAsync(&p, n * sizeof(T), pool, stream) == cudaSuccess);
    memory_.push_back(p);
    return static_cast<T*>(p);
  }
  template <class T>
  T* upload(const std::vector<T>& values) {
    T* const p = allocate<T>(values.size());
    REQUIRE(cudaMemcpyAsync(p, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice, stream) ==
            cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    return p;
  }
  template <class T>
  std::vector<T> download(const T* p, std::size_t n) {
    std::vector<T> values(n);
    REQUIRE(cudaMemcpyAsync(values.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost, stream) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    return values;
  }
  template <class... Parameters, class... Arguments>
  cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared,
                     const Arguments&... args) {
    const cudaLaunchConfig_t config{grid, block, shared, stream};
    return cudaLaunchKernelEx(&config, kernel, args...);
  }

  cudaStream_t stream = nullptr;
  cudaMemPool_t pool = nullptr;

 private:
  std::vector<void*> memory_;
};

/// What the emulation says about one launch, in one string; empty when there is nothing to say.
template <class... Parameters, class... Arguments>
std::string faults_of(Device& device, void (*kernel)(Parameters...), dim3 grid, dim3 block, const Arguments&... args) {
  const cudaError_t launched = device.launch(kernel, grid, block, 0, args...);
  const cudaError_t waited = cudaStreamSynchronize(device.stream);
  std::string all;
  for (const std::string& one : take_faults()) all += one + "\n";
  CHECK((launched != cudaSuccess || waited != cudaSuccess) == !all.empty());
  return all;
}

/// "FILE:LINE", as a fault names it.
inline std::string line(const char* file, int number) { return std::string(file) + ":" + std::to_string(number); }

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// Data races that the thread sanitizer has reported since the last call. Those that no test takes fail the program. Without the
/// sanitizer always 0.
int take_races();
#if defined(EMULATION_TSAN)
constexpr bool finds_races = true;
#else
constexpr bool finds_races = false;
#endif

/// What f writes to standard error in a child process; empty when it ends well. For faults at which the address sanitizer ends a program.
std::string last_words(const std::function<void()>& f);

}  // namespace emulation::test
