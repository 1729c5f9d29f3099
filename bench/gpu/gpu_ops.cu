// Ops on a GPU against their floors, as CSV: what is bound by memory beside the rate of a copy, products and attention beside the rate of large
// products in the same precision.
//
//   bench_gpu_ops [--budget 0.3] [--small]
#include <algorithm>
#include <string>

#include "bench/gpu/report.hpp"
#include "braing3n/cuda.cuh"
#include "braing3n/ops/attention.hpp"
#include "braing3n/ops/conv3d.hpp"
#include "braing3n/ops/group_norm.hpp"
#include "braing3n/ops/layer_norm.hpp"
#include "braing3n/ops/matmul.hpp"
#include "braing3n/ops/norm_modulate.hpp"
#include "braing3n/ops/softmax.hpp"
#include "braing3n/ops/update.hpp"

using namespace braing3n;

namespace {

template <class T>
constexpr const char* precision = std::is_same_v<T, float> ? "F32" : "BF16";
template <class T>
std::string in(const char* what) {
  return concat(what, ", ", precision<T>);
}

struct Rates {
  double copy, f32, bf16;
  template <class T>
  double products() const {
    return std::is_same_v<T, float> ? f32 : bf16;
  }
};

template <class T>
void tokens(Context<Cuda>& context, const bench::GpuReport& report, bool small, const Rates& rates) {
  const Index samples = small ? 2 : 28, length = small ? 5 : 1200, width = small ? 48 : 1152;
  const Shape shape{samples, length, width};
  const auto x = bench::gpu_noise<T>(context, shape, 1), dy = bench::gpu_noise<T>(context, shape, 2);
  const auto per_sample = bench::gpu_noise<T>(context, {samples, width}, 3),
             weight = bench::gpu_noise<T>(context, {width}, 4);
  const double bytes = static_cast<double>(x.size()) * sizeof(T);
  const auto line = [&](const char* what, double passes, auto&& f) {
    report.line(in<T>(what), passes * bytes, "GB/s", rates.copy, "copy", f);
  };
  Tensor<T, Cuda> y;
  line("add", 3, [&] { y = {}, y = add_forward(x, dy); });
  line("gelu", 2, [&] { y = {}, y = activation_forward(x, Activation::gelu); });
  line("gelu backward", 3, [&] { y = {}, y = activation_backward(x, dy, Activation::gelu); });
  y = {};
  auto norm = layer_norm_forward(x, weight, weight);
  line("layer norm", 2, [&] { norm = {}, norm = layer_norm_forward(x, weight, weight); });
  line("layer norm backward", 3, [&] { y = {}, y = layer_norm_backward(x, weight, norm, dy); });
  y = {};
  const NormModulateInputs<T, Cuda> inputs{
      .residual = x, .gate = per_sample, .branch = dy, .shift = per_sample, .scale = per_sample};
  auto modulated = norm_modulate_forward(inputs);
  line("norm, modulate, gate", 4, [&] { modulated = {}, modulated = norm_modulate_forward(inputs); });
  line("norm, modulate, gate, backward", 6, [&] { norm_modulate_backward(inputs, modulated, dy, dy); });
  Tensor<accum_t<T>, Cuda> db = Tensor<accum_t<T>, Cuda>::zeros(context, {width});
  line("gradient of a bias", 1, [&] { add_broadcast_backward(dy, db); });
}

template <class T>
void scores(Context<Cuda>& context, const bench::GpuReport& report, bool small, const Rates& rates) {
  const auto x = bench::gpu_noise<T>(context, {small ? 10 : 16 * 1201, small ? 33 : 1201});
  const double bytes = static_cast<double>(x.size()) * sizeof(T);
  Tensor<T, Cuda> y;
  report.line(in<T>("softmax"), 2 * bytes, "GB/s", rates.copy, "copy", [&] { y = {}, y = softmax_forward(x); });
}

void optimizer(Context<Cuda>& context, const bench::GpuReport& report, bool small, const Rates& rates) {
  const Index n = small ? 1000 : 100'000'000;
  auto value = bench::gpu_noise<float>(context, {n}, 1), m = Tensor<float, Cuda>::zeros(context, {n}),
       v = Tensor<float, Cuda>::zeros(context, {n});
  const auto gradient = bench::gpu_noise<float>(context, {n}, 2);
  const auto factor = scalar(context, 1.0);
  report.line("AdamW, F32", 28.0 * static_cast<double>(n), "GB/s", rates.copy, "copy",
              [&] { adamw_update(value, gradient, m, v, factor, AdamWStep{}); });
}

/// Two products are counted forward, five backward.
template <class T>
void attention(Context<Cuda>& context, const bench::GpuReport& report, bool small, const Rates& rates) {
  struct Case {
    const char* what;
    Index samples, tokens, heads, width;
  };
  for (const Case& c : {Case{"MAE, visible tokens", 16, 361, 16, 72}, Case{"MAE, all tokens", 16, 1201, 16, 72},
                        Case{"DiT", 28, 1200, 18, 64}}) {
    const Index samples = small ? 1 : c.samples, length = small ? 33 : c.tokens, heads = small ? 2 : c.heads;
    const auto qkv = bench::gpu_noise<T>(context, {samples, length, 3, heads, c.width}, 1);
    const auto dy = bench::gpu_noise<T>(context, {samples, length, heads * c.width}, 2);
    const double product = 2.0 * static_cast<double>(samples * heads * length * length * c.width);
    auto r = attention_forward(qkv);
    Tensor<T, Cuda> d;
    const std::string what = in<T>(concat("attention, ", c.what, ", width ", c.width).c_str());
    report.line(what, 2 * product, "GFLOP/s", rates.products<T>(), "products",
                [&] { r = {}, r = attention_forward(qkv); });
    report.line(what + ", backward", 5 * product, "GFLOP/s", rates.products<T>(), "products",
                [&] { d = {}, d = attention_backward(qkv, r, dy); });
  }
}

/// A block of the decoder on its finest grid but one.
template <class T>
void convolution(Context<Cuda>& context, const bench::GpuReport& report, bool small, const Rates& rates) {
  const Index n = small ? 4 : 40, channels = small ? 32 : 128;
  const auto x = bench::gpu_noise<T>(context, {1, n, n, n, channels}, 1),
             w = bench::gpu_noise<T>(context, {3, 3, 3, channels, channels}, 2),
             b = bench::gpu_noise<T>(context, {channels}, 3);
  Tensor<T, Cuda> y;
  const auto options = Conv3dOptions::same(3);
  report.line(in<T>("convolution, 3^3"), 2.0 * 27 * static_cast<double>(x.size() * channels), "GFLOP/s",
              rates.products<T>(), "products", [&] { y = {}, y = conv3d_forward(x, w, b, options); });
  auto norm = group_norm_forward(x, b, b);
  report.line(in<T>("group norm"), 2.0 * static_cast<double>(x.size()) * sizeof(T), "GB/s", rates.copy, "copy",
              [&] { norm = {}, norm = group_norm_forward(x, b, b); });
}

}  // namespace

int main(int argc, char** argv) {
  const auto arguments = bench::GpuArguments::parse(argc, argv, "ops on a GPU beside the rates of copies and products");
  Context<Cuda> context;
  const bench::GpuReport report(context, "ops", arguments);
  Rates rates{};
  rates.copy = bench::copy_rate(context, report, arguments);
  rates.f32 = bench::product_rate<float>(context, report, arguments, "products, F32");
  {
    Context<Cuda> rounded({.tf32 = true});
    const bench::GpuReport own = report.of(rounded);
    bench::product_rate<float>(rounded, own, arguments, "products, TF32");
  }
  rates.bf16 = bench::product_rate<bfloat16>(context, report, arguments, "products, BF16");
  const auto both = [&](auto&& part) {
    part(float{});
    part(bfloat16{});
  };
  both([&](auto t) { tokens<decltype(t)>(context, report, arguments.small, rates); });
  both([&](auto t) { scores<decltype(t)>(context, report, arguments.small, rates); });
  optimizer(context, report, arguments.small, rates);
  both([&](auto t) { attention<decltype(t)>(context, report, arguments.small, rates); });
  both([&](auto t) { convolution<decltype(t)>(context, report, arguments.small, rates); });
}
