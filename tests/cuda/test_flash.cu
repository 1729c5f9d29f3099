// Flash attention in bf16 beside attention in double of the same rounded inputs, and beside the CPU's in bf16.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/ops/attention.hpp"

using namespace braing3n;
using test::apart;
using test::Both;
using test::download;
using test::upload;

namespace {

/// |x - exact| / |exact|, Euclidean norms; a NaN anywhere gives NaN.
template <class T>
double relative_error(const Tensor<T, Cpu>& x, const Tensor<double, Cpu>& exact) {
  const auto wide = cast<double>(x);
  double difference = 0, norm = 0;
  for (Index i = 0; i < exact.size(); ++i) {
    const double e = wide.data()[i] - exact.data()[i];
    difference += e * e, norm += exact.data()[i] * exact.data()[i];
  }
  return std::sqrt(difference / norm);
}

struct Size {
  Index heads, queries, keys, width;
};

/// q, k, v of two samples in bf16; scores are a few units apart.
struct Inputs {
  Tensor<bfloat16, Cpu> q, k, v, dy;
  Inputs(Both& b, const Size& s, double spread = 2.0)
      : q(test::random<bfloat16>(b.cpu, {2, s.queries, s.heads, s.width}, 1, spread)),
        k(test::random<bfloat16>(b.cpu, {2, s.keys, s.heads, s.width}, 2)),
        v(test::random<bfloat16>(b.cpu, {2, s.keys, s.heads, s.width}, 3)),
        dy(test::random<bfloat16>(b.cpu, {2, s.queries, s.heads * s.width}, 4)) {}
};

void check_forward(Both& b, const Size& s, double spread = 2.0) {
  INFO("heads ", s.heads, ", queries ", s.queries, ", keys ", s.keys, ", width ", s.width, ", spread ", spread);
  const Inputs x(b, s, spread);
  const auto exact = attention_forward(cast<double>(x.q), cast<double>(x.k), cast<double>(x.v));
  const auto r = attention_forward(upload(b, x.q), upload(b, x.k), upload(b, x.v));
  CHECK(relative_error(download(b, r.y), exact.y) <= 3e-3);
  double largest = 16;  // the spacing of floats grows with them
  for (Index i = 0; i < exact.log_sum.size(); ++i) largest = std::max(largest, std::abs(exact.log_sum.data()[i]));
  CHECK(test::max_difference(cast<double>(download(b, r.log_sum)), exact.log_sum) <= 5e-6 * largest / 16);
}

}  // namespace

TEST_CASE("flash attention: tiles that are full, not full, and one row") {
  Both b;
  for (const Index n : {1, 5, 16, 63, 64, 65, 130, 200}) check_forward(b, {1, n, n, 72});
  for (const Index n : {5, 65}) check_forward(b, {3, n, n, 64});
}
TEST_CASE("flash attention: other numbers of keys than queries") {
  Both b;
  check_forward(b, {3, 5, 130, 64});
  check_forward(b, {1, 130, 1, 72});
  check_forward(b, {1, 65, 64, 96});
}
TEST_CASE("flash attention: every width that 8 divides") {
  Both b;
  for (Index width = 8; width <= 128; width += 8) check_forward(b, {2, 70, 70, width});
}
TEST_CASE("flash attention: even and sharp weights") {
  Both b;
  for (const double spread : {0.0, 0.05, 20.0}) check_forward(b, {1, 80, 150, 72}, spread);
}
