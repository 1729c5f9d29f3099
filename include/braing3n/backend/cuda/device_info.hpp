// Whether the library can use a GPU, in sentences.
#pragma once

#include <cstddef>
#include <string>

#include "braing3n/backend/cuda/runtime.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct CudaDeviceInfo {
  std::string name;
  int capability = 0;                       // 90 for compute capability 9.0
  std::size_t memory = 0, free_memory = 0;  // bytes
};

namespace detail {

/// "13.0" of 13000.
inline std::string cuda_version_text(int version) { return concat(version / 1000, '.', version % 1000 / 10); }

}  // namespace detail

/// Throws Error (environment) that says why no GPU can be used: no driver, an old one, no device.
inline void require_cuda() {
  int driver = 0, runtime = 0, count = 0;
  check_cuda(cudaRuntimeGetVersion(&runtime), "cudaRuntimeGetVersion");
  check_cuda(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");  // 0 without a driver
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) cudaGetLastError();  // clears the error
  const auto refuse = [&](const std::string& got) {
    fail(ErrorKind::environment, "cuda.driver", "cuda: expected a driver for CUDA ", detail::cuda_version_text(runtime),
         " or newer, got ", got);
  };
  if (driver == 0) refuse("none");
  if (status == cudaErrorInsufficientDriver) refuse("one for CUDA " + detail::cuda_version_text(driver));
  if (status == cudaErrorNoDevice || (status == cudaSuccess && count == 0))
    fail(ErrorKind::environment, "cuda.no_device",
         "cuda: expected a GPU, got none: the machine has none, or CUDA_VISIBLE_DEVICES hides it");
  check_cuda(status, "cudaGetDeviceCount");
}

/// What a device is. Throws Error (environment) as require_cuda(), and when there is no such device or it is too old: kernels are made for
/// compute capability 8.0 and newer.
inline CudaDeviceInfo cuda_device_info(int device = 0) {
  constexpr int oldest = 80;
  require_cuda();
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  CudaDeviceInfo info{properties.name, 10 * properties.major + properties.minor, properties.totalGlobalMem, 0};
  if (info.capability < oldest)
    fail(ErrorKind::environment, "cuda.capability", "cuda: ", info.name, ": expected compute capability ", oldest / 10,
         '.', oldest % 10, " or newer, got ", info.capability / 10, '.', info.capability % 10);
  const detail::CudaDeviceScope scope(device);
  check_cuda(cudaMemGetInfo(&info.free_memory, &info.memory), "cudaMemGetInfo");
  return info;
}

}  // namespace braing3n::inline BRAING3N_ABI
