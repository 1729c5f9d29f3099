// Integration of a field of rates over years: a subject's latents at one horizon after another.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/autograd/pass.hpp"
#include "braing3n/models/conditions.hpp"
#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// y = x + s v, with a number s of its own for every sample.
template <class T>
struct AddScaledSamples {
  const T* x;
  const T* v;
  const accum_t<T>* s;
  T* y;
  Index per_sample;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    y[i] = convert<T>(static_cast<accum_t<T>>(x[i]) + s[i / per_sample] * static_cast<accum_t<T>>(v[i]));
  }
};

template <class T, Backend B>
Tensor<T, B> add_scaled_samples(const Tensor<T, B>& x, const Tensor<T, B>& v, const Tensor<accum_t<T>, B>& s) {
  require_same_shape("years", x, v);
  Tensor<T, B> y(x.context(), x.shape());
  map(x.context(), x.size(), AddScaledSamples<T>{x.data(), v.data(), s.data(), y.data(), x.size() / x.dim(0)});
  return y;
}

/// Steps of at most max_step years that all samples take together.
inline Index steps_between(const std::vector<double>& from, const std::vector<double>& to, double max_step) {
  Index steps = 0;
  for (std::size_t i = 0; i < from.size(); ++i)
    steps = std::max(steps, static_cast<Index>(std::ceil(std::abs(to[i] - from[i]) / max_step - 1e-9)));
  return steps;
}

inline void require_stops(std::size_t samples, const std::vector<double>& ages,
                          const std::vector<std::vector<double>>& stops, double max_step) {
  if (!(max_step > 0)) fail(ErrorKind::argument, "years.step", "years: expected a positive step, got ", max_step);
  if (ages.size() != samples || stops.empty())
    fail(ErrorKind::shape, "years.samples", "years: expected one age per sample and at least one horizon, got ",
         ages.size(), " ages and ", stops.size(), " horizons for ", samples, " samples");
  for (const std::vector<double>& stop : stops) {
    if (stop.size() != samples)
      fail(ErrorKind::shape, "years.stops", "years: expected a horizon for each of ", samples, " samples, got ",
           stop.size());
    for (const double years : stop)
      if (!std::isfinite(years))
        fail(ErrorKind::argument, "years.horizon", "years: expected a finite horizon, got ", years);
  }
}

}  // namespace detail

/// start (N, ...) at ages (N) -> the samples at every stop; stops[h] (N): years since the start, of each sample, the stops in the order in which they
/// are passed. Heun's rule in steps of at most max_step years; two evaluations each. rate: (z (N, ...), ages (N)) -> change per year
/// (N, ...). Where a sample's horizon is 0 its values stay, bit for bit. Throws Error: shape, argument.
template <class T, Backend B, class Rate>
std::vector<Tensor<T, B>> integrate_years(const Tensor<T, B>& start, std::vector<double> ages,
                                          const std::vector<std::vector<double>>& stops, double max_step, Rate&& rate) {
  require_elements("years", start);
  const auto n = static_cast<std::size_t>(start.dim(0));
  detail::require_stops(n, ages, stops, max_step);
  std::vector<Tensor<T, B>> reached;
  Tensor<T, B> z = start;
  std::vector<double> from(n, 0.0);
  const std::vector<double> start_ages = ages;
  for (const std::vector<double>& to : stops) {
    const Index steps = detail::steps_between(from, to, max_step);
    if (steps == 0) {
      reached.push_back(z);
      continue;
    }
    std::vector<double> step(n);
    std::vector<accum_t<T>> whole(n), half(n);
    for (std::size_t i = 0; i < n; ++i) {
      step[i] = (to[i] - from[i]) / static_cast<double>(steps);
      whole[i] = static_cast<accum_t<T>>(step[i]);
      half[i] = static_cast<accum_t<T>>(step[i] / 2);
    }
    const Shape samples = {start.dim(0)};
    const auto h = Tensor<accum_t<T>, B>::from_host(start.context(), samples, whole),
               h_half = Tensor<accum_t<T>, B>::from_host(start.context(), samples, half);
    for (Index s = 0; s < steps; ++s) {
      const auto at = [&](Index k) {
        for (std::size_t i = 0; i < n; ++i)
          // Sums of whole years are exact, so that stops between them change nothing.
          ages[i] = start_ages[i] + (k == steps ? to[i] : from[i] + step[i] * static_cast<double>(k));
      };
      at(s);
      const Tensor<T, B> v0 = rate(std::as_const(z), std::as_const(ages));
      at(s + 1);
      const Tensor<T, B> v1 = rate(detail::add_scaled_samples(z, v0, h), std::as_const(ages));
      z = detail::add_scaled_samples(detail::add_scaled_samples(z, v0, h_half), v1, h_half);
    }
    from = to;
    reached.push_back(z);
  }
  return reached;
}

/// The latents of subjects at their horizons. baseline (N, L, C), standardised, at ages (N) under the conditions; stops as integrate_years()
/// takes them -> one (N, L, C) per stop. Field: config.network.conditions, config.unit_years, and field(pass, z, ages, ConditionBatch,
/// baseline) -> change in unit_years years.
template <class Field, Backend B>
std::vector<Tensor<typename Field::T, B>> forecast_latents(Context<B>& context, const Field& field,
                                                           const Tensor<typename Field::T, B>& baseline,
                                                           const std::vector<double>& ages,
                                                           const std::vector<ConditionRow>& rows,
                                                           const std::vector<std::vector<double>>& stops) {
  using T = typename Field::T;
  const ConditionBatch conditions = condition_batch(field.config.network.conditions, rows);
  Pass<B> pass(context);
  const Var<T, B> start(baseline);
  const double unit = field.config.unit_years;
  return integrate_years(baseline, ages, stops, 1.0, [&](const Tensor<T, B>& z, const std::vector<double>& at) {
    return scale_forward(field(pass, Var<T, B>(z), at, conditions, start).value(), 1.0 / unit);
  });
}

}  // namespace braing3n::inline BRAING3N_ABI
