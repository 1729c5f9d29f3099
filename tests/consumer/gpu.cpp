// A program of the host with the GPU's models in braing3n::compiled_cuda: opens the first GPU, or says why there is none.
#include <iostream>

#include "braing3n/device/gpu.hpp"

int main() {
  const braing3n::GpuSupport& support = braing3n::gpu_support();
  if (support.name == nullptr) {
    std::cout << "linked without CUDA\n";
    return 1;
  }
  try {
    const auto gpu = support.open(0);
    std::cout << support.name << ": " << gpu->info().name << '\n';
  } catch (const braing3n::Error& e) {
    std::cout << support.name << ": " << e.text() << '\n';
    return e.kind() == braing3n::ErrorKind::environment ? 0 : 1;
  }
  return 0;
}
