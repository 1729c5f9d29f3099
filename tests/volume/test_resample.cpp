// Resampling against sums written out here; copying, cropping, padding; label maps; thread counts.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "braing3n/base/philox.hpp"
#include "braing3n/volume/model_grid.hpp"
#include "braing3n/volume/resample.hpp"
#include "braing3n/volume/statistics.hpp"

using namespace braing3n;

namespace {

Volume random_volume(const Extent3& shape, const Affine& affine, std::uint32_t id) {
  Volume v(Grid{shape, affine});
  const Philox rng(3, Purpose::test, 0, id);
  for (Index i = 0; i < v.size(); ++i) v.data()[i] = rng.uniform(static_cast<std::uint64_t>(i)) * 100 - 20;
  return v;
}

/// Mean of the source over a box around p (in voxel indices), outside 0: overlap by overlap.
double box_mean(const Volume& v, const Vec3& p, const Vec3& size) {
  const Extent3 n = v.shape();
  double sum = 0;
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j)
      for (Index k = 0; k < n[2]; ++k) {
        const double at[3] = {static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
        double share = 1;
        for (std::size_t a = 0; a < 3; ++a)
          share *=
              std::max(0.0, std::min(p[a] + size[a] / 2, at[a] + 0.5) - std::max(p[a] - size[a] / 2, at[a] - 0.5)) /
              size[a];
        sum += share * static_cast<double>(v.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j),
                                                    static_cast<std::size_t>(k)));
      }
  return sum;
}

/// Trilinear value at p, outside the outer edges 0, between outer centre and edge constant.
double linear_value(const Volume& v, const Vec3& p) {
  const Extent3 n = v.shape();
  for (std::size_t a = 0; a < 3; ++a)
    if (p[a] < -0.5 || p[a] > static_cast<double>(n[a]) - 0.5) return 0;
  double sum = 0;
  for (int corner = 0; corner < 8; ++corner) {
    double w = 1;
    std::size_t index[3];
    for (std::size_t a = 0; a < 3; ++a) {
      const double q = std::min(std::max(p[a], 0.0), static_cast<double>(n[a] - 1));
      const double f = q - std::floor(q);
      const bool up = (corner >> a & 1) != 0;
      w *= up ? f : 1 - f;
      index[a] = std::min(static_cast<std::size_t>(n[a] - 1), static_cast<std::size_t>(std::floor(q)) + (up ? 1 : 0));
    }
    sum += w * static_cast<double>(v.values(index[0], index[1], index[2]));
  }
  return sum;
}

float at(const Volume& v, Index i, Index j, Index k) {
  return v.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j), static_cast<std::size_t>(k));
}

}  // namespace

TEST_CASE("separable resampling equals sums written out, growing and shrinking, with flips") {
  Context<Cpu> ctx({.threads = 2});
  const Volume v = random_volume({7, 11, 9}, scaling({1.1, 0.9, 2.0}), 1);
  // Result axes: y reversed, z, x; ratios 0.6 (grow), 2.3 (shrink), 1.7 (shrink).
  Grid grid{{12, 5, 6}, Affine{}};
  grid.affine = Affine{{{{0, 0, 1.7 * 1.1, -0.4}, {-0.6 * 0.9, 0, 0, 8.1}, {0, 2.3 * 2.0, 0, -1.5}}}};
  const Volume r = resample(ctx, v, grid);
  const Affine map = inverse(v.affine) * grid.affine;
  double worst = 0, largest = 0;
  for (Index i = 0; i < 12; ++i)
    for (Index j = 0; j < 5; ++j)
      for (Index k = 0; k < 6; ++k) {
        const Vec3 p = map * Vec3{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
        // Along the source's y: linear; along x and z: a box. Mixed by linearity: box means of two rows in y.
        const Extent3 n = v.shape();
        double expected = 0;
        if (p[1] >= -0.5 && p[1] <= static_cast<double>(n[1]) - 0.5) {
          const double q = std::min(std::max(p[1], 0.0), static_cast<double>(n[1] - 1)), f = q - std::floor(q);
          for (int up = 0; up < 2; ++up) {
            const double row = std::min(static_cast<double>(n[1] - 1), std::floor(q) + up);
            expected += (up == 1 ? f : 1 - f) * box_mean(v, {p[0], row, p[2]}, {1.7, 1.0, 2.3});
          }
        }
        worst = std::max(worst, std::abs(expected - static_cast<double>(at(r, i, j, k))));
        largest = std::max(largest, std::abs(expected));
      }
  CHECK(largest > 10);
  CHECK(worst < 2e-5);
}

TEST_CASE("rotated grids: trilinear values written out") {
  Context<Cpu> ctx({.threads = 2});
  const Volume v = random_volume({8, 9, 10}, Affine{}, 2);
  const double c = std::cos(0.4), s = std::sin(0.4);
  const Grid grid{{13, 12, 11},
                  Affine{{{{0.8 * c, -0.8 * s, 0.1, 1}, {0.8 * s, 0.8 * c, 0, -2}, {0, 0.05, 0.9, 0.25}}}}};
  const Volume r = resample(ctx, v, grid);
  double worst = 0;
  Index inside = 0;
  for (Index i = 0; i < 13; ++i)
    for (Index j = 0; j < 12; ++j)
      for (Index k = 0; k < 11; ++k) {
        const double expected =
            linear_value(v, grid.affine * Vec3{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)});
        inside += expected != 0 ? 1 : 0;
        worst = std::max(worst, std::abs(expected - static_cast<double>(at(r, i, j, k))));
      }
  CHECK(inside > 300);
  CHECK(worst < 2e-5);
  // A rotated grid with coarse voxels averages: a checkerboard becomes grey instead of aliasing.
  Volume board(Grid{{40, 40, 40}, Affine{}});
  for (Index i = 0; i < 40; ++i)
    for (Index j = 0; j < 40; ++j)
      for (Index k = 0; k < 40; ++k)
        board.values(static_cast<std::size_t>(i), static_cast<std::size_t>(j), static_cast<std::size_t>(k)) =
            (i + j + k) % 2 == 0 ? 100.0f : 0.0f;
  Grid coarse{{6, 6, 6}, Affine{{{{4 * c, -4 * s, 0, 12}, {4 * s, 4 * c, 0, 4}, {0, 0, 4, 10}}}}};
  const Volume grey = resample(ctx, board, coarse);
  for (Index i = 2; i < 4; ++i)
    for (Index j = 2; j < 4; ++j) CHECK(std::abs(at(grey, i, j, 3) - 50) < 8);
}

TEST_CASE("block means for whole ratios, copies for equal grids") {
  Context<Cpu> ctx({.threads = 2});
  const Volume v = random_volume({8, 6, 10}, scaling({1, 1, 1}), 4);
  Grid half{{4, 3, 5}, Affine{{{{2, 0, 0, 0.5}, {0, 2, 0, 0.5}, {0, 0, 2, 0.5}}}}};
  const Volume r = resample(ctx, v, half);
  for (Index i = 0; i < 4; ++i)
    for (Index j = 0; j < 3; ++j)
      for (Index k = 0; k < 5; ++k) {
        double mean = 0;
        for (Index d = 0; d < 8; ++d)
          mean += static_cast<double>(at(v, 2 * i + (d & 1), 2 * j + (d >> 1 & 1), 2 * k + (d >> 2))) / 8;
        CHECK(std::abs(mean - static_cast<double>(at(r, i, j, k))) < 1e-5);
      }
  // Shifts by whole voxels and float32 rounding of a header do not interpolate.
  Grid shifted = v.grid();
  shifted.affine(0, 3) += 3;
  shifted.affine(1, 1) = 1.0 + 5e-8;
  const Volume copy = resample(ctx, v, shifted);
  for (Index i = 0; i < 8; ++i) CHECK(at(copy, i, 2, 3) == (i < 5 ? at(v, i + 3, 2, 3) : 0.0f));
}

TEST_CASE("nearest keeps label values, crop and pad move whole voxels") {
  Context<Cpu> ctx({.threads = 2});
  Volume labels(Grid{{6, 6, 6}, Affine{}});
  for (Index i = 0; i < labels.size(); ++i) labels.data()[i] = static_cast<float>(i % 3 == 0 ? 7 : 2);
  Grid fine{{11, 11, 11}, scaling({0.53, 0.53, 0.53})};
  const Volume r = resample(ctx, labels, fine, Interpolation::nearest);
  for (Index i = 0; i < r.size(); ++i) CHECK((r.data()[i] == 7.0f || r.data()[i] == 2.0f));
  CHECK(at(r, 10, 0, 0) == at(labels, 5, 0, 0));
  CHECK(at(r, 0, 8, 0) == at(labels, 0, 4, 0));

  const Volume c = crop_or_pad(ctx, labels, {-2, 1, 4}, {9, 3, 4});
  CHECK(c.affine(0, 3) == -2);
  CHECK(c.affine(2, 3) == 4);
  for (Index i = 0; i < 9; ++i)
    for (Index j = 0; j < 3; ++j)
      for (Index k = 0; k < 4; ++k)
        CHECK(at(c, i, j, k) == (i >= 2 && i < 8 && k < 2 ? at(labels, i - 2, j + 1, k + 4) : 0.0f));
}

TEST_CASE("gather in every order and flip, sizes around the tile") {
  Context<Cpu> ctx({.threads = 3});
  for (const Orientation& o : all_orientations()) {
    const Volume v = random_volume({15, 33, 17}, Affine{}, 9);
    const Volume r = reorient(ctx, v, o);
    const Extent3 n = r.shape();
    bool same = true;
    for (Index i = 0; i < n[0]; ++i)
      for (Index j = 0; j < n[1]; ++j)
        for (Index k = 0; k < n[2]; ++k) {
          const Vec3 w = r.affine * Vec3{static_cast<double>(i), static_cast<double>(j), static_cast<double>(k)};
          same = same && at(r, i, j, k) == at(v, std::lround(w[0]), std::lround(w[1]), std::lround(w[2]));
        }
    CHECK(same);
    CHECK(to_string(orientation_of(r.affine)) == to_string(o));
  }
}

TEST_CASE("statistics and moments against sums written out; thread counts do not matter") {
  Context<Cpu> one({.threads = 1}), two({.threads = 2}), three({.threads = 3});
  Volume v = random_volume({61, 47, 53}, Affine{}, 5);
  for (Index i = 0; i < v.size(); i += 3) v.data()[i] = 0;
  v.data()[100] = std::numeric_limits<float>::quiet_NaN();
  v.data()[50000] = std::numeric_limits<float>::infinity();
  const VolumeStatistics s = statistics(two, v.data(), v.size());
  Index nonzero = 0, negative = 0;
  float low = 1e30f, high = -1e30f;
  for (Index i = 0; i < v.size(); ++i) {
    if (!std::isfinite(v.data()[i])) continue;
    nonzero += v.data()[i] != 0;
    negative += v.data()[i] < 0;
    low = std::min(low, v.data()[i]), high = std::max(high, v.data()[i]);
  }
  CHECK(s.nonzero == nonzero);
  CHECK(s.negative == negative);
  CHECK(s.non_finite == 2);
  CHECK(s.min == low);
  CHECK(s.max == high);
  CHECK_FALSE(s.whole_numbers);
  const MeanAndSd finite = finite_mean_and_sd(two, v.values);
  CHECK(finite.count == nonzero);
  CHECK(std::isfinite(finite.mean));
  const xt::xtensor<float, 3> three_of_five{
      {{1, std::numeric_limits<float>::quiet_NaN(), 3, 0, -std::numeric_limits<float>::infinity()}}};
  CHECK(finite_mean_and_sd(two, three_of_five).count == 2);
  CHECK(finite_mean_and_sd(two, three_of_five).mean == 2);
  CHECK(finite_mean_and_sd(two, three_of_five).sd == 1);
  const float whole[5] = {0, -3, 8388608.0f, 3e9f, 12};
  CHECK(statistics(two, whole, 5).whole_numbers);
  const float halves[3] = {0, 8388607.5f, 1};
  CHECK_FALSE(statistics(two, halves, 3).whole_numbers);

  v.data()[100] = v.data()[50000] = 4;
  for (const bool only : {false, true}) {
    long double sum = 0, squares = 0;
    Index count = 0;
    for (Index i = 0; i < v.size(); ++i)
      if (!only || v.data()[i] != 0) sum += v.data()[i], ++count;
    const long double mean = sum / count;
    for (Index i = 0; i < v.size(); ++i)
      if (!only || v.data()[i] != 0) squares += (v.data()[i] - mean) * (v.data()[i] - mean);
    const MeanAndSd m = mean_and_sd(two, v.data(), v.size(), only);
    CHECK(m.count == count);
    CHECK(std::abs(m.mean - static_cast<double>(mean)) < 1e-10);
    CHECK(std::abs(m.sd - static_cast<double>(std::sqrt(squares / count))) < 1e-10);
    for (Context<Cpu>* ctx : {&one, &three}) {
      const MeanAndSd other = mean_and_sd(*ctx, v.data(), v.size(), only);
      CHECK(other.mean == m.mean);
      CHECK(other.sd == m.sd);
    }
  }
  Volume blob(Grid{{20, 30, 40}, Affine{}});
  std::fill(blob.data(), blob.data() + blob.size(), -5.0f);  // negatives weigh nothing
  blob.values(3, 7, 20) = 2;
  blob.values(5, 7, 24) = 6;
  const Vec3 centre = centre_of_mass(two, blob);
  CHECK(centre[0] == 4.5);
  CHECK(centre[1] == 7);
  CHECK(centre[2] == 23);

  Grid grid{{30, 31, 33}, scaling({1.9, 1.4, 1.6})};
  const double c = std::cos(0.2), si = std::sin(0.2);
  Grid turned{{30, 31, 33}, Affine{{{{1.9 * c, -1.9 * si, 0, 1}, {1.9 * si, 1.9 * c, 0, 0}, {0, 0, 1.6, 0}}}}};
  for (const Grid& g : {grid, turned}) {
    const Volume a = resample(one, v, g), b = resample(two, v, g), d = resample(three, v, g);
    CHECK(a.values == b.values);
    CHECK(a.values == d.values);
  }
}

TEST_CASE("affines and orientation codes: refusals") {
  CHECK_THROWS_WITH_AS(parse_orientation("LPX"), doctest::Contains("LPX"), Error);
  CHECK_THROWS_AS(parse_orientation("LRS"), Error);
  CHECK_THROWS_AS(parse_orientation("LP"), Error);
  CHECK_THROWS_AS(parse_orientation(""), Error);
  CHECK(all_orientations().size() == 48);
  Affine flat = scaling({1, 0, 1});
  CHECK(singular(flat));
  CHECK_THROWS_AS(inverse(flat), Error);
  CHECK_THROWS_AS(orientation_of(flat), Error);
  Affine nan;
  nan(0, 3) = std::numeric_limits<double>::quiet_NaN();
  CHECK(singular(nan));
  Context<Cpu> ctx({.threads = 1});
  const Volume v = random_volume({3, 3, 3}, Affine{}, 1);
  CHECK_THROWS_AS(resample(ctx, v, Grid{{0, 3, 3}, Affine{}}), Error);
  CHECK_THROWS_AS(resample(ctx, v, Grid{{2, 3, 3}, flat}), Error);
}

TEST_CASE("voxels outside the model's grid are counted on both ends of every axis") {
  Context<Cpu> ctx({.threads = 2});
  const Extent3 n{9, 10, 11};
  for (const char* code : {"LPS", "RAS", "SLA"})
    for (std::size_t axis = 0; axis < 3; ++axis)
      for (const double centre : {3.0, 4.0, 6.0}) {
        const Orientation o = parse_orientation(code);
        Affine affine;
        for (int r = 0; r < 3; ++r)
          for (int c = 0; c < 3; ++c)
            affine(r, c) = o.axis[static_cast<std::size_t>(c)] == r ? o.sign[static_cast<std::size_t>(c)] : 0;
        Volume v(Grid{n, affine});
        for (Index i = 0; i < v.size(); ++i) v.data()[i] = static_cast<float>(i % 3);
        PreprocessingContract contract;
        contract.orientation = code;
        contract.shape = {20, 20, 20};
        contract.shape[axis] = 3;
        Vec3 middle{4, 4.5, 5};
        middle[axis] = centre;
        const ModelGrid m = model_grid(v.grid(), contract, middle);
        Index outside = 0, at = 0;
        for (Index i = 0; i < n[0]; ++i)
          for (Index j = 0; j < n[1]; ++j)
            for (Index k = 0; k < n[2]; ++k, ++at) {
              const Index index = axis == 0 ? i : axis == 1 ? j : k;
              outside += v.data()[at] != 0 && std::abs(static_cast<double>(index) - centre) > 1;
            }
        CHECK(outside > 0);
        CHECK(nonzero_outside(ctx, v, m) == outside);
      }
}
