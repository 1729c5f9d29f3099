// A context on each backend, and tensors carried between them.
#pragma once

#include <cstdlib>

#include "tests/support/check.hpp"

#ifdef BRAING3N_EMULATE_CUDA
#include "emulation.hpp"
#endif

#include "braing3n/backend/cuda/context.hpp"
#include "braing3n/ops/elementwise.hpp"

namespace braing3n::test {

/// BRAING3N_TEST_MAX_BLOCKS=N caps the blocks of a launch, so that kernels have to loop.
inline CudaOptions cuda_options() {
  CudaOptions options;
  if (const char* blocks = std::getenv("BRAING3N_TEST_MAX_BLOCKS")) options.max_blocks = std::atoi(blocks);
  options.workspace = 4096;     // so that small convolutions have several chunks
  options.keep_memory = false;  // fresh memory is NaN in the emulation, a block that is used again is not
  return options;
}

struct Both {
  Context<Cpu> cpu{{.threads = 2}};
  Context<Cuda> cuda{cuda_options()};
};

template <class T>
Tensor<T, Cuda> upload(Both& b, const Tensor<T, Cpu>& x) {
  const auto host = x.to_host();
  return Tensor<T, Cuda>::from_host(b.cuda, x.shape(), host);
}
template <class T>
Tensor<T, Cpu> download(Both& b, const Tensor<T, Cuda>& x) {
  const auto host = x.to_host();
  return Tensor<T, Cpu>::from_host(b.cpu, x.shape(), host);
}

/// The largest difference between a tensor of the GPU and one of the CPU.
template <class T>
double apart(Both& b, const Tensor<T, Cuda>& gpu, const Tensor<T, Cpu>& cpu) {
  return max_difference(cast<double>(download(b, gpu)), cast<double>(cpu));
}

/// The largest difference between two lists; a NaN stays the worst.
inline double apart(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (const double d = std::abs(a[i] - b[i]); d > most || d != d) most = d;
  return most;
}

}  // namespace braing3n::test
