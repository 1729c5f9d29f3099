// Convolutions of the CNN decoder (plan D1), as shares of the FMA peak measured before and after each row (the higher).
//
//   bench_conv [forward] [conv] [up] [ends] [small] [bf16]   (default: all)   --threads N --provider NAME --repeats N --channels C
//
//   forward  the first column of conv alone
//   conv   3^3, stride 1, padding 1 at the five levels: forward, gradient of the input, gradient of the weight
//   up     nearest x2 + 3^3, both nominal (as if computed on the fine grid) and with the arithmetic that is really done (8/27)
//   ends   the first and last layers: 1 -> 64 and 32 -> 1 channels at full resolution
//   small  conv and up at the fine levels of the configuration `small`, two volumes
//   bf16   forward with bfloat16 activations and weights
// Medians after one warm call; packing of weights and allocation of results are included.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "bench/support/arguments.hpp"
#include "bench/support/peak.hpp"
#include "bench/support/provider.hpp"
#include "bench/support/timing.hpp"
#include "braing3n/backend/cpu.hpp"
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/upsample.hpp"

using namespace braing3n;

namespace {

struct Bench {
  Context<Cpu>& ctx;
  int repeats;

  void row(const std::string& name, double flop, const std::function<void()>& f, double done = 1) const {
    const double before = bench::fma_peak(ctx.isa(), ctx.threads());
    const double seconds = bench::time_of(f, 0, repeats), rate = flop / seconds * 1e-9;
    const double peak = std::max(before, bench::fma_peak(ctx.isa(), ctx.threads()));
    std::printf("%-34s %9.2f ms %8.1f GFLOP/s  %5.3f of %4.0f", name.c_str(), seconds * 1e3, rate, rate / peak, peak);
    if (done < 1) std::printf("   (%5.3f in arithmetic done)", rate / peak * done);
    std::printf("\n");
    std::fflush(stdout);
  }

  template <class T = float>
  Tensor<T, Cpu> noise(const Shape& shape) const {
    Tensor<T, Cpu> t(ctx, shape);
    std::uint32_t s = 12345;
    for (Index i = 0; i < t.size(); ++i) {
      s = s * 1664525u + 1013904223u;
      t.data()[i] = static_cast<T>(static_cast<float>(s >> 8) * 0x1p-24f - 0.5f);
    }
    return t;
  }
};

struct Level {
  Index channels, x, y, z, batch = 1;
  double voxels() const { return static_cast<double>(batch * x * y * z); }
};
constexpr Level levels[] = {
    {512, 10, 12, 10}, {256, 20, 24, 20}, {128, 40, 48, 40}, {64, 80, 96, 80}, {32, 160, 192, 160}};

std::string label(const char* what, Index in, Index out, const Level& l) {
  return concat(what, " ", in, "->", out, " @", l.x, "x", l.y, "x", l.z);
}

template <class T>
void forward(const Bench& b, const char* what, const Level& l, Index in, Index out) {
  const auto x = b.noise<T>({l.batch, l.x, l.y, l.z, in}), w = b.noise<T>({3, 3, 3, in, out}), bias = b.noise<T>({out});
  const double flop = 54.0 * static_cast<double>(in * out) * l.voxels();
  b.row(label(what, in, out, l), flop, [&] { conv3d_forward(x, w, bias, Conv3dOptions::same(3)); });
}

void gradients(const Bench& b, const Level& l, Index in, Index out) {
  const Conv3dOptions same = Conv3dOptions::same(3);
  const auto x = b.noise({l.batch, l.x, l.y, l.z, in}), w = b.noise({3, 3, 3, in, out}),
             dy = b.noise({l.batch, l.x, l.y, l.z, out});
  auto dw = Tensor<float, Cpu>::zeros(b.ctx, w.shape());
  const double flop = 54.0 * static_cast<double>(in * out) * l.voxels();
  b.row(label("  d input", in, out, l), flop, [&] { conv3d_backward_input(dy, w, x.shape(), same); });
  b.row(label("  d weight", in, out, l), flop, [&] { conv3d_backward_weight(x, dy, same, dw); });
}

/// l is the fine level; channels stay.
void up(const Bench& b, const Level& l) {
  const Index c = l.channels;
  const auto x = b.noise({l.batch, l.x / 2, l.y / 2, l.z / 2, c}), w = b.noise({3, 3, 3, c, c}), bias = b.noise({c}),
             dy = b.noise({l.batch, l.x, l.y, l.z, c});
  auto dw = Tensor<float, Cpu>::zeros(b.ctx, w.shape());
  const double flop = 54.0 * static_cast<double>(c * c) * l.voxels(), done = 8.0 / 27;
  b.row(label("up", c, c, l), flop, [&] { upsample_conv3d_forward(x, w, bias); }, done);
  b.row(label("  d input up", c, c, l), flop, [&] { upsample_conv3d_backward_input(dy, w); }, done);
  b.row(label("  d weight up", c, c, l), flop, [&] { upsample_conv3d_backward_weight(x, dy, dw); }, done);
}

}  // namespace

int main(int argc, char** argv) {
  bench::check_arguments(argc, argv, "convolutions",
                         {.options = {"--threads", "--provider", "--repeats", "--channels"},
                          .flags = {},
                          .words = {"conv", "forward", "up", "ends", "bf16", "small"},
                          .any_word = false});
  CpuOptions options;
  int repeats = 3;
  Index channels = 0;
  std::vector<std::string> parts;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--threads" && i + 1 < argc) options.threads = std::atoi(argv[++i]);
    else if (a == "--provider" && i + 1 < argc) options.provider = &bench::provider(argv[++i]);
    else if (a == "--repeats" && i + 1 < argc) repeats = std::atoi(argv[++i]);
    else if (a == "--channels" && i + 1 < argc) channels = std::atoi(argv[++i]);
    else parts.push_back(a);
  }
  const auto want = [&](const char* part) {
    return parts.empty() || std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  Context<Cpu> ctx(options);
  const Bench b{ctx, repeats};
  std::printf("provider %s, %d threads\n", ctx.provider().name, ctx.threads());
  for (const Level& l : levels) {
    if (channels != 0 && channels != l.channels) continue;
    if (want("conv") || want("forward")) forward<float>(b, "conv", l, l.channels, l.channels);
    if (want("conv")) gradients(b, l, l.channels, l.channels);
    if (want("up") && l.channels != 512) up(b, l);
    if (want("bf16")) forward<bfloat16>(b, "bf16", l, l.channels, l.channels);
  }
  if (want("small") && channels == 0)
    for (const Level& l : {Level{64, 20, 24, 20, 2}, Level{32, 40, 48, 40, 2}}) {
      for (const Index in : {l.channels, l.channels / 2}) {
        forward<float>(b, "conv", l, in, l.channels / 2);
        gradients(b, l, in, l.channels / 2);
      }
      up(b, {l.channels / 2, 2 * l.x, 2 * l.y, 2 * l.z, l.batch});
    }
  if (want("ends") && channels == 0) {
    forward<float>(b, "last", levels[4], 32, 1);
    gradients(b, levels[4], 32, 1);
    forward<float>(b, "first", levels[4], 1, 64);
    gradients(b, levels[4], 1, 64);
  }
}
