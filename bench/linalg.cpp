// Factorisations of symmetric matrices in milliseconds: all eigenvalues with and without vectors, the leading ones, and the factors of
// Cholesky (LLT) and of LDLT with their solves.
//
//   bench_linalg [--threads 2] [--budget 0.3]
#include <cmath>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "bench/support/arguments.hpp"
#include "bench/support/timing.hpp"
#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/linalg/ldlt.hpp"
#include "braing3n/linalg/leading_eigen.hpp"
#include "braing3n/linalg/llt.hpp"
#include "braing3n/linalg/symmetric_eigen.hpp"
#include "braing3n/ops/matmul.hpp"

using namespace braing3n;

namespace {

/// The covariance of as many random rows as columns. Its spectrum is flat where it starts; with `decay`, column i has the size 1 / (1 + i).
Tensor<double, Cpu> covariance(Context<Cpu>& ctx, Index n, bool decay = false) {
  Tensor<double, Cpu> x(ctx, {n, n});
  const Philox rng(2, Purpose::test, 0, 0);
  for (Index i = 0; i < x.size(); ++i)
    x.data()[i] = static_cast<double>(rng.normal(static_cast<std::uint32_t>(i))) /
                  (decay ? 1 + static_cast<double>(i % n) : 1) / std::sqrt(static_cast<double>(n));
  return matmul_forward(x, x, {.transpose_a = true});
}

struct Report {
  double budget;
  /// flop: the multiplications and additions of the textbook, 0 where their number depends on the matrix.
  template <class F>
  void line(const std::string& what, Index n, double flop, F&& f) const {
    const double t = bench::time_of(f, budget, 3);
    std::printf("%-34s %6td %10.3f ms", what.c_str(), n, t * 1e3);
    if (flop > 0) std::printf(" %7.1f GFLOP/s", flop * 1e-9 / t);
    std::printf("\n");
    std::fflush(stdout);
  }
};

void eigenvalues(Context<Cpu>& ctx, const Report& report) {
  for (const Index n : {256, 1152}) {
    const std::vector<double> a = covariance(ctx, n).to_host();
    report.line("eigenvalues", n, 0, [&] { symmetric_eigenvalues(a, n); });
    report.line("eigenvalues and vectors", n, 0, [&] { symmetric_eigen(a, n); });
  }
  for (const bool decay : {false, true}) {
    const Tensor<double, Cpu> a = covariance(ctx, 4096, decay);
    report.line(decay ? "32 leading, decaying spectrum" : "32 leading, flat spectrum", 4096, 0,
                [&] { leading_eigen(ctx, a, 32); });
  }
}

/// Matrices with eigenvalues of at least 1: what is solved in place again and again stays finite.
void cholesky(Context<Cpu>& ctx, const Report& report) {
  for (const Index n : {256, 1152, 3000}) {
    const std::vector<double> a = covariance(ctx, n).to_host();
    const double size = static_cast<double>(n);
    report.line("LLT", n, size * size * size / 3, [&] { llt<double>(ctx, a, n, {.shift = 1}); });
    const Llt<double> factor = llt<double>(ctx, a, n, {.shift = 1});
    for (const Index rows : {1, 20}) {
      std::vector<double> x(static_cast<std::size_t>(n * rows), 1.0);
      report.line("LLT, solving for " + std::to_string(rows), n, 2 * size * size * static_cast<double>(rows),
                  [&] { llt_solve<double>(factor, x); });
    }
  }
}

void ldlt(Context<Cpu>& ctx, const Report& report) {
  for (const Index n : {20, 256, 1152}) {
    std::vector<double> a = covariance(ctx, n).to_host();
    for (Index i = 0; i < n; ++i) a[static_cast<std::size_t>(i * n + i)] += 1;
    const Index columns = n == 20 ? 38400 : 20;  // effects on all latents of a scan, or as above
    std::vector<double> x(static_cast<std::size_t>(n * columns), 1.0);
    report.line("LDLT, solving for " + std::to_string(columns), n, 0,
                [&] { ldlt_solve<double>(a, n, std::span<double>(x), columns); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::check_arguments(argc, argv, "factorisations of symmetric matrices",
                         {.options = {"--threads", "--budget"}, .flags = {}, .words = {}, .any_word = false});
  Context<Cpu> ctx({.threads = std::stoi(bench::option(argc, argv, "--threads", "2"))});
  const Report report{std::stod(bench::option(argc, argv, "--budget", "0.3"))};
  std::printf("%d threads, %s\n", ctx.threads(), ctx.provider().name);
  eigenvalues(ctx, report);
  cholesky(ctx, report);
  ldlt(ctx, report);
}
