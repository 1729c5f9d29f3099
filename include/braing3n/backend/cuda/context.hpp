// The CUDA backend as seen from host code: device, stream, memory and the cuBLAS handle. Needs the CUDA Toolkit's headers but
// not nvcc; kernels are in the .cuh files beside this one.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

/// Throws Error (environment) that names the call and CUDA's own reason.
inline void check_cuda(cudaError_t status, const char* call) {
  if (status != cudaSuccess)
    fail(ErrorKind::environment, "cuda.call", "cuda: ", call, ": ", cudaGetErrorString(status));
}
inline void check_cublas(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS)
    fail(ErrorKind::environment, "cuda.cublas", "cuda: ", call, ": ", cublasGetStatusString(status));
}

/// Whether a CUDA device can be used. Never throws: without a driver the answer is no.
inline bool cuda_available() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) cudaGetLastError();  // clears the error
  return status == cudaSuccess && count > 0;
}

/// Device memory in the order of one stream. The driver's pool keeps freed blocks for the next step.
class CudaMemory final : public MemoryResource {
 public:
  explicit CudaMemory(cudaStream_t stream, int device) : stream_(stream) {
    cudaMemPool_t pool = nullptr;
    check_cuda(cudaDeviceGetDefaultMemPool(&pool, device), "cudaDeviceGetDefaultMemPool");
    std::uint64_t keep = UINT64_MAX;
    check_cuda(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute");
  }

  void* allocate(std::size_t bytes) override {
    void* p = nullptr;
    const cudaError_t status = cudaMallocAsync(&p, std::max<std::size_t>(bytes, 1), stream_);
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      fail(ErrorKind::environment, "memory.exhausted", "memory: the device has no ", bytes, " bytes left");
    }
    check_cuda(status, "cudaMallocAsync");
    return p;
  }
  void deallocate(void* p, std::size_t) noexcept override { cudaFreeAsync(p, stream_); }
  void zero(void* p, std::size_t bytes) override {
    check_cuda(cudaMemsetAsync(p, 0, bytes, stream_), "cudaMemsetAsync");
  }
  void copy(void* to, const void* from, std::size_t bytes) override {
    check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_), "cudaMemcpyAsync");
  }
  void copy_from_host(void* to, const void* host, std::size_t bytes) override {
    check_cuda(cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, stream_), "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }
  void copy_to_host(void* host, const void* from, std::size_t bytes) override {
    check_cuda(cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost, stream_), "cudaMemcpyAsync");
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  }

 private:
  cudaStream_t stream_;
};

namespace detail {

/// Stream and cuBLAS handle, made together and destroyed in the right order.
struct CudaHandles {
  cudaStream_t stream = nullptr;
  cublasHandle_t cublas = nullptr;

  explicit CudaHandles(int device) {
    check_cuda(cudaSetDevice(device), "cudaSetDevice");
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    check_cublas(cublasCreate(&cublas), "cublasCreate");
    check_cublas(cublasSetStream(cublas, stream), "cublasSetStream");
    // No reduced precision behind the caller's back: float products stay float.
    check_cublas(cublasSetMathMode(cublas, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
  }
  ~CudaHandles() {
    if (cublas != nullptr) cublasDestroy(cublas);
    if (stream != nullptr) {
      cudaStreamSynchronize(stream);
      cudaStreamDestroy(stream);
    }
  }
  CudaHandles(const CudaHandles&) = delete;
  CudaHandles& operator=(const CudaHandles&) = delete;
};

}  // namespace detail

struct CudaOptions {
  int device = 0;
};

template <>
class Context<Cuda> {
 public:
  /// Throws Error (environment) when there is no such device.
  explicit Context(const CudaOptions& options = {})
      : handles_(options.device), memory_(handles_.stream, options.device) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  CudaMemory& memory() { return memory_; }
  cudaStream_t stream() const { return handles_.stream; }
  cublasHandle_t cublas() const { return handles_.cublas; }
  template <class T>
  bool keeps_packed_weights() const {
    return false;
  }
  void synchronize() { check_cuda(cudaStreamSynchronize(handles_.stream), "cudaStreamSynchronize"); }

  /// Work on host data: this backend has no host threads of its own.
  template <class F>
  void host_parallel_range(Index n, Index, F&& f) {
    std::forward<F>(f)(Index{0}, n);
  }

 private:
  detail::CudaHandles handles_;
  CudaMemory memory_;
};

}  // namespace braing3n::inline BRAING3N_ABI
