// Compiled by nvcc: reads a tensor type that host.cpp made, and launches kernels of the library where there is a GPU.
#include "braing3n/backend/cpu.hpp"
#include "braing3n/cuda.cuh"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/reduce.hpp"

double sum_by_nvcc(const braing3n::Tensor<float, braing3n::Cpu>& t) {
  using namespace braing3n;
  if (!cuda_available()) return -static_cast<double>(t.size());
  Context<Cuda> context;
  const auto host = t.to_host();
  const auto x = Tensor<float, Cuda>::from_host(context, t.shape(), host);
  return sum_forward(add_forward(x, x));
}
