// Structural similarity of two volumes (Wang et al. 2004) with the three-dimensional Gaussian window of MONAI's SSIMMetric.
//
//   ssim = (2 mx my + C1)(2 sxy + C2) / ((mx^2 + my^2 + C1)(sx^2 + sy^2 + C2)),  C1 = (k1 range)^2,  C2 = (k2 range)^2
// m, s^2 and sxy are weighted moments (population: no n / (n - 1)) under a normalised Gaussian of 11^3 voxels, sigma 1.5.
// The window is applied only where it fits ("valid"), so the map loses 5 voxels at every face; the score is the mean of
// the map. scikit-image gives the same with gaussian_weights=True, sigma=1.5, use_sample_covariance=False.
//
// The window is a product of three one-dimensional ones and is applied axis by axis: 33 instead of 1331 products per voxel
// and moment. A constant (the reference's mean) is taken off both volumes first, which changes no variance and keeps single
// precision exact enough.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "braing3n/eval/psnr.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct SsimOptions {
  double range = 0;  // of the intensities; 0: largest minus smallest value of the reference
  int window = 11;   // voxels, odd
  double sigma = 1.5;
  double k1 = 0.01, k2 = 0.03;
};

struct SsimScore {
  double whole = 0;   // mean of the map
  double masked = 0;  // mean over the places whose centre is inside the mask; equal to whole without a mask
};

namespace detail {

inline std::vector<float> gaussian_window(int size, double sigma) {
  std::vector<double> w;
  double sum = 0;
  for (int i = 0; i < size; ++i) {
    const double d = (i - (size - 1) / 2) / sigma;
    w.push_back(std::exp(-0.5 * d * d));
    sum += w.back();
  }
  std::vector<float> result;
  for (const double v : w) result.push_back(static_cast<float>(v / sum));
  return result;
}

/// out[i] = sum_t w[t] in[i + t * stride], i < n.
BRAING3N_INLINE void convolve_line(const float* w, Index taps, const float* in, Index stride, Index n, float* out) {
  for (Index i = 0; i < n; ++i) out[i] = w[0] * in[i];
  for (Index t = 1; t < taps; ++t) {
    const float* from = in + t * stride;
    const float weight = w[t];
    BRAING3N_IVDEP for (Index i = 0; i < n; ++i) out[i] += weight * from[i];
  }
}

constexpr Index ssim_moments = 5;  // x, y, x^2, y^2, x y

/// The moments of plane `i` of both volumes, smoothed along axes 2 and 1: five planes of (Y - taps + 1) (Z - taps + 1).
inline void ssim_plane(Isa isa, const float* x, const float* y, float shift, Index rows, Index columns,
                       const std::vector<float>& w, float* out) {
  const Index taps = static_cast<Index>(w.size()), r = rows - taps + 1, c = columns - taps + 1;
  std::vector<float> product(static_cast<std::size_t>(rows * columns)), lines(static_cast<std::size_t>(rows * c));
  vectorized(isa, [&]() BRAING3N_LAMBDA_INLINE {
    for (Index m = 0; m < ssim_moments; ++m) {
      for (Index i = 0; i < rows * columns; ++i) {
        const float a = x[i] - shift, b = y[i] - shift;
        product[static_cast<std::size_t>(i)] = m == 0 ? a : m == 1 ? b : m == 2 ? a * a : m == 3 ? b * b : a * b;
      }
      for (Index j = 0; j < rows; ++j)
        convolve_line(w.data(), taps, product.data() + j * columns, 1, c, lines.data() + j * c);
      for (Index j = 0; j < r; ++j) convolve_line(w.data(), taps, lines.data() + j * c, c, c, out + (m * r + j) * c);
    }
  });
}

struct SsimSums {
  double all = 0, inside = 0;
  Index count = 0;
};

}  // namespace detail

/// reference and output (X, Y, Z). Throws Error (shape) when a volume is smaller than the window, Error (argument) for a
/// window that is even or a reference without contrast.
inline SsimScore ssim3d(Context<Cpu>& ctx, std::span<const float> reference, std::span<const float> output,
                        const Extent3& shape, const SsimOptions& options = {}, VoxelMask mask = {}) {
  detail::require_comparable("ssim", reference, output, mask);
  if (static_cast<Index>(reference.size()) != voxel_count(shape))
    fail(ErrorKind::shape, "ssim.shape", "ssim: ", reference.size(), " voxels for a volume of ", describe(shape));
  if (options.window < 1 || options.window % 2 == 0 || !(options.sigma > 0))
    fail(ErrorKind::argument, "ssim.window", "ssim: a window of ", options.window, " voxels and sigma ", options.sigma,
         ", expected an odd number and a positive one");
  const Index taps = options.window, half = taps / 2, x = shape[0], y = shape[1], z = shape[2];
  if (x < taps || y < taps || z < taps)
    fail(ErrorKind::shape, "ssim.small", "ssim: the volume of ", describe(shape), " is smaller than the window of ",
         taps, " voxels");
  const double range = options.range > 0 ? options.range : reference_range(reference).extremes;
  if (!(range > 0))
    fail(ErrorKind::argument, "ssim.range", "ssim: the reference has the same value everywhere; give a range");

  const std::vector<float> w = detail::gaussian_window(options.window, options.sigma);
  const float shift =
      static_cast<float>(mean_and_sd(ctx, reference.data(), static_cast<Index>(reference.size()), false).mean);
  const Index rows = y - taps + 1, columns = z - taps + 1, plane = rows * columns, planes = x - taps + 1,
              five = detail::ssim_moments * plane;
  std::vector<float> smooth(static_cast<std::size_t>(x * five));
  ctx.parallel(x, [&](Index i) {
    detail::ssim_plane(ctx.isa(), reference.data() + i * y * z, output.data() + i * y * z, shift, y, z, w,
                       smooth.data() + i * five);
  });

  const double c1 = (options.k1 * range) * (options.k1 * range), c2 = (options.k2 * range) * (options.k2 * range);
  std::vector<detail::SsimSums> sums(static_cast<std::size_t>(planes));
  ctx.parallel(planes, [&](Index i) {
    std::vector<float> moments(static_cast<std::size_t>(five));
    vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      detail::convolve_line(w.data(), taps, smooth.data() + i * five, five, five, moments.data());
    });
    detail::SsimSums& s = sums[static_cast<std::size_t>(i)];
    for (Index p = 0; p < plane; ++p) {
      const auto moment = [&](Index m) {
        return static_cast<double>(moments[static_cast<std::size_t>(m * plane + p)]);
      };
      const double a = moment(0), b = moment(1), xx = moment(2) - a * a, yy = moment(3) - b * b, xy = moment(4) - a * b;
      const double mx = a + static_cast<double>(shift), my = b + static_cast<double>(shift);
      const double value = (2 * mx * my + c1) * (2 * xy + c2) / ((mx * mx + my * my + c1) * (xx + yy + c2));
      s.all += value;
      const Index j = p / columns + half, k = p % columns + half;
      if (mask.empty() || mask[static_cast<std::size_t>(((i + half) * y + j) * z + k)] != 0)
        s.inside += value, ++s.count;
    }
  });
  double all = 0, inside = 0;
  Index count = 0;
  for (const detail::SsimSums& s : sums) all += s.all, inside += s.inside, count += s.count;
  if (count == 0) fail(ErrorKind::shape, "metric.mask", "ssim: no place of the window has its centre inside the mask");
  return {all / static_cast<double>(planes * plane), inside / static_cast<double>(count)};
}

}  // namespace braing3n::inline BRAING3N_ABI
