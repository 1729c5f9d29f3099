#include "tests/support/check.hpp"

#include "braing3n/autograd/checkpoint.hpp"
#include "braing3n/autograd/ops_basic.hpp"
#include "braing3n/autograd/ops_loss.hpp"

using namespace braing3n;
using V = Var<double, Cpu>;
using D = Tensor<double, Cpu>;

namespace {

double loss_of(const D& upstream, const V& y) { return test::dot(upstream, y.value()); }

}  // namespace

TEST_CASE("a value used twice collects both gradients") {
  Context<Cpu> ctx({.threads = 2});
  const D x0 = test::random<double>(ctx, {2, 3}, 1), up = test::random<double>(ctx, {2, 3}, 2);
  const auto f = [&](const V& x) { return mul(add(x, x), silu(x)); };
  Tape<Cpu> tape;
  const V x = tape.leaf(x0);
  tape.backward(f(x), up);
  test::check_gradient("x", x0, x.gradient(), [&] { return loss_of(up, f(V(x0))); });
}

TEST_CASE("a gradient shared by two slots is not changed through one of them") {
  Context<Cpu> ctx({.threads = 1});
  const D a0 = test::random<double>(ctx, {4}, 1), b0 = test::random<double>(ctx, {4}, 2),
          up = test::random<double>(ctx, {4}, 3);
  Tape<Cpu> tape;
  const V a = tape.leaf(a0), b = tape.leaf(b0);
  // add() hands the same tensor to both slots; then a alone receives more.
  tape.backward(add(add(a, b), scale(a, 3.0)), up);
  for (Index i = 0; i < 4; ++i) {
    CHECK(a.gradient().data()[i] == doctest::Approx(4 * up.data()[i]));
    CHECK(b.gradient().data()[i] == up.data()[i]);
  }
}

TEST_CASE("constants are not recorded, and branches nobody asked for stay silent") {
  Context<Cpu> ctx({.threads = 1});
  Tape<Cpu> tape;
  const V c = test::random<double>(ctx, {3}, 1);
  CHECK(!add(c, c).wants_gradient());
  CHECK(tape.size() == 0);
  const V x = tape.leaf(test::random<double>(ctx, {3}, 2));
  const V unused = silu(x);
  CHECK(unused.wants_gradient());
  tape.backward(scale(x, 2.0), test::random<double>(ctx, {3}, 3));
  CHECK(tape.size() == 0);
}

TEST_CASE("chunks, slices, joins and reshapes") {
  Context<Cpu> ctx({.threads = 2});
  const D x0 = test::random<double>(ctx, {2, 3, 6}, 1), up = test::random<double>(ctx, {2, 5, 2}, 2);
  const auto f = [&](const V& x) {
    const auto [a, b, c] = chunk<3>(x);  // b gets no gradient
    const V cut = slice(mul(a, c), 1, 1, 3);
    (void)b;
    return join(reshape(reshape(a, {6, 2}), {2, 3, 2}), cut, 1);
  };
  Tape<Cpu> tape;
  const V x = tape.leaf(x0);
  tape.backward(f(x), up);
  test::check_gradient("x", x0, x.gradient(), [&] { return loss_of(up, f(V(x0))); });
}

TEST_CASE("broadcast, modulation, gates, tokens") {
  Context<Cpu> ctx({.threads = 3});
  std::vector<D> values = {test::random<double>(ctx, {2, 4, 3}, 1), test::random<double>(ctx, {4, 3}, 2),
                           test::random<double>(ctx, {2, 3}, 3),    test::random<double>(ctx, {2, 3}, 4),
                           test::random<double>(ctx, {2, 3}, 5),    test::random<double>(ctx, {3}, 6),
                           test::random<double>(ctx, {3}, 7)};
  const std::vector<std::int32_t> visible = {3, 0, 4, 2, 1, 0};
  const auto picked = Indices<Cpu>::from_host(ctx, {2, 3}, std::vector<std::int32_t>{0, 2, 4, 1, 0, 3}, 5);
  const TokenMask<Cpu> mask = token_mask_from_visible(ctx, std::span<const std::int32_t>(visible), 2, 5);
  const auto f = [&](const std::vector<V>& v) {
    V x = add_broadcast(v[0], v[1]);
    x = modulate(x, v[2], v[3]);
    x = gated_add(v[0], v[4], x);
    x = prepend_token(v[5], x);  // (2, 5, 3)
    x = gather(x, picked);       // (2, 3, 3)
    x = scatter(x, v[6], mask);  // (2, 5, 3)
    return sub(mean_tokens(drop_token(x)), v[2]);
  };
  const D up = test::random<double>(ctx, {2, 3}, 9);
  Tape<Cpu> tape;
  std::vector<V> leaves;
  for (const D& v : values) leaves.push_back(tape.leaf(v));
  tape.backward(f(leaves), up);
  for (std::size_t i = 0; i < values.size(); ++i)
    test::check_gradient(concat("input ", i), values[i], leaves[i].gradient(),
                         [&] { return loss_of(up, f({values.begin(), values.end()})); });
}

TEST_CASE("losses") {
  Context<Cpu> ctx({.threads = 2});
  const D p0 = test::random<double>(ctx, {2, 4, 5}, 1), target = test::random<double>(ctx, {2, 4, 5}, 2);
  const std::vector<std::int32_t> visible = {1, 3, 0, 2}, label_values = {1, 4, 0, 2, 3, 1, 0, 0};
  const auto mask = token_mask_from_visible(ctx, std::span<const std::int32_t>(visible), 2, 4);
  const auto labels = Indices<Cpu>::from_host(ctx, {8}, label_values, 5);
  const auto f = [&](const V& p) {
    V sum = add(mse_loss(p, target), scale(l1_loss(p, target), 0.5));
    sum = add(sum, scale(masked_patch_loss(p, target, mask, true), 2.0));
    return add(sum, cross_entropy_loss(reshape(p, {8, 5}), labels));
  };
  Tape<Cpu> tape;
  const V p = tape.leaf(p0);
  const auto loss = f(p);
  CHECK(loss.shape() == Shape{});
  tape.backward(loss);
  test::check_gradient("prediction", p0, p.gradient(), [&] { return item(f(V(p0))); });
}

TEST_CASE("checkpoint equals the plain call bit for bit") {
  Context<Cpu> ctx({.threads = 2});
  const D x0 = test::random<double>(ctx, {3, 4}, 1), c0 = test::random<double>(ctx, {3, 4}, 2),
          up = test::random<double>(ctx, {3, 4}, 3);
  int calls = 0;
  const auto f = [&calls](Pass<Cpu>&, const V& x, const V& c) {
    ++calls;
    return mul(silu(add(x, c)), gelu(mul(x, x)));
  };
  const auto run = [&](bool use) {
    Tape<Cpu> tape;
    Pass<Cpu> pass(ctx, tape);
    const V x = tape.leaf(x0), c = tape.leaf(c0);
    const V h = use ? checkpoint(pass, f, x, c) : f(pass, x, c);
    tape.backward(mul(h, x), up);
    return std::pair{x.gradient(), c.gradient()};
  };
  const auto plain = run(false), checked = run(true);
  CHECK(calls == 3);
  CHECK(test::same_bits(plain.first, checked.first));
  CHECK(test::same_bits(plain.second, checked.second));
}

TEST_CASE("a mark runs when the gradients of what was recorded after it are complete") {
  Context<Cpu> ctx;
  Tape<Cpu> tape;
  const V a = tape.leaf(full<double>(ctx, Shape{2}, 3.0)), b = tape.leaf(full<double>(ctx, Shape{2}, 5.0));
  const V first = mul(a, a);
  std::vector<std::pair<bool, bool>> seen;  // whether gradients of b and of a had arrived
  tape.mark([&] { seen.emplace_back(!b.gradient().empty(), !a.gradient().empty()); });
  const V second = mul(first, b);
  tape.mark([&] { seen.emplace_back(!b.gradient().empty(), !a.gradient().empty()); });
  tape.backward(second, full<double>(ctx, Shape{2}, 1.0));
  CHECK(seen == std::vector<std::pair<bool, bool>>{{false, false}, {true, false}});
  CHECK(a.gradient().data()[0] == 30.0);
  test::check_error("tape.consumed", {"mark"}, [&] { tape.mark([] {}); });
}

TEST_CASE("misuse is named") {
  Context<Cpu> ctx({.threads = 1});
  const D x0 = test::random<double>(ctx, {3}, 1), up = test::random<double>(ctx, {3}, 2);
  const auto id_of = [](auto&& call) -> std::string {
    try {
      call();
    } catch (const Error& e) {
      return e.id();
    }
    return "none";
  };
  Tape<Cpu> tape, other;
  const V x = tape.leaf(x0), y = other.leaf(x0);
  CHECK(id_of([&] { add(x, y); }) == "tape.mixed");
  CHECK(id_of([&] { other.backward(scale(x, 1.0), up); }) == "tape.other");
  CHECK(id_of([&] { tape.backward(V(x0), up); }) == "tape.constant");
  CHECK(id_of([&] { tape.backward(x); }) == "tape.scalar");
  CHECK(id_of([&] { tape.backward(x, test::random<double>(ctx, {4}, 1)); }) == "op.shape");
  Pass<Cpu> pass(ctx, tape);
  CHECK(id_of([&] { checkpoint(pass, [&x](Pass<Cpu>&, const V& a) { return add(a, x); }, x); }) ==
        "checkpoint.captured");
  CHECK(id_of([&] { add(x, x); }) == "none");  // the seal is gone again
  tape.backward(scale(x, 2.0), up);
  CHECK(id_of([&] { tape.backward(x, up); }) == "tape.consumed");
  CHECK(id_of([&] { add(x, x); }) == "tape.consumed");
}

TEST_CASE("an activation in bf16 collects sums in fp32 and rounds them once") {
  Context<Cpu> ctx;
  const auto slot = std::make_shared<GradientSlot<bfloat16, Cpu>>();
  CHECK(slot->empty());
  const auto small = full<float>(ctx, Shape{3}, 1.0 / 512);  // bf16 has 8 bits: 1 + 1/512 is 1
  add_to(gradient_sum(slot, ctx, Shape{3}), full<float>(ctx, Shape{3}, 1.0));
  for (int i = 0; i < 256; ++i) add_to(gradient_sum(slot, ctx, Shape{3}), small);
  CHECK_FALSE(slot->empty());
  accumulate(slot, full<bfloat16>(ctx, Shape{3}, 2.0));
  const auto dy = detail::take_gradient(slot);
  CHECK(static_cast<float>(dy.data()[0]) == 3.5f);
  CHECK(slot->empty());
}
