// Group norm on a GPU, from the launchers: sums per sample and channel in double, then per group in the order of the channels.
#pragma once

#if !defined(__CUDACC__) && !defined(BRAING3N_EMULATE_CUDA)
#error "braing3n/backend/cuda/group_norm.cuh needs nvcc: include it from a .cu file and link braing3n::cuda"
#endif

#include "braing3n/backend/cuda/map.cuh"
#include "braing3n/backend/cuda/norm.cuh"
#include "braing3n/base/functors.hpp"

namespace braing3n::inline BRAING3N_ABI {
namespace detail {

/// Where element (sample, voxel, channel) and its group stand.
template <class T>
struct GroupNormPlace {
  GroupNormCall<T> c;
  using A = accum_t<T>;
  BRAING3N_HD BRAING3N_INLINE Index element(Index n, Index v, Index k) const {
    return (n * c.voxels + v) * c.channels + k;
  }
  BRAING3N_HD BRAING3N_INLINE Index group(Index n, Index k) const { return n * c.groups + k / (c.channels / c.groups); }
  BRAING3N_HD BRAING3N_INLINE A normalised(Index n, Index v, Index k) const {
    const Index g = group(n, k);
    return (static_cast<A>(c.x[element(n, v, k)]) - c.mean[g]) * c.rstd[g];
  }
};

/// x or x^2, per channel.
template <class T, bool squared>
struct GroupNormInput {
  GroupNormPlace<T> at;
  BRAING3N_HD BRAING3N_INLINE double operator()(Index n, Index v, Index k) const {
    const double x = static_cast<double>(static_cast<accum_t<T>>(at.c.x[at.element(n, v, k)]));
    return squared ? x * x : x;
  }
};

/// The gradient before the activation, alone or times the normalised x.
template <class T, bool times_normalised>
struct GroupNormUpstream {
  GroupNormPlace<T> at;
  const T* dy;
  using A = accum_t<T>;
  BRAING3N_HD BRAING3N_INLINE A value(Index n, Index v, Index k, A normalised) const {
    const A d = static_cast<A>(dy[at.element(n, v, k)]);
    if (!at.c.silu) return d;
    return d * Silu{}.grad(normalised * static_cast<A>(at.c.gain[k]) + static_cast<A>(at.c.shift[k]));
  }
  BRAING3N_HD BRAING3N_INLINE double operator()(Index n, Index v, Index k) const {
    const A normalised = at.normalised(n, v, k), d = value(n, v, k, normalised);
    return static_cast<double>(times_normalised ? d * normalised : d);
  }
};

/// channels[(2 n + part) C + k] = sum
struct StoreChannelSum {
  double* channels;
  Index count, part;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index n, Index k, double sum) const {
    channels[(2 * n + part) * count + k] = sum;
  }
};

/// sums (batch, groups, 2) from the sums per channel, each times the channel's gain unless that is null.
template <class T>
struct GroupNormGroupSums {
  GroupNormCall<T> c;
  const double* channels;
  const T* gain;
  double* sums;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const Index n = i / c.groups, each = c.channels / c.groups, first = i % c.groups * each;
    for (Index part = 0; part < 2; ++part) {
      double total = 0;
      for (Index k = first; k < first + each; ++k) {
        const double weight = gain == nullptr ? 1.0 : static_cast<double>(static_cast<accum_t<T>>(gain[k]));
        total += weight * channels[(2 * n + part) * c.channels + k];
      }
      sums[2 * i + part] = total;
    }
  }
};

template <class T>
struct GroupNormStatistics {
  GroupNormCall<T> c;
  double count;
  const double* sums;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    using A = accum_t<T>;
    const double mean = sums[2 * i] / count, variance = sums[2 * i + 1] / count - mean * mean;
    c.mean[i] = static_cast<A>(mean);
    // A NaN stays a NaN; a rounding error below zero does not become one.
    c.rstd[i] = static_cast<A>(1.0 / std::sqrt((variance < 0 ? 0 : variance) + c.eps));
  }
};

/// Row r is voxel r % voxels of sample r / voxels.
template <class T>
struct GroupNormApply {
  GroupNormPlace<T> at;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index k) const {
    using A = accum_t<T>;
    const Index n = r / at.c.voxels, v = r % at.c.voxels, g = at.group(n, k);
    const A slope = at.c.rstd[g] * static_cast<A>(at.c.gain[k]);
    A u = (static_cast<A>(at.c.x[at.element(n, v, k)]) - at.c.mean[g]) * slope + static_cast<A>(at.c.shift[k]);
    if (at.c.silu) u = Silu{}.value(u);
    at.c.y[at.element(n, v, k)] = static_cast<T>(u);
  }
};

template <class T>
struct GroupNormInputGradient {
  GroupNormUpstream<T, false> up;
  const double* sums;  // (batch, groups, 2) of gain d and gain d normalised
  double count;
  T* dx;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index r, Index k) const {
    using A = accum_t<T>;
    const auto& at = up.at;
    const Index n = r / at.c.voxels, v = r % at.c.voxels, g = at.group(n, k);
    const A normalised = at.normalised(n, v, k), d = up.value(n, v, k, normalised);
    const A mean = static_cast<A>(sums[2 * g] / count), dot = static_cast<A>(sums[2 * g + 1] / count);
    dx[at.element(n, v, k)] =
        static_cast<T>(at.c.rstd[g] * (static_cast<A>(at.c.gain[k]) * d - mean - normalised * dot));
  }
};

/// to[k] += the sum of a part over the samples, in their order.
template <class A>
struct AddChannelSums {
  const double* channels;
  A* to;
  Index batch, count, part;
  BRAING3N_HD BRAING3N_INLINE void operator()(Index k) const {
    double total = 0;
    for (Index n = 0; n < batch; ++n) total += channels[(2 * n + part) * count + k];
    to[k] += static_cast<A>(total);
  }
};

}  // namespace detail

template <class T>
void NormKernel<Cuda>::group_norm_sums(Context<Cuda>& ctx, const GroupNormCall<T>& c, double* sums) {
  Tensor<double, Cuda> channels(ctx, Shape{c.batch, 2, c.channels});
  column_sums(ctx, c.batch, c.voxels, c.channels, detail::GroupNormInput<T, false>{{c}},
              detail::StoreChannelSum{channels.data(), c.channels, 0});
  column_sums(ctx, c.batch, c.voxels, c.channels, detail::GroupNormInput<T, true>{{c}},
              detail::StoreChannelSum{channels.data(), c.channels, 1});
  map(ctx, c.batch * c.groups, detail::GroupNormGroupSums<T>{c, channels.data(), nullptr, sums});
}

template <class T>
void NormKernel<Cuda>::group_norm_statistics(Context<Cuda>& ctx, const GroupNormCall<T>& c, double count,
                                             const double* sums) {
  map(ctx, c.batch * c.groups, detail::GroupNormStatistics<T>{c, count, sums});
}

template <class T>
void NormKernel<Cuda>::group_norm_apply(Context<Cuda>& ctx, const GroupNormCall<T>& c) {
  map_rows(ctx, c.batch * c.voxels, c.channels, detail::GroupNormApply<T>{{c}});
}

template <class T>
void NormKernel<Cuda>::group_norm(Context<Cuda>& ctx, const GroupNormCall<T>& c) {
  Tensor<double, Cuda> sums(ctx, Shape{c.batch * c.groups, 2});
  group_norm_sums(ctx, c, sums.data());
  group_norm_statistics(ctx, c, static_cast<double>(c.voxels * (c.channels / c.groups)), sums.data());
  group_norm_apply(ctx, c);
}

template <class T>
void NormKernel<Cuda>::group_norm_backward(Context<Cuda>& ctx, const GroupNormCall<T>& c,
                                           const GroupNormGradients<T>& g) {
  const Index C = c.channels;
  const detail::GroupNormUpstream<T, false> up{{c}, g.dy};
  Tensor<double, Cuda> channels(ctx, Shape{c.batch, 2, C}), sums(ctx, Shape{c.batch * c.groups, 2});
  column_sums(ctx, c.batch, c.voxels, C, up, detail::StoreChannelSum{channels.data(), C, 0});
  column_sums(ctx, c.batch, c.voxels, C, detail::GroupNormUpstream<T, true>{{c}, g.dy},
              detail::StoreChannelSum{channels.data(), C, 1});
  map(ctx, c.batch * c.groups, detail::GroupNormGroupSums<T>{c, channels.data(), c.gain, sums.data()});
  map_rows(ctx, c.batch * c.voxels, C,
           detail::GroupNormInputGradient<T>{up, sums.data(), static_cast<double>(c.voxels * (C / c.groups)), g.dx});
  using A = accum_t<T>;
  if (g.dgain != nullptr) map(ctx, C, detail::AddChannelSums<A>{channels.data(), g.dgain, c.batch, C, 1});
  if (g.dshift != nullptr) map(ctx, C, detail::AddChannelSums<A>{channels.data(), g.dshift, c.batch, C, 0});
}

}  // namespace braing3n::inline BRAING3N_ABI
