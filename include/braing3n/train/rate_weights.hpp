// How much the rate between two visits counts.
//
// A rate (z_1 - z_0) / dt has the noise of both scans over dt, and the subject's own variation around what can be predicted. Squared changes
// of pairs show both: E|z_1 - z_0|^2 = a + b dt^2, where a is the noise and b the squared rate. Least squares weigh a rate by the inverse
// of its variance, dt^2 / (a + b dt^2) up to a factor; here min(1, dt / h)^2 with h = sqrt(a / b), the horizon at which change exceeds noise.
// On phantoms with latents of 5 mm tokenizers h is about 10 years: with equal weights from one year on, pairs two years apart, whose rates are 25 times as
// noisy as those ten years apart, hide what all of them show.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "braing3n/data/latent_data.hpp"
#include "braing3n/data/visit_pairs.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline double rate_weight(double years, double full_weight_years) {
  const double share = std::min(1.0, std::abs(years) / full_weight_years);
  return share * share;
}

/// h above, from the pairs of a training, at least 1 and at most 20 years; pairs as
/// forecast_training_pairs() gives them.
inline double change_horizon(Context<Cpu>& ctx, const LatentData& data, std::span<const VisitPair> pairs) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0;
  for (const VisitPair& p : pairs) {
    const Index visits[] = {p.from, p.to};
    const Tensor<float, Cpu> z = latent_batch(ctx, data, visits);
    const Index each = z.size() / 2;
    double square = 0;
    for (Index k = 0; k < each; ++k)
      square += std::pow(static_cast<double>(z.data()[each + k]) - static_cast<double>(z.data()[k]), 2);
    const double time = p.years * p.years, change = square / static_cast<double>(each);
    n += 1, x += time, y += change, xx += time * time, xy += time * change;
  }
  const double spread = xx - x * x / n, slope = spread > 0 ? (xy - x * y / n) / spread : 0, noise = (y - slope * x) / n;
  if (!(slope > 0)) return 20;
  return std::clamp(std::sqrt(std::max(noise, 0.0) / slope), 1.0, 20.0);
}

}  // namespace braing3n::inline BRAING3N_ABI
