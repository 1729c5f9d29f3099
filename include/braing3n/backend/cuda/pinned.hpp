// Pinned host memory: copies between it and a device run while the host goes on.
//
// A copy from ordinary memory makes the host wait, or CUDA copies it aside first. Here it is copied aside into buffers that are used again
// once the stream has passed the copy, which an event tells.
#pragma once

#include <bit>
#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "braing3n/backend/cuda/runtime.hpp"
#include "braing3n/core/memory.hpp"

namespace braing3n::inline BRAING3N_ABI::detail {

struct PinnedBuffer {
  void* data = nullptr;
  std::size_t bytes = 0;
  cudaEvent_t passed = nullptr;  // the stream has come to the copy
};

/// Buffers of one stream. Sizes are powers of two from 4 KiB on.
class PinnedBuffers {
 public:
  PinnedBuffers(cudaStream_t stream, int device, std::size_t most) : stream_(stream), device_(device), most_(most) {}
  ~PinnedBuffers() {
    const CudaDeviceScope scope(device_);
    if (!all_.empty()) cudaStreamSynchronize(stream_);
    for (const auto& buffer : all_) {
      cudaEventDestroy(buffer->passed);
      cudaFreeHost(buffer->data);
    }
  }
  PinnedBuffers(const PinnedBuffers&) = delete;
  PinnedBuffers& operator=(const PinnedBuffers&) = delete;

  /// A buffer of at least so many bytes, for give_back(). Waits for a copy when all of the memory is under way. Null where pinned memory is
  /// not to be had.
  PinnedBuffer* take(std::size_t bytes) {
    const std::size_t size = std::bit_ceil(bytes < 4096 ? std::size_t{4096} : bytes);
    if (size > most_) return nullptr;
    const CudaDeviceScope scope(device_);
    while (true) {
      retire();
      if (const auto found = free_.find(size); found != free_.end()) {
        PinnedBuffer* const buffer = found->second;
        free_.erase(found);
        return buffer;
      }
      if (held_ + size <= most_) return allocate(size);
      if (!free_.empty()) {
        release(std::prev(free_.end())->second);  // of another size
        free_.erase(std::prev(free_.end()));
      } else if (!under_way_.empty()) {
        check_cuda(cudaEventSynchronize(under_way_.front()->passed), "cudaEventSynchronize");
      } else {
        return nullptr;  // reads hold all of it
      }
    }
  }
  /// Marks the place of the copy in the stream.
  void mark(PinnedBuffer& buffer) {
    const CudaDeviceScope scope(device_);
    check_cuda(cudaEventRecord(buffer.passed, stream_), "cudaEventRecord");
  }
  /// The buffer may be used again when the stream has passed what was asked of it so far.
  void give_back(PinnedBuffer& buffer) {
    mark(buffer);
    retire_later(buffer);
  }
  /// The same where the place is marked already, or no copy was asked for.
  void retire_later(PinnedBuffer& buffer) { under_way_.push_back(&buffer); }
  void wait(const PinnedBuffer& buffer) const {
    const CudaDeviceScope scope(device_);
    check_cuda(cudaEventSynchronize(buffer.passed), "cudaEventSynchronize");
  }

 private:
  void retire() {
    while (!under_way_.empty()) {
      if (cudaEventQuery(under_way_.front()->passed) != cudaSuccess) {
        cudaGetLastError();  // "not ready" is no error
        return;
      }
      free_.emplace(under_way_.front()->bytes, under_way_.front());
      under_way_.pop_front();
    }
  }
  PinnedBuffer* allocate(std::size_t size) {
    auto buffer = std::make_unique<PinnedBuffer>();
    buffer->bytes = size;
    check_cuda(cudaEventCreateWithFlags(&buffer->passed, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    const cudaError_t status = cudaHostAlloc(&buffer->data, size, cudaHostAllocDefault);
    if (status != cudaSuccess) {
      cudaEventDestroy(buffer->passed);
      if (status != cudaErrorMemoryAllocation) check_cuda(status, "cudaHostAlloc");
      cudaGetLastError();
      return nullptr;
    }
    held_ += size;
    return all_.emplace_back(std::move(buffer)).get();
  }
  void release(PinnedBuffer* buffer) {
    cudaEventDestroy(buffer->passed);
    cudaFreeHost(buffer->data);
    held_ -= buffer->bytes;
    std::erase_if(all_, [buffer](const auto& one) { return one.get() == buffer; });
  }

  cudaStream_t stream_;
  int device_;
  std::size_t most_, held_ = 0;
  std::vector<std::unique_ptr<PinnedBuffer>> all_;
  std::multimap<std::size_t, PinnedBuffer*> free_;
  std::deque<PinnedBuffer*> under_way_;  // in the order of the stream
};

/// A copy on its way to the host.
class PinnedRead final : public HostRead {
 public:
  PinnedRead(PinnedBuffers& buffers, PinnedBuffer& buffer) : buffers_(&buffers), buffer_(&buffer) {}
  ~PinnedRead() override {
    try {
      if (waited_) buffers_->retire_later(*buffer_);
      else buffers_->give_back(*buffer_);
    } catch (const Error&) {  // after a fault the buffer is not used again
    }
  }
  const void* wait() override {
    buffers_->wait(*buffer_);
    waited_ = true;
    return buffer_->data;
  }

 private:
  PinnedBuffers* buffers_;
  PinnedBuffer* buffer_;
  bool waited_ = false;
};

}  // namespace braing3n::inline BRAING3N_ABI::detail
