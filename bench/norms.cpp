// Softmax, layer norm, group norm and activations: milliseconds, GB/s of the reads and writes an op cannot avoid, and the share of
// the triad (a = b + s c over 1.2 GB) of the same run. Data that fits into the L3 cache can exceed it.
//
//   bench_norms [--threads 2] [--budget 0.3]
#include <cstdio>
#include <string>

#include "bench/support/arguments.hpp"
#include "bench/support/timing.hpp"
#include "braing3n/backend/cpu.hpp"
#include "braing3n/base/philox.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "braing3n/ops/group_norm.hpp"
#include "braing3n/ops/layer_norm.hpp"
#include "braing3n/ops/softmax.hpp"

using namespace braing3n;
using TensorF = Tensor<float, Cpu>;

namespace {

TensorF filled(Context<Cpu>& ctx, const Shape& shape, std::uint32_t id) {
  TensorF t(ctx, shape);
  const Philox rng(1, Purpose::test, 0, id);
  ctx.parallel_range(t.size(), 1 << 16, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) t.data()[i] = 2.0f * rng.uniform(static_cast<std::uint64_t>(i)) - 1.0f;
  });
  return t;
}

struct Report {
  double triad, budget;
  /// passes: how often the elements of x are read or written at least.
  template <class F>
  void line(const char* what, const TensorF& x, double passes, F&& f) const {
    const double t = bench::time_of(f, budget);
    const double rate = passes * static_cast<double>(x.bytes()) * 1e-9 / t;
    std::printf("%-34s %24s %9.3f ms %7.1f GB/s %6.2f\n", what, x.shape().str().c_str(), t * 1e3, rate, rate / triad);
  }
};

double triad(Context<Cpu>& ctx, double budget) {
  const Index n = 100'000'000;
  TensorF a(ctx, {n}), b = TensorF::zeros(ctx, {n}), c = TensorF::zeros(ctx, {n});
  a.zero();
  const double t = bench::time_of(
      [&] {
        ctx.parallel_range(n, 1 << 16, [&](Index begin, Index end) {
          float* x = a.data();
          const float* y = b.data();
          const float* z = c.data();
          vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
            BRAING3N_IVDEP
            for (Index i = begin; i < end; ++i) x[i] = y[i] + 0.5f * z[i];
          });
        });
      },
      budget);
  return 12e-9 * static_cast<double>(n) / t;
}

}  // namespace

int main(int argc, char** argv) {
  bench::check_arguments(argc, argv, "norms, activations and softmax",
                         {.options = {"--threads", "--budget"}, .flags = {}, .words = {}, .any_word = false});
  Context<Cpu> ctx({.threads = std::stoi(bench::option(argc, argv, "--threads", "0"))});
  const double budget = std::stod(bench::option(argc, argv, "--budget", "0.3"));
  const Report report{triad(ctx, budget), budget};
  std::printf("%d threads, %s, triad %.1f GB/s\n", ctx.threads(), to_string(ctx.isa()), report.triad);

  {
    const TensorF x = filled(ctx, {1200, 4608}, 1), dy = filled(ctx, x.shape(), 2);
    TensorF y;
    report.line("gelu", x, 2, [&] { y = activation_forward(x, Activation::gelu); });
    report.line("gelu backward", x, 3, [&] { y = activation_backward(x, dy, Activation::gelu); });
    report.line("gelu tanh", x, 2, [&] { y = activation_forward(x, Activation::gelu_tanh); });
    report.line("gelu tanh backward", x, 3, [&] { y = activation_backward(x, dy, Activation::gelu_tanh); });
    report.line("silu", x, 2, [&] { y = activation_forward(x, Activation::silu); });
    report.line("silu backward", x, 3, [&] { y = activation_backward(x, dy, Activation::silu); });
  }
  {
    const TensorF x = filled(ctx, {1200, 1152}, 1), dy = filled(ctx, x.shape(), 2);
    const TensorF w = filled(ctx, {1152}, 3), b = filled(ctx, {1152}, 4);
    const TensorF shift = filled(ctx, {1, 1152}, 5), scale = filled(ctx, {1, 1152}, 6),
                  tokens = x.reshape({1, 1200, 1152});
    TensorF dw = TensorF::zeros(ctx, {1152}), db = TensorF::zeros(ctx, {1152}), dx;
    auto r = layer_norm_forward(x, w, b);
    report.line("layer norm", x, 2, [&] { r = layer_norm_forward(x, w, b); });
    report.line("layer norm + modulation", x, 2, [&] { r = layer_norm_modulate_forward(tokens, shift, scale); });
    r = layer_norm_forward(x, w, b);
    report.line("layer norm backward", x, 3, [&] { dx = layer_norm_backward(x, w, r, dy, dw, db); });
  }
  {
    const TensorF x = filled(ctx, {1200, 1200}, 1), dy = filled(ctx, x.shape(), 2);
    TensorF y = softmax_forward(x), dx;
    report.line("softmax", x, 2, [&] { y = softmax_forward(x); });
    report.line("softmax backward", x, 3, [&] { dx = softmax_backward(y, dy); });
  }
  for (const Shape& shape :
       {Shape{1, 10, 12, 10, 512}, Shape{1, 40, 48, 40, 128}, Shape{1, 80, 96, 80, 64}, Shape{1, 160, 192, 160, 32}}) {
    TensorF x = filled(ctx, shape, 1);
    const Index channels = shape[-1];
    const TensorF w = filled(ctx, {channels}, 2), b = filled(ctx, {channels}, 3);
    TensorF dw = TensorF::zeros(ctx, {channels}), db = TensorF::zeros(ctx, {channels}), dx;
    const GroupNormOptions options{32, 1e-6, true};
    auto r = group_norm_forward(x, w, b, options);
    report.line("group norm + silu", x, 3, [&] { r = group_norm_forward(x, w, b, options); });
    report.line("group norm + silu backward", x, 5, [&] { dx = group_norm_backward(x, w, b, r, x, options, dw, db); });
    dx = TensorF();
    report.line("group norm + silu, in place", x, 3, [&] { x = group_norm_forward(std::move(x), w, b, options).y; });
  }
}
