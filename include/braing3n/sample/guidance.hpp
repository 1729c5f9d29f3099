// Classifier-free guidance (Ho and Salimans 2022) over any conditional velocity.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline void require_guidance(double scale) {
  if (!std::isfinite(scale))
    fail(ErrorKind::argument, "guidance.scale", "guidance: expected a finite scale, got ", scale);
}

/// Joint: v_null + s (v_cond - v_null).
template <class T, Backend B>
Tensor<T, B> guide(const Tensor<T, B>& v_null, const Tensor<T, B>& v_condition, double scale) {
  require_guidance(scale);
  return add_scaled_forward(v_null, sub_forward(v_condition, v_null), scale);
}

/// Composed: v_null + sum_k s_k (v_only_k - v_null), one velocity and one scale per condition.
template <class T, Backend B>
Tensor<T, B> guide_composed(const Tensor<T, B>& v_null, std::span<const Tensor<T, B>> v_only,
                            std::span<const double> scales) {
  if (v_only.size() != scales.size())
    fail(ErrorKind::argument, "guidance.count", "guidance: expected one scale per velocity, got ", v_only.size(),
         " velocities and ", scales.size(), " scales");
  Tensor<T, B> v = v_null;
  for (std::size_t k = 0; k < scales.size(); ++k) {
    require_guidance(scales[k]);
    v = add_scaled_forward(v, sub_forward(v_only[k], v_null), scales[k]);
  }
  return v;
}

/// x (N, ...) -> (copies N, ...), one whole copy after the other: several conditions of the same samples in one batch.
template <class T, Backend B>
Tensor<T, B> repeat_batch(const Tensor<T, B>& x, Index copies) {
  require_elements("guidance", x);
  if (copies == 1) return x;
  Shape shape = {copies * x.dim(0)};
  for (int a = 1; a < x.rank(); ++a) shape.push_back(x.dim(a));
  Tensor<T, B> y(x.context(), shape);
  for (Index k = 0; k < copies; ++k) x.context().memory().copy(y.data() + k * x.size(), x.data(), x.bytes());
  return y;
}

namespace detail {

/// A few scales go with the launch; more of them lie on the backend.
template <class T>
struct CombineVelocities {
  static constexpr Index inside = 16;
  const T* stacked;
  T* out;
  Index terms, per_copy;
  const accum_t<T>* more = nullptr;
  accum_t<T> scales[inside] = {};
  BRAING3N_HD BRAING3N_INLINE void operator()(Index i) const {
    const accum_t<T> base = static_cast<accum_t<T>>(stacked[i]);
    const accum_t<T>* scale = more != nullptr ? more : scales;
    accum_t<T> v = base;
    for (Index k = 0; k < terms; ++k) v += scale[k] * (static_cast<accum_t<T>>(stacked[(k + 1) * per_copy + i]) - base);
    out[i] = convert<T>(v);
  }
};

}  // namespace detail

/// stacked (K N, ...): v_0 of all samples, then v_1, ... -> v_0 + sum_k s_k (v_k - v_0), with K - 1 scales.
template <class T, Backend B>
Tensor<T, B> combine_velocities(const Tensor<T, B>& stacked, std::span<const double> scales) {
  require_elements("guidance", stacked);
  const Index terms = static_cast<Index>(scales.size()), copies = terms + 1;
  if (stacked.dim(0) % copies != 0)
    fail(ErrorKind::shape, "guidance.count", "guidance: velocities ", stacked.shape(), " cannot be cut into ", copies,
         " copies");
  for (const double s : scales) require_guidance(s);
  Shape shape = {stacked.dim(0) / copies};
  for (int a = 1; a < stacked.rank(); ++a) shape.push_back(stacked.dim(a));
  using A = accum_t<T>;
  const std::vector<A> values(scales.begin(), scales.end());
  Tensor<T, B> out(stacked.context(), shape);
  detail::CombineVelocities<T> combine{stacked.data(), out.data(), terms, out.size()};
  Tensor<A, B> more;
  if (terms > combine.inside) {
    more = Tensor<A, B>::from_host(stacked.context(), {terms}, values);
    combine.more = more.data();
  } else {
    std::copy(values.begin(), values.end(), combine.scales);
  }
  map(stacked.context(), out.size(), combine);
  return out;
}

}  // namespace braing3n::inline BRAING3N_ABI
