// Convolutions and their transposes on both backends.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/ops/conv3d.hpp"
#include "braing3n/ops/conv_transpose3d.hpp"
#include "braing3n/ops/upsample.hpp"

using namespace braing3n;
using test::apart;
using test::Both;
using test::download;
using test::upload;

namespace {

struct Case {
  Shape x;
  Shape weight;
  Conv3dOptions options;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{2, 5, 4, 6, 3}, {3, 3, 3, 3, 5}, Conv3dOptions::same(3)},
      {{1, 6, 7, 5, 4}, {3, 3, 3, 4, 2}, {{2, 2, 2}, {0, 0, 0}, {1, 1, 1}}},
      {{2, 7, 5, 6, 2}, {4, 1, 2, 2, 3}, {{3, 1, 2}, {1, 0, 2}, {0, 0, 1}}},
      {{1, 3, 3, 3, 8}, {1, 1, 1, 8, 7}, {}},
      {{1, 4, 4, 4, 2}, {1, 1, 1, 2, 3}, {{2, 3, 1}, {0, 0, 0}, {0, 0, 0}}},  // residues that no tap meets
  };
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("convolutions of small integers equal the CPU's bit for bit", T, double, float) {
  Both b;
  for (const Case& c : cases()) {
    const auto x = test::small_integers<T>(b.cpu, c.x, 1), w = test::small_integers<T>(b.cpu, c.weight, 2),
               bias = test::small_integers<T>(b.cpu, {c.weight[4]}, 3);
    const auto gx = upload(b, x), gw = upload(b, w);
    const auto y = conv3d_forward(x, w, bias, c.options);
    const auto residual = test::small_integers<T>(b.cpu, y.shape(), 4);
    CHECK(test::same_bits(download(b, conv3d_forward(gx, gw, upload(b, bias), c.options)), y));
    CHECK(test::same_bits(download(b, conv3d_forward(gx, gw, {}, c.options, upload(b, residual))),
                          conv3d_forward(x, w, {}, c.options, residual)));
    CHECK(test::max_difference(download(b, conv3d_backward_input(upload(b, residual), gw, c.x, c.options)),
                               conv3d_backward_input(residual, w, c.x, c.options)) == 0);
    auto dw = test::small_integers<T>(b.cpu, c.weight, 5);
    auto gdw = upload(b, dw);
    conv3d_backward_weight(x, residual, c.options, dw);
    conv3d_backward_weight(gx, upload(b, residual), c.options, gdw);
    CHECK(test::same_bits(download(b, gdw), dw));
  }
}

TEST_CASE_TEMPLATE("ops that double the grid agree with the CPU", T, double, float) {
  Both b;
  const auto x = test::small_integers<T>(b.cpu, {2, 3, 2, 4, 3}, 1),
             w3 = test::small_integers<T>(b.cpu, {3, 3, 3, 3, 5}, 2),
             w2 = test::small_integers<T>(b.cpu, {2, 2, 2, 3, 5}, 3), bias = test::small_integers<T>(b.cpu, {5}, 4),
             dy = test::small_integers<T>(b.cpu, {2, 6, 4, 8, 5}, 5);
  const auto gx = upload(b, x), gw3 = upload(b, w3), gw2 = upload(b, w2), gbias = upload(b, bias), gdy = upload(b, dy);
  CHECK(apart(b, upsample_conv3d_forward(gx, gw3, gbias), upsample_conv3d_forward(x, w3, bias)) == 0);
  CHECK(apart(b, upsample_conv3d_backward_input(gdy, gw3), upsample_conv3d_backward_input(dy, w3)) == 0);
  CHECK(apart(b, conv_transpose3d_forward(gx, gw2, gbias), conv_transpose3d_forward(x, w2, bias)) == 0);
  CHECK(apart(b, conv_transpose3d_backward_input(gdy, gw2), conv_transpose3d_backward_input(dy, w2)) == 0);
  auto dw3 = test::small_integers<T>(b.cpu, w3.shape(), 6), dw2 = test::small_integers<T>(b.cpu, w2.shape(), 7);
  auto gdw3 = upload(b, dw3), gdw2 = upload(b, dw2);
  upsample_conv3d_backward_weight(x, dy, dw3);
  upsample_conv3d_backward_weight(gx, gdy, gdw3);
  conv_transpose3d_backward_weight(x, dy, dw2);
  conv_transpose3d_backward_weight(gx, gdy, gdw2);
  CHECK(apart(b, gdw3, dw3) == 0);
  CHECK(apart(b, gdw2, dw2) == 0);
}

TEST_CASE("convolutions in bf16: rounded once, weight gradients in fp32") {
  Both b;
  const auto options = Conv3dOptions::same(3);
  const auto x = test::random<bfloat16>(b.cpu, {1, 5, 4, 6, 3}, 1),
             w = test::random<bfloat16>(b.cpu, {3, 3, 3, 3, 5}, 2),
             dy = test::random<bfloat16>(b.cpu, {1, 5, 4, 6, 5}, 3);
  CHECK(apart(b, conv3d_forward(upload(b, x), upload(b, w), {}, options), conv3d_forward(x, w, {}, options)) <=
        test::tolerance<bfloat16>(81, 4.0));
  auto dw = test::random<float>(b.cpu, w.shape(), 4);
  auto gdw = upload(b, dw);
  conv3d_backward_weight(cast<float>(x), cast<float>(dy), options, dw);
  conv3d_backward_weight(upload(b, x), upload(b, dy), options, gdw);
  CHECK(apart(b, gdw, dw) <= test::tolerance<float>(120, 8.0));
}
