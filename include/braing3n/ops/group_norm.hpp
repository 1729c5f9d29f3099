// Group norm of channels-last volumes (Wu and He, arXiv 1803.08494), optionally followed by SiLU:
//   u = xhat weight + bias,   xhat = (x - mean) rstd per sample and group of neighbouring channels,   y = u or silu(u)
//   with g = dy silu'(u) weight:   dx = rstd (g - avg(g) - xhat avg(g xhat)),   averages per sample and group
// Statistics are sums in double over all voxels and the channels of the group (variance divided by their number).
#pragma once

#include <utility>

#include "braing3n/backend/norm.hpp"
#include "braing3n/ops/check.hpp"

namespace braing3n::inline BRAING3N_ABI {

struct GroupNormOptions {
  Index groups = 32;
  double eps = 1e-6;
  bool silu = false;  // y = silu(u)
};

template <class T, Backend B>
struct GroupNormResult {
  Tensor<T, B> y;                    // like x
  Tensor<accum_t<T>, B> mean, rstd;  // (N, groups)
};

namespace detail {

template <class T, Backend B>
GroupNormCall<T> group_norm_call(const char* op, const Tensor<T, B>& x, const Tensor<T, B>& weight,
                                 const Tensor<T, B>& bias, const GroupNormOptions& options) {
  require_elements(op, x);
  if (x.rank() < 3)
    fail(ErrorKind::shape, "op.rank", op, ": x has shape ", x.shape(), ", expected (N, X, Y, Z, C) or (N, L, C)");
  GroupNormCall<T> c;
  c.batch = x.dim(0), c.channels = x.dim(-1), c.voxels = x.size() / (c.batch * c.channels), c.groups = options.groups;
  if (c.groups < 1 || c.channels % c.groups != 0)
    fail(ErrorKind::shape, "group_norm.groups", op, ": the ", c.channels, " channels of x ", x.shape(),
         " cannot be cut into ", c.groups, " groups");
  if (!(options.eps >= 0))
    fail(ErrorKind::argument, "group_norm.eps", op, ": expected eps of at least 0, got ", options.eps);
  require_shape(op, "weight", weight, Shape{c.channels});
  require_shape(op, "bias", bias, Shape{c.channels});
  require_same_context(op, x, weight);
  require_same_context(op, x, bias);
  c.eps = options.eps, c.silu = options.silu;
  c.x = x.data(), c.gain = weight.data(), c.shift = bias.data();
  return c;
}

}  // namespace detail

/// x (N, X, Y, Z, C) or (N, L, C); weight, bias (C). A tensor that is moved in and not shared is overwritten with the
/// result. Throws Error (shape).
template <class T, Backend B>
GroupNormResult<T, B> group_norm_forward(Tensor<T, B> x, const Tensor<T, B>& weight, const Tensor<T, B>& bias,
                                         const GroupNormOptions& options = {}) {
  auto c = detail::group_norm_call("group_norm", x, weight, bias, options);
  Context<B>& ctx = x.context();
  GroupNormResult<T, B> r{x.unique() ? x : Tensor<T, B>(ctx, x.shape()),
                          Tensor<accum_t<T>, B>(ctx, Shape{c.batch, c.groups}),
                          Tensor<accum_t<T>, B>(ctx, Shape{c.batch, c.groups})};
  c.y = r.y.data(), c.mean = r.mean.data(), c.rstd = r.rstd.data();
  NormKernel<B>::group_norm(ctx, c);
  return r;
}

/// The two halves of group_norm_forward, for volumes that are never in memory as a whole: sums over their parts are added, and
/// every part is normalised with the statistics of the whole. x as above; returns (N, groups, 2), the sums of x and of x^2.
template <class T, Backend B>
Tensor<double, B> group_norm_sums(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias,
                                  const GroupNormOptions& options) {
  const auto c = detail::group_norm_call("group_norm_sums", x, weight, bias, options);
  Tensor<double, B> sums(x.context(), Shape{c.batch, c.groups, 2});
  NormKernel<B>::group_norm_sums(x.context(), c, sums.data());
  return sums;
}

/// sums (N, groups, 2) over `count` elements per group. A tensor that is moved in and not shared is overwritten.
template <class T, Backend B>
Tensor<T, B> group_norm_apply(Tensor<T, B> x, const Tensor<double, B>& sums, double count, const Tensor<T, B>& weight,
                              const Tensor<T, B>& bias, const GroupNormOptions& options) {
  auto c = detail::group_norm_call("group_norm_apply", x, weight, bias, options);
  require_shape("group_norm_apply", "sums", sums, Shape{c.batch, c.groups, 2});
  Context<B>& ctx = x.context();
  Tensor<accum_t<T>, B> mean(ctx, Shape{c.batch, c.groups}), rstd(ctx, Shape{c.batch, c.groups});
  Tensor<T, B> y = x.unique() ? x : Tensor<T, B>(ctx, x.shape());
  c.y = y.data(), c.mean = mean.data(), c.rstd = rstd.data();
  NormKernel<B>::group_norm_statistics(ctx, c, count, sums.data());
  NormKernel<B>::group_norm_apply(ctx, c);
  return y;
}

/// Gradient of x; r is what group_norm_forward returned for the same x and options (r.y is not read). dweight and dbias (C) are
/// added to, unless empty.
template <class T, Backend B>
Tensor<T, B> group_norm_backward(const Tensor<T, B>& x, const Tensor<T, B>& weight, const Tensor<T, B>& bias,
                                 const GroupNormResult<T, B>& r, const Tensor<T, B>& dy,
                                 const GroupNormOptions& options = {}, Tensor<accum_t<T>, B> dweight = {},
                                 Tensor<accum_t<T>, B> dbias = {}) {
  const char* op = "group_norm_backward";
  auto c = detail::group_norm_call(op, x, weight, bias, options);
  require_shape(op, "dy", dy, x.shape());
  require_shape(op, "mean", r.mean, Shape{c.batch, c.groups});
  require_shape(op, "rstd", r.rstd, Shape{c.batch, c.groups});
  if (!dweight.empty()) require_shape(op, "dweight", dweight, Shape{c.channels});
  if (!dbias.empty()) require_shape(op, "dbias", dbias, Shape{c.channels});
  Tensor<T, B> dx(x.context(), x.shape());
  Tensor<accum_t<T>, B> mean = r.mean, rstd = r.rstd;
  c.mean = mean.data(), c.rstd = rstd.data();
  NormKernel<B>::group_norm_backward(x.context(), c,
                                     GroupNormGradients<T>{dy.data(), dx.data(), dweight.data(), dbias.data()});
  return dx;
}

}  // namespace braing3n::inline BRAING3N_ABI
