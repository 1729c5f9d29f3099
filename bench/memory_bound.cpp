// Ops that do little arithmetic per byte, on data far larger than any cache: GB/s of the reads and writes an op cannot avoid, and
// the share of the triad (a = b + s c) of the same run. A store to memory that was not read costs a read as well, which neither
// figure counts; ops that write what they read (AdamW, EMA) therefore exceed 1.
//
//   bench_memory_bound [--threads 2] [--budget 0.3] [--million 64]
#include <cstdio>
#include <string>
#include <vector>

#include "bench/support/arguments.hpp"
#include "bench/support/timing.hpp"
#include "braing3n/backend/cpu.hpp"
#include "braing3n/ops/concat.hpp"
#include "braing3n/ops/gather.hpp"
#include "braing3n/ops/modulate.hpp"
#include "braing3n/ops/patch.hpp"
#include "braing3n/ops/token_mask.hpp"
#include "braing3n/ops/update.hpp"

using namespace braing3n;
using X = Tensor<float, Cpu>;

namespace {

struct Triad {
  const float* b;
  const float* c;
  float* a;
  BRAING3N_INLINE void operator()(Index i) const { a[i] = b[i] + 0.5f * c[i]; }
};

struct Report {
  double triad, budget;
  /// bytes: what every call reads and writes at least.
  template <class F>
  void line(const char* what, Index elements, double bytes, F&& f) const {
    const double t = bench::time_of(f, budget);
    const double rate = bytes * static_cast<double>(elements) * 1e-9 / t;
    std::printf("%-26s %9.2f ms %7.1f GB/s %6.2f\n", what, t * 1e3, rate, rate / triad);
  }
};

}  // namespace

int main(int argc, char** argv) {
  bench::check_arguments(
      argc, argv, "operations bound by memory",
      {.options = {"--threads", "--budget", "--million"}, .flags = {}, .words = {}, .any_word = false});
  Context<Cpu> ctx({.threads = std::stoi(bench::option(argc, argv, "--threads", "0"))});
  const double budget = std::stod(bench::option(argc, argv, "--budget", "0.3"));
  const Index n = std::stol(bench::option(argc, argv, "--million", "64")) * 1'000'000;
  X a = full<float>(ctx, {n}, 0.5), b = full<float>(ctx, {n}, 0.25), c = full<float>(ctx, {n}, 0.1),
    d = full<float>(ctx, {n}, 0.1);
  const auto call = [&] { map(ctx, n, Triad{b.data(), c.data(), a.data()}); };
  const Report report{12e-9 * static_cast<double>(n) / bench::time_of(call, budget), budget};
  std::printf("%d threads, %s, %ld million floats, triad %.1f GB/s\n", ctx.threads(), to_string(ctx.isa()),
              static_cast<long>(n / 1'000'000), report.triad);

  const auto factor = scalar(ctx, 1.0);
  report.line("adamw", n, 28, [&] { adamw_update(a, b, c, d, factor, AdamWStep{}); });
  report.line("ema", n, 12, [&] { ema_update(a, b, factor, 0.999); });
  report.line("squared norm", n, 4, [&] { static_cast<void>(squared_norm(a)); });
  report.line("all finite", n, 4, [&] { static_cast<void>(all_finite(a)); });
  {
    c = {}, d = {};  // results come from kept blocks: no page is touched for the first time inside a measurement
    X y = activation_forward(a, Activation::gelu);
    report.line("gelu", n, 8, [&] { y = {}, y = activation_forward(a, Activation::gelu); });
    report.line("gelu backward", n, 12, [&] { y = {}, y = activation_backward(a, b, Activation::gelu); });
    report.line("add", n, 12, [&] { y = {}, y = add_forward(a, b); });
    report.line("add in place", n, 12, [&] { add_to(y, a); });
    y = {};
    auto half = cast<bfloat16>(a);
    report.line("f32 -> bf16", n, 6, [&] { half = {}, half = cast<bfloat16>(a); });
    report.line("bf16 -> f32", n, 6, [&] { y = {}, y = cast<float>(half); });
  }
  {
    const Index samples = n / (1200 * 1152), size = samples * 1200 * 1152;
    const X x = a.slice(0, size).reshape({samples, 1200, 1152}), dy = b.slice(0, size).reshape(x.shape());
    const X g = full<float>(ctx, {samples, 1152}, 0.1), token = full<float>(ctx, {1152}, 0.1);
    X y, db = X::zeros(ctx, {1152});
    report.line("modulate", size, 8, [&] { y = {}, y = modulate_forward(x, g, g); });
    report.line("gate backward", size, 16, [&] { y = {}, y = gate_backward(g, x, dy).dx; });
    report.line("bias gradient", size, 4, [&] { add_broadcast_backward(dy, db); });
    report.line("prepend token", size, 8, [&] { y = {}, y = prepend_token_forward(token, x); });
    std::vector<std::uint32_t> ids;
    for (Index i = 0; i < samples; ++i) ids.push_back(static_cast<std::uint32_t>(i));
    const auto mask = draw_token_mask(ctx, 1, 0, ids, 1200, 0.5);
    report.line("gather half the tokens", size / 2, 8, [&] { y = {}, y = gather_forward(x, mask.visible); });
    const Index volumes = size / (160 * 192 * 160), voxels = volumes * 160 * 192 * 160;
    const X v = a.slice(0, voxels).reshape({volumes, 160, 192, 160, 1});
    report.line("patchify 16", voxels, 8, [&] { y = {}, y = patchify_forward(v, {16, 16, 16}); });
    const X t = y;
    report.line("unpatchify 16", voxels, 8, [&] { y = {}, y = unpatchify_forward(t, v.shape(), {16, 16, 16}); });
  }
}
