// Streams: at once, or not before somebody waits.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "cuda_runtime_api.h"

struct CUstream_st {
  int device = 0;
  std::deque<std::function<void()>> queue;
};

struct CUevent_st {
  int device = 0;
  cudaStream_t stream = nullptr;
  std::shared_ptr<bool> done;  // null before the first record
};

namespace emulation::core {

/// Does `work` in the order of the stream. The null stream does everything at once.
void submit(cudaStream_t stream, std::function<void()> work);
/// Does what the stream has put off, up to the point where *done is set.
void drain(cudaStream_t stream, const bool* done = nullptr);

/// Whether [p, p + bytes) lies in one allocation of a device.
bool on_device(const void* p, std::size_t bytes);
/// The device on which the calling thread works.
int current_device();
/// What a call returns before it looks at its arguments: the error that an earlier fault has left.
cudaError_t standing_error();

}  // namespace emulation::core
