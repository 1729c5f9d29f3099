// The CUDA backend as seen from host code: device, stream, memory, the handle of cuBLASLt and the plans of its products. Needs the
// CUDA Toolkit's headers but not nvcc; kernels are in the .cuh files beside this one.
#pragma once

#include <cstdint>
#include <utility>

#include "braing3n/backend/cuda/memory.hpp"
#include "braing3n/backend/cuda/product_plans.hpp"
#include "braing3n/core/tensor.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Stream and handle of cuBLASLt, made together and destroyed in the right order.
struct CudaHandles {
  cudaStream_t stream = nullptr;
  cublasLtHandle_t cublas = nullptr;
  int device = 0;

  explicit CudaHandles(int on_device) : device(on_device) {
    int before = 0;
    check_cuda(cudaGetDevice(&before), "cudaGetDevice");
    check_cuda(cudaSetDevice(device), "cudaSetDevice");  // says that there is no such device
    check_cuda(cudaSetDevice(before), "cudaSetDevice");
    const CudaDeviceScope scope(device);
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    check_cublas(cublasLtCreate(&cublas), "cublasLtCreate");
  }
  ~CudaHandles() {
    const CudaDeviceScope scope(device);
    if (cublas != nullptr) cublasLtDestroy(cublas);
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
  Index max_blocks = Index{1} << 16;          // of one launch; kernels loop over what is left. Tests make it small
  Index workspace = Index{64} << 20;          // bytes that a convolution gathers at a time
  Index product_workspace = Index{32} << 20;  // bytes that products may use beside their matrices
  bool tf32 = false;  // F32 products round their operands to 10 bits of fraction (TensorFloat-32), which is faster
  Index pinned =
      Index{256} << 20;  // bytes of pinned host memory for copies that the host does not wait for, at most; 0: it waits
  bool keep_memory = true;  // freed blocks are kept for the next request of their size
};

template <>
class Context<Cuda> {
 public:
  /// Throws Error (environment) when there is no such device. A context works from any thread, by one thread at a time.
  explicit Context(const CudaOptions& options = {})
      : options_(options), handles_(options.device),
        memory_(handles_.stream, {options.device, options.pinned, options.keep_memory}),
        plans_(static_cast<std::size_t>(options.product_workspace > 0 ? options.product_workspace : 0)) {
    if (options.max_blocks < 1)
      fail(ErrorKind::argument, "cuda.max_blocks", "cuda: max_blocks: expected at least 1, got ", options.max_blocks);
    if (options.workspace < 1)
      fail(ErrorKind::argument, "cuda.workspace", "cuda: workspace: expected at least 1 byte, got ", options.workspace);
    if (options.product_workspace < 0)
      fail(ErrorKind::argument, "cuda.product_workspace", "cuda: product_workspace: expected at least 0 bytes, got ",
           options.product_workspace);
    if (options.pinned < 0)
      fail(ErrorKind::argument, "cuda.pinned", "cuda: pinned: expected at least 0 bytes, got ", options.pinned);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const CudaOptions& options() const { return options_; }
  CudaMemory& memory() { return memory_; }
  cudaStream_t stream() const { return handles_.stream; }
  cublasLtHandle_t cublas() const { return handles_.cublas; }
  ProductPlans& product_plans() { return plans_; }
  /// Memory for one product at a time: products of one stream follow one another. Taken when the first product wants it.
  void* product_workspace() {
    if (workspace_.empty()) workspace_ = Tensor<std::uint8_t, Cuda>(*this, Shape{options_.product_workspace});
    return workspace_.data();
  }
  template <class T>
  bool keeps_packed_weights() const {
    return false;
  }
  void synchronize() {
    const detail::CudaDeviceScope scope(options_.device);
    check_cuda(cudaStreamSynchronize(handles_.stream), "cudaStreamSynchronize");
  }

  /// Work on host data: this backend has no host threads of its own.
  template <class F>
  void host_parallel_range(Index n, Index, F&& f) {
    std::forward<F>(f)(Index{0}, n);
  }

 private:
  CudaOptions options_;
  detail::CudaHandles handles_;
  CudaMemory memory_;
  ProductPlans plans_;
  Tensor<std::uint8_t, Cuda> workspace_;
};

}  // namespace braing3n::inline BRAING3N_ABI
