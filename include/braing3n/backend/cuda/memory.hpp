// Device memory in the order of one stream, from a pool that belongs to one context.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <new>

#include "braing3n/backend/cuda/pinned.hpp"
#include "braing3n/base/shape.hpp"
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

struct CudaMemoryOptions {
  int device = 0;
  Index pinned = 0;         // bytes of pinned host memory, at most
  bool keep_freed = false;  // blocks for the next request of their size
};

/// Memory of one device, counted in bytes as rounded for the driver. Every call works from any thread, by one at a time, whatever device that thread has chosen. Uploads go through
/// pinned memory, so the host does not wait for them. Freed blocks are kept by size: in the order of one stream the next owner may have
/// them at once, and a loop that repeats its sizes asks the driver for nothing.
class CudaMemory final : public MemoryResource {
 public:
  CudaMemory(cudaStream_t stream, const CudaMemoryOptions& options)
      : stream_(stream), device_(options.device), keeps_(options.keep_freed), pool_(options.device),
        pinned_(stream, options.device, static_cast<std::size_t>(options.pinned)) {}
  ~CudaMemory() override { trim(); }

  void* allocate(std::size_t bytes) override {
    const std::size_t size = rounded(bytes);
    if (const auto found = kept_.find(size); found != kept_.end()) {
      void* const p = found->second;
      kept_.erase(found);
      count_live(size);
      return p;
    }
    const detail::CudaDeviceScope scope(device_);
    void* p = nullptr;
    cudaError_t status = cudaMallocFromPoolAsync(&p, size, pool_.get(), stream_);
    if (status == cudaErrorMemoryAllocation && !kept_.empty()) {  // kept blocks of other sizes are in the way
      cudaGetLastError();
      trim();
      cudaStreamSynchronize(stream_);
      status = cudaMallocFromPoolAsync(&p, size, pool_.get(), stream_);
    }
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      fail(ErrorKind::environment, "memory.exhausted", "memory: the device has no ", bytes, " bytes left");
    }
    check_cuda(status, "cudaMallocFromPoolAsync");
    ++stats_.system_calls;
    stats_.reserved += size;
    count_live(size);
    return p;
  }
  void deallocate(void* p, std::size_t bytes) noexcept override {
    const std::size_t size = rounded(bytes);
    stats_.live -= size;
    if (keeps_) {
      try {
        kept_.emplace(size, p);
        return;
      } catch (const std::bad_alloc&) {  // no room for the note: the driver has it back
      }
    }
    give_back(p, size);
  }
  /// Gives kept blocks back to the context's pool.
  void trim() noexcept {
    for (const auto& [size, p] : kept_) give_back(p, size);
    kept_.clear();
  }
  const MemoryStats& stats() const { return stats_; }
  void reset_peak() { stats_.peak = stats_.live; }
  void zero(void* p, std::size_t bytes) override {
    const detail::CudaDeviceScope scope(device_);
    check_cuda(cudaMemsetAsync(p, 0, bytes, stream_), "cudaMemsetAsync");
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    copy(to, from, bytes, cudaMemcpyDeviceToDevice, false);
  }
  void copy_from_host(void* to, const void* host, std::size_t bytes) override {
    constexpr std::size_t piece = std::size_t{8} << 20;
    for (std::size_t at = 0; at < bytes; at += piece) {
      const std::size_t n = std::min(piece, bytes - at);
      const auto* const from = static_cast<const char*>(host) + at;
      detail::PinnedBuffer* const buffer = pinned_.take(n);
      if (buffer == nullptr) {
        copy(static_cast<char*>(to) + at, from, n, cudaMemcpyHostToDevice, true);
        continue;
      }
      std::memcpy(buffer->data, from, n);
      try {
        copy(static_cast<char*>(to) + at, buffer->data, n, cudaMemcpyHostToDevice, false);
      } catch (const Error&) {
        pinned_.retire_later(*buffer);
        throw;
      }
      pinned_.give_back(*buffer);
    }
  }
  void copy_to_host(void* host, const void* from, std::size_t bytes) override {
    copy(host, from, bytes, cudaMemcpyDeviceToHost, true);
  }
  std::unique_ptr<HostRead> start_read(const void* from, std::size_t bytes) override {
    detail::PinnedBuffer* const buffer = pinned_.take(bytes);
    if (buffer == nullptr) return MemoryResource::start_read(from, bytes);
    auto read = std::make_unique<detail::PinnedRead>(pinned_, *buffer);
    copy(buffer->data, from, bytes, cudaMemcpyDeviceToHost, false);
    pinned_.mark(*buffer);
    return read;
  }

 private:
  void count_live(std::size_t size) {
    stats_.live += size;
    stats_.peak = std::max(stats_.peak, stats_.live);
  }
  void give_back(void* p, std::size_t size) noexcept {
    const detail::CudaDeviceScope scope(device_);
    cudaFreeAsync(p, stream_);
    stats_.reserved -= size;
  }
  std::size_t rounded(std::size_t bytes) const {
    return keeps_ ? (std::max<std::size_t>(bytes, 1) + 511) / 512 * 512 : std::max<std::size_t>(bytes, 1);
  }
  void copy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, bool wait) {
    const detail::CudaDeviceScope scope(device_);
    check_cuda(cudaMemcpyAsync(to, from, bytes, kind, stream_), "cudaMemcpyAsync");
    if (wait) check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

  cudaStream_t stream_;
  int device_;
  bool keeps_;
  detail::CudaPool pool_;
  detail::PinnedBuffers pinned_;
  std::multimap<std::size_t, void*> kept_;
  MemoryStats stats_;
};

}  // namespace braing3n::inline BRAING3N_ABI
