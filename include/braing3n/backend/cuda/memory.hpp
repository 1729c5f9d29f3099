// Device memory in the order of one stream, from a pool that belongs to one context.
#pragma once

#include <algorithm>
#include <cstdint>

#include "braing3n/backend/cuda/runtime.hpp"
#include "braing3n/core/memory.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// A pool of the driver that keeps freed blocks for the next step. The device's default pool stays as the process has set it.
class CudaPool {
 public:
  explicit CudaPool(int device) {
    const CudaDeviceScope scope(device);
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    check_cuda(cudaMemPoolCreate(&pool_, &properties), "cudaMemPoolCreate");
    std::uint64_t keep = UINT64_MAX;
    const cudaError_t status = cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep);
    if (status != cudaSuccess) cudaMemPoolDestroy(pool_);
    check_cuda(status, "cudaMemPoolSetAttribute");
  }
  ~CudaPool() { cudaMemPoolDestroy(pool_); }
  CudaPool(const CudaPool&) = delete;
  CudaPool& operator=(const CudaPool&) = delete;
  cudaMemPool_t get() const { return pool_; }

 private:
  cudaMemPool_t pool_ = nullptr;
};

}  // namespace detail

/// Memory of one device. Every call works from any thread, whatever device that thread has chosen.
class CudaMemory final : public MemoryResource {
 public:
  CudaMemory(cudaStream_t stream, int device) : stream_(stream), device_(device), pool_(device) {}

  void* allocate(std::size_t bytes) override {
    const detail::CudaDeviceScope scope(device_);
    void* p = nullptr;
    const cudaError_t status = cudaMallocFromPoolAsync(&p, std::max<std::size_t>(bytes, 1), pool_.get(), stream_);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      fail(ErrorKind::environment, "memory.exhausted", "memory: the device has no ", bytes, " bytes left");
    }
    check_cuda(status, "cudaMallocFromPoolAsync");
    return p;
  }
  void deallocate(void* p, std::size_t) noexcept override {
    const detail::CudaDeviceScope scope(device_);
    cudaFreeAsync(p, stream_);
  }
  void zero(void* p, std::size_t bytes) override {
    const detail::CudaDeviceScope scope(device_);
    check_cuda(cudaMemsetAsync(p, 0, bytes, stream_), "cudaMemsetAsync");
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    copy(to, from, bytes, cudaMemcpyDeviceToDevice, false);
  }
  void copy_from_host(void* to, const void* host, std::size_t bytes) override {
    copy(to, host, bytes, cudaMemcpyHostToDevice, true);
  }
  void copy_to_host(void* host, const void* from, std::size_t bytes) override {
    copy(host, from, bytes, cudaMemcpyDeviceToHost, true);
  }

 private:
  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, bool wait) {
    const detail::CudaDeviceScope scope(device_);
    check_cuda(cudaMemcpyAsync(to, from, bytes, kind, stream_), "cudaMemcpyAsync");
    if (wait) check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  cudaStream_t stream_;
  int device_;
  detail::CudaPool pool_;
};

}  // namespace braing3n::inline BRAING3N_ABI
