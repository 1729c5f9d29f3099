// Products on a GPU against the CPU: every transposition, small integers bit for bit, matrices of one row or column.
#include "tests/cuda/both.hpp"

#include <cstring>
#include <thread>

#include "braing3n/cuda.cuh"
#include "braing3n/ops/linear.hpp"
#include "braing3n/ops/matmul.hpp"

using namespace braing3n;
using test::Both;
using test::download;
using test::upload;

TEST_CASE_TEMPLATE("batched products agree with the CPU in every transposition", T, float, double, bfloat16) {
  Both b;
  struct Sizes {
    Index batch, m, n, k;
  };
  for (const Sizes& s : {Sizes{1, 3, 5, 7}, Sizes{4, 9, 2, 6}, Sizes{3, 1, 4, 5}, Sizes{2, 4, 1, 5}, Sizes{2, 4, 5, 1},
                         Sizes{2, 1, 1, 3}})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true}) {
        const auto x = test::small_integers<T>(b.cpu, {s.batch, transpose_a ? s.k : s.m, transpose_a ? s.m : s.k}, 1),
                   w = test::small_integers<T>(b.cpu, {s.batch, transpose_b ? s.n : s.k, transpose_b ? s.k : s.n}, 2),
                   dy = test::small_integers<T>(b.cpu, {s.batch, s.m, s.n}, 3);
        const MatmulOptions options{transpose_a, transpose_b};
        const auto gx = upload(b, x), gw = upload(b, w);
        CHECK(test::same_bits(download(b, matmul_forward(gx, gw, options)), matmul_forward(x, w, options)));
        const auto d = matmul_backward(x, w, dy, options);
        const auto gd = matmul_backward(gx, gw, upload(b, dy), options);
        CHECK(test::same_bits(download(b, gd.da), d.da));
        CHECK(test::same_bits(download(b, gd.db), d.db));
      }
}

TEST_CASE("linear layers of one feature, one output or one row agree with the CPU") {
  Both b;
  for (const Index rows : {1, 3})
    for (const Index in : {1, 4})
      for (const Index out : {1, 5}) {
        const auto x = test::small_integers<float>(b.cpu, {rows, in}, 1),
                   w = test::small_integers<float>(b.cpu, {out, in}, 2),
                   dy = test::small_integers<float>(b.cpu, {rows, out}, 3);
        const auto gx = upload(b, x), gw = upload(b, w), gdy = upload(b, dy);
        CHECK(test::same_bits(download(b, linear_forward(gx, gw)), linear_forward(x, w)));
        CHECK(test::same_bits(download(b, linear_backward_input(gdy, gw)), linear_backward_input(dy, w)));
        auto dw = w.clone();
        auto gdw = upload(b, dw);
        linear_backward_weight(x, dy, dw);
        linear_backward_weight(gx, gdy, gdw);
        CHECK(test::same_bits(download(b, gdw), dw));
      }
}

namespace {

/// activation(x W^T + b) + residual on both backends, and what was activated.
template <class T>
void compare_epilogues(Both& b, const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& w, const Tensor<T, Cpu>& bias,
                       const Tensor<T, Cpu>& residual, double tolerance) {
  for (const Activation activation : {Activation::none, Activation::gelu, Activation::gelu_tanh, Activation::silu})
    for (const bool with_bias : {false, true})
      for (const bool with_residual : {false, true})
        for (const bool keep : {false, true}) {
          CAPTURE(static_cast<int>(activation));
          CAPTURE(with_bias);
          CAPTURE(with_residual);
          CAPTURE(keep);
          LinearOptions<T, Cpu> o{.activation = activation, .keep_preactivation = keep};
          LinearOptions<T, Cuda> go{.activation = activation, .keep_preactivation = keep};
          if (with_residual) o.residual = residual, go.residual = upload(b, residual);
          const auto r = linear_forward(x, w, with_bias ? bias : Tensor<T, Cpu>(), o);
          const auto gr =
              linear_forward(upload(b, x), upload(b, w), with_bias ? upload(b, bias) : Tensor<T, Cuda>(), go);
          CHECK(test::apart(b, gr.y, r.y) <= tolerance);
          if (keep) CHECK(test::apart(b, gr.preactivation, r.preactivation) <= tolerance);
        }
}

}  // namespace

TEST_CASE_TEMPLATE("a linear layer with every bias, activation and residual agrees with the CPU", T, float, double,
                   bfloat16) {
  Both b;
  for (const Index out : {16, 13}) {  // cuBLASLt's GELU keeps what it was taken of only where 8 divides the width
    const auto x = test::random<T>(b.cpu, {9, 70}, 1, 0.3), w = test::random<T>(b.cpu, {out, 70}, 2, 0.3),
               bias = test::random<T>(b.cpu, {out}, 3), residual = test::random<T>(b.cpu, {9, out}, 4);
    compare_epilogues(b, x, w, bias, residual, test::tolerance<T>(1, 8.0));
  }
}

TEST_CASE("matrices that begin anywhere agree with the CPU") {
  Both b;
  const auto x = test::random<float>(b.cpu, {6, 9}, 1), w = test::random<float>(b.cpu, {13, 9}, 2);
  const auto gx = upload(b, x), gw = upload(b, w);
  CHECK(test::apart(b, linear_forward(gx.slice(1, 5), gw.slice(2, 13)),
                    linear_forward(x.slice(1, 5), w.slice(2, 13))) <= test::tolerance<float>(9));
}

TEST_CASE("a residual may be the result's own memory") {
  Both b;
  const auto x = test::random<float>(b.cpu, {5, 9}, 1), w = test::random<float>(b.cpu, {8, 9}, 2),
             residual = test::random<float>(b.cpu, {5, 8}, 3);
  const auto gx = upload(b, x), gw = upload(b, w);
  for (const Activation activation : {Activation::none, Activation::gelu, Activation::gelu_tanh}) {
    auto c = upload(b, residual);
    GemmCall<float> call;
    call.m = 5, call.n = 8, call.k = 9;
    call.a = gx.data(), call.a_row = 9, call.b = gw.data(), call.b_row = 1, call.b_col = 9;
    call.c = c.data(), call.c_row = 8, call.residual = c.data(), call.residual_row = 8;
    call.activation = activation;
    ProductKernel<Cuda>::run(b.cuda, call);
    LinearOptions<float, Cpu> o{.activation = activation, .residual = residual};
    CHECK(test::apart(b, c, linear_forward(x, w, Tensor<float, Cpu>(), o).y) <= test::tolerance<float>(9));
  }
}

TEST_CASE("an algorithm is chosen once for every kind of product") {
  Both b;
  const auto x = test::random<float>(b.cpu, {8, 24}, 1), w = test::random<float>(b.cpu, {16, 24}, 2),
             bias = test::random<float>(b.cpu, {16}, 3);
  const auto gx = upload(b, x), gw = upload(b, w), gbias = upload(b, bias);
  const auto first = download(b, linear_forward(gx, gw, gbias));
  const ProductPlanCounts once = b.cuda.product_plans().counts();
  CHECK(once.made == 1);
  CHECK(once.used == 0);
  CHECK(test::same_bits(download(b, linear_forward(gx, gw, gbias)), first));
  CHECK(b.cuda.product_plans().counts().made == 1);
  CHECK(b.cuda.product_plans().counts().used == 1);
  const auto made_by = [&](auto&& f) {
    const Index before = b.cuda.product_plans().counts().made;
    f();
    return b.cuda.product_plans().counts().made - before;
  };
  CHECK(made_by([&] { linear_forward(gx, gw); }) == 1);                             // another epilogue
  CHECK(made_by([&] { linear_forward(gx.slice(0, 7), gw, gbias); }) == 1);          // other sizes
  CHECK(made_by([&] { linear_forward(gx.slice(1, 8), gw, gbias); }) == 1);          // aligned to 32 bytes
  CHECK(made_by([&] { linear_backward_input(linear_forward(gx, gw), gw); }) == 1);  // another transposition
  CHECK(made_by([&] { linear_forward(gx, gw, gbias, {.activation = Activation::gelu_tanh}); }) == 1);
  CHECK(made_by([&] {  // another type
          linear_forward(cast<bfloat16>(gx), cast<bfloat16>(gw), cast<bfloat16>(gbias));
        }) == 1);
  CHECK(b.cuda.product_plans().counts().unavailable == 0);
}

TEST_CASE("threads ask for plans at the same time and get the same") {
  Both b;
  std::vector<std::thread> threads;
  std::vector<detail::LtPlan> plans(8);
  const auto x = upload(b, test::random<float>(b.cpu, {8, 24}, 1));
  for (std::size_t i = 0; i < plans.size(); ++i)
    threads.emplace_back([&, i] {
      const detail::CudaDeviceScope scope(b.cuda.options().device);
      for (Index rows = 1; rows <= 8; ++rows) {
        GemmCall<float> call;
        call.m = rows, call.n = 8, call.k = 24;
        call.a = x.data(), call.a_row = 24, call.b = x.data(), call.b_row = 1, call.b_col = 24;
        plans[i] = b.cuda.product_plans().plan(b.cuda.cublas(),
                                               detail::lt_product(b.cuda, call, const_cast<float*>(x.data()), 8));
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(b.cuda.product_plans().counts().made == 8);
  CHECK(b.cuda.product_plans().counts().used == 56);
  for (const detail::LtPlan& p : plans) CHECK(std::memcmp(&p.algorithm, &plans[0].algorithm, sizeof p.algorithm) == 0);
}

TEST_CASE("TensorFloat-32 is an option, and off") {
  Both b;
  CudaOptions options = test::cuda_options();
  options.tf32 = true;
  Context<Cuda> fast(options);
  const auto x = test::random<float>(b.cpu, {8, 64}, 1), w = test::random<float>(b.cpu, {16, 64}, 2);
  const auto y = linear_forward(x, w);
  CHECK(test::apart(b, linear_forward(upload(b, x), upload(b, w)), y) <= test::tolerance<float>(64));
  const auto fx = Tensor<float, Cuda>::from_host(fast, x.shape(), x.to_host()),
             fw = Tensor<float, Cuda>::from_host(fast, w.shape(), w.to_host());
  const double off = test::apart(b, linear_forward(fx, fw), y);
  CHECK(off > test::tolerance<float>(64));
  CHECK(off < 0x1p-9 * 64);
}

#ifdef BRAING3N_EMULATE_CUDA
TEST_CASE("the bias needs no launch of its own, nor do a residual and GELU in the tanh form") {
  Both b;
  const auto launches = [&]<class T>(T, Activation activation, bool keep, bool residual, Index out) {
    const auto x = upload(b, test::random<T>(b.cpu, {9, 24}, 1)), w = upload(b, test::random<T>(b.cpu, {out, 24}, 2)),
               bias = upload(b, test::random<T>(b.cpu, {out}, 3));
    LinearOptions<T, Cuda> o{.activation = activation, .keep_preactivation = keep};
    if (residual) o.residual = upload(b, test::random<T>(b.cpu, {9, out}, 4));
    b.cuda.synchronize();
    emulation::reset_counters();
    linear_forward(x, w, bias, o);
    b.cuda.synchronize();
    CHECK(emulation::counters().products == 1);
    return emulation::counters().launches;
  };
  CHECK(launches(1.0f, Activation::none, false, false, 16) == 0);
  CHECK(launches(1.0f, Activation::none, false, true, 16) == 0);
  CHECK(launches(bfloat16(1.0f), Activation::none, false, true, 13) == 0);
  CHECK(launches(1.0f, Activation::gelu_tanh, true, false, 16) == 0);
  CHECK(launches(bfloat16(1.0f), Activation::gelu_tanh, false, false, 13) == 0);
  CHECK(launches(1.0f, Activation::gelu_tanh, true, false, 13) == 1);  // 13 is no multiple of 8
  CHECK(launches(1.0f, Activation::gelu, true, false, 16) == 1);       // the erf form
  CHECK(launches(1.0, Activation::none, false, false, 16) == 1);       // double has no epilogues
  // Without the epilogues everything is as it was, in a pass.
  emulation::options().missing_epilogues = CUBLASLT_EPILOGUE_BIAS | CUBLASLT_EPILOGUE_GELU;
  emulation::set_quiet(true);
  {
    Both fresh;
    const auto x = test::random<float>(b.cpu, {9, 70}, 1), w = test::random<float>(b.cpu, {16, 70}, 2),
               bias = test::random<float>(b.cpu, {16}, 3), residual = test::random<float>(b.cpu, {9, 16}, 4);
    compare_epilogues(fresh, x, w, bias, residual, test::tolerance<float>(70, 8.0));
    CHECK(fresh.cuda.product_plans().counts().unavailable > 0);
  }
  emulation::set_quiet(false);
  emulation::options().missing_epilogues = 0;
  for (const std::string& refusal : emulation::take_refusals())
    CHECK(refusal.find("no algorithm has epilogue") != std::string::npos);
}
#endif
