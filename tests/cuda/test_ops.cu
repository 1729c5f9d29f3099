// The same ops on both backends: on a GPU (nvcc), and in the host emulation of tests/emulation.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/ops/concat.hpp"
#include "braing3n/ops/gather.hpp"
#include "braing3n/ops/linear.hpp"
#include "braing3n/ops/loss.hpp"
#include "braing3n/ops/modulate.hpp"
#include "braing3n/ops/patch.hpp"
#include "braing3n/ops/token_mask.hpp"
#include "braing3n/optim/adamw.hpp"
#include "braing3n/optim/clip.hpp"

using namespace braing3n;
using test::Both;
using test::download;
using test::upload;

TEST_CASE_TEMPLATE("element-wise ops and reductions agree with the CPU", T, float, double) {
  Both b;
  const auto x = test::random<T>(b.cpu, {3, 33, 65}, 1), y = test::random<T>(b.cpu, {3, 33, 65}, 2),
             shift = test::random<T>(b.cpu, {3, 65}, 3);
  const auto dx = upload(b, x), dy = upload(b, y), dshift = upload(b, shift);
  CHECK(test::max_difference(download(b, add_forward(dx, dy)), add_forward(x, y)) == 0);
  for (const Activation a : {Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    CHECK(test::max_difference(download(b, activation_forward(dx, a)), activation_forward(x, a)) <=
          test::tolerance<T>(1, 4));
    CHECK(test::max_difference(download(b, activation_backward(dx, dy, a)), activation_backward(x, y, a)) <=
          test::tolerance<T>(1, 16));
  }
  CHECK(test::max_difference(download(b, modulate_forward(dx, dshift, dshift)), modulate_forward(x, shift, shift)) <=
        test::tolerance<T>(1, 16));
  CHECK(sum_forward(dx) == doctest::Approx(sum_forward(x)).epsilon(1e-10));
  CHECK(max_abs(dx) == max_abs(x));
  CHECK(item(mse_forward(dx, dy)) == doctest::Approx(item(mse_forward(x, y))).epsilon(1e-6));
  CHECK(test::max_difference(download(b, mse_backward(dx, dy, scalar(b.cuda, 2.0))),
                             mse_backward(x, y, scalar(b.cpu, 2.0))) <= test::tolerance<T>(1, 1));
}

TEST_CASE_TEMPLATE("linear layers agree with the CPU, small integers bit for bit", T, float, double) {
  Both b;
  for (const Index n : {1, 31, 64}) {
    const auto x = test::small_integers<T>(b.cpu, {n, 33}, 1), w = test::small_integers<T>(b.cpu, {29, 33}, 2),
               bias = test::small_integers<T>(b.cpu, {29}, 3), dy = test::small_integers<T>(b.cpu, {n, 29}, 4);
    const auto gx = upload(b, x), gw = upload(b, w), gb = upload(b, bias), gdy = upload(b, dy);
    CHECK(test::same_bits(download(b, linear_forward(gx, gw, gb)), linear_forward(x, w, bias)));
    CHECK(test::same_bits(download(b, linear_backward_input(gdy, gw)), linear_backward_input(dy, w)));
    auto dw = test::small_integers<T>(b.cpu, {29, 33}, 5), db = test::small_integers<T>(b.cpu, {29}, 6);
    auto gdw = upload(b, dw), gdb = upload(b, db);
    linear_backward_weight(x, dy, dw);
    linear_backward_bias(dy, db);
    linear_backward_weight(gx, gdy, gdw);
    linear_backward_bias(gdy, gdb);
    CHECK(test::same_bits(download(b, gdw), dw));
    CHECK(test::same_bits(download(b, gdb), db));
    LinearOptions<T, Cuda> fused;
    fused.activation = Activation::gelu;
    fused.keep_preactivation = true;
    fused.residual = gdy;
    LinearOptions<T, Cpu> plain;
    plain.activation = Activation::gelu;
    plain.keep_preactivation = true;
    plain.residual = dy;
    const auto on_gpu = linear_forward(gx, gw, gb, fused);
    const auto on_cpu = linear_forward(x, w, bias, plain);
    CHECK(test::max_difference(download(b, on_gpu.y), on_cpu.y) <= test::tolerance<T>(1, 64));
    CHECK(test::same_bits(download(b, on_gpu.preactivation), on_cpu.preactivation));
  }
}

TEST_CASE("weight gradients of bf16 are summed in fp32 and not rounded") {
  Both b;
  const auto x = test::random<bfloat16>(b.cpu, {2, 150, 40}, 1), dy = test::random<bfloat16>(b.cpu, {2, 150, 24}, 2);
  auto dw = test::random<float>(b.cpu, {24, 40}, 3);
  auto on_gpu = upload(b, dw);
  linear_backward_weight(x, dy, dw);
  linear_backward_weight(upload(b, x), upload(b, dy), on_gpu);
  CHECK(test::max_difference(download(b, on_gpu), dw) <= test::tolerance<float>(300));
}

TEST_CASE("numbers stay on the device: losses, norms, factors") {
  Both b;
  const auto value = test::random<float>(b.cpu, {37, 900}, 1), gradient = test::random<float>(b.cpu, {37, 900}, 2);
  const auto squares = [](auto& ctx, const auto& t) {
    auto total = scalar(ctx, 1.0);
    sum_to(ctx, t.size(), detail::SquareAt<float>{t.data()}, detail::AddScalar{total.data()});
    sum_to(ctx, 7, detail::SquareAt<float>{t.data()}, detail::AddScalar{total.data()});
    sum_to(ctx, 0, detail::SquareAt<float>{t.data()}, detail::AddScalar{total.data()});
    return total;
  };
  const auto on_cpu = squares(b.cpu, gradient);
  const auto on_gpu = squares(b.cuda, upload(b, gradient));
  CHECK(item(on_gpu) == doctest::Approx(item(on_cpu)).epsilon(1e-12));
  for (const double most : {0.0, 0.5, 1e9})
    CHECK(item(clip_factor(on_gpu, most)) == doctest::Approx(item(clip_factor(on_cpu, most))).epsilon(1e-12));
  const auto nan = scalar(b.cuda, std::numeric_limits<double>::quiet_NaN());
  auto v = upload(b, value), m = upload(b, gradient), w = upload(b, gradient);
  adamw_update(v, m, m, w, clip_factor(nan, 1.0), AdamWStep{});
  ema_update(w, v, clip_factor(nan, 1.0), 0.5);
  CHECK(test::same_bits(download(b, v), value));
  CHECK(test::same_bits(download(b, m), gradient));
  CHECK(test::same_bits(download(b, w), gradient));
  CHECK(items(std::vector{scalar(b.cuda, 2.0), scalar(b.cuda, 3.0)}) == std::vector<double>{2.0, 3.0});
}

TEST_CASE("index ops agree with the CPU bit for bit") {
  Both b;
  const auto x = test::random<float>(b.cpu, {2, 8, 12, 8, 3}, 1);
  const auto tokens = patchify_forward(x, {4, 4, 4});
  const auto gpu_tokens = patchify_forward(upload(b, x), {4, 4, 4});
  CHECK(test::same_bits(download(b, gpu_tokens), tokens));
  CHECK(test::same_bits(download(b, unpatchify_forward(gpu_tokens, x.shape(), {4, 4, 4})), x));
  const std::vector<std::int32_t> visible = {3, 0, 7, 11, 5, 2};
  const auto mask = token_mask_from_visible(b.cpu, std::span<const std::int32_t>(visible), 2, 12);
  const auto gpu_mask = token_mask_from_visible(b.cuda, std::span<const std::int32_t>(visible), 2, 12);
  const auto picked = gather_forward(tokens, mask.visible);
  const auto gpu_picked = gather_forward(gpu_tokens, gpu_mask.visible);
  CHECK(test::same_bits(download(b, gpu_picked), picked));
  CHECK(test::same_bits(download(b, gather_backward(gpu_picked, gpu_mask.visible, 12)),
                        gather_backward(picked, mask.visible, 12)));
  const auto fill = test::random<float>(b.cpu, {192}, 2);
  CHECK(test::same_bits(download(b, scatter_forward(gpu_picked, upload(b, fill), gpu_mask.restore)),
                        scatter_forward(picked, fill, mask.restore)));
  CHECK(test::same_bits(download(b, slice_forward(gpu_tokens, 1, 2, 7)), slice_forward(tokens, 1, 2, 7)));
}

TEST_CASE("AdamW takes the same steps as on the CPU") {
  Both b;
  const auto value = test::random<float>(b.cpu, {37, 5}, 1), gradient = test::random<float>(b.cpu, {37, 5}, 2);
  auto view = [&](auto v, auto g) {
    using V = decltype(v);
    ParameterView<float, typename V::backend> p;
    p.name = "p";
    p.value = v;
    p.gradient = g;
    p.decay = true;
    return p;
  };
  const auto on_cpu = value.clone();
  const auto on_gpu = upload(b, value);
  AdamW<float, Cpu> cpu(ParameterViews<float, Cpu>{view(on_cpu, gradient)}, {});
  AdamW<float, Cuda> gpu(ParameterViews<float, Cuda>{view(on_gpu, upload(b, gradient))}, {});
  for (int step = 0; step < 5; ++step) {
    cpu.step(1e-2);
    gpu.step(1e-2);
  }
  CHECK(test::max_difference(download(b, on_gpu), on_cpu) <= test::tolerance<float>(1, 8));
}
