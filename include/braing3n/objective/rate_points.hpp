// Points between two visits of a subject and the rate of change there: what a field of rates learns (models/rate_field.hpp).
//
//   z_u = (1 - u) z_0 + u z_1 + sigma eps,   target = unit (z_1 - z_0) / dt,   age = a_0 + u dt,   u in (0, 1)
//
// dt is negative where the later visit is the baseline. The noise, a few hundredths of the latents' standard deviation, keeps the field
// defined beside the straight lines. Sources: delta-LFM (arXiv 2512.09185); flow matching with a fixed width (Lipman et al. 2023).
#pragma once

#include <cmath>
#include <vector>

#include "braing3n/backend/cpu/loops/map.hpp"
#include "braing3n/ops/check.hpp"
#include "braing3n/ops/elementwise_functors.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

template <class T>
struct RatePoint {
  const T* first;
  const T* second;
  const T* noise;
  const accum_t<T>* u;
  const accum_t<T>* per_unit;
  accum_t<T> sigma;
  T* point;
  T* target;
  Index per_sample;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const Index n = i / per_sample;
    const accum_t<T> a = static_cast<accum_t<T>>(first[i]), b = static_cast<accum_t<T>>(second[i]),
                     e = static_cast<accum_t<T>>(noise[i]);
    point[i] = convert<T>(a + u[n] * (b - a) + sigma * e);
    target[i] = convert<T>(per_unit[n] * (b - a));
  }
};

}  // namespace detail

/// How points between visits are drawn.
struct RatePointOptions {
  double sigma = 0.05;    // standard deviation of the noise, in standardised latents
  double unit_years = 5;  // of the rate
};

template <class T, Backend B>
struct RatePoints {
  Tensor<T, B> z;       // (N, ...)
  Tensor<T, B> target;  // (N, ...), change in unit_years years
};

/// Two visits (N, ...) that are `years` (N) apart, noise (N, ...), places u (N) between them -> points and rates there.
/// Throws Error: shape, argument (visits at the same time).
template <class T, Backend B>
RatePoints<T, B> rate_points(const Tensor<T, B>& first, const Tensor<T, B>& second, const Tensor<T, B>& noise,
                             const std::vector<double>& u, const std::vector<double>& years,
                             const RatePointOptions& options) {
  require_elements("rate points", first);
  require_same_shape("rate points", first, second);
  require_same_shape("rate points", first, noise);
  const Index n = first.dim(0);
  if (std::ssize(u) != n || std::ssize(years) != n)
    fail(ErrorKind::shape, "rate_points.samples", "rate points: expected a place and a time for each of ", n,
         " samples, got ", u.size(), " and ", years.size());
  using A = accum_t<T>;
  std::vector<A> places(u.begin(), u.end()), per_unit;
  for (const double dt : years) {
    if (!(std::isfinite(dt) && dt != 0))
      fail(ErrorKind::argument, "rate_points.years", "rate points: expected visits some time apart, got ", dt,
           " years");
    per_unit.push_back(static_cast<A>(options.unit_years / dt));
  }
  Context<B>& ctx = first.context();
  const Tensor<A, B> at = Tensor<A, B>::from_host(ctx, {n}, places),
                     scale = Tensor<A, B>::from_host(ctx, {n}, per_unit);
  RatePoints<T, B> points{Tensor<T, B>(ctx, first.shape()), Tensor<T, B>(ctx, first.shape())};
  map(ctx, first.size(),
      detail::RatePoint<T>{first.data(), second.data(), noise.data(), at.data(), scale.data(),
                           static_cast<A>(options.sigma), points.z.data(), points.target.data(), first.size() / n});
  return points;
}

}  // namespace braing3n::inline BRAING3N_ABI
