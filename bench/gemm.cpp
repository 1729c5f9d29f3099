// Matrix products: the linear layers of the paper's models, forward (y = x W^T, weights packed or not) and backward, per provider,
// in GFLOP/s and as a share of the fp32 multiply-add peak of the same run.
//
//   bench_gemm [--threads 2] [--providers default,eigen] [--only forward|bf16|backward|small|double] [--rounds 5]
// Eigen's column is meant for a build with -march=native -mtune=skylake-avx512: Eigen has no kernels picked at run time.
#include <cstdio>
#include <sstream>

#include "bench/support/arguments.hpp"
#include "bench/support/peak.hpp"
#include "bench/support/provider.hpp"
#include "bench/support/timing.hpp"
#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/philox.hpp"

using namespace braing3n;

namespace {

struct Shape3 {
  Index m, k, n;
};
constexpr Shape3 layers[] = {{1200, 1152, 3456}, {1200, 1152, 1152}, {1200, 1152, 4608},
                             {1200, 4608, 1152}, {360, 1152, 4608},  {2400, 1152, 4608}};

template <class T>
Tensor<T, Cpu> filled(Context<Cpu>& ctx, Index rows, Index cols, std::uint32_t id) {
  Tensor<T, Cpu> t(ctx, {rows, cols});
  const Philox rng(1, Purpose::test, 0, id);
  ctx.parallel_range(t.size(), 1 << 16, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i)
      t.data()[i] = static_cast<T>(2.0f * rng.uniform(static_cast<std::uint64_t>(i)) - 1.0f);
  });
  return t;
}

struct Run {
  Context<Cpu>& ctx;
  int rounds;
};

/// One row of the table: the product as `call` has it, and with packed weights where the provider has them.
template <class T>
void row(const Run& run, const char* what, const GemmCall<T>& call) {
  const GemmKernels<T>& gemm = run.ctx.provider().template gemm<T>();
  bench::Contest contest(run.rounds);
  GemmCall<T> packed = call;
  Tensor<std::uint8_t, Cpu> storage;
  const std::size_t bytes = gemm.packed_bytes != nullptr ? gemm.packed_bytes(call.k, call.n) : 0;
  contest.add("plain", [&] { gemm.run(run.ctx, call); });
  if (bytes > 0) {
    storage = Tensor<std::uint8_t, Cpu>(run.ctx, Shape{static_cast<Index>(bytes)});
    gemm.pack(run.ctx, call.k, call.n, call.b, call.b_row, call.b_col, storage.data());
    packed.packed_b = storage.data();
    contest.add("packed", [&] { gemm.run(run.ctx, packed); });
  }
  double before = bench::fma_peak(detect_isa(), run.ctx.threads());
  contest.run();
  const double peak = 0.5 * (before + bench::fma_peak(detect_isa(), run.ctx.threads()));
  const double flop =
      2.0 * static_cast<double>(call.m) * static_cast<double>(call.n) * static_cast<double>(call.k) * 1e-9;
  const double plain = flop / contest.seconds("plain");
  std::printf("%-11s %-5s %-12s %5lld x %5lld x %5lld   %7.1f  %5.3f", run.ctx.provider().name, type_name<T>(), what,
              static_cast<long long>(call.m), static_cast<long long>(call.k), static_cast<long long>(call.n), plain,
              plain / peak);
  if (bytes > 0)
    std::printf("   packed %7.1f  %5.3f", flop / contest.seconds("packed"), flop / contest.seconds("packed") / peak);
  std::printf("   peak %.0f\n", peak);
  std::fflush(stdout);
}

/// y = x W^T with W (n, k) as PyTorch stores it.
template <class T>
void forward(const Run& run, const Shape3& s, const char* what = "y = x W^T") {
  const auto x = filled<T>(run.ctx, s.m, s.k, 1), w = filled<T>(run.ctx, s.n, s.k, 2);
  Tensor<T, Cpu> y(run.ctx, {s.m, s.n});
  GemmCall<T> call;
  call.m = s.m, call.n = s.n, call.k = s.k;
  call.a = x.data(), call.a_row = s.k;
  call.b = w.data(), call.b_row = 1, call.b_col = s.k;
  call.c = y.data(), call.c_row = s.n;
  row(run, what, call);
}

/// dx = dy W and dW += dy^T x.
template <class T>
void backward(const Run& run, const Shape3& s) {
  const auto x = filled<T>(run.ctx, s.m, s.k, 1), w = filled<T>(run.ctx, s.n, s.k, 2),
             dy = filled<T>(run.ctx, s.m, s.n, 3);
  Tensor<T, Cpu> dx(run.ctx, {s.m, s.k}), dw = Tensor<T, Cpu>::zeros(run.ctx, {s.n, s.k});
  GemmCall<T> call;
  call.m = s.m, call.n = s.k, call.k = s.n;
  call.a = dy.data(), call.a_row = s.n;
  call.b = w.data(), call.b_row = s.k;
  call.c = dx.data(), call.c_row = s.k;
  row(run, "dx = dy W", call);
  GemmCall<T> grad;
  grad.m = s.n, grad.n = s.k, grad.k = s.m;
  grad.a = dy.data(), grad.a_row = 1, grad.a_col = s.n;
  grad.b = x.data(), grad.b_row = s.k;
  grad.c = dw.data(), grad.c_row = s.k, grad.accumulate = true;
  row(run, "dW += dy^T x", grad);
}

}  // namespace

int main(int argc, char** argv) {
  bench::check_arguments(
      argc, argv, "matrix products",
      {.options = {"--threads", "--rounds", "--only", "--providers"}, .flags = {}, .words = {}, .any_word = false});
  const int threads = std::atoi(bench::option(argc, argv, "--threads", "2").c_str());
  const int rounds = std::atoi(bench::option(argc, argv, "--rounds", "5").c_str());
  const std::string only = bench::option(argc, argv, "--only", "");
  std::printf("%d threads; peak now: fp32 %.0f GFLOP/s, bf16 dot products %.0f\n", threads,
              bench::fma_peak(detect_isa(), threads), bench::bf16_peak(threads));
  std::printf("provider    type  product           m       k       n    GFLOP/s  share of fp32 peak\n");
  std::istringstream names(bench::option(argc, argv, "--providers", "default,eigen"));
  for (std::string name; std::getline(names, name, ',');) {
    Context<Cpu> ctx({.threads = threads, .provider = &bench::provider(name)});
    const Run run{ctx, rounds};
    if (only.empty() || only == "forward")
      for (const Shape3& s : layers) forward<float>(run, s);
    if ((only.empty() || only == "bf16") && name != "eigen")
      for (const Shape3& s : layers) forward<bfloat16>(run, s);
    if (only.empty() || only == "backward")
      for (Index tokens : {1200, 2400}) backward<float>(run, {tokens, 1152, 4608});
    if (only.empty() || only == "double") forward<double>(run, {1200, 1152, 1152});
    if (only.empty() || only == "small") {
      for (const Shape3& s : {Shape3{16, 16, 16}, {64, 64, 64}, {100, 100, 100}, {2, 1152, 6912}, {1200, 72, 1200}})
        forward<float>(run, s, "small");
    }
  }
}
