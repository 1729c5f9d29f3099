#include "tests/support/check.hpp"

#include "braing3n/eval/reconstruction.hpp"

using namespace braing3n;

namespace {

constexpr Extent3 shape = {17, 14, 19};

struct Pair {
  std::vector<float> a, b;
  std::vector<std::uint8_t> mask;
};

/// Two volumes of exact sixty-fourths and a ball off the centre. The reference values below were computed on the same ones.
Pair volumes() {
  Pair p;
  for (Index i = 0; i < shape[0]; ++i)
    for (Index j = 0; j < shape[1]; ++j)
      for (Index k = 0; k < shape[2]; ++k) {
        const double first =
            static_cast<double>((i * 7 + j * 13 + k * 5 + i * j % 11 * 3 + j * k % 7 * 5) % 64) / 16 - 1.5;
        const double bright = (i * j * k + 3 * i + 5 * j) % 197 == 0 ? 2.0 + static_cast<double>(i % 5) / 8 : 0.0;
        const double second =
            first + static_cast<double>((i * 5 + j * 3 + k * 11) % 32) / 64 - 0.25 + static_cast<double>(i % 3) / 8;
        p.a.push_back(static_cast<float>(first + bright));
        p.b.push_back(static_cast<float>(second));
        p.mask.push_back((i - 8) * (i - 8) + (j - 7) * (j - 7) + (k - 7) * (k - 7) < 20);
      }
  return p;
}

Tensor<float, Cpu> tensor(Context<Cpu>& ctx, const std::vector<float>& v) {
  return Tensor<float, Cpu>::from_host(ctx, {shape[0], shape[1], shape[2]}, v);
}

}  // namespace

TEST_CASE("scores equal scikit-image 0.26.0 and NumPy 2.4.6") {
  Context<Cpu> ctx({.threads = 2});
  const Pair p = volumes();
  const ReconstructionScore s = score_reconstruction(ctx, tensor(ctx, p.a), tensor(ctx, p.b), p.mask);
  // structural_similarity(a, b, data_range=R, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True)
  CHECK(s.whole.ssim == doctest::Approx(0.9570973917367841).epsilon(2e-6));
  CHECK(s.mask.ssim == doctest::Approx(0.9582696252541013).epsilon(2e-6));
  CHECK(s.whole.psnr_extremes == doctest::Approx(27.282098409655585).epsilon(1e-12));
  CHECK(s.whole.psnr_percentile == doctest::Approx(23.012164904623777).epsilon(1e-12));
  CHECK(s.whole.mae == doctest::Approx(0.18422780296329058).epsilon(1e-12));
  CHECK(s.mask.voxels == 365);
  CHECK(s.mask.psnr_extremes == doctest::Approx(25.21225931548628).epsilon(1e-12));
  CHECK(s.mask.psnr_percentile == doctest::Approx(22.607805633196804).epsilon(1e-12));
  CHECK(s.mask.mae == doctest::Approx(0.1969178082191781).epsilon(1e-12));
}

TEST_CASE("ssim by definition: a window of 3 voxels over one place") {
  Context<Cpu> ctx({.threads = 1});
  const Pair p = volumes();
  std::vector<float> a(27), b(27);
  double w[27], sum = 0, mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
  for (int i = 0; i < 27; ++i) {
    const int dx = i / 9 - 1, dy = i / 3 % 3 - 1, dz = i % 3 - 1;
    sum += w[i] = std::exp(-0.5 * (dx * dx + dy * dy + dz * dz) / (0.8 * 0.8));
    a[static_cast<std::size_t>(i)] = p.a[static_cast<std::size_t>(i)],
    b[static_cast<std::size_t>(i)] = p.b[static_cast<std::size_t>(i)];
  }
  for (std::size_t i = 0; i < 27; ++i) {
    const double u = static_cast<double>(a[i]), v = static_cast<double>(b[i]), q = w[i] / sum;
    mx += q * u, my += q * v, xx += q * u * u, yy += q * v * v, xy += q * u * v;
  }
  const double c1 = 0.02 * 0.02, c2 = 0.06 * 0.06;
  const double expected =
      (2 * mx * my + c1) * (2 * (xy - mx * my) + c2) / ((mx * mx + my * my + c1) * (xx - mx * mx + yy - my * my + c2));
  CHECK(ssim3d(ctx, a, b, {3, 3, 3}, {.range = 2, .window = 3, .sigma = 0.8}).whole ==
        doctest::Approx(expected).epsilon(1e-5));
}

TEST_CASE("equal volumes, shifted volumes, constants") {
  Context<Cpu> ctx({.threads = 2});
  Pair p = volumes();
  const auto score = [&] { return score_reconstruction(ctx, tensor(ctx, p.a), tensor(ctx, p.b), p.mask); };
  const ReconstructionScore before = score();
  for (float& v : p.a) v += 8;
  for (float& v : p.b) v += 8;
  const ReconstructionScore after = score();
  CHECK(after.whole.psnr_extremes == doctest::Approx(before.whole.psnr_extremes).epsilon(1e-6));
  CHECK(after.mask.psnr_percentile == doctest::Approx(before.mask.psnr_percentile).epsilon(1e-6));
  CHECK(after.whole.ssim != doctest::Approx(before.whole.ssim).epsilon(1e-3));  // the luminance term sees the level
  p.b = p.a;
  CHECK(std::isinf(score().whole.psnr_extremes));
  CHECK(score().whole.ssim == doctest::Approx(1.0).epsilon(1e-6));
  CHECK(score().mask.mae == 0.0);
  std::fill(p.a.begin(), p.a.end(), 1.0f);
  test::check_error("ssim.range", {"same value"}, [&] { score(); });
}

TEST_CASE("scores do not depend on the number of threads") {
  const Pair p = volumes();
  test::check_same_for_threads("scores", [&](Context<Cpu>& ctx) {
    const ReconstructionScore s = score_reconstruction(ctx, tensor(ctx, p.a), tensor(ctx, p.b), p.mask);
    const std::vector<double> v = {s.whole.psnr_extremes, s.whole.psnr_percentile, s.whole.ssim,
                                   s.whole.mae,           s.mask.psnr_extremes,    s.mask.ssim};
    return std::vector{Tensor<double, Cpu>::from_host(ctx, {static_cast<Index>(v.size())}, v)};
  });
}

TEST_CASE("wrong sizes are refused") {
  Context<Cpu> ctx({.threads = 1});
  const Pair p = volumes();
  const std::span<const float> few(p.b.data(), 10);
  test::check_error("metric.shape", {"4522", "10"}, [&] { voxel_errors(ctx, p.a, few); });
  test::check_error("metric.mask", {"no voxel"},
                    [&] { voxel_errors(ctx, p.a, p.b, std::vector<std::uint8_t>(p.a.size(), 0)); });
  test::check_error("metric.empty", {"no voxels"}, [&] { voxel_errors(ctx, {}, {}); });
  test::check_error("ssim.small", {"17 x 14 x 19", "15"}, [&] { ssim3d(ctx, p.a, p.b, shape, {.window = 15}); });
  test::check_error("ssim.shape", {"4522", "17 x 14 x 18"}, [&] { ssim3d(ctx, p.a, p.b, {17, 14, 18}); });
  test::check_error("score.none", {"no scores"}, [&] { mean_score({}); });
}
