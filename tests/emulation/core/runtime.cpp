// Devices, streams and launches of the emulated CUDA runtime.
#include <map>
#include <memory>
#include <mutex>

#include "core/grid.hpp"
#include "core/stream.hpp"

namespace emulation {
namespace core {
namespace {

thread_local int device_here = 0;
thread_local cudaError_t last_error = cudaSuccess;
std::mutex allowance_mutex;
std::map<const void*, std::size_t> allowances;  // dynamic shared memory that a kernel may ask for

constexpr int runtime_version = 13000;  // of the toolkit whose place this takes
constexpr std::size_t granted_shared = 48 * 1024, largest_shared = 227 * 1024;

std::size_t allowed_shared(const void* kernel) {
  const std::lock_guard lock(allowance_mutex);
  const auto found = allowances.find(kernel);
  return found == allowances.end() ? granted_shared : found->second;
}

bool fits(const cudaLaunchConfig_t& c) {
  const auto part = [](const dim3& d, unsigned x, unsigned y, unsigned z) {
    return d.x >= 1 && d.x <= x && d.y >= 1 && d.y <= y && d.z >= 1 && d.z <= z;
  };
  return part(c.gridDim, 0x7fffffffu, 65535, 65535) && part(c.blockDim, 1024, 1024, 64) &&
         std::uint64_t{c.blockDim.x} * c.blockDim.y * c.blockDim.z <= 1024;
}

}  // namespace

int current_device() { return device_here; }
cudaError_t standing_error() { return has_faults() ? cudaErrorLaunchFailure : cudaSuccess; }

void submit(cudaStream_t stream, std::function<void()> work) {
  if (options().deferred && stream != nullptr) stream->queue.push_back(std::move(work));
  else work();
}

void drain(cudaStream_t stream, const bool* done) {
  while (stream != nullptr && !stream->queue.empty() && (done == nullptr || !*done)) {
    const auto work = std::move(stream->queue.front());
    stream->queue.pop_front();
    work();
  }
}

}  // namespace core

cudaError_t launch(const cudaLaunchConfig_t& config, const void* kernel, std::function<void()> body) {
  if (const cudaError_t error = core::standing_error(); error != cudaSuccess) return error;
  if (!core::fits(config)) return core::last_error = cudaErrorInvalidConfiguration;
  if (config.dynamicSmemBytes > core::allowed_shared(kernel)) return core::last_error = cudaErrorInvalidValue;
  if (config.stream != nullptr && config.stream->device != core::device_here)
    return core::last_error = cudaErrorInvalidResourceHandle;
  auto work = std::make_shared<core::Launch>();
  work->grid = config.gridDim, work->block = config.blockDim;
  work->shared = config.dynamicSmemBytes;
  work->body = std::move(body);
  core::submit(config.stream, [work] {
    work->reversed = options().reversed;
    core::run_grid(*work);
  });
  return core::standing_error();
}

cudaError_t allow_shared(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<std::size_t>(bytes) > core::largest_shared)
    return core::last_error = cudaErrorInvalidValue;
  const std::lock_guard lock(core::allowance_mutex);
  core::allowances[kernel] = static_cast<std::size_t>(bytes);
  return cudaSuccess;
}

}  // namespace emulation

using namespace emulation;
using namespace emulation::core;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorLaunchFailure:
      return first_fault();
  }
  return "unknown error";
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = std::exchange(last_error, cudaSuccess);
  return standing_error() != cudaSuccess ? standing_error() : error;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = runtime_version;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = options().driver;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  if (options().driver < runtime_version) return last_error = cudaErrorInsufficientDriver;
  *count = options().devices;
  if (options().devices > 0) return cudaSuccess;
  return last_error = cudaErrorNoDevice;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (options().devices <= 0) return last_error = cudaErrorNoDevice;
  if (device < 0 || device >= options().devices) return last_error = cudaErrorInvalidDevice;
  *properties = {"emulated device", options().memory, options().capability / 10, options().capability % 10};
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  if (options().devices <= 0) return last_error = cudaErrorNoDevice;
  *device = device_here;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (options().devices <= 0) return last_error = cudaErrorNoDevice;
  if (device < 0 || device >= options().devices) return last_error = cudaErrorInvalidDevice;
  device_here = device;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CUstream_st{device_here, {}};
  return standing_error();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ++counted().synchronisations;
  drain(stream);
  return standing_error();
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  drain(stream);
  delete stream;
  return standing_error();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st{device_here, nullptr, nullptr};
  return standing_error();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (stream != nullptr && stream->device != event->device) return last_error = cudaErrorInvalidResourceHandle;
  event->stream = stream;
  event->done = std::make_shared<bool>(false);
  submit(stream, [done = event->done] { *done = true; });
  return standing_error();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (event->done != nullptr && !*event->done) return cudaErrorNotReady;
  return standing_error();
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ++counted().event_waits;
  const std::shared_ptr<bool> done = event->done;
  if (done != nullptr) drain(event->stream, done.get());
  return standing_error();
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
