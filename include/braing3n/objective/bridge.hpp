// A bridge with noise between a baseline b and its follow-up y.
//
//   x_t = t b + (1 - t) y + g(t) eps,   d x_t / dt = (b - y) + g'(t) eps,   eps standard normal
//
// Convention everywhere in this library: t = 1 is the source (here the baseline), t = 0 the target (the follow-up), and sampling integrates
// from 1 down to 0 (sample/bridge.hpp). g vanishes at both ends. Its choices:
//   brownian    g = sigma sqrt(t (1 - t))    g' = sigma (1 - 2 t) / (2 sqrt(t (1 - t))), not bounded at the ends
//   parabolic   g = 2 sigma t (1 - t)        g' = 2 sigma (1 - 2 t)
// What the network learns from x_t, whose least-squares optimum is the conditional expectation:
//   displacement   b - y                    the paper: noise in training only. Carries means exactly, variances not.
//   velocity       b - y + g' eps           the velocity of the probability flow, which carries all of p(x_t) from t = 1 to 0
//   two_heads      b - y and eps apart      gives the velocity without the weight g', and the score, -E[eps | x_t] / g
//   data           y
// Source: BrainG3N (arXiv 2606.19651), the longitudinal model, whose text and formula differ in the sign of t; Albergo et al. 2023
// (arXiv 2303.08797) for interpolants; Liu et al. 2023 (I2SB, arXiv 2302.05872) for the prediction of y.
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "braing3n/backend/cpu/loops/map.hpp"
#include "braing3n/ops/check.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class BridgeEnvelope { brownian, parabolic };
enum class BridgeTarget { displacement, velocity, two_heads, data };

struct BridgeOptions {
  BridgeEnvelope envelope = BridgeEnvelope::brownian;
  double sigma = 0.5;
  BridgeTarget target = BridgeTarget::displacement;
  double clip = 1e-3;  // velocity with the Brownian envelope: the least distance of t from 0 and 1

  static void visit(auto& self, auto&& v) {
    v("envelope", self.envelope);
    v("sigma", self.sigma);
    v("target", self.target);
    v("clip", self.clip);
  }

  /// Throws Error (config).
  void validate() const {
    if (!(sigma >= 0) || std::isinf(sigma))
      fail(ErrorKind::config, "bridge.sigma", "bridge: expected a sigma of at least 0, got ", sigma);
    if (!(clip > 0 && clip < 0.5))
      fail(ErrorKind::config, "bridge.clip", "bridge: expected a clip of t between 0 and 0.5, got ", clip);
  }

  /// Velocities, or other fields of the size of x, that the network predicts.
  Index outputs() const { return target == BridgeTarget::two_heads ? 2 : 1; }
  /// Where the network is trained and evaluated for time t: the mean square of g' over [clip, 1 - clip] is finite.
  double network_time(double t) const {
    const bool bounded = target != BridgeTarget::velocity || envelope == BridgeEnvelope::parabolic;
    return bounded ? t : std::clamp(t, clip, 1 - clip);
  }
  /// g(t), the standard deviation of x_t around the straight line.
  double sd(double t) const {
    return envelope == BridgeEnvelope::brownian ? sigma * std::sqrt(t * (1 - t)) : 2 * sigma * t * (1 - t);
  }
  /// g'(t), infinite at the ends of the Brownian envelope.
  double slope(double t) const {
    return envelope == BridgeEnvelope::brownian ? sigma * (1 - 2 * t) / (2 * std::sqrt(t * (1 - t)))
                                                : 2 * sigma * (1 - 2 * t);
  }
};

namespace detail {

template <class T>
struct BridgePoint {
  const T* baseline;
  const T* followup;
  const T* noise;
  const accum_t<T>* at;  // of each sample: t, g, weight of the noise in the target
  T* x_t;
  T* target;
  Index per_sample, channels;
  BridgeTarget kind;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const accum_t<T>* of = at + i / per_sample * 3;
    const accum_t<T> b = static_cast<accum_t<T>>(baseline[i]), y = static_cast<accum_t<T>>(followup[i]),
                     e = static_cast<accum_t<T>>(noise[i]);
    x_t[i] = convert<T>(of[0] * b + (accum_t<T>{1} - of[0]) * y + of[1] * e);
    if (kind == BridgeTarget::two_heads) {
      T* token = target + i / channels * (2 * channels) + i % channels;
      token[0] = convert<T>(b - y);
      token[channels] = convert<T>(e);
    } else {
      target[i] = convert<T>(kind == BridgeTarget::data ? y : b - y + of[2] * e);
    }
  }
};

}  // namespace detail

template <class T, Backend B>
struct BridgeSample {
  Tensor<T, B> x_t;       // (N, ..., C), the network's input
  Tensor<T, B> target;    // (N, ..., C), with two heads (N, ..., 2 C): what it should predict
  std::vector<double> t;  // (N), the times that it is to be given
};

/// baseline, followup, noise (N, ..., C), t (N) in [0, 1] -> the point on the bridge and the target. Throws Error: config, shape,
/// argument (a time outside).
template <class T, Backend B>
BridgeSample<T, B> bridge_interpolate(const BridgeOptions& bridge, const Tensor<T, B>& baseline,
                                      const Tensor<T, B>& followup, const Tensor<T, B>& noise, std::vector<double> t) {
  bridge.validate();
  require_elements("bridge", baseline);
  require_same_shape("bridge", baseline, followup);
  require_same_shape("bridge", baseline, noise);
  if (baseline.rank() < 2 || std::ssize(t) != baseline.dim(0))
    fail(ErrorKind::shape, "bridge.times", "bridge: expected one time per sample of a baseline with shape ",
         baseline.shape(), " (samples first, channels last), got ", t.size());
  using A = accum_t<T>;
  std::vector<A> at;
  for (double& time : t) {
    if (!(time >= 0 && time <= 1))
      fail(ErrorKind::argument, "bridge.time", "bridge: expected times from 0 to 1, got ", time);
    time = bridge.network_time(time);
    const double noise_weight = bridge.target == BridgeTarget::velocity ? bridge.slope(time) : 0.0;
    at.insert(at.end(), {static_cast<A>(time), static_cast<A>(bridge.sd(time)), static_cast<A>(noise_weight)});
  }
  Context<B>& context = baseline.context();
  const Index channels = baseline.dim(-1);
  const Tensor<A, B> on_device = Tensor<A, B>::from_host(context, {baseline.dim(0), 3}, at);
  const Shape target = baseline.shape().with(-1, bridge.outputs() * channels);
  BridgeSample<T, B> sample{Tensor<T, B>(context, baseline.shape()), Tensor<T, B>(context, target), std::move(t)};
  map(context, baseline.size(),
      detail::BridgePoint<T>{baseline.data(), followup.data(), noise.data(), on_device.data(), sample.x_t.data(),
                             sample.target.data(), baseline.size() / baseline.dim(0), channels, bridge.target});
  return sample;
}

}  // namespace braing3n::inline BRAING3N_ABI
