// gather, scatter, embedding, concat and their relatives
#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/concat.hpp"
#include "braing3n/ops/embedding.hpp"
#include "braing3n/ops/gather.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

using X = Tensor<float, Cpu>;
using D = Tensor<double, Cpu>;

/// Their bound is the largest plus one.
Indices<Cpu> indices(Context<Cpu>& ctx, const Shape& shape, const std::vector<std::int32_t>& values) {
  return Indices<Cpu>::from_host(ctx, shape, values, *std::max_element(values.begin(), values.end()) + 1);
}
/// `count` indices below `bound`, spread and repeating.
Indices<Cpu> spread(Context<Cpu>& ctx, const Shape& shape, Index bound) {
  std::vector<std::int32_t> v;
  for (Index i = 0; i < shape.size(); ++i) v.push_back(static_cast<std::int32_t>((i * i * 7 + 3 * i + 1) % bound));
  return Indices<Cpu>::from_host(ctx, shape, v, bound);
}

}  // namespace

TEST_CASE_TEMPLATE("gather and scatter move whole tokens", T, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  const auto x = small_integers<T>(ctx, Shape{2, 5, 33}, 1);
  const auto visible = indices(ctx, Shape{2, 2}, {3, 0, 4, 1});
  const auto restore = indices(ctx, Shape{2, 5}, {1, 2, 3, 0, 4, 2, 1, 3, 4, 0});
  const auto y = gather_forward(x, visible);
  REQUIRE(y.shape() == Shape{2, 2, 33});
  const auto fill = small_integers<T>(ctx, Shape{33}, 2);
  const auto z = scatter_forward(y, fill, restore);
  REQUIRE(z.shape() == x.shape());
  Index wrong = 0;
  for (Index n = 0; n < 2; ++n)
    for (Index l = 0; l < 5; ++l) {
      const bool seen = n == 0 ? (l == 3 || l == 0) : (l == 4 || l == 1);
      for (Index c = 0; c < 33; ++c)
        wrong += static_cast<float>(z.data()[(n * 5 + l) * 33 + c]) !=
                 static_cast<float>(seen ? x.data()[(n * 5 + l) * 33 + c] : fill.data()[c]);
    }
  CHECK(wrong == 0);
}

TEST_CASE("gradients of gather, with repeated indices, and of scatter") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<double>(ctx, Shape{2, 5, 7}, 3), up = random<double>(ctx, Shape{2, 6, 7}, 4);
  const auto index = indices(ctx, Shape{2, 6}, {3, 0, 3, 3, 1, 0, 4, 4, 2, 0, 1, 4});
  check_gradient("gather", x, gather_backward(up, index, 5), [&] { return dot(up, gather_forward(x, index)); });

  const auto visible = indices(ctx, Shape{2, 2}, {3, 0, 4, 1});
  const auto restore = indices(ctx, Shape{2, 5}, {1, 2, 3, 0, 4, 2, 1, 3, 4, 0});
  const auto v = random<double>(ctx, Shape{2, 2, 7}, 5), fill = random<double>(ctx, Shape{7}, 6),
             dz = random<double>(ctx, Shape{2, 5, 7}, 7);
  auto dfill = random<double>(ctx, Shape{7}, 8);
  const auto before = dfill.clone();
  const auto f = [&] { return dot(dz, scatter_forward(v, fill, restore)); };
  check_gradient("scatter visible", v, scatter_backward(dz, visible, restore, &dfill), f);
  check_gradient("scatter fill", fill, sub_forward(dfill, before), f);
}

TEST_CASE("embedding looks rows up and adds their gradients in a fixed order") {
  Context<Cpu> ctx({.threads = 2});
  const auto table = small_integers<float>(ctx, Shape{6, 33}, 9);
  const auto index = spread(ctx, Shape{2, 7}, 6);
  const auto y = embedding_forward(table, index);
  REQUIRE(y.shape() == Shape{2, 7, 33});
  Index wrong = 0;
  for (Index i = 0; i < y.size(); ++i) wrong += y.data()[i] != table.data()[index.data()[i / 33] * 33 + i % 33];
  CHECK(wrong == 0);
  const auto dy = small_integers<float>(ctx, y.shape(), 10);
  auto dtable = small_integers<float>(ctx, table.shape(), 11);
  auto expected = dtable.clone();
  for (Index i = 0; i < y.size(); ++i) expected.data()[index.data()[i / 33] * 33 + i % 33] += dy.data()[i];
  embedding_backward(dy, index, dtable);
  CHECK(same_bits(dtable, expected));
  const auto t64 = random<double>(ctx, Shape{6, 5}, 12), up = random<double>(ctx, Shape{2, 7, 5}, 13);
  auto dt64 = D::zeros(ctx, t64.shape());
  embedding_backward(up, index, dt64);
  check_gradient("embedding", t64, dt64, [&] { return dot(up, embedding_forward(t64, index)); });
}

TEST_CASE("concat, split, slice and chunk along every axis") {
  Context<Cpu> ctx({.threads = 2});
  for (int axis = -3; axis < 3; ++axis) {
    const int a = axis < 0 ? axis + 3 : axis;
    const Shape base{2, 3, 5};
    const std::vector<X> parts = {small_integers<float>(ctx, base.with(a, 1), 14),
                                  small_integers<float>(ctx, base.with(a, 33), 15),
                                  small_integers<float>(ctx, base.with(a, 4), 16)};
    const X y = concat_forward(parts, axis);
    REQUIRE(y.shape() == base.with(a, 38));
    const Index inner = base.product(a + 1, 3);
    Index wrong = 0;
    for (Index i = 0; i < y.size(); ++i) {
      const Index outer = i / (38 * inner), place = i / inner % 38, rest = i % inner;
      const std::size_t which = place < 1 ? 0 : place < 34 ? 1 : 2;
      const Index first = which == 0 ? 0 : which == 1 ? 1 : 34;
      wrong += y.data()[i] != parts[which].data()[(outer * parts[which].dim(a) + place - first) * inner + rest];
    }
    CHECK_MESSAGE(wrong == 0, "axis ", axis);
    const std::vector<Index> extents = {1, 33, 4};
    const auto back = concat_backward(y, extents, axis);
    for (std::size_t i = 0; i < 3; ++i) CHECK(same_bits(back[i], parts[i]));
    CHECK(same_bits(split_backward(back, axis), y));

    const auto x = random<double>(ctx, base.with(a, 6), 17), up = random<double>(ctx, base.with(a, 3), 18);
    for (const Index begin : {0, 2, 3})
      check_gradient("slice", x, slice_backward(up, x.shape(), axis, begin),
                     [&] { return dot(up, slice_forward(x, axis, begin, begin + 3)); });
  }
  const auto x = small_integers<float>(ctx, Shape{2, 3, 12}, 19);
  const auto parts = chunk_forward<3>(x);
  Index wrong = 0;
  for (Index i = 0; i < x.size(); ++i)
    wrong += x.data()[i] != parts[static_cast<std::size_t>(i % 12 / 4)].data()[i / 12 * 4 + i % 4];
  CHECK(wrong == 0);
  CHECK(same_bits(chunk_backward(parts), x));
}

TEST_CASE("the class token in front of every sample") {
  Context<Cpu> ctx({.threads = 2});
  const auto token = random<double>(ctx, Shape{7}, 20), x = random<double>(ctx, Shape{3, 4, 7}, 21),
             up = random<double>(ctx, Shape{3, 5, 7}, 22);
  const auto y = prepend_token_forward(token, x);
  REQUIRE(y.shape() == Shape{3, 5, 7});
  CHECK(same_bits(drop_token_forward(y), x));
  for (Index n = 0; n < 3; ++n) CHECK(same_bits(slice_forward(y.slice(n, n + 1), 1, 0, 1).reshape(Shape{7}), token));
  auto dtoken = random<double>(ctx, Shape{7}, 23);
  const auto before = dtoken.clone();
  const auto f = [&] { return dot(up, prepend_token_forward(token, x)); };
  check_gradient("prepend x", x, prepend_token_backward(up, &dtoken), f);
  check_gradient("prepend token", token, sub_forward(dtoken, before), f);
  check_gradient("drop", up, drop_token_backward(x), [&] { return dot(x, drop_token_forward(up)); });
}

TEST_CASE("token ops have the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("tokens", [](Context<Cpu>& ctx) {
    const auto x = random<float>(ctx, Shape{2, 300, 65}, 24), dy = random<float>(ctx, Shape{2, 400, 65}, 25);
    const auto index = spread(ctx, Shape{2, 400}, 300);
    auto dtable = X::zeros(ctx, Shape{300, 65});
    embedding_backward(dy, index, dtable);
    return std::vector<X>{gather_forward(x, index), gather_backward(dy, index, 300), dtable,
                          concat_forward(std::vector<X>{x, dy}, 1)};
  });
}

TEST_CASE("token ops say what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = random<float>(ctx, Shape{2, 5, 7}, 26), fill = random<float>(ctx, Shape{7}, 27);
  const auto six = indices(ctx, Shape{2, 2}, {0, 1, 5, 0});
  check_error("op.index", {"gather", "(2, 2)", "[0, 5)", "[0, 6)"}, [&] { gather_forward(x, six); });
  check_error("op.index", {"gather_backward", "[0, 5)", "[0, 6)"},
              [&] { gather_backward(random<float>(ctx, Shape{2, 2, 7}, 1), six, 5); });
  check_error("op.index", {"embedding", "[0, 5)", "[0, 6)"},
              [&] { embedding_forward(x.slice(0, 1).reshape(Shape{5, 7}), six); });
  using I = Tensor<std::int32_t, Cpu>;
  const std::vector<std::int32_t> bad = {0, 1, 7, -1}, good = {0, 1, 6, 2};
  check_error("indices.range", {"[0, 7)", "got 7 at place 2 of (2, 2)"},
              [&] { Indices<Cpu>::from_host(ctx, Shape{2, 2}, bad, 7); });
  check_error("indices.range", {"[0, 8)", "got -1 at place 3"},
              [&] { Indices<Cpu>::from_host(ctx, Shape{2, 2}, bad, 8); });
  check_error("indices.range", {"[0, 7)", "got 2 others among (2, 2)"},
              [&] { Indices<Cpu>::checked(I::from_host(ctx, Shape{2, 2}, bad), 7); });
  CHECK(Indices<Cpu>::checked(I::from_host(ctx, Shape{2, 2}, good), 7).bound() == 7);
  check_error("gather.batch", {"(2, 5, 7)", "(1, 2)"}, [&] { gather_forward(x, indices(ctx, Shape{1, 2}, {0, 1})); });
  check_error("op.shape", {"fill token", "(5)", "(7)"},
              [&] { scatter_forward(x, random<float>(ctx, Shape{5}, 1), spread(ctx, Shape{2, 6}, 6)); });
  check_error("scatter.count", {"(2, 5, 7)", "(2, 3)"}, [&] { scatter_forward(x, fill, spread(ctx, Shape{2, 3}, 3)); });
  check_error("concat.shape", {"axis 1", "(2, 5, 6)", "(2, 5, 7)"},
              [&] { concat_forward(std::vector<X>{x, random<float>(ctx, Shape{2, 5, 6}, 2)}, 1); });
  check_error("op.axis", {"got 3", "(2, 5, 7)"}, [&] { slice_forward(x, 3, 0, 1); });
  check_error("slice.range", {"[4, 6)", "(2, 5, 7)"}, [&] { slice_forward(x, 1, 4, 6); });
  check_error("chunk.extent", {"(2, 5, 7)", "2 parts"}, [&] { chunk_forward<2>(x); });
  check_error("split.extents", {"add up to 5", "got 6", "(2, 5, 7)"},
              [&] { split_forward(x, std::vector<Index>{2, 4}, 1); });
  check_error("op.shape", {"token", "(5)", "(7)"}, [&] { prepend_token_forward(random<float>(ctx, Shape{5}, 3), x); });
}
