// Attention on the shapes of the paper's models: milliseconds, GFLOP/s and the share of the fp32 multiply-add peak of the same run.
// Two matrix products are counted forward, five backward; the exponentials are not counted.
//
//   bench_attention [--threads 2] [--budget 0.5] [--bf16]
#include <cstdio>
#include <string>

#include "bench/support/arguments.hpp"
#include "bench/support/peak.hpp"
#include "bench/support/timing.hpp"
#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/ops/attention.hpp"

using namespace braing3n;

namespace {

struct Case {
  const char* what;
  Index batch, tokens, heads, width;
};
constexpr Case cases[] = {{"encoder, all tokens", 1, 1201, 16, 72},
                          {"encoder, visible tokens", 2, 361, 16, 72},
                          {"16 heads, 1200 tokens", 1, 1200, 16, 72},
                          {"DiT, one guided step", 2, 1200, 18, 64},
                          {"CNN decoder, middle", 1, 1200, 1, 512}};

template <class T>
Tensor<T, Cpu> filled(Context<Cpu>& ctx, const Shape& shape, std::uint32_t id) {
  Tensor<T, Cpu> t(ctx, shape);
  const Philox rng(1, Purpose::test, 0, id);
  for (Index i = 0; i < t.size(); ++i)
    t.data()[i] = static_cast<T>(2.0f * rng.uniform(static_cast<std::uint64_t>(i)) - 1.0f);
  return t;
}

template <class T>
void table(Context<Cpu>& ctx, double budget) {
  std::printf("%s, %d threads, %s\n", type_name<T>(), ctx.threads(), to_string(ctx.isa()));
  std::printf("%-26s %22s | %8s %9s %6s | %8s %9s %6s\n", "", "shape (N, L, 3, H, D)", "fwd ms", "GFLOP/s", "peak",
              "bwd ms", "GFLOP/s", "peak");
  for (const Case& c : cases) {
    const auto qkv = filled<T>(ctx, {c.batch, c.tokens, 3, c.heads, c.width}, 1);
    const auto dy = filled<T>(ctx, {c.batch, c.tokens, c.heads * c.width}, 2);
    auto r = attention_forward(qkv);
    Tensor<T, Cpu> d;
    const double before = bench::fma_peak(ctx.isa(), ctx.threads());
    const double forward = bench::time_of([&] { r = attention_forward(qkv); }, budget);
    const double backward = bench::time_of([&] { d = attention_backward(qkv, r, dy); }, budget);
    const double peak = (before + bench::fma_peak(ctx.isa(), ctx.threads())) / 2;
    const double product = 2e-9 * static_cast<double>(c.batch * c.heads * c.tokens * c.tokens * c.width);
    const double f = 2 * product / forward, b = 5 * product / backward;
    std::printf("%-26s %22s | %8.2f %9.0f %6.2f | %8.2f %9.0f %6.2f\n", c.what, qkv.shape().str().c_str(),
                forward * 1e3, f, f / peak, backward * 1e3, b, b / peak);
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::check_arguments(argc, argv, "attention, forward and backward",
                         {.options = {"--threads", "--budget"}, .flags = {"--bf16"}, .words = {}, .any_word = false});
  Context<Cpu> ctx({.threads = std::stoi(bench::option(argc, argv, "--threads", "0"))});
  const double budget = std::stod(bench::option(argc, argv, "--budget", "0.5"));
  table<float>(ctx, budget);
  if (bench::flag(argc, argv, "--bf16")) table<bfloat16>(ctx, budget);
}
