// Flow matching between data and noise on a straight line.
//
//   x_t = (1 - t) x_data + t eps,   v = d x_t / dt = eps - x_data,   loss = mean over all elements of (v_hat - v)^2
//
// Convention everywhere in this library: t = 1 is the source (noise, or a baseline), t = 0 the target (data, or a follow-up), and
// sampling integrates from 1 down to 0. Source: Lipman et al. 2023; BrainG3N (arXiv 2606.19651), section 2.3.
// Times and noise are drawn outside, from the sample's own index, so a step does not depend on how a batch was put together.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "braing3n/base/stream.hpp"
#include "braing3n/ops/check.hpp"
#include "braing3n/ops/random.hpp"

namespace braing3n::inline BRAING3N_ABI {

enum class TimeDistribution { uniform, logit_normal };

/// A time in (0, 1). logit_normal: t = 1 / (1 + exp(-z)), z standard normal (Esser et al. 2024).
inline double draw_time(const Philox& rng, TimeDistribution distribution) {
  // The half step keeps both ends out: no sample is pure data or pure noise.
  return distribution == TimeDistribution::uniform ? static_cast<double>(rng.uniform(0)) + 0x1p-25
                                                   : 1.0 / (1.0 + std::exp(-rng.normal(0)));
}

/// One time per sample of a step, and per place in a stream.
inline std::vector<double> draw_times(std::uint64_t seed, std::uint32_t step, std::span<const std::uint32_t> samples,
                                      TimeDistribution distribution) {
  std::vector<double> t;
  t.reserve(samples.size());
  for (const std::uint32_t sample : samples)
    t.push_back(draw_time(Philox(seed, Purpose::time, step, sample), distribution));
  return t;
}
inline std::vector<double> draw_times(std::uint64_t seed, std::span<const Index> positions,
                                      TimeDistribution distribution) {
  std::vector<double> t;
  t.reserve(positions.size());
  for (const Index p : positions)
    t.push_back(draw_time(Philox(seed, Purpose::time, StreamCounter(p).step, StreamCounter(p).sample), distribution));
  return t;
}

namespace detail {

/// rng_of(n): the generator of sample n.
template <class T, Backend B, class RngOf>
Tensor<T, B> normal_samples(Context<B>& context, std::size_t samples, const Shape& shape, RngOf&& rng_of) {
  std::vector<Philox> generators;
  generators.reserve(samples);
  for (std::size_t n = 0; n < samples; ++n) generators.push_back(rng_of(n));
  return random_normal<T>(context, std::span<const Philox>(generators), shape);
}

}  // namespace detail

/// Standard normal noise (samples, shape...), the same for a sample whatever the batch: of a step, and of places in a stream.
template <class T, Backend B>
Tensor<T, B> draw_noise(Context<B>& context, std::uint64_t seed, std::uint32_t step,
                        std::span<const std::uint32_t> samples, const Shape& shape) {
  return detail::normal_samples<T>(context, samples.size(), shape,
                                   [&](std::size_t n) { return Philox(seed, Purpose::noise, step, samples[n]); });
}
template <class T, Backend B>
Tensor<T, B> draw_noise(Context<B>& context, std::uint64_t seed, std::span<const Index> positions, const Shape& shape) {
  return detail::normal_samples<T>(context, positions.size(), shape, [&](std::size_t n) {
    const StreamCounter at(positions[n]);
    return Philox(seed, Purpose::noise, at.step, at.sample);
  });
}

namespace detail {

template <class T>
struct FlowPoint {
  const T* data;
  const T* noise;
  const accum_t<T>* t;
  T* x_t;
  T* velocity;
  Index per_sample;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const accum_t<T> d = static_cast<accum_t<T>>(data[i]), e = static_cast<accum_t<T>>(noise[i]), s = t[i / per_sample];
    x_t[i] = static_cast<T>((accum_t<T>{1} - s) * d + s * e);
    velocity[i] = static_cast<T>(e - d);
  }
};

}  // namespace detail

template <class T, Backend B>
struct FlowSample {
  Tensor<T, B> x_t;       // the network's input
  Tensor<T, B> velocity;  // what it should predict
};

/// data, noise (N, ...), t (N) -> the point on the line and its velocity. Any coupled source may take the place of the noise.
template <class T, Backend B>
FlowSample<T, B> flow_interpolate(const Tensor<T, B>& data, const Tensor<T, B>& noise, const std::vector<double>& t) {
  require_elements("flow matching", data);
  require_same_shape("flow matching", data, noise);
  if (data.rank() < 1 || static_cast<Index>(t.size()) != data.dim(0))
    fail(ErrorKind::shape, "flow_matching.times", "flow matching: expected one time per sample of data with shape ",
         data.shape(), ", got ", t.size());
  using A = accum_t<T>;
  const std::vector<A> times(t.begin(), t.end());
  const Tensor<A, B> on_device = Tensor<A, B>::from_host(data.context(), {data.dim(0)}, times);
  FlowSample<T, B> sample{Tensor<T, B>(data.context(), data.shape()), Tensor<T, B>(data.context(), data.shape())};
  map(data.context(), data.size(),
      detail::FlowPoint<T>{data.data(), noise.data(), on_device.data(), sample.x_t.data(), sample.velocity.data(),
                           data.size() / data.dim(0)});
  return sample;
}

}  // namespace braing3n::inline BRAING3N_ABI
