// Norms, softmax and attention on both backends.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/ops/attention.hpp"
#include "braing3n/ops/group_norm.hpp"
#include "braing3n/ops/layer_norm.hpp"
#include "braing3n/ops/softmax.hpp"

using namespace braing3n;
using test::apart;
using test::Both;
using test::download;
using test::upload;

TEST_CASE_TEMPLATE("softmax agrees with the CPU", T, double, float, bfloat16) {
  Both b;
  for (const Index width : {1, 31, 70}) {
    const auto x = test::random<T>(b.cpu, {3, 7, width}, 1, 3.0), dy = test::random<T>(b.cpu, {3, 7, width}, 2);
    const auto y = softmax_forward(x);
    const auto gpu_y = softmax_forward(upload(b, x));
    CHECK(apart(b, gpu_y, y) <= test::tolerance<T>(width));
    CHECK(apart(b, softmax_backward(upload(b, y), upload(b, dy)), softmax_backward(y, dy)) <=
          test::tolerance<T>(width));
  }
}

TEST_CASE_TEMPLATE("layer norm agrees with the CPU", T, double, float, bfloat16) {
  Both b;
  using A = accum_t<T>;
  const Index width = 45;
  const auto x = test::random<T>(b.cpu, {3, 41, width}, 1, 2), w = test::random<T>(b.cpu, {width}, 2),
             bias = test::random<T>(b.cpu, {width}, 3), dy = test::random<T>(b.cpu, {3, 41, width}, 4),
             shift = test::random<T>(b.cpu, {3, width}, 5), scale = test::random<T>(b.cpu, {3, width}, 6);
  const auto gx = upload(b, x), gw = upload(b, w), gbias = upload(b, bias), gdy = upload(b, dy);
  const auto r = layer_norm_forward(x, w, bias);
  const auto gr = layer_norm_forward(gx, gw, gbias);
  const double tolerance = test::tolerance<T>(width, 4.0);
  CHECK(apart(b, gr.y, r.y) <= tolerance);
  CHECK(apart(b, layer_norm_modulate_forward(gx, upload(b, shift), upload(b, scale)).y,
              layer_norm_modulate_forward(x, shift, scale).y) <= tolerance);
  auto dw = test::random<A>(b.cpu, {width}, 7), db = test::random<A>(b.cpu, {width}, 8);
  auto gdw = upload(b, dw), gdb = upload(b, db);
  CHECK(apart(b, layer_norm_backward(gx, gw, gr, gdy, gdw, gdb), layer_norm_backward(x, w, r, dy, dw, db)) <=
        tolerance);
  CHECK(apart(b, gdw, dw) <= test::tolerance<A>(123, 8.0));
  CHECK(apart(b, gdb, db) <= test::tolerance<A>(123, 8.0));
  const Tensor<T, Cpu> none;
  const Tensor<T, Cuda> gnone;
  CHECK(apart(b, layer_norm_backward(gx, gnone, layer_norm_forward(gx, gnone, gnone), gdy),
              layer_norm_backward(x, none, layer_norm_forward(x, none, none), dy)) <= tolerance);
}

TEST_CASE_TEMPLATE("group norm agrees with the CPU", T, double, float, bfloat16) {
  Both b;
  using A = accum_t<T>;
  const auto x = test::random<T>(b.cpu, {2, 3, 7, 11, 12}, 1, 2), w = test::random<T>(b.cpu, {12}, 2),
             bias = test::random<T>(b.cpu, {12}, 3), dy = test::random<T>(b.cpu, {2, 3, 7, 11, 12}, 4);
  const auto gx = upload(b, x), gw = upload(b, w), gbias = upload(b, bias), gdy = upload(b, dy);
  for (const bool silu : {false, true}) {
    const GroupNormOptions options{.groups = 3, .silu = silu};
    const auto r = group_norm_forward(x, w, bias, options);
    const auto gr = group_norm_forward(gx, gw, gbias, options);
    const double tolerance = test::tolerance<T>(924, 4.0);
    CHECK(apart(b, gr.y, r.y) <= tolerance);
    auto dw = test::random<A>(b.cpu, {12}, 5), db = test::random<A>(b.cpu, {12}, 6);
    auto gdw = upload(b, dw), gdb = upload(b, db);
    CHECK(apart(b, group_norm_backward(gx, gw, gbias, gr, gdy, options, gdw, gdb),
                group_norm_backward(x, w, bias, r, dy, options, dw, db)) <= tolerance);
    CHECK(apart(b, gdw, dw) <= test::tolerance<A>(924, 32.0));
    CHECK(apart(b, gdb, db) <= test::tolerance<A>(924, 32.0));
    // In two halves, as volumes that are never in memory as a whole.
    const auto sums = group_norm_sums(gx, gw, gbias, options);
    CHECK(apart(b, group_norm_apply(gx, sums, 924.0, gw, gbias, options), r.y) <= tolerance);
  }
}

TEST_CASE_TEMPLATE("attention agrees with the CPU", T, double, float, bfloat16) {
  Both b;
  const Index heads = 3, width = 24, tokens = 37;
  const auto qkv = test::random<T>(b.cpu, {2, tokens, 3, heads, width}, 1),
             dy = test::random<T>(b.cpu, {2, tokens, heads * width}, 2);
  const auto gqkv = upload(b, qkv), gdy = upload(b, dy);
  const auto r = attention_forward(qkv);
  const auto gr = attention_forward(gqkv);
  CHECK(apart(b, gr.y, r.y) <= test::tolerance<T>(tokens));
  CHECK(apart(b, gr.log_sum, r.log_sum) <= test::tolerance<accum_t<T>>(tokens, 4.0));
  CHECK(apart(b, attention_weights(gqkv), attention_weights(qkv)) <= test::tolerance<accum_t<T>>(tokens));
  CHECK(apart(b, attention_backward(gqkv, gr, gdy), attention_backward(qkv, r, dy)) <= test::tolerance<T>(tokens, 4.0));

  const auto q = test::random<T>(b.cpu, {2, 5, heads, width}, 3), k = test::random<T>(b.cpu, {2, 9, heads, width}, 4),
             v = test::random<T>(b.cpu, {2, 9, heads, width}, 5), up = test::random<T>(b.cpu, {2, 5, heads * width}, 6);
  const AttentionOptions options{.scale = 0.3};
  const auto c = attention_forward(q, k, v, options);
  const auto gc = attention_forward(upload(b, q), upload(b, k), upload(b, v), options);
  CHECK(apart(b, gc.y, c.y) <= test::tolerance<T>(9));
  const auto d = attention_backward(q, k, v, c, up, options);
  const auto gd = attention_backward(upload(b, q), upload(b, k), upload(b, v), gc, upload(b, up), options);
  CHECK(apart(b, gd.dq, d.dq) <= test::tolerance<T>(9, 4.0));
  CHECK(apart(b, gd.dk, d.dk) <= test::tolerance<T>(9, 4.0));
  CHECK(apart(b, gd.dv, d.dv) <= test::tolerance<T>(9, 4.0));
}
