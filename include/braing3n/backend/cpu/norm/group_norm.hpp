// Group norm on the CPU: channels-last volumes cut into chunks of whole voxels.
//
// A chunk is treated as one long row whose coefficients repeat every `period` elements (a multiple of the channels), so
// that narrow volumes (32 channels at full resolution) run in long loops too.
#pragma once

#include <array>

#include "braing3n/backend/cpu/norm/norm.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

/// How a volume is cut, and what is known per (sample, channel).
template <class A>
struct GroupNormPlan {
  Index size;  // elements of a sample
  Index channels;
  Index period;  // elements after which the coefficients repeat
  Index chunk;   // elements per chunk, a multiple of period
  Index chunks;  // per sample

  GroupNormPlan(Index voxels, Index channel_count) : size(voxels * channel_count), channels(channel_count) {
    const Index voxels_per_period = std::min(voxels, std::max<Index>(1, 512 / channels));
    period = voxels_per_period * channels;
    chunk = std::max<Index>(1, 65536 / period) * period;
    chunks = (size + chunk - 1) / chunk;
  }
  Index end(Index id) const { return std::min(size, (id + 1) * chunk); }
};

/// One array of `period` coefficients: value(channel), repeated.
template <class A, class F>
void repeat_channels(const GroupNormPlan<A>& plan, A* to, const F& value) {
  for (Index i = 0; i < plan.period; ++i) to[i] = value(i % plan.channels);
}

/// Calls f(element, coefficient index) over a chunk of a sample; f always inlined.
template <class A, class F>
BRAING3N_INLINE void for_periods(const GroupNormPlan<A>& plan, Index begin, Index end, const F& f) {
  for (Index i0 = begin; i0 < end; i0 += plan.period) {
    const Index n = std::min(plan.period, end - i0);
    BRAING3N_IVDEP
    for (Index i = 0; i < n; ++i) f(i0 + i, i);
  }
}

/// sums (2, channels) of first(i, k) and second(i, k) over a chunk, from the double sums (2, period) of the columns.
template <class A, class F>
BRAING3N_INLINE void chunk_sums(const GroupNormPlan<A>& plan, Index begin, Index end, double* column, double* sums,
                                const F& add) {
  double* first = column;
  double* second = column + plan.period;
  for (Index i = 0; i < 2 * plan.period; ++i) column[i] = 0;
  for_periods(plan, begin, end, [=](Index i, Index k) BRAING3N_LAMBDA_INLINE { add(i, k, first[k], second[k]); });
  for (Index c = 0; c < 2 * plan.channels; ++c) sums[c] = 0;
  for (Index i = 0; i < plan.period; i += plan.channels)
    for (Index c = 0; c < plan.channels; ++c) sums[c] += first[i + c], sums[plan.channels + c] += second[i + c];
}

/// Mean and 1 / sqrt(variance + eps) from sums (rows, 2) of x and x^2 over `count` elements each.
template <class A>
void group_norm_statistics(Index rows, double count, double eps, const double* sums, A* mean, A* rstd) {
  for (Index r = 0; r < rows; ++r) {
    const double m = sums[2 * r] / count, variance = sums[2 * r + 1] / count - m * m;
    mean[r] = static_cast<A>(m);
    // A NaN stays a NaN; a rounding error below zero does not become one.
    rstd[r] = static_cast<A>(1.0 / std::sqrt((variance < 0 ? 0 : variance) + eps));
  }
}

}  // namespace detail

template <class T>
void NormKernel<Cpu>::group_norm_sums(Context<Cpu>& ctx, const GroupNormCall<T>& c, double* totals) {
  using A = accum_t<T>;
  const detail::GroupNormPlan<A> plan(c.voxels, c.channels);
  const Index C = c.channels, per_group = C / c.groups;
  Tensor<double, Cpu> sums(ctx, Shape{c.batch * plan.chunks, 2, C}), columns(ctx, Shape{ctx.threads(), 2, plan.period});
  ctx.pool().run(c.batch * plan.chunks, [&](Index id, int worker) {
    const Index sample = id / plan.chunks, chunk = id % plan.chunks;
    const T* x = c.x + sample * plan.size;
    vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
      detail::chunk_sums(plan, chunk * plan.chunk, plan.end(chunk), columns.data() + worker * 2 * plan.period,
                         sums.data() + id * 2 * C,
                         [=](Index i, Index, double& sum, double& squares) BRAING3N_LAMBDA_INLINE {
                           const double v = static_cast<double>(detail::widen(x[i]));
                           sum += v;
                           squares += v * v;
                         });
    });
  });
  for (Index n = 0; n < c.batch; ++n)
    for (Index group = 0; group < c.groups; ++group) {
      double sum = 0, squares = 0;
      for (Index id = n * plan.chunks; id < (n + 1) * plan.chunks; ++id)
        for (Index k = group * per_group; k < (group + 1) * per_group; ++k)
          sum += sums.data()[id * 2 * C + k], squares += sums.data()[(id * 2 + 1) * C + k];
      totals[(n * c.groups + group) * 2] = sum;
      totals[(n * c.groups + group) * 2 + 1] = squares;
    }
}

template <class T>
void NormKernel<Cpu>::group_norm_statistics(Context<Cpu>&, const GroupNormCall<T>& c, double count,
                                            const double* sums) {
  detail::group_norm_statistics(c.batch * c.groups, count, c.eps, sums, c.mean, c.rstd);
}

template <class T>
void NormKernel<Cpu>::group_norm_apply(Context<Cpu>& ctx, const GroupNormCall<T>& c) {
  using A = accum_t<T>;
  const detail::GroupNormPlan<A> plan(c.voxels, c.channels);
  const Index per_group = c.channels / c.groups;
  // Coefficients per sample: y = (x - mean) * slope + shift.
  Tensor<A, Cpu> coefficients(ctx, Shape{c.batch, 3, plan.period});
  for (Index n = 0; n < c.batch; ++n) {
    A* mean = coefficients.data() + n * 3 * plan.period;
    detail::repeat_channels(plan, mean, [&](Index k) { return c.mean[n * c.groups + k / per_group]; });
    detail::repeat_channels(plan, mean + plan.period,
                            [&](Index k) { return c.rstd[n * c.groups + k / per_group] * detail::widen(c.gain[k]); });
    detail::repeat_channels(plan, mean + 2 * plan.period, [&](Index k) { return detail::widen(c.shift[k]); });
  }
  const auto normalise = [&](auto with_silu) {
    ctx.parallel(c.batch * plan.chunks, [&](Index id) {
      const Index sample = id / plan.chunks, chunk = id % plan.chunks;
      const T* x = c.x + sample * plan.size;
      T* y = c.y + sample * plan.size;
      const A* mean = coefficients.data() + sample * 3 * plan.period;
      const A* slope = mean + plan.period;
      const A* shift = slope + plan.period;
      vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
        detail::for_periods(plan, chunk * plan.chunk, plan.end(chunk), [=](Index i, Index k) BRAING3N_LAMBDA_INLINE {
          const A u = (detail::widen(x[i]) - mean[k]) * slope[k] + shift[k];
          if constexpr (decltype(with_silu)::value) y[i] = static_cast<T>(Silu{}.value(u));
          else y[i] = static_cast<T>(u);
        });
      });
    });
  };
  if (c.silu) normalise(std::true_type());
  else normalise(std::false_type());
}

template <class T>
void NormKernel<Cpu>::group_norm(Context<Cpu>& ctx, const GroupNormCall<T>& c) {
  const Index rows = c.batch * c.groups;
  Tensor<double, Cpu> sums(ctx, Shape{rows, 2});
  group_norm_sums(ctx, c, sums.data());
  detail::group_norm_statistics(rows, static_cast<double>(c.voxels * (c.channels / c.groups)), c.eps, sums.data(),
                                c.mean, c.rstd);
  group_norm_apply(ctx, c);
}

template <class T>
void NormKernel<Cpu>::group_norm_backward(Context<Cpu>& ctx, const GroupNormCall<T>& c,
                                          const GroupNormGradients<T>& g) {
  using A = accum_t<T>;
  const detail::GroupNormPlan<A> plan(c.voxels, c.channels);
  const Index C = c.channels, per_group = C / c.groups, P = plan.period;
  Tensor<double, Cpu> sums(ctx, Shape{c.batch * plan.chunks, 2, C}), columns(ctx, Shape{ctx.threads(), 2, P});
  // Per sample: mean, rstd, gain, shift, and then the two group averages of the gradient.
  Tensor<A, Cpu> coefficients(ctx, Shape{c.batch, 6, P});
  for (Index n = 0; n < c.batch; ++n) {
    A* k0 = coefficients.data() + n * 6 * P;
    detail::repeat_channels(plan, k0, [&](Index k) { return c.mean[n * c.groups + k / per_group]; });
    detail::repeat_channels(plan, k0 + P, [&](Index k) { return c.rstd[n * c.groups + k / per_group]; });
    detail::repeat_channels(plan, k0 + 2 * P, [&](Index k) { return detail::widen(c.gain[k]); });
    detail::repeat_channels(plan, k0 + 3 * P, [&](Index k) { return detail::widen(c.shift[k]); });
  }
  const auto run = [&](auto with_silu) {
    // The gradient before the activation, and the normalised x: both computed again instead of stored.
    const auto before_activation = [](A normalised, A dy, A gain, A shift) BRAING3N_LAMBDA_INLINE {
      if constexpr (decltype(with_silu)::value) return dy * Silu{}.grad(normalised * gain + shift);
      else return (void)normalised, (void)gain, (void)shift, dy;
    };
    ctx.pool().run(c.batch * plan.chunks, [&](Index id, int worker) {
      const Index sample = id / plan.chunks, chunk = id % plan.chunks;
      const T* x = c.x + sample * plan.size;
      const T* dy = g.dy + sample * plan.size;
      const A* k0 = coefficients.data() + sample * 6 * P;
      vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
        detail::chunk_sums(
            plan, chunk * plan.chunk, plan.end(chunk), columns.data() + worker * 2 * P, sums.data() + id * 2 * C,
            [=](Index i, Index k, double& sum, double& dot) BRAING3N_LAMBDA_INLINE {
              const A normalised = (detail::widen(x[i]) - k0[k]) * k0[P + k];
              const A d = before_activation(normalised, detail::widen(dy[i]), k0[2 * P + k], k0[3 * P + k]);
              sum += static_cast<double>(d);
              dot += static_cast<double>(d * normalised);
            });
      });
    });
    for (Index n = 0; n < c.batch; ++n) {
      for (Index group = 0; group < c.groups; ++group) {
        double sum = 0, dot = 0;
        for (Index id = n * plan.chunks; id < (n + 1) * plan.chunks; ++id)
          for (Index k = group * per_group; k < (group + 1) * per_group; ++k) {
            const double gain = static_cast<double>(detail::widen(c.gain[k]));
            sum += gain * sums.data()[id * 2 * C + k], dot += gain * sums.data()[(id * 2 + 1) * C + k];
          }
        const double count = static_cast<double>(c.voxels * per_group);
        A* average = coefficients.data() + (n * 6 + 4) * P;
        for (Index i = 0; i < P; ++i)
          if (i % C / per_group == group)
            average[i] = static_cast<A>(sum / count), average[P + i] = static_cast<A>(dot / count);
      }
    }
    ctx.parallel(c.batch * plan.chunks, [&](Index id) {
      const Index sample = id / plan.chunks, chunk = id % plan.chunks;
      const T* x = c.x + sample * plan.size;
      const T* dy = g.dy + sample * plan.size;
      T* dx = g.dx + sample * plan.size;
      const A* k0 = coefficients.data() + sample * 6 * P;
      vectorized(ctx.isa(), [&]() BRAING3N_LAMBDA_INLINE {
        detail::for_periods(plan, chunk * plan.chunk, plan.end(chunk), [=](Index i, Index k) BRAING3N_LAMBDA_INLINE {
          const A rstd = k0[P + k], gain = k0[2 * P + k], normalised = (detail::widen(x[i]) - k0[k]) * rstd;
          const A d = before_activation(normalised, detail::widen(dy[i]), gain, k0[3 * P + k]);
          dx[i] = static_cast<T>(rstd * (gain * d - k0[4 * P + k] - normalised * k0[5 * P + k]));
        });
      });
    });
  };
  if (c.silu) run(std::true_type());
  else run(std::false_type());
  detail::add_parts(c.batch * plan.chunks, 2 * C, C, sums.data() + C, g.dgain);
  detail::add_parts(c.batch * plan.chunks, 2 * C, C, sums.data(), g.dshift);
}

}  // namespace braing3n::inline BRAING3N_ABI
