// Figures of a GPU as lines of CSV: part,case,milliseconds,figure,unit,share,of. `share` is the figure over a rate that the same run measured.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

#include "bench/support/arguments.hpp"
#include "bench/support/timing.hpp"
#include "braing3n/backend/cuda/context.hpp"
#include "braing3n/ops/matmul.hpp"
#include "braing3n/ops/random.hpp"

namespace braing3n::bench {

/// What a benchmark of a GPU takes: --small for sizes that an emulation can do, whose figures mean nothing, --budget seconds per figure.
struct GpuArguments {
  bool small = false;
  double budget = 0.3;

  static GpuArguments parse(int argc, char** argv, const char* purpose) {
    check_arguments(argc, argv, purpose,
                    {.options = {"--budget"}, .flags = {"--small"}, .words = {}, .any_word = false});
    GpuArguments a{.small = flag(argc, argv, "--small")};
    a.budget = a.small ? 0 : std::stod(option(argc, argv, "--budget", "0.3"));
    return a;
  }
};

/// Times work on one context.
class GpuReport {
 public:
  GpuReport(Context<Cuda>& context, const char* part, const GpuArguments& arguments)
      : context_(&context), part_(part), arguments_(arguments) {
    std::puts("part,case,milliseconds,figure,unit,share,of");
  }

  /// The same part on another context.
  GpuReport of(Context<Cuda>& context) const {
    GpuReport other = *this;
    other.context_ = &context;
    return other;
  }

  /// Seconds of one call, the median of at least three rounds after one that does not count. A round is as many calls as take a hundredth of a second,
  /// so that launching and waiting do not count for short ones.
  template <class F>
  double seconds(F&& f) const {
    const auto round = [&](int calls) {
      for (int i = 0; i < calls; ++i) f();
      context_->synchronize();
    };
    round(1);
    const double begin = bench::seconds();
    round(1);
    const double once = bench::seconds() - begin;
    const int calls = arguments_.small ? 1 : static_cast<int>(std::min(200.0, std::max(1.0, 0.01 / once)));
    return time_of([&] { round(calls); }, arguments_.budget, arguments_.small ? 1 : 3) / calls;
  }
  /// A line: `amount` of `unit` a call (bytes, or multiplications and additions), as a rate and as a share of `rate`, both per second and times 1e-9. Returns the
  /// rate.
  template <class F>
  double line(const std::string& what, double amount, const char* unit, double rate, const char* of, F&& f) const {
    const double t = seconds(f), own = amount * 1e-9 / t;
    std::printf("%s,\"%s\",%.4f,%.1f,%s,", part_, what.c_str(), t * 1e3, own, unit);
    if (rate > 0) std::printf("%.3f,%s\n", own / rate, of);
    else std::printf(",\n");
    std::fflush(stdout);
    return own;
  }

 private:
  Context<Cuda>* context_;
  const char* part_;
  GpuArguments arguments_;
};

/// Normal numbers.
template <class T>
Tensor<T, Cuda> gpu_noise(Context<Cuda>& context, const Shape& shape, std::uint32_t id = 0) {
  const Philox generator(1, Purpose::test, 0, id);
  return random_normal<T>(context, std::span<const Philox>(&generator, 1), shape).reshape(shape);
}

/// Bytes a second of a copy within the device, times 1e-9: read and written bytes both count.
inline double copy_rate(Context<Cuda>& context, const GpuReport& report, const GpuArguments& arguments) {
  const Index bytes = arguments.small ? 1 << 12 : Index{1} << 30;
  Tensor<std::uint8_t, Cuda> from = Tensor<std::uint8_t, Cuda>::zeros(context, {bytes}), to(context, {bytes});
  return report.line("copy in the device", 2.0 * static_cast<double>(bytes), "GB/s", 0, "",
                     [&] { context.memory().copy(to.data(), from.data(), static_cast<std::size_t>(bytes)); });
}

/// Multiplications and additions a second of large products, times 1e-9.
template <class T>
double product_rate(Context<Cuda>& context, const GpuReport& report, const GpuArguments& arguments,
                    const std::string& what) {
  const Index n = arguments.small ? 32 : 8192;
  const double size = static_cast<double>(n);
  const auto a = gpu_noise<T>(context, {n, n}, 1), b = gpu_noise<T>(context, {n, n}, 2);
  Tensor<T, Cuda> c;
  return report.line(what, 2.0 * size * size * size, "GFLOP/s", 0, "", [&] { c = {}, c = matmul_forward(a, b); });
}

}  // namespace braing3n::bench
