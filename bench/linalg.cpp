// Factorisations of symmetric matrices: all eigenvalues with and without vectors, the leading ones, Cholesky's factor and its solves.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/linalg/leading_eigen.hpp"
#include "braing3n/linalg/llt.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"
#include "braing3n/ops/matmul.hpp"

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

/// The covariance of as many random rows as columns. Its spectrum is flat where it starts; with `decay`, column i has the size 1 / (1 + i).
Tensor<double, Cpu> covariance(Context<Cpu>& ctx, Index n, bool decay) {
  Tensor<double, Cpu> x(ctx, {n, n});
  const Philox rng(2, Purpose::test, 0, 0);
  for (Index i = 0; i < x.size(); ++i)
    x.data()[i] = static_cast<double>(rng.normal(static_cast<std::uint32_t>(i))) /
                  (decay ? 1 + static_cast<double>(i % n) : 1) / std::sqrt(static_cast<double>(n));
  return matmul_forward(x, x, {.transpose_a = true});
}

void eigen_values(benchmark::State& state) {
  const std::vector<double> a = symmetric(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(symmetric_eigenvalues(a, state.range(0)));
}

void eigen_vectors(benchmark::State& state) {
  const std::vector<double> a = symmetric(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(symmetric_eigen(a, state.range(0)));
}

void leading(benchmark::State& state, bool decay) {
  Context<Cpu> ctx({.threads = 2});
  const auto a = covariance(ctx, state.range(0), decay);
  for (auto _ : state) benchmark::DoNotOptimize(leading_eigen(ctx, a, state.range(1)));
}

void cholesky(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  const auto a = covariance(ctx, state.range(0), false).to_host();
  for (auto _ : state) benchmark::DoNotOptimize(llt<double>(a, state.range(0), {.shift = 0.1}));
}

void cholesky_solve(benchmark::State& state) {
  Context<Cpu> ctx({.threads = 2});
  const auto a = covariance(ctx, state.range(0), false).to_host();
  const Llt<double> factor = llt<double>(a, state.range(0), {.shift = 0.1});
  std::vector<double> x(static_cast<std::size_t>(state.range(0) * state.range(1)), 1.0);
  for (auto _ : state) {
    llt_solve<double>(factor, x);
    benchmark::ClobberMemory();
  }
}

}  // namespace

BENCHMARK(eigen_values)->Arg(256)->Arg(1152)->Unit(benchmark::kMillisecond);
BENCHMARK(eigen_vectors)->Arg(256)->Arg(1152)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(leading, flat, false)->Args({4096, 32})->Unit(benchmark::kMillisecond)->Iterations(1)->UseRealTime();
BENCHMARK_CAPTURE(leading, decaying, true)
    ->Args({4096, 32})
    ->Unit(benchmark::kMillisecond)
    ->Iterations(1)
    ->UseRealTime();
BENCHMARK(cholesky)->Arg(1152)->Arg(3000)->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK(cholesky_solve)->Args({1152, 1})->Args({1152, 20})->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_MAIN();
