// Flash attention in bf16 beside attention in double of the same rounded inputs, and beside the CPU's in bf16.
#include "tests/cuda/both.hpp"

#include "braing3n/cuda.cuh"
#include "braing3n/ops/attention.hpp"

using namespace braing3n;
using test::Both;
using test::download;
using test::upload;

namespace {

double length(const Tensor<double, Cpu>& x) {
  double sum = 0;
  for (Index i = 0; i < x.size(); ++i) sum += x.data()[i] * x.data()[i];
  return std::sqrt(sum);
}
/// Euclidean; NaN when something is NaN.
template <class T>
double distance(const Tensor<T, Cpu>& x, const Tensor<double, Cpu>& exact) {
  REQUIRE(x.shape() == exact.shape());
  return length(add_scaled_forward(cast<double>(x), exact, -1.0));
}
double largest(const Tensor<double, Cpu>& x) {
  double most = 0;
  for (Index i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x.data()[i]));
  return most;
}

struct Size {
  Index heads, queries, keys, width;
};

/// Two samples. Scores have the standard deviation `spread` times a few tenths; values and upstream gradients lie around `offset`.
struct Case {
  Tensor<bfloat16, Cpu> q, k, v, dy;
  Case(Both& b, const Size& s, double spread, double offset)
      : q(test::random<bfloat16>(b.cpu, {2, s.queries, s.heads, s.width}, 1, spread)),
        k(test::random<bfloat16>(b.cpu, {2, s.keys, s.heads, s.width}, 2)),
        v(test::random<bfloat16>(b.cpu, {2, s.keys, s.heads, s.width}, 3)),
        dy(test::random<bfloat16>(b.cpu, {2, s.queries, s.heads * s.width}, 4)) {
    for (auto* const x : {&v, &dy})
      for (Index i = 0; i < x->size(); ++i) x->data()[i] = static_cast<float>(x->data()[i] + offset);
  }
};

/// Within 1 % of the exact gradient, and at most 1.3 times as far off as the CPU's in bf16. The largest error of both is that of
/// dy . y of the rounded y, one number per query: a few queries tell little about its size.
void check_gradient(Both& b, const Tensor<bfloat16, Cuda>& gpu, const Tensor<bfloat16, Cpu>& cpu,
                    const Tensor<double, Cpu>& exact, Index queries) {
  const double error = distance(download(b, gpu), exact);
  constexpr double nothing = 1e-4;  // with one key, dq and dk are 0
  CHECK(error <= 1e-2 * length(exact) + nothing);
  CHECK(error <= (queries < 16 ? 1.6 : 1.3) * distance(cpu, exact) + nothing);
}

void check(Both& b, const Size& s, double spread = 2, double offset = 0, const AttentionOptions& options = {}) {
  INFO("heads ", s.heads, ", queries ", s.queries, ", keys ", s.keys, ", width ", s.width, ", spread ", spread,
       ", offset ", offset);
  const Case x(b, s, spread, offset);
  const auto q = cast<double>(x.q), k = cast<double>(x.k), v = cast<double>(x.v);
  const auto gq = upload(b, x.q), gk = upload(b, x.k), gv = upload(b, x.v);
  const auto exact = attention_forward(q, k, v, options);
  const auto cpu = attention_forward(x.q, x.k, x.v, options);
  const auto gpu = attention_forward(gq, gk, gv, options);
  CHECK(distance(download(b, gpu.y), exact.y) <= 3e-3 * length(exact.y));
  const double spacing = std::max(1.0, largest(exact.log_sum) / 16);  // of floats grows with them
  CHECK(test::max_difference(cast<double>(download(b, gpu.log_sum)), exact.log_sum) <= 5e-6 * spacing);
  const auto dexact = attention_backward(q, k, v, exact, cast<double>(x.dy), options);
  const auto dcpu = attention_backward(x.q, x.k, x.v, cpu, x.dy, options);
  const auto dgpu = attention_backward(gq, gk, gv, gpu, upload(b, x.dy), options);
  check_gradient(b, dgpu.dq, dcpu.dq, dexact.dq, s.queries);
  check_gradient(b, dgpu.dk, dcpu.dk, dexact.dk, s.queries);
  check_gradient(b, dgpu.dv, dcpu.dv, dexact.dv, s.queries);
}

}  // namespace

TEST_CASE("flash attention: more than one tile of queries and of keys") {
  Both b;
  check(b, {1, 130, 70, 72});
  check(b, {2, 17, 130, 40});
}

TEST_SUITE_BEGIN("sweep");

TEST_CASE("flash attention: tiles that are full, not full, and one row") {
  Both b;
  for (const Index n : {1, 5, 16, 63, 64, 65, 130}) check(b, {1, n, n, 72});
  check(b, {1, 200, 200, 64});
  check(b, {3, 65, 65, 64});
}

TEST_CASE("flash attention: other numbers of keys than of queries") {
  Both b;
  check(b, {3, 5, 130, 64});
  check(b, {1, 130, 5, 72});
  check(b, {1, 130, 1, 72});
  check(b, {1, 1, 70, 40});
  check(b, {1, 65, 64, 96}, 2, 0, {.scale = 0.3});
}

TEST_CASE("flash attention: every width that 8 divides") {
  Both b;
  for (Index width = 8; width <= 128; width += 8) check(b, {1, 17, 67, width});
}

TEST_CASE("flash attention: even and sharp weights, values that are much alike") {
  Both b;
  const Size size{1, 33, 100, 72};
  for (const double spread : {0.0, 0.05}) check(b, size, spread, 3);
  check(b, size, 0.05, 0);
  check(b, size, 20, 0);
}

TEST_CASE("flash attention: where all weights round to 1, the result is still a mean of values") {
  Both b;
  const Case x(b, {1, 20, 100, 64}, 4e-4, 3);  // weights of 0.999, relative to the largest
  const auto y = cast<double>(download(b, attention_forward(upload(b, x.q), upload(b, x.k), upload(b, x.v)).y));
  const auto exact = attention_forward(cast<double>(x.q), cast<double>(x.k), cast<double>(x.v)).y;
  double ratio = 0;
  for (Index i = 0; i < y.size(); ++i) ratio += y.data()[i] / exact.data()[i] / static_cast<double>(y.size());
  CHECK(std::abs(ratio - 1) <= 2e-4);
}

TEST_CASE("flash attention: packed queries, keys and values; the same bits each time") {
  Both b;
  for (const Index width : {64, 72}) {
    const auto qkv = test::random<bfloat16>(b.cpu, {2, 70, 3, 2, width}, 1),
               dy = test::random<bfloat16>(b.cpu, {2, 70, 2 * width}, 2);
    const auto gqkv = upload(b, qkv), gdy = upload(b, dy);
    const auto exact = attention_forward(cast<double>(qkv));
    const auto cpu = attention_forward(qkv);
    const auto gpu = attention_forward(gqkv), again = attention_forward(gqkv);
    CHECK(distance(download(b, gpu.y), exact.y) <= 3e-3 * length(exact.y));
    const auto gradient = attention_backward(gqkv, gpu, gdy);
    check_gradient(b, gradient, attention_backward(qkv, cpu, dy),
                   attention_backward(cast<double>(qkv), exact, cast<double>(dy)), 70);
    CHECK(test::max_difference(download(b, gpu.y), download(b, again.y)) == 0);
    CHECK(test::max_difference(download(b, gradient), download(b, attention_backward(gqkv, again, gdy))) == 0);
  }
}

TEST_CASE("flash attention: scores far below 0 leave keys that do not exist without weight") {
  Both b;
  const Case x(b, {1, 20, 70, 64}, 1, 0);
  const auto up = [&](const Tensor<bfloat16, Cpu>& t, float by) {
    auto moved = download(b, upload(b, t));
    for (Index i = 0; i < moved.size(); ++i) moved.data()[i] = moved.data()[i] + by;
    return moved;
  };
  const auto q = up(x.q, 8), k = up(x.k, -8);  // scores around -512
  const auto exact = attention_forward(cast<double>(q), cast<double>(k), cast<double>(x.v));
  CHECK(largest(exact.log_sum) > 400);
  const auto gpu = attention_forward(upload(b, q), upload(b, k), upload(b, x.v));
  CHECK(distance(download(b, gpu.y), exact.y) <= 3e-3 * length(exact.y));
  const auto d = attention_backward(upload(b, q), upload(b, k), upload(b, x.v), gpu, upload(b, x.dy));
  const auto dcpu = attention_backward(q, k, x.v, attention_forward(q, k, x.v), x.dy);
  const auto dexact =
      attention_backward(cast<double>(q), cast<double>(k), cast<double>(x.v), exact, cast<double>(x.dy));
  // Queries and keys are much alike: what is left of dq and dk is small beside its terms, on both.
  CHECK(distance(download(b, d.dq), dexact.dq) <= 1.6 * distance(dcpu.dq, dexact.dq));
  CHECK(distance(download(b, d.dk), dexact.dk) <= 1.6 * distance(dcpu.dk, dexact.dk));
  check_gradient(b, d.dv, dcpu.dv, dexact.dv, 20);
}

TEST_SUITE_END();

TEST_CASE("flash attention: NaN inputs give NaN results") {
  Both b;
  const Case x(b, {1, 20, 70, 64}, 1, 0);
  auto k = download(b, upload(b, x.k));
  k.data()[33 * 64 + 5] = std::numeric_limits<float>::quiet_NaN();  // one key of the first sample
  const auto y = download(b, attention_forward(upload(b, x.q), upload(b, k), upload(b, x.v)).y);
  CHECK(std::isnan(static_cast<float>(y.data()[0])));
  CHECK(std::isnan(static_cast<float>(y.data()[20 * 64 - 1])));
  CHECK(std::isfinite(static_cast<float>(y.data()[20 * 64])));
}

TEST_CASE("flash attention takes widths that 8 divides up to 128, rows and pointers aligned to 16 bytes") {
  alignas(16) static bfloat16 memory[16];
  AttentionCall<bfloat16> c;
  c.batch = c.heads = c.queries = c.keys = 1, c.width = 72;
  c.q = c.k = c.v = memory;
  c.q_row = c.k_row = c.v_row = c.q_sample = c.k_sample = c.v_sample = 72;
  CHECK(detail::flash_fits(c));
  AttentionGradients<bfloat16> g;
  g.dy = memory;
  CHECK(detail::flash_fits(c, g));
  g.dy = memory + 1;
  CHECK_FALSE(detail::flash_fits(c, g));
  const auto without = [&](auto change) {
    auto other = c;
    change(other);
    return detail::flash_fits(other);
  };
  CHECK_FALSE(without([](auto& o) { o.width = 12; }));
  CHECK_FALSE(without([](auto& o) { o.width = 136; }));
  CHECK_FALSE(without([](auto& o) { o.v_row = 76; }));
  CHECK_FALSE(without([](auto& o) { o.k_sample = 4; }));
  CHECK_FALSE(without([](auto& o) { o.q = memory + 4; }));
  CHECK_FALSE(without([](auto& o) { o.queries = Index{1} << 31; }));
}
