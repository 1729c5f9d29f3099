#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/patch.hpp"
#include "tests/support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

struct Case {
  Shape volume;
  PatchExtents patch;
};
const Case cases[] = {{{2, 4, 6, 8, 1}, {2, 3, 4}},   {{2, 4, 6, 8, 3}, {2, 3, 4}},  {{1, 32, 16, 48, 1}, {16, 8, 16}},
                      {{3, 5, 7, 33, 2}, {5, 1, 11}}, {{1, 31, 2, 3, 2}, {1, 1, 1}}, {{2, 3, 4, 5, 7}, {3, 4, 5}}};

}  // namespace

TEST_CASE_TEMPLATE("patchify puts every voxel where the order of the page says", T, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  for (const Case& c : cases) {
    const auto x = small_integers<T>(ctx, c.volume, 1);
    const auto t = patchify_forward(x, c.patch);
    const Index grid[3] = {c.volume[1] / c.patch[0], c.volume[2] / c.patch[1], c.volume[3] / c.patch[2]};
    REQUIRE(t.shape() ==
            Shape{c.volume[0], grid[0] * grid[1] * grid[2], c.patch[0] * c.patch[1] * c.patch[2] * c.volume[4]});
    Index i = 0, wrong = 0;  // i walks through the volume in memory order
    for (Index n = 0; n < c.volume[0]; ++n)
      for (Index a = 0; a < c.volume[1]; ++a)
        for (Index b = 0; b < c.volume[2]; ++b)
          for (Index d = 0; d < c.volume[3]; ++d)
            for (Index k = 0; k < c.volume[4]; ++k, ++i) {
              const Index token = (a / c.patch[0] * grid[1] + b / c.patch[1]) * grid[2] + d / c.patch[2];
              const Index inside =
                  ((a % c.patch[0] * c.patch[1] + b % c.patch[1]) * c.patch[2] + d % c.patch[2]) * c.volume[4] + k;
              wrong += static_cast<float>(t.data()[(n * t.dim(1) + token) * t.dim(2) + inside]) !=
                       static_cast<float>(x.data()[i]);
            }
    CHECK_MESSAGE(wrong == 0, c.volume.str());
    CHECK(same_bits(unpatchify_forward(t, c.volume, c.patch), x));
  }
}

TEST_CASE("gradients of patchify and unpatchify") {
  Context<Cpu> ctx({.threads = 2});
  const Shape volume{2, 4, 6, 8, 3};
  const PatchExtents patch{2, 3, 4};
  const auto x = random<double>(ctx, volume, 2), up = random<double>(ctx, token_shape(volume, patch), 3);
  check_gradient("patchify", x, patchify_backward(up, volume, patch),
                 [&] { return dot(up, patchify_forward(x, patch)); });
  check_gradient("unpatchify", up, unpatchify_backward(x, patch),
                 [&] { return dot(x, unpatchify_forward(up, volume, patch)); });
}

TEST_CASE("patchify has the same bits for 1, 2 and 3 threads") {
  check_same_for_threads("patchify", [](Context<Cpu>& ctx) {
    const auto x = random<float>(ctx, Shape{2, 32, 48, 32, 1}, 4);
    return std::vector<Tensor<float, Cpu>>{patchify_forward(x, {16, 16, 16}), patchify_forward(x, {4, 2, 8})};
  });
}

TEST_CASE("patchify says which axis does not divide") {
  Context<Cpu> ctx({.threads = 1});
  const auto x = random<float>(ctx, Shape{1, 4, 6, 8, 1}, 5);
  check_error("patch.extent", {"axis 1", "(1, 4, 6, 8, 1)", "(2, 4, 4)"}, [&] { patchify_forward(x, {2, 4, 4}); });
  check_error("patch.extent", {"axis 2"}, [&] { patchify_forward(x, {2, 3, 0}); });
  check_error("op.rank", {"(N, X, Y, Z, C)"}, [&] { patchify_forward(x.reshape(Shape{4, 6, 8}), {2, 3, 4}); });
  check_error("op.shape", {"unpatchify", "(1, 4, 48)", "(1, 8, 24)"},
              [&] { unpatchify_forward(x.reshape(Shape{1, 4, 48}), x.shape(), {2, 3, 4}); });
}
