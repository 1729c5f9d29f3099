#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/linear.hpp"
#include "braing3n/ops/matmul.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

template <class T>
using X = Tensor<T, Cpu>;

/// y = x W^T + b by its definition, in double.
template <class T>
X<double> plain_linear(const X<T>& x, const X<T>& w, const X<T>& b) {
  const Index in = w.dim(1), out = w.dim(0), rows = x.size() / in;
  X<double> y(x.context(), x.shape().with(-1, out));
  for (Index r = 0; r < rows; ++r)
    for (Index o = 0; o < out; ++o) {
      double s = b.empty() ? 0.0 : static_cast<double>(static_cast<accum_t<T>>(b.data()[o]));
      for (Index i = 0; i < in; ++i)
        s += static_cast<double>(static_cast<accum_t<T>>(x.data()[r * in + i])) *
             static_cast<double>(static_cast<accum_t<T>>(w.data()[o * in + i]));
      y.data()[r * out + o] = s;
    }
  return y;
}

X<double> transpose(const X<double>& a) {  // of the last two axes
  const Index m = a.dim(-2), n = a.dim(-1), batch = a.size() / (m * n);
  X<double> t(a.context(), a.shape().with(-2, n).with(-1, m));
  for (Index b = 0; b < batch; ++b)
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j < n; ++j) t.data()[(b * n + j) * m + i] = a.data()[(b * m + i) * n + j];
  return t;
}

}  // namespace

TEST_CASE_TEMPLATE("linear of small integers is exact, with and without bias", T, double, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  const Index sizes[][2] = {{31, 33}, {1, 1}, {32, 64}, {33, 7}};
  for (const auto& [in, out] : sizes) {
    const auto x = small_integers<T>(ctx, Shape{2, 5, in}, 1), w = small_integers<T>(ctx, Shape{out, in}, 2),
               b = small_integers<T>(ctx, Shape{out}, 3);
    for (const bool with_bias : {false, true}) {
      const auto expected = plain_linear(x, w, with_bias ? b : X<T>{});
      CHECK(max_difference(linear_forward(x, w, with_bias ? b : X<T>{}), expected) == 0.0);
      LinearOptions<T, Cpu> packed;
      packed.packed = pack_weight(w);
      CHECK(max_difference(linear_forward(x, w, with_bias ? b : X<T>{}, packed).y, expected) == 0.0);
    }
  }
}

TEST_CASE_TEMPLATE("the fused form equals the plain one", T, double, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<T>(ctx, Shape{2, 9, 32}, 4), w = random<T>(ctx, Shape{33, 32}, 5, 0.2),
             b = random<T>(ctx, Shape{33}, 6);
  const auto residual = random<T>(ctx, Shape{2, 9, 33}, 7);
  const auto plain = plain_linear(x, w, b);
  for (const Activation a : {Activation::none, Activation::gelu, Activation::gelu_tanh, Activation::silu}) {
    LinearOptions<T, Cpu> o;
    o.activation = a;
    o.keep_preactivation = true;
    o.residual = residual;
    const auto r = linear_forward(x, w, b, o);
    CHECK(max_difference(r.preactivation, plain) < tolerance<T>(32));
    CHECK(max_difference(r.y, add_forward(activation_forward(plain, a), cast<double>(residual))) < tolerance<T>(32));
  }
}

TEST_CASE("gradients of linear, added to what is there") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<double>(ctx, Shape{2, 3, 31}, 8), w = random<double>(ctx, Shape{33, 31}, 9),
             b = random<double>(ctx, Shape{33}, 10);
  const auto up = random<double>(ctx, Shape{2, 3, 33}, 11);
  auto dw = random<double>(ctx, w.shape(), 12), db = random<double>(ctx, b.shape(), 13);
  const auto dw0 = dw.clone(), db0 = db.clone();
  linear_backward_weight(x, up, dw);
  linear_backward_bias(up, db);
  const auto f = [&] { return dot(up, linear_forward(x, w, b)); };
  check_gradient("linear x", x, linear_backward_input(up, w), f);
  check_gradient("linear weight", w, sub_forward(dw, dw0), f);
  check_gradient("linear bias", b, sub_forward(db, db0), f);
}

TEST_CASE("weight gradients of small integers are exact") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = small_integers<float>(ctx, Shape{2, 33, 32}, 14),
             dy = small_integers<float>(ctx, Shape{2, 33, 31}, 15);
  const auto w = small_integers<float>(ctx, Shape{31, 32}, 16);
  auto dw = small_integers<float>(ctx, Shape{31, 32}, 17);
  auto expected = dw.clone();
  for (Index r = 0; r < 66; ++r)
    for (Index o = 0; o < 31; ++o)
      for (Index i = 0; i < 32; ++i) expected.data()[o * 32 + i] += dy.data()[r * 31 + o] * x.data()[r * 32 + i];
  linear_backward_weight(x, dy, dw);
  CHECK(same_bits(dw, expected));
  auto dx = X<float>::zeros(ctx, x.shape());
  for (Index r = 0; r < 66; ++r)
    for (Index o = 0; o < 31; ++o)
      for (Index i = 0; i < 32; ++i) dx.data()[r * 32 + i] += dy.data()[r * 31 + o] * w.data()[o * 32 + i];
  CHECK(max_difference(linear_backward_input(dy, w), dx) == 0.0);
}

TEST_CASE("weight gradients of bf16 are summed in fp32 and not rounded") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<bfloat16>(ctx, Shape{2, 150, 33}, 30), dy = random<bfloat16>(ctx, Shape{2, 150, 31}, 31);
  auto dw = random<float>(ctx, Shape{31, 33}, 32), expected = dw.clone();
  linear_backward_weight(cast<float>(x), cast<float>(dy), expected);
  linear_backward_weight(x, dy, dw);
  CHECK(same_bits(dw, expected));
}

TEST_CASE("batched matmul and its gradients for every combination of transposes") {
  Context<Cpu> ctx({.threads = 2});
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      const MatmulOptions o{ta, tb};
      const auto plain_a = small_integers<double>(ctx, Shape{2, 3, 5, 31}, 18),
                 plain_b = small_integers<double>(ctx, Shape{2, 3, 31, 7}, 19);
      const auto a = ta ? transpose(plain_a) : plain_a, b = tb ? transpose(plain_b) : plain_b;
      X<double> expected = X<double>::zeros(ctx, Shape{2, 3, 5, 7});
      for (Index n = 0; n < 6; ++n)
        for (Index i = 0; i < 5; ++i)
          for (Index j = 0; j < 7; ++j)
            for (Index k = 0; k < 31; ++k)
              expected.data()[(n * 5 + i) * 7 + j] +=
                  plain_a.data()[(n * 5 + i) * 31 + k] * plain_b.data()[(n * 31 + k) * 7 + j];
      CHECK(max_difference(matmul_forward(a, b, o), expected) == 0.0);
      const auto up = random<double>(ctx, Shape{2, 3, 5, 7}, 20);
      const auto d = matmul_backward(a, b, up, o);
      const auto f = [&] { return dot(up, matmul_forward(a, b, o)); };
      check_gradient("matmul a", a, d.da, f);
      check_gradient("matmul b", b, d.db, f);
    }
  }
}

TEST_CASE("linear and matmul have the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("linear", [](Context<Cpu>& ctx) {
    const auto x = random<float>(ctx, Shape{2, 150, 65}, 21), w = random<float>(ctx, Shape{97, 65}, 22),
               b = random<float>(ctx, Shape{97}, 23);
    const auto dy = random<float>(ctx, Shape{2, 150, 97}, 24);
    auto dw = X<float>::zeros(ctx, w.shape()), db = X<float>::zeros(ctx, b.shape());
    linear_backward_weight(x, dy, dw);
    linear_backward_bias(dy, db);
    const auto many = random<float>(ctx, Shape{7, 33, 33}, 25);
    return std::vector<X<float>>{linear_forward(x, w, b),
                                 linear_backward_input(dy, w),
                                 dw,
                                 db,
                                 matmul_forward(many, many),
                                 matmul_forward(many, many, {true, false})};
  });
}

TEST_CASE("linear and matmul say what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = random<float>(ctx, Shape{5, 3}, 1), w = random<float>(ctx, Shape{6, 4}, 2);
  check_error("linear.features", {"linear: input (5, 3) has 3 features, weight (6, 4) wants 4"},
              [&] { linear_forward(x, w); });
  const auto ok = random<float>(ctx, Shape{6, 3}, 3);
  check_error("op.shape", {"bias", "(5)", "(6)"}, [&] { linear_forward(x, ok, random<float>(ctx, Shape{5}, 4)); });
  check_error("linear.gradient", {"(5, 3)", "(6, 4)"}, [&] { linear_backward_input(x, w); });
  auto dw = random<float>(ctx, Shape{6, 3}, 5);
  check_error("linear.gradient", {"(5, 3)", "(6, 3)"}, [&] { linear_backward_weight(x, x, dw); });
  LinearOptions<float, Cpu> o;
  o.residual = x;
  check_error("op.shape", {"residual", "(5, 3)", "(5, 6)"}, [&] { linear_forward(x, ok, {}, o); });
  check_error("op.rank", {"weight", "(5, 3, 1)"}, [&] { linear_forward(x, x.reshape(Shape{5, 3, 1})); });
  check_error("op.empty", {"linear"}, [&] { linear_forward(X<float>(ctx, Shape{0, 3}), ok); });
  check_error("matmul.shape", {"(5, 3)", "(6, 4)"}, [&] { matmul_forward(x, w); });
  check_error("matmul.shape", {"(5, 3)", "(5, 3, 1)"}, [&] { matmul_forward(x, x.reshape(Shape{5, 3, 1})); });
}
