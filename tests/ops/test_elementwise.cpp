#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/elementwise.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

const Shape odd{3, 31, 33};

template <class T>
double at(const Tensor<T, Cpu>& x, Index i) {
  return static_cast<double>(static_cast<accum_t<T>>(x.data()[i]));
}

double reference(Activation a, double x) {
  switch (a) {
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::none:
      break;
  }
  return x;
}
const Activation activations[] = {Activation::none, Activation::gelu, Activation::gelu_tanh, Activation::silu};

}  // namespace

TEST_CASE_TEMPLATE("arithmetic of small integers is exact", T, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  const auto a = small_integers<T>(ctx, odd, 1), b = small_integers<T>(ctx, odd, 2);
  const auto table = small_integers<T>(ctx, Shape{31, 33}, 3);
  const auto s = add_forward(a, b), d = sub_forward(a, b), p = mul_forward(a, b), k = scale_forward(a, -2.5),
             w = add_scaled_forward(a, b, 3.0);
  const auto t = add_broadcast_forward(a, table), r = relu_forward(a);
  auto acc = small_integers<accum_t<T>>(ctx, odd, 4);
  const auto acc0 = acc.clone();
  add_to(acc, a);
  Index wrong = 0;
  for (Index i = 0; i < a.size(); ++i) {
    const double x = at(a, i), y = at(b, i);
    wrong += at(s, i) != x + y || at(d, i) != x - y || at(p, i) != x * y || at(k, i) != -2.5 * x ||
             at(w, i) != x + 3 * y || at(t, i) != x + at(table, i % (31 * 33)) || at(r, i) != std::max(x, 0.0) ||
             at(acc, i) != at(acc0, i) + x;
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("activations are the functions they are named after", T, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<T>(ctx, odd, 5, 2.0);
  for (const Activation a : activations) {
    const auto y = activation_forward(x, a);
    double worst = 0;
    for (Index i = 0; i < x.size(); ++i) worst = std::max(worst, std::abs(at(y, i) - reference(a, at(x, i))));
    CHECK_MESSAGE(worst < tolerance<T>(1, 4.0), static_cast<int>(a));
  }
}

TEST_CASE("gradients of the element-wise ops") {
  Context<Cpu> ctx({.threads = 2});
  const auto a = random<double>(ctx, Shape{2, 32, 5}, 6), b = random<double>(ctx, Shape{2, 32, 5}, 7),
             up = random<double>(ctx, Shape{2, 32, 5}, 8);
  check_gradient("sub, b", b, sub_backward(up), [&] { return dot(up, sub_forward(a, b)); });
  check_gradient("mul, a", a, mul_backward(b, up), [&] { return dot(up, mul_forward(a, b)); });
  check_gradient("scale", a, scale_backward(up, 1.7), [&] { return dot(up, scale_forward(a, 1.7)); });
  check_gradient("add_scaled, b", b, scale_backward(up, -0.3), [&] { return dot(up, add_scaled_forward(a, b, -0.3)); });
  check_gradient("relu", a, relu_backward(a, up), [&] { return dot(up, relu_forward(a)); });
  for (const Activation f : activations)
    check_gradient("activation", a, activation_backward(a, up, f), [&] { return dot(up, activation_forward(a, f)); });
  for (const Shape& shape : {Shape{5}, Shape{32, 5}, Shape{2, 32, 5}}) {
    const auto table = random<double>(ctx, shape, 9);
    auto dtable = random<double>(ctx, shape, 10);
    const auto before = dtable.clone();
    add_broadcast_backward(up, dtable);
    check_gradient("add_broadcast, table", table, sub_forward(dtable, before),
                   [&] { return dot(up, add_broadcast_forward(a, table)); });
  }
}

TEST_CASE("relu keeps NaN and casts round to nearest even") {
  Context<Cpu> ctx({.threads = 1});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto x = Tensor<float, Cpu>::from_host(ctx, Shape{4}, std::vector<float>{nan, -1.0f, 1.00390625f, 1.01171875f});
  CHECK(std::isnan(relu_forward(x).data()[0]));
  const auto y = cast<bfloat16>(x);
  CHECK(static_cast<float>(y.data()[2]) == 1.0f);       // a tie goes to the even neighbour
  CHECK(static_cast<float>(y.data()[3]) == 1.015625f);  // a tie again
  CHECK(std::isnan(static_cast<float>(y.data()[0])));
  CHECK(cast<float>(x).shares_storage_with(x));
  CHECK(cast<double>(y).data()[3] == 1.015625);
}

TEST_CASE("element-wise results have the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("element-wise", [](Context<Cpu>& ctx) {
    const auto a = random<float>(ctx, Shape{2, 700, 67}, 14), b = random<float>(ctx, Shape{2, 700, 67}, 15);
    auto dtable = Tensor<float, Cpu>::zeros(ctx, Shape{67});
    add_broadcast_backward(a, dtable);
    return std::vector<Tensor<float, Cpu>>{add_scaled_forward(a, b, 0.3), activation_backward(a, b, Activation::gelu),
                                           dtable};
  });
}

TEST_CASE("mistakes are named with both shapes") {
  Context<Cpu> ctx({.threads = 1}), other({.threads = 1});
  const auto a = random<float>(ctx, Shape{2, 3}, 1), b = random<float>(ctx, Shape{3, 2}, 2),
             c = random<float>(other, Shape{2, 3}, 3);
  check_error("op.shape", {"add", "(2, 3)", "(3, 2)"}, [&] { add_forward(a, b); });
  check_error("op.context", {"mul"}, [&] { mul_forward(a, c); });
  check_error("op.broadcast", {"add_broadcast", "(2, 3)", "(3, 2)"}, [&] { add_broadcast_forward(a, b); });
  check_error("op.broadcast", {"(2, 3)", "(1, 2, 3)"}, [&] { add_broadcast_forward(a, a.reshape(Shape{1, 2, 3})); });
  check_error("op.empty", {"scale"}, [&] { scale_forward(Tensor<float, Cpu>(ctx, Shape{0, 3}), 2.0); });
}
