// Eigenvalues of a symmetric matrix, with and without vectors.
#include <benchmark/benchmark.h>

#include <vector>

#include "braing3n/base/philox.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"

using namespace braing3n;

namespace {

std::vector<double> symmetric(Index n) {
  std::vector<double> a(static_cast<std::size_t>(n * n));
  const Philox rng(1, Purpose::test, 0, 0);
  for (Index i = 0; i < n; ++i)
    for (Index j = 0; j <= i; ++j)
      a[static_cast<std::size_t>(i * n + j)] = a[static_cast<std::size_t>(j * n + i)] =
          static_cast<double>(rng.normal(static_cast<std::uint32_t>(i * n + j)));
  return a;
}

void eigen_values(benchmark::State& state) {
  const std::vector<double> a = symmetric(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(symmetric_eigenvalues(a, state.range(0)));
}

void eigen_vectors(benchmark::State& state) {
  const std::vector<double> a = symmetric(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(symmetric_eigen(a, state.range(0)));
}

}  // namespace

BENCHMARK(eigen_values)->Arg(256)->Arg(1152)->Unit(benchmark::kMillisecond);
BENCHMARK(eigen_vectors)->Arg(256)->Arg(1152)->Unit(benchmark::kMillisecond);
BENCHMARK_MAIN();
