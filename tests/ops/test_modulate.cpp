#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/modulate.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

TEST_CASE_TEMPLATE("modulate and gate apply one condition to every token of a sample", T, double, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  const Shape shape{3, 31, 33}, cond{3, 33};
  const auto x = small_integers<T>(ctx, shape, 1), r = small_integers<T>(ctx, shape, 2),
             a = small_integers<T>(ctx, cond, 3), b = small_integers<T>(ctx, cond, 4);
  const auto m = modulate_forward(x, a, b), g = gate_forward(a, x), s = gated_add_forward(r, a, x);
  Index wrong = 0;
  for (Index i = 0; i < x.size(); ++i) {
    const Index c = i / (31 * 33) * 33 + i % 33;
    const auto f = [](T v) { return static_cast<double>(static_cast<accum_t<T>>(v)); };
    wrong += f(m.data()[i]) != f(x.data()[i]) * (1 + f(b.data()[c])) + f(a.data()[c]);
    wrong += f(g.data()[i]) != f(a.data()[c]) * f(x.data()[i]);
    wrong += f(s.data()[i]) != f(r.data()[i]) + f(a.data()[c]) * f(x.data()[i]);
  }
  CHECK(wrong == 0);
}

TEST_CASE("gradients of modulate and gate") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<double>(ctx, Shape{2, 5, 33}, 5), up = random<double>(ctx, Shape{2, 5, 33}, 6),
             r = random<double>(ctx, Shape{2, 5, 33}, 7);
  const auto shift = random<double>(ctx, Shape{2, 33}, 8), scale = random<double>(ctx, Shape{2, 33}, 9);
  const auto m = modulate_backward(x, scale, up);
  const auto f = [&] { return dot(up, modulate_forward(x, shift, scale)); };
  check_gradient("modulate x", x, m.dx, f);
  check_gradient("modulate shift", shift, m.dshift, f);
  check_gradient("modulate scale", scale, m.dscale, f);
  const auto g = gate_backward(scale, x, up);
  check_gradient("gate g", scale, g.dg, [&] { return dot(up, gate_forward(scale, x)); });
  check_gradient("gate x", x, g.dx, [&] { return dot(up, gated_add_forward(r, scale, x)); });
}

TEST_CASE("modulation has the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("modulate", [](Context<Cpu>& ctx) {
    const auto x = random<float>(ctx, Shape{2, 700, 67}, 10), dy = random<float>(ctx, Shape{2, 700, 67}, 11);
    const auto scale = random<float>(ctx, Shape{2, 67}, 12);
    const auto m = modulate_backward(x, scale, dy);
    return std::vector<Tensor<float, Cpu>>{modulate_forward(x, scale, scale), m.dx, m.dshift, m.dscale};
  });
}

TEST_CASE("conditions that do not fit are named") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = random<float>(ctx, Shape{2, 5, 7}, 13), c = random<float>(ctx, Shape{2, 7}, 14),
             bad = random<float>(ctx, Shape{7, 2}, 15);
  check_error("modulate.condition", {"modulate: scale (7, 2)", "(2, 5, 7)", "(2, 7)"},
              [&] { modulate_forward(x, c, bad); });
  check_error("modulate.condition", {"gate", "(7, 2)"}, [&] { gate_forward(bad, x); });
  check_error("op.shape", {"gated_add"}, [&] { gated_add_forward(x.reshape(Shape{2, 7, 5}), c, x); });
  check_error("op.rank", {"(N, L, C)"}, [&] { modulate_forward(c, c, c); });
}
