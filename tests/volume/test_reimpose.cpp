#include "tests/support/check.hpp"

#include "braing3n/volume/reimpose.hpp"

using namespace braing3n;

namespace {

constexpr Index X = 17, Y = 20, Z = 15;

/// A ball of grey and white with a shell at exactly the background's value between them, and a dent of the background on one side.
/// part: 0 outside, 1 shell of the brain, 2 the surface that crosses 0, 3 core.
int part(Index i, Index j, Index k) {
  const double r = std::sqrt(std::pow(static_cast<double>(i) - 8, 2) + std::pow(static_cast<double>(j) - 9.5, 2) +
                             std::pow(static_cast<double>(k) - 7, 2));
  return r > 6 ? 0 : r > 4.3 ? 1 : r > 3.5 ? 2 : 3;
}

template <class F>
Tensor<float, Cpu> volume(Context<Cpu>& ctx, F&& value) {
  Tensor<float, Cpu> v(ctx, {X, Y, Z});
  const Philox rng(3, Purpose::split, 1, 1);
  for (Index i = 0, at = 0; i < X; ++i)
    for (Index j = 0; j < Y; ++j)
      for (Index k = 0; k < Z; ++k, ++at)
        v.data()[at] = static_cast<float>(value(part(i, j, k), rng.normal(static_cast<std::uint64_t>(at))));
  return v;
}

PreprocessingContract contract() {
  PreprocessingContract c;
  c.shape = {X, Y, Z};
  return c;
}

/// As a decoder leaves it: sd too small, background a little off its value.
double decoded(int p, double noise, double background = 0) {
  return p == 0 ? background + 0.02 * noise : background + (p == 1 ? -0.7 : p == 2 ? 0.0 : 0.8) + 0.01 * noise;
}

struct Stats {
  Index nonzero = 0, outside = 0;  // outside: not 0 where no brain is
  double mean = 0, sd = 0;
};
Stats look(const Tensor<float, Cpu>& v) {
  Stats s;
  double squares = 0;
  for (Index i = 0, at = 0; i < X; ++i)
    for (Index j = 0; j < Y; ++j)
      for (Index k = 0; k < Z; ++k, ++at) {
        const double x = static_cast<double>(v.data()[at]);
        s.outside += x != 0 && part(i, j, k) == 0;
        if (x == 0) continue;
        ++s.nonzero;
        s.mean += x;
        squares += x * x;
      }
  s.mean /= static_cast<double>(s.nonzero);
  s.sd = std::sqrt(squares / static_cast<double>(s.nonzero) - s.mean * s.mean);
  return s;
}

Index brain_voxels() {
  Index n = 0;
  for (Index i = 0; i < X; ++i)
    for (Index j = 0; j < Y; ++j)
      for (Index k = 0; k < Z; ++k) n += part(i, j, k) > 0;
  return n;
}

}  // namespace

TEST_CASE("a decoded volume gets background and z-scores back") {
  Context<Cpu> ctx({.threads = 2});
  Tensor<float, Cpu> v = volume(ctx, [](int p, double noise) { return decoded(p, noise); });
  const float shell = v.data()[(8 * Y + 9) * Z + 7 + 4];  // 4.03 from the middle: the surface at 0
  const Index inside = reimpose_contract(ctx, v, contract());
  const Stats s = look(v);
  CHECK(s.mean == doctest::Approx(0).epsilon(1).scale(1e-4));
  CHECK(s.sd == doctest::Approx(1).epsilon(1e-4));
  CHECK(s.nonzero == inside);
  // The edge may be one voxel off, the inside may not have a hole: the shell at 0 is still there.
  CHECK(static_cast<double>(inside) > 0.95 * static_cast<double>(brain_voxels()));
  CHECK(static_cast<double>(s.outside) < 0.6 * static_cast<double>(brain_voxels()));
  CHECK(std::abs(shell) < 0.05f);
  CHECK(v.data()[(8 * Y + 9) * Z + 7 + 4] != 0.0f);
  CHECK(v.data()[0] == 0.0f);
  CHECK(v.data()[X * Y * Z - 1] == 0.0f);
  // Again: nothing changes any more.
  Tensor<float, Cpu> again = v.clone();
  reimpose_contract(ctx, again, contract());
  for (Index i = 0; i < v.size(); ++i) CHECK(std::abs(again.data()[i] - v.data()[i]) < 1e-4f);
}

TEST_CASE("a volume that fulfils the contract stays as it is") {
  Context<Cpu> ctx({.threads = 2});
  Tensor<float, Cpu> v = volume(ctx, [](int p, double noise) {
    return p == 0 ? 0.0 : 100 + (p == 1 ? -40 : p == 2 ? 0 : 50) + 3 * noise;
  });
  Findings findings;
  (void)detail::normalise(ctx, v.data(), v.size(), contract(), findings);
  Tensor<float, Cpu> same = v.clone();
  CHECK(reimpose_contract(ctx, same, contract()) == brain_voxels());
  for (Index i = 0; i < v.size(); ++i) CHECK(std::abs(same.data()[i] - v.data()[i]) < 1e-5f);
}

TEST_CASE("other contracts") {
  Context<Cpu> ctx({.threads = 1});
  // A shifted background: its value is found on the faces of the grid, and stands below the brain by as many deviations as before.
  PreprocessingContract c = contract();
  c.background = Background::shifted;
  Tensor<float, Cpu> v = volume(ctx, [](int p, double noise) { return decoded(p, noise, -3); });
  const Index inside = reimpose_contract(ctx, v, c);
  CHECK(inside > 900);
  const float background = v.data()[0];
  CHECK(v.data()[v.size() - 1] == background);
  double mean = 0, squares = 0, n = 0;
  for (Index i = 0; i < v.size(); ++i)
    if (v.data()[i] != background) {
      n += 1;
      mean += static_cast<double>(v.data()[i]);
      squares += std::pow(static_cast<double>(v.data()[i]), 2);
    }
  CHECK(mean / n == doctest::Approx(0).epsilon(1).scale(1e-3));
  CHECK(std::sqrt(squares / n) == doctest::Approx(1).epsilon(1e-3));

  // z-scores over all voxels: mean 0 and sd 1 over all, one value in the background.
  c = contract();
  c.normalise = Normalisation::zscore_all;
  v = volume(ctx, [](int p, double noise) { return decoded(p, noise, -0.5); });
  reimpose_contract(ctx, v, c);
  mean = squares = 0;
  for (Index i = 0; i < v.size(); ++i)
    mean += static_cast<double>(v.data()[i]), squares += std::pow(static_cast<double>(v.data()[i]), 2);
  CHECK(mean / static_cast<double>(v.size()) == doctest::Approx(0).epsilon(1).scale(1e-3));
  CHECK(std::sqrt(squares / static_cast<double>(v.size())) == doctest::Approx(1).epsilon(1e-3));
  CHECK(v.data()[0] == v.data()[v.size() - 1]);

  // No normalisation: raw intensities of any size, negatives clipped where the contract says so.
  c.normalise = Normalisation::none;
  c.clip_negative = true;
  v = volume(ctx, [](int p, double noise) { return p == 0 ? 10 * noise : 800 + 100 * p + 5 * noise; });
  v.data()[(8 * Y + 9) * Z + 7] = -50;
  const float white = v.data()[(8 * Y + 9) * Z + 8];
  reimpose_contract(ctx, v, c);
  CHECK(v.data()[0] == 0.0f);
  CHECK(v.data()[(8 * Y + 9) * Z + 7] == 0.0f);
  CHECK(v.data()[(8 * Y + 9) * Z + 8] == white);
}

TEST_CASE("volumes without a brain, and refused ones") {
  Context<Cpu> ctx({.threads = 1});
  Tensor<float, Cpu> v = volume(ctx, [](int, double noise) { return 0.02 * noise; });
  CHECK(reimpose_contract(ctx, v, contract()) == 0);
  for (Index i = 0; i < v.size(); ++i) CHECK(v.data()[i] == 0.0f);
  v.data()[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(reimpose_contract(ctx, v, contract()), Error);
  Tensor<float, Cpu> flat(ctx, {4, 4});
  CHECK_THROWS_WITH_AS(reimpose_contract(ctx, flat, contract()), doctest::Contains("expected (X, Y, Z)"), Error);
  // The same for any number of threads.
  Context<Cpu> three({.threads = 3});
  Tensor<float, Cpu> a = volume(ctx, [](int p, double noise) { return decoded(p, noise); }),
                     b = volume(three, [](int p, double noise) { return decoded(p, noise); });
  reimpose_contract(ctx, a, contract());
  reimpose_contract(three, b, contract());
  for (Index i = 0; i < a.size(); ++i) CHECK(a.data()[i] == b.data()[i]);
}
