// Group norm against the definition in double; gradients against finite differences; large groups; in place.
#include <doctest/doctest.h>

#include <cmath>

#include "braing3n/backend/cpu/providers/providers.hpp"
#include "braing3n/ops/group_norm.hpp"
#include "support/check.hpp"

using namespace braing3n;
using namespace braing3n::test;

namespace {

template <class T>
Tensor<double, Cpu> reference(const Tensor<T, Cpu>& x, const Tensor<T, Cpu>& w, const Tensor<T, Cpu>& b,
                              const GroupNormOptions& o) {
  const Index n = x.dim(0), channels = x.dim(-1), voxels = x.size() / (n * channels), width = channels / o.groups;
  Tensor<double, Cpu> y(x.context(), x.shape());
  for (Index s = 0; s < n; ++s)
    for (Index g = 0; g < o.groups; ++g) {
      const auto each = [&](auto&& f) {
        for (Index v = 0; v < voxels; ++v)
          for (Index c = g * width; c < (g + 1) * width; ++c) f((s * voxels + v) * channels + c, c);
      };
      double mean = 0, variance = 0;
      const double count = static_cast<double>(voxels * width);
      each([&](Index i, Index) { mean += static_cast<double>(x.data()[i]) / count; });
      each([&](Index i, Index) { variance += std::pow(static_cast<double>(x.data()[i]) - mean, 2) / count; });
      each([&](Index i, Index c) {
        const double u =
            (static_cast<double>(x.data()[i]) - mean) / std::sqrt(variance + o.eps) * static_cast<double>(w.data()[c]) +
            static_cast<double>(b.data()[c]);
        y.data()[i] = o.silu ? u / (1 + std::exp(-u)) : u;
      });
    }
  return y;
}

struct Case {
  Shape shape;
  Index groups;
};
const Case cases[] = {{{2, 3, 4, 5, 6}, 3},   {{2, 2, 3, 2, 32}, 32}, {{1, 7, 5, 3, 33}, 1},
                      {{2, 4, 3, 5, 31}, 31}, {{2, 45, 24}, 4},       {{1, 3, 3, 3, 700}, 7}};

}  // namespace

TEST_CASE_TEMPLATE("group norm follows the definition", T, double, float, bfloat16) {
  Context<Cpu> ctx({.threads = 2});
  for (const Case& c : cases)
    for (bool silu : {false, true}) {
      const auto x = random<T>(ctx, c.shape, 1, 2), w = random<T>(ctx, {c.shape[-1]}, 2),
                 b = random<T>(ctx, {c.shape[-1]}, 3);
      CAPTURE(c.shape.str());
      CAPTURE(silu);
      for (double eps : {1e-6, 0.5}) {
        const GroupNormOptions o{c.groups, eps, silu};
        const double bound = tolerance<T>(1, 8) + tolerance<accum_t<T>>(1, 8);
        CHECK(max_difference(group_norm_forward(x, w, b, o).y, reference(x, w, b, o)) <= bound);
      }
    }
}

TEST_CASE("group norm over several chunks, far from zero") {
  Context<Cpu> ctx({.threads = 2});
  // 120 * 41 * 12 = 59040 voxels of 4 channels: several chunks and a rest; mean 300 times the deviation.
  auto x = random<float>(ctx, {2, 120, 41, 12, 4}, 1);
  for (Index i = 0; i < x.size(); ++i) x.data()[i] += 300.0f;
  const auto w = random<float>(ctx, {4}, 2), b = random<float>(ctx, {4}, 3);
  const GroupNormOptions o{2, 1e-6, false};
  const auto r = group_norm_forward(x, w, b, o);
  CHECK(max_difference(r.y, reference(x, w, b, o)) <= tolerance<float>(1, 300));
}

TEST_CASE("a constant group is normalised to its bias") {
  Context<Cpu> ctx({.threads = 1});
  Tensor<float, Cpu> x(ctx, {1, 500, 4});
  for (Index i = 0; i < x.size(); ++i)
    x.data()[i] = 0.1f;  // the sum of squares minus the squared mean rounds to about 1e-17
  const auto w = random<float>(ctx, {4}, 2), b = random<float>(ctx, {4}, 3);
  const auto z = group_norm_forward(x, w, b, {2, 1e-6, false}).y;
  for (Index i = 0; i < x.size(); ++i) CHECK(std::abs(z.data()[i] - b.data()[i % 4]) <= tolerance<float>(1, 100));
}

TEST_CASE("group norm gradients against finite differences") {
  Context<Cpu> ctx({.threads = 2});
  for (const Case& c : {cases[0], cases[1], Case{{2, 3, 5, 4, 33}, 3}, Case{{2, 45, 24}, 4}})
    for (bool silu : {false, true}) {
      const Index channels = c.shape[-1];
      const auto x = random<double>(ctx, c.shape, 1), w = random<double>(ctx, {channels}, 2),
                 b = random<double>(ctx, {channels}, 3);
      const auto dy = random<double>(ctx, c.shape, 4);
      const GroupNormOptions o{c.groups, 0.02, silu};
      const auto loss = [&] { return dot(dy, group_norm_forward(x, w, b, o).y); };
      auto dw = random<double>(ctx, {channels}, 5), db = random<double>(ctx, {channels}, 6);
      const auto dw_before = dw.clone(), db_before = db.clone();
      const auto dx = group_norm_backward(x, w, b, group_norm_forward(x, w, b, o), dy, o, dw, db);
      for (Index i = 0; i < channels; ++i) dw.data()[i] -= dw_before.data()[i], db.data()[i] -= db_before.data()[i];
      check_gradient("dx", x, dx, loss, 1e-5, 1e-6);
      check_gradient("dweight", w, dw, loss, 1e-5, 1e-6);
      check_gradient("dbias", b, db, loss, 1e-5, 1e-6);
    }
}

TEST_CASE("group norm works in place only on a tensor that nobody else holds") {
  Context<Cpu> ctx({.threads = 2});
  const auto x = random<float>(ctx, {2, 9, 8, 7, 32}, 1), w = random<float>(ctx, {32}, 2),
             b = random<float>(ctx, {32}, 3);
  const GroupNormOptions o{8, 1e-6, true};
  const auto before = x.clone();
  const auto kept = group_norm_forward(x, w, b, o);
  CHECK(same_bits(x, before));
  auto moved = x.clone();
  const float* memory = moved.data();
  const auto in_place = group_norm_forward(std::move(moved), w, b, o);
  CHECK(in_place.y.data() == memory);
  CHECK(same_bits(in_place.y, kept.y));
  auto shared = x.clone();
  const auto holder = shared;
  const auto copied = group_norm_forward(std::move(shared), w, b, o);
  CHECK(!copied.y.shares_storage_with(holder));
  CHECK(same_bits(holder, before));
}

TEST_CASE("group norm gives the same bits on 1, 2 and 3 threads") {
  std::vector<std::vector<float>> y, dx, dw;
  for (int threads : {1, 2, 3}) {
    Context<Cpu> ctx({.threads = threads});
    const auto x = random<float>(ctx, {2, 40, 30, 5, 24}, 1), w = random<float>(ctx, {24}, 2),
               b = random<float>(ctx, {24}, 3);
    const auto dy = random<float>(ctx, x.shape(), 4);
    auto dweight = Tensor<float, Cpu>::zeros(ctx, {24}), dbias = Tensor<float, Cpu>::zeros(ctx, {24});
    const GroupNormOptions o{8, 1e-6, true};
    const auto r = group_norm_forward(x, w, b, o);
    y.push_back(r.y.to_host());
    dx.push_back(group_norm_backward(x, w, b, r, dy, o, dweight, dbias).to_host());
    dw.push_back(dweight.to_host());
  }
  for (std::size_t i : {1u, 2u}) {
    CHECK(y[i] == y[0]);
    CHECK(dx[i] == dx[0]);
    CHECK(dw[i] == dw[0]);
  }
}

TEST_CASE("group norm refuses what does not fit") {
  Context<Cpu> ctx({.threads = 1});
  const Tensor<float, Cpu> x(ctx, {2, 3, 4, 5, 6}), w(ctx, {6}), short_w(ctx, {5}), flat(ctx, {2, 6});
  const auto id = [](auto&& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.id();
    }
    return "none";
  };
  CHECK(id([&] { group_norm_forward(x, w, w, {4}); }) == "group_norm.groups");
  CHECK(id([&] { group_norm_forward(x, short_w, w, {3}); }) == "op.shape");
  CHECK(id([&] { group_norm_forward(flat, w, w, {3}); }) == "op.rank");
  CHECK(id([&] { group_norm_forward(x, w, w, {3, -1.0}); }) == "group_norm.eps");
}
