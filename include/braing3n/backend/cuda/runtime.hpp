// Calls of the CUDA runtime from host code: their errors, whether there is a device, which device a thread works on.
#pragma once

#include <cuda_runtime_api.h>

#include "braing3n/base/error.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Throws Error (environment) that names the call and CUDA's own reason.
inline void check_cuda(cudaError_t status, const char* call) {
  if (status != cudaSuccess)
    fail(ErrorKind::environment, "cuda.call", "cuda: ", call, ": ", cudaGetErrorString(status));
}

/// Whether a CUDA device can be used. Never throws: without a driver the answer is no.
inline bool cuda_available() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) cudaGetLastError();  // clears the error
  return status == cudaSuccess && count > 0;
}

namespace detail {

/// The calling thread works on `device` as long as this lives, and on its own choice afterwards. CUDA keeps the current device per
/// thread, so a context has to say which one is its own whenever it is used. Never throws: when there is no such device, the call
/// that follows fails and is checked.
class CudaDeviceScope {
 public:
  explicit CudaDeviceScope(int device) noexcept {
    if (cudaGetDevice(&before_) != cudaSuccess || before_ == device) return;
    changed_ = cudaSetDevice(device) == cudaSuccess;
  }
  ~CudaDeviceScope() {
    if (changed_) cudaSetDevice(before_);
  }
  CudaDeviceScope(const CudaDeviceScope&) = delete;
  CudaDeviceScope& operator=(const CudaDeviceScope&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

}  // namespace detail

}  // namespace braing3n::inline BRAING3N_ABI
