// A frozen linear readout of age from latents, for an optional part of a field's loss.
//
// The squared error of a rate weighs all values of the latents alike; what readers see of a change is a few directions of them. The readout is a
// ridge regression of age on the leading directions that the field's linear part has (models/linear_rate.hpp), fitted on the training visits before the
// first step. It sees latents: the probes that score forecasts are fitted on decoded volumes, so no probe that scores has trained. After
// TADM's brain-age loss, in closed form.
#pragma once

#include <algorithm>
#include <cmath>
#include <concepts>
#include <span>
#include <vector>

#include "braing3n/backend/cpu.hpp"
#include "braing3n/data/latent_data.hpp"
#include "braing3n/data/visit_pairs.hpp"
#include "braing3n/linalg/llt.hpp"
#include "braing3n/models/linear_rate.hpp"
#include "braing3n/ops/matmul.hpp"
#include "braing3n/train/rate_weights.hpp"

namespace braing3n::inline BRAING3N_ABI {

namespace detail {

/// Weights (k) of the directions, by ridge regression of the age. directions (k, D).
template <std::same_as<Cpu> B>
std::vector<double> age_of_directions(Context<B>& ctx, const LatentData& data, const Tensor<double, Cpu>& directions) {
  const Index k = directions.dim(0);
  std::vector<Index> rows;
  std::vector<double> ages;
  double mean_age = 0;
  for (const Index row : data.scans.train)
    if (const auto age = data.labels.number(row, "age")) rows.push_back(row), ages.push_back(*age), mean_age += *age;
  const auto n = static_cast<double>(rows.size());
  if (rows.size() < 2)
    fail(ErrorKind::argument, "latent_readout.ages", "latent readout: expected training visits with an age, got ",
         rows.size());
  mean_age /= n;
  std::vector<double> y(rows.size() * static_cast<std::size_t>(k)), mean(static_cast<std::size_t>(k), 0.0);
  latent_blocks(ctx, data, std::span<const Index>(rows), [&](std::size_t first, const Tensor<double, Cpu>& x) {
    const Tensor<double, Cpu> along = matmul_forward(x, directions, {.transpose_b = true});
    std::copy_n(along.data(), along.size(), y.data() + first * mean.size());
    for (Index i = 0; i < along.size(); ++i) mean[static_cast<std::size_t>(i % k)] += along.data()[i] / n;
  });
  constexpr double penalty = 0.1;  // of the variance of a direction, which is 1
  const auto size = static_cast<std::size_t>(k);
  std::vector<double> a(size * size, 0.0), b(size, 0.0);
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t c = 0; c < size; ++c) {
      const double here = y[r * size + c] - mean[c];
      b[c] += here * (ages[r] - mean_age) / n;
      for (std::size_t d = 0; d <= c; ++d) a[c * size + d] += here * (y[r * size + d] - mean[d]) / n;
    }
  for (std::size_t c = 0; c < size; ++c) {
    a[c * size + c] += penalty;
    for (std::size_t d = 0; d < c; ++d) a[d * size + c] = a[c * size + d];
  }
  llt_solve(llt<double>(ctx, std::span<const double>(a), k), std::span<double>(b));
  return b;
}

}  // namespace detail

/// The readout (1, D) of standardised latents. It is scaled so that the weighted mean square of what it reads of the pairs' rates, in unit_years, is 1. Throws
/// Error: config (a linear part without directions), argument (no ages), numeric (rates that it does not see).
template <std::same_as<Cpu> H, Backend B, Precision P>
Tensor<float, Cpu> fit_latent_readout(Context<H>& ctx, const LatentData& data, std::span<const VisitPair> pairs,
                                      const LinearRate<B, P>& linear, double unit_years, double full_weight_years) {
  if (!linear.exists())
    fail(ErrorKind::config, "latent_readout.rank",
         "latent readout: expected a field with a linear part, whose directions it reads, got rank 0");
  const Index k = linear.directions.shape()[0], width = linear.directions.shape()[1];
  const Tensor<double, Cpu> directions =
      Tensor<double, Cpu>::from_host(ctx, {k, width}, linear.directions.host_values());
  const std::vector<double> weights = detail::age_of_directions(ctx, data, directions);
  std::vector<double> readout(static_cast<std::size_t>(width), 0.0);
  for (Index c = 0; c < k; ++c)
    for (Index i = 0; i < width; ++i)
      readout[static_cast<std::size_t>(i)] += weights[static_cast<std::size_t>(c)] * directions.data()[c * width + i];
  double square = 0, weight = 0;
  for (const VisitPair& p : pairs) {
    const Index visits[] = {p.from, p.to};
    const Tensor<float, Cpu> z = latent_batch(ctx, data, visits);
    double change = 0;
    for (Index i = 0; i < width; ++i)
      change += readout[static_cast<std::size_t>(i)] *
                (static_cast<double>(z.data()[width + i]) - static_cast<double>(z.data()[i]));
    const double w = rate_weight(p.years, full_weight_years), rate = change * unit_years / p.years;
    square += w * rate * rate, weight += w;
  }
  const double size = std::sqrt(square / weight);
  if (!(size > 0) || !std::isfinite(size))
    fail(ErrorKind::numeric, "latent_readout.size", "latent readout: expected changes along the readout, got ", size);
  std::vector<float> scaled;
  for (const double v : readout) scaled.push_back(static_cast<float>(v / size));
  return Tensor<float, Cpu>::from_host(ctx, {1, width}, scaled);
}

}  // namespace braing3n::inline BRAING3N_ABI
