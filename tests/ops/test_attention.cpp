// Attention against the textbook formula in double, and its gradients against finite differences.
#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/attention.hpp"
#include "support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;
using TensorD = Tensor<double, Cpu>;

namespace {

struct Case {
  Index batch, queries, keys, heads, width;
};
// Odd widths, one key, tiles of queries and blocks of keys with and without rest, few and many heads.
constexpr Case cases[] = {{2, 5, 7, 3, 4},      {1, 31, 33, 2, 8},  {2, 49, 97, 1, 17},
                          {1, 1, 1, 1, 1},      {2, 33, 1, 2, 5},   {1, 48, 96, 4, 64},
                          {1, 100, 200, 1, 72}, {1, 32, 40, 17, 9}, {1, 20, 300, 1, 130}};

template <class T>
struct Inputs {
  Tensor<T, Cpu> q, k, v, dy;
};
template <class T>
Inputs<T> inputs(Context<Cpu>& ctx, const Case& c, double sharpness = 1) {
  return {random<T>(ctx, {c.batch, c.queries, c.heads, c.width}, 1, sharpness),
          random<T>(ctx, {c.batch, c.keys, c.heads, c.width}, 2),
          random<T>(ctx, {c.batch, c.keys, c.heads, c.width}, 3),
          random<T>(ctx, {c.batch, c.queries, c.heads * c.width}, 4)};
}

struct Reference {
  TensorD y, log_sum, weights;
};

/// The definition, one row at a time, in double.
template <class T>
Reference reference(const Tensor<T, Cpu>& q, const Tensor<T, Cpu>& k, const Tensor<T, Cpu>& v, double scale) {
  const Index n = q.dim(0), lq = q.dim(1), heads = q.dim(2), d = q.dim(3), lk = k.dim(1);
  auto& ctx = q.context();
  Reference r{TensorD(ctx, {n, lq, heads * d}), TensorD(ctx, {n, heads, lq}), TensorD(ctx, {n, heads, lq, lk})};
  const auto at = [&](const Tensor<T, Cpu>& x, Index s, Index row, Index h, Index e) {
    return static_cast<double>(x.data()[((s * x.dim(1) + row) * heads + h) * d + e]);
  };
  for (Index s = 0; s < n; ++s)
    for (Index h = 0; h < heads; ++h)
      for (Index i = 0; i < lq; ++i) {
        double* w = r.weights.data() + ((s * heads + h) * lq + i) * lk;
        double top = -1e300, sum = 0;
        for (Index j = 0; j < lk; ++j) {
          w[j] = 0;
          for (Index e = 0; e < d; ++e) w[j] += scale * at(q, s, i, h, e) * at(k, s, j, h, e);
          top = std::max(top, w[j]);
        }
        for (Index j = 0; j < lk; ++j) sum += (w[j] = std::exp(w[j] - top));
        for (Index j = 0; j < lk; ++j) w[j] /= sum;
        r.log_sum.data()[(s * heads + h) * lq + i] = top + std::log(sum);
        for (Index e = 0; e < d; ++e) {
          double y = 0;
          for (Index j = 0; j < lk; ++j) y += w[j] * at(v, s, j, h, e);
          r.y.data()[(s * lq + i) * heads * d + h * d + e] = y;
        }
      }
  return r;
}

/// q, k, v as one packed tensor (N, L, 3, H, D).
template <class T>
Tensor<T, Cpu> packed(const Tensor<T, Cpu>& q, const Tensor<T, Cpu>& k, const Tensor<T, Cpu>& v) {
  const Index rows = q.dim(0) * q.dim(1), part = q.dim(2) * q.dim(3);
  Tensor<T, Cpu> p(q.context(), {q.dim(0), q.dim(1), 3, q.dim(2), q.dim(3)});
  for (Index r = 0; r < rows; ++r) {
    std::copy_n(q.data() + r * part, part, p.data() + (3 * r + 0) * part);
    std::copy_n(k.data() + r * part, part, p.data() + (3 * r + 1) * part);
    std::copy_n(v.data() + r * part, part, p.data() + (3 * r + 2) * part);
  }
  return p;
}

template <class T>
void check_forward(Context<Cpu>& ctx, const Case& c, double sharpness) {
  const auto [q, k, v, dy] = inputs<T>(ctx, c, sharpness);
  const double scale = 1 / std::sqrt(static_cast<double>(c.width));
  const Reference want = reference(q, k, v, scale);
  const auto got = attention_forward(q, k, v);
  using A = accum_t<T>;
  // The scores' rounding is an absolute error of the exponent, hence a relative one of the weights.
  const double exponent = tolerance<A>(c.width, sharpness);
  CAPTURE(c.queries);
  CAPTURE(c.keys);
  CAPTURE(c.width);
  CHECK(max_difference(got.y, want.y) <= tolerance<T>(1, 4) + 4 * exponent);
  CHECK(max_difference(got.log_sum, want.log_sum) <= tolerance<A>(c.keys) + exponent);
  const auto weights = attention_weights(q, k);
  CHECK(max_difference(weights, want.weights) <= tolerance<A>(1) + exponent);
}

CpuProvider portable(Isa isa) {
  CpuProvider p = default_cpu_provider();
  p.isa = isa;
  p.limits_isa = true;
  return p;
}

}  // namespace

TEST_CASE("attention forward follows the definition, on every instruction set") {
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512bf16}) {
    if (isa > detect_isa()) continue;
    const CpuProvider provider = portable(isa);
    Context<Cpu> ctx({.threads = 2, .provider = &provider});
    REQUIRE(ctx.isa() == isa);
    CAPTURE(std::string(to_string(isa)));
    for (const Case& c : cases) {
      check_forward<double>(ctx, c, 1);
      check_forward<float>(ctx, c, 1);
      check_forward<float>(ctx, c, 20);  // sharp: nearly one-hot rows, the running maximum moves
      check_forward<bfloat16>(ctx, c, 1);
    }
  }
}

TEST_CASE("packed qkv gives the bits of separate q, k, v") {
  Context<Cpu> ctx({.threads = 2});
  const auto [q, k, v, dy] = inputs<float>(ctx, {2, 61, 61, 3, 24});
  const auto qkv = packed(q, k, v);
  const auto one = attention_forward(qkv), three = attention_forward(q, k, v);
  CHECK(same_bits(one.y, three.y));
  CHECK(same_bits(one.log_sum, three.log_sum));
  CHECK(same_bits(attention_weights(qkv), attention_weights(q, k)));
  const auto d = attention_backward(q, k, v, three, dy);
  CHECK(same_bits(attention_backward(qkv, one, dy), packed(d.dq, d.dk, d.dv)));
}

TEST_CASE("attention gradients against finite differences") {
  // Double precision has one path; the next case ties those of float to it. The last has 3 blocks of keys in 2 parts.
  Context<Cpu> ctx({.threads = 2});
  for (const Case& c : {Case{2, 5, 7, 3, 4}, Case{2, 33, 31, 2, 5}, Case{1, 26, 110, 1, 9}, Case{2, 3, 5, 9, 8},
                        Case{1, 3, 203, 9, 4}}) {
    const auto in = inputs<double>(ctx, c);
    const TensorD q = in.q, k = in.k, v = in.v, dy = in.dy;  // lambdas do not capture structured bindings
    for (double scale : {0.0, 0.7}) {
      const AttentionOptions options{.scale = scale};
      const auto loss = [&] { return dot(dy, attention_forward(q, k, v, options).y); };
      const auto d = attention_backward(q, k, v, attention_forward(q, k, v, options), dy, options);
      check_gradient("dq", q, d.dq, loss, 1e-5, 2e-7, 60);
      check_gradient("dk", k, d.dk, loss, 1e-5, 2e-7, 60);
      check_gradient("dv", v, d.dv, loss, 1e-5, 2e-7, 60);
    }
  }
}

TEST_CASE("float and bfloat16 gradients follow the double ones") {
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512bf16}) {
    if (isa > detect_isa()) continue;
    const CpuProvider provider = portable(isa);
    Context<Cpu> ctx({.threads = 2, .provider = &provider});
    for (const Case& c : {Case{1, 150, 130, 2, 72}, Case{2, 31, 203, 9, 33}, Case{1, 65, 100, 1, 64}}) {
      const auto check = [&]<class T>(T) {
        const auto [q, k, v, dy] = inputs<T>(ctx, c);
        const auto wide = [&](const Tensor<T, Cpu>& x) {
          TensorD y(ctx, x.shape());
          for (Index i = 0; i < x.size(); ++i) y.data()[i] = static_cast<double>(x.data()[i]);
          return y;
        };
        const auto qd = wide(q), kd = wide(k), vd = wide(v);
        const auto want = attention_backward(qd, kd, vd, attention_forward(qd, kd, vd), wide(dy));
        const auto got = attention_backward(q, k, v, attention_forward(q, k, v), dy);
        const double bound = tolerance<T>(1, 2) + tolerance<accum_t<T>>(c.width * 4, 2);
        CHECK(max_difference(got.dq, want.dq) <= bound);
        CHECK(max_difference(got.dk, want.dk) <= bound);
        CHECK(max_difference(got.dv, want.dv) <= bound);
      };
      check(float{});
      check(bfloat16{0.0f});
    }
  }
}

TEST_CASE("attention gives the same bits on 1, 2 and 3 threads") {
  for (const Case& c : {Case{1, 200, 210, 1, 40}, Case{2, 50, 97, 9, 8}}) {
    std::vector<std::vector<float>> y, dq, dk, dv;
    for (int threads : {1, 2, 3}) {
      Context<Cpu> ctx({.threads = threads});
      const auto [q, k, v, dy] = inputs<float>(ctx, c);
      const auto r = attention_forward(q, k, v);
      const auto d = attention_backward(q, k, v, r, dy);
      y.push_back(r.y.to_host()), dq.push_back(d.dq.to_host()), dk.push_back(d.dk.to_host()),
          dv.push_back(d.dv.to_host());
    }
    for (std::size_t i : {1u, 2u}) {
      CHECK(y[i] == y[0]);
      CHECK(dq[i] == dq[0]);
      CHECK(dk[i] == dk[0]);
      CHECK(dv[i] == dv[0]);
    }
  }
}

TEST_CASE("a NaN stays in its own rows, extreme scores stay finite") {
  Context<Cpu> ctx({.threads = 2});
  auto q = random<float>(ctx, {1, 60, 2, 16}, 1);
  const auto k = random<float>(ctx, {1, 70, 2, 16}, 2), v = random<float>(ctx, {1, 70, 2, 16}, 3);
  const auto clean = attention_forward(q, k, v);
  q.data()[(7 * 2 + 1) * 16 + 3] = std::nanf("");  // query 7, head 1
  const auto r = attention_forward(q, k, v);
  for (Index i = 0; i < 60; ++i)
    for (Index c = 0; c < 32; ++c) {
      const float value = r.y.data()[i * 32 + c];
      if (i == 7 && c >= 16) CHECK(std::isnan(value));
      else CHECK(value == clean.y.data()[i * 32 + c]);
    }
  const auto huge = random<float>(ctx, {1, 60, 2, 16}, 5, 1e6);
  const auto far = attention_forward(huge, k, v);
  for (Index i = 0; i < far.y.size(); ++i) CHECK(std::isfinite(far.y.data()[i]));
}

TEST_CASE("attention refuses shapes that do not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto id = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.id();
    }
    return "none";
  };
  const Tensor<float, Cpu> q(ctx, {2, 5, 3, 4}), k(ctx, {2, 7, 3, 4}), v(ctx, {2, 6, 3, 4}), wide(ctx, {2, 7, 3, 8});
  const Tensor<float, Cpu> two(ctx, {2, 5, 2, 3, 4}), none(ctx, {2, 0, 3, 3, 4}), qkv(ctx, {2, 5, 3, 3, 4});
  CHECK(id([&] { attention_forward(q, k, v); }) == "op.shape");
  CHECK(id([&] { attention_forward(q, wide, wide); }) == "op.shape");
  CHECK(id([&] { attention_forward(two); }) == "attention.packed");
  CHECK(id([&] { attention_forward(none); }) == "op.empty");
  CHECK(id([&] { attention_forward(q); }) == "op.rank");
  CHECK(id([&] { attention_forward(q, k, k, {.scale = -1}); }) == "attention.scale");
  const auto r = attention_forward(qkv);
  CHECK(id([&] { attention_backward(qkv, r, Tensor<float, Cpu>(ctx, {2, 5, 3, 4})); }) == "op.shape");
}
