// A program without CUDA.
#include "braing3n/device/gpu.hpp"

namespace braing3n::inline BRAING3N_ABI {

const GpuSupport& gpu_support() {
  static const GpuSupport none;
  return none;
}

}  // namespace braing3n::inline BRAING3N_ABI
