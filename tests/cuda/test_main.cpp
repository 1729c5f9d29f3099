// Without a GPU the program says so and ends with 77, which ctest counts as skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "braing3n/backend/cuda/runtime.hpp"

int main(int argc, char** argv) {
  if (!braing3n::cuda_available()) {
    std::puts("skipped: no CUDA device");
    return 77;
  }
  return doctest::Context(argc, argv).run();
}
