#include "tests/support/check.hpp"

#include <numeric>

#include "braing3n/eval/downsampling.hpp"
#include "braing3n/eval/patch_pca.hpp"
#include "braing3n/eval/region_regressor.hpp"
#include "braing3n/eval/tissue_volumes.hpp"

using namespace braing3n;

namespace {

Tensor<float, Cpu> volume_of_values(Context<Cpu>& ctx, const Extent3& n, auto&& value) {
  Tensor<float, Cpu> v(ctx, {1, n[0], n[1], n[2], 1});
  for (Index i = 0; i < n[0]; ++i)
    for (Index j = 0; j < n[1]; ++j)
      for (Index k = 0; k < n[2]; ++k) v.data()[(i * n[1] + j) * n[2] + k] = static_cast<float>(value(i, j, k));
  return v;
}

}  // namespace

TEST_CASE("principal components of patches lose exactly the variance of the components left out") {
  Context<Cpu> ctx({.threads = 2});
  constexpr Index people = 9;
  std::vector<Tensor<float, Cpu>> scans;
  for (Index s = 0; s < people; ++s)
    scans.push_back(test::random<float>(ctx, {1, 4, 6, 8, 1}, static_cast<std::uint32_t>(20 + s)));
  const auto fitted = [&](Index components) {
    PatchPca pca({2, 3, 2});
    for (const auto& v : scans) pca.add(v);
    pca.fit(ctx, components);
    return pca;
  };
  const PatchPca all = fitted(12), some = fitted(5);
  double left = 0, error = 0;
  for (std::size_t r = 5; r < 12; ++r) left += all.components().values[r];
  Index voxels = 0;
  for (const auto& v : scans) {
    const auto exact = all.reconstruct(v), less = some.reconstruct(v);
    for (Index i = 0; i < v.size(); ++i) {
      CHECK(std::abs(exact.data()[i] - v.data()[i]) < 1e-5f);
      error += std::pow(static_cast<double>(less.data()[i]) - static_cast<double>(v.data()[i]), 2);
    }
    voxels += v.size();
  }
  // Mean squared error per patch of 12 voxels.
  CHECK(error / static_cast<double>(voxels) * 12 == doctest::Approx(left).epsilon(1e-5));
  PatchPca none({2, 3, 2});
  test::check_error("pca.none", {}, [&] { none.fit(ctx, 3); });
  test::check_error("pca.fit", {}, [&] { none.reconstruct(scans[0]); });
}

TEST_CASE("down-sampling by points and by areas, by their definitions") {
  Context<Cpu> ctx({.threads = 1});
  // Five voxels to two and back: areas (2 a + 2 b + c) / 5; points between the 1st and 2nd: centre at 0.75.
  const float five[] = {1, 4, 2, 8, 5};
  const auto line = volume_of_values(ctx, {5, 1, 1}, [&](Index i, Index, Index) { return five[i]; });
  const double area[] = {(1 + 4 + 0.5 * 2) / 2.5, (0.5 * 2 + 8 + 5) / 2.5},
               point[] = {0.25 * 1 + 0.75 * 4, 0.75 * 8 + 0.25 * 5};
  for (const auto& [way, coarse] : {std::pair{Downsampling::area, area}, std::pair{Downsampling::point, point}}) {
    const auto back = through_coarse_grid(line, {5, 1, 1}, {2, 1, 1}, way);
    // Up again: fine centres lie at -0.3, 0.1, 0.5, 0.9, 1.3 of the coarse grid.
    for (const auto& [i, t] :
         {std::pair{0, 0.0}, std::pair{1, 0.1}, std::pair{2, 0.5}, std::pair{3, 0.9}, std::pair{4, 1.0}})
      CHECK(static_cast<double>(back.data()[i]) == doctest::Approx((1 - t) * coarse[0] + t * coarse[1]).epsilon(1e-6));
  }
  // A ramp comes back as it was but for the outermost half voxel of the coarse grid, in every direction.
  const Extent3 n = {12, 8, 16};
  const auto ramp = volume_of_values(ctx, n, [](Index i, Index j, Index k) {
    return 2.0 * static_cast<double>(i) - static_cast<double>(j) + 0.5 * static_cast<double>(k);
  });
  for (const auto way : {Downsampling::area, Downsampling::point}) {
    const auto back = through_coarse_grid(ramp, n, {6, 4, 8}, way);
    for (Index i = 1; i < 11; ++i)
      for (Index j = 1; j < 7; ++j)
        for (Index k = 1; k < 15; ++k) {
          const Index at = (i * 8 + j) * 16 + k;
          CHECK(std::abs(back.data()[at] - ramp.data()[at]) < 1e-4f);
        }
  }
  CHECK(coarse_grid({80, 96, 80}, 4800) == Extent3{16, 20, 16});
  CHECK(coarse_grid({8, 8, 8}, 64) == Extent3{4, 4, 4});
  CHECK(coarse_grid({8, 8, 8}, 100000) == Extent3{8, 8, 8});
}

TEST_CASE("the border jump sees patches and nothing else") {
  Context<Cpu> ctx({.threads = 1});
  const Extent3 n = {16, 24, 16}, patch = {8, 8, 8};
  const auto jump = [&](auto&& value) { return border_jump(volume_of_values(ctx, n, value), n, patch); };
  CHECK(jump([](Index i, Index j, Index k) { return static_cast<double>(i + 2 * j - k); }) ==
        doctest::Approx(1).epsilon(1e-6));
  CHECK(jump([](Index, Index, Index) { return 3.0; }) == 1.0);
  // A ramp of 1 per voxel along y with a step of 4 more at both of its borders: 5 there and 1 beside them.
  CHECK(jump([](Index, Index j, Index) { return static_cast<double>(j + 4 * (j / 8)); }) ==
        doctest::Approx(5).epsilon(1e-6));
  // What is far from every inner border does not count: a bright rim.
  CHECK(jump([](Index i, Index j, Index k) {
          return (i < 2 || j < 2 || k < 2 ? 50.0 : 0.0) + static_cast<double>(i + j + k);
        }) == doctest::Approx(1).epsilon(0.2));
  test::check_error("border.shape", {"16 x 24 x 8"}, [&] {
    border_jump(volume_of_values(ctx, n, [](Index, Index, Index) { return 0.0; }), {16, 24, 8}, patch);
  });
}

TEST_CASE("tissue volumes of a head of three shells are those that were drawn") {
  Context<Cpu> ctx({.threads = 1});
  PreprocessingContract contract = PreprocessingContract::small();
  contract.shape = {40, 48, 40};
  contract.spacing = {4, 4, 4};
  // Ellipsoids around (18, 25, 20): white matter inside, then grey matter, then fluid, with a box of fluid in the middle.
  Tensor<float, Cpu> head = Tensor<float, Cpu>::zeros(ctx, {40, 48, 40});
  std::array<double, 4> drawn{};
  for (Index i = 0; i < 40; ++i)
    for (Index j = 0; j < 48; ++j)
      for (Index k = 0; k < 40; ++k) {
        const double r = std::sqrt(std::pow((static_cast<double>(i) - 18) / 14, 2) +
                                   std::pow((static_cast<double>(j) - 25) / 18, 2) +
                                   std::pow((static_cast<double>(k) - 20) / 14, 2));
        const bool middle = std::abs(i - 18) < 3 && std::abs(j - 25) < 5 && std::abs(k - 20) < 2;
        if (r > 1) continue;
        const int tissue = middle || r > 0.95 ? 0 : r > 0.8 ? 1 : 2;
        head.data()[(i * 48 + j) * 40 + k] = std::array<float, 3>{-1.5f, 0.2f, 1.0f}[static_cast<std::size_t>(tissue)] +
                                             0.05f * static_cast<float>((i * 7 + j * 3 + k) % 5 - 2);
        if (tissue > 0) drawn[0] += 1, drawn[static_cast<std::size_t>(tissue)] += 1;
        if (middle) drawn[3] += 1;
      }
  const std::vector<std::uint8_t> mask = nonzero_mask(head);
  const TissueThresholds t = tissue_thresholds(head, mask);
  CHECK(t.fluid > -1.4f);
  CHECK(t.fluid < 0.15f);
  CHECK(t.grey > 0.25f);
  CHECK(t.grey < 0.95f);
  const TissueVolumes v = tissue_volumes(head, mask, t, contract);
  for (std::size_t r = 0; r < v.size(); ++r) CHECK(v[r] == doctest::Approx(drawn[r] * 0.064).epsilon(1e-9));
  // The same head with its axes exchanged: the region of the ventricles turns with it.
  PreprocessingContract turned = contract;
  turned.orientation = "PLS";
  turned.shape = {48, 40, 40};
  Tensor<float, Cpu> other(ctx, {48, 40, 40});
  for (Index i = 0; i < 40; ++i)
    for (Index j = 0; j < 48; ++j)
      for (Index k = 0; k < 40; ++k) other.data()[(j * 40 + i) * 40 + k] = head.data()[(i * 48 + j) * 40 + k];
  const TissueVolumes w = tissue_volumes(other, nonzero_mask(other), t, turned);
  for (std::size_t r = 0; r < v.size(); ++r) CHECK(w[r] == doctest::Approx(v[r]).epsilon(1e-9));
  // A calibration finds a straight line.
  VolumeCalibration calibration;
  for (const double x : {1.0, 2.0, 4.0}) calibration.add({x, x, x, x}, {3 * x + 1, -x, 5, x});
  const TissueVolumes c = calibration({3, 3, 3, 3});
  CHECK(c[0] == doctest::Approx(10));
  CHECK(c[1] == doctest::Approx(-3));
  CHECK(c[2] == doctest::Approx(5));
  CHECK(c[3] == doctest::Approx(3));
  const TissueVolumes same = calibration.keeping_spread({3, 3, 3, 3});  // on straight lines nothing differs
  for (std::size_t r = 0; r < same.size(); ++r) CHECK(same[r] == doctest::Approx(c[r]));
  // Off the line the guesses spread less than the truth; the group's mean and deviation are kept, and the direction.
  VolumeCalibration scattered;
  const std::array<double, 4> x = {1, 2, 3, 6}, y = {5, 3, 9, 11};
  for (std::size_t i = 0; i < 4; ++i) scattered.add({x[i], x[i], x[i], x[i]}, {y[i], -y[i], y[i], y[i]});
  double mean = 0, squares = 0, guessed = 0, turned_mean = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const double v1 = scattered.keeping_spread({x[i], x[i], x[i], x[i]})[0],
                 v2 = scattered({x[i], x[i], x[i], x[i]})[0];
    mean += v1 / 4, squares += v1 * v1 / 4, guessed += v2 * v2 / 4;
    turned_mean += (x[i] - 3) * scattered.keeping_spread({x[i], x[i], x[i], x[i]})[1];
  }
  CHECK(mean == doctest::Approx(7));
  CHECK(squares - mean * mean == doctest::Approx(59.0 - 49.0));
  CHECK(guessed - 49.0 < 0.95 * (59.0 - 49.0));
  CHECK(turned_mean < 0);
  VolumeCalibration few;
  few.add({1, 1, 1, 1}, {1, 1, 1, 1});
  test::check_error("calibration.few", {"1 scans"}, [&] { few({1, 1, 1, 1}); });
}

TEST_CASE("a region regressor separates the fluid of ventricles from that of a sulcus beside them") {
  Context<Cpu> ctx({.threads = 1});
  PreprocessingContract contract = PreprocessingContract::small();
  contract.shape = {40, 48, 40};
  contract.spacing = {4, 4, 4};
  // A ventricle that differs between people, and a cleft of fluid that differs too, within the reach of tissue_volumes.
  const auto head = [&](std::uint32_t person, TissueVolumes& truth) {
    const auto uniform = [&](std::uint32_t i) {
      return static_cast<double>((person * 2654435761u + i * 40503u) >> 7 & 1023u) / 1023.0;
    };
    const double ventricle = 3 + 3 * uniform(1), cleft = 1 + 3 * uniform(2), scale = 0.95 + 0.1 * uniform(3),
                 shift = 2 * uniform(4);
    Tensor<float, Cpu> v = Tensor<float, Cpu>::zeros(ctx, {40, 48, 40});
    truth = {};
    for (Index i = 0; i < 40; ++i)
      for (Index j = 0; j < 48; ++j)
        for (Index k = 0; k < 40; ++k) {
          const double x = (static_cast<double>(i) - 18 - shift) / scale, y = (static_cast<double>(j) - 24) / scale,
                       z = (static_cast<double>(k) - 20) / scale;
          const double r = std::sqrt(x * x / 196 + y * y / 324 + z * z / 196);
          if (r > 1) continue;
          const bool inner = x * x + y * y / 2 + z * z < ventricle * ventricle,
                     sulcus = std::abs(z - 6) < 0.5 * cleft && std::abs(x) < 7 && std::abs(y) < 9 && z * z + x * x > 40;
          const std::size_t tissue = inner ? 3 : sulcus ? 0 : r > 0.8 ? 1 : 2;
          v.data()[(i * 48 + j) * 40 + k] = std::array<float, 4>{-1.5f, 0.2f, 1.0f, -1.5f}[tissue] +
                                            0.05f * static_cast<float>((i * 7 + j * 3 + k) % 5 - 2);
          if (tissue != 0) truth[tissue] += 0.064;
        }
    truth[0] = truth[1] + truth[2];
    return v;
  };
  RegionRegressor regressor;
  VolumeCalibration counts;
  test::check_error("regions.fitted", {"fit() comes first"}, [&] { regressor({1.0}); });
  for (std::uint32_t person = 0; person < 60; ++person) {
    TissueVolumes truth;
    const Tensor<float, Cpu> v = head(person, truth);
    const std::vector<std::uint8_t> mask = nonzero_mask(v);
    regressor.add(tissue_blocks(v, mask, contract), truth);
    counts.add(tissue_volumes(v, mask, tissue_thresholds(v, mask), contract), truth);
  }
  test::check_error("regions.blocks", {"3 values"}, [&] { regressor.add({1, 2, 3}, {}); });
  regressor.fit(ctx);
  // Out-of-fold predictions are near the truth, but not as near as predictions for the volumes of the fit.
  REQUIRE(regressor.held_out().size() == 60);
  TissueVolumes read{}, counted{}, apart{}, remembered{};
  for (std::uint32_t person = 0; person < 60; ++person) {
    TissueVolumes truth;
    const Tensor<float, Cpu> v = head(person, truth);
    const TissueVolumes a = regressor(tissue_blocks(v, nonzero_mask(v), contract)), &b = regressor.held_out()[person];
    for (std::size_t r = 0; r < truth.size(); ++r) {
      CHECK(regressor.truth()[person][r] == truth[r]);
      remembered[r] += std::abs(a[r] - truth[r]) / truth[r] / 60, apart[r] += std::abs(b[r] - truth[r]) / truth[r] / 60;
    }
  }
  for (std::size_t r = 0; r < apart.size(); ++r) {
    CHECK(apart[r] < 0.03);
    CHECK(apart[r] > remembered[r]);
  }
  for (std::uint32_t person = 100; person < 120; ++person) {
    TissueVolumes truth;
    const Tensor<float, Cpu> v = head(person, truth);
    const std::vector<std::uint8_t> mask = nonzero_mask(v);
    const TissueVolumes a = regressor(tissue_blocks(v, mask, contract)),
                        b = counts(tissue_volumes(v, mask, tissue_thresholds(v, mask), contract));
    for (std::size_t r = 0; r < truth.size(); ++r)
      read[r] += std::abs(a[r] - truth[r]) / truth[r] / 20, counted[r] += std::abs(b[r] - truth[r]) / truth[r] / 20;
  }
  MESSAGE("size of the error: brain ", read[0], ", grey ", read[1], ", white ", read[2], ", ventricles ", read[3],
          "; by counting ", counted[3]);
  for (std::size_t r = 0; r < read.size(); ++r) CHECK(read[r] < 0.02);
  CHECK(counted[3] > 0.05);  // which it is for counting
  RegionRegressor few;
  for (int i = 0; i < 9; ++i) few.add({1, 2}, {1, 1, 1, 1});
  test::check_error("regions.few", {"9 volumes", "at least 10"}, [&] { few.fit(ctx); });
}

TEST_CASE("a dual ridge regression predicts from its weights, and refuses what it cannot fit") {
  Context<Cpu> ctx({.threads = 1});
  DualRidge ridge, equal;
  test::check_error("dual_ridge.fitted", {}, [&] { (void)ridge(0, std::vector<double>{1, 2}); });
  std::vector<double> target;
  std::vector<Index> fold;
  for (Index i = 0; i < 11; ++i) {
    const double a = static_cast<double>(i * 7 % 11), b = static_cast<double>(i * i % 5);
    ridge.add({a, b});
    equal.add({1, 2});  // their mean is rounded
    target.push_back(3 + 2 * a - b);
    fold.push_back(i % 3);
  }
  test::check_error("dual_ridge.features", {"3 values"}, [&] { ridge.add({1, 2, 3}); });
  test::check_error("dual_ridge.targets", {"1 targets for 11 rows"}, [&] { ridge.fit(ctx, {{1.0}}, fold); });
  test::check_error("dual_ridge.folds", {"two folds"}, [&] { ridge.fit(ctx, {target}, std::vector<Index>(11, 1)); });
  test::check_error("dual_ridge.equal", {}, [&] { equal.fit(ctx, {target}, fold); });
  ridge.fit(ctx, {target}, fold);
  CHECK(ridge(0, std::vector<double>{4, 1}) == doctest::Approx(10).epsilon(1e-3));
  CHECK(ridge(0, std::vector<double>{4, 1}) ==
        doctest::Approx(ridge.intercept(0) + ridge.weights(0)[0] * (4 - ridge.mean()[0]) +
                        ridge.weights(0)[1] * (1 - ridge.mean()[1])));
}

TEST_CASE("a voxel is shared between the nearest blocks, or belongs to one") {
  std::vector<double> sharp(81, 0.0), soft(81, 0.0);
  detail::add_to_blocks({1.75, 1.5, 0.25}, {1, 2, 4}, {3, 3, 3}, BlockEdges::sharp, sharp);
  detail::add_to_blocks({1.75, 1.5, 0.25}, {1, 2, 4}, {3, 3, 3}, BlockEdges::soft, soft);
  CHECK(sharp[9 + 3] == 1);
  CHECK(sharp[27 + 9 + 3] == 2);
  // A quarter of the way to the middle of the next block along the first axis; a quarter of the last axis lies outside all blocks.
  CHECK(soft[9 + 3] == doctest::Approx(0.75 * 0.75));
  CHECK(soft[18 + 3] == doctest::Approx(0.25 * 0.75));
  CHECK(soft[54 + 18 + 3] == doctest::Approx(4 * 0.25 * 0.75));
  CHECK(std::accumulate(soft.begin(), soft.end(), 0.0) == doctest::Approx(7 * 0.75));
}
