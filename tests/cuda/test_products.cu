// Products on a GPU against the CPU: every transposition, small integers bit for bit, matrices of one row or column.
#include "tests/cuda/both.hpp"

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
