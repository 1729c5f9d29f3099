// Classifier-free guidance (Ho and Salimans 2022) over any conditional velocity.
#pragma once

#include <cmath>
#include <span>
#include <vector>

#include "braing3n/ops/elementwise.hpp"

namespace braing3n::inline BRAING3N_ABI {

inline void require_guidance(double scale) {
  if (!std::isfinite(scale)) fail(ErrorKind::argument, "guidance.scale", "guidance: the scale must be a finite number, got ", scale);
}

/// Joint: v_null + s (v_cond - v_null).
template <class T, Backend B>
Tensor<T, B> guide(const Tensor<T, B>& v_null, const Tensor<T, B>& v_condition, double scale) {
  require_guidance(scale);
  return add_scaled_forward(v_null, sub_forward(v_condition, v_null), scale);
}

/// Composed: v_null + sum_k s_k (v_only_k - v_null), one velocity and one scale per condition.
template <class T, Backend B>
Tensor<T, B> guide_composed(const Tensor<T, B>& v_null, std::span<const Tensor<T, B>> v_only, std::span<const double> scales) {
  if (v_only.size() != scales.size())
    fail(ErrorKind::argument, "guidance.count", "guidance: ", v_only.size(), " velocities and ", scales.size(), " scales");
  Tensor<T, B> v = v_null;
  for (std::size_t k = 0; k < scales.size(); ++k) {
    require_guidance(scales[k]);
    v = add_scaled_forward(v, sub_forward(v_only[k], v_null), scales[k]);
  }
  return v;
}

}  // namespace braing3n::inline BRAING3N_ABI
